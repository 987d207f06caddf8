"""The search index behind the store: it follows every write, and survives what happens to it."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from langchain_core.embeddings import Embeddings
from langgraph.store.base import IndexConfig, PutOp, SearchItem
from numpy.typing import NDArray

from genesis.testing.memory_contract.setting import LETTERS, letter_counts, letters
from infrastructure.errors import StoreError
from infrastructure.memory.memori import items, segments
from infrastructure.memory.memori.copying import copy_to
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.forgetting import forget
from infrastructure.memory.memori.index_service import IndexService, texts_of
from infrastructure.memory.memori.indexer import MAX_BACKLOG, IndexProgress
from infrastructure.memory.memori.items import Draft
from infrastructure.memory.memori.merging import FAN_IN, merge_segments
from infrastructure.memory.memori.provenance import Provenance
from infrastructure.memory.memori.search_index import TEXT_KIND, SearchIndex, TextKind
from infrastructure.memory.memori.store import MemoriStore
from infrastructure.memory.memori.transfer import export_jsonl, import_jsonl

NS: Final = ("docs",)
WRITERS: Final = 32


class LetterEmbedder:
    """An embedder of ours of any size; its version is part of its identity."""

    name = "letters"

    def __init__(self, version: str = "1", dimensions: int = len(LETTERS)) -> None:
        self.version = version
        self.dimensions = dimensions

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.array(letter_counts(texts), dtype=np.float32)[:, : self.dimensions]


@pytest.fixture(params=["file", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return str(tmp_path / "memori.db")
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def memori(place: str) -> Iterator[Memori]:
    opened = Memori.open(place)
    yield opened
    opened.close()


def matches(hits: Sequence[SearchItem]) -> list[str]:
    """The keys of those that match at all."""
    return [hit.key for hit in hits if hit.score is not None]


async def until_complete(store: MemoriStore, query: str = "banana") -> list[IndexProgress]:
    """Search until the index is complete, as nothing else asks a failed embedder again."""
    async with asyncio.timeout(60):
        while not all(progress.complete for progress in await store.index_progress()):
            await store.asearch(NS, query=query)
    return await store.index_progress()


@pytest.mark.parametrize("index", [None, letters(["text"])], ids=["words", "vectors"])
async def test_a_search_sees_every_write_acknowledged_before_it(
    memori: Memori, index: IndexConfig | None
) -> None:
    store = MemoriStore(memori, index=index)

    async def write(writer: int) -> None:
        for number in range(5):
            word = f"w{writer}x{number}"
            await store.aput(NS, f"{writer}", {"text": f"banana {word}"})
            hits = await store.asearch(NS, query=word, limit=1)
            assert [hit.value["text"] for hit in hits] == [f"banana {word}"]
            assert hits[0].score is not None

    await asyncio.gather(*map(write, range(WRITERS)))
    assert len(await store.asearch(NS, query="banana", limit=100)) == WRITERS


async def test_merged_segments_find_the_same(memori: Memori) -> None:
    store = MemoriStore(memori)
    for number in range(3 * FAN_IN):
        await store.aput(NS, str(number), {"text": f"banana n{number}"})
        assert matches(await store.asearch(NS, query=f"n{number}")) == [str(number)]
    await store.adelete(NS, "3")
    await asyncio.wrap_future(IndexService.of(memori, None).text.reached(3 * FAN_IN))
    while await asyncio.to_thread(merge_segments, memori, TextKind()):
        pass
    extents = await memori.read(lambda tx: segments.extents(tx, TEXT_KIND))
    assert len(extents) < 2 * FAN_IN  # of two sizes, fewer of each than are merged
    expected = [str(number) for number in reversed(range(3 * FAN_IN)) if number != 3]
    assert sorted(matches(await store.asearch(NS, query="banana", limit=99))) == sorted(expected)
    # One that has read nothing yet, and one that had read the segments before.
    fresh = MemoriStore(memori, embedder=LetterEmbedder())
    assert len(await fresh.asearch(NS, query="banana n7", limit=99)) == len(expected)
    assert (await fresh.asearch(NS, query="banana n7"))[0].key == "7"


async def test_an_index_that_is_mostly_dead_is_rewritten_without_the_dead(memori: Memori) -> None:
    store = MemoriStore(memori, index=letters(["text"]))
    for turn in range(5):
        await store.abatch([PutOp(NS, str(n), {"text": f"banana t{turn}"}) for n in range(300)])
        assert len(matches(await store.asearch(NS, query=f"t{turn}", limit=999))) == 300
    async with asyncio.timeout(60):
        while await memori.read(segments.death_count) > 300:
            await store.aput(NS, "0", {"text": "banana t4"})
            await store.asearch(NS, query="banana")
    assert await memori.read(segments.epoch) > 0
    hits = await store.asearch(NS, query="t4", limit=999)
    assert {hit.key for hit in hits} == {str(number) for number in range(300)}
    stale = await store.asearch(NS, query="t1", limit=1, filter={"text": {"$contains": "t1"}})
    assert stale == []


_OTHER_PROCESS: Final = """
import sys
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.store import MemoriStore

store = MemoriStore(Memori.open(sys.argv[1]))
for line in sys.stdin:
    what, key, text = line.rstrip("\\n").split("|")
    if what == "put":
        store.put(("docs",), key, {"text": text})
    else:
        store.delete(("docs",), key)
    print("done", flush=True)
"""


class OtherProcess:
    """Another process with the same store open."""

    def __init__(self, place: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _OTHER_PROCESS, place],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def do(self, what: str, key: str, text: str = "") -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{what}|{key}|{text}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate()


@pytest.fixture
def other(place: str) -> Iterator[OtherProcess]:
    process = OtherProcess(place)
    yield process
    process.kill()


async def test_a_search_sees_what_another_process_wrote_and_deleted(
    memori: Memori, other: OtherProcess
) -> None:
    store = MemoriStore(memori)
    await store.aput(NS, "mine", {"text": "banana"})
    for number in range(10):
        other.do("put", f"k{number}", f"banana n{number}")
        assert matches(await store.asearch(NS, query=f"n{number}")) == [f"k{number}"]
        other.do("put", "changing", f"turn{number}")
        assert matches(await store.asearch(NS, query=f"turn{number}")) == ["changing"]
        assert matches(await store.asearch(NS, query=f"turn{number - 1}")) == []
    other.do("delete", "mine")
    for number in range(5):
        other.do("delete", f"k{number}")
    assert matches(await store.asearch(NS, query="banana", limit=99)) == [
        f"k{number}" for number in reversed(range(5, 10))
    ]
    other.do("put", "last", "zebra")
    other.kill()
    assert matches(await store.asearch(NS, query="zebra")) == ["last"]


_KILLED: Final = """
import os, signal, sys
from infrastructure.memory.memori import items
from infrastructure.memory.memori.engine import Memori

draft = items.Draft(("docs",), "k", '{"text":"banana"}', paths='["$"]')
Memori.open(sys.argv[1]).commit_sync(lambda tx: items.put(tx, draft, 1))
os.kill(os.getpid(), signal.SIGKILL)
"""


async def test_what_a_killed_process_had_stored_but_not_indexed_is_found(place: str) -> None:
    killed = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", _KILLED, place])
    assert killed.returncode == -signal.SIGKILL
    async with MemoriStore.from_conn_string(place, index=letters()) as store:
        (hit,) = await store.asearch(NS, query="banana")
    assert hit.score == pytest.approx(1, abs=1e-3)


async def test_stores_with_different_embedders_see_each_others_writes_and_never_mix_vectors(
    memori: Memori,
) -> None:
    large = MemoriStore(memori, embedder=LetterEmbedder())
    small = MemoriStore(memori, embedder=LetterEmbedder(dimensions=3))
    plain = MemoriStore(memori)
    for store, key in ((large, "a"), (small, "b"), (plain, "c"), (large, "d")):
        await store.aput(NS, key, {"text": f"{key} banana"})
        for reader in (small, plain, large):
            assert key in matches(await reader.asearch(NS, query="bananas"))
    assert [progress.kind for progress in await large.index_progress()] != [
        progress.kind for progress in await small.index_progress()
    ]
    assert matches(await plain.asearch(NS, query="nab")) == []
    assert len(matches(await small.asearch(NS, query="nab"))) == 4


class GatedEmbedder(LetterEmbedder):
    """Embeds many texts at once, as the indexer does, only when the gate is open."""

    def __init__(self) -> None:
        super().__init__("gated")
        self.gate = threading.Event()

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if len(texts) > 1:
            assert self.gate.wait(60)
        return super().embed(texts)


async def test_another_embedder_is_caught_up_in_the_background() -> None:
    memori = Memori.open(":memory:")
    embedder = GatedEmbedder()
    try:
        first = MemoriStore(memori, embedder=LetterEmbedder())
        puts = [PutOp(NS, str(n), {"text": f"zz n{n}"}) for n in range(MAX_BACKLOG + 50)]
        await first.abatch([*puts, PutOp(NS, "near", {"text": "anab"})])
        assert "near" in matches(await first.asearch(NS, query="bana"))
        store = MemoriStore(memori, embedder=embedder)
        # Words alone, until every item has its vector.
        assert matches(await store.asearch(NS, query="n17")) == ["17"]
        assert matches(await store.asearch(NS, query="bana")) == []
        words, vectors = await store.index_progress()
        assert words.complete
        assert (vectors.indexed, vectors.total) == (0, MAX_BACKLOG + 51)
        embedder.gate.set()
        words, vectors = await until_complete(store, "bana")
        assert (vectors.indexed, vectors.error) == (MAX_BACKLOG + 51, "")
        assert (await store.asearch(NS, query="bana"))[0].key == "near"
    finally:
        embedder.gate.set()
        memori.close()


def raising(texts: Sequence[str]) -> list[list[float]]:
    raise ConnectionError("the embedder is out of reach")


def wrong_size(texts: Sequence[str]) -> list[list[float]]:
    return [[1.0]] * len(texts)


def not_finite(texts: Sequence[str]) -> list[list[float]]:
    return [[float("nan")] * len(LETTERS)] * len(texts)


def no_vectors(texts: Sequence[str]) -> list[list[float]]:
    return [["a"]] * len(texts)  # pyright: ignore[reportReturnType] - wrong on purpose


def too_few(texts: Sequence[str]) -> list[list[float]]:
    return []


@pytest.mark.parametrize(
    ("failing", "told"),
    [
        (raising, "out of reach"),
        (wrong_size, "dims"),
        (not_finite, "not finite"),
        (no_vectors, "not vectors"),
        (too_few, "IndexError"),
    ],
)
async def test_while_the_embedder_fails_words_are_found_and_vectors_follow_later(
    memori: Memori, failing: Callable[[Sequence[str]], list[list[float]]], told: str
) -> None:
    current = failing

    def embed(texts: Sequence[str]) -> list[list[float]]:
        return current(texts)

    index = IndexConfig(dims=len(LETTERS), embed=embed, fields=["text"])
    store = MemoriStore(memori, index=index)
    await store.aput(NS, "k", {"text": "banana split"})
    await store.aput(NS, "other", {"text": "quick zebra"})
    assert matches(await store.asearch(NS, query="bananas")) == ["k"]
    assert matches(await asyncio.to_thread(store.search, NS, query="bananas")) == ["k"]
    words, vectors = await store.index_progress()
    assert (words.complete, words.error) == (True, "")
    assert vectors.indexed == 0
    assert told in vectors.error
    assert "Error: " in vectors.error
    current = letter_counts
    words, vectors = await until_complete(store)
    assert (vectors.indexed, vectors.error) == (2, "")
    assert matches(await store.asearch(NS, query="nabs"))[0] == "k"


async def test_vectors_are_complete_when_what_lacks_one_was_deleted(memori: Memori) -> None:
    current: Callable[[Sequence[str]], list[list[float]]] = letter_counts

    def embed(texts: Sequence[str]) -> list[list[float]]:
        return current(texts)

    store = MemoriStore(memori, index=IndexConfig(dims=len(LETTERS), embed=embed))
    await store.aput(NS, "k", {"text": "banana"})
    assert matches(await store.asearch(NS, query="nab")) == ["k"]
    current = raising
    await store.aput(NS, "gone", {"text": "banana"})
    assert matches(await store.asearch(NS, query="banana"))[0] == "gone"
    await store.adelete(NS, "gone")
    current = letter_counts
    assert matches(await store.asearch(NS, query="nab")) == ["k"]


async def only_async(texts: Sequence[str]) -> list[list[float]]:
    return letter_counts(texts)


class OnlyAsync(Embeddings):
    """As those of LangChain that speak to a server through an asynchronous client."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        raise NotImplementedError

    def embed_query(self, text: str) -> list[float]:
        raise NotImplementedError

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        return letter_counts(texts)

    async def aembed_query(self, text: str) -> list[float]:
        return letter_counts([text])[0]


@pytest.mark.parametrize("embed", [only_async, OnlyAsync()], ids=["function", "object"])
async def test_an_embedder_that_is_only_asynchronous_serves_every_caller(
    memori: Memori, embed: Any
) -> None:
    store = MemoriStore(memori, index=IndexConfig(dims=len(LETTERS), embed=embed))
    await store.aput(NS, "k", {"text": "banana"})
    assert matches(await store.asearch(NS, query="nab")) == ["k"]
    assert matches(await asyncio.to_thread(store.search, NS, query="nab")) == ["k"]
    assert matches(store.search(NS, query="nab")) == ["k"]  # beside this loop


@pytest.mark.parametrize("damage", [b"", b"\x00", b"GTXT\x01\x00\x09\x00", None])
@pytest.mark.parametrize("kind", ["text:%", "vectors:%"])
async def test_a_damaged_index_is_made_anew_from_the_items(
    place: str, kind: str, damage: bytes | None
) -> None:
    async with MemoriStore.from_conn_string(place, index=letters()) as store:
        for number in range(5):
            await store.aput(NS, str(number), {"text": f"banana n{number}"})
            await store.asearch(NS, query="banana")
        await store.adelete(NS, "4")
        await store.memori.commit(lambda tx: _damage(tx, kind, damage))
    async with MemoriStore.from_conn_string(place, index=letters()) as store:
        for _ in range(2):
            hits = await store.asearch(NS, query="banana n2")
            assert hits[0].key == "2"
            assert sorted(matches(hits)) == ["0", "1", "2", "3"]
        await until_complete(store)
        await store.aput(NS, "new", {"text": "banana new"})
        assert (await store.asearch(NS, query="new"))[0].key == "new"


def _damage(tx: Any, kind: str, body: bytes | None) -> None:
    rows = tx.execute("SELECT kind, last, body FROM index_segments WHERE kind LIKE ?", (kind,))
    name, last, whole = rows.fetchall()[0]
    damaged = body if body is not None else bytes(whole[:-1]) + bytes([whole[-1] ^ 1])
    tx.execute(
        "UPDATE index_segments SET body = ? WHERE kind = ? AND last = ?", (damaged, name, last)
    )


async def test_an_index_that_fails_makes_no_put_fail() -> None:
    async with MemoriStore.from_conn_string(":memory:") as store:
        await store.memori.commit(lambda tx: tx.execute("DROP TABLE index_segments").fetchall())
        await store.abatch([PutOp(NS, str(n), {"text": "banana"}) for n in range(MAX_BACKLOG + 1)])
        await store.aput(NS, "last", {"text": "banana"})
        assert [hit.key for hit in await store.asearch(NS, limit=1)] == ["last"]
        with pytest.raises(StoreError, match="index_segments"):
            await store.asearch(NS, query="banana")


def test_nobody_waits_for_an_index_that_was_closed() -> None:
    memori = Memori.open(":memory:")
    service = IndexService.of(memori, None)
    MemoriStore(memori).put(NS, "k", {})
    memori.close()
    with pytest.raises(StoreError, match="closed"):
        service.text.reached(1).result(30)


async def test_what_was_seen_in_a_transaction_that_failed_is_forgotten(memori: Memori) -> None:
    """A search within a batch of writes sees those of others before they are durable."""
    store = MemoriStore(memori)
    version = await store.awrite(NS, "k", {"text": "banana"})
    await store.asearch(NS, query="banana")
    index = SearchIndex(None, texts_of)

    def fail(tx: Any) -> None:
        items.delete(tx, NS, "k", 1)
        items.put(tx, Draft(NS, "other", "{}"), 1)
        index.follow(tx)
        assert index.lexical.documents.live == 0
        raise RuntimeError("rolled back")

    with pytest.raises(RuntimeError, match="rolled back"):
        await memori.commit(fail)
    index.forget()
    await memori.read(index.follow)
    assert index.lexical.documents.live == 1
    assert index.lexical.documents.ids.tolist() == [version]


async def test_what_is_imported_copied_or_forgotten_is_searched_so(
    memori: Memori, tmp_path: Path
) -> None:
    store = MemoriStore(memori, index=letters(["text"]))
    for number in range(5):
        source = Provenance(source=f"page:{number % 2}")
        await store.with_provenance(source).aput(NS, str(number), {"text": f"banana n{number}"})
    await export_jsonl(memori, tmp_path / "items.jsonl")
    tenants = [memori.for_tenant("imported"), memori.for_tenant("copied")]
    imported, copied = (MemoriStore(tenant, index=letters(["text"])) for tenant in tenants)
    assert await imported.asearch(NS, query="banana") == []
    await import_jsonl(tenants[0], tmp_path / "items.jsonl")
    await copy_to(memori, tenants[1])
    for other in (imported, copied):
        assert len(matches(await other.asearch(NS, query="banana"))) == 5
        assert (await other.asearch(NS, query="n3"))[0].key == "3"
    await memori.commit(lambda tx: forget(tx, source="page:1"))
    assert sorted(matches(await store.asearch(NS, query="banana"))) == ["0", "2", "4"]
    assert len(matches(await copied.asearch(NS, query="banana"))) == 5
