"""An orchestrator for many small runs, and a process that tells what memory they take.

python many_runs.py FOLDER COUNT
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from pathlib import Path
from typing import Any

from genesis import Assignment, GenesisOrchestrator, Skill
from infrastructure.config import load_flags, load_settings

REQUEST = "Please tell me something nice about the number {}"


def open_orchestrator(folder: Path, **settings: Any) -> GenesisOrchestrator:
    """An orchestrator on a store of its own, with two agents: one looks, one answers."""
    chosen = load_settings(
        {}, db_path=str(folder / "runs.db"), workspace=folder, data_dir=folder / "data", **settings
    )
    orchestrator = GenesisOrchestrator(settings=chosen, flags=load_flags({}), agents=[])

    async def look(assignment: Assignment) -> dict[str, str]:
        await asyncio.sleep(0.005)
        return {"facts": "it is even or odd"}

    async def answer(assignment: Assignment) -> dict[str, str]:
        return {"answer": f"{assignment.inputs['facts']}, which is nice"}

    looks = Skill("look", "Looks facts up.", produces=("facts",), seconds=0.01)
    answers = Skill("answer", "Answers.", requires=("facts",), produces=("answer",), seconds=0.01)
    orchestrator.register_agent(look, name="looker", skills=[looks], max_concurrency=64)
    orchestrator.register_agent(answer, name="answerer", skills=[answers], max_concurrency=64)
    return orchestrator


async def _measured(folder: Path, count: int) -> dict[str, int]:
    """How many runs failed, and how much the peak of memory rose by each of two waves, in kB."""
    failed = 0

    async def wave(runs: int) -> int:
        nonlocal failed
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        results = await asyncio.gather(
            *(orchestrator.execute_orchestrated_request(REQUEST.format(n)) for n in range(runs))
        )
        await orchestrator.drain()
        failed += sum(not result.success for result in results)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before

    async with open_orchestrator(folder, max_waiting_runs=count) as orchestrator:
        await wave(100)
        return {"first_kb": await wave(count), "second_kb": await wave(count), "failed": failed}


if __name__ == "__main__":
    told = asyncio.run(_measured(Path(sys.argv[1]), int(sys.argv[2])))
    sys.stdout.write(json.dumps(told))
