"""kill -9 while archives are packed, given dictionaries and freed of them: all is whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from rounds import ROUNDS, in_rounds

from infrastructure.memory.compaction_service import CompactionService
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.workflow_memory import WorkflowMemory

_CHILD = """
import asyncio, itertools, random, sys
from workflow_fixtures import workflow
from infrastructure.memory.compaction_service import CompactionService
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.workflow_memory import WorkflowMemory

PHRASES = [f"what many sessions say, part {n}, in words that come again" for n in range(40)]

def record(n, part):
    rng = random.Random(n)
    noise = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=6000))
    metadata = {"said": rng.sample(PHRASES, 20), "noise": noise, "n": n}
    return workflow(f"w{n}-{part}", session_id=f"s{n}", metadata=metadata)

async def main(path, first):
    memory = WorkflowMemory(Memori.open(path, durability="normal"))
    service = CompactionService(memory)
    for n in itertools.count(first):
        for part in range(2):
            await memory.store(record(n, part))
            await service.compact_session(f"s{n}")
        if n % 20 == 19:
            await service.maintain()
        if n % 30 == 29:
            for late in (n - 20, n - 21, n - 22):
                await memory.forget_run(f"w{late}-0")
        print(n, flush=True)

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""
_ACKNOWLEDGED = 15

_LEAVING = """
import asyncio, random, threading, numpy
from workflow_fixtures import workflow
from infrastructure.memory import dictionary_training
from infrastructure.memory.compaction_service import CompactionService
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.workflow_memory import WorkflowMemory

begun, cut = threading.Event(), dictionary_training.shared_stretches

def told(samples):
    begun.set()
    found = cut([*samples, random.randbytes(500_000)])  # long enough to leave meanwhile
    print("trained", flush=True)
    return found[:-1]

dictionary_training.shared_stretches = told

async def main():
    service = CompactionService(WorkflowMemory(Memori.open(":memory:")))
    for n in range(80):
        noise = "".join(random.choices("abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRS", k=13_000))
        row = workflow(f"w{n}", session_id=f"s{n}", metadata={"noise": noise})
        await service.memory.store(row)
        service.request(f"s{n}")
    assert begun.wait(30)

asyncio.run(main())
"""


@in_rounds
async def test_killed_while_archives_change(tmp_path: Path) -> None:
    path = tmp_path / "genesis.db"
    first, versions = 0, 0
    for _ in range(ROUNDS):
        last = _killed(path, first)
        memory = WorkflowMemory(Memori.open(path))
        service = CompactionService(memory)
        for n in range(last + 1):
            rows = await service.read_session(f"s{n}")
            assert {row.id for row in rows} in ({f"w{n}-0", f"w{n}-1"}, {f"w{n}-1"})
            told = [
                name for entry in await service.get_ledger(f"s{n}") for name in entry.record_ids
            ]
            assert sorted(told) == sorted(row.id for row in rows)
        await _totals_agree(memory)
        versions += (await service.get_compaction_metrics()).dictionaries
        await memory.aclose()
        first = last + 1
    assert versions


def test_a_process_that_leaves_waits_for_a_training_under_way() -> None:
    # Left to end with the interpreter, a thread inside NumPy can abort the process.
    done = subprocess.run(
        [sys.executable, "-c", _LEAVING],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": f"{Path(__file__).parent}:{Path(__file__).parents[3]}"},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "trained\n", "")


def _killed(path: Path, first: int) -> int:
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(path), str(first)],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": f"{Path(__file__).parent}:{Path(__file__).parents[3]}"},
    )
    assert child.stdout is not None
    last = first - 1
    try:
        for _ in range(_ACKNOWLEDGED):
            last = int(child.stdout.readline())
    finally:
        child.kill()
        rest = child.stdout.read().split()
        child.stdout.close()
        child.wait()
    return max([last, *map(int, rest[:-1])])


async def _totals_agree(memory: WorkflowMemory) -> None:
    held = "SELECT COUNT(DISTINCT session_id), SUM(records), SUM(LENGTH(body)) FROM archives"
    told = "SELECT sessions, records, compressed_bytes FROM compaction_totals"
    by_session = "SELECT COUNT(*), SUM(records), SUM(compressed_bytes) FROM compactions"
    archived = "SELECT COUNT(DISTINCT session_id), COUNT(*), ? FROM executions WHERE chunk >= 0"
    read = memory.memori.read
    found = [
        await read(lambda tx, sql=sql: tx.execute(sql).fetchone())
        for sql in (held, told, by_session)
    ]
    assert found[0] == found[1] == found[2]
    assert found[0] is not None
    size = found[0][2]
    assert await read(lambda tx: tx.execute(archived, (size,)).fetchone()) == found[0]
    kept = "SELECT COUNT(*) FROM workflows JOIN executions USING (tenant, id) WHERE chunk >= 0"
    assert await read(lambda tx: tx.execute(kept).fetchone()) == (0,)
