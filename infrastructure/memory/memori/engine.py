"""Memori: one database with one writer and readers beside it, seen by one tenant."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from infrastructure.clock import Clock, SystemClock
from infrastructure.errors import StoreError
from infrastructure.memory.memori.dialect import Tx, Write
from infrastructure.memory.memori.readers import Readers
from infrastructure.memory.memori.sqlite import Durability, connect_writer
from infrastructure.memory.memori.writer import Writer

T = TypeVar("T")

BUSY_TIMEOUT_S: Final = 30.0


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


class Memori:
    """A handle on the store, bound to one tenant.

    Usable from any thread and from several event loops. Nothing is opened before the first use.
    """

    def __init__(
        self, path: str, tenant: str, clock: Clock, writer: Writer, readers: Readers
    ) -> None:
        self.path = path
        self.tenant = tenant
        self.clock = clock
        self._writer = writer
        self._readers = readers

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        tenant: str = "default",
        durability: Durability = "full",
        busy_timeout_s: float = BUSY_TIMEOUT_S,
        clock: Clock | None = None,
    ) -> Memori:
        """A store on an SQLite file, or in memory for `:memory:`.

        Args:
            path: the file; it and its folder are made when missing.
            tenant: whose rows the handle sees.
            durability: `full` survives a power cut; `normal` may lose the last commits in one,
                though never the file's integrity.
            busy_timeout_s: how long to wait for another process that writes.
            clock: the time written into records.
        """
        place = str(path)
        writer = Writer(
            place, lambda: connect_writer(place, durability, busy_timeout_s), busy_timeout_s
        )
        readers = Readers(place, writer, busy_timeout_s)
        return cls(place, _checked(tenant), clock or SystemClock(), writer, readers)

    @property
    def statistics(self) -> MemoriStatistics:
        """Counters of the whole store, over all tenants' handles."""
        writer = self._writer
        return MemoriStatistics(writer.commits, writer.batches, writer.queued, self._readers.reads)

    def for_tenant(self, tenant: str) -> Memori:
        """The same store for another tenant; closing either closes both."""
        return Memori(self.path, _checked(tenant), self.clock, self._writer, self._readers)

    async def read(self, query: Callable[[Tx], T]) -> T:
        """Run a query on a snapshot that has every commit acknowledged before; off the loop."""
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
            StoreUnavailable: the file is locked, full, read-only or damaged.
            Exception: whatever a write raised; nothing of this call was stored.
        """
        return await asyncio.wrap_future(self._writer.submit(self.tenant, writes))

    def commit_sync(self, *writes: Write[Any]) -> list[Any]:
        """`commit` for callers without an event loop."""
        return self._writer.submit(self.tenant, writes).result()

    def close(self) -> None:
        """Store what was accepted and close the file, for every tenant's handle."""
        self._readers.close()
        self._writer.close()

    async def aclose(self) -> None:
        """`close`, off the event loop."""
        await asyncio.to_thread(self.close)

    def _submit_read(self, query: Callable[[Tx], T]) -> Future[T]:
        return cast("Future[T]", self._readers.submit(self.tenant, query))


def _checked(tenant: str) -> str:
    if not tenant or "\x00" in tenant:
        raise StoreError("a tenant's name must not be empty or contain NUL")
    return tenant
