"""What the search indexes of many tenants hold in memory, and with how many threads."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.index_service import IndexService, SearchIndexes
from infrastructure.memory.memori.store import MemoriStore

NS = ("docs",)
TENANTS = 12


async def fill(memori: Memori, tenant: str) -> MemoriStore:
    store = MemoriStore(memori.for_tenant(tenant))
    for number in range(10):
        await store.aput(NS, str(number), {"text": f"banana of {tenant}"})
    return store


async def test_indexes_not_searched_for_longest_leave_the_memory_and_come_back(
    tmp_path: Path,
) -> None:
    memori = Memori.open(tmp_path / "memori.db")
    # Made before any store asks for it, so that it is this one that they share.
    memori.companion(SearchIndexes, lambda: SearchIndexes(max_documents=25))
    names = [f"tenant {number}" for number in range(4)]
    stores = [await fill(memori, name) for name in names]
    for store in stores:
        assert len(await store.asearch(NS, query="banana")) == 10
    held = [len(IndexService.of(store.memori, None).index) for store in stores]
    assert held == [0, 10, 10, 10]  # the one that is searched comes on top
    hits = await stores[0].asearch(NS, query="banana", limit=20)
    assert {hit.value["text"] for hit in hits} == {"banana of tenant 0"}
    assert [len(IndexService.of(store.memori, None).index) for store in stores] == [10, 0, 10, 10]
    memori.close()


async def test_many_tenants_share_few_threads(tmp_path: Path) -> None:
    memori = Memori.open(tmp_path / "memori.db")
    for number in range(TENANTS):
        store = await fill(memori, f"tenant {number}")
        assert (await store.asearch(NS, query="banana"))[0].score is not None
        # A search needs no indexer for so few: have it index them.
        indexed = IndexService.of(store.memori, None).text.reached(2**62)
        await asyncio.wrap_future(indexed)
    ours = [thread for thread in threading.enumerate() if "-indexer" in thread.name]
    assert 0 < len(ours) <= 2
    memori.close()
