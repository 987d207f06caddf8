"""The form that a request asks of a text: lengths, lists, headings, words; and whether it has it.

Only what a request says plainly and what can be counted is taken up; nothing is guessed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from genesis.agents.prose import straight_quotes

_NUMBERS = {
    word: number
    for number, word in enumerate(
        ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"], start=1
    )
}
_N = rf"(\d{{1,5}}|{'|'.join(_NUMBERS)})"
_MOST = (
    r"at most|(?:no|not) (?:more|longer) than|up to|under|below|(?:fewer|less) than|within|maximum"
)
_LEAST = r"at least|(?:no|not) (?:less|fewer|shorter) than|more than|over|minimum"
# "the two sections" are somebody else's, not those of the text that is asked for.
_NOT_ASKED = "".join(
    rf"(?<!\b{word} )" for word in ("the", "these", "those", "first", "last", "next", "all")
)
_UNITS = {
    "words": r"words?",
    "sentences": r"sentences?",
    "paragraphs": r"paragraphs?",
    "bullets": r"(?:bullet(?:ed)?[ -]points?|bullets?|list items?)",
    "headings": r"(?:headings?|sections?)",
}
_ABOUT_SHARE = 0.25
# One line at a time, and without a choice of ways to match, so that no answer takes for ever.
_HEADING = re.compile(r"(?m)^ {0,3}#{1,6}[ \t]+(\S.*)$")
_BULLET = re.compile(r"(?m)^[^\S\n]*(?:[-*+•]|\d+[.)])[^\S\n]+\S")
_FENCE = "```"
_ABBREVIATION = re.compile(r"(?i)\b(?:e\.g|i\.e|etc|dr|mr|mrs|ms|vs|cf)\.")
_SENTENCE_END = re.compile(
    r"(?<![.!?\u2026\u3002\uff01\uff1f])[.!?\u2026\u3002\uff01\uff1f]++[\"')\]]*+(?=\s|$)"
)
_QUOTED = re.compile(r"[\"`]([^\"`\n]{1,60})[\"`]|(?<!\w)'([^'\n]{1,60})'(?!\w)")
_NEGATION = re.compile(r"(?i)\b(?:not|don't|never|avoid\w*|without|no)\b")
_WORDS_ASKED = re.compile(
    r"(?i)\b(?:includ\w+|mention\w*|contain\w*|use|using|with|avoid\w*|without)\s+"
    r"(?:the\s+)?(?:words?|phrases?|terms?|expressions?)\s+(?=[\"'`])"
)
_HEADINGS_ASKED = re.compile(r"(?i)\b(?:headings?|sections?)\s+(?:called\s+|named\s+)?(?=[\"'`])")


@dataclass(frozen=True, slots=True)
class Demand:
    """One demand on a text.

    Attributes:
        label: what is demanded, in words.
        problem: what a text lacks; empty when it meets the demand.
    """

    label: str
    problem: Callable[[str], str]


def unmet(asked: tuple[Demand, ...], text: str) -> tuple[str, ...]:
    """What a text lacks of what was asked; empty when it lacks nothing."""
    plain = straight_quotes(text)
    return tuple(problem for demand in asked if (problem := demand.problem(plain)))


def demands(request: str) -> tuple[Demand, ...]:
    """The demands that a request makes on the form of a text, each once."""
    plain = straight_quotes(request)
    found = [*_counts_asked(plain), *_quotes_asked(plain)]
    return tuple({demand.label: demand for demand in found}.values())


def _counts_asked(request: str) -> Iterator[Demand]:
    for unit, pattern in _UNITS.items():
        bound = rf"(?:({_MOST})\s+|({_LEAST})\s+)?\b{_NOT_ASKED}"
        number = rf"{_N}(?:\s*(?:-|to|and)\s*{_N})?"
        asked = rf"(?i){bound}{number}[\s-]+(?:short\s+)?{pattern}\b"
        for match in re.finditer(asked, request):
            most, least, first, second = match.groups()
            yield _count_demand(unit, *_range(unit, most, least, first, second))


def _range(
    unit: str, most: str | None, least: str | None, first: str, second: str | None
) -> tuple[int, float]:
    low = _as_int(first)
    if second is not None:
        return low, _as_int(second)
    if most:
        return 0, low
    if least:
        return low, math.inf
    if unit == "words":  # nobody counts words exactly, unless by "at most" and "at least"
        return math.floor(low * (1 - _ABOUT_SHARE)), math.ceil(low * (1 + _ABOUT_SHARE))
    return low, low


def _as_int(text: str) -> int:
    return _NUMBERS.get(text.lower()) or int(text)


def _count_demand(unit: str, low: int, high: float) -> Demand:
    if high == math.inf:
        label = f"at least {low} {unit}"
    elif low == 0:
        label = f"at most {high} {unit}"
    else:
        label = f"{low} {unit}" if low == high else f"{low} to {high} {unit}"

    def problem(text: str) -> str:
        count = _count(unit, text)
        return "" if low <= count <= high else f"it has {count} {unit}, asked for were {label}"

    return Demand(label, problem)


def _count(unit: str, text: str) -> int:
    if unit == "words":
        return sum(any(c.isalnum() for c in word) for word in text.split())
    prose = _without_code(text)
    if unit == "bullets":
        return len(_BULLET.findall(prose))
    if unit == "headings":
        return len(_HEADING.findall(prose))
    if unit == "sentences":
        return len(_SENTENCE_END.findall(_ABBREVIATION.sub("", _HEADING.sub("", prose))))
    lines = _HEADING.sub("", prose).splitlines()
    begins = (lines[n] for n in range(len(lines)) if lines[n].strip() and _blank_before(lines, n))
    return sum(not _BULLET.match(line) for line in begins)


def _blank_before(lines: list[str], number: int) -> bool:
    return number == 0 or not lines[number - 1].strip()


def _without_code(text: str) -> str:
    """The text without its fenced blocks; a fence that is never closed hides nothing."""
    kept: list[str] = []
    fenced: list[str] = []
    for line in text.splitlines():
        closes = bool(fenced) and line.rstrip() == _FENCE
        if fenced or line.startswith(_FENCE):
            fenced.append(line)
        else:
            kept.append(line)
        if closes:
            fenced.clear()
    return "\n".join([*kept, *fenced])


def _quotes_asked(request: str) -> Iterator[Demand]:
    for sentence in re.split(r"(?<=[.!?])\s+|\n", request):
        for match in _WORDS_ASKED.finditer(sentence):
            unwanted = bool(_NEGATION.search(sentence[: match.end()]))
            for quoted in _quoted(sentence[match.end() :]):
                yield _unwanted_word(quoted) if unwanted else _wanted_word(quoted)
        for match in _HEADINGS_ASKED.finditer(sentence):
            yield from map(_heading_demand, _quoted(sentence[match.end() :]))


def _quoted(text: str) -> Iterator[str]:
    """Quoted texts in a row, joined by commas, "and" or "or"."""
    position = 0
    while match := _QUOTED.match(text, position):
        yield match[1] or match[2]
        joint = re.compile(r"\s*,?\s*(?:and|or|&)?\s*").match(text, match.end())
        position = joint.end() if joint else match.end()


def _has(text: str, word: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE) is not None


def _wanted_word(word: str) -> Demand:
    return Demand(
        f"the word {word!r}", lambda text: "" if _has(text, word) else f"it lacks {word!r}"
    )


def _unwanted_word(word: str) -> Demand:
    return Demand(
        f"no {word!r}", lambda text: f"it has {word!r}, unwanted" if _has(text, word) else ""
    )


def _heading_demand(heading: str) -> Demand:
    def problem(text: str) -> str:
        headings = [found.rstrip(" \t#").lower() for found in _HEADING.findall(text)]
        return "" if heading.lower() in headings else f"it lacks the heading {heading!r}"

    return Demand(f"the heading {heading!r}", problem)
