"""What a right answer to a request must account for, read off the request's plain words.

The analyst's own grammar decides which figure a question means, and both the answers and their
recomputation follow it; were it wrong, both would be wrong alike. This reading shares nothing with
it: no grammar, tokens or vocabulary, only patterns over the raw text. It cannot tell what the
answer is, but it notices a condition, number, function, end or column that the reading dropped.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, timedelta

from genesis.agents.data_analyst.columns import TableFacts
from genesis.agents.data_analyst.query import Condition, Query

_FILE = re.compile(r"\S*\.(?:csv|tsv|txt|tab|jsonl?|ndjson|parquet|pq|dat|psv)(?:\.gz)?\b", re.I)
_QUOTED = re.compile(r"\"[^\"]*\"|“[^”]*”|`[^`]*`|(?<!\w)'[^']*'(?!\w)")
_ROUNDING = re.compile(
    r"\bround\w* to \w+( decimal| digit| place)?\w*|\b\d+ (?:decimal|digit)\w*", re.I
)
_IGNORED = re.compile(
    r"\b(?:excluding|ignoring|without) (?:the |any )?(?:missing|null|nan|blank|empty)\b", re.I
)
_NEGATION = re.compile(
    r"\b(?:not|\w+n't|except|excluding|exclude|without|neither|ignoring|ignore|omitting|"
    r"leaving out|other than|apart from|but no)\b",
    re.I,
)
_NUMBER = re.compile(r"(?<![\w./:-])\d[\d,]*(?:\.\d+)?(?![\w/:-]|\.\d)")
_OVER = re.compile(
    r"\b(not |n't |no )?(?:above|over|more than|greater than|higher than|larger than|bigger than|"
    r"older than|exceed(?:s|ing)?|at least)\s+[$€£]?(\d[\d,]*(?:\.\d+)?)(?![\w/-])",
    re.I,
)
_UNDER = re.compile(
    r"\b(not |n't |no )?(?:below|under|less than|fewer than|lower than|smaller than|younger than|"
    r"at most)\s+[$€£]?(\d[\d,]*(?:\.\d+)?)(?![\w/-])",
    re.I,
)
_MULTIPLIED = re.compile(r"\d\s?(?:k|thousand|million|mn|billion|bn)\b", re.I)
_FUNCTIONS = (
    (r"(?<!mean )(?:average|avg|mean)\b", ("mean", "trend", "describe", "ratio", "extreme")),
    (r"median\b", ("median", "describe")),
    (r"standard deviation\b", ("std", "describe")),
    (r"correlation\b", ("correlation",)),
    (r"duplicate\w*", ("duplicates",)),
    (r"(?:percentage|proportion)\b", ("share", "rate")),
)
_HIGHEST = re.compile(r"\b(?:highest|largest|biggest|greatest|(?<!at )most(?! recent))\b", re.I)
_LOWEST = re.compile(r"\b(?:lowest|smallest|fewest)\b", re.I)
_SORTED = re.compile(r"\b(\w+est|most|high) to (\w+est|least|low)\b", re.I)
_FIRST = re.compile(r"\b\w+est first\b", re.I)
_ASKED = re.compile(r"\bhow many\b|\bwhat(?:'s| is| are)\b", re.I)
_SPOKEN = frozenset(
    re.findall(
        r"\w+",
        "date time year month week day hour count number total mean median max min sum average "
        "order rank group type name names value values row rows record records column columns "
        "file data "
        "index share rate level other open high low close first last most least end start line "
        "state unit item items case top report show list give find which what who where when "
        "how many much and the for from with per",
    )
)
"""Words of everyday questions; a column of that name may not be meant by them."""


def unmet(request: str, queries: Sequence[Query], facts: TableFacts) -> str:
    """What of a request no query accounts for, in words; empty if all is accounted for."""
    text = _IGNORED.sub(
        " ", _SORTED.sub(" ", _ROUNDING.sub(" ", _QUOTED.sub(" ", _FILE.sub(" ", request))))
    )
    used = {name for query in queries for name in query.used_columns}
    for name in _named(text, facts):
        if _starts_another(name, text, used):
            continue
        if name not in used and all(
            query.metric not in ("missing", "columns") for query in queries
        ):
            return f"the column {name!r}"
    bare = _without_names(text, facts)
    conditions = [condition for query in queries for condition in query.where]
    return (
        _unmet_numbers(bare, queries, conditions)
        or _unmet_negation(bare, queries, conditions)
        or _unmet_functions(bare, queries)
        or _unmet_ends(bare, queries)
        or _unmet_questions(bare, queries)
    )


def _spelt(name: str) -> str:
    return r"[\s_-]+".join(map(re.escape, re.split(r"[\s_-]+", name.strip())))


def _starts_another(name: str, text: str, used: set[str]) -> bool:
    """Whether a name is but the first word of another's: 'departure delay' for "dep_delay"."""
    following = re.search(rf"(?<!\w){_spelt(name)}\s+(\w+)", text, re.I)
    parts = {part for other in used for part in re.split(r"[\W_]+", other.casefold())}
    return following is not None and following[1].casefold() in parts - {""}


def _named(text: str, facts: TableFacts) -> list[str]:
    """The columns that a text spells out, each part of it for the longest name only."""
    found: list[str] = []
    for column in sorted(facts.columns, key=lambda c: len(c.name), reverse=True):
        if len(column.name) < 4 or column.name.casefold() in _SPOKEN:
            continue
        if facts.is_label(column) and column.name.casefold() in facts.file.casefold():
            continue  # 'the cheapest listing' is of the rows of listings.csv
        pattern = rf"(?<!\w){_spelt(column.name)}(?!\w)"
        if re.search(pattern, text, re.I):
            found.append(column.name)
            text = re.sub(pattern, " ", text, flags=re.I)
    return found


def _without_names(text: str, facts: TableFacts) -> str:
    """The text without names of columns and without values, which may hold words of any kind."""
    names = [c.name for c in facts.columns]
    lower = text.casefold()
    values = [v for c in facts.of_kind("text") for v in c.values if len(v) > 2]
    held = [v for v in (*values, *names) if v.casefold() in lower]
    for word in sorted(held, key=len, reverse=True):
        if word.casefold() not in _SPOKEN:
            text = re.sub(rf"(?<!\w){_spelt(word)}(?!\w)", " ", text, flags=re.I)
    return text


def _numeral(text: str) -> float:
    return float(text.replace(",", "").rstrip("."))


def _unmet_numbers(text: str, queries: Sequence[Query], conditions: Sequence[Condition]) -> str:
    stated = {float(v) for c in conditions for v in c.values if isinstance(v, int | float)}
    stated |= {float(query.limit) for query in queries if query.limit is not None}
    dates = " ".join(str(v) for c in conditions for v in c.values if isinstance(v, str))
    in_dates = {float(part) for part in re.findall(r"\d+", dates + _days_before(dates))}
    if _MULTIPLIED.search(text):
        return ""
    for found in _NUMBER.findall(text):
        number = _numeral(found)
        if number not in stated and number not in in_dates:
            return f"the number {found}"
    for pattern, ops in ((_OVER, (">", ">=")), (_UNDER, ("<", "<="))):
        for negated, number in pattern.findall(text):
            wanted = {">": ("<", "<="), "<": (">", ">=")}[ops[0]] if negated else ops
            held = [c for c in conditions if c.values[:1] == (_numeral(number),)]
            if held and all(c.op not in (*wanted, "between") for c in held):
                return f"the side of {number} that is asked for"
    return ""


def _days_before(dates: str) -> str:
    """The days before those in a text: 'until 31 May' is stored as before 1 June."""
    days = [date.fromisoformat(day) for day in re.findall(r"\d{4}-\d{2}-\d{2}", dates)]
    return "".join(f" {day - timedelta(days=1)}" for day in days if day > date.min)


def _unmet_negation(text: str, queries: Sequence[Query], conditions: Sequence[Condition]) -> str:
    found = _NEGATION.search(text)
    if found is None or any(query.metric.startswith("missing") for query in queries):
        return ""
    excluding = ("!=", "missing", "present", "<", "<=", ">", ">=")
    met = any(
        c.op in excluding or c.op.startswith("not ") or False in c.values or 0.0 in c.values
        for c in conditions
    )
    said_no = any(
        str(v).casefold() in ("no", "n", "false", "f") for c in conditions for v in c.values
    )
    return "" if met or said_no else f"{found[0]!r}"


def _unmet_functions(text: str, queries: Sequence[Query]) -> str:
    metrics = {query.metric for query in queries}
    for pattern, wanted in _FUNCTIONS:
        found = re.search(rf"\b{pattern}", text, re.I)
        if found and metrics.isdisjoint(wanted):
            return f"{found[0]!r}"
    return ""


def _unmet_ends(text: str, queries: Sequence[Query]) -> str:
    for pattern, order, metric in ((_HIGHEST, "desc", "max"), (_LOWEST, "asc", "min")):
        found = pattern.search(text)
        if found and not any(
            query.order == order or query.metric in (metric, "describe") for query in queries
        ):
            return f"{found[0]!r}"
    return ""


def _unmet_questions(text: str, queries: Sequence[Query]) -> str:
    asked = len(_ASKED.findall(text))
    return f"one of its {asked} questions" if asked > len(queries) else ""
