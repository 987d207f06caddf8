"""What items take from those written next to them: the neighbours within reach, and their weights.

In a conversation, a log, or a document cut into parts, an item is often about what its neighbours
say. With a share s an item takes s of the item before and of the one after it, and s squared of
those two places away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infrastructure.memory.memori.indexed_documents import IndexedDocuments

Ordinals = NDArray[np.intp]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Surroundings:
    """The neighbours of every document within two places.

    Fields:
        share: 0 for none, up to 1.
        hops: by document the ordinal of a neighbour, or n where there is none, with its weight;
            no two documents have the same neighbour in a hop.
        lengths: float32[n], terms of each document with those that it takes.
    """

    share: float
    hops: tuple[tuple[Ordinals, np.float32], ...]
    lengths: Floats

    @classmethod
    def of(cls, documents: IndexedDocuments, share: float) -> Surroundings:
        """The surroundings that the documents have now."""
        lengths = documents.lengths.astype(np.float32)
        if not share:
            return cls(share, (), lengths)
        before, after = _hop(documents.previous), _hop(documents.following)
        near, far = np.float32(share), np.float32(share * share)
        hops = ((before, near), (after, near), (before[before], far), (after[after], far))
        padded = np.append(lengths, np.float32(0))
        for neighbours, weight in hops:
            lengths += weight * padded[neighbours[:-1]]
        return cls(share, tuple((hop[:-1], weight) for hop, weight in hops), lengths)

    def lend(self, documents: Ordinals, counts: Floats, counted: Floats) -> None:
        """Add to the neighbours of documents their share of a term's counts.

        Args:
            documents: where the term occurs, each once.
            counts: how often, float32 as long.
            counted: float32[n + 1] by document; the last place takes what has no neighbour.
        """
        for neighbours, weight in self.hops:
            counted[neighbours[documents]] += weight * counts

    def best(self, values: Floats) -> Floats:
        """For each document the largest value, at least 0, among its neighbours; float32[n]."""
        padded = np.append(values, np.float32(0))
        best = np.zeros(len(values), dtype=np.float32)
        for neighbours, _ in self.hops:
            np.maximum(best, padded[neighbours], out=best)
        return best


def _hop(links: NDArray[np.int32]) -> Ordinals:
    """Links with n for none, and n leading to itself, so that hops can follow each other."""
    n = len(links)
    return np.append(np.where(links < 0, n, links), n).astype(np.intp)
