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

_RUNS_OF_A_SIZE: Final = 8
_LARGE_RUN: Final = 2**19
_UNKNOWN: Final = -1
_BLOCK: Final = 2**15


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
        self._norms: tuple[object, NDArray[np.float32]] = (None, np.empty(0, dtype=np.float32))

    def append(self, batch: Postings) -> None:
        """Add a batch, whose ids are all above those that are there.

        Raises:
            StoreError: they are not; nothing was added.
        """
        first = len(self.documents)
        self.documents.append(
            batch.ids, batch.created_at, batch.lengths, batch.namespaces, batch.namespace_codes
        )
        codes = self._codes
        terms = [codes.setdefault(term, len(codes)) for term in batch.terms]
        if terms:
            self._runs.append(batch.lists.recoded(np.array(terms, dtype=np.int32), first))
            self._merge_runs()

    def remove(self, ids: Collection[int]) -> None:
        """Take documents out; ids that are unknown or removed already are ignored."""
        self.documents.remove(ids)

    def scores(self, terms: Iterable[str], k1: float = 1.2, b: float = 0.75) -> LexicalScores:
        """BM25 of every document.

        The sum over distinct terms of idf * f * (k1 + 1) / (f + k1 * (1 - b + b * length / mean
        length)), f being the term's count in the document (S. Robertson and H. Zaragoza, The
        Probabilistic Relevance Framework: BM25 and Beyond, 2009), with
        idf = ln(1 + (N - df + 0.5) / (df + 0.5)), which stays positive for common terms as
        Lucene's does. N, df and the mean length are those of the live documents.

        Args:
            terms: as `tokens.query_terms` gives them.
            k1: from which on more occurrences count for less; at least 0.
            b: how much long documents are marked down, 0 to 1.
        """
        values = np.zeros(len(self.documents), dtype=np.float32)
        live = self.documents.live
        ceiling = 0.0
        if live == 0:
            return LexicalScores(values, ceiling)
        norms = self._length_norms(k1, b)
        for term in dict.fromkeys(terms):
            found, counts = self._postings(term)
            frequency = self._live(found)
            most = math.log(1 + (live - frequency + 0.5) / (frequency + 0.5)) * (k1 + 1)
            ceiling += most
            if frequency:
                _add_scores(values, found, counts, norms, np.float32(most))
        return LexicalScores(values, ceiling)

    def compacted(self) -> LexicalIndex:
        """A new index of the live documents alone, with new ordinals in the same order."""
        documents = self.documents
        lists = PostingLists.merged(self._runs)
        names = list(self._codes)
        present: list[int] = lists.terms.tolist()
        everything = Postings(
            ids=documents.ids,
            created_at=documents.created_at,
            namespaces=tuple(documents.namespaces),
            namespace_codes=documents.namespace_codes,
            lengths=documents.lengths,
            terms=tuple(names[code] for code in present),
            lists=lists.recoded(np.arange(len(present), dtype=np.int32)),
        )
        fresh = LexicalIndex()
        fresh.append(everything.kept(documents.alive))
        return fresh

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

    def _length_norms(self, k1: float, b: float) -> NDArray[np.float32]:
        """By document what its counts are weighed against; infinite for dead ones."""
        documents = self.documents
        state = (k1, b, len(documents), documents.live)
        known, norms = self._norms
        if known != state:
            mean = documents.live_length / documents.live or 1.0
            norms = documents.lengths.astype(np.float32)
            norms *= np.float32(k1 * b / mean)
            norms += np.float32(k1 * (1 - b))
            norms[~documents.alive] = np.inf
            self._norms = state, norms
        return norms


def _add_scores(
    values: NDArray[np.float32],
    documents: NDArray[np.int32],
    counts: NDArray[np.uint16],
    norms: NDArray[np.float32],
    most: np.float32,
) -> None:
    # In blocks that stay within the processor's cache.
    for start in range(0, len(documents), _BLOCK):
        block = documents[start : start + _BLOCK].astype(np.intp)
        weights = counts[start : start + _BLOCK].astype(np.float32)
        weights /= weights + norms[block]
        weights *= most
        values[block] += weights


def _size_class(run: PostingLists) -> int:
    return len(run).bit_length() // 3


def _mergeable(run: PostingLists, size_class: int) -> bool:
    return len(run) < _LARGE_RUN and _size_class(run) <= size_class
