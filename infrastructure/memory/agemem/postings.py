"""Which entries hold a term, and how often: arrays, so that a query reads them at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from infrastructure.memory.agemem.relevance import term_weights

Floats = NDArray[np.float32]

_FIRST_SIZE = 4


class _Posting:
    """The slots and counts of one term; room at the end grows by doubling."""

    __slots__ = ("counts", "size", "slots")

    def __init__(self) -> None:
        self.size = 0
        self.slots: NDArray[np.intp] = np.zeros(_FIRST_SIZE, dtype=np.intp)
        self.counts: NDArray[np.float64] = np.zeros(_FIRST_SIZE, dtype=np.float64)

    def put(self, slot: int, count: int) -> None:
        if self.size == len(self.slots):
            self.slots = np.concatenate([self.slots, np.zeros_like(self.slots)])
            self.counts = np.concatenate([self.counts, np.zeros_like(self.counts)])
        self.slots[self.size], self.counts[self.size] = slot, count
        self.size += 1

    def remove(self, slot: int) -> None:
        """The last takes its place: a sum over slots needs no order."""
        self.size -= 1
        place = int(np.argmax(self.slots == slot))
        self.slots[place], self.counts[place] = self.slots[self.size], self.counts[self.size]


class Postings:
    """The terms of texts that stand in numbered slots."""

    def __init__(self) -> None:
        self._by_term: dict[str, _Posting] = {}
        self._lengths: NDArray[np.float64] = np.zeros(_FIRST_SIZE, dtype=np.float64)

    def put(self, slot: int, counts: Mapping[str, int], length: int) -> None:
        """Let an empty slot hold a text of so many terms."""
        while slot >= len(self._lengths):
            self._lengths = np.concatenate([self._lengths, np.zeros_like(self._lengths)])
        self._lengths[slot] = length
        for term, count in counts.items():
            self._by_term.setdefault(term, _Posting()).put(slot, count)

    def remove(self, slot: int, terms: Iterable[str]) -> None:
        """Empty a slot that holds a text of these terms."""
        for term in terms:
            posting = self._by_term[term]
            posting.remove(slot)
            if not posting.size:
                del self._by_term[term]

    def weigh(self, rarities: Mapping[str, float], mean_length: float, slots: int) -> Floats:
        """The sum over the terms of a query of what each gives, by slot; float32[slots].

        Args:
            rarities: of the terms.
            mean_length: of the texts.
            slots: how many there are.
        """
        found = [
            (posting, rarity)
            for term, rarity in rarities.items()
            if (posting := self._by_term.get(term)) is not None
        ]
        if not found:
            return np.zeros(slots, dtype=np.float32)
        places = np.concatenate([posting.slots[: posting.size] for posting, _ in found])
        counts = np.concatenate([posting.counts[: posting.size] for posting, _ in found])
        rarity = np.repeat([r for _, r in found], [posting.size for posting, _ in found])
        weights = rarity * term_weights(counts, self._lengths[places], mean_length)
        sums = np.bincount(places, weights, minlength=slots)
        return sums.astype(np.float32)
