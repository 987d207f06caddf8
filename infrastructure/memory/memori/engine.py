"""Memori: one database with one writer and readers beside it, seen by one tenant."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar, cast

from infrastructure.clock import Clock, SystemClock
from infrastructure.errors import InputError, StoreError
from infrastructure.memory.memori.dialect import Connection, Database, Durability, Tx, Write
from infrastructure.memory.memori.readers import Readers
from infrastructure.memory.memori.sqlite import MEMORY, SqliteDatabase
from infrastructure.memory.memori.values import check_text
from infrastructure.memory.memori.writer import Writer

T = TypeVar("T")

BUSY_TIMEOUT_S: Final = 30.0
_SQLITE: Final = "sqlite:///"
_MAX_TENANT_BYTES: Final = 200
_MAX_TIMEOUT_S: Final = 86_400.0


class Closable(Protocol):
    """What ends with the store."""

    def close(self) -> None: ...


C = TypeVar("C", bound=Closable)


class Companions:
    """What was made for the handles of a store, by key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[Hashable, Closable] = {}

    def get(self, key: Hashable, make: Callable[[], Closable]) -> Closable:
        """What was made for a key, made now if it was not."""
        with self._lock:
            if key not in self._made:
                self._made[key] = make()
            return self._made[key]

    def close(self) -> None:
        """Close all of it."""
        with self._lock:
            made, self._made = list(self._made.values()), {}
        for companion in made:
            companion.close()


@dataclass(frozen=True, slots=True)
class MemoriStatistics:
    """What a store has done since it was opened.

    Fields:
        commits: callers whose writes were stored.
        batches: durable commits that carried them; fewer than `commits` under load.
        queued: callers that wait for the next batch.
        reads: read transactions begun.
    """

    commits: int
    batches: int
    queued: int
    reads: int


@dataclass(frozen=True, slots=True)
class _Core:
    """What the handles of all tenants share."""

    database: Database
    writer: Writer
    readers: Readers
    companions: Companions


class Memori:
    """A handle on the store, bound to one tenant.

    Usable from any thread and from several event loops. Nothing is opened before the first use.
    """

    def __init__(self, core: _Core, tenant: str, clock: Clock) -> None:
        self.tenant = tenant
        self.clock = clock
        self._core = core

    @classmethod
    def open(
        cls,
        place: str | Path,
        *,
        tenant: str = "default",
        durability: Durability = "full",
        busy_timeout_s: float = BUSY_TIMEOUT_S,
        clock: Clock | None = None,
    ) -> Memori:
        """A store on an SQLite file, in memory for `:memory:`, or on PostgreSQL for its URL.

        Args:
            place: a path or `sqlite:///path` (it and its folder are made when missing), or
                `postgresql://...`; there the store keeps to a schema of its own, `genesis`.
            tenant: whose rows the handle sees.
            durability: `full` survives a power cut (on PostgreSQL as far as the server is set to
                flush); `normal` may lose the last commits in one, though never the store's
                integrity.
            busy_timeout_s: seconds to wait for another process that writes.
            clock: the time written into records.

        Raises:
            StoreError: another kind of URL, or the `postgres` extra is not installed.
            InputError: an argument that cannot be.
        """
        _check(durability, busy_timeout_s)
        database = _database(str(place), durability, busy_timeout_s)
        writer = Writer(database)
        readers = Readers(database, writer)
        core = _Core(database, writer, readers, Companions())
        return cls(core, _checked(tenant), clock or SystemClock())

    @property
    def place(self) -> str:
        """The path or the address of the store, without a password."""
        return self._core.database.place

    @property
    def private(self) -> bool:
        """Whether the store lives in this process's memory and ends with it."""
        return self._core.database.private

    def shares_store_with(self, other: Memori) -> bool:
        """Whether both are handles of one opened store, be it for different tenants."""
        return self._core is other._core

    @property
    def statistics(self) -> MemoriStatistics:
        """Counters of the whole store, over all tenants' handles."""
        writer = self._core.writer
        return MemoriStatistics(
            writer.commits, writer.batches, writer.queued, self._core.readers.reads
        )

    def for_tenant(self, tenant: str) -> Memori:
        """The same store for another tenant; closing either closes both."""
        return Memori(self._core, _checked(tenant), self.clock)

    async def read(self, query: Callable[[Tx], T]) -> T:
        """Run a query on a snapshot that has every commit acknowledged before; off the loop.

        Raises:
            StoreUnavailable: the store is locked, damaged or out of reach.
            SchemaTooNew: a newer Genesis wrote it.
            Exception: whatever the query raised.
        """
        return await asyncio.wrap_future(self._submit_read(query))

    def read_sync(self, query: Callable[[Tx], T]) -> T:
        """`read` for callers without an event loop."""
        return self._submit_read(query).result()

    async def commit(self, *writes: Write[Any]) -> list[Any]:
        """Run the writes in order in one transaction, durable when this returns.

        Cancelling the caller never harms others; its own writes are then stored wholly or not at
        all.

        Returns:
            The writes' results, in order.

        Raises:
            StoreUnavailable: the store is locked, full, read-only, damaged or out of reach. Nothing
                was stored, unless the message says that this is unknown.
            SchemaTooNew: a newer Genesis wrote it.
            Exception: whatever a write raised; nothing of this call was stored.
        """
        return await self._core.writer.submit_from_loop(self.tenant, writes)

    def commit_sync(self, *writes: Write[Any]) -> list[Any]:
        """`commit` for callers without an event loop."""
        return self._core.writer.submit(self.tenant, writes).result()

    async def vacuum(self) -> int:
        """Give back the space that deletions left in an SQLite file; returns bytes.

        The file is written anew: every tenant's writes wait meanwhile, and as much space as it
        takes is needed beside it. PostgreSQL does this by itself; there nothing is done.

        Raises:
            StoreUnavailable: the disk is full, or another process uses the store.
        """
        if self._core.database.dialect != "sqlite":
            return 0
        try:
            return await asyncio.wrap_future(self._core.writer.run(_vacuum))
        except self._core.database.errors as error:
            raise self._core.database.explain(error) from error

    def companion(self, key: Hashable, make: Callable[[], C]) -> C:
        """What lives as long as the store, for all its tenants: made once for each key.

        It is closed before the store is.
        """
        return cast("C", self._core.companions.get(key, make))

    def close(self) -> None:
        """Store what was accepted and close the store, for every tenant's handle.

        In a forked child it does nothing: threads, locks and connections are the parent's.
        """
        if self._core.writer.inherited:
            return
        self._core.companions.close()
        self._core.readers.close()
        self._core.writer.close()

    async def aclose(self) -> None:
        """`close`, off the event loop."""
        await asyncio.to_thread(self.close)

    def _submit_read(self, query: Callable[[Tx], T]) -> Future[T]:
        return cast("Future[T]", self._core.readers.submit(self.tenant, query))


def _vacuum(connection: Connection) -> int:
    before = _file_bytes(connection)
    connection.execute("VACUUM")
    # Until the log is written back the file is as long as before.
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return before - _file_bytes(connection)


def _file_bytes(connection: Connection) -> int:
    ((pages,),) = connection.execute("PRAGMA page_count").fetchall()
    ((size,),) = connection.execute("PRAGMA page_size").fetchall()
    return int(pages) * int(size)


def shown_place(place: str) -> str:
    """What `Memori.place` will be for a place, without opening it: an absolute path, or an address.

    Raises:
        StoreError: as `Memori.open`.
    """
    return _database(absolute_place(place), "full", BUSY_TIMEOUT_S).place


def absolute_place(place: str) -> str:
    """The place with a path made absolute, so that a change of the working folder moves nothing."""
    path = place.removeprefix(_SQLITE)
    return place if path == MEMORY or "://" in path else str(Path(path).absolute())


def _database(place: str, durability: Durability, timeout_s: float) -> Database:
    place = place.removeprefix(_SQLITE)
    if "://" not in place:
        return SqliteDatabase(place, durability, timeout_s)
    scheme = place.partition("://")[0]
    if scheme not in ("postgresql", "postgres"):
        raise StoreError(
            f"a store cannot be opened on {scheme}://; give the path of a file, :memory:, or "
            "postgresql://user@host/database"
        )
    try:
        # Only here: the driver is an extra.
        from infrastructure.memory.memori.postgres import PostgresDatabase
    except ImportError as error:
        raise StoreError(
            "PostgreSQL needs its driver: pip install 'genesis-orchestrator[postgres]'"
        ) from error
    return PostgresDatabase(place, durability, timeout_s)


def _check(durability: object, busy_timeout_s: object) -> None:
    if durability not in ("full", "normal"):
        raise InputError(f"durability must be 'full' or 'normal', not {durability!r:.40}")
    if (
        isinstance(busy_timeout_s, bool)
        or not isinstance(busy_timeout_s, int | float)
        or not 0 <= busy_timeout_s <= _MAX_TIMEOUT_S
    ):
        raise InputError(f"busy_timeout_s must be seconds, not {busy_timeout_s!r:.40}")


def _checked(tenant: str) -> str:
    check_text(tenant, "tenant")
    if not tenant or len(tenant.encode()) > _MAX_TENANT_BYTES or "\x00" in tenant:
        raise StoreError(
            f"a tenant's name must have 1 to {_MAX_TENANT_BYTES} bytes, and no NUL among them"
        )
    return tenant
