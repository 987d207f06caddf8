"""How well items match a query: words and meaning, each on a scale of its own, as one score."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from infrastructure.memory.memori.embedding import Vectors
from infrastructure.memory.memori.indexed_documents import IndexedDocuments
from infrastructure.memory.memori.meaning import nearness, sampled
from infrastructure.memory.memori.nearest import VectorIndex
from infrastructure.memory.memori.search_index import SearchIndex
from infrastructure.memory.memori.tokens import query_terms
from infrastructure.memory.memori.values import InvalidItem

# Scores are kept as whole millionths: what is equal but for rounding is equal, and ordered alike
# on every machine.
_UNIT: Final = 1_000_000
_UNMATCHED: Final = -1
_GROWTH: Final = 4
# Where vectors are too many to compare with all, the best by words and the nearest are compared.
_BY_WORDS: Final = 4_000
_BY_MEANING: Final = 1_000

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Ranking:
    """How a search weighs what it knows of an item.

    An item's score is from 0 to 1: (1 - meaning) times how well its words match, plus meaning
    times how near its vector is, plus recency times how new it is, divided by the most that these
    can be together. It depends on the query and the store, not on which other items match.

    Fields:
        meaning: the weight of vectors against words, 0 to 1; without an embedder words count alone.
        neighbours: how much an item takes from those written before and after it in its namespace,
            0 to 1: nothing for facts that stand alone, about 0.6 for conversations, logs and
            documents cut into parts.
        recency: the weight of newness; 0 leaves age out.
        half_life_s: seconds after which newness is half of what it was.

    Raises:
        InvalidItem: a value that is out of its range.
    """

    meaning: float = 0.3
    neighbours: float = 0.0
    recency: float = 0.0
    half_life_s: float = 7 * 86_400.0

    def __post_init__(self) -> None:
        _check("meaning", self.meaning, 1.0)
        _check("neighbours", self.neighbours, 1.0)
        _check("recency", self.recency, 10.0)
        _check("half_life_s", self.half_life_s, 1e12)
        if self.half_life_s == 0:
            raise InvalidItem("half_life_s of a ranking must be above 0")


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

    def __init__(self, ids: NDArray[np.int64], scores: NDArray[np.int32]) -> None:
        """Args: ids int64[n] ascending; scores int32[n] in millionths, below 0 for no match."""
        self._ids = ids
        self._scores = scores
        self._wanted: NDArray[np.bool_] | None = None

    def has(self, id_: int) -> bool:
        """Whether the item matches."""
        place = int(np.searchsorted(self._ids, id_))
        found = place < len(self._ids) and int(self._ids[place]) == id_
        return found and bool(self._scores[place] >= 0)

    def restrict(self, ids: Sequence[int]) -> None:
        """Of what was not given yet, give only these ids, which ascend."""
        self._wanted = np.isin(self._ids, np.array(ids, dtype=np.int64))

    def best_first(self, chunk: int) -> Iterator[list[tuple[int, float]]]:
        """Ids and scores, the best first and of equal ones the last written, in chunks."""
        left = np.flatnonzero(self._scores >= 0)
        while len(left):
            if self._wanted is not None:
                left = left[self._wanted[left]]
            best, left = self._split(left, chunk)
            best = best[np.lexsort((-self._ids[best], -self._scores[best]))]
            scores = (self._scores[best] / _UNIT).tolist()
            pairs = list(zip(self._ids[best].tolist(), scores, strict=True))
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


def ranked(
    index: SearchIndex, query: Query, ranking: Ranking, within: Sequence[int] | None = None
) -> Ranked:
    """Score the documents of the index.

    Args:
        within: the ids of those that may be found, ascending; None for all of the namespace.
    """
    documents = index.lexical.documents
    eligible = documents.alive & documents.in_namespace(query.prefix)
    if within is not None:
        eligible &= np.isin(documents.ids, np.array(within, dtype=np.int64))
    text = index.lexical.scores(query_terms(query.text), ranking.neighbours)
    words = text.values / np.float32(text.ceiling or 1.0)
    matching = words > 0
    scores, most = words, 1.0
    if query.vector is not None and index.vectors is not None and index.vectors_complete:
        near, known = _near(
            index, index.vectors, query.vector, np.where(eligible, words, 0), eligible
        )
        matching |= known
        if ranking.neighbours:
            lent = np.float32(ranking.neighbours / 2)
            near = near + lent * index.lexical.surroundings(ranking.neighbours).best(near)
        scores = np.float32(1 - ranking.meaning) * words + np.float32(ranking.meaning) * near
        most += ranking.meaning * ranking.neighbours / 2
    if ranking.recency:
        scores = scores + np.float32(ranking.recency) * _newness(documents, query.now, ranking)
        most += ranking.recency
    units = np.rint(scores * np.float32(_UNIT / most)).astype(np.int32)
    units[~(matching & eligible)] = _UNMATCHED
    return Ranked(documents.ids, units)


def _near(
    index: SearchIndex,
    vectors: VectorIndex,
    query: Vectors,
    words: Floats,
    eligible: NDArray[np.bool_],
) -> tuple[Floats, NDArray[np.bool_]]:
    """How near each document is in meaning, and which have vectors.

    Args:
        words: how well each matches, 0 for what may not be found.
        eligible: which may be found.
    """
    cosines = np.full(len(words), -np.inf, dtype=np.float32)
    rows = index.ordinals_of_rows()
    if vectors.exact:
        np.maximum.at(cosines, rows, vectors.cosines(query))
        known = cosines > -np.inf
        return nearness(cosines, cosines[known]), known
    ids = index.lexical.documents.ids
    count = min(_BY_WORDS, len(words))
    by_words = np.argpartition(words, len(words) - count)[len(words) - count :]
    nearest = vectors.nearest(query, _BY_MEANING, eligible[rows])
    candidates = np.union1d(by_words[words[by_words] > 0], np.searchsorted(ids, nearest.items))
    cosines[candidates] = vectors.cosines_of(query, ids[candidates])
    known = np.zeros(len(words), dtype=np.bool_)
    known[rows] = True
    return nearness(cosines, sampled(vectors, query)), known


def _newness(documents: IndexedDocuments, now: int, ranking: Ranking) -> Floats:
    """1 for what is written now, half for what is a half-life old."""
    age_s = np.maximum(now - documents.written_at, 0) / 1e6
    return np.exp2(-age_s / ranking.half_life_s).astype(np.float32)


def _check(name: str, value: object, most: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise InvalidItem(f"{name} of a ranking must be from 0 to {most:g}, not {value!r:.40}")
