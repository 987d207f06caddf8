"""Whether what an agent claims agrees with figures that were computed apart from it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from genesis.agents.data_analyst.evaluate import Row
from genesis.agents.data_analyst.query import Query, headings
from genesis.agents.data_analyst.sql import readable
from infrastructure.jsonvalue import JsonValue

_NUMBER = re.compile(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\d,])|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_STATED_ROWS = 10


def same(claimed: JsonValue, expected: JsonValue) -> bool:
    """Whether two cells agree; numbers to one part in a million."""
    if isinstance(expected, bool) or isinstance(claimed, bool) or expected is None:
        return claimed is expected
    if isinstance(expected, int | float):
        if not isinstance(claimed, int | float) or not math.isfinite(claimed):
            return False
        if isinstance(expected, int) and isinstance(claimed, int):
            return claimed == expected
        return math.isclose(claimed, expected, rel_tol=1e-6, abs_tol=1e-12)
    return claimed == expected


def claimed_rows(value: JsonValue, width: int) -> list[list[JsonValue]]:
    """A claimed value as rows: from a scalar, a list, one object, or a list of rows."""
    if isinstance(value, Mapping):
        return [list(value.values())]
    if isinstance(value, str) or not isinstance(value, Sequence):
        return [[value]]
    if any(isinstance(row, Mapping) for row in value):
        return [list(row.values()) if isinstance(row, Mapping) else [row] for row in value]
    if any(isinstance(row, Sequence) and not isinstance(row, str) for row in value):
        return [
            list(row) if isinstance(row, Sequence) and not isinstance(row, str) else [row]
            for row in value
        ]
    return [list(value)] if width > 1 else [[cell] for cell in value]


def value_fault(query: Query, expected: Sequence[Row], value: JsonValue) -> str:
    """What differs between a claimed value and the expected rows; empty if nothing does."""
    heads = headings(query)
    rows = claimed_rows(value, len(heads))
    if not expected and value in ([], None):
        return ""
    if len(rows) != len(expected):
        return f"{len(rows)} rows instead of {len(expected)}"
    if not query.order:
        keys = len(query.groups)
        rows = sorted(rows, key=lambda row: _key(row[:keys]))
        expected = sorted(expected, key=lambda row: _key(row[:keys]))
    for claimed, wanted in zip(rows, expected, strict=True):
        if len(claimed) != len(wanted):
            return f"{len(claimed)} cells instead of {len(wanted)} in a row"
        for head, cell, right in zip(heads, claimed, wanted, strict=True):
            if not same(cell, right):
                return f"{head} is {_short(right)}, not {_short(cell)}"
    return ""


def _key(cells: Sequence[JsonValue]) -> list[str]:
    return [str(cell) for cell in cells]


def _short(value: JsonValue) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


class Statement:
    """A text for people, searched for figures and names."""

    def __init__(self, text: str) -> None:
        self._text = text.casefold()
        self._plain = self._text.replace("\\", "").replace("&lt;", "<")
        self._numbers = sorted(
            {
                float(found.replace(",", "")): _decimals(found) for found in _NUMBER.findall(text)
            }.items()
        )

    def lacks(self, rows: Sequence[Row]) -> str:
        """The first cell of the leading rows that the text does not state; empty if none."""
        for row in rows[:_STATED_ROWS]:
            for cell in row:
                if cell is not None and not self.states(cell):
                    return _short(cell)
        return ""

    def states(self, cell: JsonValue) -> bool:
        """Whether the text holds a name, or a number as rounded as people write it."""
        if isinstance(cell, bool) or not isinstance(cell, int | float):
            plain = " ".join(str(cell).casefold().split())
            return plain in " ".join(self._text.split()) or plain in " ".join(self._plain.split())
        return any(
            math.isclose(number, cell, rel_tol=2e-6, abs_tol=1e-9)
            or (decimals > 0 and not isinstance(cell, int) and _rounds(cell, number, decimals))
            for number, decimals in self._numbers
        )


def _rounds(value: float, stated: float, decimals: int) -> bool:
    """Whether `stated` is `value` rounded to its decimals, with three digits of it left."""
    close = abs(value - stated) <= 0.5000001 * 10.0**-decimals
    return close and abs(stated) * 10**decimals >= 100


def _decimals(number: str) -> int:
    mantissa = number.lower().split("e")[0]
    return len(mantissa.split(".")[1]) if "." in mantissa else 0


def columns_fault(query: Query, names: Sequence[str], claim: Mapping[str, JsonValue]) -> str:
    """What is wrong with the columns, the typed query or the SQL that a claim names, if it does."""
    if "columns" in claim:
        listed = claim["columns"]
        if not isinstance(listed, Sequence) or isinstance(listed, str):
            return "its columns are no list"
        wanted = set(query.used_columns)
        optional = set(query.labels) if wanted else set(names)
        if not (wanted - optional <= set(map(str, listed)) <= wanted | optional):
            return f"the question is of the columns {sorted(wanted)}, not {_short(list(listed))}"
    if "query" in claim and claim["query"] != query.to_json():
        return "its typed query is not that of the question"
    sql = claim.get("sql")
    if sql is None:
        return ""
    if not isinstance(sql, str) or not sql.strip():
        return "its SQL is empty"
    if "query" in claim and sql != readable(query, list(names)):
        return "its SQL is not that of its typed query"
    unnamed = [
        name
        for name in (*query.columns, *(group.column for group in query.groups))
        if name.casefold() not in sql.casefold().replace('""', '"')
    ]
    return f"its SQL does not read the column {unnamed[0]!r}" if unnamed else ""
