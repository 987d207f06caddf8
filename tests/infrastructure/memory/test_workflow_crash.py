"""kill -9 in the middle of recording: what was acknowledged is there, and nothing by halves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from rounds import ROUNDS, in_rounds
from workflow_fixtures import finished

from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.workflow_memory import WorkflowMemory

_CHILD = """
import asyncio, itertools, sys
from workflow_fixtures import finished
from infrastructure.memory.compaction_service import CompactionService
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.workflow_memory import WorkflowMemory

async def main(path):
    memory = WorkflowMemory(Memori.open(path))
    service = CompactionService(memory)
    for n in itertools.count():
        await memory.finish(finished(f"r{n}", plan={"n": n}, events=(f'{{"n":{n}}}',)))
        service.request("s")
        print(n, flush=True)

asyncio.run(main(sys.argv[1]))
"""
_ACKNOWLEDGED = 15


@in_rounds
async def test_killed_while_recording_and_compacting(shared_place: str) -> None:
    for _ in range(ROUNDS):
        last = _killed(shared_place)
        memory = WorkflowMemory(Memori.open(shared_place))
        rows = await memory.workflows("s")
        assert len(rows) > last
        assert {row.id for row in rows} == {f"r{n}" for n in range(len(rows))}
        # Every table tells of the same runs, so that no commit was torn.
        for table in ("executions", "run_journals", "plan_runs", "outcomes"):
            sql = f"SELECT COUNT(*) FROM {table}"
            assert await memory.memori.read(lambda tx, sql=sql: _count(tx, sql)) == len(rows)
        metrics = await memory.learning_metrics()
        assert metrics["total_workflows_executed"] == len(rows)
        # An unacknowledged run may be told again: it is counted once.
        await memory.finish(finished(f"r{len(rows) - 1}"))
        assert await memory.learning_metrics() == metrics
        await memory.aclose()


def _killed(place: str) -> int:
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, place],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": f"{Path(__file__).parent}:{Path(__file__).parents[3]}"},
    )
    assert child.stdout is not None
    last = -1
    try:
        for _ in range(_ACKNOWLEDGED):
            last = int(child.stdout.readline())
    finally:
        child.kill()
        rest = child.stdout.read().split()
        child.stdout.close()
        child.wait()
    return max([last, *map(int, rest[:-1])])


def _count(tx: Tx, sql: str) -> int:
    row = tx.execute(sql).fetchone()
    assert row is not None
    return row[0]
