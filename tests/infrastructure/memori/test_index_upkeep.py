"""The stored search index does not grow for ever: the dead leave all of it, and so does what is
no longer used."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Final

import numpy as np
import pytest
from langgraph.store.base import PutOp
from numpy.typing import NDArray

from genesis.testing import FakeClock
from genesis.testing.memory_contract.setting import LETTERS, letter_counts
from infrastructure.memory.memori import items, segments
from infrastructure.memory.memori.abandoned import drop_abandoned
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.provenance import Provenance
from infrastructure.memory.memori.segments import Segment
from infrastructure.memory.memori.store import MemoriStore

NS: Final = ("docs",)


class LetterEmbedder:
    """An embedder by name."""

    version = "1"
    dimensions = len(LETTERS)

    def __init__(self, name: str) -> None:
        self.name = name

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.array(letter_counts(texts), dtype=np.float32)


def kind_of(tx: Tx, name: str) -> str:
    (kind,) = (kind for kind in segments.kinds(tx) if kind.startswith(f"vectors:{name}"))
    return kind


def entries(tx: Tx, name: str) -> int:
    return sum(extent.entries for extent in segments.extents(tx, kind_of(tx, name)))


async def fill(store: MemoriStore, word: str, count: int = 1_500) -> None:
    """Overwrite items, and have them indexed."""
    await store.abatch([PutOp(NS, str(n), {"text": f"banana {word}"}) for n in range(count)])
    await store.asearch(NS, query=word)
    await until_complete(store)


async def until_complete(store: MemoriStore) -> None:
    async with asyncio.timeout(60):
        while not all(progress.complete for progress in await store.index_progress()):
            await store.asearch(NS, query="banana")


async def test_the_dead_leave_the_vectors_of_an_embedder_that_is_no_longer_used(
    shared_place: str,
) -> None:
    source = Provenance("agent:ann")
    with closing(Memori.open(shared_place)) as first:
        await fill(MemoriStore(first, embedder=LetterEmbedder("one"), provenance=source), "old")
        assert first.read_sync(lambda tx: entries(tx, "one")) == 1_500
    with closing(Memori.open(shared_place)) as memori:
        store = MemoriStore(memori, embedder=LetterEmbedder("two"), provenance=source)
        await fill(store, "new")
        async with asyncio.timeout(60):
            while await memori.read(segments.death_count) >= 1_000:
                await store.aput(NS, "0", {"text": "banana new"})
                await store.asearch(NS, query="banana")
        await store.aforget(source="agent:ann")
        assert await memori.read(lambda tx: entries(tx, "one")) == 0


DAY_S: Final = 86_400.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def memori(place: str, clock: FakeClock) -> Iterator[Memori]:
    opened = Memori.open(place, clock=clock)
    yield opened
    opened.close()


def reach(memori: Memori, kind: str, until: int | None = None) -> None:
    """Bring an index up to an id, or to the last one."""

    def add(tx: Tx) -> None:
        cursor = segments.cursor(tx, kind)
        row = tx.execute("SELECT max(id) FROM items").fetchone()
        assert row is not None
        last = until or row[0]
        if last > cursor:
            segments.append(tx, kind, Segment(cursor + 1, last, 0, b""))

    memori.commit_sync(add)


def add_item(memori: Memori) -> None:
    draft = items.Draft(NS, "k", "{}", paths="[]")
    memori.commit_sync(lambda tx: items.put(tx, draft, 1))


@pytest.mark.parametrize(("ours", "theirs"), [("vectors:two", "vectors:one"), ("text:2", "text:1")])
def test_an_index_that_nobody_brought_further_for_a_day_is_dropped(
    memori: Memori, clock: FakeClock, ours: str, theirs: str
) -> None:
    kept = ["text:kept" if ours.startswith("vectors") else "vectors:kept", ours]
    add_item(memori)
    for kind in (theirs, *kept):
        reach(memori, kind)
    add_item(memori)
    reach(memori, ours)
    assert drop_abandoned(memori, ours) == []
    clock.advance(DAY_S - 1)
    assert drop_abandoned(memori, ours) == []
    epoch = memori.read_sync(segments.epoch)
    clock.advance(1)
    assert drop_abandoned(memori, ours) == [theirs]
    assert sorted(memori.read_sync(segments.kinds)) == sorted(kept)
    assert memori.read_sync(segments.epoch) == epoch + 1
    assert drop_abandoned(memori, ours) == []


def test_nothing_is_dropped_for_an_index_that_is_not_complete(
    memori: Memori, clock: FakeClock
) -> None:
    add_item(memori)
    reach(memori, "vectors:one")
    for _ in range(3):
        assert drop_abandoned(memori, "vectors:two") == []
        add_item(memori)
        clock.advance(DAY_S)
    reach(memori, "vectors:two")
    assert drop_abandoned(memori, "vectors:two") == []
    clock.advance(DAY_S)
    assert drop_abandoned(memori, "vectors:two") == ["vectors:one"]


def test_vectors_that_others_follow_are_kept_and_so_are_complete_ones(
    memori: Memori, clock: FakeClock
) -> None:
    for _ in range(5):
        add_item(memori)
        reach(memori, "vectors:ours")
        assert drop_abandoned(memori, "vectors:ours") == []
        reach(memori, "vectors:theirs")
        clock.advance(DAY_S)
        assert drop_abandoned(memori, "vectors:ours") == []
    for _ in range(3):
        clock.advance(DAY_S)
        assert drop_abandoned(memori, "vectors:ours") == []
