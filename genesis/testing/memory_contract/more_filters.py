"""Operators of filters beyond LangGraph's."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.store.base import BaseStore

from genesis.testing.memory_contract.setting import NS, Setting, keys

NULL = object()
"""Stands for a value without the field."""

ASKED: list[tuple[Any, Any, bool]] = [
    (1, {"$in": [1, 2]}, True), (1.0, {"$in": [1]}, True), (True, {"$in": [1]}, False),
    ("a", {"$in": ["b"]}, False), ("a", {"$in": []}, False), (None, {"$in": [None]}, True),
    (NULL, {"$in": [None]}, True), (NULL, {"$in": [1]}, False), ([1], {"$in": [[1]]}, True),
    ("a", {"$nin": ["b"]}, True), ("a", {"$nin": ["a"]}, False), (NULL, {"$nin": ["a"]}, True),
    (NULL, {"$nin": [None]}, False), ("a", {"$nin": []}, True),
    (None, {"$exists": True}, True), (NULL, {"$exists": True}, False),
    (NULL, {"$exists": False}, True), (0, {"$exists": False}, False),
    ("research", {"$contains": "sea"}, True), ("research", {"$contains": "Sea"}, False),
    (["a", 1], {"$contains": 1.0}, True), (["ab"], {"$contains": "a"}, False),
    ([[1]], {"$contains": [1]}, True), ({"b": 1}, {"$contains": "b"}, False),
    (12, {"$contains": 1}, False), (NULL, {"$contains": "a"}, False),
    ("x", {"$contains": ""}, True), ("100%", {"$contains": "0%"}, True),
    ("100", {"$contains": "%"}, False),
    (5, {"$not": {"$gt": 6}}, True), (7, {"$not": {"$gt": 6}}, False),
    (NULL, {"$not": {"$gt": 6}}, True), ("a", {"$not": "a"}, False),
    ({"deep": [1]}, {"deep": {"$contains": 1}}, True),
]  # fmt: skip
COMBINED: list[tuple[Any, list[str]]] = [
    ({"$and": [{"a": 1}, {"b": 2}]}, ["12"]), ({"$or": [{"a": 1}, {"b": 2}]}, ["22", "12", "11"]),
    ({"$not": {"a": 1}}, ["22"]), ({"a": 1, "$not": {"b": 2}}, ["11"]),
    ({"$or": [{"a": 2}, {"$and": [{"a": 1}, {"b": {"$lt": 2}}]}]}, ["22", "11"]),
    ({"$not": {"$or": [{"a": 2}, {"b": 2}]}}, ["11"]), ({"$and": [{}]}, ["22", "12", "11"]),
    ({"a": {"$gt": 0}, "$or": [{"b": 1}]}, ["11"]),
]  # fmt: skip
NEVER: list[Any] = [
    {"$and": []}, {"$or": {}}, {"$and": {"a": 1}}, {"$or": "a"}, {"$not": 1}, {"$where": "1"},
    {"a": {"$in": "abc"}}, {"a": {"$nin": None}}, {"a": {"$exists": 1}}, {"a": {"$gt": None}},
    {"a": {"$gt": True}}, {"a": {"$lt": [1]}}, {"a": (1,)}, {1: 1}, {"a\x00": 1},
    {"$or": [{"a": number} for number in range(1_000)]},
]  # fmt: skip


class MoreFilterContract(Setting):
    """`$in $nin $exists $contains $and $or $not`."""

    @pytest.mark.parametrize(("value", "operand", "expected"), ASKED)
    async def test_operators_say_what_they_mean(
        self, store: BaseStore, value: Any, operand: Any, expected: bool
    ) -> None:
        await store.aput(NS, "k", {"other": 1} if value is NULL else {"field": value})
        assert bool(await store.asearch(NS, filter={"field": operand})) is expected

    @pytest.mark.parametrize(("filter_", "expected"), COMBINED, ids=repr)
    async def test_filters_combine(
        self, store: BaseStore, filter_: Any, expected: list[str]
    ) -> None:
        for a, b in ((1, 1), (1, 2), (2, 2)):
            await store.aput(NS, f"{a}{b}", {"a": a, "b": b})
        assert keys(await store.asearch(NS, filter=filter_)) == expected

    async def test_a_key_with_a_period_is_one_key(self, store: BaseStore) -> None:
        await store.aput(NS, "flat", {"a.b": 1})
        await store.aput(NS, "deep", {"a": {"b": 1}})
        assert keys(await store.asearch(NS, filter={"a.b": 1})) == ["flat"]
        assert keys(await store.asearch(NS, filter={"a": {"b": 1}})) == ["deep"]

    @pytest.mark.parametrize("filter_", NEVER, ids=lambda filter_: repr(filter_)[:40])
    async def test_an_operator_used_wrongly_is_refused(
        self, store: BaseStore, filter_: Any
    ) -> None:
        with pytest.raises((ValueError, TypeError)):
            await store.asearch(NS, filter=filter_)

    async def test_a_filter_nested_too_deep_is_refused(self, store: BaseStore) -> None:
        filter_: dict[str, Any] = {"a": 1}
        for _ in range(100):
            filter_ = {"$not": filter_}
        with pytest.raises(ValueError, match="nested"):
            await store.asearch(NS, filter=filter_)
