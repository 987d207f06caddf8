"""The stored search index does not grow for ever: the dead leave all of it, and so does what is
no longer used."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import closing
from typing import Final

import numpy as np
from langgraph.store.base import PutOp
from numpy.typing import NDArray

from genesis.testing.memory_contract.setting import LETTERS, letter_counts
from infrastructure.memory.memori import segments
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.provenance import Provenance
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
