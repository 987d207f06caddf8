"""Long-term memory: a bounded working set that agrees with what the store holds.

Every change is written to the store first, in one batch with its line of the journal, and only then
to the index in memory. After a write that failed or whose end was not seen, the working set is read
again before anything else is done.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from infrastructure.clock import Clock
from infrastructure.errors import InputError, StoreError, VersionConflict
from infrastructure.jsonvalue import JsonObject
from infrastructure.memory.agemem.entries import Change, ChangeKind, MemoryEntry, RetrievedEntry
from infrastructure.memory.agemem.entry_store import EntryStore
from infrastructure.memory.agemem.index import EntryIndex
from infrastructure.memory.agemem.text_analysis import TextAnalysis, TextAnalyst
from infrastructure.memory.agemem.working_set import WorkingSet

_TRIES: Final = 20
_MOST_TAKEN: Final = 10_000

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to be remembered or changed: None leaves what an entry has."""

    content: str
    metadata: JsonObject | None
    memory_type: str
    importance: float | None
    reason: str


class LongTerm:
    """The entries of one namespace under a capacity limit.

    Args:
        entries: the store.
        index: holds the working set.
        analyst: analyses contents.
        capacity: entries at most.
        clock: the time written into entries and changes.
        new_id: gives ids that sort by creation.
        source: who writes.
    """

    def __init__(
        self,
        entries: EntryStore,
        index: EntryIndex,
        analyst: TextAnalyst,
        *,
        capacity: int,
        clock: Clock,
        new_id: Callable[[], str],
        source: str,
    ) -> None:
        self.evictions = 0
        self.refusals = 0
        self._entries = entries
        self._set = WorkingSet(entries, index, analyst, capacity)
        self._clock = clock
        self._new_id = new_id
        self._source = source
        self._loaded = False
        self._lock: asyncio.Lock | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def beyond(self) -> int:
        """Entries that the store was found to hold beyond the capacity."""
        return self._set.beyond

    async def ready(self) -> None:
        """Load the working set, if it is not."""
        if not self._loaded:
            async with self._open():
                pass

    async def refresh(self) -> None:
        """Load the working set again: other processes may have written."""
        async with self._open(reload=True):
            pass

    async def add(self, draft: Draft) -> str:
        """Remember something new; "" when memory is full of what is more important."""
        analysis = await self._set.analysis(draft.content)
        importance = 0.5 if draft.importance is None else draft.importance
        async with self._open():
            evicted = await self._set.make_room(importance)
            if evicted is None:
                self.refusals += 1
                return ""
            now = self._clock.now()
            entry = MemoryEntry(
                entry_id=self._free_id(),
                content=draft.content,
                memory_type=draft.memory_type,
                importance=importance,
                metadata=draft.metadata or {},
                created_at=now,
                updated_at=now,
                source=self._source,
            )
            changes = self._evictions(evicted, now)
            changes.append(self._change(ChangeKind.ADDED, None, entry, draft.reason, now))
            await self._apply(changes, [analysis])
            return entry.entry_id

    async def update(self, entry_id: str, draft: Draft) -> bool:
        """Change an entry; False if there is none of that id."""
        analysis = await self._set.analysis(draft.content)
        async with self._open():
            before = await self._set.current(entry_id)
            if before is None:
                return False
            now = self._clock.now()
            after = replace(
                before,
                content=draft.content,
                metadata=before.metadata if draft.metadata is None else draft.metadata,
                importance=before.importance if draft.importance is None else draft.importance,
                updated_at=now,
                version=before.version + 1,
            )
            change = self._change(ChangeKind.UPDATED, before, after, draft.reason, now)
            await self._apply([change], [analysis])
            return True

    async def delete(self, entry_id: str, reason: str) -> bool:
        """Forget an entry; False if there is none of that id."""
        async with self._open():
            before = await self._set.current(entry_id)
            if before is None:
                return False
            now = self._clock.now()
            await self._apply([self._change(ChangeKind.DELETED, before, None, reason, now)])
            return True

    async def undo(self, change_id: str, reason: str) -> Change:
        """Make an entry what it was before a change.

        Raises:
            InputError: no such change is kept, or memory is full of what is more important.
            VersionConflict: the entry was changed since.
        """
        async with self._open():
            change = await self._entries.change(change_id)
            if change is None:
                raise InputError(
                    f"no change {change_id!r} is in the journal; `changes` lists those that are"
                )
            current = await self._set.current(change.entry_id)
            if current != change.after:
                raise VersionConflict(
                    f"entry {change.entry_id!r} was changed since {change_id!r}: undo what came "
                    "later first, the newest first"
                )
            return await self._undo(change, current, reason)

    async def retrieve(
        self, query: TextAnalysis, top_k: int, fits: Callable[[MemoryEntry], bool] | None
    ) -> list[RetrievedEntry]:
        """The entries most relevant to a query, as the store holds them now, the best first."""
        async with self._open():
            seen: set[str] = set()
            best: list[RetrievedEntry] = []
            for _ in range(_TRIES):
                best = self._ranked(query, top_k, fits)
                new = [found.entry for found in best if found.entry.entry_id not in seen]
                seen.update(entry.entry_id for entry in new)
                if not new or await self._set.agree(new):
                    return best
            return [found for found in best if found.entry.entry_id in seen]

    async def changes(self, entry_id: str | None, limit: int) -> list[Change]:
        """The newest changes, the newest first."""
        return await self._entries.changes(entry_id, limit)

    async def become(
        self, wanted: Sequence[tuple[MemoryEntry, TextAnalysis]], reason: str | None
    ) -> None:
        """Hold exactly these entries; the journal tells of it if there is a reason.

        Raises:
            InputError: they are more than the capacity.
        """
        if len(wanted) > self._set.capacity:
            raise InputError(
                f"the snapshot has {len(wanted):,} entries, and the memory holds at most "
                f"{self._set.capacity:,}; restore it into one of that capacity"
            )
        async with self._open():
            changes = list(self._differences({entry.entry_id: entry for entry, _ in wanted}))
            if not changes:
                return
            if reason is not None:
                now = self._clock.now()
                changes = [
                    replace(change, change_id=self._new_id(), at=now, reason=reason)
                    for change in changes
                ]
            known = {entry.entry_id: analysis for entry, analysis in wanted}
            analyses = [known[change.entry_id] for change in changes if change.after is not None]
            await self._apply(changes, analyses, journal=reason is not None)

    async def _undo(self, change: Change, current: MemoryEntry | None, reason: str) -> Change:
        now, before = self._clock.now(), change.before
        evicted: Sequence[MemoryEntry] | None = ()
        analyses: list[TextAnalysis] = []
        if before is not None:
            analyses = [await self._set.analysis(before.content)]
            evicted = () if current is not None else await self._set.make_room(before.importance)
        if evicted is None:
            raise InputError(
                f"entry {change.entry_id!r} cannot come back: memory is full of what is more "
                "important; delete something first"
            )
        why = f"undoes {change.change_id}: {reason}" if reason else f"undoes {change.change_id}"
        changes = self._evictions(evicted, now)
        changes.append(self._change(ChangeKind.UNDONE, current, before, why, now))
        await self._apply(changes, analyses)
        return changes[-1]

    @asynccontextmanager
    async def _open(self, *, reload: bool = False) -> AsyncGenerator[None]:
        """Alone with the memory, whose working set is loaded."""
        loop = asyncio.get_running_loop()
        if self._lock is None or self._loop is not loop:  # a lock belongs to one event loop
            self._lock, self._loop = asyncio.Lock(), loop
        async with self._lock:
            if reload or not self._loaded:
                await self._load()
            await self._set.promote()
            yield

    def _free_id(self) -> str:
        """An id that no known entry has: a source of ids may begin anew, as for a rollout."""
        for _ in range(_MOST_TAKEN):
            entry_id = self._new_id()
            if not self._set.knows(entry_id):
                return entry_id
        raise InputError(
            f"new_id gave {_MOST_TAKEN:,} ids in turn that entries have already; give a source "
            "that counts on, such as ids.CountedIds"
        )

    async def _load(self) -> None:
        self._loaded = False
        await self._entries.settle()
        await self._set.load()
        self._loaded = True

    def _ranked(
        self, query: TextAnalysis, top_k: int, fits: Callable[[MemoryEntry], bool] | None
    ) -> list[RetrievedEntry]:
        if fits is None:
            best = self._set.index.recall(query, top_k)
        else:
            best = [pair for pair in self._set.index.recall(query) if fits(pair[0].entry)][:top_k]
        return [RetrievedEntry(held.entry, score) for held, score in best]

    def _evictions(self, evicted: Iterable[MemoryEntry], now: float) -> list[Change]:
        return [
            self._change(ChangeKind.EVICTED, entry, None, "memory is full", now)
            for entry in evicted
        ]

    def _change(
        self,
        kind: ChangeKind,
        before: MemoryEntry | None,
        after: MemoryEntry | None,
        reason: str,
        now: float,
    ) -> Change:
        entry = after or before
        assert entry is not None, "what changes was or is something"
        return Change(
            self._new_id(), kind, entry.entry_id, before, after, now, self._source, reason
        )

    def _differences(self, wanted: dict[str, MemoryEntry]) -> Iterable[Change]:
        held = {entry.entry_id: entry for entry in self._set}
        for entry_id, before in held.items():
            if entry_id not in wanted:
                yield Change("", ChangeKind.DELETED, entry_id, before, None, 0.0, self._source)
        for entry_id, after in wanted.items():
            before = held.get(entry_id)
            if before is not after and before != after:
                kind = ChangeKind.ADDED if before is None else ChangeKind.UPDATED
                yield Change("", kind, entry_id, before, after, 0.0, self._source)

    async def _apply(
        self,
        changes: Sequence[Change],
        analyses: Sequence[TextAnalysis] = (),
        *,
        journal: bool = True,
    ) -> None:
        """Write changes, then let the working set know; the analyses are of what they leave."""
        try:
            await self._entries.write(changes, journal=journal)
        except BaseException:  # also when cancelled: whether it was stored is then unknown
            self._loaded = False
            raise
        known = iter(analyses)
        for change in changes:
            analysis = None if change.after is None else next(known)
            self._set.hold(change.entry_id, change.after, analysis)
            self.evictions += change.kind is ChangeKind.EVICTED
        if journal:
            await self._trim(len(changes))

    async def _trim(self, written: int) -> None:
        try:
            await self._entries.trim(written)
        except StoreError as error:  # what was asked for is done, and the journal can wait
            _logger.warning("the journal of changes could not be shortened: %s", error)
