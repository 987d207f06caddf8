"""Sentences of chat text: where a thought ends, though people write as they speak."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_END: Final = re.compile(
    r"""(?:(?P<mark>[.!?\u2026]+)["'\u201d\u2019)\]*_]*\s+)|[\u3002\uff01\uff1f]"""
)
_ABBREVIATIONS: Final = frozenset(
    re.findall(
        r"\S+",
        """
        mr mrs ms dr prof rev sr jr st ave blvd mt ft capt col gen lt sgt gov sen rep hon pres vs
        etc al approx appt apt dept est fig figs min max no nos vol vols pp ed eds inc ltd corp co
        jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thur thurs fri sat sun
        e.g i.e eg ie cf ca resp incl tel ext misc
        """,
    )
)
# These may well end a sentence, and then the next one begins with a capital.
_EITHER: Final = frozenset(
    re.findall(r"\S+", "a.m p.m am pm etc jr sr inc ltd corp co u.s u.k ph.d b.c a.d")
)
_WORD_BEFORE: Final = re.compile(r"""[^\s("'\[]+$""")
_MARKER: Final = re.compile(r"(?:\d{1,3}|[A-Za-z])$")
_OPENING: Final = "\"'\u201c\u2018([*_"


def sentences(text: str) -> list[str]:
    """The sentences of a text, verbatim, in their order; a line break ends one, too.

    Abbreviations, initials, numbers, the markers of lists and dots that trail off end none.
    """
    return [
        sentence
        for line in text.splitlines()
        for part in _parts(line)
        if (sentence := part.strip())
    ]


def _parts(line: str) -> Iterator[str]:
    start = 0
    for end in _END.finditer(line):
        if _ends(line, start, end):
            yield line[start : end.end()]
            start = end.end()
    yield line[start:]


def _ends(line: str, start: int, end: re.Match[str]) -> bool:
    mark = end["mark"]
    if mark is None or "!" in mark or "?" in mark:
        return True
    following = line[end.end() :].lstrip(_OPENING)[:1]
    if mark != ".":  # it trails off, and may go on
        return following.isupper() or not following
    return not _abbreviates(line[start : end.start()], following)


def _abbreviates(before: str, following: str) -> bool:
    """Whether a full stop after this text belongs to its last word."""
    found = _WORD_BEFORE.search(before)
    if found is None:
        return True
    word = found.group()
    folded = word.lower()
    if before.strip() == word and _MARKER.match(word):  # "1. Buy milk"
        return True
    if folded in _EITHER:
        return not following.isupper()
    initial = len(word) == 1 and word.isupper() and word != "I"
    if folded == "no":  # "No. 5", but "No. I stay"
        return following.isdigit()
    return initial or folded in _ABBREVIATIONS
