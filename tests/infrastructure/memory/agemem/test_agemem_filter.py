"""Filtering a context: by relevance, by criteria, of every kind of item."""

from __future__ import annotations

import pytest
from langchain_core.messages import HumanMessage
from langgraph.store.memory import InMemoryStore

from infrastructure.memory.agemem.context import ContextKind
from infrastructure.memory.agemem.operations import AgeMem
from infrastructure.memory.agemem.text_analysis import TextAnalyst

BUDGET = "The budget of the bridge project is 4,200 euros"
RAILING = "the railing of the bridge is green"
CAKE = "I baked a chocolate cake for my sister"
GOAL = "how large is the budget of the bridge project?"


@pytest.fixture
def memory(analyst: TextAnalyst) -> AgeMem:
    return AgeMem(InMemoryStore(), analyst=analyst)


async def test_what_is_relevant_stays_in_its_order(memory: AgeMem) -> None:
    texts = [CAKE, RAILING, BUDGET]
    assert await memory.filter(texts, 0.25, goal=GOAL) == [BUDGET]
    assert await memory.filter(texts, 0.1, goal=GOAL) == [RAILING, BUDGET]
    assert await memory.filter(texts, 0.0, goal=GOAL) == texts
    assert await memory.filter(texts, 1.0, goal=GOAL) == []
    assert await memory.filter([], goal=GOAL) == []
    statistics = memory.statistics()
    assert (statistics.filtered_items, statistics.dropped_items) == (12, 6)


async def test_the_contexts_goal_counts_and_nothing_is_changed(
    memory: AgeMem, analyst: TextAnalyst
) -> None:
    context = memory.context
    items = [context.append(analyst.of(text)) for text in (CAKE, RAILING, BUDGET)]
    context.goal = analyst.of(GOAL)
    kept = await memory.filter(context.items, 0.25)
    assert kept == [items[2]]
    assert context.items == tuple(items)
    assert context.keep(kept) == (items[0], items[1])


async def test_without_a_goal_known_relevance_decides(memory: AgeMem, analyst: TextAnalyst) -> None:
    turn = memory.context.append(analyst.of(CAKE))
    found = memory.context.append(analyst.of(RAILING), ContextKind.MEMORY, relevance=0.2)
    better = memory.context.append(analyst.of(BUDGET), ContextKind.MEMORY, relevance=0.7)
    assert await memory.filter([turn, found, better], 0.5) == [turn, better]
    assert await memory.filter([CAKE], 0.9) == [CAKE]
    dicts = [{"content": CAKE, "relevance": 0.1}, {"content": BUDGET, "relevance": 0.9}]
    assert await memory.filter(dicts) == [dicts[1]]


async def test_criteria_alone_or_with_relevance(memory: AgeMem) -> None:
    await memory.add(BUDGET, {"topic": "bridge", "year": 2026}, importance=0.9)
    await memory.add(RAILING, {"topic": "bridge", "year": 2024})
    await memory.add(CAKE, {"topic": "family", "year": 2026})
    found = await memory.retrieve(GOAL, 3)

    async def kept(threshold: float, criteria: object) -> set[str]:
        hits = await memory.filter(found, threshold, goal=GOAL, criteria=criteria)  # type: ignore[arg-type]
        return {hit.entry.content for hit in hits}

    assert await kept(0, {"topic": "bridge"}) == {BUDGET, RAILING}
    assert await kept(0.25, {"topic": "bridge"}) == {BUDGET}
    assert await kept(0, {"year": {"$gt": 2025}, "importance": {"$gte": 0.6}}) == {BUDGET}
    assert await kept(0, lambda hit: "cake" in hit.entry.content) == {CAKE}  # type: ignore[misc]
    entries = [hit.entry for hit in found]
    assert await memory.filter(entries, 0, criteria={"topic": "family"}) == [
        entry for entry in entries if entry.content == CAKE
    ]


async def test_messages_and_items_by_their_kind(memory: AgeMem, analyst: TextAnalyst) -> None:
    messages = [HumanMessage(CAKE), HumanMessage(BUDGET)]
    assert await memory.filter(messages, 0.25, goal=GOAL) == [messages[1]]
    turn = memory.context.append(analyst.of(CAKE))
    recalled = memory.context.append(analyst.of(BUDGET), ContextKind.MEMORY, entry_id="e1")
    assert await memory.filter([turn, recalled], criteria={"kind": "memory"}) == [recalled]
    assert await memory.filter(turn, criteria={"entry_id": {"$ne": ""}}) == []  # type: ignore[type-var]
