"""Requests as vectors for the classifier: embeddings, hashed words and keyword weights.

The embedding carries meaning to words never seen, hashed words and word pairs carry what an
average of word vectors forgets (order, the opening, the head of a compound), and the keyword
weights carry what the keyword file knows. The scales of the blocks were chosen on requests that
are in neither file.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from genesis.tasks.infer_keywords import KeywordInferrer
from genesis.tasks.infer_text import RequestText, stems
from infrastructure.embeddings.embedder import Embedder, unit_rows

_HASHED = 512
_MEANING_SCALE = 1.4
_WORDS_SCALE = 1.0
_KEYWORDS_SCALE = 0.5
_BODY_WEIGHT = 0.4
_LAST_WORD_WEIGHT = 0.7

Vectors = NDArray[np.float32]


class RequestFeatures:
    """Turns requests into rows of numbers.

    Args:
        embedder: embeds titles and whole texts.
        keywords: weighs keywords.
    """

    def __init__(self, embedder: Embedder, keywords: KeywordInferrer) -> None:
        self._embedder = embedder
        self._keywords = keywords

    @property
    def fingerprint(self) -> str:
        """The same for features that come out the same.

        Raises:
            ModelError: the embedder is not installed.
        """
        return f"{self._embedder.name} {self._embedder.version} {self._keywords.fingerprint}"

    def rows(self, requests: Sequence[RequestText]) -> Vectors:
        """One row per request, [n, d].

        Raises:
            ModelError: the embedder failed.
        """
        count = len(requests)
        texts = [request.title for request in requests] + [request.whole for request in requests]
        embedded = self._embedder.embed(texts)
        words = np.stack([_hashed_words(request) for request in requests])
        weights = np.array([self._keywords.weigh(request) for request in requests], np.float32)
        return np.hstack(
            [
                # The title counts twice: it is part of the whole, too.
                _MEANING_SCALE * unit_rows(embedded[:count] + embedded[count:]),
                _WORDS_SCALE * unit_rows(words),
                _KEYWORDS_SCALE * np.log1p(weights),
            ]
        )


def _hashed_words(request: RequestText) -> Vectors:
    """Words, pairs and positions by signed hashing (Weinberger et al., 2009)."""
    row = np.zeros(_HASHED, dtype=np.float32)
    for name, weight in dict(_word_marks(request)).items():
        digest = zlib.crc32(name.encode())
        row[(digest >> 1) % _HASHED] += weight if digest & 1 else -weight
    return row


def _word_marks(request: RequestText) -> Iterator[tuple[str, float]]:
    """Names and weights of what is marked; the title's come last, so that they prevail."""
    body, title = stems(request.body), stems(request.title)
    for words, weight in ((body, _BODY_WEIGHT), (title, 1.0)):
        for word in words:
            yield word, weight
        for first, second in pairwise(words):
            yield f"{first} {second}", weight
    for place, word in enumerate(title[:2]):
        yield f"^{place} {word}", 1.0
    if title:
        yield f"$ {title[-1]}", _LAST_WORD_WEIGHT
