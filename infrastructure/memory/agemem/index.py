"""The entries of one memory as a bounded working set: exact likeness without asking the store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infrastructure.memory.agemem.entries import MemoryEntry
from infrastructure.memory.agemem.relevance import TermStatistics, fused, term_weight
from infrastructure.memory.agemem.text_analysis import TextAnalysis

Floats = NDArray[np.float32]

_FIRST_SIZE = 32


@dataclass(frozen=True, slots=True, eq=False)
class IndexedEntry:
    """An entry with what is known of its text."""

    entry: MemoryEntry
    analysis: TextAnalysis


class EntryIndex:
    """Entries by id, with postings of their terms and a matrix of their vectors.

    Equal scores are ordered by id, the newest first, so that results depend on the entries alone
    and not on the order in which they came.

    Args:
        statistics: counts terms, shared with the working context.
    """

    def __init__(self, statistics: TermStatistics) -> None:
        self._statistics = statistics
        self._slots: dict[str, int] = {}
        self._held: list[IndexedEntry | None] = []
        self._empty: list[int] = []
        self._vectors: Floats | None = None
        self._postings: defaultdict[str, dict[int, int]] = defaultdict(dict)

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
        self._store_vector(slot, analysis.vector)
        for term, count in analysis.counts.items():
            self._postings[term][slot] = count
        self._statistics.add(analysis)

    def remove(self, entry_id: str) -> None:
        """Forget an entry; one that is not there is no error."""
        slot = self._slots.pop(entry_id, None)
        if slot is None:
            return
        analysis = self._at(slot).analysis
        for term in analysis.counts:
            del self._postings[term][slot]
            if not self._postings[term]:
                del self._postings[term]
        self._statistics.remove(analysis)
        self._held[slot] = None
        self._empty.append(slot)

    def scores(self, query: TextAnalysis) -> list[tuple[IndexedEntry, float]]:
        """All entries with their relevance to a query, the best first."""
        slots = list(self._slots.values())
        if not slots or self._vectors is None:
            return []
        near = self._vectors[slots] @ query.vector
        values = fused(self._words(query)[slots], near)
        pairs = [(self._at(slot), float(value)) for slot, value in zip(slots, values, strict=True)]
        pairs.sort(key=lambda pair: pair[0].entry.entry_id, reverse=True)
        pairs.sort(key=lambda pair: pair[1], reverse=True)
        return pairs

    def least_important(self) -> IndexedEntry | None:
        """What goes first when room is needed: the least important, of equal ones the oldest."""
        return min(
            self,
            key=lambda held: (held.entry.importance, held.entry.updated_at, held.entry.entry_id),
            default=None,
        )

    def entries(self) -> Sequence[MemoryEntry]:
        """All entries, by id."""
        return sorted((held.entry for held in self), key=lambda entry: entry.entry_id)

    def _words(self, query: TextAnalysis) -> Floats:
        found = np.zeros(len(self._held), dtype=np.float32)
        total = 0.0
        mean = self._statistics.mean_length
        for term in query.asked:
            rarity = self._statistics.rarity(term)
            total += rarity
            for slot, count in self._postings.get(term, {}).items():
                length = self._at(slot).analysis.length
                found[slot] += rarity * term_weight(count, length, mean)
        return found / np.float32(total) if total else found

    def _store_vector(self, slot: int, vector: Floats) -> None:
        if self._vectors is None:
            self._vectors = np.zeros((_FIRST_SIZE, len(vector)), dtype=np.float32)
        elif slot >= len(self._vectors):
            self._vectors = np.concatenate([self._vectors, np.zeros_like(self._vectors)])
        self._vectors[slot] = vector

    def _at(self, slot: int) -> IndexedEntry:
        held = self._held[slot]
        assert held is not None, "slots of known ids are filled"
        return held
