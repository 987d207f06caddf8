"""The orchestrator's memory over stores of LangGraph's own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langgraph.store.base import BaseStore, Op, Result
from langgraph.store.memory import InMemoryStore
from langgraph.store.sqlite.aio import AsyncSqliteStore
from workflow_fixtures import START, attempt, finished, workflow

from infrastructure.errors import InputError, StoreError
from infrastructure.memory.base_store_memory import BaseStoreMemory
from infrastructure.memory.compaction_service import CompactionService
from infrastructure.memory.finished_run import AcceptedRun
from infrastructure.memory.memori.runs import RunRecord


async def _learn(memory: BaseStoreMemory) -> None:
    vector = np.array([0.25, 0.5], dtype=np.float32)
    await memory.accept(AcceptedRun(RunRecord("r1", "s", "run the tests", START)))
    await memory.append("r1", ['{"event":"planned"}'])
    outcomes = (attempt(False), attempt(True, "other"))
    await memory.finish(finished("r1", vector=vector, outcomes=outcomes, recalled=False))
    await memory.finish(finished("r2", success=False, finished_at=START + 1, recalled=True))
    await memory.store(workflow("w1", task_type="custom_task", metadata={"deep": [1, {"x": None}]}))
    await memory.feedback("r2", success=True, task_type="debugging", comment="it was right")


async def _known(memory: BaseStoreMemory) -> list[Any]:
    vector = np.array([0.25, 0.5], dtype=np.float32)
    return [
        await memory.recall("testing", "tests", vector, ("project",), min_success_rate=0),
        await memory.recall("debugging", "tests", vector, ("project",), min_success_rate=0),
        await memory.learning_metrics(),
        await memory.workflows("s"),
        await memory.runs(),
        await memory.corrections(),
    ]


async def test_what_was_learnt_is_there_after_reopening(tmp_path: Path) -> None:
    async with AsyncSqliteStore.from_conn_string(str(tmp_path / "store.db")) as store:
        await store.setup()
        first = BaseStoreMemory(store)
        await _learn(first)
        known = await _known(first)
        assert first.durable
        assert any("durable" in note for note in first.notes)
        await first.aclose()
    async with AsyncSqliteStore.from_conn_string(str(tmp_path / "store.db")) as store:
        second = BaseStoreMemory(store)
        assert await _known(second) == known
        await second.aclose()


async def test_a_store_in_memory_says_so() -> None:
    memory = BaseStoreMemory(InMemoryStore())
    assert not memory.durable
    assert "in memory" in memory.notes[0]
    await _learn(memory)
    assert await memory.events("r1") == [{"event": "planned"}]
    await memory.aclose()


async def test_tenants_share_nothing() -> None:
    store = InMemoryStore()
    first, second = BaseStoreMemory(store, tenant="a"), BaseStoreMemory(store, tenant="b")
    await _learn(first)
    assert (await second.learning_metrics())["total_workflows_executed"] == 0
    await first.aclose()
    await second.aclose()


async def test_finishing_twice_is_finishing_once() -> None:
    store = InMemoryStore()
    memory = BaseStoreMemory(store)
    assert await memory.finish(finished("r1"))
    assert not await memory.finish(finished("r1", success=False))
    again = BaseStoreMemory(store)
    assert (await again.learning_metrics())["overall_success_rate"] == 1.0
    await memory.aclose()
    await again.aclose()


async def test_a_forgotten_run_stays_forgotten() -> None:
    store = InMemoryStore()
    memory = BaseStoreMemory(store)
    await _learn(memory)
    for name in ("r1", "r2", "w1"):
        assert await memory.forget_run(name)
    again = BaseStoreMemory(store)
    assert (await again.learning_metrics())["total_workflows_executed"] == 0
    assert await again.runs() == []
    await memory.aclose()
    await again.aclose()


async def test_more_runs_than_a_page_are_replayed_once() -> None:
    store = InMemoryStore()
    memory = BaseStoreMemory(store)
    for n in range(501):
        await memory.store(workflow(f"w{n}", created_at=START + n))
    again = BaseStoreMemory(store)
    found = await asyncio.gather(*(again.learning_metrics() for _ in range(3)))
    assert [metrics["total_workflows_executed"] for metrics in found] == [501] * 3
    await memory.aclose()
    await again.aclose()


async def test_compaction_works_on_the_working_copy() -> None:
    memory = BaseStoreMemory(InMemoryStore())
    await _learn(memory)
    before = await memory.workflows("s")
    service = CompactionService(memory)
    assert (await service.compact_session("s")).num_memories == 3
    assert await service.read_session("s") == before
    await memory.aclose()


class _Broken(InMemoryStore):
    """A store whose server has gone away."""

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        raise ConnectionError("the server is gone")


async def test_a_failing_store_gives_a_store_error() -> None:
    store: BaseStore = _Broken()
    memory = BaseStoreMemory(store)
    with pytest.raises(StoreError, match="the server is gone"):
        await memory.learning_metrics()
    await memory.aclose()


async def test_wrong_feedback_leaves_the_log_as_it_was() -> None:
    store = InMemoryStore()
    memory = BaseStoreMemory(store)
    with pytest.raises(InputError, match="no run"):
        await memory.feedback("nobody", success=True)
    assert store.search(("genesis",)) == []
    await memory.aclose()


def test_one_memory_survives_two_event_loops() -> None:
    memory = BaseStoreMemory(InMemoryStore())
    asyncio.run(_learn(memory))
    assert asyncio.run(memory.learning_metrics())["total_workflows_executed"] == 3
    asyncio.run(memory.aclose())
