"""Whole runs in which attempts are made side by side, cut off anywhere and gone on with."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from planned_world import declare_plans, open_orchestrator

from genesis import GenesisOrchestrator, Skill, TaskOutput
from genesis.tasks.task import Usage
from genesis.testing import FakeAgent, FakeOutcome, Hang
from infrastructure.memory.finished_run import AcceptedRun
from infrastructure.memory.memori.runs import RunRecord

REQUEST = "Tell me something nice"
PLAN = """
deliverables: {}
asked: {general: {always: [answer]}}
templates:
  - name: two
    task_types: [general]
    asks: [answer]
    tasks:
      - {id: fetch, description: Fetch., operation: fetch, produces: [facts]}
      - {id: write, description: Write., operation: write, requires: [facts], produces: [answer]}
"""
USD = 0.125

Make = Callable[..., GenesisOrchestrator]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    declare_plans(tmp_path, PLAN, monkeypatch)
    return partial(open_orchestrator, tmp_path)


def agent(
    name: str, does: str, makes: str, seconds: float, outcome: FakeOutcome | None = None
) -> FakeAgent:
    done = TaskOutput(f"by {name}", {makes: f"by {name}"}, usage=Usage(cost_usd=USD))
    needs = () if does == "fetch" else ("facts",)
    skill = Skill(does, does, ("general",), needs, (makes,), USD, seconds=seconds)
    return FakeAgent(name, outcome or done, skills=[skill])


def world(orchestrator: GenesisOrchestrator) -> dict[str, FakeAgent]:
    agents = {
        "slow": agent("slow", "fetch", "facts", 0.01, Hang()),
        "second": agent("second", "fetch", "facts", 1.0),
        "writer": agent("writer", "write", "answer", 0.1),
    }
    for one in agents.values():
        orchestrator.register_agent(one)
    return agents


async def test_a_hedged_run_goes_on_wherever_its_journal_ends(make: Make) -> None:
    async with make(hedge_after=2.0) as whole:
        agents = world(whole)
        undisturbed = await whole.execute_orchestrated_request(REQUEST, "s")
        assert undisturbed.success
        (fetch, _) = undisturbed.tasks
        assert [(a.agent, a.outcome) for a in fetch.attempts] == [
            ("slow", "canceled"),
            ("second", "verified"),
        ]
        assert undisturbed.cost_usd == pytest.approx(3 * USD)
        stored = await whole.run(undisturbed.run_id)
        assert stored.cost_usd == pytest.approx(3 * USD)
        hedges = whole.services.runner.statistics.hedges
        assert hedges is not None
        assert (hedges.begun, hedges.won) == (1, 1)
        events = await whole.services.memory.events(undisturbed.run_id)
        lines = [json.dumps(event) for event in events]
        kinds = [str(event["type"]) for event in events]
        first, last = kinds.index("AttemptStarted"), kinds.index("TaskEnded")
        for kept in range(first, last + 2):  # while both are under way, and around it
            before = {name: one.calls for name, one in agents.items()}
            run_id = f"r{kept}"
            began = [line.replace(undisturbed.run_id, run_id) for line in lines[:kept]]
            now = whole.services.clock.now()
            record = RunRecord(run_id, "s", REQUEST, now)
            planted = AcceptedRun(record, events=tuple(began), owner="", until=now + 3600)
            assert await whole.services.memory.accept(planted)
            result = await whole.resume(run_id)
            assert (result.state, result.errors) == ("completed", [])
            assert result.output == undisturbed.output
            done = {json.loads(line).get("task_id") for line in began if '"TaskEnded"' in line}
            asked = {name for name, one in agents.items() if one.calls > before[name]}
            assert not ("fetch" in done and asked & {"slow", "second"})
            keys = [m.message_id for m in agents["second"].messages[before["second"] :]]
            assert keys in ([], [f"{run_id}:fetch:2"])


async def test_a_run_stopped_at_its_budget_keeps_what_is_finished(make: Make) -> None:
    async with make() as orchestrator:
        dear = TaskOutput("dear", {"facts": "dear"}, usage=Usage(cost_usd=0.45))
        skill = Skill("fetch", "f", ("general",), (), ("facts",), USD)
        orchestrator.register_agent(FakeAgent("dearer", dear, skills=[skill]))
        writer = agent("writer", "write", "answer", 0.1)
        orchestrator.register_agent(writer)
        # What was planned fits the budget; what it then costs does not.
        result = await orchestrator.execute_orchestrated_request(REQUEST, budget_usd=0.5)
        assert (result.state, writer.calls) == ("failed", 0)
        assert {task.id: task.status for task in result.tasks} == {
            "fetch": "completed",
            "write": "failed",
        }
        assert result.output == "dear"
        assert "raise the budget to go on" in " ".join(result.errors)
        assert result.cost_usd == pytest.approx(0.45)
