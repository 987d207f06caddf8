"""Filters over JSON values: read into a typed tree, so that nothing of theirs becomes SQL text.

A key names a field of the value; a nested dict descends into it. Every named field must match:

    {"status": "open", "author": {"name": "Ada"}, "score": {"$gte": 3, "$lt": 5}}

`$eq $ne` compare any JSON value, `$gt $gte $lt $lte` numbers with numbers and texts with texts,
`$in $nin` take a list, `$contains` looks into a list or a text, `$exists` takes a bool;
`$and $or` combine a list of filters and `$not` negates one. A missing field is like null for
`$eq $ne $in $nin`, and matches no other operator but `$exists: false`. True is not 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, cast

from infrastructure.jsonvalue import JsonValue
from infrastructure.memory.memori.values import InvalidItem, check_text, encode

MAX_CONDITIONS: Final = 200
MAX_NESTED: Final = 20

Operator: TypeAlias = Literal["$eq", "$gt", "$gte", "$lt", "$lte", "$in", "$contains", "$exists"]
_ORDERED: Final = ("$gt", "$gte", "$lt", "$lte")
_NEGATED: Final[dict[str, Operator]] = {"$ne": "$eq", "$nin": "$in"}
_PLAIN: Final[tuple[Operator, ...]] = (
    "$eq", "$gt", "$gte", "$lt", "$lte", "$in", "$contains", "$exists",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Comparison:
    """A field compared with an operand; `path` leads to it from the value's top."""

    path: tuple[str, ...]
    operator: Operator
    operand: JsonValue


@dataclass(frozen=True, slots=True)
class IsObject:
    """A field is a dict."""

    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every condition holds; true when there is none."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one condition holds."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The condition does not hold."""

    condition: Condition


Condition: TypeAlias = Comparison | IsObject | AllOf | AnyOf | Not


def parse(filter_: object) -> Condition:
    """The tree of a filter; None and {} match everything.

    Raises:
        InvalidItem: an unknown operator, an operand of the wrong type, or too many conditions.
    """
    if filter_ is None:
        return AllOf(())
    encode(filter_, "filter")
    condition = _filter(filter_, (), 0)
    if _count(condition) > MAX_CONDITIONS:
        raise InvalidItem(f"the filter has more than {MAX_CONDITIONS} conditions; use $in, or less")
    return condition


def _filter(filter_: object, path: tuple[str, ...], depth: int) -> Condition:
    if depth > MAX_NESTED:
        raise InvalidItem(f"the filter is nested more than {MAX_NESTED} deep")
    if not isinstance(filter_, Mapping):
        raise InvalidItem(f"a filter must be a dict, not {type(filter_).__name__}")
    named = cast("Mapping[str, JsonValue]", filter_)
    return AllOf(tuple(_entry(key, operand, path, depth) for key, operand in named.items()))


def _entry(key: str, operand: JsonValue, path: tuple[str, ...], depth: int) -> Condition:
    if key in ("$and", "$or"):
        if not isinstance(operand, list) or not operand:
            raise InvalidItem(f"{key} takes a list of at least one filter")
        parts = tuple(_filter(part, path, depth + 1) for part in operand)
        return AllOf(parts) if key == "$and" else AnyOf(parts)
    if key == "$not":
        return Not(_filter(operand, path, depth + 1))
    if key.startswith("$"):
        raise InvalidItem(f"{key[:40]!r} is not an operator of filters")
    return _field(operand, (*path, check_text(key, "a filter's key")), depth)


def _field(operand: JsonValue, path: tuple[str, ...], depth: int) -> Condition:
    if not isinstance(operand, dict):
        return Comparison(path, "$eq", operand)
    operators = [key.startswith("$") for key in operand]
    if not any(operators):
        return AllOf((IsObject(path), _filter(operand, path, depth + 1)))
    if not all(operators):
        raise InvalidItem(f"the filter on {path[-1]!r} mixes operators and fields")
    return AllOf(tuple(_comparison(path, key, operand[key], depth) for key in operand))


def _comparison(path: tuple[str, ...], operator: str, operand: JsonValue, depth: int) -> Condition:
    if operator == "$not":
        return Not(_field(operand, path, depth + 1))
    if operator in _NEGATED:
        return Not(_comparison(path, _NEGATED[operator], operand, depth))
    if operator not in _PLAIN:
        raise InvalidItem(f"{operator[:40]!r} is not an operator of filters")
    _check_operand(operator, operand)
    return Comparison(path, operator, operand)


def _check_operand(operator: Operator, operand: JsonValue) -> None:
    if operator in _ORDERED and (
        isinstance(operand, bool) or not isinstance(operand, int | float | str)
    ):
        raise InvalidItem(f"{operator} compares a number or a text, not {operand!r:.80}")
    if operator == "$in" and not isinstance(operand, list):
        raise InvalidItem("$in and $nin take a list")
    if operator == "$exists" and not isinstance(operand, bool):
        raise InvalidItem("$exists takes true or false")


def _count(condition: Condition) -> int:
    if isinstance(condition, AllOf | AnyOf):
        return 1 + sum(map(_count, condition.conditions))
    return 1 + _count(condition.condition) if isinstance(condition, Not) else 1
