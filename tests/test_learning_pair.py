"""What the demo shows, as a test: the same pair of requests with memory and without."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import demo
import pytest

from genesis import Assignment, OrchestrationResult, TaskOutput
from genesis.agents.data_analyst import agent as data_analyst
from genesis.execution.events import AttemptStarted
from genesis.result import RunFinished
from genesis.tasks.checks import Check, Submission
from genesis.tasks.task import Verdict

QUICK = "quick_look"


@dataclass(frozen=True)
class Watched:
    """A run with what was really done in it.

    Attributes:
        calls: how often each agent was asked.
        quick: how often the quick agent's function ran.
        checks: acceptance checks that were executed.
    """

    result: OrchestrationResult
    calls: Counter[str]
    quick: int
    checks: int

    @property
    def outcomes(self) -> list[tuple[str, str, str]]:
        """Task, agent and outcome of every attempt, task by task."""
        return sorted((t.id, a.agent, a.outcome) for t in self.result.tasks for a in t.attempts)

    @property
    def work(self) -> int:
        return self.calls.total() + self.checks


class Counted:
    """Counts the quick agent's and the checks' executions themselves, not what is reported."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.quick = 0
        self.checks = 0
        quick_look = demo.quick_look

        async def counted_quick_look(assignment: Assignment) -> TaskOutput:
            self.quick += 1
            return await quick_look(assignment)

        monkeypatch.setattr(demo, "quick_look", counted_quick_look)
        checks = {name: self._counted(check) for name, check in data_analyst.CHECKS.items()}
        monkeypatch.setattr(data_analyst, "CHECKS", checks)

    def _counted(self, check: Check) -> Check:
        async def counted(submission: Submission) -> Verdict:
            self.checks += 1
            return await check(submission)

        return counted


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    for name in list(os.environ):
        if name.startswith(("GENESIS_", "MEMORI_")):
            monkeypatch.delenv(name)
    return Counted(monkeypatch)


async def run_pair(folder: Path, counted: Counted, *, memory: bool) -> list[Watched]:
    name = "learning" if memory else "forgetful"
    watched: list[Watched] = []
    async with demo.orchestrator_for(folder, name, memory=memory) as orchestrator:
        for request in demo.PAIR:
            quick, checks, calls = counted.quick, counted.checks, Counter[str]()
            result = None
            async for event in orchestrator.stream(request):
                if isinstance(event, AttemptStarted):
                    calls[event.agent] += 1
                elif isinstance(event, RunFinished):
                    result = event.result
            assert result is not None
            watched.append(Watched(result, calls, counted.quick - quick, counted.checks - checks))
    return watched


async def test_the_pair_goes_better_with_memory_and_not_without(
    tmp_path: Path, counted: Counted
) -> None:
    workspace = tmp_path.resolve()
    demo.prepare(workspace)
    first, second = await run_pair(workspace, counted, memory=True)
    first_without, second_without = await run_pair(workspace, counted, memory=False)
    runs = (first, second, first_without, second_without)

    for run in runs:
        assert run.result.success, run.result.errors
        assert run.checks == run.calls.total() == len(run.outcomes)

    # The first meets the quick agent's wrong answer, and so does everybody without memory.
    for run in (first, first_without, second_without):
        assert run.quick == run.calls[QUICK] == 1
        assert ("answers", QUICK, "rejected") in run.outcomes
        assert ("answers", "data_analyst", "verified") in run.outcomes
        assert run.result.plan_source == "template"
        assert run.result.recalled.changed == []

    # The second has learnt it: another file, the same plan, and the quick agent is not asked.
    assert second.result.plan_source == "memory"
    assert second.result.recalled.similar_runs == [first.result.run_id]
    assert any(QUICK in change for change in second.result.recalled.changed)
    assert second.quick == second.calls[QUICK] == 0
    assert second.outcomes == [
        ("answers", "data_analyst", "verified"),
        ("profile", "data_analyst", "verified"),
        ("report", "data_analyst", "verified"),
    ]

    # Rows and months with the highest means, worked out from the files with another tool.
    for output, rows, month in (
        (first.result.output, 1461, "August"),
        (second.result.output, 8759, "2010-09"),
    ):
        assert str(rows) in output.replace(",", "")
        assert month in output

    # The same work is done otherwise: nothing is saved but what memory knew to be in vain.
    assert second.work < first.work
    assert second_without.outcomes == first_without.outcomes == first.outcomes
    assert second_without.work == first_without.work == first.work
    assert first.work + second.work < first_without.work + second_without.work
    assert second.result.output == second_without.result.output
