"""Queries answered in plain Python over values read again: the second path to every figure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import TypeAlias

from genesis.agents.data_analyst.columns import YES
from genesis.agents.data_analyst.query import AGGREGATES, Condition, Group, Query
from genesis.agents.data_analyst.reread import Reread, Value
from genesis.agents.data_analyst.sql import MAX_VALUES_LISTED, present
from infrastructure.jsonvalue import JsonValue

Row: TypeAlias = "tuple[JsonValue, ...]"
_PARTS: dict[str, Callable[[datetime], int]] = {
    "year": lambda moment: moment.year,
    "month": lambda moment: moment.month,
    "quarter": lambda moment: (moment.month + 2) // 3,
    "weekday": lambda moment: moment.isoweekday(),
}


def evaluate(query: Query, table: Reread) -> list[Row]:
    """The rows that answer a query, in the order and form of `sql.fetch`."""
    kept = _kept(query.where, table)
    match query.metric:
        case "columns":
            return [(name,) for name in table.cells]
        case "missing":
            return _missing(query, table, kept)
        case "duplicates":
            columns = [table.cells[name] for name in (query.columns or table.cells)]
            rows = {tuple(column[i] for column in columns) for i in kept}
            return [(len(kept) - len(rows),)]
        case "values":
            cells = {table.cells[query.columns[0]][i] for i in kept} - {None}
            return [present(query, (cell,)) for cell in sorted(cells, key=_order)][
                :MAX_VALUES_LISTED
            ]
        case "first rows" | "last rows" as metric:
            size = min(query.limit or 0, len(kept))
            shown = kept[:size] if metric == "first rows" else kept[len(kept) - size :]
            return [present(query, [table.cells[c][i] for c in query.columns]) for i in shown]
        case "share" if not query.groups:
            return [(_share_kept(query, table, kept),)]
        case "extreme":
            return _extreme(query, table, kept)
        case _:
            return _grouped(query, table, kept)


def _share_kept(query: Query, table: Reread, kept: Sequence[int]) -> float | None:
    part, whole = float(len(kept)), float(table.facts.rows)
    if query.columns:
        cells = table.cells[query.columns[0]]
        part, whole = (
            math.fsum(v for i in chosen if isinstance(v := cells[i], int | float))
            for chosen in (kept, range(table.facts.rows))
        )
    return part / whole if whole else None


def _order(value: object) -> tuple[int, object]:
    return (1, 0) if value is None else (0, value)


def _kept(where: Sequence[Condition], table: Reread) -> list[int]:
    kept: Iterable[int] = range(table.facts.rows)
    for condition in where:
        cells = table.cells[condition.column]
        if condition.other:
            kept = _beside(condition, table, kept)
            continue
        test = _test(condition)
        kept = [i for i in kept if test(cells[i])]
    return list(kept)


def _beside(condition: Condition, table: Reread, kept: Iterable[int]) -> list[int]:
    """The rows that have both cells, and in which they compare as wanted."""
    left, right = table.cells[condition.column], table.cells[condition.other]
    op = condition.op.split()[0]
    pairs = ((i, left[i], right[i]) for i in kept)
    return [i for i, a, b in pairs if a is not None and b is not None and _holds(op, a, (b,))]


def _test(condition: Condition) -> Callable[[Value], bool]:
    op = condition.op
    if op in ("missing", "present"):
        return lambda cell: (cell is None) == (op == "missing")
    part = _PARTS.get(condition.part)
    values = condition.values

    def test(cell: Value) -> bool:
        if cell is None:
            return op.startswith("not ") or op == "!="
        subject: object = cell
        wanted: list[object] = list(values)
        if isinstance(cell, datetime):
            subject = part(cell) if part else cell
            wanted = [datetime.fromisoformat(v) if isinstance(v, str) else v for v in values]
        return _holds(op, subject, wanted)

    return test


def _holds_part(op: str, text: str, part: str) -> bool:
    if op.endswith("contains"):
        found = part in text
    else:
        found = text.startswith(part) if "starts" in op else text.endswith(part)
    return found != op.startswith("not ")


def _holds(op: str, cell: object, wanted: Sequence[object]) -> bool:
    if op in ("=", "in"):
        return cell in wanted
    if op in ("!=", "not in"):
        return cell not in wanted
    if op.endswith(("contains", "with")):
        return _holds_part(op, str(cell).lower(), str(wanted[0]).lower())
    left, first, last = _comparable(cell), _comparable(wanted[0]), _comparable(wanted[-1])
    tests = {
        ">": left > first,
        ">=": left >= first,
        "<": left < first,
        "<=": left <= first,
        "between": first <= left <= last,
    }
    return tests[op]


def _comparable(value: object) -> float:
    if isinstance(value, datetime):
        return (value - datetime(1970, 1, 1)) / timedelta(microseconds=1)
    if isinstance(value, int | float):
        return value
    raise TypeError(f"{value!r} cannot be compared")


def _missing(query: Query, table: Reread, kept: Sequence[int]) -> list[Row]:
    counts: list[Row] = [
        (name, sum(cells[i] is None for i in kept)) for name, cells in table.cells.items()
    ]
    return _ranked(query, counts, 1) if query.order else counts


def _ranked(query: Query, rows: list[Row], at: int) -> list[Row]:
    """Rows by the figure at `at`, as many as wanted and all that tie with the last of them."""

    def figure(row: Row) -> tuple[float, str]:
        value = row[at]
        if isinstance(value, int | float):
            return round(float(value), 9), ""
        return 0.0, str(value)  # a date as ISO text sorts as the date does

    rows = [row for row in rows if row[at] is not None]
    rows.sort(key=figure, reverse=query.order == "desc")  # stable: ties keep their order
    if query.limit is None or query.limit >= len(rows):
        return rows
    last = figure(rows[query.limit - 1])
    return [r for i, r in enumerate(rows) if i < query.limit or figure(r) == last]


def _extreme(query: Query, table: Reread, kept: Sequence[int]) -> list[Row]:
    cells = table.cells[query.columns[0]]
    sign = -1 if query.order == "desc" else 1
    ranked = sorted(
        ((sign * _comparable(cells[i]), i) for i in kept if cells[i] is not None),
        key=lambda pair: pair[0],
    )
    if not ranked or query.limit is None:
        return []
    last = ranked[min(query.limit, len(ranked)) - 1][0]
    chosen = [
        (figure, tuple(table.cells[name][i] for name in query.labels), cells[i])
        for figure, i in ranked
        if figure <= last
    ]
    chosen.sort(key=lambda item: (item[0], tuple(map(_order, item[1]))))
    return [present(query, (*labels, cell)) for _, labels, cell in chosen]


def grain_of(moment: Value, group: Group) -> Value:
    """What a cell counts as under a group."""
    if not isinstance(moment, datetime) or not group.grain:
        return moment
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    match group.grain:
        case "year":
            return day.replace(month=1, day=1)
        case "quarter":
            return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
        case "month":
            return day.replace(day=1)
        case "week":
            return day - timedelta(days=day.weekday())
        case "day":
            return day
        case "hour of day":
            return moment.hour
        case "weekday":
            return moment.isoweekday()
        case _:
            return moment.month


def _grouped(query: Query, table: Reread, kept: Sequence[int]) -> list[Row]:
    if not query.groups:
        return [tuple(_plain(query, figure) for figure in _figures(query, table, kept))]
    parts = [[grain_of(cell, g) for cell in table.cells[g.column]] for g in query.groups]
    members: dict[tuple[Value, ...], list[int]] = {}
    for i in kept:
        key = tuple(part[i] for part in parts)
        if None not in key:
            members.setdefault(key, []).append(i)
    total = _size(query, table, [i for rows in members.values() for i in rows])
    rows: list[Row] = []
    for key in sorted(members, key=lambda key: tuple(map(_order, key))):
        figures = (
            [_size(query, table, members[key]) / total if total else None]
            if query.metric == "share"
            else _figures(query, table, members[key])
        )
        rows.append(present(query, (*key, *figures)))
    return _ranked(query, rows, len(query.groups)) if query.order else rows


def _size(query: Query, table: Reread, kept: Sequence[int]) -> float:
    """What a share is of: the total of its column, or the number of rows."""
    if query.metric != "share" or not query.columns:
        return len(kept)
    cells = table.cells[query.columns[0]]
    return math.fsum(float(c) for i in kept if isinstance(c := cells[i], int | float))


def _plain(query: Query, figure: Value) -> JsonValue:
    return present(Query(query.metric), (figure,))[0]


def _figures(query: Query, table: Reread, kept: Sequence[int]) -> list[Value]:
    if query.metric == "rows":
        return [len(kept)]
    if query.metric == "missing total":
        names = query.columns or tuple(table.cells)
        return [sum(table.cells[name][i] is None for name in names for i in kept)]
    first = [table.cells[query.columns[0]][i] for i in kept]
    if query.metric in ("ratio", "correlation"):
        second = [table.cells[query.columns[1]][i] for i in kept]
        pairs = [
            (float(a), float(b))
            for a, b in zip(first, second, strict=True)
            if isinstance(a, int | float) and isinstance(b, int | float)
        ]
        return _ratio(pairs) if query.metric == "ratio" else [_correlation(pairs)]
    values = [cell for cell in first if cell is not None]
    if query.metric in AGGREGATES:
        return [aggregate(query.metric, values)]
    match query.metric:
        case "distinct":
            return [len(set(values))]
        case "rate":
            said = [str(value).strip().casefold() in {*YES, "1", "1.0"} for value in values]
            return [math.fsum(said) / len(said) if said else None]
        case "period":
            return [aggregate("min", values), aggregate("max", values)]
        case "describe":
            functions = ("mean", "std", "min", "median", "max")
            return [len(values), *(aggregate(function, values) for function in functions)]
        case "trend":
            return [len(kept), aggregate("mean", values), aggregate("sum", values)]
        case metric:
            raise ValueError(f"unknown metric {metric!r}")


def aggregate(function: str, values: Sequence[Value]) -> Value:
    """One aggregate of the present values; None where it is not defined."""
    if function in ("min", "max") and values:
        return (min if function == "min" else max)(values, key=_comparable)
    numbers = [value for value in values if isinstance(value, int | float)]
    if function == "sum":
        whole = all(isinstance(value, int) for value in numbers)
        return sum(numbers) if whole else math.fsum(numbers)
    if not numbers or (function in ("std", "var") and len(numbers) < 2):
        return None
    if function == "median":
        return float(statistics.median(numbers))
    mean = math.fsum(numbers) / len(numbers)
    if function == "mean":
        return mean
    variance = math.fsum((value - mean) ** 2 for value in numbers) / (len(numbers) - 1)
    return variance if function == "var" else math.sqrt(variance)


def _ratio(pairs: Sequence[tuple[float, float]]) -> list[Value]:
    below = math.fsum(b for _, b in pairs)
    own = [a / b for a, b in pairs if b]
    total = math.fsum(a for a, _ in pairs) / below if below else None
    return [total, math.fsum(own) / len(own) if own else None]


def _correlation(pairs: Sequence[tuple[float, float]]) -> float | None:
    if len(pairs) < 2:
        return None
    mean_a = math.fsum(a for a, _ in pairs) / len(pairs)
    mean_b = math.fsum(b for _, b in pairs) / len(pairs)
    spread_a = math.fsum((a - mean_a) ** 2 for a, _ in pairs)
    spread_b = math.fsum((b - mean_b) ** 2 for _, b in pairs)
    if spread_a <= 0 or spread_b <= 0:
        return None
    return math.fsum((a - mean_a) * (b - mean_b) for a, b in pairs) / math.sqrt(spread_a * spread_b)
