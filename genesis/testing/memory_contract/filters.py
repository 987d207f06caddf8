"""Filters: values compare as what they are, and nothing in a filter is anything but data."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.store.base import BaseStore, PutOp

from genesis.testing.memory_contract.setting import NS, Setting, keys

# Value, what the filter asks of it, whether they match.
COMPARED: list[tuple[Any, Any, bool]] = [
    ("a", "a", True), ("a", "A", False), ("a", {"$eq": "a"}, True), ("a", {"$ne": "a"}, False),
    ("a", {"$ne": "b"}, True), (1, 1.0, True), (True, 1, False), (1, True, False),
    (0, False, False), ("1", 1, False), (None, None, True), ([1, 2], [1, 2], True),
    ([1, 2], [2, 1], False), (5, {"$gte": 5, "$lt": 6}, True), (6, {"$gte": 5, "$lt": 6}, False),
    (-1, {"$lt": 0}, True), (0.1, {"$lte": 0.1}, True), (1e300, {"$gt": 1e299}, True),
    (None, {"$gt": 0}, False), (True, {"$gt": 0}, False), ([1], {"$gt": 0}, False),
]  # fmt: skip
NUMBERS: list[tuple[Any, Any, bool]] = [
    (10, {"$gt": 9}, True), (9, {"$gt": 10}, False), (9, {"$lt": 10}, True),
    (2.5, {"$lt": 10}, True), ("10", {"$gt": "9"}, False), ("b", {"$gt": "a"}, True),
    ("B", {"$gt": "a"}, False), ("10", {"$gt": 9}, False), (10, {"$lt": "9"}, False),
    ("é", {"$gt": "z"}, True),
]  # fmt: skip
LARGE: list[tuple[Any, Any, bool]] = [
    (2**53 + 1, {"$gt": 2**53}, True), (2**53, {"$gt": 2**53}, False),
    (2**53 + 1, 2**53, False), (2**53 + 1, float(2**53), False),
    (2**63 - 1, {"$gt": 2**63 - 2}, True), (-(2**63), {"$lt": -(2**63) + 1}, True),
    (2**63 - 1, {"$lt": 2.0**63}, True),
]  # fmt: skip
HOSTILE_FIELDS = [
    "", " ", "'", '"', "\\", '"."', "a' OR 1=1 --", '"; DROP TABLE items', "[0]", "a-b", "%", "?",
    ":a", "é", "\n", "{}", "%s", "lc", "0",
]  # fmt: skip
HOSTILE_TEXTS = ["'", "' OR '1'='1", "'; DROP TABLE items; --", "%", "\\", '"', "\u2028", "{}"]
WRONG_FILTERS: list[Any] = [
    {"a": {"$regex": "x"}}, {"a": {"$gt; DROP TABLE items": 1}}, {"a": {"$gt": 1, "b": 2}}, [1],
]  # fmt: skip


class FilterContract(Setting):
    """LangGraph's filters: equality, `$eq $ne $gt $gte $lt $lte`, and all of them together."""

    async def _matches(self, store: BaseStore, value: Any, operand: Any) -> bool:
        await store.aput(NS, "k", {"field": value, "other": 1})
        return bool(await store.asearch(NS, filter={"field": operand}))

    @pytest.mark.parametrize(("value", "operand", "expected"), COMPARED)
    async def test_values_compare_as_what_they_are(
        self, store: BaseStore, value: Any, operand: Any, expected: bool
    ) -> None:
        assert await self._matches(store, value, operand) is expected

    @pytest.mark.parametrize(("value", "operand", "expected"), NUMBERS)
    async def test_numbers_compare_as_numbers_and_texts_as_texts(
        self, store: BaseStore, value: Any, operand: Any, expected: bool
    ) -> None:
        assert await self._matches(store, value, operand) is expected

    @pytest.mark.parametrize(("value", "operand", "expected"), LARGE)
    async def test_large_numbers_compare_exactly(
        self, store: BaseStore, value: Any, operand: Any, expected: bool
    ) -> None:
        assert await self._matches(store, value, operand) is expected

    @pytest.mark.parametrize(
        ("operand", "expected"),
        [
            (None, True), ({"$eq": None}, True), ({"$ne": 1}, True), ({"$ne": None}, False),
            (1, False), ("", False), ({"$gt": -1}, False), ({"$gte": -1}, False),
            ({"$lt": 1}, False), ({"$lte": "z"}, False), ({"x": 1}, False),
        ],
    )  # fmt: skip
    async def test_a_missing_field_matches_only_none_and_ne(
        self, store: BaseStore, operand: Any, expected: bool
    ) -> None:
        await store.aput(NS, "k", {"other": 1})
        assert bool(await store.asearch(NS, filter={"field": operand})) is expected

    async def test_every_field_of_a_filter_must_match(self, store: BaseStore) -> None:
        await store.aput(NS, "both", {"a": 1, "b": 2})
        await store.aput(NS, "one", {"a": 1, "b": 3})
        assert keys(await store.asearch(NS, filter={"a": 1, "b": 2})) == ["both"]
        assert len(await store.asearch(NS, filter={"a": 1, "b": {"$gt": 1}})) == 2
        assert len(await store.asearch(NS, filter={})) == 2

    async def test_a_nested_filter_descends(self, store: BaseStore) -> None:
        await store.aput(NS, "k", {"author": {"name": "Ada", "age": 36}})
        assert keys(await store.asearch(NS, filter={"author": {"name": "Ada"}})) == ["k"]
        assert keys(await store.asearch(NS, filter={"author": {"age": {"$gt": 30}}})) == ["k"]
        assert await store.asearch(NS, filter={"author": {"name": "Bob"}}) == []

    @pytest.mark.parametrize("field", HOSTILE_FIELDS, ids=ascii)
    async def test_a_hostile_field_is_only_a_name(self, store: BaseStore, field: str) -> None:
        await store.abatch([PutOp(NS, "has", {field: "x"}), PutOp(NS, "not", {"x": 1})])
        assert keys(await store.asearch(NS, filter={field: "x"})) == ["has"]
        assert keys(await store.asearch(NS, filter={field: {"$ne": "x"}})) == ["not"]
        assert set(keys(await store.asearch(NS))) == {"not", "has"}

    @pytest.mark.parametrize("text", HOSTILE_TEXTS, ids=ascii)
    async def test_a_hostile_operand_is_only_a_text(self, store: BaseStore, text: str) -> None:
        await store.abatch([PutOp(NS, "has", {"f": text}), PutOp(NS, "not", {"f": "x"})])
        assert keys(await store.asearch(NS, filter={"f": text})) == ["has"]
        assert keys(await store.asearch(NS, filter={"f": {"$ne": text}})) == ["not"]

    @pytest.mark.parametrize("filter_", WRONG_FILTERS, ids=repr)
    async def test_a_wrong_filter_is_refused(self, store: BaseStore, filter_: Any) -> None:
        await store.aput(NS, "k", {"a": 1})
        with pytest.raises((ValueError, TypeError)):
            await store.asearch(NS, filter=filter_)
        assert keys(await store.asearch(NS)) == ["k"]
