"""MemoryTool's public behaviour."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from infrastructure.errors import InputError
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.orchestrator_memory_tool import (
    MemoryTool,
    TaskMetrics,
    get_memory_tool,
)
from infrastructure.memory.workflow_memory import WorkflowMemory, close_default_memories


@pytest.fixture
async def tool(place: str) -> AsyncIterator[MemoryTool]:
    memory = WorkflowMemory(Memori.open(place))
    yield MemoryTool(memory)
    await memory.aclose()


async def _store(tool: MemoryTool, **changes: Any) -> str:
    values: dict[str, Any] = {
        "task_type": "custom_task",
        "workflow_steps": ["plan", "do"],
        "success": True,
        "duration": 2.0,
        "session_id": "s",
    }
    return await tool.store_workflow(**{**values, **changes})


async def test_stored_workflows_become_a_pattern(tool: MemoryTool) -> None:
    ids = [await _store(tool, cost=0.5, duration=n + 1.0) for n in range(3)]
    (pattern,) = await tool.retrieve_workflow_patterns("custom_task")
    assert pattern.task_type == "custom_task"
    assert pattern.workflow_steps == ["plan", "do"]
    assert (pattern.success_rate, pattern.avg_duration, pattern.avg_cost) == (1.0, 2.0, 0.5)
    assert (pattern.total_executions, pattern.successful_executions) == (3, 3)
    assert sorted(pattern.supporting_runs) == sorted(ids)
    assert pattern.last_used > 0


async def test_failures_count_in_every_rate(tool: MemoryTool) -> None:
    for success in (True, True, False, False):
        await _store(tool, success=success)
    assert await tool.retrieve_workflow_patterns("custom_task") == []
    (pattern,) = await tool.retrieve_workflow_patterns("custom_task", min_success_rate=0.5)
    assert pattern.success_rate == 0.5
    assert await tool.get_task_success_metrics("custom_task") == TaskMetrics(
        "custom_task", 4, 2, 2, 0.5, 2.0, 0.0
    )


async def test_unknown_task_type_has_no_pattern_and_zero_metrics(tool: MemoryTool) -> None:
    assert await tool.retrieve_workflow_patterns("never") == []
    assert await tool.get_best_workflow_for_task("never", "cost") is None
    assert (await tool.get_task_success_metrics("never")).success_rate == 0.0


async def test_best_workflow_by_target(tool: MemoryTool) -> None:
    for _ in range(5):
        await _store(tool, workflow_steps=["sure"], duration=9, cost=9)
    await _store(tool, workflow_steps=["quick"], duration=1, cost=5)
    await _store(tool, workflow_steps=["cheap"], duration=5, cost=1)
    await _store(tool, workflow_steps=["broken"], duration=0, cost=0, success=False)
    for target, steps in (("success_rate", "sure"), ("duration", "quick"), ("cost", "cheap")):
        best = await tool.get_best_workflow_for_task("custom_task", target)
        assert best is not None
        assert best.workflow_steps == [steps]
    with pytest.raises(InputError, match="optimization_target"):
        await tool.get_best_workflow_for_task("custom_task", "speed")


async def test_scopes(tool: MemoryTool) -> None:
    await _store(tool, session_id="s1")
    await _store(tool, session_id="s2")
    (pattern,) = await tool.retrieve_workflow_patterns("custom_task", scope="app")
    assert pattern.total_executions == 2
    grouped = await tool.retrieve_workflow_patterns("custom_task", scope="session")
    assert [p.total_executions for p in grouped] == [1, 1]
    own = await tool.retrieve_workflow_patterns("custom_task", scope="session", session_id="s1")
    assert [p.total_executions for p in own] == [1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"task_type": ""},
        {"session_id": ""},
        {"success": "completed"},
        {"success": None},
        {"duration": -1},
        {"duration": float("nan")},
        {"cost": float("inf")},
        {"cost": "cheap"},
        {"workflow_steps": "plan"},
        {"workflow_steps": [1]},
        {"metadata": {"x": float("nan")}},
        {"metadata": {1: "x"}},
    ],
)
async def test_bad_records_are_refused_and_nothing_is_stored(
    tool: MemoryTool, wrong: dict[str, Any]
) -> None:
    with pytest.raises(InputError):
        await _store(tool, **wrong)
    assert (await tool.get_task_success_metrics("custom_task")).total_executions == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"task_type": ""},
        {"min_success_rate": 1.1},
        {"min_success_rate": float("nan")},
        {"scope": "world"},
        {"limit": 0},
    ],
)
async def test_bad_questions_are_refused(tool: MemoryTool, wrong: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"task_type": "custom_task", **wrong}
    with pytest.raises(InputError):
        await tool.retrieve_workflow_patterns(**arguments)


async def test_metadata_and_odd_text_come_back_exactly(tool: MemoryTool) -> None:
    metadata = {"dag": {"z": [1, 2.5, None], "a": "\x00\ud800 ü 世界", "big": 2**70}}
    await _store(tool, metadata=metadata, workflow_steps=["ü:\n:"])
    (row,) = await tool.memory.workflows("s")
    assert row.metadata == metadata
    assert list(row.metadata["dag"]) == ["z", "a", "big"]  # pyright: ignore[reportArgumentType]  # a mapping
    assert row.steps == ("ü:\n:",)


def test_one_tool_survives_two_event_loops(
    shared_place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMORI_DB_PATH", shared_place)
    tool = MemoryTool()
    asyncio.run(_store(tool))
    metrics = asyncio.run(tool.get_task_success_metrics("custom_task"))
    assert metrics.total_executions == 1
    assert asyncio.run(get_memory_tool().get_task_success_metrics("custom_task")) == metrics
    assert get_memory_tool() is get_memory_tool()
    asyncio.run(close_default_memories())
    assert asyncio.run(tool.get_task_success_metrics("custom_task")) == metrics
    asyncio.run(close_default_memories())


_SCRIPT = """
import asyncio
from infrastructure.memory.compaction_service import CompactionService
from infrastructure.memory.orchestrator_memory_tool import MemoryTool

async def main():
    tool, service = MemoryTool(), CompactionService()
    for n in range(20):
        await tool.store_workflow("custom_task", ["a", "b"], True, 1.0, f"s{n}")
        service.request(f"s{n}")

asyncio.run(main())
"""


def test_a_script_that_closes_nothing_exits_and_loses_nothing(
    shared_place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMORI_DB_PATH", shared_place)
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")

    async def read() -> tuple[int, int]:
        tool = MemoryTool()
        metrics = await tool.get_task_success_metrics("custom_task")
        kept = [await tool.memory.workflows(f"s{n}") for n in range(20)]
        await close_default_memories()
        return metrics.total_executions, sum(len(rows) for rows in kept)

    assert asyncio.run(read()) == (20, 20)
