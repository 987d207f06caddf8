"""Words and phrases found in a request as whole words, never inside other words or file names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from infrastructure.jsonvalue import JsonObject

_LONG = 5
_SEPARATOR = r"[\s_-]+"
_FILE_NAME = re.compile(
    r"(?<![\w/])(?:[\w~.-]*/)*[\w-]+(?:\.[\w-]+)*\."
    r"(?:csv|tsv|txt|jsonl?|ndjson|parquet|gz|py|ipynb|md|xlsx?|sql|log|ya?ml|toml|html|pdf|png)\b",
    re.IGNORECASE,
)
_QUOTED_PASSAGE = re.compile(
    r"```.*?(?:```|\Z)|`(?:[^`\s]+\s+){3,}[^`]*`|\"(?:[^\"\s]+\s+){3,}[^\"]*\""
    r"|“(?:[^”\s]+\s+){3,}[^”]*”|(?<!\w)'(?:[^'\s]+\s+){3,}[^']*'(?!\w)",
    re.DOTALL,
)
_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)?")


class Phrases:
    """Phrases to look for, whatever their case and spacing.

    Args:
        phrases: words or word sequences; a word that ends with `*` takes any ending
            ("visuali*"). An empty collection matches nothing.
    """

    __slots__ = ("_pattern", "listed")

    def __init__(self, phrases: Iterable[str]) -> None:
        self.listed = tuple(phrases)
        self._pattern = _compiled(self.listed)

    def __bool__(self) -> bool:
        return bool(self.listed)

    def first_in(self, text: str) -> str:
        """The first passage of the text that matches, as written there; empty when none does."""
        found = self._pattern.search(text) if self._pattern is not None else None
        return found.group() if found else ""

    def without(self, text: str) -> str:
        """The text with a blank for every passage that matches."""
        return self._pattern.sub(" ", text) if self._pattern is not None else text

    def nearly_in(self, text: str) -> bool:
        """Whether a word of the text is one slip of the keyboard away from a long phrase."""
        words = [word for word in words_of(text) if len(word) >= _LONG - 1]
        for phrase in self.listed:
            stem = phrase.removesuffix("*")
            if len(stem) < _LONG or not stem.isalpha():
                continue
            for word in words:
                # Of a phrase that takes any ending, the beginning of the word is compared.
                cuts = [word] if phrase == stem else [word[: len(stem) + n] for n in (-1, 0, 1)]
                if any(cut[:1] == stem[:1] and one_edit_apart(cut, stem) for cut in cuts):
                    return True
        return False

    def begins(self, text: str) -> bool:
        """Whether the text begins with one of the phrases."""
        return bool(self.begun(text))

    def begun(self, text: str) -> str:
        """The phrase with which the text begins, as written there; empty when with none."""
        found = self._pattern.match(text) if self._pattern is not None else None
        return found.group() if found else ""

    def ends(self, text: str) -> bool:
        """Whether the text ends with one of the phrases."""
        if self._pattern is None:
            return False
        return any(found.end() == len(text) for found in self._pattern.finditer(text))


def one_edit_apart(one: str, other: str) -> bool:
    """Whether a letter is missing, added, wrong, or swapped with the next."""
    if abs(len(one) - len(other)) > 1:
        return False
    start = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    if start is None:
        return True
    a, b = one[start:], other[start:]
    swapped = len(a) > 1 and len(b) > 1 and (a[1], a[0], a[2:]) == (b[0], b[1], b[2:])
    return swapped or a[1:] == b[1:] or a[1:] == b or a == b[1:]


@lru_cache(maxsize=512)
def _compiled(phrases: tuple[str, ...]) -> re.Pattern[str] | None:
    alternatives = [_pattern_of(phrase) for phrase in sorted(phrases, key=len, reverse=True)]
    if not alternatives:
        return None
    return re.compile(rf"(?<!\w)(?:{'|'.join(alternatives)})(?!\w)", re.IGNORECASE)


def _pattern_of(phrase: str) -> str:
    words = [
        re.escape(word.rstrip("*")) + (r"\w*" if word.endswith("*") else "")
        for word in phrase.split()
    ]
    return _SEPARATOR.join(words)


def words_of(text: str) -> tuple[str, ...]:
    """The text's words, lower case, in order."""
    return tuple(word.lower() for word in _WORD.findall(text))


def prose(request: str, given: JsonObject | Mapping[str, object]) -> str:
    """The request without the names of files and of given folders, and without quoted passages.

    'chart' in "count the rows of chart.csv" names a file; it asks for no chart. Nor does a text
    ask for anything that is quoted to be translated.
    """
    text = _FILE_NAME.sub(" ", _QUOTED_PASSAGE.sub(" ", request))
    for value in given.values():
        if isinstance(value, str) and "/" in value:
            text = _without_path(text, value)
    return text


def _without_path(text: str, path: str) -> str:
    parts = [part for part in path.split("/") if part]
    for start in range(len(parts)):
        tail = "/".join(parts[start:])
        if tail in text:
            bare = re.escape(tail)
            return re.sub(rf"(?<![\w/]){bare}/?(?![\w/])", " ", text)
    return text
