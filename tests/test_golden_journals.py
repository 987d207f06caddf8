"""Journals that earlier versions wrote are read, told, explained, and gone on with from anywhere.

`tests/golden_world.py` recorded them, each folder by the version that its README names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from golden_world import REQUEST, RUN, decide, open_world, world

from genesis import GenesisOrchestrator
from genesis.result import OrchestrationResult
from genesis.testing import Fail, FakeAgent
from infrastructure.memory.finished_run import AcceptedRun, FinishedRun
from infrastructure.memory.memori.runs import RunRecord

FOLDER = Path(__file__).parent / "data" / "journals"
WHOLE = sorted(file for file in FOLDER.glob("*/*.jsonl") if "~" not in file.name)
SCRIPTS: Mapping[str, Mapping[str, Any]] = {
    "escalated": {"first": [Fail("not today")]},
    "replanned": {"right": Fail("never")},
}


@pytest.fixture(autouse=True)
def own_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `open_world` sets for its process ends with the test."""
    monkeypatch.setenv("GENESIS_CONFIG_DIR", "")


def plan_of(file: Path) -> str:
    return file.stem if file.stem in ("replanned", "composite") else "diamond"


def lines_of(file: Path, folder: Path = FOLDER) -> list[str]:
    """The events, as if they had been recorded in a folder."""
    return file.read_text().replace("FOLDER", str(folder.resolve())).splitlines()


async def plant(
    orchestrator: GenesisOrchestrator, run_id: str, lines: Sequence[str], parent: str = ""
) -> None:
    """Leave what is told of a run behind, as a process does that dies."""
    memory, ended = orchestrator.services.memory, '"type": "RunEnded"' in lines[-1]
    record = RunRecord(run_id, "s", REQUEST, orchestrator.services.clock.now())
    events = tuple(lines[:-1] if ended else lines)
    assert await memory.accept(AcceptedRun(record, parent, events=events))
    if ended:
        run = FinishedRun(
            run_id=run_id,
            session_id="s",
            request=REQUEST,
            task_type="general",
            success=True,
            steps=(),
            duration_s=1.0,
            cost_usd=1.0,
            events=(lines[-1],),
            parent_run_id=parent,
        )
        assert await memory.finish(run)


def ended_tasks(lines: Sequence[str]) -> set[str]:
    events = [json.loads(line) for line in lines]
    return {
        event["task_id"]
        for event in events
        if event["type"] == "TaskEnded" and event["result"]["status"] == "completed"
    }


def tried(agents: Mapping[str, FakeAgent]) -> set[str]:
    return {a.task.id for agent in agents.values() for a in agent.assignments}


async def to_the_end(orchestrator: GenesisOrchestrator) -> OrchestrationResult:
    result = await orchestrator.resume(RUN)
    while result.state == "waiting":
        await decide(orchestrator, result)
        result = await orchestrator.resume(RUN)
    return result


def test_there_are_journals_of_every_kind() -> None:
    kinds = {event["type"] for file in WHOLE for event in map(json.loads, lines_of(file))}
    assert kinds >= {"PlanMade", "RunResumed", "RunPaused", "ApprovalDecided", "SubRequestStarted"}
    assert len({file.parent for file in WHOLE}) >= 2


@pytest.mark.parametrize("file", WHOLE, ids=lambda f: f"{f.parent.name}-{f.stem}")
async def test_a_journal_is_gone_on_with_from_anywhere(file: Path, tmp_path: Path) -> None:
    lines, plan = lines_of(file, tmp_path), plan_of(file)
    parts = {
        part.stem.removeprefix(file.stem): lines_of(part, tmp_path)
        for part in file.parent.glob(f"{file.stem}~*.jsonl")
    }
    async with open_world(tmp_path, plan, max_parallel_tasks=1) as orchestrator:
        agents = world(orchestrator, plan, **SCRIPTS.get(file.stem, {}))
        for kept in range(1, len(lines) + 1):
            for agent in agents.values():
                agent.messages.clear()
            one = orchestrator.for_tenant(f"{kept}")
            whole = '"RunEnded"' in lines[kept - 1]
            await plant(one, RUN, lines[:kept])
            began = any('"SubRequestStarted"' in line for line in lines[:kept])
            for name, told in parts.items() if began else ():
                # How far the part came by then nobody knows, if its task has not ended.
                over = "part" in ended_tasks(lines[:kept])
                await plant(one, RUN + name, told if over or kept % 2 else told[:9], RUN)
            result = await to_the_end(one)
            assert (result.state, result.errors) == ("completed", [])
            assert "by join" in result.output
            assert not ended_tasks(lines[:kept]) & tried(agents), (
                "a task whose result was journalled started again"
            )
            if whole:
                assert tried(agents) == set()
                assert result.cost_usd == json.loads(lines[-1])["cost_usd"]
            assert "plan" in str(await one.explain(RUN))
            assert (await one.run(RUN)).output == result.output
