"""SQLite connections: how they are opened and checked, and what their errors mean to a user."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal, TypeAlias, TypeVar

from infrastructure.errors import StoreError, StoreUnavailable
from infrastructure.memory.memori.dialect import Rows, SqlValue, Tx
from infrastructure.memory.memori.functions import register
from infrastructure.memory.memori.schema import applied, migrate, refuse_newer

Durability: TypeAlias = Literal["full", "normal"]

T = TypeVar("T")

MEMORY: Final = ":memory:"
VERSION: Final = sqlite3.sqlite_version_info
# Older ones can damage a write-ahead log that several connections write and check point at once.
SAFE_WITH_SEVERAL_PROCESSES: Final = (3, 51, 3)
_HEADER: Final = b"SQLite format 3\x00"
_CACHE_KIB: Final = 16 * 1024
_BUSY_PAUSE_S: Final = 0.005
# The write-ahead log is cut back to this after a checkpoint.
_LOG_BYTES: Final = 64 * 1024 * 1024
# A full check reads every page; above this size damage is met where it lies instead.
_CHECKED_BYTES: Final = 4 * 1024 * 1024

_CAUSES: Final[dict[int, str]] = {
    sqlite3.SQLITE_FULL: "the disk is full; free some space and try again",
    sqlite3.SQLITE_READONLY: "it is read-only; allow writing to the file and to its folder",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check that the path is a file and its "
    "folder can be written by this user",
    sqlite3.SQLITE_PERM: "this user may not open it; check its permissions",
    sqlite3.SQLITE_CORRUPT: "the file is damaged; it was left as it is: restore a backup, or "
    "recover it with `sqlite3 FILE .recover`",
    sqlite3.SQLITE_NOTADB: "the file is not a memory store (or is damaged); it was left as it is: "
    "choose another path, or restore a backup",
    sqlite3.SQLITE_BUSY: "another process has held the database locked for too long; end it, or "
    "try again",
    sqlite3.SQLITE_LOCKED: "a table is locked by another connection; try again",
    sqlite3.SQLITE_IOERR: "reading or writing the disk failed, so it is unknown whether the last "
    "write was stored; check the disk, then repeat the write under the same id",
    sqlite3.SQLITE_PROTOCOL: "the file's locks do not work; is it on a network drive?",
}


class SqliteTx:
    """One open transaction on a connection."""

    __slots__ = ("_connection", "tenant")

    def __init__(self, connection: sqlite3.Connection, tenant: str) -> None:
        self._connection = connection
        self.tenant = tenant

    def execute(self, sql: str, params: Sequence[SqlValue] = ()) -> Rows:
        return self._connection.execute(sql, params)


def call(function: Callable[[Tx], T], tx: Tx) -> T:
    """Call a read or a write; StopIteration, which no future can carry, becomes a RuntimeError."""
    try:
        return function(tx)
    except StopIteration as error:
        raise RuntimeError(f"{function} raised StopIteration") from error


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 where Python raised by itself."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def explain(error: sqlite3.Error, path: str) -> StoreError:
    """The store's error for one of SQLite's: what failed, where, and what to do."""
    cause = _CAUSES.get(primary_code(error))
    if cause is None:
        return StoreError(f"the memory store at {path} refused an operation: {error}")
    return StoreUnavailable(f"the memory store at {path} cannot be used: {cause} ({error})")


def wait_while_busy(action: Callable[[], T], timeout_s: float) -> T:
    """Repeat an action while SQLite says BUSY; some kinds of it come at once, without waiting."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return action()
        except sqlite3.OperationalError as error:
            if primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
            time.sleep(_BUSY_PAUSE_S)


def connect_writer(path: str, durability: Durability, timeout_s: float) -> sqlite3.Connection:
    """Open the one connection that writes, and bring the schema up to date.

    Raises:
        StoreUnavailable: the path cannot be used; the message says why and what to do.
        SchemaTooNew: a newer version wrote the file; nothing was changed.
    """
    try:
        if path != MEMORY:
            _prepare(path, timeout_s)
        connection = sqlite3.connect(
            path, timeout=timeout_s, isolation_level=None, check_same_thread=False
        )
    except sqlite3.Error as error:
        raise explain(error, path) from error
    try:
        wait_while_busy(lambda: _configure(connection, path, durability), timeout_s)
        wait_while_busy(lambda: connection.execute("BEGIN IMMEDIATE"), timeout_s)
        migrate(SqliteTx(connection, tenant=""))
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        connection.close()
        raise explain(error, path) from error
    except BaseException:  # the file must not stay open, whatever a migration raised
        connection.close()
        raise
    return connection


def connect_reader(path: str, timeout_s: float) -> sqlite3.Connection:
    """Open a connection that can only read; it never checkpoints."""
    try:
        connection = sqlite3.connect(
            Path(path).absolute().as_uri() + "?mode=ro",
            uri=True,
            timeout=timeout_s,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA mmap_size = 0")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    except sqlite3.Error as error:
        raise explain(error, path) from error
    register(connection)
    return connection


def _prepare(path: str, timeout_s: float) -> None:
    """Make the parent folder, and refuse a file that is not ours before anything touches it."""
    file = Path(path)
    try:
        if "\x00" in path:
            raise ValueError("it contains a NUL character")
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.is_dir():
            raise StoreUnavailable(f"the memory store's path {path} is a folder; name a file in it")
        if not file.exists() or file.stat().st_size == 0:
            return
        with file.open("rb") as opened:
            header = opened.read(len(_HEADER))
    except (OSError, ValueError) as error:
        raise StoreUnavailable(
            f"the memory store at {path!r} cannot be opened: {error}; check the path and that this "
            "user may write there"
        ) from error
    if header != _HEADER:
        raise StoreUnavailable(
            f"{path} is not a memory store, or is damaged, and was left as it is; choose another "
            "path, or restore a backup"
        )
    _inspect(path, timeout_s)


def _inspect(path: str, timeout_s: float) -> None:
    """Look at an existing file through a connection that cannot change it."""
    connection = connect_reader(path, timeout_s)
    try:
        if Path(path).stat().st_size <= _CHECKED_BYTES:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise StoreUnavailable(
                    f"the memory store at {path} is damaged ({verdict}) and was left as it is; "
                    "restore a backup, or recover it with `sqlite3 FILE .recover`"
                )
        names = applied(SqliteTx(connection, tenant=""))
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    finally:
        connection.close()
    if tables and not names:
        raise StoreUnavailable(
            f"{path} is a database of another program and was left as it is; choose another path"
        )
    refuse_newer(names)


def _configure(connection: sqlite3.Connection, path: str, durability: Durability) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA mmap_size = 0")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
    register(connection)
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if path != MEMORY and mode != "wal":
        raise StoreUnavailable(
            f"the memory store at {path} cannot keep a write-ahead log there; choose a path on a "
            "local disk"
        )
    connection.execute("PRAGMA synchronous = " + ("FULL" if durability == "full" else "NORMAL"))
