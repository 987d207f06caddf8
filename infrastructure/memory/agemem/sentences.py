"""Sentences of chat text: where a thought ends, though people write as they speak."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

# Possessive, and begun only where a run of marks begins: hostile texts take linear time.
_END: Final = re.compile(
    r"""(?<![.!?\u2026])(?P<mark>[.!?\u2026]++)["'\u201d\u2019)\]*_]*+\s+|[\u3002\uff01\uff1f]"""
)
_FOLLOWING: Final = re.compile(r"""["'\u201c\u2018(\[*_]*+(.?)""")
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
_LEADING: Final = "\"'([\u201c\u2018"
_LONGEST: Final = 12
"""Characters that are looked at for an abbreviation or the marker of a list."""


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
    found = _FOLLOWING.match(line, end.end())
    following = "" if found is None else found[1]
    if mark != ".":  # it trails off, and may go on
        return following.isupper() or not following
    first = max(start, end.start() - _LONGEST)
    *before, word = line[first : end.start()].rsplit(None, 1) or [""]
    opens = first == start and not before
    return not _abbreviates(word.lstrip(_LEADING), following, opens)


def _abbreviates(word: str, following: str, opens: bool) -> bool:
    """Whether a full stop after this word belongs to it.

    Args:
        word: what stands before it.
        following: the character after it and the space.
        opens: whether the word is the first of its line or sentence.
    """
    folded = word.lower()
    if not word or (opens and len(word) <= 3 and (word.isdigit() or len(word) == 1)):
        return True  # "1. Buy milk"
    if folded in _EITHER:
        return not following.isupper()
    if folded == "no":  # "No. 5", but "No. I stay"
        return following.isdigit()
    initial = len(word) == 1 and word.isupper() and word != "I"
    return initial or folded in _ABBREVIATIONS
