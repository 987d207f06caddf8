"""The entries of one memory as a bounded working set: exact likeness without asking the store."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from infrastructure.memory.agemem.entries import MemoryEntry
from infrastructure.memory.agemem.id_order import IdOrder
from infrastructure.memory.agemem.postings import Postings
from infrastructure.memory.agemem.relevance import TermStatistics, fused
from infrastructure.memory.agemem.text_analysis import TextAnalysis

Floats = NDArray[np.float32]
Scored: TypeAlias = "tuple[IndexedEntry, float]"

IMPORTANCE: Final = 0.05
"""The weight of importance against relevance in recall."""

_FIRST_SIZE = 32
_SLACK = 4


@dataclass(frozen=True, slots=True, eq=False)
class IndexedEntry:
    """An entry with what is known of its text."""

    entry: MemoryEntry
    analysis: TextAnalysis


class EntryIndex:
    """Entries by id, with postings of their terms and a matrix of their vectors.

    Of equal scores the newest id comes first, so that results depend on the entries alone and not
    on the order in which they came.

    Args:
        statistics: counts terms, shared with the working context.
    """

    def __init__(self, statistics: TermStatistics) -> None:
        self._statistics = statistics
        self._slots: dict[str, int] = {}
        self._held: list[IndexedEntry | None] = []
        self._empty: list[int] = []
        self._order = IdOrder()
        self._importance: Floats = np.zeros(_FIRST_SIZE, dtype=np.float32)
        self._postings = Postings()
        self._first_to_go: list[tuple[float, float, str]] = []

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, entry_id: object) -> bool:
        return entry_id in self._slots

    def __iter__(self) -> Iterator[IndexedEntry]:
        for slot in self._slots.values():
            yield self._at(slot)

    def get(self, entry_id: str) -> IndexedEntry | None:
        """The entry of that id."""
        slot = self._slots.get(entry_id)
        return None if slot is None else self._at(slot)

    def put(self, entry: MemoryEntry, analysis: TextAnalysis) -> None:
        """Add an entry, or replace the one of its id."""
        self.remove(entry.entry_id)
        slot = self._empty.pop() if self._empty else len(self._held)
        if slot == len(self._held):
            self._held.append(None)
        self._slots[entry.entry_id] = slot
        self._held[slot] = IndexedEntry(entry, analysis)
        self._order.put(entry.entry_id, slot, analysis.vector)
        if slot == len(self._importance):
            self._importance = np.concatenate([self._importance, np.zeros_like(self._importance)])
        self._importance[slot] = entry.importance
        self._postings.put(slot, analysis.counts, analysis.length)
        self._statistics.add(analysis)
        if len(self._first_to_go) > _SLACK * (len(self._slots) + _FIRST_SIZE):
            self._first_to_go = [_rank(held.entry) for held in self]
            heapq.heapify(self._first_to_go)
        else:
            heapq.heappush(self._first_to_go, _rank(entry))

    def remove(self, entry_id: str) -> None:
        """Forget an entry; one that is not there is no error."""
        slot = self._slots.pop(entry_id, None)
        if slot is None:
            return
        analysis = self._at(slot).analysis
        self._order.remove(entry_id)
        self._postings.remove(slot, analysis.counts)
        self._statistics.remove(analysis)
        self._held[slot] = None
        self._empty.append(slot)

    def likest(self, text: TextAnalysis, count: int | None = None) -> list[Scored]:
        """The entries that are most like a text, the likest first; all unless counted."""
        return self._best(text, count, importance=0.0)

    def recall(self, query: TextAnalysis, count: int | None = None) -> list[Scored]:
        """The entries that are most relevant to a query, the best first; all unless counted.

        Of two that are about as relevant the more important comes first (as in J. S. Park et al.,
        Generative Agents, 2023, where relevance, importance and recency are added up).
        """
        return self._best(query, count, importance=IMPORTANCE)

    def _best(self, query: TextAnalysis, count: int | None, importance: float) -> list[Scored]:
        if not self._slots or count == 0:
            return []
        # By id: a product of matrices rounds by the place of a row, and the order in which entries
        # came must not change a bit of the result.
        slots = self._order.slots
        near = self._order.vectors @ query.vector
        values = fused(self._words(query)[slots], near)
        if importance:
            values += np.float32(importance) * self._importance[slots]
        chosen: Iterable[int] = range(len(slots))
        if count is not None and count < len(slots):
            # All that equal the last of the best take part, for the ids to decide between them.
            least = np.partition(values, -count)[-count]
            chosen = np.flatnonzero(values >= least).tolist()
        found = [(self._at(slots[place]), float(values[place])) for place in chosen]
        found.sort(key=lambda pair: pair[0].entry.entry_id, reverse=True)
        found.sort(key=lambda pair: pair[1], reverse=True)
        return found[:count]

    def least_important(self) -> IndexedEntry | None:
        """What goes first when room is needed: the least important, of equal ones the oldest."""
        while self._first_to_go:
            rank = self._first_to_go[0]
            held = self.get(rank[-1])
            if held is not None and _rank(held.entry) == rank:
                return held
            heapq.heappop(self._first_to_go)  # it was removed or changed since
        return None

    def entries(self) -> Sequence[MemoryEntry]:
        """All entries, by id."""
        return sorted((held.entry for held in self), key=lambda entry: entry.entry_id)

    def _words(self, query: TextAnalysis) -> Floats:
        rarities = {term: self._statistics.rarity(term) for term in query.asked}
        total = sum(rarities.values())
        mean = self._statistics.mean_length
        found = self._postings.weigh(rarities, mean, len(self._held))
        return found / np.float32(total) if total else found

    def _at(self, slot: int) -> IndexedEntry:
        held = self._held[slot]
        assert held is not None, "slots of known ids are filled"
        return held


def _rank(entry: MemoryEntry) -> tuple[float, float, str]:
    return entry.importance, entry.updated_at, entry.entry_id
