"""What LangGraph's BaseStore promises, and where its own stores disagree with each other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.base import (
    GetOp,
    InvalidNamespaceError,
    Item,
    ListNamespacesOp,
    MatchCondition,
    PutOp,
    SearchItem,
    SearchOp,
)

from infrastructure.errors import InputError, StoreError
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.store import MemoriStore
from infrastructure.memory.memori.values import InvalidItem

NOON = datetime(2026, 11, 20, 12, 0, 0, 123457, tzinfo=UTC)
NS = ("users", "ada")


class HandClock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.time = NOON

    def advance(self, minutes: float) -> None:
        self.time += timedelta(minutes=minutes)

    def now(self) -> float:
        return self.time.timestamp()

    def monotonic(self) -> float:
        return self.time.timestamp()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture(params=["memory", "file"])
def memori(request: pytest.FixtureRequest, tmp_path: Path, clock: HandClock) -> Iterator[Memori]:
    path = ":memory:" if request.param == "memory" else tmp_path / "memori.db"
    opened = Memori.open(path, clock=clock)
    yield opened
    opened.close()


@pytest.fixture
def store(memori: Memori) -> MemoriStore:
    return MemoriStore(memori)


def found(hits: list[SearchItem]) -> list[str]:
    return [hit.key for hit in hits]


async def test_put_get_update_delete(store: MemoriStore, clock: HandClock) -> None:
    assert await store.aget(NS, "theme") is None
    await store.aput(NS, "theme", {"color": "dark", "sizes": [1, 2.5, None, True, {}]})
    created = await store.aget(NS, "theme")
    assert isinstance(created, Item)
    assert created.value == {"color": "dark", "sizes": [1, 2.5, None, True, {}]}
    assert (created.namespace, created.key) == (NS, "theme")
    clock.advance(1)
    await store.aput(NS, "theme", {"color": "light"})
    updated = await store.aget(NS, "theme")
    assert updated is not None
    assert updated.value == {"color": "light"}
    assert updated.created_at == NOON
    assert updated.updated_at == NOON + timedelta(minutes=1)
    assert updated.updated_at.tzinfo is not None
    await store.adelete(NS, "theme")
    await store.adelete(NS, "theme")
    assert await store.aget(NS, "theme") is None


async def test_putting_a_key_thrice_leaves_one_row_with_the_last_value(
    store: MemoriStore,
) -> None:
    for number in range(3):
        await store.aput(NS, "key", {"number": number})
    item = await store.aget(NS, "key")
    assert item is not None
    assert item.value == {"number": 2}
    assert [hit.value for hit in await store.asearch(NS)] == [{"number": 2}]


async def test_filters_apply_before_the_limit(store: MemoriStore) -> None:
    await store.abatch(
        [PutOp(NS, str(number), {"even": number % 2 == 0, "text": "note"}) for number in range(40)]
    )
    assert found(await store.asearch(NS, filter={"even": True}, limit=3)) == ["38", "36", "34"]
    assert len(await store.asearch(NS, filter={"even": True}, limit=30)) == 20
    hits = await store.asearch(NS, query="notes", filter={"even": False}, limit=30)
    assert len(hits) == 20


async def test_a_search_without_a_query_lists_the_last_written_first(store: MemoriStore) -> None:
    for key in ("a", "b", "c"):
        await store.aput(NS, key, {})
    await store.aput(NS, "a", {"again": True})
    hits = await store.asearch(NS)
    assert found(hits) == ["a", "c", "b"]
    assert [hit.score for hit in hits] == [None, None, None]
    assert found(await store.asearch(NS, limit=1, offset=1)) == ["c"]
    assert await store.asearch(NS, limit=0) == []
    assert await store.asearch(NS, offset=3) == []


async def test_a_prefix_matches_whole_labels_with_their_case(store: MemoriStore) -> None:
    below = [("a",), ("a", "b"), ("a", "\U0010ffff")]
    beside = [("ab",), ("A",), ("a/b",), ("a b", "c"), ("a\uffff",), ("*",)]
    for namespace in (*below, *beside):
        await store.aput(namespace, "k", {})
    assert {hit.namespace for hit in await store.asearch(("a",))} == set(below)
    assert {hit.namespace for hit in await store.asearch(("*",))} == {("*",)}
    assert len(await store.asearch(())) == len(below) + len(beside)


async def test_a_batch_answers_in_order_and_reads_before_it_writes(store: MemoriStore) -> None:
    await store.aput(NS, "old", {"n": 1})
    results = await store.abatch(
        [
            PutOp(NS, "new", {"n": 2}),
            GetOp(NS, "new"),
            GetOp(NS, "old"),
            PutOp(NS, "old", None),
            SearchOp(NS),
            ListNamespacesOp(),
        ]
    )
    assert results[:2] == [None, None]
    assert isinstance(results[2], Item)
    assert results[2].value == {"n": 1}
    assert results[3] is None
    assert isinstance(results[4], list)
    assert len(results[4]) == 1
    assert results[5] == [NS]
    assert found(await store.asearch(NS)) == ["new"]
    assert await store.abatch([]) == []


async def test_the_last_of_several_puts_of_a_batch_wins(store: MemoriStore) -> None:
    await store.abatch([PutOp(NS, "k", {"n": 1}), PutOp(NS, "k", None), PutOp(NS, "k", {"n": 3})])
    assert [hit.value for hit in await store.asearch(NS)] == [{"n": 3}]
    await store.abatch([PutOp(NS, "k", {"n": 4}), PutOp(NS, "k", None)])
    assert await store.asearch(NS) == []


async def test_a_wrong_operation_names_its_index_and_nothing_of_its_call_is_stored(
    store: MemoriStore,
) -> None:
    others = [store.aput(NS, str(number), {"n": number}) for number in range(31)]
    wrong = store.abatch([PutOp(NS, "a", {}), PutOp(NS, "b", {"n": float("nan")})])
    *fine, error = await asyncio.gather(*others, wrong, return_exceptions=True)
    assert fine == [None] * 31
    assert isinstance(error, InvalidItem)
    assert "operation 1: value['n'] is nan" in str(error)
    assert len(await store.asearch(NS, limit=100)) == 31


async def test_a_cancelled_batch_leaves_the_store_working(store: MemoriStore) -> None:
    tasks = [asyncio.create_task(store.aput(NS, str(number), {})) for number in range(10)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert results[1::2] == [None] * 5
    assert {"1", "3", "5", "7", "9"} <= set(found(await store.asearch(NS)))


async def test_namespaces_are_listed_by_condition_and_depth(store: MemoriStore) -> None:
    for namespace in [
        ("a", "b", "c"), ("a", "b", "d", "e"), ("a", "b", "d", "i"), ("a", "b", "f"),
        ("a", "c", "f"), ("b", "x", "f"), ("ab", "f"),
    ]:  # fmt: skip
        await store.aput(namespace, "k", {})
    assert await store.alist_namespaces(prefix=("a", "b"), max_depth=3) == [
        ("a", "b", "c"), ("a", "b", "d"), ("a", "b", "f"),
    ]  # fmt: skip
    assert await store.alist_namespaces(suffix=("f",)) == [
        ("a", "b", "f"), ("a", "c", "f"), ("ab", "f"), ("b", "x", "f"),
    ]  # fmt: skip
    assert await store.alist_namespaces(prefix=("*", "c")) == [("a", "c", "f")]
    assert await store.alist_namespaces(prefix=("a",), suffix=("*", "f")) == [
        ("a", "b", "f"), ("a", "c", "f"),
    ]  # fmt: skip
    assert await store.alist_namespaces(max_depth=1) == [("a",), ("ab",), ("b",)]
    assert await store.alist_namespaces(max_depth=1, limit=1, offset=1) == [("ab",)]
    assert await store.alist_namespaces(prefix=("a",) * 5) == []
    await store.adelete(("ab", "f"), "k")
    assert ("ab", "f") not in await store.alist_namespaces()


def test_synchronous_methods_work_from_any_thread(store: MemoriStore) -> None:
    threads = [
        threading.Thread(target=store.put, args=(NS, str(number), {"n": number}))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found(store.search(NS))) == [str(number) for number in range(8)]
    store.delete(NS, "0")
    assert store.get(NS, "0") is None
    assert store.list_namespaces() == [NS]


async def test_synchronous_methods_work_beside_a_running_loop(store: MemoriStore) -> None:
    store.put(NS, "k", {"n": 1})
    item = store.get(NS, "k")
    assert item is not None
    assert item.value == {"n": 1}


async def test_tenants_do_not_meet(memori: Memori) -> None:
    mine, theirs = MemoriStore(memori), MemoriStore(memori.for_tenant("other"))
    await mine.aput(NS, "k", {"text": "my secret"})
    await theirs.aput(NS, "k", {"text": "their secret"})
    await theirs.adelete(NS, "k")
    assert await theirs.aget(NS, "k") is None
    assert await theirs.asearch((), query="secret") == []
    assert await theirs.alist_namespaces() == []
    assert found(await mine.asearch((), query="secret")) == ["k"]


async def test_from_conn_string_opens_and_closes(tmp_path: Path) -> None:
    path = str(tmp_path / "deep" / "memori.db")
    async with MemoriStore.from_conn_string(path) as store:
        await store.setup()
        await store.setup()
        await store.aput(NS, "k", {"n": 1})
    with pytest.raises(StoreError, match="closed"):
        await store.aget(NS, "k")
    async with MemoriStore.from_conn_string(path) as store:
        assert found(await store.asearch(NS)) == ["k"]


async def test_other_databases_are_refused_with_what_to_do() -> None:
    with pytest.raises(StoreError, match="give the path of a file"):
        async with MemoriStore.from_conn_string("postgresql://localhost/x"):
            pass


WRONG_OPERATIONS: list[Any] = [
    PutOp((), "k", {}),
    PutOp(("langgraph",), "k", {}),
    PutOp(("a.b",), "k", {}),
    PutOp(("",), "k", {}),
    PutOp(("a\x00",), "k", {}),
    PutOp("name", "k", {}),  # pyright: ignore[reportArgumentType] - wrong on purpose
    PutOp((1,), "k", {}),  # pyright: ignore[reportArgumentType] - wrong on purpose
    PutOp(NS, 1, {}),  # pyright: ignore[reportArgumentType] - wrong on purpose
    PutOp(NS, "k\x00", {}),
    PutOp(NS, "\ud800", {}),
    PutOp(NS, "k", [1]),  # pyright: ignore[reportArgumentType] - wrong on purpose
    PutOp(NS, "k", {}, index="text"),  # pyright: ignore[reportArgumentType] - wrong on purpose
    PutOp(NS, "k", {}, ttl=-1),
    PutOp(NS, "k", {}, ttl=float("nan")),
    PutOp(NS, "k", {}, ttl=1e300),
    GetOp(("a.b",), "k"),
    SearchOp(NS, limit=-1),
    SearchOp(NS, offset=-1),
    SearchOp(NS, limit=2**70),
    SearchOp(NS, limit=1.5),  # pyright: ignore[reportArgumentType] - wrong on purpose
    SearchOp(NS, query="\x00"),
    ListNamespacesOp(max_depth=0),
    ListNamespacesOp(limit=-1),
    ListNamespacesOp((MatchCondition("middle", ("a",)),)),  # pyright: ignore[reportArgumentType] - wrong on purpose
    "put",
]


@pytest.mark.parametrize("op", WRONG_OPERATIONS, ids=repr)
async def test_wrong_operations_are_refused(store: MemoriStore, op: Any) -> None:
    with pytest.raises((InvalidItem, InvalidNamespaceError), match="operation 0: "):
        await store.abatch([op])
    with pytest.raises((InvalidItem, InvalidNamespaceError), match="operation 1: "):
        store.batch([GetOp(NS, "k"), op])


def test_a_refused_item_is_wrong_input_and_a_wrong_value() -> None:
    assert issubclass(InvalidItem, InputError)
    assert issubclass(InvalidItem, ValueError)


# Expiry


@pytest.fixture
def mortal(memori: Memori) -> MemoriStore:
    return MemoriStore(memori, ttl={"default_ttl": 10, "omit_expired": True})


async def test_expired_items_are_gone_from_every_answer(
    mortal: MemoriStore, clock: HandClock
) -> None:
    await mortal.aput(NS, "short", {"text": "note"})
    await mortal.aput(NS, "long", {"text": "note"}, ttl=60)
    await mortal.aput(("for", "ever"), "always", {"text": "note"}, ttl=None)
    clock.advance(10)
    assert await mortal.aget(NS, "short") is None
    assert found(await mortal.asearch(())) == ["always", "long"]
    assert set(found(await mortal.asearch((), query="note"))) == {"always", "long"}
    clock.advance(10_000)
    assert await mortal.alist_namespaces() == [("for", "ever")]


async def test_reading_begins_the_life_anew_unless_told_not_to(
    mortal: MemoriStore, clock: HandClock
) -> None:
    for key in ("got", "searched", "peeked"):
        await mortal.aput(NS, key, {"kind": key})
    clock.advance(8)
    assert await mortal.aget(NS, "got") is not None
    assert await mortal.asearch(NS, filter={"kind": "searched"})
    assert await mortal.aget(NS, "peeked", refresh_ttl=False) is not None
    clock.advance(8)
    assert await mortal.aget(NS, "got") is not None
    assert await mortal.aget(NS, "searched") is not None
    assert await mortal.aget(NS, "peeked") is None


async def test_a_put_sets_the_life_anew(mortal: MemoriStore, clock: HandClock) -> None:
    await mortal.aput(NS, "k", {})
    clock.advance(8)
    await mortal.aput(NS, "k", {}, ttl=None)
    clock.advance(10_000)
    assert await mortal.aget(NS, "k") is not None


async def test_an_expired_item_does_not_lend_its_age_to_the_next(
    mortal: MemoriStore, clock: HandClock
) -> None:
    await mortal.aput(NS, "k", {})
    clock.advance(11)
    await mortal.aput(NS, "k", {})
    item = await mortal.aget(NS, "k")
    assert item is not None
    assert item.created_at == NOON + timedelta(minutes=11)


async def test_without_omit_expired_items_stay_until_swept(
    memori: Memori, clock: HandClock
) -> None:
    store = MemoriStore(memori, ttl={"refresh_on_read": False})
    await store.aput(NS, "k", {"text": "note"}, ttl=1)
    await store.aput(NS, "other", {})
    clock.advance(2)
    assert await store.aget(NS, "k") is not None
    assert await store.sweep_ttl() == 1
    assert await store.sweep_ttl() == 0
    assert found(await store.asearch(NS)) == ["other"]
    assert await store.asearch(NS, query="note") == []


async def test_the_sweeper_sweeps_until_stopped(memori: Memori, clock: HandClock) -> None:
    store = MemoriStore(memori)
    await store.aput(NS, "k", {}, ttl=1)
    clock.advance(2)
    await store.start_ttl_sweeper(sweep_interval_minutes=1e-9)
    async with asyncio.timeout(30):
        while await store.aget(NS, "k", refresh_ttl=False) is not None:
            pass
    assert await store.stop_ttl_sweeper() is True
    assert await store.stop_ttl_sweeper() is True
