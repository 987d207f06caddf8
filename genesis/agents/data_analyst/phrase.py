"""Answers as people read them; every figure is that of the rows."""

from __future__ import annotations

from collections.abc import Sequence

from genesis.agents.data_analyst.query import AGGREGATES, Condition, Query, headings
from infrastructure.jsonvalue import JsonValue

SHOWN_ROWS = 24
"""Rows of a table that a sentence lists; the value holds all of them."""


def number(value: object) -> str:
    """A number with eight significant digits, or four decimals from a thousand on."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "none" if value is None else str(value)
    if float(value).is_integer() and abs(value) < 1e15:
        return str(int(value))
    if abs(value) >= 1000:
        return f"{value:.4f}".rstrip("0").rstrip(".")
    return f"{value:.8g}"


def value_of(query: Query, rows: Sequence[Sequence[JsonValue]]) -> JsonValue:
    """What a query's rows amount to: one value, a list, or a table as a list of objects."""
    heads = headings(query)
    if query.scalar:
        return rows[0][0] if rows else None
    if query.metric in ("columns", "values"):
        return [row[0] for row in rows]
    return [dict(zip(heads, row, strict=True)) for row in rows]


def sentence(query: Query, rows: Sequence[Sequence[JsonValue]]) -> str:
    """One answer, ending in a full stop."""
    return f"{_body(query, rows)}{_filters(query)}{_assumed(query)}."


def _assumed(query: Query) -> str:
    return f" ({'; '.join(query.notes)})" if query.notes else ""


def _filters(query: Query) -> str:
    if not query.where or (query.metric == "share" and not query.groups):
        return ""
    return " where " + " and ".join(map(condition_text, query.where))


def condition_text(condition: Condition) -> str:
    """A filter in words."""
    column = f"{condition.part} of {condition.column}" if condition.part else condition.column
    values = [
        number(value) if isinstance(value, float) else str(value) for value in condition.values
    ]
    if condition.other:
        return f"{column} {condition.op.split()[0]} {condition.other}"
    match condition.op:
        case "missing" | "present":
            return f"{column} is {condition.op}"
        case "between":
            return f"{column} is between {values[0]} and {values[1]}"
        case "in" | "not in":
            return f"{column} is {condition.op} ({', '.join(values)})"
        case op:
            return f"{column} {op} {values[0]}"


def _body(query: Query, rows: Sequence[Sequence[JsonValue]]) -> str:
    if query.scalar:
        return _scalar(query, rows[0][0] if rows else None)
    if not rows:
        return "No rows match"
    match query.metric:
        case "columns":
            return f"{len(rows)} columns: {', '.join(str(row[0]) for row in rows)}"
        case "values":
            return f"{query.columns[0]} has the values {_listed(rows)}"
        case "missing":
            return _missing(query, rows)
        case "period":
            return f"{query.columns[0]} runs from {rows[0][0]} to {rows[0][1]}"
        case "ratio" if not query.groups:
            a, b = query.columns
            return (
                f"The ratio of total {a} to total {b} is {number(rows[0][0])}; "
                f"the mean of the rows' own ratios is {number(rows[0][1])}"
            )
        case "describe":
            figures = zip(headings(query), rows[0], strict=True)
            return ", ".join(f"{head}: {number(cell)}" for head, cell in figures)
        case "trend":
            return _trend(query, rows)
        case "first rows" | "last rows" as metric:
            many = f"{metric.split()[0].capitalize()} {_rows(len(rows))}"
            return f"{many} ({' / '.join(query.columns)}): {_listed(rows, len(query.columns))}"
        case "extreme":
            return _extreme(query, rows)
        case _:
            return _grouped(query, rows)


def _missing(query: Query, rows: Sequence[Sequence[JsonValue]]) -> str:
    if not query.order:
        return f"Missing values: {_listed(rows)}"
    most = "most" if query.order == "desc" else "fewest"
    return f"{_names(rows, 1)} {_has(rows)} the {most} missing values: {number(rows[0][1])}"


def _scalar(query: Query, value: JsonValue) -> str:
    column = query.columns[0] if query.columns else ""
    if query.metric in AGGREGATES:
        if value is None:
            return f"There is no {AGGREGATES[query.metric]} {column}: no values"
        return f"The {AGGREGATES[query.metric]} {column} is {number(value)}"
    match query.metric:
        case "rows":
            return _rows(value)
        case "missing total":
            where = f" in {column}" if column else ""
            return f"{number(value)} missing value{'' if value == 1 else 's'}{where}"
        case "duplicates":
            of = f" values in {column}" if column else " rows"
            return f"{number(value)} duplicate{of}"
        case "distinct":
            return f"{number(value)} different values of {column}"
        case "share":
            tests = " and ".join(map(condition_text, query.where))
            if not isinstance(value, int | float):
                return "There are no rows to take a share of"
            of = f"total {column}" if column else "rows"
            return f"The share of {of} where {tests} is {number(value)} ({number(value * 100)} %)"
        case _:
            a, b = query.columns
            if value is None:
                return f"The correlation of {a} and {b} is not defined"
            return f"The correlation of {a} and {b} is {number(value)}"


def _rows(count: JsonValue) -> str:
    return f"{number(count)} row{'' if count == 1 else 's'}"


def _has(rows: Sequence[Sequence[JsonValue]]) -> str:
    return "has" if len(rows) == 1 else "have"


def _names(rows: Sequence[Sequence[JsonValue]], size: int) -> str:
    names = [" / ".join(number(cell) for cell in row[:size]) for row in rows[:SHOWN_ROWS]]
    more = f" and {len(rows) - SHOWN_ROWS} more" if len(rows) > SHOWN_ROWS else ""
    return " and ".join(names) + more


def _listed(rows: Sequence[Sequence[JsonValue]], size: int = 1) -> str:
    parts = [
        " / ".join(map(number, row[:size]))
        + (": " + " / ".join(map(number, row[size:])) if row[size:] else "")
        for row in rows[:SHOWN_ROWS]
    ]
    more = f", and {len(rows) - SHOWN_ROWS} more" if len(rows) > SHOWN_ROWS else ""
    return ", ".join(parts) + more


def _measure_name(query: Query) -> str:
    of = query.columns[0] if query.columns else "rows"
    return {"rows": "number of rows", "share": f"share of {of}", "rate": f"share of {of}"}.get(
        query.metric, headings(query)[len(query.groups)]
    )


def _grouped(query: Query, rows: Sequence[Sequence[JsonValue]]) -> str:
    size = len(query.groups)
    what = _measure_name(query)
    if query.order and query.limit == 1 and query.metric != "ratio":
        end = "highest" if query.order == "desc" else "lowest"
        return f"{_names(rows, size)} {_has(rows)} the {end} {what}: {number(rows[0][size])}"
    by = " and ".join(group.label for group in query.groups)
    return f"{what[:1].upper()}{what[1:]} by {by}: {_listed(rows, size)}"


def _extreme(query: Query, rows: Sequence[Sequence[JsonValue]]) -> str:
    size, column = len(query.labels), query.columns[0]
    if query.limit == 1:
        end = "highest" if query.order == "desc" else "lowest"
        return f"{_names(rows, size)} {_has(rows)} the {end} {column}: {number(rows[0][size])}"
    end = "Highest" if query.order == "desc" else "Lowest"
    return f"{end} {column}: {_listed(rows, size)}"


def _trend(query: Query, rows: Sequence[Sequence[JsonValue]]) -> str:
    size, column = len(query.groups), query.columns[0]
    by = " and ".join(group.label for group in query.groups)
    head = f"Trend of {column} by {by} (rows / mean / total)"
    return f"{head}: {_listed(rows, size)}"
