"""What is wrong in a call is refused with what to give instead, before anything is stored."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import enum
import zlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import orjson
import pytest
from langgraph.store.base import (
    GetOp,
    InvalidNamespaceError,
    ListNamespacesOp,
    MatchCondition,
    PutOp,
    SearchOp,
)

from genesis.testing.memory_contract.setting import LETTERS, letter_counts
from infrastructure.embeddings.builtin import BuiltinEmbedder
from infrastructure.errors import InputError, StoreError
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.provenance import Provenance
from infrastructure.memory.memori.store import MemoriStore
from infrastructure.memory.memori.values import MAX_BYTES, MAX_DEPTH, InvalidItem

NS = ("a",)


@pytest.fixture
async def store() -> AsyncIterator[MemoriStore]:
    async with MemoriStore.from_conn_string(":memory:") as opened:
        yield opened


def test_a_refused_item_is_wrong_input_and_a_wrong_value() -> None:
    assert issubclass(InvalidItem, InputError)
    assert issubclass(InvalidItem, ValueError)


def embedder(dims: Any, **config: Any) -> dict[str, Any]:
    return {"index": {"embed": letter_counts, "dims": dims, **config}}


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"index": "text"}, "index must be a dict, not str"),
        ({"index": {"embed": letter_counts}}, "index\\['dims'\\]"),
        (embedder("26"), "positive integer, not '26'"),
        (embedder(0), "positive integer, not 0"),
        (embedder(-1), "positive integer, not -1"),
        (embedder(True), "positive integer, not True"),
        (embedder(26, fields="text"), "list of paths"),
        (embedder(26, fields=[1]), "path of index must be a str"),
        ({"index": {"embed": 3, "dims": 26}}, "LangChain Embeddings, a function"),
        ({**embedder(26), "embedder": BuiltinEmbedder()}, "not both"),
        ({"ttl": 5}, "ttl must be a dict, not int"),
        ({"ttl": {"default_ttl": "5"}}, "ttl must be a number of minutes"),
        ({"ttl": {"default_ttl": -1}}, "ttl must be a number of minutes"),
        ({"ttl": {"sweep_interval_minutes": 0}}, "minutes above 0, not 0"),
        ({"ttl": {"omit_expired": "no"}}, "must be True or False, not 'no'"),
        ({"ttl": {"refresh_on_read": 1}}, "must be True or False, not 1"),
        ({"provenance": "ada"}, "must be a Provenance, not str"),
        ({"undo_s": -1}, "undo_s must be a number of seconds"),
        ({"undo_s": float("nan")}, "undo_s must be a number of seconds"),
        ({"undo_s": "1"}, "undo_s must be a number of seconds"),
    ],
    ids=repr,
)  # fmt: skip
def test_a_wrong_configuration_is_refused(
    store: MemoriStore, config: dict[str, Any], told: str
) -> None:
    with pytest.raises(InvalidItem, match=told):
        MemoriStore(store.memori, **config)


class NoEmbedder:
    """It has all but a method."""

    name = "none"
    version = "1"
    dimensions = 3


class Flat(BuiltinEmbedder):
    dimensions = 0


@pytest.mark.parametrize("wrong", [5, "minilm", letter_counts, NoEmbedder(), Flat()], ids=repr)
async def test_what_is_no_embedder_is_told_what_one_needs(store: MemoriStore, wrong: Any) -> None:
    with pytest.raises(InvalidItem, match=rf"dimensions.*embed\(texts\).*{type(wrong).__name__}"):
        MemoriStore(store.memori, embedder=wrong)


def test_a_store_needs_an_open_database() -> None:
    wrong: Any = "memory.db"
    with pytest.raises(InvalidItem, match="from_conn_string"):
        MemoriStore(wrong)


@pytest.mark.parametrize("place", [1, None, b"x", ["a"], "", "sqlite:///"])
async def test_only_a_place_is_opened(place: Any) -> None:
    with pytest.raises(InvalidItem, match="a path"):
        async with MemoriStore.from_conn_string(place):
            pass


async def test_other_databases_are_refused_with_what_to_do() -> None:
    with pytest.raises(StoreError, match="give the path of a file"):
        async with MemoriStore.from_conn_string("mysql://localhost/x"):
            pass


@pytest.mark.parametrize("place", ["~/ada/memori.db", "sqlite:///~/ada/memori.db"])
async def test_a_place_can_begin_with_the_users_folder(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    async with MemoriStore.from_conn_string(place) as store:
        assert store.memori.place == str(tmp_path / "ada" / "memori.db")


async def test_from_conn_string_opens_and_closes(tmp_path: Path) -> None:
    path = str(tmp_path / "deep" / "memori.db")
    async with MemoriStore.from_conn_string(path) as store:
        await store.setup()
        await store.setup()
        await store.aput(NS, "k", {"n": 1})
    with pytest.raises(StoreError, match="closed"):
        await store.aget(NS, "k")
    async with MemoriStore.from_conn_string(path) as store:
        assert [hit.key for hit in await store.asearch(NS)] == ["k"]


async def test_a_synchronous_call_on_the_stores_own_loop_is_refused(store: MemoriStore) -> None:
    for call in (
        lambda: store.put(NS, "k", {}),
        lambda: store.get(NS, "k"),
        lambda: store.delete(NS, "k"),
        lambda: store.search(NS),
        store.list_namespaces,
        lambda: store.batch([]),
    ):
        with pytest.raises(asyncio.InvalidStateError, match="begins with 'a'"):
            call()
        await asyncio.to_thread(call)


async def test_tenants_do_not_meet(store: MemoriStore) -> None:
    mine, theirs = store, MemoriStore(store.memori.for_tenant("other"))
    await mine.aput(NS, "k", {"text": "my secret"})
    await theirs.aput(NS, "k", {"text": "their secret"})
    await theirs.adelete(NS, "k")
    assert await theirs.aget(NS, "k") is None
    assert await theirs.asearch((), query="secret") == []
    assert await theirs.alist_namespaces() == []
    assert await theirs.aundelete(NS, "k") is not None
    assert [hit.value for hit in await mine.asearch((), query="secret")] == [{"text": "my secret"}]


WRONG_OPERATIONS: list[tuple[Any, str]] = [
    (PutOp((), "k", {}), "at least one label"),
    (PutOp(("a.b",), "k", {}), "no period"),
    (PutOp(("",), "k", {}), "not empty"),
    (PutOp(("a\x00",), "k", {}), "NUL"),
    (PutOp(("a" * 2_000,), "k", {}), "longer than 1000 bytes"),
    (PutOp("name", "k", {}), "tuple of labels, not str"),  # pyright: ignore[reportArgumentType] - wrong on purpose
    (PutOp((1,), "k", {}), "the label 1"),  # pyright: ignore[reportArgumentType] - wrong on purpose
    (PutOp(NS, 1, {}), "key must be a str, not int"),  # pyright: ignore[reportArgumentType] - wrong on purpose
    (PutOp(NS, "k\x00", {}), "key contains a NUL"),
    (PutOp(NS, "\ud800", {}), "key is not valid Unicode"),
    (PutOp(NS, "k" * 2_000, {}), "key is longer than 1000 bytes; use a hash"),
    (PutOp(NS, "k", [1]), "must be a dict, not list"),  # pyright: ignore[reportArgumentType] - wrong on purpose
    (PutOp(NS, "k", {"n": float("nan")}), r"value\['n'\] is nan"),
    (PutOp(NS, "k", {"a": [0, {"b": ()}]}), r"value\['a'\]\[1\]\['b'\] is a tuple"),
    (PutOp(NS, "k", {"n": 2**63}), "beyond 64 bits; store it as text"),
    (PutOp(NS, "k", {}, index="text"), "index must be"),  # pyright: ignore[reportArgumentType] - wrong on purpose
    (PutOp(NS, "k", {}, ttl=-1), "ttl must be a number of minutes"),
    (PutOp(NS, "k", {}, ttl=1e300), "ttl must be a number of minutes"),
    (GetOp(("a.b",), "k"), "no period"),
    (SearchOp(NS, limit=-1), "limit must be an integer of at least 0"),
    (SearchOp(NS, offset=2**70), "offset must be an integer of at least 0"),
    (SearchOp(NS, query="\x00"), "query contains a NUL"),
    (SearchOp(NS, query=1), "query must be a str"),  # pyright: ignore[reportArgumentType] - wrong on purpose
    (SearchOp(NS, filter={"a": {"$no": 1}}), "'\\$no' is not an operator"),
    (ListNamespacesOp(max_depth=0), "max_depth must be at least 1"),
    (ListNamespacesOp(limit=-1), "limit must be an integer of at least 0"),
    (ListNamespacesOp((MatchCondition("middle", ("a",)),)), "'prefix' or 'suffix'"),  # pyright: ignore[reportArgumentType] - wrong on purpose
    (ListNamespacesOp(("a",)), "must be a MatchCondition, not str"),  # pyright: ignore[reportArgumentType] - wrong on purpose
    ("put", "str is not an operation"),
]


@pytest.mark.parametrize(("op", "told"), WRONG_OPERATIONS, ids=lambda part: repr(part)[:50])
async def test_a_wrong_operation_is_told_with_its_index(
    store: MemoriStore, op: Any, told: str
) -> None:
    with pytest.raises((InvalidItem, InvalidNamespaceError), match=f"operation 0: .*{told}"):
        await store.abatch([op])
    with pytest.raises((InvalidItem, InvalidNamespaceError), match=f"operation 1: .*{told}"):
        await store.abatch([PutOp(NS, "k", {}), op])
    assert await store.asearch(()) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"query": 1}, "query must be a str"),
        ({"query": "\ud800"}, "not valid Unicode"),
        ({"limit": None}, "limit must be an integer"),
        ({"offset": True}, "offset must be an integer"),
        ({"filter": "a"}, "a filter must be a dict"),
        ({"refresh_ttl": "yes"}, "refresh_ttl must be True or False"),
        ({"ranking": {"text": 1}}, "ranking must be a Ranking, not dict"),
        ({"order_by": {"a": 1}}, "order_by must be"),
        ({"order_by": "a", "descending": "yes"}, "descending must be True or False"),
        ({"descending": True}, "descending needs order_by"),
        ({"order_by": "a", "query": "b"}, "not both"),
    ],
)
async def test_a_wrong_search_is_refused(
    store: MemoriStore, arguments: dict[str, Any], told: str
) -> None:
    with pytest.raises(InvalidItem, match=told):
        await store.asearch(NS, **arguments)
    with pytest.raises(InvalidItem, match=told):
        await asyncio.to_thread(lambda: store.search(NS, **arguments))


MARK = 16  # characters before what a cursor holds
FORGED: list[Any] = [
    [2**63], [-1.5], ["x"], [None, 2**63], [None, [2**63]], [None, [{}]], [{}], "x", None, [],
]  # fmt: skip


@pytest.mark.parametrize("place", FORGED, ids=repr)
async def test_a_forged_cursor_is_refused(store: MemoriStore, place: Any) -> None:
    await store.abatch([PutOp(NS, str(number), {}) for number in range(3)])
    searches: list[dict[str, Any]] = [{}, {"query": "a"}, {"order_by": "a"}]
    for arguments in searches:
        cursor = (await store.apage(NS, limit=1, **arguments)).cursor
        assert cursor is not None
        for forged in (zlib.compress(orjson.dumps(place)), zlib.compress(bytes(10**8)), b"x"):
            given = cursor[:MARK] + base64.urlsafe_b64encode(forged).decode()
            with pytest.raises(InvalidItem, match="cursor"):
                await store.apage(NS, limit=1, cursor=given, **arguments)


@pytest.mark.parametrize("interval", [0, -1, float("nan"), float("inf"), "1", True])
async def test_a_wrong_interval_of_sweeping_is_refused(store: MemoriStore, interval: Any) -> None:
    with pytest.raises(InvalidItem, match="sweep_interval_minutes"):
        await store.start_ttl_sweeper(interval)
    assert await store.stop_ttl_sweeper() is True


async def test_a_closed_store_has_no_sweeper() -> None:
    memori = Memori.open(":memory:")
    store = MemoriStore(memori)
    await memori.aclose()
    with pytest.raises(StoreError, match="closed"):
        await store.start_ttl_sweeper()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_the_sweeper_sweeps_until_stopped(store: MemoriStore) -> None:
    await store.aput(NS, "k", {}, ttl=0)
    first = await store.start_ttl_sweeper(sweep_interval_minutes=1e-9)
    assert await store.start_ttl_sweeper() is first
    async with asyncio.timeout(30):
        while await store.aget(NS, "k") is not None:
            pass
    assert await store.stop_ttl_sweeper() is True
    assert await store.stop_ttl_sweeper() is True


@pytest.mark.parametrize("wrong", [{"source": 1}, {"run_id": "r" * 501}, {"verified": 1}])
def test_a_wrong_provenance_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidItem, match=next(iter(wrong))):
        Provenance(**wrong)


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Coded(str, enum.Enum):  # noqa: UP042 - a StrEnum has no other value
    """A text whose `value` is none, so that no encoder may go by it."""

    def __new__(cls, text: str, code: int) -> Self:
        made = str.__new__(cls, text)
        made._value_ = code
        return made

    ONE = "one", 1


class Loud(str):
    __slots__ = ()

    def __str__(self) -> str:
        return self.upper()


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (Coded.ONE, "one"),
        (Loud("quiet"), "quiet"),
        (np.float64(1.5), 1.5),
        (np.str_("text"), "text"),
        (OrderedDict({"b": 1, "a": 2}), {"b": 1, "a": 2}),
        ({Colour.RED: Level.HIGH}, {"red": 3}),
    ],
)
async def test_subclasses_are_stored_as_the_plain_values_that_they_hold(
    store: MemoriStore, given: Any, stored: Any
) -> None:
    await store.aput(NS, "k", {"outer": [given]})
    item = await store.aget(NS, "k")
    assert item is not None
    assert repr(item.value) == repr({"outer": [stored]})


@dataclasses.dataclass
class Point:
    x: int


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (Point(1), r"a [\w.]*\bPoint, which"),
        (Colour, "a enum.EnumType, which"),
        (object(), "a object, which"),
        (len, "a builtin_function_or_method, which"),
        ((1, 2), "a tuple, which"),
        (np.int64(1), r"a numpy\.int64, which .* \.item\(\)"),
        (np.float32(1), r"a numpy\.float32, which .* \.item\(\)"),
        (np.bool_(True), r"a numpy\.bool.*, which .* \.item\(\)"),
        (np.zeros(2), r"a numpy\.ndarray, which .* \.tolist\(\)"),
        ("a\ud800", "is not valid Unicode"),
    ],
    ids=repr,
)
async def test_what_cannot_be_stored_is_told_with_its_place_and_type(
    store: MemoriStore, value: Any, told: str
) -> None:
    with pytest.raises(InvalidItem, match=rf"value\['outer'\]\[0\] (is )?{told}"):
        await store.aput(NS, "k", {"outer": [value]})


async def test_a_lone_surrogate_in_a_key_is_told_with_its_place(store: MemoriStore) -> None:
    with pytest.raises(InvalidItem, match=r"a key of value\['outer'\] is not valid Unicode"):
        await store.aput(NS, "k", {"outer": {"\udfff": 1}})


async def test_values_may_be_nested_and_long_up_to_a_limit(store: MemoriStore) -> None:
    deep: Any = 1
    for _ in range(MAX_DEPTH - 1):
        deep = [deep]
    await store.aput(NS, "k", {"deep": deep})
    with pytest.raises(InvalidItem, match="nested"):
        await store.aput(NS, "k", {"deep": [deep]})
    circle: dict[str, Any] = {}
    circle["self"] = circle
    with pytest.raises(InvalidItem, match="nested"):
        await store.aput(NS, "k", circle)
    with pytest.raises(InvalidItem, match="keep it in a file"):
        await store.aput(NS, "k", {"text": "x" * MAX_BYTES})
    item = await store.aget(NS, "k")
    assert item is not None
    assert item.value == {"deep": deep}


def of_one_letter(texts: Sequence[str]) -> list[list[float]]:
    return letter_counts(texts)


async def test_text_fields_is_another_name_of_fields(store: MemoriStore) -> None:
    index: Any = {"dims": len(LETTERS), "embed": of_one_letter, "text_fields": ["title"]}
    named = MemoriStore(store.memori, index=index)
    await named.aput(NS, "k", {"title": "sun", "note": "rain"})
    assert (await named.asearch(NS, query="sun"))[0].score == pytest.approx(1, abs=1e-3)
    words = MemoriStore(store.memori, index={"text_fields": ["title"]})  # pyright: ignore[reportArgumentType] - LangGraph's SQLite store takes it
    await words.aput(("words",), "k", {"title": "sun", "note": "rain"})
    assert [hit.score for hit in await words.asearch(("words",), query="rain")] == [None]


async def test_the_store_that_is_given_a_memori_may_block_its_loop() -> None:
    memori = Memori.open(":memory:")
    store = MemoriStore(memori)
    store.put(NS, "k", {"n": 1})
    assert [hit.key for hit in store.search(NS)] == ["k"]
    await memori.aclose()


@pytest.mark.parametrize(
    "wrong",
    [
        {"durability": "FULL"},
        {"durability": None},
        {"busy_timeout_s": -1},
        {"busy_timeout_s": float("nan")},
        {"busy_timeout_s": "x"},
        {"tenant": 5},
        {"tenant": "\ud800"},
        {"tenant": ""},
    ],
)
def test_a_store_is_not_opened_with_what_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises((InputError, StoreError), match=next(iter(wrong))):
        Memori.open(":memory:", **wrong)


async def test_a_write_id_belongs_to_one_write(store: MemoriStore) -> None:
    first = await store.awrite(NS, "a", {"t": 1}, write_id="m")
    assert await store.awrite(NS, "a", {"t": 1}, write_id="m") == first
    for key, value in (("b", {"t": 1}), ("a", {"t": 2})):
        with pytest.raises(InvalidItem, match="given to another write"):
            await store.awrite(NS, key, value, write_id="m")
    assert await store.aget(NS, "b") is None


async def test_deleting_again_keeps_what_the_first_delete_took(store: MemoriStore) -> None:
    await store.aput(NS, "k", {"t": 1})
    for _ in range(2):
        await store.adelete(NS, "k")
    await store.adelete(NS, "k", expected_version=0)
    assert await store.aundelete(NS, "k") is not None
    assert (await store.aget(NS, "k")) is not None


async def test_putting_none_deletes_as_in_langgraphs_stores(store: MemoriStore) -> None:
    nothing: Any = None
    await store.aput(NS, "k", {"t": 1})
    await store.aput(NS, "k", nothing)
    assert await store.aget(NS, "k") is None
    await store.aput(NS, "k", {"t": 2})
    await asyncio.to_thread(store.put, NS, "k", nothing)
    assert await store.aget(NS, "k") is None
