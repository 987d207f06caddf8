"""Orders as SQL: what follows ORDER BY, and where the next page begins."""

from __future__ import annotations

from typing import Final, NamedTuple

from infrastructure.memory.memori import filter_postgres, filter_sqlite
from infrastructure.memory.memori.dialect import Dialect, SqlValue
from infrastructure.memory.memori.ordering import Order, Position
from infrastructure.memory.memori.sql import Sql, fill, join

_SQLITE_RANK: Final = (
    "CASE coalesce(json_type({}), 'null') WHEN 'null' THEN 0 WHEN 'false' THEN 1 WHEN 'true' THEN 2"
    " WHEN 'integer' THEN 3 WHEN 'real' THEN 3 WHEN 'text' THEN 4 WHEN 'array' THEN 5 ELSE 6 END"
)
_SQLITE_NUMBER: Final = (
    "CASE json_type({}) WHEN 'integer' THEN CAST(CAST({} AS INTEGER) AS REAL)"
    " WHEN 'real' THEN memori_real({}) ELSE 0.0 END"
)
_SQLITE_TEXT: Final = "CASE json_type({}) WHEN 'text' THEN json_extract({}, '$') ELSE '' END"

_POSTGRES_RANK: Final = (
    "CASE coalesce(jsonb_typeof({}), 'null') WHEN 'null' THEN 0"
    " WHEN 'boolean' THEN CASE WHEN {} = 'false' THEN 1 ELSE 2 END"
    " WHEN 'number' THEN 3 WHEN 'string' THEN 4 WHEN 'array' THEN 5 ELSE 6 END"
)
_POSTGRES_NUMBER: Final = (
    "CASE jsonb_typeof({}) WHEN 'number' THEN CAST({} AS double precision) ELSE 0 END"
)
_POSTGRES_TEXT: Final = (
    "(CASE jsonb_typeof({}) WHEN 'string' THEN {} #>> '{{}}' ELSE '' END) COLLATE \"C\""
)


class _Column(NamedTuple):
    """One expression of an order, with the type and the place of its value in a position."""

    expression: Sql
    type_: str
    place: int


def order_expressions(order: Order, dialect: Dialect) -> Sql:
    """What follows ORDER BY in a query of `items`."""
    way = "{} DESC" if order.descending else "{}"
    columns = [fill(way, column.expression) for column in _columns(order, dialect)]
    return join(", ", [*columns, Sql("items.id DESC")])


def after(order: Order, last: Position, dialect: Dialect) -> Sql:
    """The condition that an item of `items` comes after a position."""
    columns = _columns(order, dialect)
    found = join(", ", [column.expression for column in columns])
    given = join(", ", [_parameter(column.type_, last[column.place]) for column in columns])
    if order.descending:
        return fill("({}, items.id) < ({}, {})", found, given, _parameter("bigint", last.id))
    return fill("({}, -items.id) > ({}, {})", found, given, _parameter("bigint", -last.id))


def _parameter(type_: str, value: SqlValue) -> Sql:
    return Sql(f"CAST(? AS {type_})", (value,))


def _columns(order: Order, dialect: Dialect) -> list[_Column]:
    if order.field == "created_at":
        return [_Column(Sql("items.created_at"), "bigint", 1)]
    if order.field == "updated_at":
        return [_Column(Sql("items.updated_at"), "bigint", 1)]
    if order.field == "key":
        key = "items.key" if dialect == "sqlite" else 'items.key COLLATE "C"'
        return [_Column(Sql(key), "text", 2)]
    if dialect == "sqlite":
        field = filter_sqlite.field(order.field)
        rank, number, text = (
            fill(_SQLITE_RANK, field),
            fill(_SQLITE_NUMBER, field, field, field),
            fill(_SQLITE_TEXT, field, field),
        )
    else:
        field = filter_postgres.field(order.field)
        rank, number, text = (
            fill(_POSTGRES_RANK, field, field),
            fill(_POSTGRES_NUMBER, field, field),
            fill(_POSTGRES_TEXT, field, field),
        )
    return [
        _Column(rank, "integer", 0),
        _Column(number, "double precision", 1),
        _Column(text, "text", 2),
    ]
