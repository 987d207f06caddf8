"""What a filter asks of one field, in PostgreSQL's SQL.

Numbers compare as PostgreSQL's exact decimals. That gives Python's answers, because the text of a
float either is its exact value or no integer lies between the two: see `values.encode`.
"""

from __future__ import annotations

from typing import Final

from infrastructure.jsonvalue import JsonValue
from infrastructure.memory.memori.filters import Comparison
from infrastructure.memory.memori.sql import Sql, fill, join
from infrastructure.memory.memori.values import encode

# A path's comparison takes numbers with numbers and texts with texts, texts by code point whatever
# the database's collation is, and anything else for unknown. Strict: it does not look into lists.
_ORDERED: Final = {
    "$gt": "coalesce(jsonb_path_match({}, 'strict $ > $operand', {}), FALSE)",
    "$gte": "coalesce(jsonb_path_match({}, 'strict $ >= $operand', {}), FALSE)",
    "$lt": "coalesce(jsonb_path_match({}, 'strict $ < $operand', {}), FALSE)",
    "$lte": "coalesce(jsonb_path_match({}, 'strict $ <= $operand', {}), FALSE)",
}


def field(path: tuple[str, ...]) -> Sql:
    """The field as jsonb; NULL when it is missing."""
    # A key given as a text never counts a list's elements, as it would in a path of several keys.
    keys = [Sql("CAST(? AS text)", (key,)) for key in path]
    return fill("({})", join(" -> ", [Sql("CAST(items.value AS jsonb)"), *keys]))


def is_object(path: tuple[str, ...]) -> Sql:
    """Whether the field is a dict."""
    return fill("coalesce(jsonb_typeof({}) = 'object', FALSE)", field(path))


def comparison(asked: Comparison) -> Sql:
    """Whether the comparison holds for its field."""
    found, operand = field(asked.path), asked.operand
    match asked.operator:
        case "$exists":
            return fill("({} IS NOT NULL)" if operand else "({} IS NULL)", found)
        case "$in":
            return fill(
                "(coalesce({}, 'null') IN (SELECT jsonb_array_elements({})))",
                found, _json(operand),
            )  # fmt: skip
        case "$contains":
            return _contains(found, operand)
        case "$eq" if operand is None:
            return fill("(coalesce({}, 'null') = 'null')", found)
        case "$eq":
            return fill("coalesce({} = {}, FALSE)", found, _json(operand))
        case operator:
            return fill(_ORDERED[operator], found, _json({"operand": operand}))


def _contains(found: Sql, operand: JsonValue) -> Sql:
    wanted = _json(operand)
    if isinstance(operand, list | dict):  # which a list would contain by a part of it, too
        in_list = fill("{} IN (SELECT jsonb_array_elements({}))", wanted, found)
    else:
        in_list = fill("{} @> {}", found, wanted)
    if not isinstance(operand, str):
        return fill("CASE jsonb_typeof({}) WHEN 'array' THEN {} ELSE FALSE END", found, in_list)
    return fill(
        "CASE jsonb_typeof({}) WHEN 'array' THEN {}"
        " WHEN 'string' THEN strpos({} #>> '{{}}', {}) > 0 ELSE FALSE END",
        found, in_list, found, Sql("CAST(? AS text)", (operand,)),
    )  # fmt: skip


def _json(value: JsonValue) -> Sql:
    return Sql("CAST(? AS jsonb)", (encode(value),))
