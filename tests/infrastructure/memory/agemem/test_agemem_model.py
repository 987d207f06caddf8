"""AgeMem against a plain model of it: a dict with the rule of eviction, changes and snapshots."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import pytest
from agemem_world import agree
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore

from infrastructure.embeddings.builtin import BuiltinEmbedder
from infrastructure.errors import InputError, VersionConflict
from infrastructure.memory.agemem.entries import MemoryEntry, MemorySnapshot
from infrastructure.memory.agemem.ids import CountedClock, CountedIds
from infrastructure.memory.agemem.index import EntryIndex
from infrastructure.memory.agemem.operations import AgeMem
from infrastructure.memory.agemem.relevance import TermStatistics
from infrastructure.memory.agemem.text_analysis import TextAnalyst
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.store import MemoriStore

T = TypeVar("T")
CAPACITY = 4
ANALYST = TextAnalyst(BuiltinEmbedder())

WORDS = st.sampled_from(["ada", "Oslo", "Paris", "tea", "harbour", "42", "moved", "the"])
TEXTS = st.lists(WORDS, min_size=1, max_size=5).map(" ".join)
IMPORTANCE = st.sampled_from([0.0, 0.25, 0.5, 1.0])


@dataclass(frozen=True)
class Known:
    """An entry of the model; `touched` counts operations and stands for time."""

    content: str
    importance: float
    metadata: dict[str, int]
    version: int
    touched: int


@dataclass(frozen=True)
class Noted:
    """A change of the model."""

    entry_id: str
    before: Known | None
    after: Known | None


class Model:
    """What the memory should hold."""

    def __init__(self) -> None:
        self.entries: dict[str, Known] = {}
        self.changes: list[Noted] = []
        self.time = 0

    def set(self, entry_id: str, after: Known | None) -> None:
        before = self.entries.pop(entry_id, None)
        if after is not None:
            self.entries[entry_id] = after
        self.changes.append(Noted(entry_id, before, after))

    def make_room(self, importance: float) -> bool:
        if len(self.entries) < CAPACITY:
            return True
        least = min(self.entries, key=lambda i: (*self._rank(i), i))
        if self.entries[least].importance > importance:
            return False
        self.set(least, None)
        return True

    def _rank(self, entry_id: str) -> tuple[float, int]:
        known = self.entries[entry_id]
        return known.importance, known.touched


def shown(entry: MemoryEntry) -> tuple[object, ...]:
    return entry.content, entry.importance, entry.metadata, entry.version


def expected(known: Known) -> tuple[object, ...]:
    return known.content, known.importance, known.metadata, known.version


class AgeMemMachine(RuleBasedStateMachine):
    """Random operations on the memory and on the model."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.store = self.open_store()
        self.ids, self.clock = CountedIds(), CountedClock()
        self.memory = self.opened()
        self.model = Model()
        self.snapshots: list[tuple[MemorySnapshot, dict[str, Known], int]] = []

    def open_store(self) -> BaseStore:
        return InMemoryStore()

    def opened(self) -> AgeMem:
        return AgeMem(
            self.store, capacity=CAPACITY, analyst=ANALYST, clock=self.clock, new_id=self.ids
        )

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(call)

    def teardown(self) -> None:
        self.loop.close()

    def one_of(self, place: int) -> str:
        names = sorted(self.model.entries)
        return names[place % len(names)] if names else "nobody"

    def tick(self) -> int:
        self.model.time += 1
        return self.model.time

    @rule(content=TEXTS, importance=IMPORTANCE, number=st.integers(0, 3))
    def add(self, content: str, importance: float, number: int) -> None:
        entry_id = self.run(self.memory.add(content, {"n": number}, importance=importance))
        fits = self.model.make_room(importance)
        assert bool(entry_id) == fits
        if fits:
            known = Known(content, importance, {"n": number}, 1, self.tick())
            self.model.set(entry_id, known)

    @rule(place=st.integers(0, 9), content=TEXTS, importance=st.none() | IMPORTANCE)
    def update(self, place: int, content: str, importance: float | None) -> None:
        entry_id = self.one_of(place)
        done = self.run(self.memory.update(entry_id, content, importance=importance))
        before = self.model.entries.get(entry_id)
        assert done == (before is not None)
        if before is not None:
            after = replace(
                before,
                content=content,
                importance=before.importance if importance is None else importance,
                version=before.version + 1,
                touched=self.tick(),
            )
            self.model.set(entry_id, after)

    @rule(place=st.integers(0, 9))
    def delete(self, place: int) -> None:
        entry_id = self.one_of(place)
        done = self.run(self.memory.delete(entry_id))
        assert done == (entry_id in self.model.entries)
        if done:
            self.model.set(entry_id, None)

    @precondition(lambda self: self.model.changes)
    @rule(back=st.integers(0, 8))
    def undo(self, back: int) -> None:
        place = max(0, len(self.model.changes) - 1 - back)
        noted = self.model.changes[place]
        changes = self.run(self.memory.changes(limit=10_000))
        change_id = changes[len(changes) - 1 - place].change_id
        current = self.model.entries.get(noted.entry_id)
        if current != noted.after:
            with pytest.raises(VersionConflict):
                self.run(self.memory.undo(change_id))
            return
        comes_back = current is None and noted.before is not None
        if comes_back and not self.model.make_room(noted.before.importance):  # type: ignore[union-attr]
            with pytest.raises(InputError):
                self.run(self.memory.undo(change_id))
            return
        self.run(self.memory.undo(change_id))
        self.model.set(noted.entry_id, noted.before)

    @rule()
    def keep_a_snapshot(self) -> None:
        held = self.run(self.memory.snapshot())
        self.snapshots.append((held, dict(self.model.entries), self.model.time))

    @precondition(lambda self: self.snapshots)
    @rule(place=st.integers(0, 9), noted=st.booleans())
    def restore(self, place: int, noted: bool) -> None:
        snapshot, entries, _ = self.snapshots[place % len(self.snapshots)]
        # Ids and time go on here, so that the journal's lines of both timelines differ.
        snapshot = replace(snapshot, ids_given=None, times_asked=None)
        reason = "going back" if noted else None
        self.run(self.memory.restore(snapshot, reason=reason))
        if noted:
            self._note_restored(entries)
        self.model.entries = dict(entries)

    def _note_restored(self, wanted: dict[str, Known]) -> None:
        """The order of the lines is the memory's; what they say is the model's."""
        before = self.model.entries
        differ = {
            entry_id
            for entry_id in before.keys() | wanted.keys()
            if before.get(entry_id) != wanted.get(entry_id)
        }
        lines = self.run(self.memory.changes(limit=len(differ))) if differ else []
        assert {line.entry_id for line in lines} == differ
        for line in reversed(lines):
            entry_id = line.entry_id
            self.model.changes.append(Noted(entry_id, before.get(entry_id), wanted.get(entry_id)))

    @rule()
    def open_again(self) -> None:
        self.memory = self.opened()

    @rule()
    def refresh(self) -> None:
        self.run(self.memory.refresh())

    @rule(place=st.integers(0, 9), content=TEXTS, how=st.sampled_from(["add", "update", "delete"]))
    def somebody_else_writes(self, place: int, content: str, how: str) -> None:
        ours, self.memory = self.memory, self.opened()
        if how == "add":
            self.add(content, 0.5, 0)
        elif how == "update":
            self.update(place, content, None)
        else:
            self.delete(place)
        self.memory = ours
        if how == "add":
            self.run(ours.refresh())
        else:  # asking for all of them is enough
            self.run(ours.retrieve("tea", CAPACITY))

    @rule(query=TEXTS, top_k=st.integers(1, 6))
    def retrieve(self, query: str, top_k: int) -> None:
        found = self.run(self.memory.retrieve(query, top_k))
        statistics = TermStatistics()
        index = EntryIndex(statistics)
        for entry in reversed(self.memory.index.entries()):
            index.put(entry, ANALYST.of(entry.content))
        again = index.recall(ANALYST.of(query), top_k)
        assert [(hit.entry, hit.score) for hit in found] == [
            (held.entry, score) for held, score in again
        ]

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        assert self.run(agree(self.memory, self.store))
        held = {entry.entry_id: shown(entry) for entry in self.memory.index.entries()}
        assert held == {entry_id: expected(known) for entry_id, known in self.model.entries.items()}
        assert self.memory.terms.texts == len(held)

    @invariant()
    def notes_what_the_model_notes(self) -> None:
        changes = self.run(self.memory.changes(limit=10_000))
        assert [
            (
                change.entry_id,
                change.before and shown(change.before),
                change.after and shown(change.after),
            )
            for change in reversed(changes)
        ] == [
            (
                noted.entry_id,
                noted.before and expected(noted.before),
                noted.after and expected(noted.after),
            )
            for noted in self.model.changes
        ]


class OnMemori(AgeMemMachine):
    """The same over the project's own store."""

    def open_store(self) -> BaseStore:
        return MemoriStore(Memori.open(":memory:"))

    def teardown(self) -> None:
        assert isinstance(self.store, MemoriStore)
        self.loop.run_until_complete(self.store.memori.aclose())
        super().teardown()


TestInMemory = AgeMemMachine.TestCase
TestInMemory.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestOnMemori = OnMemori.TestCase
TestOnMemori.settings = settings(
    max_examples=8,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
