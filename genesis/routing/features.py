"""A request's text as numbers: what its words are, and what form it has.

Nothing here knows a domain: the form is counted (length, digits, symbols, lines, questions), and
words count by how rare they were among the texts that a policy was trained on.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

FEATURES_VERSION: Final = 1
HASHED: Final = 4096
_MAX_CHARS: Final = 8_000
_WORD = re.compile(r"[a-z]+|\d+|[^\sa-z\d]")
FORM_NAMES: Final = (
    "log characters",
    "log words",
    "log lines",
    "characters a word",
    "share of digits",
    "share of capitals",
    "share of symbols",
    "questions",
)


def form(text: str) -> NDArray[np.float64]:
    """The counts of FORM_NAMES, float64 [len(FORM_NAMES)]."""
    text = text[:_MAX_CHARS]
    length = max(len(text), 1)
    words = text.split()
    letters = sum(map(str.isalpha, text))
    digits = sum(map(str.isdigit, text))
    spaces = sum(map(str.isspace, text))
    capitals = sum(map(str.isupper, text))
    return np.array(
        [
            np.log1p(len(text)),
            np.log1p(len(words)),
            np.log1p(text.count("\n")),
            len(text) / max(len(words), 1),
            digits / length,
            capitals / length,
            (length - letters - digits - spaces) / length,
            text.count("?"),
        ]
    )


def hashed_words(text: str) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Places below HASHED and the damped counts there, of words and word pairs.

    Hashing of features by Weinberger et al. (2009), without signs.
    """
    counts: dict[int, int] = {}
    for mark in _marks(text):
        place = zlib.crc32(mark.encode()) % HASHED
        counts[place] = counts.get(place, 0) + 1
    places = np.fromiter(counts, dtype=np.intp, count=len(counts))
    weights = np.log1p(np.fromiter(counts.values(), dtype=np.float64, count=len(counts)))
    return places, weights


def _marks(text: str) -> Iterator[str]:
    words = _WORD.findall(text[:_MAX_CHARS].lower())
    yield from words
    for first, second in pairwise(words):
        yield f"{first} {second}"
