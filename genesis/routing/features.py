"""The form of a request's text as numbers, beside the embedding that carries its meaning.

How long a text is, how it is laid out, which signs and which kinds of words it uses says much
about how hard it is, and says it in any domain. Nothing here knows a subject.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np
from numpy.typing import NDArray

FEATURES_VERSION: Final = 2
_MAX_CHARS: Final = 6_000
_LONG_WORD: Final = 9
_SHORT_LINE: Final = 25
_LONG_LINE: Final = 80

_NUMBER = re.compile(r"\d+(\.\d+)?")
_BLANK = re.compile(r"_{2,}")
_FORMULA = re.compile(r"[=+*/^<>%$\\]")
_SENTENCE_END = re.compile(r"[.!?](?:\s|$)")
_TRIM: Final = ".,;:?!()[]{}'\""
_NEGATIONS: Final = frozenset(
    (
        "not", "no", "never", "none", "except", "neither", "nor", "cannot", "least", "false",
        "incorrect",
    )
)  # fmt: skip
_PERSONS: Final = frozenset(("i", "me", "my", "he", "him", "his", "she", "her"))
# Words that say what kind of answer is wanted, or how the question is put.
_CUES: Final = (
    "what", "which", "who", "when", "where", "why", "how", "if", "most", "best", "following",
    "true", "statement", "both", "all", "suppose", "find", "calculate", "according",
)  # fmt: skip

FORM_NAMES: Final = (
    "log characters", "log words", "lines", "log characters of the first line",
    "log mean of later lines", "log longest later line", "log spread of later lines",
    "relative spread of later lines",
    "characters a word", "share of distinct words", "share of long words",
    "share of capitalised words", "share of number words", "share of persons",
    "share of digits", "share of capitals", "share of symbols",
    "question marks", "blanks", "brackets", "quotes", "commas", "full stops", "semicolons",
    "colons", "signs of formulas", "numbers", "decimals",
    "negations", "negations in the first line", "shouted words", "sentences in the first line",
    "first line asks", "first line ends in a question mark", "first line ends in a colon",
    "first line ends in a full stop",
    "share of later lines with digits", "share of short later lines",
    "share of long later lines",
    *(f"has {word!r}" for word in _CUES),
)  # fmt: skip


def form(text: str) -> NDArray[np.float64]:
    """The counts and shares of FORM_NAMES, float64 [len(FORM_NAMES)].

    The start of a text counts, 6,000 characters of it.
    """
    text = text[:_MAX_CHARS]
    first, *later = text.split("\n")
    words = text.split()
    plain = [word.strip(_TRIM).lower() for word in words]
    known = set(plain)
    return np.array(
        [
            np.log1p(len(text)),
            np.log1p(len(words)),
            1 + len(later),
            np.log1p(len(first)),
            *_layout([len(line) for line in later if line.strip()]),
            *_wording(text, words, plain),
            *_signs(text),
            *_opening(first, words, plain),
            *_later([line for line in later if line.strip()]),
            *(word in known for word in _CUES),
        ],
        dtype=np.float64,
    )


def _layout(lengths: list[int]) -> list[float]:
    """Mean, longest and spread of the later lines."""
    if not lengths:
        return [0.0, 0.0, 0.0, 0.0]
    mean = sum(lengths) / len(lengths)
    spread = (sum((length - mean) ** 2 for length in lengths) / len(lengths)) ** 0.5
    return [*np.log1p([mean, max(lengths), spread]).tolist(), spread / (mean + 1)]


def _wording(text: str, words: list[str], plain: list[str]) -> list[float]:
    """Shares of kinds of words and of kinds of characters."""
    n, size = max(len(words), 1), max(len(text), 1)
    letters = sum(map(str.isalnum, text)) + sum(map(str.isspace, text))
    return [
        len(text) / n,
        len(set(plain)) / n,
        sum(len(word) >= _LONG_WORD for word in plain) / n,
        sum(word[0].isupper() for word in words) / n,
        sum(map(str.isdigit, plain)) / n,
        sum(word in _PERSONS for word in plain) / n,
        sum(map(str.isdigit, text)) / size,
        sum(map(str.isupper, text)) / size,
        (len(text) - letters) / size,
    ]


def _signs(text: str) -> list[float]:
    numbers = _NUMBER.findall(text)
    return [
        text.count("?"),
        len(_BLANK.findall(text)),
        text.count("("),
        text.count('"') + text.count("'"),
        text.count(","),
        text.count("."),
        text.count(";"),
        text.count(":"),
        len(_FORMULA.findall(text)),
        len(numbers),
        sum(map(bool, numbers)),
    ]


def _opening(first: str, words: list[str], plain: list[str]) -> list[float]:
    """Negations and emphasis, and how the first line is put."""
    opening = first.rstrip()
    at_first = len(first.split())
    return [
        sum(word in _NEGATIONS for word in plain),
        sum(word in _NEGATIONS for word in plain[:at_first]),
        sum(len(word) > 2 and word.isalpha() and word.isupper() for word in words),
        len(_SENTENCE_END.findall(first)),
        "?" in first,
        opening.endswith("?"),
        opening.endswith(":"),
        opening.endswith("."),
    ]


def _later(lines: list[str]) -> list[float]:
    n = max(len(lines), 1)
    return [
        sum(_NUMBER.search(line, 2) is not None for line in lines) / n,
        sum(len(line) < _SHORT_LINE for line in lines) / n,
        sum(len(line) > _LONG_LINE for line in lines) / n,
    ]
