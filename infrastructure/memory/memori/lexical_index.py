"""Full text in memory: BM25 of every document of a tenant for a query's terms."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from infrastructure.memory.memori.indexed_documents import IndexedDocuments
from infrastructure.memory.memori.posting_lists import PostingLists
from infrastructure.memory.memori.postings import Postings
from infrastructure.memory.memori.surroundings import Surroundings

_RUNS_OF_A_SIZE: Final = 8
_LARGE_RUN: Final = 2**19
_UNKNOWN: Final = -1
_BLOCK: Final = 2**15
_LENT_SHARE: Final = 4

K1: Final = 0.9
B: Final = 0.4


@dataclass(frozen=True, slots=True, eq=False)
class LexicalScores:
    """How well documents match a query's terms.

    Fields:
        values: float32[n] by ordinal; 0 for dead documents and for those without any of the terms.
        ceiling: what no document can exceed: the score of one that consists of each of the terms
            without end. It depends on the terms and on how many documents have them, not on which
            documents match, so `values / ceiling` can be compared across filters and pages.
    """

    values: NDArray[np.float32]
    ceiling: float


class LexicalIndex:
    """An inverted index over appended batches of documents, with exact BM25 over the live ones.

    Postings are held as runs of flat arrays. Runs of like size are merged as they come, so each
    posting moves a few times at most; large ones are left as they are, which bounds the longest
    pause of a write (about 50 ms). No term is pruned: common ones cost about 3 ns a posting.

    Memory: 6 bytes a posting, 20 a term of each run, 125 a distinct term, and 37 to 70 a document;
    about 200 bytes for a document of 20 words.

    One thread at a time may append or remove, and none may read meanwhile; any number may read
    together. The caller's lock sees to it.
    """

    def __init__(self) -> None:
        self.documents = IndexedDocuments()
        self._codes: dict[str, int] = {}
        self._runs: list[PostingLists] = []
        self._known: tuple[object, Surroundings, NDArray[np.float32]] | None = None

    def append(self, batch: Postings) -> None:
        """Add a batch, whose ids are all above those that are there.

        Raises:
            DamagedIndex: they are not; nothing was added.
        """
        first = len(self.documents)
        self.documents.append(
            batch.ids, batch.written_at, batch.lengths, batch.namespaces, batch.namespace_codes
        )
        codes = self._codes
        terms = [codes.setdefault(term, len(codes)) for term in batch.terms]
        if terms:
            self._runs.append(batch.lists.recoded(np.array(terms, dtype=np.int32), first))
            self._merge_runs()

    def remove(self, ids: Collection[int]) -> None:
        """Take documents out; ids that are unknown or removed already are ignored."""
        self.documents.remove(ids)

    def scores(
        self, terms: Iterable[str], neighbours: float = 0.0, k1: float = K1, b: float = B
    ) -> LexicalScores:
        """BM25 of every document, with the words of its neighbours as a weaker field of it.

        The sum over distinct terms of idf * f * (k1 + 1) / (f + k1 * (1 - b + b * length / mean
        length)), f being the term's count in the document (S. Robertson and H. Zaragoza, The
        Probabilistic Relevance Framework: BM25 and Beyond, 2009), with
        idf = ln(1 + (N - df + 0.5) / (df + 0.5)), which stays positive for common terms as
        Lucene's does. Counts and lengths of neighbours are added with their weights before the
        count saturates, as in BM25F (Robertson, Zaragoza and Taylor, 2004); counts of terms that
        more than a quarter of the documents have say nothing of a neighbourhood and are not lent.
        N, df and the mean length are those of the live documents.

        Args:
            terms: as `tokens.query_terms` gives them.
            neighbours: the share of its neighbours that a document takes, 0 to 1.
            k1: from which on more occurrences count for less; at least 0.
            b: how much long documents are marked down, 0 to 1.
        """
        values = np.zeros(len(self.documents), dtype=np.float32)
        live = self.documents.live
        ceiling = 0.0
        if live == 0:
            return LexicalScores(values, ceiling)
        around, norms = self._context(neighbours, k1, b)
        for term in dict.fromkeys(terms):
            found, counts = self._postings(term)
            frequency = self._live(found)
            most = math.log(1 + (live - frequency + 0.5) / (frequency + 0.5)) * (k1 + 1)
            ceiling += most
            if not frequency:
                continue
            if neighbours and frequency * _LENT_SHARE <= live:
                lent = self._lent(around, found, counts)
                _add_scores(values, *lent, norms, np.float32(most))
            else:
                _add_scores(values, found, counts, norms, np.float32(most))
        return LexicalScores(values, ceiling)

    def surroundings(self, share: float) -> Surroundings:
        """The neighbours of every document, with the weights for a share."""
        return self._context(share, K1, B)[0]

    def _merge_runs(self) -> None:
        """Merge the last runs when enough of them are no larger than the last one's class."""
        while True:
            size = _size_class(self._runs[-1])
            first = len(self._runs)
            while first > 0 and _mergeable(self._runs[first - 1], size):
                first -= 1
            if len(self._runs) - first < _RUNS_OF_A_SIZE:
                return
            self._runs[first:] = [PostingLists.merged(self._runs[first:])]

    def _postings(self, term: str) -> tuple[NDArray[np.int32], NDArray[np.uint16]]:
        """Documents with the term, ascending, and its counts in them."""
        documents = [np.empty(0, dtype=np.int32)]
        counts = [np.empty(0, dtype=np.uint16)]
        code = self._codes.get(term, _UNKNOWN)
        for run in self._runs:
            found = run.of(code)
            documents.append(run.documents[found])
            counts.append(run.counts[found])
        return np.concatenate(documents), np.concatenate(counts)

    def _live(self, documents: NDArray[np.int32]) -> int:
        if self.documents.live == len(self.documents):
            return len(documents)
        return int(np.count_nonzero(self.documents.alive[documents]))

    def _lent(
        self, around: Surroundings, found: NDArray[np.int32], counts: NDArray[np.uint16]
    ) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """Documents with the term in them or near them, and what it counts there."""
        live = self.documents.alive[found]
        places, own = found[live].astype(np.intp), counts[live].astype(np.float32)
        counted = np.zeros(len(self.documents) + 1, dtype=np.float32)
        counted[places] = own
        around.lend(places, own, counted)
        touched = np.flatnonzero(counted[:-1])
        return touched, counted[touched]

    def _context(
        self, share: float, k1: float, b: float
    ) -> tuple[Surroundings, NDArray[np.float32]]:
        """The surroundings, and by document what counts are weighed against; infinite if dead."""
        documents = self.documents
        state = (share, k1, b, len(documents), documents.live)
        if self._known is None or self._known[0] != state:
            around = Surroundings.of(documents, share)
            norms = around.lengths.copy()
            mean = float(norms.sum(where=documents.alive, dtype=np.float64)) / documents.live
            norms *= np.float32(k1 * b / (mean or 1.0))
            norms += np.float32(k1 * (1 - b))
            norms[~documents.alive] = np.inf
            self._known = state, around, norms
        return self._known[1:]


def _add_scores(
    values: NDArray[np.float32],
    documents: NDArray[np.int32] | NDArray[np.intp],
    counts: NDArray[np.uint16] | NDArray[np.float32],
    norms: NDArray[np.float32],
    most: np.float32,
) -> None:
    # In blocks that stay within the processor's cache.
    for start in range(0, len(documents), _BLOCK):
        block = documents[start : start + _BLOCK].astype(np.intp, copy=False)
        weights = counts[start : start + _BLOCK].astype(np.float32)
        weights /= weights + norms[block]
        weights *= most
        values[block] += weights


def _size_class(run: PostingLists) -> int:
    return len(run).bit_length() // 3


def _mergeable(run: PostingLists, size_class: int) -> bool:
    return len(run) < _LARGE_RUN and _size_class(run) <= size_class
