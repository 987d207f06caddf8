"""A run goes on from its journal: what is there is not done again, whoever works on it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from planned_world import declare_plans, open_orchestrator

from genesis import GenesisOrchestrator, Skill, TaskOutput
from genesis.errors import InputError, Overloaded, RunBusy, StoreError, UnknownRun
from genesis.result import OrchestrationResult
from genesis.tasks.task import Usage
from genesis.testing import Fail, FakeAgent, FakeOutcome, Hang
from infrastructure.memory.finished_run import AcceptedRun
from infrastructure.memory.memori.retention import prune_journals
from infrastructure.memory.memori.runs import RunRecord
from infrastructure.processes import this_process

REQUEST = "Tell me something nice"
PLAN = """
deliverables: {}
asked: {general: {always: [answer]}}
templates:
  - name: diamond
    task_types: [general]
    asks: [answer]
    tasks:
      - {id: fetch, description: Fetch., operation: fetch, produces: [facts]}
      - {id: left, description: Left., operation: left, requires: [facts], produces: [one]}
      - {id: right, description: Right., operation: right, requires: [facts], produces: [two]}
      - {id: join, description: Join., operation: join, requires: [one, two], produces: [answer]}
"""
NEEDS: dict[str, tuple[tuple[str, ...], str]] = {
    "fetch": ((), "facts"),
    "left": (("facts",), "one"),
    "right": (("facts",), "two"),
    "join": (("one", "two"), "answer"),
}

Make = Callable[..., GenesisOrchestrator]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    declare_plans(tmp_path, PLAN, monkeypatch)

    def build(store: str = "memory.db", **settings: Any) -> GenesisOrchestrator:
        return open_orchestrator(tmp_path, db_path=str(tmp_path / store), **settings)

    return build


def world(
    orchestrator: GenesisOrchestrator,
    scripts: Mapping[str, FakeOutcome | Sequence[FakeOutcome]] | None = None,
    cost_usd: float = 0.125,
) -> dict[str, FakeAgent]:
    """An agent per operation, and a dearer one for `right`; scripts may say what they do."""
    agents: dict[str, FakeAgent] = {}
    for name in (*NEEDS, "again"):
        operation = "right" if name == "again" else name
        requires, makes = NEEDS[operation]
        done = TaskOutput(f"by {name}", {makes: f"by {name}"}, usage=Usage(cost_usd=cost_usd))
        script = (scripts or {}).get(name, done)
        outcomes = (
            [script] if not isinstance(script, Sequence) or isinstance(script, str) else script
        )
        seconds = 5.0 if name == "again" else 0.1
        skill = Skill(
            operation, operation, ("general",), requires, (makes,), cost_usd, seconds=seconds
        )
        agents[name] = FakeAgent(name, *outcomes, skills=[skill])
        orchestrator.register_agent(agents[name])
    return agents


def calls(agents: Mapping[str, FakeAgent]) -> dict[str, int]:
    return {name: agent.calls for name, agent in agents.items() if agent.calls}


async def lines_of(orchestrator: GenesisOrchestrator, run_id: str) -> list[str]:
    return [json.dumps(event) for event in await orchestrator.services.memory.events(run_id)]


async def plant(
    orchestrator: GenesisOrchestrator, run_id: str, lines: Sequence[str], owner: str = ""
) -> None:
    """Leave the beginning of a run behind, as a process does that dies."""
    now = orchestrator.services.clock.now()
    record = RunRecord(run_id, "s", REQUEST, now)
    accepted = AcceptedRun(record, events=tuple(lines), owner=owner, until=now + 3600)
    assert await orchestrator.services.memory.accept(accepted)


def ended_tasks(lines: Sequence[str]) -> set[str]:
    events = [json.loads(line) for line in lines]
    return {event["task_id"] for event in events if event["type"] == "TaskEnded"}


def told(result: OrchestrationResult) -> list[Any]:
    return [
        (task.id, task.status, task.agent, [(a.agent, a.outcome) for a in task.attempts])
        for task in result.tasks
    ]


@pytest.mark.parametrize("right", [None, Fail("not today")], ids=["straight", "escalated"])
async def test_a_run_goes_on_wherever_its_journal_ends(make: Make, right: Fail | None) -> None:
    scripts = {"right": right} if right else {}
    async with make() as whole:
        agents = world(whole, scripts)
        undisturbed = await whole.execute_orchestrated_request(REQUEST, "s")
        assert undisturbed.success
        assert calls(agents) == {**dict.fromkeys(NEEDS, 1), **({"again": 1} if right else {})}
        lines = await lines_of(whole, undisturbed.run_id)
        for kept in range(1, len(lines)):
            before = calls(agents)
            run_id = f"r{kept}"
            began = [line.replace(undisturbed.run_id, run_id) for line in lines[:kept]]
            again = whole.for_tenant(f"cut after {kept}")
            await plant(again, run_id, began)
            assert await again.recover() == [run_id]
            result = await again.resume(run_id)
            assert (result.state, result.errors) == ("completed", [])
            assert told(result) == told(undisturbed)
            assert result.output == undisturbed.output
            asked = {name for name, count in calls(agents).items() if count > before[name]}
            assert not ended_tasks(began) & asked, (
                "a task whose result was journalled started again"
            )
            assert result.cost_usd >= undisturbed.cost_usd - 1e-9
            stored = await again.run(run_id)
            assert stored.state == "completed"
            assert told(stored) == told(undisturbed)
            assert await again.recover() == []


async def test_work_under_way_is_sent_again_under_its_key(make: Make) -> None:
    async with make() as first:
        agents = world(first, {"left": Hang()})
        running = asyncio.create_task(first.execute_orchestrated_request(REQUEST))
        await agents["left"].started.wait()
        await agents["right"].ended.wait()
        stopped = await first.shutdown(0)
        result = await running
        assert (result.state, result.success) == ("interrupted", False)
        assert stopped == [result.run_id]
        with pytest.raises(Overloaded):
            await first.execute_orchestrated_request(REQUEST)
    async with make() as second:
        others = world(second)
        assert await second.recover() == [result.run_id]
        resumed = await second.resume(result.run_id)
        assert resumed.state == "completed"
        assert calls(others) == {"left": 1, "join": 1}
        sent = [agents["left"].messages[0].message_id, others["left"].messages[0].message_id]
        assert sent[0] == sent[1] == f"{result.run_id}:left:1"
        # What was under way may have cost what it was expected to cost.
        assert resumed.cost_usd == pytest.approx(5 * 0.125)
        assert [task.status for task in resumed.tasks] == ["completed"] * 4


async def test_a_shutdown_lets_attempts_end_and_begins_nothing_new(make: Make) -> None:
    asked, release = asyncio.Event(), asyncio.Event()

    async def slow(assignment: Any) -> dict[str, str]:
        asked.set()
        await release.wait()
        return {"facts": "slowly"}

    async with make() as first:
        agents = world(first, {"fetch": Fail("no")})
        first.register_agent(slow, name="slow", skills=[Skill("fetch", "f", (), (), ("facts",))])
        running = asyncio.create_task(first.execute_orchestrated_request(REQUEST))
        await asked.wait()
        stopping = asyncio.create_task(first.shutdown(30))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await first.accept(REQUEST)
        release.set()
        await stopping
        result = await running
    assert result.state == "interrupted"
    assert {task.id: task.status for task in result.tasks} == {"fetch": "completed"}
    assert "left" not in calls(agents)
    async with make() as second:
        others = world(second)
        assert (await second.resume(result.run_id)).success
        assert calls(others) == {"left": 1, "right": 1, "join": 1}


async def test_two_that_resume_the_same_run_do_not_both_work_on_it(make: Make) -> None:
    async with make() as first, make() as second:
        agents, others = world(first), world(second)
        run_id = await first.accept(REQUEST)
        both = await asyncio.gather(
            first.resume(run_id), second.resume(run_id), return_exceptions=True
        )
        refused = [outcome for outcome in both if isinstance(outcome, RunBusy)]
        done = [outcome for outcome in both if isinstance(outcome, OrchestrationResult)]
        assert len(done) == 2 - len(refused)
        assert all(outcome.success for outcome in done)
        for name in NEEDS:
            assert agents[name].calls + others[name].calls == 1
        if refused:
            assert "worked on by another process" in str(refused[0])


async def test_one_process_does_not_work_on_a_run_twice(make: Make) -> None:
    async with make() as orchestrator:
        agents = world(orchestrator, {"fetch": Hang()})
        run_id = await orchestrator.accept(REQUEST)
        running = asyncio.create_task(orchestrator.resume(run_id))
        await agents["fetch"].started.wait()
        with pytest.raises(RunBusy, match="by this process"):
            await orchestrator.resume(run_id)
        assert await orchestrator.recover() == []
        assert (await orchestrator.run(run_id)).state == "running"
        await orchestrator.cancel(run_id, "enough")
        result = await running
    assert (result.state, result.errors) == ("canceled", ["enough"])


async def test_a_run_of_a_dead_process_need_not_wait_for_its_lease(make: Make) -> None:
    machine, _, started, _ = this_process("x").split("|")
    dead = "|".join((machine, "999999999", started, "x"))
    elsewhere = "another machine|1|1|x"
    async with make() as orchestrator:
        world(orchestrator)
        whole = await orchestrator.execute_orchestrated_request(REQUEST)
        lines = await lines_of(orchestrator, whole.run_id)
        for run_id, owner in (("here", dead), ("there", elsewhere)):
            began = [line.replace(whole.run_id, run_id) for line in lines[:3]]
            await plant(orchestrator, run_id, began, owner)
        assert await orchestrator.recover() == ["here"]
        assert (await orchestrator.resume("here")).success
        with pytest.raises(RunBusy, match=r"its lease ends in \d+ s"):
            await orchestrator.resume("there")


async def test_a_process_that_was_taken_for_dead_writes_no_more(make: Make) -> None:
    async with make() as first, make() as second:
        agents = world(first, {"right": Hang()})
        running = asyncio.create_task(first.execute_orchestrated_request(REQUEST))
        await agents["right"].started.wait()
        (run,) = await first.runs()
        memory = second.services.memory
        held = await memory.holder(run.run_id)
        assert held is not None
        taken = await memory.claim(run.run_id, "thief", 60, dead=held.owner)
        assert taken is not None
        assert taken.fence == held.fence + 1
        await first.shutdown(0)
        with pytest.raises(RunBusy, match="taken over"):
            await running
        assert "RunPaused" not in str(await memory.events(run.run_id))


async def test_accepting_twice_under_one_id_is_accepting_once(make: Make) -> None:
    async with make() as orchestrator:
        agents = world(orchestrator)
        assert await orchestrator.accept(REQUEST, run_id="mine") == "mine"
        assert await orchestrator.accept(REQUEST, run_id="mine") == "mine"
        with pytest.raises(InputError, match="another request"):
            await orchestrator.accept("Tell me something else", run_id="mine")
        with pytest.raises(InputError, match="run_id must be"):
            await orchestrator.accept(REQUEST, run_id="a~b")
        with pytest.raises(InputError, match="run_id must be"):
            await orchestrator.accept(REQUEST, run_id=5)  # pyright: ignore[reportArgumentType]
        assert calls(agents) == {}
        first = await orchestrator.resume("mine")
        again = await orchestrator.resume("mine")
        assert told(first) == told(again)
        assert calls(agents) == dict.fromkeys(NEEDS, 1)
        assert await orchestrator.accept(REQUEST, run_id="mine") == "mine"


async def test_what_cannot_be_resumed_says_why(make: Make, tmp_path: Path) -> None:
    async with make() as orchestrator:
        world(orchestrator)
        with pytest.raises(UnknownRun, match="nowhere"):
            await orchestrator.resume("nowhere")
        with pytest.raises(InputError, match="budget_usd"):
            await orchestrator.resume("nowhere", budget_usd=-1)
        await plant(orchestrator, "empty", [])
        with pytest.raises(StoreError, match="it is empty"):
            await orchestrator.resume("empty")
        await plant(orchestrator, "odd", ['{"type":"RunAccepted","at":1}'])
        with pytest.raises(StoreError, match="cannot be read"):
            await orchestrator.resume("odd")
        run_id = await orchestrator.accept(REQUEST)
    (tmp_path / "other").mkdir()
    async with make(workspace=tmp_path / "other") as elsewhere:
        with pytest.raises(InputError, match="accepted for the workspace"):
            await elsewhere.resume(run_id)
        assert await elsewhere.recover() == ["empty", "odd", run_id]


async def test_money_spent_before_counts_and_a_new_limit_can_be_given(make: Make) -> None:
    async with make() as first:
        agents = world(first, {"left": Hang()})
        running = asyncio.create_task(first.execute_orchestrated_request(REQUEST, budget_usd=0.5))
        await agents["left"].started.wait()
        await agents["right"].ended.wait()
        await first.shutdown(0)
        run_id = (await running).run_id
    async with make() as second:
        others = world(second)
        result = await second.resume(run_id)  # fetch, left (lost), right, left again: no money left
        assert (result.state, result.success) == ("failed", False)
        assert "budget" in result.errors[0]
        assert calls(others) == {"left": 1}
        statuses = {task.id: task.status for task in result.tasks}
        assert statuses == {
            "fetch": "completed", "left": "completed", "right": "completed", "join": "failed"
        }  # fmt: skip
    async with make("richer.db") as third:
        agents = world(third, {"left": Hang()})
        running = asyncio.create_task(third.execute_orchestrated_request(REQUEST, budget_usd=0.5))
        await agents["left"].started.wait()
        await agents["right"].ended.wait()
        await third.shutdown(0)
        run_id = (await running).run_id
    async with make("richer.db") as fourth:
        world(fourth)
        assert (await fourth.resume(run_id, budget_usd=2)).success


async def test_a_cancel_reaches_a_run_wherever_it_is(make: Make) -> None:
    async with make(run_lease_s=0.2) as first, make() as second:
        agents = world(first, {"fetch": Hang()})
        world(second)
        running = asyncio.create_task(first.execute_orchestrated_request(REQUEST))
        await agents["fetch"].started.wait()
        (run,) = await second.runs()
        assert await second.cancel(run.run_id, "not needed any more")
        result = await running
        assert (result.state, result.errors) == ("canceled", ["not needed any more"])
        assert agents["fetch"].canceled == 1
        waiting = await second.accept(REQUEST)
        assert await second.cancel(waiting)
        assert (await second.run(waiting)).state == "canceled"
        assert not await second.cancel(waiting)
        with pytest.raises(UnknownRun):
            await second.cancel("nowhere")


async def test_a_run_is_followed_live_from_the_store_and_from_elsewhere(make: Make) -> None:
    async with make() as first, make() as second:
        agents = world(first, {"left": Hang()})
        world(second)
        run_id = await first.accept(REQUEST)
        running = asyncio.create_task(first.resume(run_id))
        await agents["left"].started.wait()

        async def seen(orchestrator: GenesisOrchestrator, after: int = 0) -> list[Any]:
            return [entry async for entry in orchestrator.follow(run_id, after=after)]

        live = asyncio.create_task(seen(first))
        far = asyncio.create_task(seen(second))
        await agents["right"].ended.wait()
        await first.cancel(run_id)
        await running
        kept = [entry for entry in await live if entry.seq is not None]
        assert [entry.seq for entry in kept] == list(range(1, len(kept) + 1))
        assert [e.event["type"] for e in kept] == [e.event["type"] for e in await far]
        assert kept[-1].event["type"] == "RunEnded"
        assert [e.seq for e in await seen(second, after=3)] == [e.seq for e in kept][3:]
        with pytest.raises(UnknownRun):
            await anext(first.follow("nowhere"))


async def test_tenants_share_agents_and_see_nothing_of_each_other(make: Make) -> None:
    async with make() as ours:
        agents = world(ours)
        theirs = ours.for_tenant("theirs")
        assert theirs is ours.for_tenant("theirs")
        mine = await ours.execute_orchestrated_request(REQUEST)
        other = await theirs.execute_orchestrated_request(REQUEST)
        assert calls(agents) == dict.fromkeys(NEEDS, 2)
        assert [run.run_id for run in await ours.runs()] == [mine.run_id]
        assert [run.run_id for run in await theirs.runs()] == [other.run_id]
        assert other.recalled.attempts_known == 0
        for ask in (theirs.run, theirs.resume, theirs.cancel, theirs.explain):
            with pytest.raises(UnknownRun):
                await ask(mine.run_id)
        with pytest.raises(UnknownRun):
            await anext(theirs.follow(mine.run_id))
        await ours.shutdown(0)
        with pytest.raises(Overloaded):
            await theirs.accept(REQUEST)


async def test_too_many_that_wait_are_refused_and_nothing_is_stored_of_them(make: Make) -> None:
    async with make(max_concurrent_runs=1, max_waiting_runs=1) as orchestrator:
        agents = world(orchestrator, {"fetch": Hang()})
        first = asyncio.create_task(orchestrator.execute_orchestrated_request(REQUEST))
        await agents["fetch"].started.wait()
        second = asyncio.create_task(orchestrator.execute_orchestrated_request(REQUEST))
        while not orchestrator.statistics.waiting:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="max_waiting_runs"):
            await orchestrator.execute_orchestrated_request(REQUEST)
        assert orchestrator.statistics.refused == 1
        assert len(await orchestrator.runs()) == 1
        for task in (first, second):
            task.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        assert orchestrator.statistics.active == 0


async def test_a_run_whose_journal_was_pruned_says_so(make: Make) -> None:
    async with make() as orchestrator:
        world(orchestrator)
        result = await orchestrator.execute_orchestrated_request(REQUEST)
        await prune_journals(orchestrator.services.memory.memori, keep=0)
        for ask in (orchestrator.run, orchestrator.resume, orchestrator.explain):
            with pytest.raises(StoreError, match="was pruned"):
                await ask(result.run_id)
        (run,) = await orchestrator.runs()
        assert run.state == "completed"
        assert not await orchestrator.cancel(run.run_id)


async def test_a_run_is_left_to_a_program_that_knows_its_agents(make: Make) -> None:
    async with make() as first:
        agents = world(first, {"left": Hang()})
        running = asyncio.create_task(first.execute_orchestrated_request(REQUEST))
        await agents["left"].started.wait()
        await first.shutdown(0)
        run_id = (await running).run_id
    async with make() as stranger:
        with pytest.raises(InputError, match=r"not registered here \(join, left"):
            await stranger.resume(run_id)
        assert await stranger.recover() == [run_id]
    async with make() as second:
        world(second)
        assert (await second.resume(run_id)).success
