"""Runs that ask a person first: they wait, outlive their process, and do what was decided."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from planned_world import declare_plans, open_orchestrator

from genesis import GenesisOrchestrator, Skill, TaskOutput
from genesis.errors import InputError, RunBusy, UnknownRun
from genesis.execution.approvals import ApprovalPolicy
from genesis.tasks.task import Usage
from genesis.testing import Ask, Fail, FakeAgent, FakeOutcome, Hang

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
      - {id: write, description: Write., operation: write, requires: [facts], produces: [draft],
         task_type: documentation}
      - {id: aside, description: Aside., operation: aside, produces: [extra]}
      - {id: close, description: Close., operation: close, requires: [draft, extra],
         produces: [answer]}
"""
OUTER = """
deliverables: {}
asked: {general: {always: [answer]}}
templates:
  - name: outer
    task_types: [general]
    asks: [answer]
    tasks:
      - {id: research, description: Find out what is nice., operation: sub_request,
         produces: [facts]}
      - {id: write, description: Write., operation: write, requires: [facts], produces: [draft]}
      - {id: aside, description: Aside., operation: aside, produces: [extra]}
      - {id: close, description: Close., operation: close, requires: [draft, extra],
         produces: [answer]}
  - name: inner
    asks: [facts]
    tasks:
      - {id: fetch, description: Fetch., operation: fetch, task_type: testing, produces: [facts]}
"""
MAKES: dict[str, tuple[tuple[str, ...], str]] = {
    "fetch": ((), "facts"),
    "write": (("facts",), "draft"),
    "aside": ((), "extra"),
    "close": (("draft", "extra"), "answer"),
}

Make = Callable[..., GenesisOrchestrator]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    def build(plan: str = PLAN, **settings: Any) -> GenesisOrchestrator:
        declare_plans(tmp_path, plan, monkeypatch)
        return open_orchestrator(tmp_path, **settings)

    return build


def world(orchestrator: GenesisOrchestrator, **scripts: FakeOutcome) -> dict[str, FakeAgent]:
    """An agent per operation, $0.10 a call."""
    agents: dict[str, FakeAgent] = {}
    for name, (requires, makes) in MAKES.items():
        done = TaskOutput(f"by {name}", {makes: f"by {name}"}, usage=Usage(cost_usd=0.1))
        skill = Skill(name, name, (), requires, (makes,), 0.1, seconds=0.1)
        agents[name] = FakeAgent(name, scripts.get(name, done), skills=[skill])
        orchestrator.register_agent(agents[name])
    return agents


def calls(agents: dict[str, FakeAgent]) -> set[str]:
    return {name for name, agent in agents.items() if agent.calls}


@pytest.mark.parametrize("text", ["", "plans", "cost", "cost:-1", "cost:x", "cost:nan", "task:", 5])
async def test_a_policy_that_means_nothing_is_refused(make: Make, text: Any) -> None:
    async with make() as orchestrator:
        with pytest.raises(InputError, match="use 'plan', 'cost:USD' or 'task:TYPE'"):
            await orchestrator.execute_orchestrated_request(REQUEST, approve=[text])
        with pytest.raises(InputError, match="must be a list"):
            await orchestrator.execute_orchestrated_request(REQUEST, approve="plan")
        assert await orchestrator.runs() == []


def test_the_lowest_of_several_limits_holds() -> None:
    policy = ApprovalPolicy.read(["cost:2", "cost:0.5", "plan", "task:a", "task:b"])
    assert policy == ApprovalPolicy(True, 0.5, frozenset({"a", "b"}))


async def test_a_plan_waits_and_goes_on_in_another_process(make: Make) -> None:
    async with make() as first:
        agents = world(first)
        asked = await first.execute_orchestrated_request(REQUEST, approve=["plan"])
        assert (asked.state, asked.success, asked.errors) == ("waiting", False, [])
        (approval,) = asked.approvals
        assert (approval.kind, approval.run_id) == ("plan", asked.run_id)
        assert "4 tasks, expected $0.4" in approval.question
        assert calls(agents) == set()
        (run,) = await first.runs(state="waiting")
        assert run.run_id == asked.run_id
        # Nobody decided anything: nothing happens, and nothing is written.
        events = len(await first.services.memory.events(asked.run_id))
        assert (await first.resume(asked.run_id)).state == "waiting"
        assert len(await first.services.memory.events(asked.run_id)) == events
        assert await first.recover() == []
    async with make() as second:
        agents = world(second)
        await second.approve(asked.run_id, comment="go", by="ada")
        result = await second.resume(asked.run_id)
        assert result.success
        assert calls(agents) == set(MAKES)
        told = str(await second.explain(asked.run_id))
        assert "approve by ada" in told
        with pytest.raises(InputError, match="nothing to decide any more"):
            await second.approve(asked.run_id)


async def test_a_rejected_plan_ends_the_run_with_nothing_done(make: Make) -> None:
    async with make() as orchestrator:
        agents = world(orchestrator)
        asked = await orchestrator.execute_orchestrated_request(REQUEST, approve=["plan"])
        await orchestrator.approve(asked.run_id, "reject", comment="too dear", by="ada")
        result = await orchestrator.resume(asked.run_id)
        assert (result.state, result.errors) == ("failed", ["ada rejected the plan: too dear"])
        assert calls(agents) == set()


async def test_a_plan_is_changed_before_it_is_begun(make: Make) -> None:
    async with make() as orchestrator:
        agents = world(orchestrator)
        asked = await orchestrator.execute_orchestrated_request(REQUEST, approve=["plan"])
        events = await orchestrator.services.memory.events(asked.run_id)
        (plan,) = [event["plan"] for event in events if event["type"] == "PlanMade"]
        assert isinstance(plan, dict)
        tasks: Any = plan["tasks"]
        changed = [
            {**task, "description": "Write a haiku.", "depends_on": ["fetch", "aside"]}
            if task["id"] == "write"
            else task
            for task in tasks
        ]
        better = {**plan, "tasks": changed}
        broken = {**plan, "tasks": [task for task in tasks if task["id"] == "write"]}
        bad: list[tuple[Any, str]] = [
            (None, "whole changed plan"),
            ("x", "whole changed plan"),
            (broken, "which is not a task"),
            ({"tasks": []}, "at least one task"),
            ({**plan, "tasks": tasks[:1]}, "cannot be used"),
        ]
        for edit, why in bad:
            with pytest.raises(InputError, match=why):
                await orchestrator.approve(asked.run_id, "edit", edit=edit)
        await orchestrator.approve(asked.run_id, "edit", edit=better, by="ada")
        result = await orchestrator.resume(asked.run_id)
        assert (result.state, result.errors) == ("completed", [])
        assert calls(agents) == set(MAKES)
        task = agents["write"].assignments[0].task
        assert (task.description, task.depends_on) == ("Write a haiku.", ("fetch", "aside"))
        assert "edit by ada" in str(await orchestrator.explain(asked.run_id))


async def test_a_task_waits_while_the_others_go_on(make: Make) -> None:
    async with make() as orchestrator:
        agents = world(orchestrator)
        asked = await orchestrator.execute_orchestrated_request(
            REQUEST, approve=["task:documentation"]
        )
        assert [(a.id, a.task_id) for a in asked.approvals] == [("task:write", "write")]
        assert calls(agents) == {"fetch", "aside"}
        await orchestrator.approve(asked.run_id, "edit", edit="Write a haiku.")
        result = await orchestrator.resume(asked.run_id)
        assert result.success
        assert [agent.calls for agent in agents.values()] == [1, 1, 1, 1]
        assert agents["write"].assignments[0].task.description == "Write a haiku."


async def test_a_rejected_task_ends_its_branch_and_is_not_planned_again(make: Make) -> None:
    async with make() as orchestrator:
        agents = world(orchestrator)
        asked = await orchestrator.execute_orchestrated_request(
            REQUEST, approve=["task:documentation"]
        )
        await orchestrator.approve(asked.run_id, "reject", approval_id="task:write", comment="no")
        result = await orchestrator.resume(asked.run_id)
        assert result.state == "failed"
        assert result.errors == ["task 'write' failed: a person rejected the task: no"]
        assert calls(agents) == {"fetch", "aside"}


async def test_money_above_the_limit_is_asked_for_once_per_limit(make: Make) -> None:
    async with make(max_parallel_tasks=1) as orchestrator:
        agents = world(orchestrator)
        asked = await orchestrator.execute_orchestrated_request(REQUEST, approve=["cost:0.15"])
        (approval,) = asked.approvals
        assert (approval.kind, approval.id) == ("cost", "cost:0.15")
        assert len(calls(agents)) == 1
        with pytest.raises(InputError, match="amount of US dollars"):
            await orchestrator.approve(asked.run_id, "edit", edit="much")
        await orchestrator.approve(asked.run_id, "edit", edit=0.25)
        again = await orchestrator.resume(asked.run_id)
        assert [a.id for a in again.approvals] == ["cost:0.25"]
        assert len(calls(agents)) == 2
        await orchestrator.approve(asked.run_id)
        result = await orchestrator.resume(asked.run_id)
        assert result.success
        assert result.cost_usd == pytest.approx(0.4)


async def test_money_that_is_refused_is_not_spent(make: Make) -> None:
    async with make(max_parallel_tasks=1) as orchestrator:
        agents = world(orchestrator)
        asked = await orchestrator.execute_orchestrated_request(REQUEST, approve=["cost:0.15"])
        await orchestrator.approve(asked.run_id, "reject")
        result = await orchestrator.resume(asked.run_id)
        assert result.state == "failed"
        assert "rejected the cost" in result.errors[0]
        assert result.cost_usd == pytest.approx(0.1)
        assert len(calls(agents)) == 1


async def test_an_agents_own_question_is_answered_and_its_task_goes_on(make: Make) -> None:
    async with make() as orchestrator:
        agents = world(orchestrator)
        done = TaskOutput("facts", {"facts": "about cats"}, usage=Usage(cost_usd=0.1))
        skill = Skill("fetch", "f", (), (), ("facts",), 0.01, seconds=0.01)
        asking = FakeAgent("asking", Ask("cats or dogs?"), Ask("big ones?"), done, skills=[skill])
        orchestrator.register_agent(asking)
        asked = await orchestrator.execute_orchestrated_request(REQUEST)
        (approval,) = asked.approvals
        assert (asked.state, approval.kind) == ("waiting", "input")
        assert "agent 'asking' asks: cats or dogs?" in approval.question
        assert calls(agents) == {"aside"}
        with pytest.raises(InputError, match="asked for an answer"):
            await orchestrator.approve(asked.run_id)
        await orchestrator.approve(asked.run_id, "edit", edit="cats")
        (second,) = (await orchestrator.resume(asked.run_id)).approvals
        assert "big ones?" in second.question
        await orchestrator.approve(asked.run_id, "edit", edit="big ones")
        result = await orchestrator.resume(asked.run_id)
        assert result.success
        first, *answers = asking.messages
        assert [message.text for message in answers] == ["cats", "big ones"]
        assert len({m.message_id for m in asking.messages}) == 3
        assert len({m.task_id or first.message_id for m in asking.messages}) == 1
        assert calls(agents) == {"write", "aside", "close"}


async def test_an_unanswered_agent_gives_way_to_another(make: Make) -> None:
    async with make() as orchestrator:
        agents = world(orchestrator)
        skill = Skill("fetch", "f", (), (), ("facts",), 0.01, seconds=0.01)
        orchestrator.register_agent(FakeAgent("asking", Ask("why?"), skills=[skill]))
        asked = await orchestrator.execute_orchestrated_request(REQUEST)
        await orchestrator.approve(asked.run_id, "reject")
        result = await orchestrator.resume(asked.run_id)
        assert result.success
        (fetch,) = [task for task in result.tasks if task.id == "fetch"]
        assert [attempt.agent for attempt in fetch.attempts] == ["asking", "fetch"]
        assert agents["fetch"].calls == 1


async def test_what_a_part_of_a_run_asks_is_asked_by_the_whole(make: Make) -> None:
    async with make(OUTER) as first:
        agents = world(first)
        asked = await first.execute_orchestrated_request(REQUEST, approve=["task:testing"])
        (approval,) = asked.approvals
        assert (asked.state, approval.run_id) == ("waiting", f"{asked.run_id}~research~1")
        assert calls(agents) == {"aside"}
        with pytest.raises(InputError, match="is a part of run"):
            await first.resume(approval.run_id)
    async with make(OUTER) as second:
        agents = world(second)
        await second.approve(asked.run_id)
        result = await second.resume(asked.run_id)
        assert (result.state, result.errors) == ("completed", [])
        assert calls(agents) == {"fetch", "write", "close"}
        assert result.cost_usd == pytest.approx(0.4)
        assert [task.id for task in result.tasks[0].sub_requests[0].tasks] == ["fetch"]


async def test_a_decision_is_taken_in_while_other_tasks_go_on(make: Make) -> None:
    async with make() as orchestrator, make() as elsewhere:
        gate = asyncio.Event()

        async def slow(assignment: Any) -> dict[str, str]:
            await gate.wait()
            return {"extra": "slow"}

        agents = world(orchestrator, aside=Fail("not me"))
        skill = Skill("aside", "a", (), (), ("extra",), 0.001, seconds=0.01)
        orchestrator.register_agent(slow, name="slow", skills=[skill])
        asked = asyncio.Event()
        results: list[Any] = []

        async def work() -> None:
            events = orchestrator.stream(REQUEST, approve=["task:documentation"])
            async for event in events:
                if type(event).__name__ == "ApprovalRequested":
                    asked.set()
                results.append(event)

        working = asyncio.create_task(work())
        await asked.wait()
        (run,) = await orchestrator.runs()
        with pytest.raises(RunBusy, match="another process"):
            await elsewhere.approve(run.run_id)
        await orchestrator.approve(run.run_id, by="ada")
        gate.set()
        await working
        assert results[-1].result.success
        assert agents["write"].calls == 1


async def test_what_is_not_asked_cannot_be_decided(make: Make) -> None:
    async with make() as orchestrator:
        agents = world(orchestrator, fetch=Hang())
        with pytest.raises(UnknownRun):
            await orchestrator.approve("nowhere")
        asked = await orchestrator.execute_orchestrated_request(REQUEST, approve=["plan"])
        with pytest.raises(InputError, match="asks nothing of the name 'other': plan of run"):
            await orchestrator.approve(asked.run_id, approval_id="other")
        with pytest.raises(InputError, match="must be one of"):
            await orchestrator.approve(asked.run_id, "maybe")  # pyright: ignore[reportArgumentType]
        with pytest.raises(InputError, match="more than 2000"):
            await orchestrator.approve(asked.run_id, comment="x" * 2001)
        working = asyncio.create_task(orchestrator.execute_orchestrated_request(REQUEST))
        await agents["fetch"].started.wait()
        (run,) = await orchestrator.runs(state="running")
        with pytest.raises(InputError, match="waits for no decision"):
            await orchestrator.approve(run.run_id)
        await orchestrator.cancel(run.run_id)
        await working
