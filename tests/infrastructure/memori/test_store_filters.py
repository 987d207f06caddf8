"""Filters: one answer for every JSON value, whatever the keys and operands contain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from json_filters import all_filters, filter_matches, records
from langgraph.store.base import PutOp, SearchOp

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
    expected = [str(key) for key, value in enumerate(stored) if filter_matches(value, filter_)]
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
    with pytest.raises(InvalidItem):
        store.search(NS, filter=filter_)
    with pytest.raises(InvalidItem, match="operation 0"):
        store.batch([SearchOp(NS, filter=filter_)])


def test_a_filter_nested_too_deep_is_refused(store: MemoriStore) -> None:
    filter_: dict[str, Any] = {"a": 1}
    for _ in range(100):
        filter_ = {"$not": filter_}
    with pytest.raises(InvalidItem, match="nested"):
        store.search(NS, filter=filter_)
