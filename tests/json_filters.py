"""Filters and the values that they meet: strategies for both, and the rules once more in Python.

The rules are read here from the filter as a user writes it, so that they check the parsed tree too.
"""

from __future__ import annotations

from typing import Any, cast

from hypothesis import strategies as st

HOSTILE = [
    "", " ", "a", "b", "a.b", "$", "[0]", '"', "'", "\\", '"."', "a' OR 1=1 --",
    '"; DROP TABLE items', "$.a", "\n", "\u2028", "é", "😀", "%", "_", "?", ":a", "lc",
    "0", "-1", "1e17", "\x1f", "\x7f", "\uffff", "$operand", "{}", "%s", "\\u0000",
]  # fmt: skip
keys = st.sampled_from(HOSTILE)
fields = keys.filter(lambda key: not key.startswith("$"))
texts = st.sampled_from(HOSTILE) | st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00"), max_size=4
)
NUMBERS = [
    *range(-2, 4), 0.5, -0.0, 1.0, 0.1, 1e-7, 1e23, -1e23, 1e300, 1e308, 5e-324,
    2.2250738585072014e-308, 1.7976931348623157e308, 2**53 - 1, 2**53, 2**53 + 1, 2.0**53,
    2.0**53 + 2, 9999999999999998.0, 10**16, 1e16, 10**16 + 1, 10**17 + 1, 1e17, 2**62, 2.0**62,
    4611686018427388000, 2**62 + 1, 2**63 - 1, 2**63 - 1024, 2.0**63, -(2.0**63), -(2**63),
    -(2**63) + 1, 9.223372036854775e18, 2.0**64, 1.8446744073709550e19,
]  # fmt: skip
numbers = (
    st.integers(-3, 3)
    | st.sampled_from(NUMBERS)
    | st.integers(-(2**63), 2**63 - 1)
    | st.integers(-(2**63), 2**63 - 1).map(float)
    | st.floats(allow_nan=False, allow_infinity=False)
)
scalars = st.none() | st.booleans() | numbers | texts
json_values = st.recursive(
    scalars,
    lambda child: st.lists(child, max_size=3) | st.dictionaries(keys, child, max_size=3),
    max_leaves=6,
)
records = st.dictionaries(keys, json_values, min_size=0, max_size=4)

orderable = numbers | texts
plain_dicts = st.dictionaries(fields, scalars, max_size=2)
comparisons = st.one_of(
    st.fixed_dictionaries({"$eq": json_values}),
    st.fixed_dictionaries({"$ne": json_values}),
    st.fixed_dictionaries({"$gt": orderable}),
    st.fixed_dictionaries({"$gte": orderable, "$lt": orderable}),
    st.fixed_dictionaries({"$lte": orderable}),
    st.fixed_dictionaries({"$in": st.lists(json_values, max_size=3)}),
    st.fixed_dictionaries({"$nin": st.lists(json_values, max_size=3)}),
    st.fixed_dictionaries({"$contains": scalars}),
    st.fixed_dictionaries({"$exists": st.booleans()}),
    st.fixed_dictionaries({"$not": st.fixed_dictionaries({"$gt": orderable})}),
)
operands = scalars | st.lists(scalars, max_size=2) | comparisons | plain_dicts
simple = st.dictionaries(fields, operands, max_size=2)
all_filters = st.recursive(
    simple,
    lambda child: st.one_of(
        st.fixed_dictionaries({"$and": st.lists(child, min_size=1, max_size=2)}),
        st.fixed_dictionaries({"$or": st.lists(child, min_size=1, max_size=2)}),
        st.fixed_dictionaries({"$not": child}),
    ),
    max_leaves=3,
)


def same(left: Any, right: Any) -> bool:
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list) and isinstance(right, list):
        ours, theirs = cast("list[Any]", left), cast("list[Any]", right)
        return len(ours) == len(theirs) and all(
            same(a, b) for a, b in zip(ours, theirs, strict=True)
        )
    if isinstance(left, dict) and isinstance(right, dict):
        mine, other = cast("dict[str, Any]", left), cast("dict[str, Any]", right)
        return mine.keys() == other.keys() and all(same(mine[key], other[key]) for key in mine)
    return bool(left == right)


def ordered(operator: str, left: Any, right: Any) -> bool:
    if isinstance(left, bool) or isinstance(left, str) != isinstance(right, str):
        return False
    if not isinstance(left, int | float | str):
        return False
    # Text is ordered by code points, as UTF-8 is.
    a: Any = left
    return {"$gt": a > right, "$gte": a >= right, "$lt": a < right, "$lte": a <= right}[operator]


def compares(present: bool, value: Any, operator: str, operand: Any) -> bool:
    match operator:
        case "$eq":
            return same(value, operand) and (present or operand is None)
        case "$in":
            return any(same(value, each) for each in operand)
        case "$ne":
            return not compares(present, value, "$eq", operand)
        case "$nin":
            return not compares(present, value, "$in", operand)
        case "$exists":
            return present is operand
        case "$contains":
            if isinstance(value, list):
                return any(same(each, operand) for each in cast("list[Any]", value))
            return isinstance(value, str) and isinstance(operand, str) and operand in value
        case "$not":
            return not field_matches(present, value, operand)
        case _:
            return ordered(operator, value, operand)


def field_matches(present: bool, value: Any, operand: Any) -> bool:
    if not isinstance(operand, dict):
        return compares(present, value, "$eq", operand)
    entries = cast("dict[str, Any]", operand)
    if any(key.startswith("$") for key in entries):
        return all(compares(present, value, key, entries[key]) for key in entries)
    return isinstance(value, dict) and filter_matches(cast("dict[str, Any]", value), entries)


def filter_matches(record: dict[str, Any], filter_: dict[str, Any]) -> bool:
    for key, operand in filter_.items():
        if key == "$and":
            holds = all(filter_matches(record, each) for each in operand)
        elif key == "$or":
            holds = any(filter_matches(record, each) for each in operand)
        elif key == "$not":
            holds = not filter_matches(record, operand)
        else:
            holds = field_matches(key in record, record.get(key), operand)
        if not holds:
            return False
    return True
