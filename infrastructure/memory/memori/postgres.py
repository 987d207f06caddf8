"""PostgreSQL connections by psycopg 3, and what their errors mean to a user.

The store keeps to the schema `genesis` of the database. A write takes a lock on the whole store
until it ends, as SQLite does: batches of several processes follow one another, see all that came
before, and cannot deadlock.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, LiteralString, cast

import psycopg
from psycopg import errors as pg
from psycopg.conninfo import conninfo_to_dict

from infrastructure.errors import StoreError, StoreUnavailable
from infrastructure.memory.memori.dialect import BoundTx, Dialect, Durability, Rows, SqlValue
from infrastructure.memory.memori.schema import migrate

SCHEMA: Final = "genesis"
_CONNECT_TIMEOUT_S: Final = 10
# A number of our own among the database's advisory locks.
# Whatever the server's default: a snapshot taken before the lock would not have what came before.
_BEGIN_WRITE: Final = (
    "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock(29111345735985523)"
)

_UNREADABLE: Final = (
    "the store's address is not one that PostgreSQL reads; write "
    "postgresql://user:password@host:port/database, with special characters percent-encoded"
)

_OUTSIDE: Final = (psycopg.pq.TransactionStatus.IDLE, psycopg.pq.TransactionStatus.UNKNOWN)

_IN_THE_WAY: Final = (
    "others of its transactions stood in the way, so this one was rolled back; try again"
)
_CAUSES: Final[tuple[tuple[type[Exception], str], ...]] = (
    (pg.DiskFull, "its disk is full; free some space and try again"),
    (pg.InsufficientPrivilege, "this user may not do that there; grant CREATE on the database, "
     f"or make the schema {SCHEMA!r} and its owner this user"),
    (pg.ReadOnlySqlTransaction, "it is read-only (a standby, perhaps); connect to the primary"),
    (pg.LockNotAvailable, "another process has held the store locked for too long; end it, or try "
     "again"),
    (pg.InvalidPassword, "the password is wrong; correct the address"),
    (pg.InvalidCatalogName, "there is no such database; create it, or correct the address"),
    (pg.TooManyConnections, "the server has no connection left; raise max_connections"),
    (pg.DataCorrupted, "the data is damaged; restore a backup"),
    (pg.IndexCorrupted, "an index is damaged; run REINDEX"),
    (pg.SerializationFailure, _IN_THE_WAY),
    (pg.DeadlockDetected, _IN_THE_WAY),
    (pg.QueryCanceled, "the server cancelled the operation, and nothing of it was stored; raise "
     "its statement_timeout if that is why, or try again"),
    (psycopg.OperationalError, "the server cannot be reached, or ended the connection"),
)  # fmt: skip


class PostgresConnection:
    """One connection; transactions are begun and ended by the store alone."""

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._connection = connection

    @property
    def in_transaction(self) -> bool:
        return self._connection.info.transaction_status not in _OUTSIDE

    @property
    def lost(self) -> bool:
        return self._connection.closed

    def begin_write(self) -> None:
        self._connection.execute(_BEGIN_WRITE)

    def begin_read(self) -> None:
        self._connection.execute("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def end_read(self) -> None:
        if self.in_transaction:
            self._connection.execute("ROLLBACK")

    def execute(self, sql: str, params: Sequence[SqlValue] = (), /) -> Rows:
        return cast("Rows", self._connection.execute(_translated(sql), params))

    def insert_all(self, sql: str, rows: Sequence[Sequence[SqlValue]]) -> int:
        with self._connection.cursor() as cursor:
            cursor.executemany(_translated(sql), rows)
            return cursor.rowcount

    def commit(self) -> None:
        self._connection.execute("COMMIT")

    def rollback(self) -> None:
        self._connection.execute("ROLLBACK")

    def close(self) -> None:
        self._connection.close()


class PostgresDatabase:
    """A store on a PostgreSQL server."""

    dialect: Dialect = "postgres"
    errors: tuple[type[Exception], ...] = (psycopg.Error,)
    private = False

    def __init__(self, url: str, durability: Durability, timeout_s: float) -> None:
        self._url = url
        self._durability = durability
        self._timeout_s = timeout_s
        self.place = _shown(url)

    def connect_writer(self) -> PostgresConnection:
        opened = self._connect()
        try:
            opened.begin_write()
            if not opened.execute("SELECT to_regnamespace(?)", (SCHEMA,)).fetchall()[0][0]:
                opened.execute(f"CREATE SCHEMA {SCHEMA}")
            migrate(BoundTx(opened, "postgres", tenant=""))
            opened.commit()
        except psycopg.Error as error:
            opened.close()
            raise self.explain(error) from error
        except BaseException:  # the connection must not stay open, whatever a migration raised
            opened.close()
            raise
        return opened

    def connect_reader(self) -> PostgresConnection:
        return self._connect()

    def explain(self, error: Exception) -> StoreError:
        text = " ".join(str(error).split())
        cause = next((cause for kind, cause in _CAUSES if isinstance(error, kind)), None)
        if cause is None:
            return StoreError(f"the memory store at {self.place} refused an operation: {text}")
        return StoreUnavailable(
            f"the memory store at {self.place} cannot be used: {cause} ({text})"
        )

    def undone(self, error: Exception) -> bool:
        # The server rolls back a transaction that it refuses; only a lost connection leaves doubt.
        return isinstance(
            error, pg.DiskFull | pg.SerializationFailure | pg.DeadlockDetected | pg.QueryCanceled
        )

    def _connect(self) -> PostgresConnection:
        try:
            connection = psycopg.connect(
                self._url,
                autocommit=True,
                connect_timeout=_CONNECT_TIMEOUT_S,
                application_name="genesis-memori",
                client_encoding="UTF8",
            )
        except psycopg.Error as error:
            raise self.explain(error) from error
        try:
            self._configure(connection)
        except psycopg.Error as error:
            connection.close()
            raise self.explain(error) from error
        return PostgresConnection(connection)

    def _configure(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        timeout_ms = max(1, round(self._timeout_s * 1000))
        for name, value in (("search_path", SCHEMA), ("lock_timeout", str(timeout_ms))):
            connection.execute("SELECT set_config(%s, %s, false)", (name, value))
        if self._durability == "normal":
            connection.execute("SET synchronous_commit TO off")
        else:  # unless the server asks for even more, as with a standby
            connection.execute(
                "SELECT set_config('synchronous_commit', 'on', false)"
                " WHERE current_setting('synchronous_commit') = 'off'"
            )


@lru_cache(maxsize=1024)
def _translated(sql: str) -> LiteralString:
    """The statement with psycopg's marks for its parameters; it holds no text of a user's."""
    return cast("LiteralString", sql.replace("%", "%%").replace("?", "%s"))


def _shown(url: str) -> str:
    """The address without its password and options.

    Raises:
        StoreError: it cannot be read, or only with parts of the password in other places; its
            cause is left out, because that has the address.
    """
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise StoreError(_UNREADABLE) from None
    ports = str(parts.get("port") or "").replace(",", "")
    if (ports and not ports.isdecimal()) or any(
        "@" in str(parts.get(part) or "") for part in ("host", "dbname")
    ):
        raise StoreError(_UNREADABLE)
    user = f"{parts['user']}@" if parts.get("user") else ""
    port = f":{parts['port']}" if parts.get("port") else ""
    return f"postgresql://{user}{parts.get('host') or ''}{port}/{parts.get('dbname') or ''}"
