"""Queries as SQL: identifiers quoted, values as parameters (or as literals, to be read)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from genesis.agents.data_analyst.ingest import Table, quoted
from genesis.agents.data_analyst.query import AGGREGATES, Condition, Group, Query, headings
from genesis.agents.data_analyst.vocabulary import MONTHS, WEEKDAYS

_FUNCTIONS = {
    "mean": "avg(CAST({0} AS DOUBLE))",
    "median": "median(CAST({0} AS DOUBLE))",
    "min": "min({0})",
    "max": "max({0})",
    "sum": "coalesce(sum({0}), 0)",
    "std": "stddev_samp({0})",
    "var": "var_samp({0})",
}
_FOLDED = {
    "hour of day": "hour({0})",
    "weekday": "isodow({0})",
    "month of year": "month({0})",
}
MAX_VALUES_LISTED = 1000


@dataclass(slots=True)
class _Writer:
    """Collects the values of a statement; `literal` writes them into the text instead."""

    literal: bool
    parameters: list[object] = field(default_factory=list[object])

    def value(self, value: str | float | bool) -> str:
        if not self.literal:
            self.parameters.append(value)
            return "?"
        if isinstance(value, str):
            return "'" + value.replace("'", "''") + "'"
        if isinstance(value, bool):
            return "true" if value else "false"
        return f"{value:.17g}"


def statement(query: Query, table: Table) -> tuple[str, list[object]]:
    """The SQL of a query with question marks, and the values that stand for them."""
    writer = _Writer(literal=False)
    return _render(query, [c.name for c in table.facts.columns], writer), writer.parameters


def readable(query: Query, names: list[str]) -> str:
    """The SQL of a query with its values as literals, as people read it."""
    return _render(query, names, _Writer(literal=True))


def fetch(query: Query, table: Table) -> list[tuple[Any, ...]]:
    """The rows that answer a query; dates as ISO text."""
    text, parameters = statement(query, table)
    return [present(query, row) for row in table.fetch(text, parameters)]


def present(query: Query, row: Sequence[object]) -> tuple[Any, ...]:
    """A row with its times as people write them, at the grain that was asked for."""
    size = len(query.groups) if query.metric not in ("columns", "missing", "values") else 0
    heads = [named(cell, g.grain) for cell, g in zip(row[:size], query.groups, strict=True)]
    return (*heads, *(plain(cell) for cell in row[size:]))


def named(cell: object, grain: str) -> object:
    """A moment or its number at a grain: 2012, "2012-Q1", "2012-03", "Monday", "March"."""
    if isinstance(cell, datetime):
        match grain:
            case "year":
                return cell.year
            case "quarter":
                return f"{cell.year}-Q{(cell.month + 2) // 3}"
            case "month":
                return f"{cell.year}-{cell.month:02d}"
            case _:
                return plain(cell)
    if isinstance(cell, int) and grain == "weekday":
        return WEEKDAYS[cell - 1]
    if isinstance(cell, int) and grain == "month of year":
        return MONTHS[cell - 1].capitalize()
    return plain(cell)


def plain(cell: object) -> object:
    """A cell as JSON holds it."""
    if isinstance(cell, datetime):
        midnight = cell.hour == cell.minute == cell.second == cell.microsecond == 0
        return cell.date().isoformat() if midnight else cell.isoformat(" ")
    if isinstance(cell, float) and (cell != cell or cell in (float("inf"), float("-inf"))):
        return None
    return cell


def _grouped(group: Group) -> str:
    column = quoted(group.column)
    if not group.grain:
        return column
    if group.grain in _FOLDED:
        return _FOLDED[group.grain].format(column)
    return f"CAST(date_trunc('{group.grain}', {column}) AS TIMESTAMP)"


def _measure(query: Query, names: list[str]) -> list[str]:
    columns = [quoted(name) for name in query.columns]
    if query.metric in AGGREGATES:
        return [_FUNCTIONS[query.metric].format(columns[0])]
    match query.metric:
        case "rows":
            return ["count(*)"]
        case "distinct":
            return [f"count(DISTINCT {columns[0]})"]
        case "missing total":
            counted = columns or [quoted(name) for name in names]
            return [" + ".join(f"count(*) - count({column})" for column in counted) or "0"]
        case "ratio":
            both = f"{columns[0]} IS NOT NULL AND {columns[1]} IS NOT NULL"
            a, b = (f"CAST({column} AS DOUBLE)" for column in columns)
            totals = [f"sum(CASE WHEN {both} THEN {part} END)" for part in (a, b)]
            return [
                f"{totals[0]} / nullif({totals[1]}, 0)",
                f"avg({a} / nullif({b}, 0))",
            ]
        case "rate":
            said = f"lower(trim(CAST({columns[0]} AS VARCHAR)))"
            yes = f"CAST({said} IN ('yes', 'y', 'true', 't', '1', '1.0') AS INTEGER)"
            return [f"avg(CASE WHEN {columns[0]} IS NOT NULL THEN {yes} END)"]
        case "correlation":
            return [f"corr({columns[0]}, {columns[1]})"]
        case "period":
            return [f"min({columns[0]})", f"max({columns[0]})"]
        case "describe":
            functions = ("mean", "std", "min", "median", "max")
            return [
                f"count({columns[0]})",
                *(_FUNCTIONS[function].format(columns[0]) for function in functions),
            ]
        case "trend":
            return ["count(*)", *(_FUNCTIONS[name].format(columns[0]) for name in ("mean", "sum"))]
        case metric:
            raise ValueError(f"no SQL for the metric {metric!r}")


def _render(query: Query, names: list[str], writer: _Writer) -> str:
    match query.metric:
        case "columns":
            return "SELECT column_name FROM (DESCRIBE data)"
        case "missing":
            return _missing(query, names, writer)
        case "duplicates":
            return _duplicates(query, names, writer)
        case "share":
            return _share(query, writer)
        case "values":
            column = quoted(query.columns[0])
            where = _where(query, writer, f"{column} IS NOT NULL")
            return f"SELECT DISTINCT {column} FROM data{where} ORDER BY 1 LIMIT {MAX_VALUES_LISTED}"  # noqa: S608 - quoted identifiers, values as parameters
        case "extreme":
            return _extreme(query, writer)
        case "first rows" | "last rows":
            return _shown(query, writer)
        case _:
            return _aggregate(query, names, writer)


def _aggregate(query: Query, names: list[str], writer: _Writer) -> str:
    groups = [_grouped(group) for group in query.groups]
    heads = headings(query)
    parts = [*groups, *_measure(query, names)]
    listed = ", ".join(f"{part} AS {quoted(head)}" for part, head in zip(parts, heads, strict=True))
    present = [f"{quoted(group.column)} IS NOT NULL" for group in query.groups]
    text = f"SELECT {listed} FROM data{_where(query, writer, *present)}"  # noqa: S608 - quoted identifiers, values as parameters
    if not groups:
        return text
    places = ", ".join(str(i + 1) for i in range(len(groups)))
    text += f" GROUP BY {places}"
    if not query.order:
        return f"{text} ORDER BY {places}"
    return _ranked(text, quoted(heads[len(groups)]), places, query)


def _ranked(text: str, measure: str, places: str, query: Query) -> str:
    """Rows by their measure, as many as wanted and all that tie with the last of them."""
    direction = query.order.upper()
    ranked = f"SELECT * FROM ({text}) WHERE {measure} IS NOT NULL"  # noqa: S608 - as above
    if query.limit is not None:
        place = f"rank() OVER (ORDER BY {_rounded(measure, query)} {direction})"
        ranked += f" QUALIFY {place} <= {query.limit}"
    return f"{ranked} ORDER BY {_rounded(measure, query)} {direction}, {places}"


def _rounded(measure: str, query: Query) -> str:
    """So that equal sums in another order of adding still tie; extremes may be dates."""
    return measure if query.metric in ("min", "max") else f"round({measure}, 9)"


def _extreme(query: Query, writer: _Writer) -> str:
    column = quoted(query.columns[0])
    parts = [*(quoted(label) for label in query.labels), column]
    where = _where(query, writer, f"{column} IS NOT NULL")
    direction = query.order.upper()
    places = ", ".join(str(i + 1) for i in range(len(parts) - 1)) or "1"
    return (
        f"SELECT {', '.join(parts)} FROM data{where} "  # noqa: S608 - quoted identifiers, values as parameters
        f"QUALIFY rank() OVER (ORDER BY {column} {direction}) <= {query.limit} "
        f"ORDER BY {column} {direction}, {places}"
    )


def _shown(query: Query, writer: _Writer) -> str:
    """Rows as they are; the database keeps the order in which the file gave them."""
    listed = ", ".join(map(quoted, query.columns))
    text = f"SELECT {listed} FROM data{_where(query, writer)} LIMIT {query.limit}"  # noqa: S608 - quoted identifiers, values as parameters
    if query.metric == "first rows":
        return text
    counted = f"SELECT count(*) FROM data{_where(query, writer)}"  # noqa: S608 - as above
    return f"{text} OFFSET (SELECT greatest(({counted}) - {query.limit}, 0))"


def _missing(query: Query, names: list[str], writer: _Writer) -> str:
    parts = [
        f'SELECT {i} AS place, {_Writer(literal=True).value(name)} AS "column", '  # noqa: S608 - as above
        f"count(*) - count({quoted(name)}) AS missing FROM data{_where(query, writer)}"
        for i, name in enumerate(names)
    ]
    text = f'SELECT "column", missing FROM ({" UNION ALL ".join(parts)})'  # noqa: S608 - as above
    if not query.order:
        return f"{text} ORDER BY place"
    direction = query.order.upper()
    return (
        f"{text} QUALIFY rank() OVER (ORDER BY missing {direction}) <= {query.limit} "
        f"ORDER BY missing {direction}, place"
    )


def _duplicates(query: Query, names: list[str], writer: _Writer) -> str:
    columns = ", ".join(quoted(name) for name in (query.columns or names))
    where = _where(query, writer)
    return (
        "SELECT coalesce(sum(n - 1), 0)::BIGINT AS duplicates FROM "  # noqa: S608 - as above
        f"(SELECT count(*) AS n FROM data{where} GROUP BY {columns})"
    )


def _share(query: Query, writer: _Writer) -> str:
    """The part of all rows that the filters keep, or that each group has; between 0 and 1."""
    if not query.groups:
        tests = " AND ".join(_condition(c, writer) for c in query.where)
        counted = f"sum({quoted(query.columns[0])})" if query.columns else "count(*)"
        kept = f"coalesce({counted} FILTER ({tests}), 0)"
        return f"SELECT {kept} / nullif({counted}, 0) AS share FROM data"  # noqa: S608 - as above
    parts = [_grouped(group) for group in query.groups]
    listed = ", ".join(
        f"{part} AS {quoted(group.label)}" for part, group in zip(parts, query.groups, strict=True)
    )
    present = [f"{quoted(group.column)} IS NOT NULL" for group in query.groups]
    places = ", ".join(str(i + 1) for i in range(len(parts)))
    part = f"coalesce(sum({quoted(query.columns[0])}), 0)" if query.columns else "count(*)"
    text = (
        f"SELECT {listed}, {part} / nullif(sum({part}) OVER (), 0) AS share "  # noqa: S608 - as above
        f"FROM data{_where(query, writer, *present)} GROUP BY {places}"
    )
    return _ranked(text, "share", places, query)


def _where(query: Query, writer: _Writer, *more: str) -> str:
    tests = [*more, *(_condition(condition, writer) for condition in query.where)]
    return f" WHERE {' AND '.join(tests)}" if tests else ""


def _condition(condition: Condition, writer: _Writer) -> str:
    column = quoted(condition.column)
    if condition.part:
        part = "isodow" if condition.part == "weekday" else condition.part
        column = f"date_part('{part}', {column})"
    if condition.other:
        return f"{column} {condition.op.split()[0]} {quoted(condition.other)}"
    values = [writer.value(value) for value in condition.values]
    match condition.op:
        case "missing":
            return f"{column} IS NULL"
        case "present":
            return f"{column} IS NOT NULL"
        case "between":
            return f"{column} BETWEEN {values[0]} AND {values[1]}"
        case "in":
            return f"{column} IN ({', '.join(values)})"
        case "not in":  # as in pandas, a missing value is another value
            return f"({column} NOT IN ({', '.join(values)}) OR {column} IS NULL)"
        case "contains" | "starts with" | "ends with":
            return _part_of_text(column, condition.op, values[0])
        case "not contains" | "not starts with" | "not ends with":
            test = _part_of_text(column, condition.op.removeprefix("not "), values[0])
            return f"({column} IS NULL OR NOT {test})"
        case "!=":
            return f"{column} IS DISTINCT FROM {values[0]}"
        case op:
            return f"{column} {op} {values[0]}"


def _part_of_text(column: str, op: str, value: str) -> str:
    function = {"contains": "contains", "starts with": "starts_with"}.get(op, "suffix")
    return f"{function}(lower({column}), lower({value}))"
