"""What a filter asks of one field, in SQLite's SQL."""

from __future__ import annotations

import re
from typing import Final

from infrastructure.jsonvalue import JsonValue
from infrastructure.memory.memori.filters import Comparison
from infrastructure.memory.memori.sql import Sql, fill
from infrastructure.memory.memori.values import encode

# SQLite's paths compare a key with the raw JSON text, so they cannot name what JSON escapes.
_PATH_KEY: Final = re.compile(r'[^"\\\x00-\x1f]+')
_SYMBOLS: Final = {"$eq": "=", "$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}


def field(path: tuple[str, ...]) -> Sql:
    """The field as JSON text; NULL when it is missing."""
    if all(_PATH_KEY.fullmatch(key) for key in path):
        return Sql("(items.value -> ?)", ("$" + "".join(f'."{key}"' for key in path),))
    return Sql("memori_field(items.value, ?)", (encode(list(path)),))


def is_object(path: tuple[str, ...]) -> Sql:
    """Whether the field is a dict."""
    return fill("coalesce(json_type({}), '') = 'object'", field(path))


def comparison(asked: Comparison) -> Sql:
    """Whether the comparison holds for its field."""
    found, operand = field(asked.path), asked.operand
    match asked.operator:
        case "$exists":
            return fill("({} IS NOT NULL)" if operand else "({} IS NULL)", found)
        case "$in":
            return _call("memori_in", found, operand)
        case "$contains":
            return _call("memori_contains", found, operand)
        case operator:
            return _compared(found, _SYMBOLS[operator], operand)


def _compared(found: Sql, symbol: str, operand: JsonValue) -> Sql:
    if operand is None:
        return fill("coalesce(json_type({}), 'null') = 'null'", found)
    if isinstance(operand, bool):
        word = "true" if operand else "false"
        return fill(f"coalesce(json_type({{}}), '') = '{word}'", found)
    if isinstance(operand, str):
        return fill(
            "CASE json_type({}) WHEN 'text'"
            f" THEN json_extract({{}}, '$') {symbol} {{}} ELSE 0 END",
            found, found, Sql("?", (operand,)),
        )  # fmt: skip
    if isinstance(operand, int | float):
        given = Sql("?", (operand,))
        return fill(
            f"CASE json_type({{}}) WHEN 'integer' THEN CAST({{}} AS INTEGER) {symbol} {{}}"
            f" WHEN 'real' THEN memori_real({{}}) {symbol} {{}} ELSE 0 END",
            found, found, given, found, given,
        )  # fmt: skip
    return _call("memori_equal", found, operand)


def _call(function: str, found: Sql, operand: JsonValue) -> Sql:
    return fill(function + "({}, {})", found, Sql("?", (encode(operand),)))
