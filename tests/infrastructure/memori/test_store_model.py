"""The store against a dict, through any sequence of operations, crashes between them."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from langgraph.store.base import GetOp, Op, PutOp

from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.store import MemoriStore
from infrastructure.memory.memori.values import InvalidItem

Namespace = tuple[str, ...]

namespaces = st.sampled_from([("a",), ("a", "b"), ("a", "b", "c"), ("ab",), ("B",), ("é", "*")])
keys = st.sampled_from(["", "k", "K", "k.k", "'", "日本"])
values = st.fixed_dictionaries({"n": st.integers(0, 3), "text": st.sampled_from(["sun", "rain"])})
puts = st.tuples(namespaces, keys, values | st.none()).map(lambda parts: PutOp(*parts))


class StoreMachine(RuleBasedStateMachine):
    """Items in the model are kept in the order of their last write."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="memori-"))
        self.crashes = 0
        self.model: dict[tuple[Namespace, str], dict[str, Any]] = {}

    @initialize()
    def open(self) -> None:
        self.reopen(self.folder / "0.db")

    def reopen(self, path: Path) -> None:
        # Nothing here depends on a power cut, so the disk need not be waited for.
        self.memori = Memori.open(path, durability="normal")
        self.store = MemoriStore(self.memori)

    def teardown(self) -> None:
        self.memori.close()
        shutil.rmtree(self.folder)

    def apply(self, op: PutOp) -> None:
        self.model.pop((op.namespace, op.key), None)
        if op.value is not None:
            self.model[op.namespace, op.key] = dict(op.value)

    @rule(op=puts)
    def write(self, op: PutOp) -> None:
        self.store.batch([op])
        self.apply(op)

    @rule(ops=st.lists(puts, max_size=5))
    def write_many(self, ops: list[PutOp]) -> None:
        before = [self.model.get((op.namespace, op.key)) for op in ops]
        reads: list[Op] = [GetOp(op.namespace, op.key) for op in ops]
        results = self.store.batch([*ops, *reads])
        found = [None if item is None else getattr(item, "value") for item in results]  # noqa: B009 - a Result is a union
        assert found == [None] * len(ops) + before
        for op in ops:
            self.apply(op)

    @rule(ops=st.lists(puts, min_size=1, max_size=3), place=st.integers(0, 3))
    def write_wrongly(self, ops: list[PutOp], place: int) -> None:
        wrong = PutOp(("a",), "k", {"when": float("inf")})
        with pytest.raises(InvalidItem):
            self.store.batch([*ops[:place], wrong, *ops[place:]])

    @rule()
    def close_and_reopen(self) -> None:
        path = self.memori.path
        self.memori.close()
        self.reopen(Path(path))

    @precondition(lambda self: self.crashes < 3)
    @rule()
    def crash_and_reopen(self) -> None:
        # A killed process leaves the database and its write-ahead log as they are now.
        self.memori.commit_sync()
        self.crashes += 1
        left, taken = Path(self.memori.path), self.folder / f"{self.crashes}.db"
        for suffix in ("", "-wal"):
            shutil.copy(f"{left}{suffix}", f"{taken}{suffix}")
        self.memori.close()
        self.reopen(taken)

    @rule(prefix=namespaces | st.just(()), n=st.integers(0, 3), page=st.integers(1, 4))
    def search_in_pages(self, prefix: Namespace, n: int, page: int) -> None:
        expected = [
            place
            for place, value in reversed(self.model.items())
            if place[0][: len(prefix)] == prefix and value["n"] >= n
        ]
        found: list[tuple[Namespace, str]] = []
        while hits := self.store.search(
            prefix, filter={"n": {"$gte": n}}, limit=page, offset=len(found)
        ):
            found.extend((hit.namespace, hit.key) for hit in hits)
        assert found == expected

    @rule(prefix=namespaces | st.just(()), word=st.sampled_from(["sun", "rain", "snow"]))
    def search_by_a_word(self, prefix: Namespace, word: str) -> None:
        expected = {
            place
            for place, value in self.model.items()
            if place[0][: len(prefix)] == prefix and value["text"] == word
        }
        hits = self.store.search(prefix, query=f"the {word}", limit=100)
        assert {(hit.namespace, hit.key) for hit in hits} == expected
        assert len(hits) == len(expected)

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        if not hasattr(self, "store"):
            return
        hits = self.store.search((), limit=100)
        assert {(hit.namespace, hit.key): hit.value for hit in hits} == self.model
        assert len(hits) == len(self.model)
        listed = self.store.list_namespaces()
        assert listed == sorted({namespace for namespace, _ in self.model})


TestStoreModel = StoreMachine.TestCase
TestStoreModel.settings = settings(max_examples=30, stateful_step_count=15, deadline=None)
