"""Laws of runs that are killed: random plans and agents, ended at a random place of the journal.

Whatever the plan, whatever the agents do and wherever the journal ends: the run ends, no task
whose result was journalled starts again, the result is that of an undisturbed run, and no money
that an agent was paid is forgotten. What is told of a run afterwards is what it returned.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from golden_world import REQUEST, open_world
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genesis import GenesisOrchestrator, Skill, TaskOutput
from genesis.events import PlanMade, RunAccepted, TaskTypeInferred, event_line
from genesis.result import OrchestrationResult
from genesis.tasks.dag import TaskDAG
from genesis.tasks.task import Task, Usage
from genesis.testing import Ask, Fail, FakeAgent
from infrastructure.a2a.types import AgentEvent, Message
from infrastructure.memory.finished_run import AcceptedRun
from infrastructure.memory.memori.runs import RunRecord

USD = 0.125
MOST_TASKS = 5
numbers = itertools.count()


@dataclass(frozen=True)
class Case:
    """A plan, what the agents do that are asked first, when a person is asked, and the cut."""

    needs: tuple[tuple[int, ...], ...]
    first: tuple[str, ...]
    approve: tuple[str, ...]
    cut: float

    @property
    def dag(self) -> TaskDAG:
        last = len(self.needs)
        loose = set(range(last)) - {m for needs in self.needs for m in needs}
        tasks = [_task(n, needs, f"d{n}") for n, needs in enumerate(self.needs)]
        return TaskDAG([*tasks, _task(MOST_TASKS, tuple(sorted(loose)), "answer")])


def _task(n: int, needs: Sequence[int], makes: str) -> Task:
    requires, before = tuple(f"d{m}" for m in needs), tuple(f"t{m}" for m in needs)
    kind = "documentation" if n == 1 else "general"
    return Task(f"t{n}", f"Do {n}.", kind, f"op{n}", requires, (makes,), before)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    count = draw(st.integers(1, MOST_TASKS))
    needs = [
        tuple(sorted(draw(st.sets(st.integers(0, n - 1), max_size=3)) if n else ()))
        for n in range(count)
    ]
    doing = st.sampled_from(["done", "done", "fail", "ask", "wrong"])
    return Case(
        tuple(needs),
        tuple(draw(doing) for _ in range(MOST_TASKS + 1)),
        draw(st.sampled_from([(), (), ("plan",), ("task:documentation",), ("cost:0.3",)])),
        draw(st.floats(0, 1)),
    )


class Changing:
    """An agent that does in each case what the case says."""

    def __init__(self, name: str, skill: Skill) -> None:
        self._skill = skill
        self.card = FakeAgent(name, skills=[skill]).card
        self.does = "done"
        self.tasks: list[str] = []

    async def send(self, message: Message) -> AsyncIterator[AgentEvent]:
        self.tasks.append(self._skill.id.replace("op", "t"))
        (datum,) = self._skill.produces
        done = TaskOutput(f"{datum} made", {datum: datum}, usage=Usage(cost_usd=USD))
        outcomes: dict[str, Any] = {"fail": Fail("no"), "wrong": {"other": 1}, "ask": Ask("which?")}
        # An answered question is gone on with, also by the next process.
        outcome = done if message.task_id else outcomes.get(self.does, done)
        async for event in FakeAgent(self.card.name, outcome, skills=[self._skill]).send(message):
            yield event

    async def cancel(self, task_id: str) -> None:
        """It holds nothing."""


class World:
    """One orchestrator for all cases; each has a tenant of its own."""

    def __init__(self, folder: Path) -> None:
        self.orchestrator: GenesisOrchestrator = open_world(folder, "diamond")
        self.agents: dict[str, Changing] = {}
        self._tenants: list[GenesisOrchestrator] = []
        for n in range(MOST_TASKS + 1):
            for place, usd in (("first", USD / 2), ("second", USD)):
                makes = "answer" if n == MOST_TASKS else f"d{n}"
                skill = Skill(f"op{n}", f"op{n}", (), (), (makes,), usd, seconds=usd)
                self.agents[f"{place}{n}"] = agent = Changing(f"{place}{n}", skill)
                self.orchestrator.register_agent(agent)

    def tenant(self) -> GenesisOrchestrator:
        self._tenants.append(self.orchestrator.for_tenant(f"case {next(numbers)}"))
        return self._tenants[-1]

    def begin(self, case: Case) -> None:
        for name, agent in self.agents.items():
            agent.tasks.clear()
            agent.does = case.first[int(name[-1])] if name.startswith("first") else "done"

    @property
    def asked(self) -> set[str]:
        return {task for agent in self.agents.values() for task in agent.tasks}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENESIS_CONFIG_DIR", "")
        made = World(tmp_path_factory.mktemp("anywhere"))
        yield made
        asyncio.run(made.orchestrator.aclose())


def beginning(case: Case) -> list[str]:
    accepted = RunAccepted("r", "s", REQUEST, {}, (), "2.1", "", None, 60.0, case.approve)
    inferred = TaskTypeInferred("general", 1.0, "said so")
    plan = PlanMade(case.dag.to_json(), "template", "given", (), "", ())
    return [event_line(event, 1.0) for event in (accepted, inferred, plan)]


async def plant(orchestrator: GenesisOrchestrator, lines: Sequence[str]) -> None:
    """Leave the beginning of a run behind, as a process does that dies."""
    record = RunRecord("r", "s", REQUEST, orchestrator.services.clock.now())
    assert await orchestrator.services.memory.accept(AcceptedRun(record, events=tuple(lines)))


async def to_the_end(orchestrator: GenesisOrchestrator) -> OrchestrationResult:
    """Go on, and decide whatever is asked."""
    result = await orchestrator.resume("r")
    while result.state == "waiting":
        assert shown(await orchestrator.run("r")) == shown(result)
        for asked in result.approvals:
            edit: dict[str, Any] = {"input": "this", "cost": 100.0}
            change = edit.get(asked.kind)
            await orchestrator.approve(
                "r", "edit" if change else "approve", approval_id=asked.id, edit=change
            )
        assert await orchestrator.recover() == ["r"]
        result = await orchestrator.resume("r")
    return result


def shown(result: OrchestrationResult) -> dict[str, Any]:
    return {
        "state": result.state,
        "errors": result.errors,
        "output": result.output,
        "cost": round(result.cost_usd, 9),
        "approvals": [asked.id for asked in result.approvals],
        "tasks": [(task.id, task.status, task.agent, task.cost_usd) for task in result.tasks],
        "attempts": [[(a.agent, a.outcome, a.reason) for a in t.attempts] for t in result.tasks],
        "recalled": result.recalled,
        "plan": result.plan_source,
    }


def ended_tasks(lines: Sequence[str]) -> set[str]:
    events = [json.loads(line) for line in lines]
    return {event["task_id"] for event in events if event["type"] == "TaskEnded"}


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(case=cases())
def test_a_killed_run_ends_as_an_undisturbed_one(world: World, case: Case) -> None:
    asyncio.run(_check(world, case))


async def _check(world: World, case: Case) -> None:
    world.begin(case)
    whole = world.tenant()
    await plant(whole, beginning(case))
    undisturbed = await to_the_end(whole)
    assert undisturbed.state == "completed", undisturbed.errors
    assert shown(await whole.run("r")) == shown(undisturbed)
    paid = sum(task.cost_usd for task in undisturbed.tasks)
    assert undisturbed.cost_usd == pytest.approx(paid)

    lines = [json.dumps(event) for event in await whole.services.memory.events("r")]
    cut = lines[: 1 + int(case.cut * (len(lines) - 2))]
    world.begin(case)
    again = world.tenant()
    await plant(again, cut if len(cut) > 2 else beginning(case))
    result = await to_the_end(again)
    assert not ended_tasks(cut) & world.asked, "a task whose result was journalled started again"
    assert result.cost_usd >= undisturbed.cost_usd - 1e-9
    cost = {"cost": 0.0}
    assert {**shown(result), **cost} == {**shown(undisturbed), **cost}
    assert shown(await again.run("r")) == shown(result)
    assert await again.recover() == []
