"""Whether a filter's tree holds for a value: the rule that both databases follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from infrastructure.jsonvalue import JsonValue
from infrastructure.memory.memori.filters import (
    AllOf,
    AnyOf,
    Comparison,
    Condition,
    IsObject,
    Operator,
)  # fmt: skip
from infrastructure.memory.memori.values import equal

MISSING: Final = object()
"""What `field_of` gives for a field that is not there."""


def matches(condition: Condition, value: JsonValue) -> bool:
    """Whether the condition holds for a value as `decode` gives it."""
    match condition:
        case AllOf(conditions):
            return all(matches(each, value) for each in conditions)
        case AnyOf(conditions):
            return any(matches(each, value) for each in conditions)
        case Comparison(path, operator, operand):
            return _holds(field_of(value, path), operator, operand)
        case IsObject(path):
            return isinstance(field_of(value, path), dict)
        case _:
            return not matches(condition.condition, value)


def field_of(value: JsonValue, path: Sequence[str]) -> Any:
    """The field that a path of keys leads to, or MISSING."""
    found: Any = value
    for key in path:
        if not isinstance(found, dict) or key not in found:
            return MISSING
        found = cast("Mapping[str, Any]", found)[key]
    return found


def is_in(found: JsonValue, operands: Sequence[JsonValue]) -> bool:
    """Whether a value equals one of a list."""
    return any(equal(found, operand) for operand in operands)


def contains(found: JsonValue, operand: JsonValue) -> bool:
    """Whether a list has an element equal to the operand, or a text has it as a part."""
    if isinstance(found, list):
        return is_in(operand, found)
    return isinstance(found, str) and isinstance(operand, str) and operand in found


def _holds(found: Any, operator: Operator, operand: Any) -> bool:
    missing = found is MISSING
    match operator:
        case "$exists":
            return missing is not operand
        case "$eq":
            return equal(None if missing else found, operand)
        case "$in":
            return is_in(None if missing else found, operand)
        case "$contains":
            return not missing and contains(found, operand)
        case _:
            return not missing and _is_ordered(found, operator, operand)


def _is_ordered(found: Any, operator: Operator, operand: Any) -> bool:
    if isinstance(found, bool) or not isinstance(found, int | float | str):
        return False
    if isinstance(found, str) != isinstance(operand, str):
        return False
    left: Any = found
    if operator == "$gt":
        return left > operand
    if operator == "$gte":
        return left >= operand
    return left < operand if operator == "$lt" else left <= operand
