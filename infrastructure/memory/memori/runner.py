"""Runs a store's operations: one transaction a call, with what it needs of the search index."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langgraph.store.base import TTLConfig

from infrastructure.memory.memori import items
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.index_service import IndexService
from infrastructure.memory.memori.items import Draft
from infrastructure.memory.memori.operations import Batch, Operation
from infrastructure.memory.memori.search import Search, Searcher
from infrastructure.memory.memori.search_index import Behind
from infrastructure.memory.memori.segments import DamagedIndex


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs operations on one tenant's handle.

    Fields:
        shows_cosine: whether searches show the cosines of vectors as scores.
        ttl: LangGraph's TTL config.
        undo_us: how long deleted items are kept, in microseconds.
    """

    memori: Memori
    index: IndexService
    shows_cosine: bool
    ttl: TTLConfig | None
    undo_us: int

    def put(self, draft: Draft) -> None:
        """Store one item, whatever is there."""
        self.memori.commit_sync(items.plain_put(draft, self._now()))
        self.index.added(draft.paths is not None)

    async def aput(self, draft: Draft) -> None:
        """`put` for the event loop."""
        await self.memori.commit(items.plain_put(draft, self._now()))
        if draft.paths is not None:
            await self.index.aadded(1)

    def write(self, draft: Draft) -> int:
        """Store one item under its conditions; returns its version."""
        (version,) = self.memori.commit_sync(lambda tx: items.put(tx, draft, self._now()))
        self.index.added(draft.paths is not None)
        return int(version)

    async def awrite(self, draft: Draft) -> int:
        """`write` for the event loop."""
        (version,) = await self.memori.commit(lambda tx: items.put(tx, draft, self._now()))
        await self.index.aadded(draft.paths is not None)
        return int(version)

    def run(self, operations: Sequence[Operation]) -> list[Any]:
        """What the operations find, in their order; the search index is made anew if damaged."""
        batch = self._batch(
            operations, self.index.searcher(_queries(operations), self.shows_cosine)
        )
        while True:
            try:
                return self._run(batch)
            except DamagedIndex as error:
                self.index.rebuild(error)
            except Behind as behind:
                self.index.catch_up(behind.until)

    async def arun(self, operations: Sequence[Operation]) -> list[Any]:
        """`run` for the event loop."""
        batch = self._batch(
            operations, await self.index.asearcher(_queries(operations), self.shows_cosine)
        )
        while True:
            try:
                return await self._arun(batch)
            except DamagedIndex as error:
                await asyncio.to_thread(self.index.rebuild, error)
            except Behind as behind:
                await asyncio.to_thread(self.index.catch_up, behind.until)

    def _run(self, batch: Batch) -> list[Any]:
        if not batch.writes or batch.searches:
            # A search takes over what it sees, so it must not see what is not stored yet.
            outcome = self.memori.read_sync(lambda tx: batch.read(tx, self._now()))
            if batch.writes or outcome.refreshed:
                self.memori.commit_sync(lambda tx: batch.write(tx, outcome, self._now()))
        else:
            (outcome,) = self.memori.commit_sync(lambda tx: batch.run(tx, self._now()))
        self.index.added(batch.indexed)
        return outcome.found

    async def _arun(self, batch: Batch) -> list[Any]:
        if not batch.writes or batch.searches:
            outcome = await self.memori.read(lambda tx: batch.read(tx, self._now()))
            if batch.writes or outcome.refreshed:
                await self.memori.commit(lambda tx: batch.write(tx, outcome, self._now()))
        else:
            (outcome,) = await self.memori.commit(lambda tx: batch.run(tx, self._now()))
        await self.index.aadded(batch.indexed)
        return outcome.found

    def _batch(self, operations: Sequence[Operation], searcher: Searcher) -> Batch:
        omit_expired = bool((self.ttl or {}).get("omit_expired", False))
        return Batch(operations, searcher, omit_expired, self.undo_us)

    def _now(self) -> int:
        return round(self.memori.clock.now() * 1_000_000)


def _queries(operations: Sequence[Operation]) -> list[str]:
    found = [op.query for op in operations if isinstance(op, Search) and op.query is not None]
    return list(dict.fromkeys(found))
