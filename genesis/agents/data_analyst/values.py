"""Values, dates and years as they stand in a question, and those of a table to compare with."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from genesis.agents.data_analyst.columns import TableFacts, words_of
from genesis.agents.data_analyst.query import Condition
from genesis.agents.data_analyst.tokens import Token
from genesis.agents.data_analyst.vocabulary import KEYWORDS, MONTHS


def striking(token: Token, found: Sequence[tuple[str, str]]) -> bool:
    """Whether a single word is so written that it can only be the value."""
    if token.word in KEYWORDS or len(token.word) < 2:
        return (
            any(value == token.text for _, value in found)
            and len(token.text) > 1
            and (token.text.isupper())
        )
    return len(token.word) > 3 or any(value == token.text for _, value in found)


def folded(text: str) -> str:
    """A text for comparison: one case, single spaces."""
    return " ".join(text.casefold().split())


def value_index(facts: TableFacts) -> dict[str, list[tuple[str, str]]]:
    """Every text value of a table by how it may be written, with its column."""
    index: dict[str, list[tuple[str, str]]] = {}
    for column in sorted(facts.of_kind("text"), key=lambda c: c.distinct):
        for value in column.values:
            if not value.strip():
                continue
            keys = {folded(value), folded(" ".join(words_of(value)))}
            alone = len(value.split()) == 1 and value.isalpha()
            if len(value) > 3 and alone and not value.casefold().endswith("s"):
                plural = value.casefold()
                keys |= {plural + "s", plural[:-1] + "ies" if plural.endswith("y") else plural}
            for key in keys:
                index.setdefault(key, []).append((column.name, value))
    return index


def is_year(token: Token) -> bool:
    """Whether a token is a plausible year."""
    return token.text.isdigit() and len(token.text) == 4 and 1500 <= int(token.text) <= 2199


def month_number(token: Token) -> int:
    """1 to 12 for the name of a month, else 0."""
    if token.kind != "word" or len(token.word) < 3:
        return 0
    for number, name in enumerate(MONTHS, 1):
        if token.word == name or (token.word == name[:3] and token.text[:1].isupper()):
            return number
    return 0


def constant(token: Token) -> str | float:
    """A token as a constant: a number, or a date as text."""
    return token.text if token.kind == "date" else float(token.text)


def day_span(text: str) -> tuple[str, str]:
    """The first moment of a day or month, and the first one past it, as ISO text."""
    parts = [int(part) for part in text[:10].split("T")[0].split(" ")[0].split("-")]
    if len(text) > 10:
        moment = datetime.fromisoformat(text).isoformat(" ")
        return moment, moment
    if len(parts) == 2:
        year, month = parts
        first = datetime(year, month, 1)
        past = datetime(year + month // 12, month % 12 + 1, 1)
    else:
        first = datetime(parts[0], parts[1], parts[2])
        past = first + timedelta(days=1)
    return first.isoformat(" "), past.isoformat(" ")


def merge(conditions: Sequence[Condition]) -> list[Condition]:
    """Several values of one column mean any of them."""
    merged: list[Condition] = []
    for condition in conditions:
        for position, earlier in enumerate(merged):
            same = (earlier.column, earlier.part) == (condition.column, condition.part)
            if same and earlier.op in ("=", "in") and condition.op in ("=", "in"):
                values = tuple(dict.fromkeys((*earlier.values, *condition.values)))
                op = "in" if len(values) > 1 else "="
                merged[position] = Condition(earlier.column, op, values, earlier.part)
                break
            if same and earlier.op in ("!=", "not in") and condition.op in ("!=", "not in"):
                values = tuple(dict.fromkeys((*earlier.values, *condition.values)))
                merged[position] = Condition(earlier.column, "not in", values, earlier.part)
                break
        else:
            merged.append(condition)
    return merged
