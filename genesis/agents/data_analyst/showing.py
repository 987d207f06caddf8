"""Rows shown as they are: 'show me the first 5 rows where city is Oslo'."""

from __future__ import annotations

from collections.abc import Sequence

from genesis.agents.data_analyst.columns import TableFacts, stem, words_of
from genesis.agents.data_analyst.conditions import FilterReader
from genesis.agents.data_analyst.query import Query
from genesis.agents.data_analyst.tokens import Token
from genesis.agents.data_analyst.vocabulary import NUMBERS, words

_SHOWING = words("show list give display print see view get preview what")
_LEADING = _SHOWING | words("can could you please me us i want would like to are is the a an let's")
_ENDS = {"first": "first", "top": "first", "last": "last", "bottom": "last", "final": "last"}
_FEW = words("few some couple sample example preview")
_ROWS = words("row record line entry observation")
_TRAILING = words("of from in the this file data dataset table where with whose that")
_SOME = 5
"""Rows that are shown where no number is named."""


def rows_shown(tokens: Sequence[Token], facts: TableFacts) -> Query | None:
    """The query of a question for some rows as they are; None where it asks for something else.

    Things other than rows ('the last 10 orders') may be sorted by time: beside a column of dates
    only rows have a first and a last.
    """
    at, showing, few = 0, False, False
    while at < len(tokens) and tokens[at].word in _LEADING | _FEW and tokens[at].kind == "word":
        showing = showing or tokens[at].word in _SHOWING
        few = few or tokens[at].word in _FEW
        at += 1
    end, at = _taken(tokens, at, _ENDS)
    count, at = _number(tokens, at)
    while at < len(tokens) and tokens[at].word in _FEW | {"of", "the", "data"} and few:
        at += 1
    if not count:
        count, at = _number(tokens, at)
    noun = stem(tokens[at].word) if at < len(tokens) else ""
    rows = noun in _ROWS
    things = noun in map(stem, words_of(facts.file.split(".")[0])) and not (
        end and facts.of_kind("date")
    )
    if not (rows or (things and showing)) or not (end or few or (count and showing)):
        return None
    single = rows and tokens[at].word == noun
    filters = FilterReader(tokens[at + 1 :], facts).read()
    rest = [t for i, t in enumerate(tokens[at + 1 :]) if i not in filters.used]
    if filters.problem or any(t.kind == "column" or t.word not in _TRAILING for t in rest):
        return None
    limit = count or (1 if single else _SOME)
    notes = (*filters.notes, "in the order of the file")
    names = tuple(column.name for column in facts.columns)
    return Query(
        f"{end or 'first'} rows", names, where=tuple(filters.conditions), limit=limit, notes=notes
    )


def _taken(tokens: Sequence[Token], at: int, meanings: dict[str, str]) -> tuple[str, int]:
    found = meanings.get(tokens[at].word, "") if at < len(tokens) else ""
    return found, at + bool(found)


def _number(tokens: Sequence[Token], at: int) -> tuple[int, int]:
    if at >= len(tokens):
        return 0, at
    token = tokens[at]
    plain = token.kind == "number" and token.text.isdigit()
    number = int(token.text) if plain else NUMBERS.get(token.word, 0)
    return number, at + bool(number)
