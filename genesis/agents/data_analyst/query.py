"""The typed form of a question, between plain English and SQL."""

from __future__ import annotations

from dataclasses import dataclass

from infrastructure.jsonvalue import JsonObject

AGGREGATES = {
    "mean": "mean",
    "median": "median",
    "min": "minimum",
    "max": "maximum",
    "sum": "total",
    "std": "standard deviation",
    "var": "variance",
}
"""Functions of one column, and their names for people; std and var are those of a sample."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A filter on one column.

    Attributes:
        column: its name.
        op: "=", "!=", ">", ">=", "<", "<=", "between", "in", "not in", "missing",
            "present", "< column" and its like of another column of the same row, or of texts
            "contains", "starts with", "ends with" and each with "not ".
        values: what is compared with; dates as ISO text.
        part: "year", "quarter", "month" or "weekday" (Monday is 1) when only that part of a date
            is compared.
    """

    column: str
    op: str
    values: tuple[str | float | bool, ...] = ()
    part: str = ""

    @property
    def other(self) -> str:
        """The column of the same row that this one is compared with, or empty."""
        return str(self.values[0]) if self.op.endswith(" column") else ""

    def to_json(self) -> JsonObject:
        """As plain JSON."""
        return {
            "column": self.column,
            "op": self.op,
            "values": list(self.values),
            "part": self.part,
        }


@dataclass(frozen=True, slots=True)
class Group:
    """What rows are grouped by: a column's values, or the grain of a date column.

    Grains that keep the calendar: year, quarter, month, week, day. Those that fold it:
    "hour of day", "weekday", "month of year".
    """

    column: str
    grain: str = ""

    @property
    def label(self) -> str:
        """Its heading in a result."""
        return f"{self.grain} of {self.column}" if self.grain else self.column


@dataclass(frozen=True, slots=True)
class Query:
    """One answerable question.

    Attributes:
        metric: an aggregate, or "rows", "columns", "missing", "missing total", "duplicates",
            "distinct", "values", "share", "rate" (of yes in each group), "ratio", "correlation",
            "extreme", "period", "describe", "trend", "first rows" or "last rows".
        columns: the measured columns, in the order that the metric wants.
        groups: what rows are grouped by.
        where: filters that all must hold.
        order: "desc" or "asc" by the metric; empty for the order of the groups.
        limit: how many groups or rows at most; ties with the last one are kept.
        labels: the columns that name a row ("extreme" only).
        notes: what was assumed in reading the question.
    """

    metric: str
    columns: tuple[str, ...] = ()
    groups: tuple[Group, ...] = ()
    where: tuple[Condition, ...] = ()
    order: str = ""
    limit: int | None = None
    labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def used_columns(self) -> tuple[str, ...]:
        """Every column that the answer depends on, each once."""
        named = (
            *(group.column for group in self.groups),
            *self.labels,
            *self.columns,
            *(condition.column for condition in self.where),
            *(condition.other for condition in self.where if condition.other),
        )
        return tuple(dict.fromkeys(named))

    @property
    def scalar(self) -> bool:
        """Whether the answer is one value and no table."""
        return not self.groups and (
            self.metric in AGGREGATES
            or self.metric in ("rows", "missing total", "duplicates", "distinct", "share")
            or self.metric == "correlation"
        )

    def to_json(self) -> JsonObject:
        """As plain JSON, without the notes."""
        return {
            "metric": self.metric,
            "columns": list(self.columns),
            "groups": [{"column": group.column, "grain": group.grain} for group in self.groups],
            "where": [condition.to_json() for condition in self.where],
            "order": self.order,
            "limit": self.limit,
            "labels": list(self.labels),
        }


def headings(query: Query) -> tuple[str, ...]:
    """The headings of the rows that a query gives."""
    column = query.columns[0] if query.columns else ""
    groups = tuple(group.label for group in query.groups)
    if query.metric in AGGREGATES:
        return (*groups, f"{AGGREGATES[query.metric]} {column}")
    match query.metric:
        case "missing":
            return ("column", "missing")
        case "columns":
            return ("column",)
        case "first rows" | "last rows":
            return query.columns
        case "values":
            return (column,)
        case "ratio":
            both = f"{query.columns[0]} / {query.columns[1]}"
            return (*groups, f"ratio of totals {both}", f"mean of row ratios {both}")
        case "extreme":
            return (*query.labels, column)
        case "period":
            return ("first", "last")
        case "describe":
            names = ("count", "mean", "std", "min", "median", "max")
            return tuple(f"{name} {column}" for name in names)
        case "trend":
            return (*groups, "rows", f"mean {column}", f"total {column}")
        case "distinct":
            return (*groups, f"distinct {column}")
        case metric:
            return (*groups, metric)
