"""A filter's tree as an SQL condition: fixed text, with every key and operand a parameter."""

from __future__ import annotations

from infrastructure.memory.memori import filter_postgres, filter_sqlite
from infrastructure.memory.memori.dialect import Dialect
from infrastructure.memory.memori.filters import AllOf, AnyOf, Comparison, Condition, IsObject
from infrastructure.memory.memori.sql import Sql, fill, join


def where(condition: Condition, dialect: Dialect) -> Sql:
    """A condition on `items.value` that is always true or false, never NULL.

    It holds for the same values on every database: those that `filter_match.matches` accepts.
    """
    match condition:
        case AllOf(conditions):
            return _joined(" AND ", conditions, dialect, empty="TRUE")
        case AnyOf(conditions):
            return _joined(" OR ", conditions, dialect, empty="FALSE")
        case Comparison() if dialect == "postgres":
            return filter_postgres.comparison(condition)
        case Comparison():
            return filter_sqlite.comparison(condition)
        case IsObject(path) if dialect == "postgres":
            return filter_postgres.is_object(path)
        case IsObject(path):
            return filter_sqlite.is_object(path)
        case _:
            return fill("NOT ({})", where(condition.condition, dialect))


def _joined(word: str, conditions: tuple[Condition, ...], dialect: Dialect, empty: str) -> Sql:
    if not conditions:
        return Sql(empty)
    return fill("({})", join(word, [where(each, dialect) for each in conditions]))
