"""Filters: one answer for every JSON value, whatever the keys and operands contain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langgraph.store.base import PutOp

from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.filters import MAX_CONDITIONS
from infrastructure.memory.memori.store import MemoriStore
from infrastructure.memory.memori.values import InvalidItem

NS = ("f",)


@pytest.fixture(scope="module")
def store() -> Iterator[MemoriStore]:
    memori = Memori.open(":memory:")
    yield MemoriStore(memori)
    memori.close()


HOSTILE = [
    "", " ", "a", "b", "a.b", "$", "[0]", '"', "'", "\\", '"."', "a' OR 1=1 --",
    '"; DROP TABLE items', "$.a", "\n", "\u2028", "é", "😀", "%", "_", "?", ":a", "lc",
]  # fmt: skip
keys = st.sampled_from(HOSTILE)
fields = keys.filter(lambda key: not key.startswith("$"))
texts = st.sampled_from(HOSTILE) | st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00"), max_size=4
)
numbers = (
    st.integers(-3, 3)
    | st.sampled_from([2**53, 2**53 + 1, 2**63 - 1, -(2**63), 0.1, 1e300, 5e-324, 2.0**53])
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


# The same rules again, over Python values, to compare with.


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
    return isinstance(value, dict) and matches(cast("dict[str, Any]", value), entries)


def matches(record: dict[str, Any], filter_: dict[str, Any]) -> bool:
    for key, operand in filter_.items():
        if key == "$and":
            holds = all(matches(record, each) for each in operand)
        elif key == "$or":
            holds = any(matches(record, each) for each in operand)
        elif key == "$not":
            holds = not matches(record, operand)
        else:
            holds = field_matches(key in record, record.get(key), operand)
        if not holds:
            return False
    return True


@settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(stored=st.lists(records, min_size=1, max_size=5), filter_=all_filters)
def test_the_store_filters_as_the_rules_say(
    store: MemoriStore, stored: list[dict[str, Any]], filter_: dict[str, Any]
) -> None:
    for key in range(5):
        store.delete(NS, str(key))
    store.batch([PutOp(NS, str(key), value) for key, value in enumerate(stored)])
    hits = store.search(NS, filter=filter_, limit=10)
    expected = [str(key) for key, value in enumerate(stored) if matches(value, filter_)]
    assert [hit.key for hit in reversed(hits)] == expected
    assert [hit.value for hit in reversed(hits)] == [stored[int(key)] for key in expected]


@pytest.mark.parametrize(
    ("value", "filter_", "expected"),
    [
        (2**53 + 1, {"$gt": 2**53}, True),
        (2**53, {"$gt": 2**53}, False),
        (-2.2606631148481385e-299, -2.2606631148481385e-299, True),
        (10, {"$gt": 9}, True),
        ("10", {"$gt": "9"}, False),
        ("10", {"$gt": 9}, False),
        (10, {"$lt": "9"}, False),
        (True, 1, False),
        (1, True, False),
        (1, 1.0, True),
        ([1, {"a": 2}], [1.0, {"a": 2.0}], True),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, True),
        ({"a": 1}, {"b": None}, True),
        ("a", {"b": None}, False),
        (None, None, True),
        (None, {"$exists": True}, True),
        ("research", {"$contains": "sea"}, True),
        (["a", "b"], {"$contains": "b"}, True),
        ({"b": 1}, {"$contains": "b"}, False),
    ],
)
def test_values_compare_as_what_they_are(
    store: MemoriStore, value: Any, filter_: Any, expected: bool
) -> None:
    store.put(NS, "k", {"field": value})
    found = store.search(NS, filter={"field": filter_, "$not": {"missing": 1}}, limit=100)
    assert ("k" in [hit.key for hit in found]) is expected


def test_a_key_with_a_period_is_one_key(store: MemoriStore) -> None:
    store.put(("p",), "flat", {"a.b": 1})
    store.put(("p",), "deep", {"a": {"b": 1}})
    assert [hit.key for hit in store.search(("p",), filter={"a.b": 1})] == ["flat"]
    assert [hit.key for hit in store.search(("p",), filter={"a": {"b": 1}})] == ["deep"]


@pytest.mark.parametrize(
    "filter_",
    [
        {"a": {"$regex": "x"}},
        {"a": {"$gt; DROP TABLE items": 1}},
        {"$where": "1"},
        {"$and": []},
        {"$and": {"a": 1}},
        {"$or": "a"},
        {"$not": 1},
        {"a": {"$gt": 1, "b": 2}},
        {"a": {"$gt": None}},
        {"a": {"$gt": True}},
        {"a": {"$lt": [1]}},
        {"a": {"$in": "abc"}},
        {"a": {"$exists": 1}},
        {"a": float("nan")},
        {"a": float("inf")},
        {"a": 2**64},
        {"a": (1,)},
        {"a": "\x00"},
        {"a\x00": 1},
        {1: 1},
        [1],
        {"$or": [{"a": number} for number in range(MAX_CONDITIONS + 1)]},
    ],
    ids=lambda filter_: repr(filter_)[:50],
)
def test_wrong_filters_are_refused(store: MemoriStore, filter_: Any) -> None:
    with pytest.raises(InvalidItem, match="operation 0"):
        store.search(NS, filter=filter_)


def test_a_filter_nested_too_deep_is_refused(store: MemoriStore) -> None:
    filter_: dict[str, Any] = {"a": 1}
    for _ in range(100):
        filter_ = {"$not": filter_}
    with pytest.raises(InvalidItem, match="nested"):
        store.search(NS, filter=filter_)
