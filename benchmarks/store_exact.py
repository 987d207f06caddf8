"""What hybrid search should find: every row scored by plain NumPy, apart from the store's index."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from store_data import Note
from store_measure import TOP

from infrastructure.embeddings.builtin import BuiltinEmbedder
from infrastructure.memory.memori.lexical_index import K1, B
from infrastructure.memory.memori.meaning import nearness
from infrastructure.memory.memori.ranking import Ranking
from infrastructure.memory.memori.tokens import query_terms, stems

_DIGITS = 6


class _Counts:
    """How often the terms of some queries occur in each text."""

    def __init__(self, terms: set[str]) -> None:
        self.lengths: list[int] = []
        self._texts: dict[str, list[int]] = {term: [] for term in terms}
        self._counts: dict[str, list[int]] = {term: [] for term in terms}

    def add(self, text: str) -> None:
        words = stems(text)
        counted = Counter(words)
        for term in counted.keys() & self._texts.keys():
            self._texts[term].append(len(self.lengths))
            self._counts[term].append(counted[term])
        self.lengths.append(len(words))

    def shares(self, terms: Sequence[str]) -> NDArray[np.float64]:
        """BM25 of every text, as a share of what no text can exceed."""
        lengths = np.array(self.lengths, dtype=np.float64)
        norms = K1 * (1 - B + B * lengths / lengths.mean())
        scores, ceiling = np.zeros(len(lengths)), 0.0
        for term in terms:
            texts, counts = np.array(self._texts[term], dtype=np.int64), self._counts[term]
            idf = math.log(1 + (len(lengths) - len(texts) + 0.5) / (len(texts) + 0.5))
            ceiling += idf * (K1 + 1)
            found = np.array(counts, dtype=np.float64)
            scores[texts] += idf * (K1 + 1) * found / (found + norms[texts])
        return scores / (ceiling or 1.0)


def best_of_all(notes: Iterator[list[Note]], queries: Sequence[str]) -> dict[str, list[str]]:
    """The keys of the ten best notes for each query; of equal ones the later.

    Words count by BM25 as a share of its ceiling, meaning by how far the cosine is above what is
    usual over all notes, and the two are weighed as a search weighs them unless told otherwise.
    """
    embedder = BuiltinEmbedder()
    terms = {query: query_terms(query) for query in queries}
    counts = _Counts({term for of_query in terms.values() for term in of_query})
    vectors = embedder.embed(queries).T
    keys: list[str] = []
    cosines: list[NDArray[np.float32]] = []
    for chunk in notes:
        texts = [str(note.value["text"]) for note in chunk]
        for text in texts:
            counts.add(text)
        keys.extend(note.key for note in chunk)
        cosines.append(embedder.embed(texts) @ vectors)
    all_cosines = np.concatenate(cosines)
    weight = Ranking().meaning
    best: dict[str, list[str]] = {}
    for at, query in enumerate(queries):
        of_query = np.ascontiguousarray(all_cosines[:, at])
        near = nearness(of_query, of_query)
        scores = np.round((1 - weight) * counts.shares(terms[query]) + weight * near, _DIGITS)
        order = np.lexsort((-np.arange(len(keys)), -scores))[:TOP]
        best[query] = [keys[place] for place in order]
    return best
