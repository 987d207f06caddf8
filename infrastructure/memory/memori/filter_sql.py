"""A filter's tree as an SQL condition: fixed text, with every key and operand a parameter."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from infrastructure.jsonvalue import JsonValue
from infrastructure.memory.memori.dialect import SqlValue
from infrastructure.memory.memori.filters import AllOf, AnyOf, Comparison, Condition, IsObject
from infrastructure.memory.memori.values import encode

# SQLite's paths compare a key with the raw JSON text, so they cannot name what JSON escapes.
_PATH_KEY: Final = re.compile(r'[^"\\\x00-\x1f]+')
_SYMBOLS: Final = {"$eq": "=", "$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}


class Sql(NamedTuple):
    """A piece of SQL and the parameters that its question marks take."""

    text: str
    params: tuple[SqlValue, ...] = ()


def where(condition: Condition) -> Sql:
    """An expression over `items.value` that is always 0 or 1, never NULL."""
    match condition:
        case AllOf(conditions):
            return _joined(" AND ", conditions, empty="1")
        case AnyOf(conditions):
            return _joined(" OR ", conditions, empty="0")
        case Comparison():
            return _comparison(condition)
        case IsObject(path):
            field = _field(path)
            return Sql(f"coalesce(json_type({field.text}), '') = 'object'", field.params)
        case _:
            inner = where(condition.condition)
            return Sql(f"NOT ({inner.text})", inner.params)


def _joined(word: str, conditions: tuple[Condition, ...], empty: str) -> Sql:
    parts = [where(condition) for condition in conditions]
    if not parts:
        return Sql(empty)
    return Sql(
        "(" + word.join(part.text for part in parts) + ")",
        tuple(param for part in parts for param in part.params),
    )


def _field(path: tuple[str, ...]) -> Sql:
    """The field as JSON text; NULL when it is missing."""
    if all(_PATH_KEY.fullmatch(key) for key in path):
        return Sql("(items.value -> ?)", ("$" + "".join(f'."{key}"' for key in path),))
    return Sql("memori_field(items.value, ?)", (encode(list(path)),))


def _comparison(comparison: Comparison) -> Sql:
    field, operand = _field(comparison.path), comparison.operand
    match comparison.operator:
        case "$exists":
            return Sql(f"({field.text} IS {'NOT ' if operand else ''}NULL)", field.params)
        case "$in":
            return _call("memori_in", field, operand)
        case "$contains":
            return _call("memori_contains", field, operand)
        case operator:
            return _compared(field, _SYMBOLS[operator], operand)


def _compared(field: Sql, symbol: str, operand: JsonValue) -> Sql:
    if operand is None:
        return Sql(f"coalesce(json_type({field.text}), 'null') = 'null'", field.params)
    if isinstance(operand, bool):
        word = "true" if operand else "false"
        return Sql(f"coalesce(json_type({field.text}), '') = '{word}'", field.params)
    if isinstance(operand, str):
        return Sql(
            f"CASE json_type({field.text}) WHEN 'text'"
            f" THEN json_extract({field.text}, '$') {symbol} ? ELSE 0 END",
            (*field.params, *field.params, operand),
        )
    if isinstance(operand, int | float):
        return Sql(
            f"CASE json_type({field.text})"
            f" WHEN 'integer' THEN CAST({field.text} AS INTEGER) {symbol} ?"
            f" WHEN 'real' THEN memori_real({field.text}) {symbol} ? ELSE 0 END",
            (*field.params, *field.params, operand, *field.params, operand),
        )
    return _call("memori_equal", field, operand)


def _call(function: str, field: Sql, operand: JsonValue) -> Sql:
    return Sql(f"{function}({field.text}, ?)", (*field.params, encode(operand)))
