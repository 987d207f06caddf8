"""Runs are listed page by page, newest first, and each once, whatever comes in between."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from workflow_fixtures import START, SetClock

from infrastructure.memory.finished_run import AcceptedRun
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.runs import RunRecord
from infrastructure.memory.workflow_memory import WorkflowMemory


@pytest.fixture
async def memory(shared_place: str) -> AsyncIterator[WorkflowMemory]:
    memori = Memori.open(shared_place, clock=SetClock())
    yield WorkflowMemory(memori)
    await memori.aclose()


async def _accept(memory: WorkflowMemory, run_id: str, at: float, parent: str = "") -> None:
    record = RunRecord(run_id, f"s{len(run_id) % 2}", "do it", at)
    assert await memory.accept(AcceptedRun(record, parent))


@pytest.mark.parametrize("size", [1, 2, 3, 100])
async def test_pages_give_each_run_once_also_those_of_one_moment(
    memory: WorkflowMemory, size: int
) -> None:
    for number in range(9):
        await _accept(memory, f"r{number}", START + number // 4)
        await _accept(memory, f"r{number}~part~1", START + number // 4, f"r{number}")
    before: tuple[float, str] | None = None
    seen: list[str] = []
    while page := await memory.runs(before=before, limit=size):
        assert len(page) <= size
        seen += [run.run_id for run in page]
        before = page[-1].created_at, page[-1].run_id
        # What is accepted meanwhile is newer than every page that follows.
        await _accept(memory, f"new{len(seen)}", START + 100 + len(seen))
    assert seen == [f"r{number}" for number in reversed(range(9))]


async def test_pages_keep_to_their_filters(memory: WorkflowMemory) -> None:
    for run_id, at in (("a", 0.0), ("bb", 1.0), ("c", 2.0), ("dd", 3.0), ("e", 3.0)):
        await _accept(memory, run_id, START + at)
    last = (START + 3.0, "e")
    of_session = await memory.runs(session_id="s1", before=last)
    assert [run.run_id for run in of_session] == ["c", "a"]
    lately = await memory.runs(state="running", since=START + 1, before=last)
    assert [run.run_id for run in lately] == ["dd", "c", "bb"]
    assert await memory.runs(state="waiting", before=last) == []
