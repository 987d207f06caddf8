"""A MemoriSaver answers as LangGraph's InMemorySaver does, whatever is stored in whatever order."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any, Final

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)
from langgraph.checkpoint.base import Checkpoint, CheckpointTuple, empty_checkpoint
from langgraph.checkpoint.base.id import uuid6
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.types import ERROR, INTERRUPT
from postgres_server import PostgresServer, new_database

from infrastructure.memory.memori.checkpoints import MemoriSaver

CHANNELS: Final = ("messages", "count", "Größe '%?")
THREADS: Final = ("1", "2", "ünï'\"%_")
NAMESPACES: Final = ("", "child:1")

leaves = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=20)
values = st.recursive(
    leaves | st.binary(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
# Long enough to be compressed, and to build on one another.
texts = st.integers(0, 60).map(
    lambda count: [f"message {n} of a conversation" for n in range(count)]
)
states = st.dictionaries(st.sampled_from(CHANNELS), values | texts, min_size=1)
metadata = st.fixed_dictionaries(
    {"source": st.sampled_from(["input", "loop"]), "step": st.integers(-1, 3)},
    optional={"who": leaves.filter(lambda value: value != "\x00"), "run_id": st.sampled_from("ab")},
)


def plain(found: CheckpointTuple | None) -> Any:
    """What must be equal: an old field, which ours keeps only where it is filled, is left out."""
    if found is None:
        return None
    checkpoint = {key: value for key, value in found.checkpoint.items() if key != "pending_sends"}
    config, parent = (
        (each or {}).get("configurable", {}).get("checkpoint_id")
        for each in (found.config, found.parent_config)
    )
    return config, parent, checkpoint, found.metadata, found.pending_writes


class Savers(RuleBasedStateMachine):
    """Both savers, given the same."""

    checkpoints: Bundle[Any] = Bundle("checkpoints")

    def __init__(self, place: str) -> None:
        super().__init__()
        self.ours = MemoriSaver.open(place)
        self.theirs = InMemorySaver()
        for saver in (self.ours, self.theirs):
            for thread in THREADS:
                saver.delete_thread(thread)
        self.states: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
        self.steps = 0

    def teardown(self) -> None:
        self.ours.close()

    def config(self, thread: str, ns: str, checkpoint_id: str | None = None) -> Any:
        named = {"thread_id": thread, "checkpoint_ns": ns}
        return {"configurable": named | ({"checkpoint_id": checkpoint_id} if checkpoint_id else {})}

    @initialize(target=checkpoints, thread=st.sampled_from(THREADS), ns=st.sampled_from(NAMESPACES))
    def begin(self, thread: str, ns: str) -> Any:
        return self.store(self.config(thread, ns), {"count": 0}, {"source": "input", "step": -1})

    @rule(target=checkpoints, thread=st.sampled_from(THREADS), ns=st.sampled_from(NAMESPACES),
          state=states, fields=metadata)  # fmt: skip
    def begin_thread(self, thread: str, ns: str, state: Any, fields: Any) -> Any:
        return self.store(self.config(thread, ns), state, fields)

    @rule(target=checkpoints, parent=checkpoints, state=states, fields=metadata)
    def step_from(self, parent: Any, state: Any, fields: Any) -> Any:
        return self.store(parent, state, fields)

    def store(self, parent: Any, state: dict[str, Any], fields: dict[str, Any]) -> Any:
        old, versions = self.states.get(parent["configurable"].get("checkpoint_id"), ({}, {}))
        new: dict[str, Any] = {
            name: self.ours.get_next_version(versions.get(name), None) for name in state
        }
        checkpoint: Checkpoint = {
            **empty_checkpoint(),
            "id": str(uuid6(clock_seq=self.steps)),
            "channel_values": {**old, **state},
            "channel_versions": {**versions, **new},
        }
        self.steps += 1
        self.states[checkpoint["id"]] = {**old, **state}, {**versions, **new}
        given: Any = fields
        stored = self.ours.put(parent, checkpoint, given, new)
        assert stored == self.theirs.put(parent, checkpoint, given, new)
        return stored

    @rule(
        at=checkpoints,
        tasks=st.lists(
            st.tuples(
                st.lists(
                    st.tuples(st.sampled_from((*CHANNELS, ERROR, INTERRUPT)), values), max_size=4
                ),
                st.sampled_from(["task 1", "task 2"]),
                st.sampled_from(["", "~b", "~a"]),
            ),
            max_size=3,
        ),
    )
    def write(self, at: Any, tasks: Any) -> None:
        for writes, task, path in tasks:
            for saver in (self.ours, self.theirs):
                saver.put_writes(at, writes, task, path)
        self.compare_one(at)

    def compare_one(self, at: Any) -> None:
        assert plain(self.ours.get_tuple(at)) == plain(self.theirs.get_tuple(at))
        named = at["configurable"]
        latest = self.config(named["thread_id"], named["checkpoint_ns"])
        assert plain(self.ours.get_tuple(latest)) == plain(self.theirs.get_tuple(latest))

    @rule(
        thread=st.sampled_from(THREADS),
        wanted=st.none() | metadata.map(lambda fields: dict(list(fields.items())[:2])),
        before=st.none() | checkpoints,
        limit=st.none() | st.integers(0, 3),
    )
    def compare_lists(self, thread: str, wanted: Any, before: Any, limit: int | None) -> None:
        for ns in NAMESPACES:
            config = self.config(thread, ns)
            ours, theirs = (
                [plain(each) for each in saver.list(
                    config, filter=wanted, before=before, limit=limit)]
                for saver in (self.ours, self.theirs)
            )  # fmt: skip
            assert ours == theirs

    @rule(at=checkpoints)
    def read(self, at: Any) -> None:
        self.compare_one(at)

    @rule(at=checkpoints)
    def compare_histories(self, at: Any) -> None:
        ours, theirs = (
            saver.get_delta_channel_history(config=at, channels=CHANNELS)
            for saver in (self.ours, self.theirs)
        )
        assert ours == theirs

    @rule(thread=st.sampled_from(THREADS))
    def delete(self, thread: str) -> None:
        for saver in (self.ours, self.theirs):
            saver.delete_thread(thread)
        self.theirs.storage.pop(thread, None)


RUN: Final = settings(
    max_examples=15,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def compare_on(place: str) -> None:
    factory: Any = partial(Savers, place)
    run_state_machine_as_test(factory, settings=RUN)


def test_it_answers_as_langgraph_s_own_in_memory_on_sqlite() -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = str(Path(folder) / "genesis.db")
        compare_on(place)


def test_it_answers_as_langgraph_s_own_in_memory_on_postgresql(
    postgres_server: PostgresServer,
) -> None:
    place = new_database(postgres_server)
    compare_on(place)
