"""Old journals are pruned while nobody waits, and no more often than needed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from workflow_fixtures import START, SetClock, finished

from infrastructure.memory.compaction_service import CompactionService
from infrastructure.memory.journal_upkeep import PAUSE_S, JournalUpkeep
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.workflow_memory import WorkflowMemory

DAY_S = 86_400.0


@pytest.fixture
async def memory(shared_place: str) -> AsyncIterator[WorkflowMemory]:
    memori = Memori.open(shared_place, clock=SetClock())
    yield WorkflowMemory(memori)
    await memori.aclose()


async def end_run(memory: WorkflowMemory, run_id: str, days_ago: float) -> None:
    event = f'{{"type":"RunEnded","run_id":"{run_id}"}}'
    await memory.finish(finished(run_id, finished_at=START - days_ago * DAY_S, events=(event,)))


async def test_one_look_an_hour_prunes_what_is_old(memory: WorkflowMemory) -> None:
    clock = SetClock(0.0)
    upkeep = JournalUpkeep(30, clock.monotonic)
    for number in range(450):  # more than one commit deletes
        await end_run(memory, f"old-{number}", 31)
    await end_run(memory, "young", 29)

    def finish() -> int:
        steps = 1
        while upkeep.step(memory.memori):
            steps += 1
        return steps

    assert await asyncio.to_thread(finish) == 3
    assert all([await memory.is_pruned(f"old-{number}") for number in range(450)])
    assert not await memory.is_pruned("young")
    assert len(await memory.events("young")) == 1
    await end_run(memory, "later", 31)
    for seconds, pruned in ((PAUSE_S - 1, False), (PAUSE_S, True)):
        clock.time = seconds
        assert await asyncio.to_thread(finish) == 1
        assert await memory.is_pruned("later") is pruned


async def test_nothing_is_pruned_unless_it_is_set(memory: WorkflowMemory) -> None:
    await end_run(memory, "old", 10_000)
    assert not JournalUpkeep(None).step(memory.memori)
    assert not await memory.is_pruned("old")


async def test_a_compaction_is_followed_by_it(memory: WorkflowMemory) -> None:
    service = CompactionService(memory, keep_journals_days=30)
    await end_run(memory, "old", 31)
    service.request("s")
    await service.drain()
    async with asyncio.timeout(10):
        while not await memory.is_pruned("old"):  # noqa: ASYNC110 - its own thread tells nobody
            await asyncio.sleep(0.01)
