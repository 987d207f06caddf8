"""The operations on long-term memory, over every kind of store."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from agemem_world import OpenMemory, agree, contents, in_memory
from langgraph.store.base import BaseStore

from genesis.testing import FakeClock
from infrastructure.errors import InputError, VersionConflict
from infrastructure.memory.agemem.actions import MemoryOperation
from infrastructure.memory.agemem.entries import ChangeKind
from infrastructure.memory.agemem.operations import AgeMem


async def test_what_is_added_is_found_and_kept(memory: AgeMem, store: BaseStore) -> None:
    home = await memory.add("Ada moved to Oslo in 2024", {"topic": "home"}, importance=0.8)
    await memory.add("Bob prefers green tea", {"topic": "food"}, "procedural")
    found = await memory.retrieve("in which city does Ada live now, Oslo?", 2)
    assert found[0].entry.content == "Ada moved to Oslo in 2024"
    assert found[0].entry.entry_id == home
    assert found[0].score > found[1].score
    assert (found[0].entry.metadata, found[0].entry.importance) == ({"topic": "home"}, 0.8)
    assert found[1].entry.memory_type == "procedural"
    assert await agree(memory, store)


async def test_an_update_keeps_what_is_not_given(
    memory: AgeMem, store: BaseStore, clock: FakeClock
) -> None:
    entry_id = await memory.add("Ada lives in Oslo", {"topic": "home"}, importance=0.8)
    clock.advance(5)
    assert await memory.update(entry_id, "Ada lives in Paris")
    ((_, fields),) = in_memory(memory).items()
    first, later = clock.now() - 5, clock.now()
    assert fields == ("Ada lives in Paris", "semantic", 0.8, {"topic": "home"}, first, later, 2)
    assert await memory.update(entry_id, "Ada lives in Rome", {}, importance=0.1)
    ((_, fields),) = in_memory(memory).items()
    assert fields[:4] == ("Ada lives in Rome", "semantic", 0.1, {})
    assert await agree(memory, store)


async def test_unknown_ids_are_told(memory: AgeMem) -> None:
    entry_id = await memory.add("something")
    assert not await memory.update("nobody", "x")
    assert not await memory.delete("nobody")
    assert await memory.delete(entry_id)
    assert not await memory.delete(entry_id)
    assert not await memory.update(entry_id, "x")
    assert await memory.retrieve("something") == []


async def test_filters_are_those_of_stores(memory: AgeMem) -> None:
    for year, tags in ((2024, ["a"]), (2025, ["a", "b"]), (2026, [])):
        await memory.add(f"the report of {year}", {"year": year, "tags": tags, "deep": {"x": year}})

    async def years(filter_: dict[str, object]) -> list[int]:
        found = await memory.retrieve("report", 5, filter_)
        return sorted(cast("int", hit.entry.metadata["year"]) for hit in found)

    assert await years({"year": 2024}) == [2024]
    assert await years({"year": {"$gte": 2025}}) == [2025, 2026]
    assert await years({"year": {"$gt": 2024, "$lt": 2026}}) == [2025]
    assert await years({"year": {"$ne": 2024}, "deep": {"x": {"$lte": 2025}}}) == [2025]
    assert await years({"tags": {"$contains": "a"}}) == [2024, 2025]
    assert await years({"$or": [{"year": 2024}, {"year": 2026}]}) == [2024, 2026]
    assert await years({"missing": None}) == [2024, 2025, 2026]
    with pytest.raises(InputError, match="operator"):
        await years({"year": {"$near": 3}})


async def test_any_plain_json_comes_back_equal(open_memory: OpenMemory, store: BaseStore) -> None:
    numbers = [0, -0.0, 1e17, 2**60, -(2**63), 5e-324, 0.1]  # 1e300 is an int to theirs
    metadata: dict[str, Any] = {"n": numbers, "é \U0001f600": [None, True, {"": [[]]}], "lc": 1}
    memory = open_memory()
    entry_id = await memory.add("Zo\u00eb \u2014 \u5e73\u4eee\u540d\r\n\ttea", metadata)
    again = open_memory()
    (found,) = await again.retrieve("tea", 1)
    assert found.entry.metadata == metadata
    assert found.entry == memory.index.entries()[0]
    assert await memory.update(entry_id, "tea")
    (change, *_) = await memory.changes()
    assert (await memory.undo(change.change_id)).after == found.entry
    assert await agree(memory, store)


async def test_top_k_bounds_and_orders(memory: AgeMem) -> None:
    for number in range(12):
        await memory.add(f"note {number} about {'tea ' * number}ceremonies")
    found = await memory.retrieve("tea", 7)
    assert len(found) == 7
    scores = [hit.score for hit in found]
    assert scores == sorted(scores, reverse=True)
    assert len(await memory.retrieve("tea", 100)) == 12


async def test_a_full_memory_lets_the_least_important_go(
    open_memory: OpenMemory, store: BaseStore, clock: FakeClock
) -> None:
    memory = open_memory(capacity=3)
    for number, importance in enumerate((0.5, 0.2, 0.2)):
        clock.advance(1)
        assert await memory.add(f"entry {number}", importance=importance)
    clock.advance(1)
    assert await memory.add("entry 3", importance=0.3)
    assert contents(memory) == {"entry 0", "entry 2", "entry 3"}
    assert await memory.add("too unimportant", importance=0.1) == ""
    assert await memory.add("as unimportant, but newer", importance=0.2)
    assert contents(memory) == {"entry 0", "entry 3", "as unimportant, but newer"}
    assert (memory.statistics().evictions, memory.statistics().refusals) == (2, 1)
    assert await agree(memory, store)


async def test_changes_tell_who_why_and_what(open_memory: OpenMemory, clock: FakeClock) -> None:
    memory = open_memory(capacity=1, source="agent:writer")
    first = await memory.add("one", {"n": [1, {"x": None}]}, reason="it was said")
    await memory.update(first, "two", reason="it changed")
    second = await memory.add("three")
    await memory.delete(second, reason="it was wrong")
    changes = await memory.changes()
    assert [change.kind for change in changes] == [
        ChangeKind.DELETED,
        ChangeKind.ADDED,
        ChangeKind.EVICTED,
        ChangeKind.UPDATED,
        ChangeKind.ADDED,
    ]
    assert [change.reason for change in changes] == [
        "it was wrong", "", "memory is full", "it changed", "it was said",
    ]  # fmt: skip
    assert {change.source for change in changes} == {"agent:writer"}
    assert {change.at for change in changes} == {clock.now()}
    updated = changes[3]
    assert updated.before is not None
    assert updated.after is not None
    assert (updated.before.content, updated.after.content) == ("one", "two")
    assert updated.before.metadata == {"n": [1, {"x": None}]}
    assert (changes[4].before, changes[0].after) == (None, None)
    assert [change.entry_id for change in await memory.changes(first)] == [first] * 3
    assert await memory.changes(limit=2) == changes[:2]
    assert await memory.changes("nobody") == []


async def test_undo_brings_back_exactly(open_memory: OpenMemory, store: BaseStore) -> None:
    memory = open_memory()
    entry_id = await memory.add("one", {"n": 1})
    added = in_memory(memory)
    await memory.update(entry_id, "two", {"n": 2}, importance=0.9)
    updated = in_memory(memory)
    await memory.delete(entry_id)
    deletion, update, addition = await memory.changes()
    with pytest.raises(VersionConflict, match="changed since"):
        await memory.undo(update.change_id)
    undone = await memory.undo(deletion.change_id, reason="by mistake")
    assert undone.kind is ChangeKind.UNDONE
    assert deletion.change_id in undone.reason
    assert in_memory(memory) == updated
    await memory.undo(update.change_id)
    assert in_memory(memory) == added
    await memory.undo(addition.change_id)
    assert in_memory(memory) == {}
    (last, *_) = await memory.changes()
    await memory.undo(last.change_id)
    assert in_memory(memory) == added
    assert await agree(memory, store)
    with pytest.raises(InputError, match="no change 'nothing'"):
        await memory.undo("nothing")
    assert memory.statistics().undone == 4


async def test_an_eviction_is_undone_by_the_same_rule(open_memory: OpenMemory) -> None:
    memory = open_memory(capacity=2)
    await memory.add("keep", importance=0.9)
    await memory.add("old", importance=0.3)
    await memory.add("new", importance=0.3)
    assert contents(memory) == {"keep", "new"}
    evicted = next(c for c in await memory.changes() if c.kind is ChangeKind.EVICTED)
    await memory.undo(evicted.change_id)
    assert contents(memory) == {"keep", "old"}
    await memory.delete(evicted.entry_id)
    await memory.add("better", importance=0.8)
    deleted = (await memory.changes(evicted.entry_id))[0]
    with pytest.raises(InputError, match="full"):
        await memory.undo(deleted.change_id)
    assert contents(memory) == {"keep", "better"}


async def test_the_journal_is_bounded(open_memory: OpenMemory) -> None:
    memory = open_memory(journal=5)
    for number in range(9):
        await memory.add(f"entry {number}")
    kept = await memory.changes()
    assert [change.after.content for change in kept if change.after] == [
        f"entry {number}" for number in (8, 7, 6, 5, 4)
    ]
    # A process that ends before it wrote much still keeps what others left in bounds.
    again = open_memory(journal=2)
    await again.add("one more")
    assert len(await again.changes()) == 2


async def test_a_journal_may_be_left_out(open_memory: OpenMemory) -> None:
    memory = open_memory(journal=0)
    await memory.add("entry")
    assert await memory.changes() == []


async def test_another_memory_on_the_namespace_sees_the_same(
    open_memory: OpenMemory, store: BaseStore
) -> None:
    first = open_memory()
    for number in range(5):
        await first.add(f"entry {number} of the story", {"n": number}, importance=number / 10)
    second = open_memory()
    assert await second.retrieve("the story", 5) == await first.retrieve("the story", 5)
    assert in_memory(second) == in_memory(first)
    assert (second.terms.texts, second.terms.mean_length) == (5, first.terms.mean_length)
    elsewhere = open_memory(namespace=(*first.namespace, "entries"))
    await elsewhere.add("beneath the first")
    assert await agree(elsewhere, store)
    third = open_memory()
    await third.ready()
    assert in_memory(third) == in_memory(first)


async def test_what_others_changed_is_noticed(
    open_memory: OpenMemory, store: BaseStore, clock: FakeClock
) -> None:
    ours, theirs = open_memory(), open_memory()
    ids = [await ours.add(f"fact {number} about the harbour") for number in range(4)]
    await theirs.refresh()
    assert await theirs.delete(ids[0])
    assert await theirs.update(ids[1], "fact 1 about the harbour, corrected")
    found = await ours.retrieve("harbour", 4)
    assert {hit.entry.content for hit in found} == {
        "fact 1 about the harbour, corrected",
        "fact 2 about the harbour",
        "fact 3 about the harbour",
    }
    clock.advance(1)
    assert await theirs.delete(ids[2])
    assert not await ours.update(ids[2], "x")
    await theirs.update(ids[3], "fact 3, corrected by them", {"by": "them"})
    clock.advance(1)  # who writes in the same millisecond comes in no order
    assert await ours.update(ids[3], "fact 3, corrected by us")
    (change, *_) = await ours.changes(ids[3])
    assert change.before is not None
    assert change.before.content == "fact 3, corrected by them"
    new = await theirs.add("a new one")
    assert await ours.update(new, "a new one, improved")
    assert await agree(ours, store)
    await theirs.add("unseen until asked")
    assert "unseen until asked" not in contents(ours)
    await ours.refresh()
    assert await agree(ours, store)


async def test_evicting_asks_what_the_store_holds(
    open_memory: OpenMemory, store: BaseStore
) -> None:
    ours, theirs = open_memory(capacity=2), open_memory(capacity=2)
    gone = await ours.add("gone", importance=0.1)
    raised = await ours.add("raised", importance=0.2)
    await theirs.ready()
    await theirs.delete(gone)
    assert await ours.add("in the room of what is gone", importance=0.3)
    assert await agree(ours, store)
    await theirs.refresh()
    await theirs.update(raised, "raised", importance=0.9)
    assert await ours.add("evicts the other", importance=0.4)
    assert contents(ours) == {"raised", "evicts the other"}
    assert await agree(ours, store)


async def test_a_store_that_holds_more_than_fits(open_memory: OpenMemory, store: BaseStore) -> None:
    large = open_memory(capacity=20)
    for number in range(12):
        await large.add(f"entry {number}", importance=number / 20)
    small = open_memory(capacity=4)
    await small.ready()
    best = {f"entry {number}" for number in (8, 9, 10, 11)}
    assert contents(small) == best
    assert small.statistics().beyond_capacity == 8
    # Where room comes up, the best of the others takes part.
    await small.delete(next(e.entry_id for e in small.index.entries() if e.content == "entry 11"))
    await small.retrieve("entry")
    assert contents(small) == {"entry 7", "entry 8", "entry 9", "entry 10"}
    await small.add("important", importance=0.9)
    assert contents(small) == {"entry 8", "entry 9", "entry 10", "important"}
    assert await agree(small, store)
    assert small.statistics().evictions == 8


async def test_many_at_once(open_memory: OpenMemory, store: BaseStore) -> None:
    memory = open_memory(capacity=10)
    ids = await asyncio.gather(
        *(memory.add(f"entry {number}", importance=number / 100) for number in range(40))
    )
    assert await agree(memory, store)
    assert len(memory.index) == 10
    kept = next(entry_id for entry_id in reversed(ids) if entry_id in memory.index)
    done = await asyncio.gather(
        *(memory.update(kept, f"version {number}") for number in range(20)),
        *(memory.retrieve("version", 3) for _ in range(5)),
    )
    assert all(done)
    held = memory.index.get(kept)
    assert held is not None
    assert held.entry.version == 21
    assert await agree(memory, store)
    gone = await asyncio.gather(*(memory.delete(kept) for _ in range(5)))
    assert gone.count(True) == 1


async def test_statistics_count_what_was_done(open_memory: OpenMemory) -> None:
    memory = open_memory(capacity=5, context_tokens=100)
    entry_id = await memory.add("sixteen letters!")
    await memory.retrieve("letters")
    with pytest.raises(InputError):
        await memory.retrieve("")
    await memory.update(entry_id, "twenty letters now!!")
    statistics = memory.statistics()
    assert (statistics.entries, statistics.capacity, statistics.tokens) == (1, 5, 5)
    assert (statistics.context_budget, statistics.context_tokens) == (100, 0)
    assert statistics.operations == {
        MemoryOperation.ADD: 1,
        MemoryOperation.RETRIEVE: 2,
        MemoryOperation.UPDATE: 1,
    }
    assert statistics.failures == {MemoryOperation.RETRIEVE: 1}
    assert statistics.retrieved == 1
