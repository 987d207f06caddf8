"""The terms that full text knows a text by: folded words, stemmed."""

from __future__ import annotations

import re
import threading
import unicodedata
from typing import Final, Protocol, cast

import Stemmer


class _Porter(Protocol):
    def stemWords(self, words: list[str], /) -> list[str]: ...  # noqa: N802 - PyStemmer's name


class _Snowball(Protocol):
    def version(self) -> str: ...

    def Stemmer(self, algorithm: str, cache_size: int, /) -> _Porter: ...  # noqa: N802


_SNOWBALL: Final = cast("_Snowball", Stemmer)  # it comes without types

MAX_CHARACTERS: Final = 200_000
"""Characters of a text that are indexed, from its start: some 35,000 words, 10 to 25 ms."""

MAX_TERM_CHARACTERS: Final = 64
"""Longer words count by their first characters, so that no blob becomes a term of its size."""

MAX_QUERY_TERMS: Final = 64
"""Distinct terms of a query that are looked for, the first ones."""

VERSION: Final = f"words2-porter-{_SNOWBALL.version()}"
"""Names the folding and the stemmer. Terms of two versions do not match each other."""

_WORD: Final = re.compile(r"\w+")
# Where the words of an identifier meet: parseUserId, HTTPServer.
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_ASTRAL: Final = 0x10000

# Function words of English: in a question they match everything and say nothing.
_STOPWORDS: Final = frozenset(
    _WORD.findall("""
    a about after again all also am an and any are as at be because been before being between
    both but by can could did do does doing down during each few for from further had has have
    having he her here hers herself him himself his how i if in into is it its itself just me
    more most my myself no nor not now of off on once only or other our ours ourselves out over
    own same she should so some such than that the their theirs them themselves then there these
    they this those through to too under until up very was we were what when where which while
    who whom why will with would you your yours yourself yourselves s t d ll m re ve
""")
)


def stems(text: str) -> list[str]:
    r"""The terms of a document: one for each of its words, in their order, then their parts.

    A word is a run of `\w`; case and diacritics are folded (Unicode's compatibility decomposition
    without its marks), and Porter's algorithm takes off English endings. An identifier counts as
    a whole and by its parts: `parse_user_id` and `parseUserId` are found by `user` too. Only the
    first MAX_CHARACTERS of the text count, and the first MAX_TERM_CHARACTERS of a word. Safe from
    several threads.
    """
    return _stemmed(_words(text))


def query_terms(text: str) -> list[str]:
    """The distinct terms of a query, in their order, at most MAX_QUERY_TERMS.

    English stop words are left out unless the query has nothing else.
    """
    words = _words(text)
    telling = [word for word in words if word not in _STOPWORDS] or words
    return list(dict.fromkeys(_stemmed(telling)))[:MAX_QUERY_TERMS]


def _words(text: str) -> list[str]:
    head = text[:MAX_CHARACTERS]
    folded = _fold(head)
    words: list[str] = _WORD.findall(folded)
    apart = _CAMEL.sub("_", head)
    if apart != head:
        folded = _fold(apart)
    if "_" in folded:
        words += _parts(folded)
    if len(folded) <= MAX_TERM_CHARACTERS:
        return words
    return [word[:MAX_TERM_CHARACTERS] for word in words]


def _parts(folded: str) -> list[str]:
    compounds = (word for word in _WORD.findall(folded) if "_" in word)
    return [part for word in compounds for part in word.split("_") if part]


def _fold(text: str) -> str:
    if text.isascii():
        return text.lower()
    # One character can decompose into eighteen.
    return text.translate(_FOLDS)[:MAX_CHARACTERS]


class _Folds(dict[int, str]):
    """What each character folds to, by code point, found when first met.

    Characters are folded one by one: marks are dropped, so their canonical order is of no matter,
    and normalising a whole text can take quadratic time over a long run of marks.
    """

    def __missing__(self, point: int) -> str:
        caseless = unicodedata.normalize("NFKD", chr(point)).casefold()
        folded = "".join(
            char
            for char in unicodedata.normalize("NFKD", caseless)
            if not unicodedata.category(char).startswith("M")
        )
        if point < _ASTRAL:  # bounds what hostile texts make it hold
            self[point] = folded
        return folded


_FOLDS: Final = _Folds()


class _Local(threading.local):
    def __init__(self) -> None:
        # A stemmer must not be called by two threads at once. Its cache costs more than it saves.
        self.porter = _SNOWBALL.Stemmer("porter", 0)


_LOCAL: Final = _Local()


def _stemmed(words: list[str]) -> list[str]:
    # Porter leaves nothing of a lone "s".
    stemmed = _LOCAL.porter.stemWords(words)
    return [stem or word for stem, word in zip(stemmed, words, strict=True)]
