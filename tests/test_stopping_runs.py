"""Runs that are stopped at awkward moments: no end is lost, and none is told twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from planned_world import declare_plans, open_orchestrator

from genesis import Assignment, GenesisOrchestrator, Skill, TaskOutput
from genesis.errors import StoreError
from genesis.result import OrchestrationResult
from genesis.tasks.task import Usage
from genesis.testing import Ask, Fail, FakeAgent, FakeOutcome, Hang
from infrastructure.memory.finished_run import AcceptedRun
from infrastructure.memory.memori.runs import RunRecord

REQUEST = "Tell me something nice"
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
      - {id: aside, description: Aside., operation: aside, produces: [extra]}
      - {id: close, description: Close., operation: close, requires: [facts, extra],
         produces: [answer]}
  - name: inner
    asks: [facts]
    tasks:
      - {id: look, description: Look., operation: sub_request, produces: [seen]}
      - {id: fetch, description: Fetch., operation: fetch, task_type: testing, requires: [seen],
         produces: [facts]}
  - name: innermost
    asks: [seen]
    tasks:
      - {id: see, description: See., operation: see, task_type: debugging, produces: [seen]}
"""
MAKES: dict[str, tuple[tuple[str, ...], str]] = {
    "see": ((), "seen"),
    "fetch": (("seen",), "facts"),
    "aside": ((), "extra"),
    "close": (("facts", "extra"), "answer"),
}

Make = Callable[..., GenesisOrchestrator]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    declare_plans(tmp_path, OUTER, monkeypatch)

    def build(place: str = "", **settings: Any) -> GenesisOrchestrator:
        store = place or str(tmp_path / "memory.db")
        return open_orchestrator(tmp_path, db_path=store, **settings)

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


def calls(agents: dict[str, FakeAgent]) -> dict[str, int]:
    return {name: agent.calls for name, agent in agents.items() if agent.calls}


def shown(result: OrchestrationResult) -> dict[str, Any]:
    """All of a result but what two clocks say."""
    plain = json.loads(result.model_dump_json(exclude={"duration_s"}))

    def without_times(value: Any) -> Any:
        if isinstance(value, Mapping):
            named = cast("Mapping[str, Any]", value)
            return {k: without_times(v) for k, v in named.items() if k != "duration_s"}
        if isinstance(value, list):
            return [without_times(one) for one in cast("list[Any]", value)]
        return round(value, 9) if isinstance(value, float) else value

    return without_times(plain)


async def names_of(orchestrator: GenesisOrchestrator, run_id: str) -> list[str]:
    return [str(event["type"]) for event in await orchestrator.services.memory.events(run_id)]


async def states(orchestrator: GenesisOrchestrator, run_id: str) -> dict[str, str]:
    """Of a run and all its parts."""
    memory = orchestrator.services.memory
    found = [run_id, *await memory.parts(run_id)]
    held = [await memory.holder(name) for name in found]
    return {name: one.state if one else "" for name, one in zip(found, held, strict=True)}


class Gate:
    """Holds a call of the store back once it has happened, or before."""

    def __init__(self, owner: Any, name: str) -> None:
        self.reached, self.open = asyncio.Event(), asyncio.Event()
        self.before = False
        original = getattr(owner, name)

        async def held(*given: Any, **named: Any) -> Any:
            if self.before:
                self.reached.set()
                await self.open.wait()
            result = await original(*given, **named)
            self.reached.set()
            await self.open.wait()
            return result

        setattr(owner, name, held)


async def test_the_counts_of_cancellations_stay_right(make: Make) -> None:
    """A timeout or a task group around a request must go on working after it."""
    async with make() as orchestrator:
        agents = world(orchestrator, aside=Hang())
        counts: list[int] = []

        async def ask() -> OrchestrationResult:
            result = await orchestrator.execute_orchestrated_request(REQUEST)
            task = asyncio.current_task()
            assert task is not None
            counts.append(task.cancelling())
            return result

        asking = asyncio.create_task(ask())
        await agents["aside"].started.wait()
        (run,) = await orchestrator.runs()
        active = orchestrator.services.active.get(run.run_id)
        assert active is not None
        active.cancel("enough")
        await orchestrator.shutdown(0)  # cuts off what is being cancelled
        result = await asking
        assert (result.state, result.errors) == ("canceled", ["enough"])
        assert counts == [0]


async def test_who_is_cancelled_twice_over_stays_cancelled(make: Make) -> None:
    """The run is told to end, and at the same moment somebody cancels its caller."""
    async with make() as orchestrator:
        agents = world(orchestrator, aside=Hang())
        asking = asyncio.create_task(orchestrator.execute_orchestrated_request(REQUEST))
        await agents["aside"].started.wait()
        (run,) = await orchestrator.runs()
        active = orchestrator.services.active.get(run.run_id)
        assert active is not None
        active.cancel("enough")
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert (await orchestrator.run(run.run_id)).errors == ["enough"]


async def test_a_timeout_around_a_request_is_a_timeout(make: Make) -> None:
    async with make() as orchestrator:
        agents = world(orchestrator, aside=Hang())

        async def ask() -> None:
            async with asyncio.timeout(None) as limit:
                now = asyncio.get_running_loop().time
                started = asyncio.ensure_future(agents["aside"].started.wait())
                started.add_done_callback(lambda _: limit.reschedule(now()))
                await orchestrator.execute_orchestrated_request(REQUEST)

        with pytest.raises(TimeoutError):
            await ask()
        (run,) = await orchestrator.runs()
        assert run.state == "canceled"


async def test_a_second_cancel_does_not_lose_the_end(make: Make) -> None:
    async with make() as orchestrator:
        agents = world(orchestrator, aside=Hang())
        gate = Gate(orchestrator.services.memory, "finish")
        gate.before = True
        asking = asyncio.create_task(orchestrator.execute_orchestrated_request(REQUEST))
        await agents["aside"].started.wait()
        (run,) = await orchestrator.runs()
        asking.cancel()
        await gate.reached.wait()
        asking.cancel()
        await asyncio.sleep(0)
        asking.cancel()
        gate.open.set()
        with pytest.raises(asyncio.CancelledError):
            await asking
        # Whoever asks now gets the end; nobody has to wait for a lease.
        assert set((await states(orchestrator, run.run_id)).values()) == {"canceled"}
        assert not await orchestrator.cancel(run.run_id)


@pytest.mark.parametrize("how", ["cancel", "shutdown"])
@pytest.mark.parametrize("before", [True, False], ids=["before it is stored", "after"])
async def test_what_stops_a_run_that_is_being_stored_comes_too_late(
    make: Make, how: str, before: bool
) -> None:
    async with make() as orchestrator:
        world(orchestrator)
        events: list[str] = []

        async def ask() -> OrchestrationResult:
            async for event in orchestrator.stream(REQUEST):
                events.append(type(event).__name__)
                if events[-1] == "RunFinished":
                    return getattr(event, "result")  # noqa: B009 - the type is known by its name
            raise AssertionError("no end was told")

        # Its parts are stored first.
        finish, mine = orchestrator.services.memory.finish, asyncio.Event()
        gate = asyncio.Event()

        async def held(run: Any) -> bool:
            if run.parent_run_id or mine.is_set():
                return await finish(run)
            if before:
                mine.set()
                await gate.wait()
            new = await finish(run)
            mine.set()
            await gate.wait()
            return new

        orchestrator.services.memory.finish = held  # type: ignore[method-assign] - the moment cannot be met otherwise
        asking = asyncio.create_task(ask())
        await mine.wait()
        (run,) = await orchestrator.runs()
        if how == "cancel":
            assert not await orchestrator.cancel(run.run_id)
        else:
            await orchestrator.shutdown(0)
        gate.set()
        result = await asking
        assert (result.state, result.recorded) == ("completed", True)
        stored = await orchestrator.run(run.run_id)
        assert shown(stored) == shown(result)
        names = await names_of(orchestrator, run.run_id)
        assert names.count("RunEnded") == 1
        assert "RunPaused" not in names
        assert events.count("RunEnded") == 3  # its own and those of its two parts


async def test_a_request_that_is_cut_off_while_it_is_accepted_is_left_to_the_next(
    make: Make,
) -> None:
    async with make() as orchestrator:
        world(orchestrator)
        gate = Gate(orchestrator.services.memory, "accept")
        gate.before = True
        asking = asyncio.create_task(orchestrator.execute_orchestrated_request(REQUEST))
        await gate.reached.wait()
        stopping = asyncio.create_task(orchestrator.shutdown(0))
        await asyncio.sleep(0)
        gate.open.set()
        await stopping
        result = await asking
        assert result.state == "interrupted"
        assert await orchestrator.recover() == [result.run_id]
    async with make() as second:
        world(second)
        assert (await second.resume(result.run_id)).success


async def test_nothing_stays_claimed_by_whoever_gave_up(make: Make) -> None:
    async with make() as orchestrator:
        world(orchestrator)
        run_id = await orchestrator.accept(REQUEST)
        gate = Gate(orchestrator.services.memory, "claim")
        resuming = asyncio.create_task(orchestrator.resume(run_id))
        await gate.reached.wait()
        resuming.cancel()
        await asyncio.sleep(0)
        gate.open.set()
        with pytest.raises(asyncio.CancelledError):
            await resuming
        assert await orchestrator.recover() == [run_id]
        assert (await orchestrator.resume(run_id)).success


async def test_a_run_whose_part_waits_tells_it_everywhere(make: Make) -> None:
    async with make() as orchestrator:
        agents = world(orchestrator)
        asked = await orchestrator.execute_orchestrated_request(REQUEST, approve=["task:debugging"])
        (approval,) = asked.approvals
        assert approval.run_id.count("~") == 4
        assert shown(await orchestrator.run(asked.run_id)) == shown(asked)
        events = len(await orchestrator.services.memory.events(asked.run_id))
        assert shown(await orchestrator.resume(asked.run_id)) == shown(asked)
        assert len(await orchestrator.services.memory.events(asked.run_id)) == events
        assert await orchestrator.recover() == []
        await orchestrator.approve(approval.run_id)
        # Everything is decided: whoever looks for work finds it.
        assert await orchestrator.recover() == [asked.run_id]
        result = await orchestrator.resume(asked.run_id)
        assert result.success
        assert shown(await orchestrator.run(asked.run_id)) == shown(result)
        assert result.cost_usd == pytest.approx(0.4)
        assert calls(agents) == dict.fromkeys(MAKES, 1)


async def test_parts_that_wait_end_with_the_run(make: Make) -> None:
    async with make() as orchestrator:
        world(orchestrator)
        asked = await orchestrator.execute_orchestrated_request(REQUEST, approve=["task:testing"])
        assert set((await states(orchestrator, asked.run_id)).values()) == {"waiting", "completed"}
        assert await orchestrator.cancel(asked.run_id, "not needed")
        after = await states(orchestrator, asked.run_id)
        assert list(after.values()).count("canceled") == 2
        assert "waiting" not in after.values()
        stored = await orchestrator.run(asked.run_id)
        assert (stored.state, stored.approvals) == ("canceled", [])
        # `see` and `aside` were paid, though no task of the run ended with what `see` made.
        assert stored.cost_usd == pytest.approx(0.2)
        for part in after:
            assert (await names_of(orchestrator, part))[-1] == "RunEnded"


async def test_what_a_resting_part_asks_is_decided_while_the_rest_goes_on(make: Make) -> None:
    async with make() as orchestrator:
        gate, working = asyncio.Event(), asyncio.Event()

        async def slow(assignment: Assignment) -> dict[str, str]:
            working.set()
            await gate.wait()
            return {"extra": "slow"}

        agents = world(orchestrator, aside=Fail("not me"))
        skill = Skill("aside", "a", (), (), ("extra",), 0.001, seconds=0.01)
        orchestrator.register_agent(slow, name="slow", skills=[skill])
        asking = asyncio.create_task(
            orchestrator.execute_orchestrated_request(REQUEST, approve=["task:testing"])
        )
        await working.wait()
        (run,) = await orchestrator.runs()
        while not (await orchestrator.run(run.run_id)).approvals:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0)
        await orchestrator.approve(run.run_id, by="ada")
        gate.set()
        result = await asking
        assert (result.state, result.errors) == ("completed", [])
        assert calls(agents) == {"see": 1, "fetch": 1, "close": 1}
        assert "RunPaused" not in await names_of(orchestrator, run.run_id)


async def test_an_attempt_that_ended_is_not_made_again_when_the_next_was_answered(
    make: Make,
) -> None:
    async with make() as orchestrator:
        gate, working = asyncio.Event(), asyncio.Event()

        async def slow(assignment: Assignment) -> dict[str, str]:
            working.set()
            await gate.wait()
            return {"seen": "slowly"}

        agents = world(orchestrator)
        quick = Skill("aside", "a", (), (), ("extra",), 0.001, seconds=0.001)
        first = FakeAgent("first", Fail("no"), skills=[quick])
        done = TaskOutput("x", {"extra": "x"}, usage=Usage(cost_usd=0.1))
        asks = Skill("aside", "a", (), (), ("extra",), 0.002, seconds=0.01)
        second = FakeAgent("second", Ask("which?"), done, skills=[asks])
        orchestrator.register_agent(first)
        orchestrator.register_agent(second)
        sees = Skill("see", "s", (), (), ("seen",), 0.001, seconds=0.001)
        orchestrator.register_agent(slow, name="slow", skills=[sees])
        asking = asyncio.create_task(orchestrator.execute_orchestrated_request(REQUEST))
        await working.wait()
        await second.ended.wait()
        (run,) = await orchestrator.runs()
        while not (await orchestrator.run(run.run_id)).approvals:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0)
        await orchestrator.approve(run.run_id, "edit", edit="this one")
        gate.set()
        result = await asking
        assert result.success
        assert (first.calls, second.calls) == (1, 2)
        assert len({m.message_id for m in second.messages}) == 2
        assert calls(agents) == {"fetch": 1, "close": 1}
        assert shown(await orchestrator.run(run.run_id)) == shown(result)


async def test_what_was_interrupted_goes_on_though_something_else_waits(make: Make) -> None:
    async with make() as first:
        agents = world(first, aside=Hang())
        asking = asyncio.create_task(
            first.execute_orchestrated_request(REQUEST, approve=["task:testing"])
        )
        await agents["aside"].started.wait()
        while True:
            (run,) = await first.runs()
            if (await first.run(run.run_id)).approvals:
                break
        await first.shutdown(0)
        await asking
    async with make() as second:
        agents = world(second)
        assert await second.recover() == [run.run_id]
        result = await second.resume(run.run_id)
        assert result.state == "waiting"
        assert calls(agents) == {"aside": 1}
        assert await second.recover() == []


async def test_who_held_a_run_is_shut_out_by_a_decision(make: Make) -> None:
    """A process that slept longer than its lease must not write over the decision."""
    async with make() as first, make() as second:
        world(first)
        world(second)
        asked = await first.execute_orchestrated_request(REQUEST, approve=["plan"])
        memory = second.services.memory
        held = await memory.claim(asked.run_id, "sleeper", 0.0)
        assert held is not None
        events = len(await memory.events(asked.run_id))
        await second.approve(asked.run_id)
        late = '{"type":"TaskEnded"}'
        with pytest.raises(StoreError, match="taken over"):
            await memory.append(asked.run_id, [late], events + 1, held.fence)
        assert (await memory.events(asked.run_id))[-1]["type"] == "ApprovalDecided"


async def test_an_event_never_takes_the_place_of_another(make: Make) -> None:
    async with make() as orchestrator:
        memory = orchestrator.services.memory
        await memory.accept(AcceptedRun(RunRecord("r", "s", "x", 1.0), events=('{"n":1}',)))
        assert await memory.append("r", ['{"n":1}', '{"n":2}'], 1) == 2
        with pytest.raises(StoreError, match="other events"):
            await memory.append("r", ['{"n":3}', '{"n":4}'], 2)
        assert await memory.events("r") == [{"n": 1}, {"n": 2}]


async def test_a_run_that_cannot_be_read_can_still_be_ended(make: Make, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    async with make() as orchestrator, make(workspace=tmp_path / "elsewhere") as other:
        world(orchestrator)
        record = RunRecord("odd", "s", REQUEST, 1.0)
        lines = ('{"type":"RunAccepted","at":1}',)
        assert await orchestrator.services.memory.accept(AcceptedRun(record, events=lines))
        run_id = await orchestrator.accept(REQUEST)
        assert await orchestrator.cancel("odd")
        assert await other.cancel(run_id, "enough")
        assert {run.run_id: run.state for run in await orchestrator.runs()} == {
            "odd": "canceled",
            run_id: "canceled",
        }
        assert "enough" in (await orchestrator.run(run_id)).errors
        assert await orchestrator.recover() == []


async def test_a_cancel_that_meets_a_pause_ends_the_run(make: Make) -> None:
    async with make() as first, make() as second:
        world(first)
        gate = Gate(first.services.memory, "append")
        gate.before = True
        asking = asyncio.create_task(first.execute_orchestrated_request(REQUEST, approve=["plan"]))
        await gate.reached.wait()
        (run,) = await second.runs()
        await second.services.memory.request_cancel(run.run_id, "too late to ask")
        gate.open.set()
        result = await asking
        assert (result.state, result.errors) == ("canceled", ["too late to ask"])
        assert (await second.run(run.run_id)).state == "canceled"
