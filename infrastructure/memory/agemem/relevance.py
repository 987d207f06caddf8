"""How relevant texts are to a query: words weighed by their rarity, and nearness of meaning.

Words count as in BM25 (S. Robertson, H. Zaragoza, The Probabilistic Relevance Framework, 2009),
on a scale from 0 to 1: what a text could score that is full of every word of the query.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from infrastructure.memory.agemem.text_analysis import TextAnalysis

Floats = NDArray[np.float32]

_SATURATION: Final = 1.2
_LENGTH: Final = 0.75
MEANING: Final = 0.3
"""The weight of vectors against words, as in Memori's own ranking."""


class TermStatistics:
    """In how many texts each term occurs, of those that memory and context hold."""

    def __init__(self) -> None:
        self.texts = 0
        self._length = 0
        self._holding: Counter[str] = Counter()

    def add(self, analysis: TextAnalysis) -> None:
        """Count a text."""
        self.texts += 1
        self._length += analysis.length
        self._holding.update(analysis.counts.keys())

    def remove(self, analysis: TextAnalysis) -> None:
        """Take a text back that was counted."""
        self.texts -= 1
        self._length -= analysis.length
        for term in analysis.counts:
            self._holding[term] -= 1
            if not self._holding[term]:
                del self._holding[term]

    @property
    def mean_length(self) -> float:
        """Mean number of terms of a text, at least 1."""
        return max(1.0, self._length / self.texts) if self.texts else 1.0

    def holding(self, term: str) -> int:
        """How many texts have the term."""
        return self._holding[term]

    def rarity(self, term: str) -> float:
        """BM25's inverse document frequency, above 0."""
        held = self._holding[term]
        return math.log(1.0 + (self.texts - held + 0.5) / (held + 0.5))


def relevance(
    query: TextAnalysis, texts: Sequence[TextAnalysis], statistics: TermStatistics
) -> Floats:
    """How relevant each text is to a query, about 0 to 1; float32[n]."""
    if not texts:
        return np.zeros(0, dtype=np.float32)
    near = np.stack([text.vector for text in texts]) @ query.vector
    weights = [(term, statistics.rarity(term)) for term in query.asked]
    mean = statistics.mean_length
    words = np.array([_words(text, weights, mean) for text in texts], dtype=np.float32)
    return fused(words, near)


def fused(words: Floats, near: Floats) -> Floats:
    """The two scales as one; float32[n]."""
    return np.float32(1 - MEANING) * words + np.float32(MEANING) * np.maximum(near, np.float32(0))


def term_weight(count: int, length: int, mean_length: float) -> float:
    """What one term of a query gives, 0 to 1, by its count in a text and the text's length."""
    norm = _SATURATION * (1 - _LENGTH + _LENGTH * length / mean_length)
    return count / (count + norm)


def term_weights(
    counts: NDArray[np.float64], lengths: NDArray[np.float64], mean_length: float
) -> NDArray[np.float64]:
    """`term_weight` of many, float64[n]."""
    norms = _SATURATION * (1 - _LENGTH + _LENGTH * lengths / mean_length)
    return counts / (counts + norms)


def _words(text: TextAnalysis, weights: Iterable[tuple[str, float]], mean: float) -> float:
    total = found = 0.0
    for term, rarity in weights:
        total += rarity
        count = text.counts.get(term, 0)
        if count:
            found += rarity * term_weight(count, text.length, mean)
    return found / total if total else 0.0
