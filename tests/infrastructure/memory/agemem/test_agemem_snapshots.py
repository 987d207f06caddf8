"""What a snapshot brings back, and that what follows is the same each time."""

from __future__ import annotations

from typing import Any

import pytest
from agemem_world import OpenMemory, agree, in_memory
from hypothesis import given, settings
from hypothesis import strategies as st
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore

from infrastructure.embeddings.builtin import BuiltinEmbedder
from infrastructure.errors import InputError
from infrastructure.memory.agemem.entries import MemoryEntry
from infrastructure.memory.agemem.ids import CountedClock, CountedIds, SortableIds
from infrastructure.memory.agemem.index import EntryIndex
from infrastructure.memory.agemem.operations import AgeMem
from infrastructure.memory.agemem.relevance import TermStatistics
from infrastructure.memory.agemem.text_analysis import TextAnalyst

ANALYSES = TextAnalyst(BuiltinEmbedder())
TURNS = [
    f"{who} {what} in {where} on the {day}th"
    for day, (who, what, where) in enumerate(
        (who, what, where)
        for who in ("Ada", "Bob", "Noor")
        for what in ("bought a boat", "sold the house", "met the mayor")
        for where in ("Oslo", "Harlow")
    )
]


def counted(analyst: TextAnalyst, **options: Any) -> AgeMem:
    return AgeMem(
        InMemoryStore(),
        analyst=analyst,
        clock=CountedClock(),
        new_id=CountedIds(),
        capacity=8,
        context_tokens=60,
        **options,
    )


async def rollout(memory: AgeMem) -> list[object]:
    """Some of everything; tells all that came of it."""
    seen: list[object] = []
    for turn in TURNS[6:]:
        seen.append(await memory.add(turn, importance=len(turn) % 5 / 5))
        memory.context.append(memory.analyst.of(turn))
    (first, second, *_) = await memory.retrieve("who bought a boat?", 4)
    seen += [first, second, await memory.update(first.entry.entry_id, TURNS[0])]
    seen += [await memory.delete(second.entry.entry_id), memory.context.fit()]
    seen += [await memory.summary(memory.context.items, goal="boats"), memory.context.text]
    seen += [await memory.retrieve("Harlow", 3), in_memory(memory), len(await memory.changes())]
    return seen


async def test_what_follows_a_restore_is_the_same_each_time(analyst: TextAnalyst) -> None:
    memory = counted(analyst)
    for turn in TURNS[:6]:
        await memory.add(turn)
        memory.context.append(analyst.of(turn))
    memory.context.goal = analyst.of("who sold the house?")
    held, context = in_memory(memory), memory.context.text
    snapshot = await memory.snapshot()
    first = await rollout(memory)
    for _ in range(3):
        await memory.restore(snapshot)
        assert (in_memory(memory), memory.context.text) == (held, context)
        assert memory.context.goal is not None
        again = await rollout(memory)
        # Equal to the last bit: a rollout must not depend on those before it.
        assert repr(again) == repr(first)
    other = counted(analyst)
    await other.add("something else")
    await other.restore(snapshot)
    assert repr((await rollout(other))[:-1]) == repr(first[:-1])


async def test_a_snapshot_goes_into_another_namespace(
    open_memory: OpenMemory, store: BaseStore, analyst: TextAnalyst
) -> None:
    memory = open_memory()
    ids = [await memory.add(turn, {"n": 1}) for turn in TURNS[:5]]
    snapshot = await memory.snapshot()
    await memory.delete(ids[0])
    other = open_memory(namespace=("another", "place"))
    await other.add("what goes")
    await other.restore(snapshot, reason="moved here")
    assert set(in_memory(other)) == set(ids)
    assert await agree(other, store)
    assert await agree(memory, store)
    assert {change.reason for change in await other.changes()} == {"moved here", ""}
    # The journal makes it undoable.
    (change, *_) = await other.changes(ids[0])
    await other.undo(change.change_id)
    assert set(in_memory(other)) == set(ids[1:])


async def test_ids_that_begin_anew_take_nobodys_place(analyst: TextAnalyst) -> None:
    memory = counted(analyst)
    for turn in TURNS[:4]:
        await memory.add(turn)
    snapshot = await memory.snapshot()
    numbers = iter(range(1_000))
    other = AgeMem(InMemoryStore(), analyst=analyst, new_id=lambda: f"{next(numbers):012d}")
    await other.restore(snapshot)
    for turn in TURNS[4:10]:
        await other.add(turn)
    assert {entry.content for entry in other.index.entries()} == set(TURNS[:10])


async def test_a_snapshot_that_does_not_fit_is_refused(open_memory: OpenMemory) -> None:
    memory = open_memory()
    for turn in TURNS[:3]:
        await memory.add(turn)
    small = open_memory(namespace=("small",), capacity=2)
    await small.add("stays")
    with pytest.raises(InputError, match="capacity"):
        await small.restore(await memory.snapshot())
    assert [entry.content for entry in small.index.entries()] == ["stays"]


@settings(max_examples=30, deadline=None)
@given(order=st.permutations(range(len(TURNS))), query=st.sampled_from(TURNS))
def test_the_order_of_arrival_changes_no_bit_of_a_score(order: list[int], query: str) -> None:
    def scores(places: list[int]) -> list[tuple[str, float]]:
        index = EntryIndex(TermStatistics())
        for place in places:
            index.put(MemoryEntry(f"{place:03}", TURNS[place]), ANALYSES.of(TURNS[place]))
        return [(held.entry.entry_id, score) for held, score in index.recall(ANALYSES.of(query))]

    assert scores(order) == scores(sorted(order))


def test_ids_sort_by_creation() -> None:
    class Clock(CountedClock):
        def now(self) -> float:
            self.count += 1
            return 1_800_000_000 - self.count // 3 / 1000  # many at once, and running backwards

    ids = SortableIds(Clock())
    made = [ids() for _ in range(2_000)]
    assert made == sorted(set(made))
