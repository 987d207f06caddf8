"""The indexers' turns: nobody is forgotten, no tenant waits for another's embedder."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.index_service import IndexService
from infrastructure.memory.memori.store import MemoriStore

NS = ("docs",)
WAKES = 300
OVERWRITES = 200


class Gate:
    """An embedder that waits until it is let go."""

    name, version, dimensions = "gate", "1", 4

    def __init__(self) -> None:
        self.open = threading.Event()

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        assert self.open.wait(60)
        return np.full((len(texts), self.dimensions), 0.5, dtype=np.float32)


class Panic(BaseException):
    """What a library of another language may raise."""


class PanicsOnce:
    """An embedder that fails with what is no Exception, once."""

    name, version, dimensions = "panics", "1", 4

    def __init__(self) -> None:
        self.calls = 0

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.calls += 1
        if self.calls == 1:
            raise Panic("once")
        return np.full((len(texts), self.dimensions), 0.5, dtype=np.float32)


async def test_whoever_asks_while_a_turn_ends_is_told(tmp_path: Path) -> None:
    memori = Memori.open(tmp_path / "memori.db")
    store = MemoriStore(memori)
    indexer = IndexService.of(memori, None).text
    for number in range(WAKES):
        version = await store.awrite(NS, str(number), {"text": "banana"})
        await asyncio.wait_for(asyncio.wrap_future(indexer.reached(version)), 30)
    (progress,) = await store.index_progress()
    assert progress.indexed == progress.total == WAKES
    await memori.aclose()


async def test_embedders_that_hang_hold_up_their_own_vectors_alone(tmp_path: Path) -> None:
    memori = Memori.open(tmp_path / "memori.db")
    gates = [Gate() for _ in range(3)]
    try:
        for number, gate in enumerate(gates):
            hung = MemoriStore(memori.for_tenant(f"hung {number}"), embedder=gate)
            await hung.aput(NS, "k", {"text": "banana"})
        other = MemoriStore(memori)
        version = await other.awrite(NS, "k", {"text": "banana"})
        hits = await asyncio.wait_for(other.asearch(NS, query="banana"), 30)
        assert hits[0].score is not None
        text = IndexService.of(memori, None).text
        await asyncio.wait_for(asyncio.wrap_future(text.reached(version)), 30)
    finally:
        for gate in gates:
            gate.open.set()
        await memori.aclose()


async def test_an_embedder_may_fail_with_anything_and_recover(tmp_path: Path) -> None:
    memori = Memori.open(tmp_path / "memori.db")
    store = MemoriStore(memori, embedder=PanicsOnce())
    await store.aput(NS, "k", {"text": "banana"})
    async with asyncio.timeout(60):
        while not all(progress.complete for progress in await store.index_progress()):
            assert (await store.asearch(NS, query="banana"))[0].score is not None
    await memori.aclose()


async def test_an_item_is_found_while_it_is_overwritten(tmp_path: Path) -> None:
    memori = Memori.open(tmp_path / "memori.db")
    store = MemoriStore(memori)
    for number in range(50):
        await store.aput(NS, str(number), {"text": "apple"})

    async def overwrite() -> None:
        for number in range(OVERWRITES):
            await store.aput(NS, "it", {"text": f"banana {number}"})

    await store.aput(NS, "it", {"text": "banana"})
    writing = asyncio.create_task(overwrite())
    searches = 0
    while not writing.done():
        (best,) = await store.asearch(NS, query="banana", limit=1)
        assert best.key == "it"
        assert best.score is not None
        searches += 1
    await writing
    assert searches > 1
    await memori.aclose()


async def test_vectors_follow_what_another_store_put(tmp_path: Path) -> None:
    memori = Memori.open(tmp_path / "memori.db")
    plain, meaning = MemoriStore(memori), MemoriStore(memori, embedder=PanicsOnce())
    await plain.aput(NS, "k", {"text": "banana"})
    async with asyncio.timeout(60):
        while not (await meaning.index_progress())[1].complete:
            await meaning.asearch(NS, limit=1)
            await meaning.asearch(NS, query="apple")
    hits = await meaning.asearch(NS, query="apple")
    assert hits[0].score is not None  # by meaning: no word of it matches
    await memori.aclose()
