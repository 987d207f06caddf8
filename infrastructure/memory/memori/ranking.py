"""How well items match a query: words and meaning, each on a scale of its own, as one score."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from infrastructure.memory.memori.embedding import Vectors
from infrastructure.memory.memori.search_index import SearchIndex
from infrastructure.memory.memori.tokens import query_terms
from infrastructure.memory.memori.values import InvalidItem

_DIGITS: Final = 6
_GROWTH: Final = 4


@dataclass(frozen=True, slots=True)
class Ranking:
    """How matches are weighed; provisional."""

    text: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.text <= 1:
            raise InvalidItem("text must be from 0 to 1")


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """What is looked for.

    Fields:
        text: the words.
        vector: their unit vector; None for full text alone.
        prefix: the encoded namespace to look in; "" for all.
        now: microseconds since the epoch.
    """

    text: str
    vector: Vectors | None
    prefix: str
    now: int


class Ranked:
    """The matches of a query among all documents."""

    def __init__(self, ids: NDArray[np.int64], scores: NDArray[np.float64]) -> None:
        """Args: ids int64[n] ascending; scores float64[n], -inf for what does not match."""
        self._ids = ids
        self._scores = np.round(scores, _DIGITS)  # what is equal but for rounding is equal
        self._wanted: NDArray[np.bool_] | None = None

    def has(self, id_: int) -> bool:
        """Whether the item matches."""
        place = int(np.searchsorted(self._ids, id_))
        found = place < len(self._ids) and int(self._ids[place]) == id_
        return found and bool(self._scores[place] > -np.inf)

    def restrict(self, ids: Sequence[int]) -> None:
        """Of what was not given yet, give only these ids, which ascend."""
        self._wanted = np.isin(self._ids, np.array(ids, dtype=np.int64))

    def best_first(self, chunk: int) -> Iterator[list[tuple[int, float]]]:
        """Ids and scores, the best first and of equal ones the last written, in chunks."""
        left = np.flatnonzero(self._scores > -np.inf)
        while len(left):
            if self._wanted is not None:
                left = left[self._wanted[left]]
            best, left = self._split(left, chunk)
            order = np.lexsort((-self._ids[best], -self._scores[best]))
            best = best[order]
            pairs = list(zip(self._ids[best].tolist(), self._scores[best].tolist(), strict=True))
            for start in range(0, len(pairs), chunk):
                yield pairs[start : start + chunk]
            chunk *= _GROWTH

    def _split(
        self, places: NDArray[np.int64], count: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The best so many, with all that equal the last of them, and the others."""
        if len(places) <= count:
            return places, places[:0]
        scores = self._scores[places]
        least = np.partition(scores, len(scores) - count)[len(scores) - count]
        return places[scores >= least], places[scores < least]


def ranked(index: SearchIndex, query: Query, ranking: Ranking) -> Ranked:
    """Score every document of the index."""
    documents = index.lexical.documents
    text = index.lexical.scores(query_terms(query.text))
    words = text.values.astype(np.float64) / (text.ceiling or 1.0)
    scores = ranking.text * words
    matching = words > 0
    if query.vector is not None and index.vectors is not None and index.vectors_complete:
        meaning = np.full(len(documents), -np.inf)
        np.maximum.at(meaning, index.ordinals_of_rows(), index.vectors.cosines(query.vector))
        matching |= meaning > -np.inf
        scores = 1 - (1 - np.maximum(meaning, -1)) * (1 - scores)
    matching &= documents.alive
    matching &= documents.in_namespace(query.prefix)
    return Ranked(documents.ids, np.where(matching, scores, -np.inf))
