"""What the store needs of a database: transactions for reads and writes, and what errors mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

from infrastructure.errors import InputError, StoreError

Dialect: TypeAlias = Literal["sqlite", "postgres"]
Durability: TypeAlias = Literal["full", "normal"]
SqlValue: TypeAlias = str | bytes | int | float | None
Row: TypeAlias = tuple[Any, ...]
T = TypeVar("T")


class Rows(Protocol):
    """The result of one statement."""

    @property
    def rowcount(self) -> int:
        """Rows that an INSERT, UPDATE or DELETE touched."""
        ...

    def fetchone(self) -> Row | None: ...

    def fetchall(self) -> list[Row]: ...

    def __iter__(self) -> Iterator[Row]: ...


class Tx(Protocol):
    """One open transaction, bound to the tenant whose rows it may touch."""

    @property
    def tenant(self) -> str: ...

    @property
    def dialect(self) -> Dialect:
        """For the few statements that the databases spell differently."""
        ...

    def execute(self, sql: str, params: Sequence[SqlValue] = ()) -> Rows:
        """Run one statement; values go into `params`, one for each `?`, never into `sql`.

        Raises:
            InputError: a text that not every database can hold.
        """
        ...


Write: TypeAlias = Callable[[Tx], T]
"""A plain function of a transaction. It may run twice, so it has no effect but through its Tx."""


class Insertion(NamedTuple):
    """A write that most often inserts one row and no more: many of them are one statement.

    Fields:
        statement: the insertion, the tenant its first parameter; the same text for all of a kind.
            It leaves out a row that is there already.
        values: its other parameters.
        otherwise: the write, where its row is there already.
    """

    statement: str
    values: tuple[SqlValue, ...]
    otherwise: Write[Any]

    def __call__(self, tx: Tx) -> Any:
        return self.otherwise(tx)


class Connection(Protocol):
    """One connection, used by one thread at a time."""

    @property
    def in_transaction(self) -> bool: ...

    @property
    def lost(self) -> bool:
        """Whether it can never be used again."""
        ...

    def begin_write(self) -> None:
        """Begin a transaction that no other writer of the database, in any process, overlaps."""
        ...

    def begin_read(self) -> None:
        """Begin a transaction that sees one snapshot and can change nothing."""
        ...

    def end_read(self) -> None: ...

    def execute(self, sql: str, params: Sequence[SqlValue] = (), /) -> Rows: ...

    def insert_all(self, sql: str, rows: Sequence[Sequence[SqlValue]]) -> int:
        """Run an insertion for each row; returns how many were inserted."""
        ...

    def commit(self) -> None: ...

    def rollback(self) -> None: ...

    def close(self) -> None: ...


class Database(Protocol):
    """A place that holds a store.

    Fields:
        place: its path or address, as messages show it; never with a password.
        errors: what its driver raises.
        private: whether it lives in the one connection that made it, as in memory.
    """

    @property
    def dialect(self) -> Dialect: ...

    @property
    def place(self) -> str: ...

    @property
    def errors(self) -> tuple[type[Exception], ...]: ...

    @property
    def private(self) -> bool: ...

    def connect_writer(self) -> Connection:
        """Open the one connection that writes, and bring the schema up to date.

        Raises:
            StoreUnavailable: the place cannot be used; the message says why and what to do.
            SchemaTooNew: a newer version wrote it; nothing was changed.
        """
        ...

    def connect_reader(self) -> Connection: ...

    def explain(self, error: Exception) -> StoreError:
        """The store's error for one of the driver's: what failed, where, and what to do."""
        ...

    def undone(self, error: Exception) -> bool:
        """Whether a failed commit left everything as it was, so that repeating it is safe."""
        ...


class BoundTx:
    """A connection's open transaction as one tenant sees it."""

    __slots__ = ("_connection", "dialect", "tenant")

    def __init__(self, connection: Connection, dialect: Dialect, tenant: str) -> None:
        self._connection = connection
        self.dialect: Dialect = dialect
        self.tenant = tenant

    def execute(self, sql: str, params: Sequence[SqlValue] = ()) -> Rows:
        for value in params:
            if isinstance(value, str) and "\x00" in value:
                raise InputError(f"{value!r:.80} has a NUL character, which cannot be stored")
        try:
            return self._connection.execute(sql, params)
        except UnicodeEncodeError as error:
            raise InputError(
                f"{error.object!r:.80} is not valid Unicode ({error.reason})"
            ) from error


def call(function: Callable[[Tx], T], tx: Tx) -> T:
    """Call a read or a write; StopIteration, which no future can carry, becomes a RuntimeError."""
    try:
        return function(tx)
    except StopIteration as error:
        raise RuntimeError(f"{function} raised StopIteration") from error
