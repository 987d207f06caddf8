"""Journals of old runs are pruned in small commits; what was learnt, and open runs, stay."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from workflow_fixtures import START, SetClock, finished

from infrastructure.errors import InputError, StoreUnavailable
from infrastructure.memory.memori import run_sources, runs
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.retention import Pruned, is_pruned, prune_journals
from infrastructure.memory.memori.runs import RunRecord
from infrastructure.memory.workflow_memory import WorkflowMemory

DAY_S = 86_400.0


@pytest.fixture
async def memory(place: str) -> AsyncIterator[WorkflowMemory]:
    memori = Memori.open(place, clock=SetClock(START))
    yield WorkflowMemory(memori)
    await memori.aclose()


async def end_runs(memory: WorkflowMemory, days: list[int]) -> None:
    """One run that ended so many days ago, for each."""
    for day in days:
        await memory.finish(finished(f"day-{day}", finished_at=START - day * DAY_S))


async def pruned_runs(memory: WorkflowMemory) -> set[str]:
    found = await memory.runs(limit=1_000)
    return {
        run.run_id
        for run in found
        if await memory.memori.read(partial(is_pruned, run_id=run.run_id))
    }


def journals(tx: Tx) -> int:
    (rows,) = tx.execute("SELECT COUNT(*) FROM run_journals").fetchone() or (0,)
    return int(rows)


async def test_journals_are_pruned_by_age_and_all_else_stays(memory: WorkflowMemory) -> None:
    await end_runs(memory, [1, 10, 29, 31, 100])
    before = await memory.learning_metrics()
    plans = await memory.patterns("testing")
    pruned = await prune_journals(memory.memori, older_than_s=30 * DAY_S, at_once=1)
    assert pruned.journals == 2
    assert pruned.bytes > 0
    assert await pruned_runs(memory) == {"day-31", "day-100"}
    assert await memory.memori.read(journals) == 3
    assert await memory.learning_metrics() == before
    assert await memory.patterns("testing") == plans
    assert len(await memory.runs(limit=10)) == 5
    assert await prune_journals(memory.memori, older_than_s=30 * DAY_S) == Pruned()


async def test_journals_are_pruned_beyond_a_number(memory: WorkflowMemory) -> None:
    await end_runs(memory, list(range(12)))
    assert (await prune_journals(memory.memori, keep=5, at_once=3)).journals == 7
    assert await pruned_runs(memory) == {f"day-{day}" for day in range(5, 12)}
    assert (await prune_journals(memory.memori, keep=5)).journals == 0
    both = await prune_journals(memory.memori, keep=4, older_than_s=1.5 * DAY_S)
    assert both.journals == 3
    assert (await prune_journals(memory.memori, keep=0)).journals == 2


async def test_a_run_that_goes_on_keeps_its_journal_and_its_parts(memory: WorkflowMemory) -> None:
    def accept(tx: Tx) -> None:
        for run_id in ("open", "open-part"):
            runs.accept_run(tx, RunRecord(run_id, "s", "do it", START - 90 * DAY_S))
        run_sources.add(tx, "part", ["parent:open"])
        run_sources.add(tx, "part-of-part", ["parent:part", "agent:tester"])
        run_sources.add(tx, "part-of-done", ["parent:done"])

    await memory.memori.commit(accept)
    for run_id in ("part", "part-of-part", "part-of-done", "done"):
        await memory.finish(finished(run_id, finished_at=START - 80 * DAY_S))
    pruned = await prune_journals(memory.memori, older_than_s=30 * DAY_S, at_once=1)
    assert pruned.journals == 2
    for run_id, gone in (
        ("open", False), ("part", False), ("part-of-part", False), ("part-of-done", True),
        ("done", True), ("unknown", False),
    ):  # fmt: skip
        assert await memory.memori.read(partial(is_pruned, run_id=run_id)) is gone
    await memory.finish(finished("open", finished_at=START))
    assert (await prune_journals(memory.memori, older_than_s=30 * DAY_S)).journals == 2


async def test_feedback_and_forgetting_still_hold_for_a_pruned_run(memory: WorkflowMemory) -> None:
    await end_runs(memory, [40, 50])
    await prune_journals(memory.memori, older_than_s=DAY_S)
    await memory.feedback("day-40", False, None, "wrong")
    (failed,) = await memory.runs(state="failed")
    assert failed.run_id == "day-40"
    counts = await memory.counts("testing")
    assert sum(count.successes for count in counts) == 1
    assert await memory.events("day-40") == []
    assert await memory.forget_run("day-50")
    assert await memory.counts("testing") != counts
    assert not await memory.is_known("day-50")


async def test_another_tenant_s_journals_stay(memory: WorkflowMemory) -> None:
    await end_runs(memory, [40])
    other = memory.for_tenant("other")
    await end_runs(other, [40])
    assert (await prune_journals(other.memori, older_than_s=DAY_S)).journals == 1
    assert await pruned_runs(memory) == set()


@pytest.mark.parametrize(
    "limits", [{}, {"keep": -1}, {"older_than_s": -1.0}, {"older_than_s": float("nan")}]
)
async def test_limits_that_cannot_be_are_refused(limits: dict[str, Any]) -> None:
    memori = Memori.open(":memory:")
    with pytest.raises(InputError):
        await prune_journals(memori, **limits)
    await memori.aclose()


async def test_a_vacuum_shrinks_the_file_while_others_read(tmp_path: Path) -> None:
    place = tmp_path / "memory.db"
    memori = Memori.open(place)

    def fill(tx: Tx) -> None:
        tx.execute("CREATE TABLE filling (body TEXT)")
        for _ in range(50):
            tx.execute("INSERT INTO filling VALUES (?)", ("x" * 100_000,))

    await memori.commit(fill)
    await memori.commit(lambda tx: tx.execute("DELETE FROM filling"))
    assert await memori.vacuum() > 4_000_000
    assert place.stat().st_size < 2_000_000
    assert await memori.read(lambda tx: tx.execute("SELECT * FROM filling").fetchall()) == []
    assert await memori.vacuum() == 0
    await memori.aclose()


async def test_a_vacuum_in_the_way_of_another_process_is_told(tmp_path: Path) -> None:
    place = tmp_path / "memory.db"
    memori = Memori.open(place, busy_timeout_s=0.1)
    await memori.commit(lambda tx: None)
    other = sqlite3.connect(place, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked"):
        await memori.vacuum()
    other.close()
    await memori.aclose()


async def test_on_postgresql_there_is_nothing_to_vacuum(postgres_url: str) -> None:
    memori = Memori.open(postgres_url)
    assert await memori.vacuum() == 0
    await memori.aclose()
