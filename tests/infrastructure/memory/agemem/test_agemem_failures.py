"""Stores that fail, callers that give up, sources that are forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from agemem_world import OpenMemory, agree, contents, in_memory, in_store
from langgraph.store.base import BaseStore, Op, PutOp, Result
from langgraph.store.memory import InMemoryStore

from infrastructure.errors import InputError, StoreError
from infrastructure.memory.agemem.actions import MemoryOperation
from infrastructure.memory.agemem.operations import AgeMem
from infrastructure.memory.agemem.text_analysis import TextAnalyst
from infrastructure.memory.memori.provenance import Provenance
from infrastructure.memory.memori.store import MemoriStore

WAIT_S = 10


class Disk(OSError):
    """What the failing store raises."""


class FailingStore(InMemoryStore):
    """Fails when told to, having applied nothing, all, or only the first operations of a batch.

    Attributes:
        applied: share of the operations that are applied before it fails; None does not fail.
    """

    applied: float | None = None

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        if self.applied is None:
            return await super().abatch(ops)
        given = list(ops)
        await super().abatch(given[: round(len(given) * self.applied)])
        raise Disk("no space left on device")


Call = Callable[[AgeMem, str], Awaitable[Any]]
WRITES: dict[str, Call] = {
    "add": lambda memory, entry_id: memory.add("new", importance=0.9),
    "update": lambda memory, entry_id: memory.update(entry_id, "changed"),
    "delete": lambda memory, entry_id: memory.delete(entry_id),
}


@pytest.mark.parametrize("applied", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("write", WRITES)
async def test_a_store_that_fails_leaves_what_it_holds(
    write: str, applied: float, analyst: TextAnalyst
) -> None:
    store = FailingStore()
    memory = AgeMem(store, capacity=3, analyst=analyst)
    ids = [await memory.add(f"entry {number}") for number in range(3)]
    memory.context.append(analyst.of("a turn"))

    async def fail(ops: list[Op]) -> list[Result]:
        writes = any(isinstance(op, PutOp) for op in ops)
        store.applied = applied if writes else None
        return await FailingStore.abatch(store, ops)

    store.abatch = fail  # type: ignore[method-assign]  # reads work, only writes fail
    with pytest.raises(StoreError, match="FailingStore failed: no space left on device") as raised:
        await WRITES[write](memory, ids[1])
    assert isinstance(raised.value.__cause__, Disk)
    assert contents(memory) == {"entry 0", "entry 1", "entry 2"}
    del store.abatch
    store.applied = None
    assert await agree(memory, store)
    assert memory.context.text == "a turn"
    assert memory.statistics().failures == {MemoryOperation(write): 1}
    assert await memory.add("goes on", importance=0.9)
    assert await agree(memory, store)


async def test_an_unreadable_store_says_so_and_is_tried_again(analyst: TextAnalyst) -> None:
    store = FailingStore()
    await AgeMem(store, analyst=analyst).add("kept")
    memory = AgeMem(store, analyst=analyst)
    store.applied = 0.0
    for call in (memory.ready(), memory.retrieve("kept"), memory.snapshot(), memory.changes()):
        with pytest.raises(StoreError):
            await call
    store.applied = None
    assert [hit.entry.content for hit in await memory.retrieve("kept")] == ["kept"]


async def test_a_failing_trim_fails_nothing(
    analyst: TextAnalyst, caplog: pytest.LogCaptureFixture
) -> None:
    class NoDeletes(InMemoryStore):
        async def abatch(self, ops: Iterable[Op]) -> list[Result]:
            given = list(ops)
            if any(isinstance(op, PutOp) and op.value is None for op in given):
                raise Disk("read-only")
            return await super().abatch(given)

    memory = AgeMem(NoDeletes(), analyst=analyst, journal=2)
    for number in range(5):
        assert await memory.add(f"entry {number}")
    assert "could not be shortened" in caplog.text
    assert len(await memory.changes()) == 5


class SlowStore(InMemoryStore):
    """Waits for its gate in the middle of a batch, and cannot be used again if cancelled there."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = asyncio.Event()
        self.broken = False

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        if self.broken:
            raise Disk("cannot start a transaction within a transaction")
        first, *others = ops
        results = await super().abatch([first])
        self.asked.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.broken = True
            raise
        return [*results, *await super().abatch(others)]


@pytest.mark.parametrize("write", WRITES)
async def test_a_cancelled_write_is_waited_for_by_what_follows(
    write: str, analyst: TextAnalyst
) -> None:
    store = SlowStore()
    memory = AgeMem(store, capacity=2, analyst=analyst)
    entry_id = await memory.add("entry")
    if write != "add":  # these read before they write: let the write be the one that waits
        await memory.add("another")
    store.gate.clear()
    store.asked.clear()
    call = asyncio.ensure_future(WRITES[write](memory, entry_id))
    await asyncio.wait_for(store.asked.wait(), WAIT_S)
    if write != "add":
        store.asked.clear()
        store.gate.set()
        store.gate.clear()
        await asyncio.wait_for(store.asked.wait(), WAIT_S)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    found = asyncio.ensure_future(memory.retrieve("entry"))
    store.gate.set()
    await asyncio.wait_for(found, WAIT_S)
    assert await agree(memory, store)


async def test_cancelling_many_loses_and_invents_nothing(
    open_memory: OpenMemory, store: BaseStore
) -> None:
    memory = open_memory()
    await memory.ready()
    calls = [asyncio.ensure_future(memory.add(f"entry {number}")) for number in range(24)]
    await calls[0]
    for call in calls[1::2]:
        call.cancel()
    done = await asyncio.gather(*calls, return_exceptions=True)
    assert await memory.retrieve("entry")
    assert await agree(memory, store)
    assert {each for each in done if isinstance(each, str)} <= set(in_memory(memory))


async def test_what_is_no_entry_is_left_out_and_counted(
    analyst: TextAnalyst, caplog: pytest.LogCaptureFixture
) -> None:
    store = InMemoryStore()
    kept = await AgeMem(store, analyst=analyst).add("kept")
    good = await store.aget(("agemem", "entries"), kept)
    assert good is not None
    damages: list[dict[str, object]] = [
        {"importance": 2},
        {"content": None},
        {"metadata": []},
        {"created_at": "today"},
    ]
    for number, damage in enumerate(damages):
        await store.aput(("agemem", "entries"), f"bad{number}", {**good.value, **damage})
    await store.aput(("agemem", "changes"), "zzz", {"kind": "exploded"})
    memory = AgeMem(store, analyst=analyst)
    assert [hit.entry.entry_id for hit in await memory.retrieve("kept")] == [kept]
    assert memory.statistics().unreadable == 4
    assert "cannot be read" in caplog.text
    assert len(await memory.changes()) == 1
    with pytest.raises(InputError, match="no change"):
        await memory.undo("zzz")


async def test_what_a_source_caused_can_be_forgotten(tmp_path: Path, analyst: TextAnalyst) -> None:
    async with MemoriStore.from_conn_string(str(tmp_path / "memori.db")) as store:
        hers = store.with_provenance(Provenance(source="user:ada"))
        his = store.with_provenance(Provenance(source="user:bob"))
        ada, bob = AgeMem(hers, analyst=analyst), AgeMem(his, analyst=analyst)
        secret = await ada.add("the secret of Ada about the garden")
        await bob.add("what Bob says about the garden")
        await bob.refresh()
        assert len(await bob.retrieve("garden")) == 2
        forgotten = await store.aforget(source="user:ada")
        assert forgotten
        for memory in (ada, bob):
            found = [hit.entry.content for hit in await memory.retrieve("garden")]
            assert "the secret of Ada about the garden" not in found
            assert await memory.changes(secret) == []
        assert [hit.entry.content for hit in await bob.retrieve("garden")] == [
            "what Bob says about the garden"
        ]
        assert set(await in_store(store)) == set(in_memory(bob))


async def test_a_memory_outlives_its_event_loop(analyst: TextAnalyst) -> None:
    memory = AgeMem(InMemoryStore(), analyst=analyst)

    async def use() -> None:
        await asyncio.gather(*(memory.add(f"entry {number}") for number in range(5)))

    await asyncio.to_thread(asyncio.run, use())
    await use()
    assert len(await memory.retrieve("entry", 20)) == 10
