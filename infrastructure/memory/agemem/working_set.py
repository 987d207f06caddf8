"""The entries that a memory works with: the most important ones, at most its capacity."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from infrastructure.errors import StoreError
from infrastructure.memory.agemem.analysing import analysed
from infrastructure.memory.agemem.entries import MemoryEntry
from infrastructure.memory.agemem.entry_store import EntryStore
from infrastructure.memory.agemem.index import EntryIndex
from infrastructure.memory.agemem.text_analysis import TextAnalysis, TextAnalyst

_BEYOND: Final = 1_000
_EVICTED_AT_ONCE: Final = 64
_TRIES: Final = 20
_PUT_AT_ONCE: Final = 100


class WorkingSet:
    """What is known of the entries of a store, and kept in agreement with it.

    Whoever calls it is alone with it.

    Args:
        entries: the store.
        index: holds the entries that are worked with.
        analyst: analyses contents.
        capacity: entries at most.
    """

    def __init__(
        self, entries: EntryStore, index: EntryIndex, analyst: TextAnalyst, capacity: int
    ) -> None:
        self.index = index
        self.capacity = capacity
        self._entries = entries
        self._analyst = analyst
        self._beyond: dict[str, MemoryEntry] = {}

    @property
    def beyond(self) -> int:
        """Entries that the store was found to hold beyond the capacity."""
        return len(self._beyond)

    def __iter__(self) -> Iterator[MemoryEntry]:
        """All entries that are known, those beyond the capacity too."""
        for held in self.index:
            yield held.entry
        yield from self._beyond.values()

    def knows(self, entry_id: str) -> bool:
        """Whether there is an entry of that id, in the working set or beyond."""
        return entry_id in self.index or entry_id in self._beyond

    async def load(self) -> None:
        """Read all entries of the store, and work with the most important, then newest ones."""
        most = self.capacity + _BEYOND
        known: dict[str, MemoryEntry] = {}
        async for page in self._entries.pages():
            known.update((entry.entry_id, entry) for entry in page)
            if len(known) > 2 * most:
                known = {entry.entry_id: entry for entry in _best(known.values(), most)}
        best = _best(known.values(), most)
        held, beyond = best[: self.capacity], best[self.capacity :]
        new = [entry for entry in held if self._held(entry.entry_id) != entry]
        analyses = await analysed(self._analyst, [entry.content for entry in new])
        # When it is read again nothing is awaited from here on: the working set is the old one or
        # the new one. The first time nobody looks yet, and it is long.
        first = not len(self.index)
        wanted = {entry.entry_id for entry in held}
        for entry_id in [held.entry.entry_id for held in self.index]:
            if entry_id not in wanted:
                self.index.remove(entry_id)
        for place, (entry, analysis) in enumerate(zip(new, analyses, strict=True)):
            self.index.put(entry, analysis)
            if first and place % _PUT_AT_ONCE == _PUT_AT_ONCE - 1:
                await asyncio.sleep(0)
        self._beyond = {entry.entry_id: entry for entry in beyond}

    async def promote(self) -> None:
        """Let what lies beyond the working set take part where there is room, or where it is more
        important than what is held."""
        while self._beyond:
            best = max(self._beyond.values(), key=_rank)
            least = self.index.least_important()
            full = len(self.index) >= self.capacity
            if full and least is not None and _rank(least.entry) >= _rank(best):
                return
            await self._learn(best.entry_id, best)

    async def analysis(self, content: str) -> TextAnalysis:
        """The analysis of a content."""
        (analysis,) = await analysed(self._analyst, [content])
        return analysis

    async def current(self, entry_id: str) -> MemoryEntry | None:
        """An entry as the store holds it; the working set learns of it."""
        (found,) = await self._entries.get([entry_id])
        await self._learn(entry_id, found)
        return found

    async def agree(self, known: Sequence[MemoryEntry]) -> bool:
        """Whether the store holds these as they are; if not, the working set learns of it."""
        agree = True
        for entry, found in zip(known, await self._entries.unchanged(known), strict=True):
            if found is not entry:
                agree = False
                await self._learn(entry.entry_id, found)
        return agree

    async def _learn(self, entry_id: str, found: MemoryEntry | None) -> None:
        if found == self._held(entry_id):
            return
        if found is None:
            self.hold(entry_id, None, None)
        else:
            self.hold(entry_id, found, await self.analysis(found.content))

    def hold(self, entry_id: str, entry: MemoryEntry | None, analysis: TextAnalysis | None) -> None:
        """Let the working set know what the store holds under an id."""
        self._beyond.pop(entry_id, None)
        if entry is None or analysis is None:
            self.index.remove(entry_id)
            return
        self.index.put(entry, analysis)
        while len(self.index) > self.capacity:
            least = self.index.least_important()
            assert least is not None, "what is over a capacity of at least 1 holds something"
            self.index.remove(least.entry.entry_id)
            self._beyond[least.entry.entry_id] = least.entry

    async def make_room(self, importance: float) -> list[MemoryEntry] | None:
        """Who must go for something of this importance; None if it is itself who does not fit."""
        beyond = list(self._beyond.values())[:_EVICTED_AT_ONCE]
        if beyond:
            await self.agree(beyond)
            beyond = [self._beyond[e.entry_id] for e in beyond if e.entry_id in self._beyond]
        for _ in range(_TRIES):
            if len(self.index) < self.capacity:
                return beyond
            least = self.index.least_important()
            assert least is not None, "a full memory holds something"
            if least.entry.importance > importance:
                return None
            if await self.agree([least.entry]):
                return [*beyond, least.entry]
        raise StoreError(
            "no room could be made: other processes keep changing the least important entries; "
            "try again"
        )

    def _held(self, entry_id: str) -> MemoryEntry | None:
        held = self.index.get(entry_id)
        return None if held is None else held.entry


def _best(entries: Iterable[MemoryEntry], count: int) -> list[MemoryEntry]:
    return heapq.nlargest(count, entries, key=_rank)


def _rank(entry: MemoryEntry) -> tuple[float, float, str]:
    return entry.importance, entry.updated_at, entry.entry_id
