"""SQLite connections: how they are opened and checked, and what their errors mean to a user."""

from __future__ import annotations

import logging
import re
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

from infrastructure.errors import StoreError, StoreUnavailable
from infrastructure.memory.memori.dialect import BoundTx, Dialect, Durability, SqlValue
from infrastructure.memory.memori.functions import register
from infrastructure.memory.memori.schema import applied, migrate, refuse_newer
from infrastructure.memory.memori.sqlite_file import Identity, identity, prepare

_log = logging.getLogger(__name__)

T = TypeVar("T")

MEMORY: Final = ":memory:"
VERSION: Final = sqlite3.sqlite_version_info
# Older ones can damage a write-ahead log that several connections write and check point at once.
SAFE_WITH_SEVERAL_PROCESSES: Final = (3, 51, 3)
_CACHE_KIB: Final = 16 * 1024
_BUSY_PAUSE_S: Final = 0.005
# The write-ahead log is cut back to this after a checkpoint.
_LOG_BYTES: Final = 64 * 1024 * 1024
# A full check reads every page; above this size damage is met where it lies instead.
_CHECKED_BYTES: Final = 4 * 1024 * 1024

_DAMAGED: Final = (
    "the file is damaged; it was left as it is: restore a backup, or recover it with "
    "`sqlite3 FILE .recover`"
)
# What the driver raises; it also decodes SQLite's messages, which quote a damaged schema.
_OPENING: Final = (sqlite3.Error, UnicodeDecodeError)
_NOT_UTF8: Final = re.compile(r"Could not decode to UTF-8 column '(\w*)'")
# How SQLite's JSON functions and ours meet a stored text that `values.encode` did not write.
_NOT_JSON: Final = ("malformed JSON", "user-defined function raised exception")

_CAUSES: Final[dict[int, str]] = {
    sqlite3.SQLITE_FULL: "the disk is full; free some space and try again",
    sqlite3.SQLITE_READONLY: "it is read-only; allow writing to the file and to its folder",
    sqlite3.SQLITE_READONLY_DBMOVED: "its file, or its write-ahead log beside it, was removed or "
    "replaced while it was open; put them back, or close the store and open it again",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check that the path is a file and its "
    "folder can be written by this user",
    sqlite3.SQLITE_PERM: "this user may not open it; check its permissions",
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: "the file is not a memory store (or is damaged); it was left as it is: "
    "choose another path, or restore a backup",
    sqlite3.SQLITE_BUSY: "another process has held the database locked for too long; end it, or "
    "try again",
    sqlite3.SQLITE_LOCKED: "a table is locked by another connection; try again",
    sqlite3.SQLITE_IOERR: "reading or writing the disk failed, so it is unknown whether the last "
    "write was stored; check the disk, then repeat the write under the same id",
    sqlite3.SQLITE_PROTOCOL: "the file's locks do not work; is it on a network drive?",
}


class SqliteConnection:
    """One SQLite connection; transactions are begun and ended by the store alone.

    Args:
        writes: whether it can write; what cannot needs no guard while it reads.
    """

    def __init__(
        self, connection: sqlite3.Connection, place: str, timeout_s: float, *, writes: bool
    ) -> None:
        self._connection = connection
        self._writes = writes
        self._place = place
        self._timeout_s = timeout_s
        self._data_version = 0
        self._lost = False
        self._files: tuple[str, ...] = ()
        self._identity: Identity | None = None
        self.execute = connection.execute

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    @property
    def lost(self) -> bool:
        return self._lost

    def watch(self, *files: str) -> None:
        """Refuse to begin once these are no longer the files that are open."""
        self._files, self._identity = files, identity(*files)

    def begin_write(self) -> None:
        self._refuse_moved()
        _wait_while_busy(lambda: self._connection.execute("BEGIN IMMEDIATE"), self._timeout_s)
        if VERSION < SAFE_WITH_SEVERAL_PROCESSES:
            self._warn_of_other_processes()

    def begin_read(self) -> None:
        self._refuse_moved()
        if self._writes:
            self._connection.execute("PRAGMA query_only = ON")
        self._connection.execute("BEGIN")

    def end_read(self) -> None:
        if sys.exc_info()[0] is not None and self._place != MEMORY:
            # Its cursor may live on in a traceback, and hold later reads to this snapshot.
            self._lost = True
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        if self._writes:
            self._connection.execute("PRAGMA query_only = OFF")

    def insert_all(self, sql: str, rows: Sequence[Sequence[SqlValue]]) -> int:
        return self._connection.executemany(sql, rows).rowcount

    def commit(self) -> None:
        self._connection.execute("COMMIT")

    def rollback(self) -> None:
        self._connection.execute("ROLLBACK")

    def close(self) -> None:
        self._connection.close()

    def _refuse_moved(self) -> None:
        # SQLite would go on with files that nobody can open any more, and that end with it.
        if self._files and identity(*self._files) != self._identity:
            error = sqlite3.OperationalError("the files that are open are not those at the path")
            error.sqlite_errorcode = sqlite3.SQLITE_READONLY_DBMOVED
            raise error

    def _warn_of_other_processes(self) -> None:
        # The number changes when another connection wrote; in this process only this one does.
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        if self._data_version not in (0, -1, version):
            self._data_version = -1
            _log.warning(
                "another process writes to the memory store at %s too, and SQLite %s can damage a "
                "file that several processes write; use SQLite 3.51.3 or newer, or PostgreSQL",
                self._place,
                sqlite3.sqlite_version,
            )
        elif self._data_version != -1:
            self._data_version = version


class SqliteDatabase:
    """A store in a file, or in memory for `:memory:`."""

    dialect: Dialect = "sqlite"
    errors: tuple[type[Exception], ...] = (sqlite3.Error,)

    def __init__(self, path: str, durability: Durability, timeout_s: float) -> None:
        self.place = path
        self._durability = durability
        self._timeout_s = timeout_s

    @property
    def private(self) -> bool:
        return self.place == MEMORY

    def connect_writer(self) -> SqliteConnection:
        path, timeout_s = self.place, self._timeout_s
        try:
            if not self.private and prepare(path, timeout_s):
                self._inspect()
            connection = sqlite3.connect(
                path, timeout=timeout_s, isolation_level=None, check_same_thread=False
            )
        except _OPENING as error:
            raise self.explain(error) from error
        try:
            _wait_while_busy(lambda: self._configure(connection), timeout_s)
            opened = SqliteConnection(connection, path, timeout_s, writes=True)
            opened.begin_write()
            migrate(BoundTx(opened, "sqlite", tenant=""))
            opened.commit()
            if not self.private:
                opened.watch(path, f"{path}-wal")
        except _OPENING as error:
            connection.close()
            raise self.explain(error) from error
        except BaseException:  # the file must not stay open, whatever a migration raised
            connection.close()
            raise
        return opened

    def connect_reader(self) -> SqliteConnection:
        """Open a connection that can only read; it never checkpoints."""
        try:
            connection = sqlite3.connect(
                Path(self.place).absolute().as_uri() + "?mode=ro",
                uri=True,
                timeout=self._timeout_s,
                isolation_level=None,
                check_same_thread=False,
            )
        except _OPENING as error:
            raise self.explain(error) from error
        try:
            connection.execute("PRAGMA query_only = ON")
            connection.execute("PRAGMA mmap_size = 0")
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            register(connection)
        except _OPENING as error:
            connection.close()
            raise self.explain(error) from error
        opened = SqliteConnection(connection, self.place, self._timeout_s, writes=False)
        opened.watch(self.place)
        return opened

    def explain(self, error: Exception) -> StoreError:
        code = int(getattr(error, "sqlite_errorcode", 0))  # none where Python raised by itself
        cause = _CAUSES.get(code) or _CAUSES.get(code & 0xFF)
        if isinstance(error, UnicodeDecodeError):
            cause = _DAMAGED
        if cause is None:
            return self._explain_row(error)
        return StoreUnavailable(
            f"the memory store at {self.place} cannot be used: {cause} ({error})"
        )

    def _explain_row(self, error: Exception) -> StoreError:
        told = str(error)
        if undecodable := _NOT_UTF8.match(told):
            error.args = (undecodable[0],)  # the rest is the text, which belongs into no log
            damage = f"a text that is not UTF-8 in column {undecodable[1]!r}"
        elif told in _NOT_JSON:
            damage = "a value that is not JSON any more"
        else:
            return StoreError(f"the memory store at {self.place} refused an operation: {told}")
        return StoreError(
            f"the memory store at {self.place} is damaged: it holds {damage}; restore a backup, or "
            "find the item by its key and put or delete it anew"
        )

    def undone(self, error: Exception) -> bool:
        return _primary_code(error) == sqlite3.SQLITE_FULL

    def _inspect(self) -> None:
        """Look at an existing file through a connection that cannot change it."""
        path, connection = self.place, self.connect_reader()
        try:
            if Path(path).stat().st_size <= _CHECKED_BYTES:
                ((verdict,),) = connection.execute("PRAGMA quick_check(1)").fetchall()
                if verdict != "ok":
                    raise StoreUnavailable(
                        f"the memory store at {path} is damaged ({verdict}) and was left as it is; "
                        "restore a backup, or recover it with `sqlite3 FILE .recover`"
                    )
            names = applied(BoundTx(connection, "sqlite", tenant=""))
            ((tables,),) = connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
        finally:
            connection.close()
        if tables and not names:
            raise StoreUnavailable(
                f"{path} is a database of another program and was left as it is; choose another "
                "path"
            )
        refuse_newer(names)

    def _configure(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA mmap_size = 0")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
        register(connection)
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if not self.private and mode != "wal":
            raise StoreUnavailable(
                f"the memory store at {self.place} cannot keep a write-ahead log there; choose a "
                "path on a local disk"
            )
        # A sync that ends in the drive's own memory is no sync: macOS has another call for it.
        connection.execute("PRAGMA fullfsync = ON")
        connection.execute("PRAGMA checkpoint_fullfsync = ON")
        level = "FULL" if self._durability == "full" else "NORMAL"
        connection.execute(f"PRAGMA synchronous = {level}")


def _primary_code(error: Exception) -> int:
    """SQLite's result code without its details; 0 where Python raised by itself."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _wait_while_busy(action: Callable[[], T], timeout_s: float) -> T:
    """Repeat an action while SQLite says BUSY; some kinds of it come at once, without waiting."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return action()
        except sqlite3.OperationalError as error:
            if _primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
            time.sleep(_BUSY_PAUSE_S)
