"""Runs a store's operations: one transaction a call, with what it needs of the search index."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from langgraph.store.base import TTLConfig

from infrastructure.memory.memori import items
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.index_service import IndexService
from infrastructure.memory.memori.items import Draft
from infrastructure.memory.memori.operations import Batch, Operation, Outcome
from infrastructure.memory.memori.search import Search, Searcher
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
        try:
            return self._run_once(operations)
        except DamagedIndex as error:
            self.index.rebuild(error)
            return self._run_once(operations)

    async def arun(self, operations: Sequence[Operation]) -> list[Any]:
        """`run` for the event loop."""
        try:
            return await self._arun_once(operations)
        except DamagedIndex as error:
            await asyncio.to_thread(self.index.rebuild, error)
            return await self._arun_once(operations)

    def _run_once(self, operations: Sequence[Operation]) -> list[Any]:
        searcher = self.index.searcher(_queries(operations), self.shows_cosine)
        batch = self._batch(operations, searcher)
        if batch.writes:
            with self._rolled_back(operations):
                (outcome,) = self.memori.commit_sync(lambda tx: batch.run(tx, self._now()))
            self.index.added(batch.indexed)
        else:
            outcome = self.memori.read_sync(lambda tx: batch.read(tx, self._now()))
            if outcome.refreshed:
                self.memori.commit_sync(lambda tx: self._refresh(outcome, tx))
        return outcome.found

    async def _arun_once(self, operations: Sequence[Operation]) -> list[Any]:
        searcher = await self.index.asearcher(_queries(operations), self.shows_cosine)
        batch = self._batch(operations, searcher)
        if batch.writes:
            with self._rolled_back(operations):
                (outcome,) = await self.memori.commit(lambda tx: batch.run(tx, self._now()))
            await self.index.aadded(batch.indexed)
        else:
            outcome = await self.memori.read(lambda tx: batch.read(tx, self._now()))
            if outcome.refreshed:
                await self.memori.commit(lambda tx: self._refresh(outcome, tx))
        return outcome.found

    def _batch(self, operations: Sequence[Operation], searcher: Searcher) -> Batch:
        omit_expired = bool((self.ttl or {}).get("omit_expired", False))
        return Batch(operations, searcher, omit_expired, self.undo_us)

    def _refresh(self, outcome: Outcome, tx: Any) -> None:
        items.refresh(tx, outcome.refreshed, self._now())

    @contextmanager
    def _rolled_back(self, operations: Sequence[Operation]) -> Generator[None]:
        """Around a commit: a search in it saw writes that may not be stored in the end."""
        try:
            yield
        except BaseException:
            if _queries(operations):
                self.index.distrust()
            raise

    def _now(self) -> int:
        return round(self.memori.clock.now() * 1_000_000)


def _queries(operations: Sequence[Operation]) -> list[str]:
    found = [op.query for op in operations if isinstance(op, Search) and op.query is not None]
    return list(dict.fromkeys(found))
