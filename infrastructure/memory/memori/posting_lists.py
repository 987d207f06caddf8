"""Postings by term as a few flat arrays: which documents have a term, and how often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

MAX_COUNT: Final = 2**16 - 1
"""Occurrences of a term in one document count up to this."""


@dataclass(frozen=True, eq=False)
class PostingLists:
    """Postings in compressed sparse rows, one row a term.

    Fields:
        terms: int32[t], distinct codes in any order; what a code stands for, the owner knows.
        offsets: int64[t + 1], where each term's postings begin, and the end of the last.
        documents: int32[p], ascending and distinct within a term.
        counts: uint16[p], occurrences of the term in the document, MAX_COUNT for more.
    """

    terms: NDArray[np.int32]
    offsets: NDArray[np.int64]
    documents: NDArray[np.int32]
    counts: NDArray[np.uint16]

    def __len__(self) -> int:
        """The number of postings."""
        return len(self.documents)

    @classmethod
    def of_occurrences(
        cls, terms: NDArray[np.int64], documents: NDArray[np.int64], n_terms: int, n_documents: int
    ) -> PostingLists:
        """Count occurrences, given as pairs (term, document); every term 0..n_terms occurs."""
        pairs, counts = np.unique(terms * max(n_documents, 1) + documents, return_counts=True)
        of_term, of_document = np.divmod(pairs, max(n_documents, 1))
        offsets = np.zeros(n_terms + 1, dtype=np.int64)
        np.cumsum(np.bincount(of_term, minlength=n_terms), out=offsets[1:])
        return cls(
            np.arange(n_terms, dtype=np.int32),
            offsets,
            of_document.astype(np.int32),
            np.minimum(counts, MAX_COUNT).astype(np.uint16),
        )

    @classmethod
    def merged(cls, parts: Sequence[PostingLists]) -> PostingLists:
        """Postings of several ranges of documents, each range after the one before."""
        terms = np.unique(
            np.concatenate([np.empty(0, dtype=np.int32), *(part.terms for part in parts)])
        )
        rows = [np.searchsorted(terms, part.terms) for part in parts]
        offsets = np.zeros(len(terms) + 1, dtype=np.int64)
        for part, row in zip(parts, rows, strict=True):
            offsets[row + 1] += np.diff(part.offsets)
        np.cumsum(offsets, out=offsets)
        documents = np.empty(offsets[-1], dtype=np.int32)
        counts = np.empty(offsets[-1], dtype=np.uint16)
        free = offsets[:-1].copy()
        for part, row in zip(parts, rows, strict=True):
            sizes = np.diff(part.offsets)
            places = np.repeat(free[row] - part.offsets[:-1], sizes)
            places += np.arange(len(places))
            documents[places] = part.documents
            counts[places] = part.counts
            free[row] += sizes
        return cls(terms, offsets, documents, counts)

    def of(self, term: int) -> slice:
        """Where the term's postings lie in `documents` and `counts`."""
        at = int(np.searchsorted(self.terms, np.int32(term), sorter=self._order))
        if at == len(self.terms) or self.terms[self._order[at]] != term:
            return slice(0, 0)
        row = self._order[at]
        return slice(int(self.offsets[row]), int(self.offsets[row + 1]))

    def restricted(self, keep: NDArray[np.bool_]) -> PostingLists:
        """Only the documents marked, renumbered without gaps; terms left without any fall out.

        Args:
            keep: bool[n] by document.
        """
        renumbered = np.cumsum(keep, dtype=np.int32) - np.int32(1)
        kept = keep[self.documents]
        before = np.zeros(len(kept) + 1, dtype=np.int64)
        np.cumsum(kept, out=before[1:])
        offsets = before[self.offsets]
        occurring = np.diff(offsets) > 0
        return PostingLists(
            self.terms[occurring],
            np.concatenate([offsets[:1], offsets[1:][occurring]]),
            renumbered[self.documents[kept]],
            self.counts[kept],
        )

    def recoded(self, codes: NDArray[np.int32], first_document: int = 0) -> PostingLists:
        """The same postings with `codes[i]` for the i-th term and documents counted from another.

        Args:
            codes: int32[t], distinct.
        """
        documents = self.documents + np.int32(first_document)
        return PostingLists(codes, self.offsets, documents, self.counts)

    @cached_property
    def _order(self) -> NDArray[np.intp]:
        return np.argsort(self.terms, kind="stable")
