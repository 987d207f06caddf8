"""Numbers, dates and set phrases as people write them in a question, brought to one form each."""

from __future__ import annotations

import re

from genesis.agents.data_analyst.columns import TableFacts
from genesis.agents.data_analyst.vocabulary import MONTHS, NUMBERS

_FACTORS = {"k": 10**3, "thousand": 10**3, "million": 10**6, "mn": 10**6, "billion": 10**9}
_MULTIPLE = re.compile(
    rf"(?<![\w.])(\d[\d,]*(?:\.\d+)?)\s?({'|'.join(_FACTORS)}|bn)\b", re.IGNORECASE
)
_CURRENCY = re.compile(r"[$€£]\s?(?=\d)")
_PLUS = re.compile(r"(?<![\w.])(\d+)\+(?=\s|$)")
_WORD_NUMBER = re.compile(
    rf"\b(than|above|below|over|under|least|most|exceeds?|equals?|equal to|is|of|has|have)\s+"
    rf"(zero|{'|'.join(NUMBERS)})\b",
    re.IGNORECASE,
)
_EXCLUDING = re.compile(
    r"\b(?:leaving out|leave out|not counting|not including|disregarding|ignoring|if we ignore|"
    r"omitting|except for|apart from|aside from|with the exception of|all but|everything but)\b",
    re.IGNORECASE,
)
_NEITHER = re.compile(r"\bneither\b(.{1,60}?)\bnor\b", re.IGNORECASE)
_SORTED = re.compile(
    r",?\s*\b(?:sorted|ordered|ranked|order|sort)\b[\w ]*?\b(?:from )?"
    r"(?:(highest|largest|biggest|most|high) to (?:lowest|smallest|least|low)"
    r"|(lowest|smallest|least|low) to (?:highest|largest|biggest|most|high))\b",
    re.IGNORECASE,
)
_FIRST = re.compile(
    r",?\s*\b(?:(highest|largest|biggest|greatest|most)|(?:lowest|smallest|fewest|least)) first\b",
    re.IGNORECASE,
)
_QUARTER = re.compile(
    r"\b(?:the )?(?:(first|1st)|(second|2nd)|(third|3rd)|(fourth|last|4th)) quarter\b",
    re.IGNORECASE,
)
_MONTH = rf"({'|'.join(f'{month}|{month[:3]}' for month in MONTHS)}|sept)"
_DAY_MONTH = re.compile(
    rf"\b(\d{{1,2}})(?:st|nd|rd|th)?(?:\s+of)?[ -]{_MONTH}\.?,?[ -](\d{{4}})\b", re.IGNORECASE
)
_MONTH_DAY = re.compile(
    rf"\b{_MONTH}\.?\s(?:the\s)?(\d{{1,2}})(?:st|nd|rd|th)?,?\s(\d{{4}})\b", re.IGNORECASE
)
_NUMERIC = re.compile(r"(?<![\d./])(\d{1,2})([./])(\d{1,2})\2(\d{4})(?![\d./])")


def plain_constants(text: str, facts: TableFacts) -> str:
    """A question with "1.5 million" as 1500000, "at least two" as 2, "June 1st, 2021" as ISO.

    What is a value of the table as it stands is left alone.
    """
    text = _EXCLUDING.sub("excluding", _NEITHER.sub(r"not \1 or", text))
    text = _SORTED.sub(lambda m: " descending" if m[1] else " ascending", text)
    text = _FIRST.sub(lambda m: " descending" if m[1] else " ascending", text)
    known = {value.casefold() for c in facts.of_kind("text") for value in c.values}
    text = _CURRENCY.sub("", _PLUS.sub(r"\1 or more", text))
    text = _MULTIPLE.sub(lambda m: m[0] if m[0].casefold() in known else _multiplied(m), text)
    text = _WORD_NUMBER.sub(
        lambda m: m[0] if m[2].casefold() in known else f"{m[1]} {NUMBERS.get(m[2].casefold(), 0)}",
        text,
    )
    if facts.of_kind("date"):
        text = _DAY_MONTH.sub(lambda m: _iso(m[3], m[2], m[1]) or m[0], text)
        text = _MONTH_DAY.sub(lambda m: _iso(m[3], m[1], m[2]) or m[0], text)
        text = _QUARTER.sub(lambda m: f"Q{m.lastindex}", text)
        text = _NUMERIC.sub(lambda m: _numeric(m) or m[0], text)
    return text


def _multiplied(found: re.Match[str]) -> str:
    factor = _FACTORS.get(found[2].casefold(), 10**9)
    return f"{float(found[1].replace(',', '')) * factor:.15g}"


def _iso(year: str, month: str, day: str) -> str:
    number = next(i for i, m in enumerate(MONTHS, 1) if m[:3] == month[:3].casefold())
    return f"{year}-{number:02d}-{int(day):02d}" if 1 <= int(day) <= 31 else ""


def _numeric(found: re.Match[str]) -> str:
    """Dots put the day first; slashes the month, unless that cannot be one."""
    first, second = int(found[1]), int(found[3])
    day_first = found[2] == "." or first > 12
    day, month = (first, second) if day_first else (second, first)
    return f"{found[4]}-{month:02d}-{day:02d}" if month <= 12 and day <= 31 else ""
