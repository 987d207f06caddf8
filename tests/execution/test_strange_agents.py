"""Agents that raise what none should, answer twice, refuse to stop, send garbage, never wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from attempt_world import TASK, World, outcomes

from genesis.agents import adapters
from genesis.agents.assignment import Assignment
from genesis.errors import InputError, ModelError
from genesis.execution import answer, delivery
from genesis.execution.approvals import ApprovalPolicy, Decision
from genesis.execution.events import AttemptProgress
from genesis.tasks.checks import Check, Submission
from genesis.tasks.task import (
    Acceptance,
    AttemptOutcome,
    Task,
    TaskOutput,
    TaskStatus,
    Usage,
    Verdict,
)
from genesis.testing import Ask, Fail, FakeAgent
from infrastructure.a2a.types import (
    EXTENSION,
    AgentEvent,
    Artifact,
    ArtifactUpdate,
    Message,
    Part,
    StatusUpdate,
    TaskState,
)
from infrastructure.resilience.budget import Budget

O = AttemptOutcome  # noqa: E741 - a table of outcomes reads better without the long name
DONE = StatusUpdate("t", "c", TaskState.COMPLETED)


class Abort(BaseException):
    """What no agent should raise: some test and async libraries have such."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (adapters, delivery):
        monkeypatch.setattr(module, "STOP_GRACE_S", 0.01)


class Sends(FakeAgent):
    """Sends these events and then does something else."""

    def __init__(self, name: str, *events: Any, then: Callable[[], Any] | None = None) -> None:
        super().__init__(name)
        self._sent, self._then = events, then

    async def send(self, message: Message) -> AsyncGenerator[AgentEvent]:
        self.started.set()
        for event in self._sent:
            yield event
        if self._then is not None:
            await self._then()


def _artifact(text: str) -> ArtifactUpdate:
    return ArtifactUpdate("t", "c", Artifact("a", (Part(text=text),)))


@pytest.mark.parametrize("error", [SystemExit(3), Abort("enough")])
@pytest.mark.parametrize("kind", ["stream", "async", "sync"])
async def test_what_no_agent_should_raise_fails_its_attempt_alone(
    world: World, kind: str, error: BaseException
) -> None:
    async def later(assignment: Assignment | None = None) -> str:
        raise error

    def now(assignment: Assignment) -> str:
        raise error

    if kind == "stream":
        world.add(Sends("bad", then=later))
    else:
        world.registry.register(later if kind == "async" else now, name="bad", skills=["s"])
    world.add(FakeAgent("good"))
    result = await world.run(TASK, "bad", "good")
    assert outcomes(result) == [O.FAILED, O.VERIFIED]
    assert "3" in result.attempts[0].reason or "Abort: enough" in result.attempts[0].reason


async def test_a_check_that_ends_the_process_proves_nothing(world: World) -> None:
    async def leaves(submission: Submission) -> Verdict:
        raise SystemExit("token=Bearer abcdef0123456789")

    checks: dict[str, Check] = {"leaves": leaves}
    world.registry.register(FakeAgent("a"), checks=checks)
    result = await world.run(Task("t", "x", "general", acceptance=(Acceptance("leaves"),)), "a")
    assert outcomes(result) == [O.REJECTED]
    assert "SystemExit" in result.error
    assert "abcdef" not in result.error


async def test_the_first_end_counts_and_nothing_after_it_is_waited_for(world: World) -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    world.add(Sends("twice", _artifact("one"), DONE, _artifact("two"), DONE, then=hang))
    async with asyncio.timeout(5):
        result = await world.run(TASK, "twice")
    assert result.output is not None
    assert result.output.text == "one"


@pytest.mark.parametrize("garbage", [None, "done", 5, {"kind": "task"}, object()])
async def test_garbage_is_no_answer(world: World, garbage: object) -> None:
    world.add(Sends("garbage", garbage, _artifact("x"), DONE), FakeAgent("good"))
    result = await world.run(TASK, "garbage", "good")
    assert outcomes(result) == [O.UNAVAILABLE, O.VERIFIED]
    assert "no event of A2A" in result.attempts[0].reason


async def test_a_flood_of_progress_is_bounded_and_lets_others_run(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer, "MAX_EVENTS", 5_000)
    said = Message("m", "agent", (Part(text="still at it"),))

    class Floods(FakeAgent):
        async def send(self, message: Message) -> AsyncGenerator[AgentEvent]:
            while True:  # and never waits
                yield StatusUpdate("t", "c", TaskState.WORKING, said)

    world.add(Floods("floods"))
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())
    result = await world.run(TASK, "floods")
    beside.cancel()
    assert "more than 5000 events" in result.error
    assert turns > 50
    told = [event for event in world.events if isinstance(event, AttemptProgress)]
    assert len(told) == answer.MAX_PROGRESS


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", ["stream", "function"])
@pytest.mark.parametrize("swallows", [asyncio.CancelledError, BaseException])
async def test_an_agent_that_refuses_to_stop_holds_nobody_up(
    world: World, kind: str, swallows: type[BaseException]
) -> None:
    asked = asyncio.Event()

    async def refuses(assignment: Assignment | None = None) -> str:
        while True:
            asked.set()
            try:
                await asyncio.Event().wait()
            except swallows:
                continue

    if kind == "stream":
        world.add(Sends("stubborn", then=refuses))
    else:
        world.registry.register(refuses, name="stubborn", skills=["s"])
    world.add(FakeAgent("good"))
    before, inline = len(asyncio.all_tasks()), kind == "stream"
    async with asyncio.timeout(5):
        task = Task("t", "x", "general", timeout_s=0.01)
        assert outcomes(await world.run(task, "stubborn", "good")) == [O.TIMEOUT, O.VERIFIED]
        asked.clear()
        running = asyncio.create_task(world.run(TASK, "stubborn"))
        await asked.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert len(asyncio.all_tasks()) == before  # nothing of them is left running
    assert world.slots.statistics["stubborn"].active == 0
    # The time-out counts against it; so does a refusal, where its frames are ours to see.
    assert world.breakers.of("stubborn").statistics.failures_in_a_row == (2 if inline else 1)


async def test_an_answer_given_instead_of_stopping_ends_no_cancelled_run(world: World) -> None:
    started = asyncio.Event()

    @world.registry.agent(name="late", skills=["late"])
    async def late(assignment: Assignment) -> str:
        started.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return "a partial answer"

    running = asyncio.create_task(world.run(TASK, "late"))
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_rate_limit_is_waited_for_as_long_as_it_asks(world: World) -> None:
    world.tries = 3
    asked: list[float] = []

    @world.registry.agent(name="limited", skills=["limited"])
    async def limited(assignment: Assignment) -> str:
        asked.append(world.clock.monotonic())
        if len(asked) < 2:
            raise ModelError("429", retryable=True, retry_after_s=20.0)
        return "hello"

    assert outcomes(await world.run(TASK, "limited")) == [O.VERIFIED]
    assert 20 <= asked[1] - asked[0] < 21
    asked.clear()
    world.deadline = world.clock.monotonic() + 10
    world.add(FakeAgent("other"))
    # It would have to wait beyond the deadline, so the next agent is asked at once.
    assert outcomes(await world.run(TASK, "limited", "other")) == [O.UNAVAILABLE, O.VERIFIED]
    assert len(asked) == 1


async def test_what_an_agent_had_consumed_when_it_was_cut_off_is_paid(world: World) -> None:
    ours = {EXTENSION: {"usage": {"cost_usd": 0.125}}}
    told = ArtifactUpdate("t", "c", Artifact("a", (Part(text="half"),), metadata=ours))

    async def hang() -> None:
        hanging.set()
        await asyncio.Event().wait()

    hanging = asyncio.Event()
    world.add(Sends("tells", told, then=hang))
    running = asyncio.create_task(world.run(TASK, "tells", cost=1.0))
    await hanging.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert world.budget.statistics.spent_usd == 0.125


async def test_nothing_is_paid_for_an_agent_that_never_was_free(world: World) -> None:
    busy = FakeAgent("busy", "x", max_concurrency=1)
    world.add(busy)
    async with world.slots.use(busy.card):
        waiting = asyncio.create_task(world.run(TASK, "busy", cost=1.0))
        await asyncio.sleep(0)
        assert world.slots.statistics["busy"].waiting == 1
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert world.budget.statistics.spent_usd == 0


async def test_runs_that_wait_for_an_agent_get_it_in_their_order(world: World) -> None:
    world.add(FakeAgent("a", "x", max_concurrency=1))
    order: list[str] = []

    async def one(name: str) -> None:
        await world.run(Task(name, "x", "general"), "a")
        order.append(name)

    names = [f"t{i}" for i in range(12)]
    async with asyncio.TaskGroup() as group:
        cancelled = [group.create_task(one(name)) for name in names][5]
        await asyncio.sleep(0)
        cancelled.cancel()
    assert order == [name for name in names if name != "t5"]


async def test_a_budget_is_used_to_its_last_cent(world: World) -> None:
    world.budget = Budget(0.3)
    world.add(FakeAgent("a", TaskOutput("x", usage=Usage(cost_usd=0.1))))
    results = await asyncio.gather(
        *(world.run(Task(f"t{i}", "x", "general"), "a", cost=0.1) for i in range(4))
    )
    assert [r.status for r in results].count(TaskStatus.COMPLETED) == 3
    assert [r.attempts[0].outcome for r in results].count(O.OVER_BUDGET) == 1
    assert world.budget.statistics.spent_usd == pytest.approx(0.3)


async def test_half_open_a_cancelled_trial_lets_the_next_one_try(world: World) -> None:
    for _ in range(2):
        world.breakers.of("a").enter().failed()
    world.clock.advance(30)
    gate = asyncio.Event()

    async def wait() -> None:
        await gate.wait()

    agent = Sends("a", _artifact("hello"), then=wait)
    world.add(agent)
    trial = asyncio.create_task(world.run(TASK, "a"))
    await agent.started.wait()
    refused = await world.run(TASK, "a")
    assert "a trial call is under way" in refused.error
    trial.cancel()
    with pytest.raises(asyncio.CancelledError):
        await trial
    assert world.breakers.of("a").statistics.state == "half-open"
    world.add(FakeAgent("b"))
    next_trial = world.breakers.of("a").enter()
    next_trial.succeeded()
    assert world.registry.health("a").available


async def test_what_costs_too_much_is_refused_and_what_is_cheaper_goes_on(tmp_path: Path) -> None:
    world = World(tmp_path, policy=ApprovalPolicy.read(["cost:0.3"]))
    world.add(FakeAgent("a", TaskOutput("", usage=Usage(cost_usd=0.2))), FakeAgent("b", "hello"))
    assert (await world.run(TASK, "a", "b", cost=0.2)).status is TaskStatus.WAITING
    (question,) = world.approvals.pending
    world.approvals.decide(question.id, Decision("reject", comment="too dear"))
    refused = await world.run(TASK, "a", "b", cost=0.2)
    assert outcomes(refused) == [O.REJECTED, O.OVER_BUDGET]  # the first is not made again
    cheaper = await world.run(Task("u", "x", "general"), "b", cost=0.05)
    assert cheaper.status is TaskStatus.COMPLETED


async def test_questions_of_parallel_tasks_are_asked_side_by_side(world: World) -> None:
    key = "sk-abcdefghijklmnop"
    world.add(FakeAgent("asks", Ask(f"may I use \x1b[31m {key}?\x00" + "x" * 9_000)))
    tasks = [Task(f"t{i}", "x", "general") for i in range(3)]
    results = await asyncio.gather(*(world.run(task, "asks") for task in tasks))
    assert {result.status for result in results} == {TaskStatus.WAITING}
    asked = world.approvals.pending
    assert {a.id for a in asked} == {f"input:t{i}:1:1" for i in range(3)}
    for approval in asked:
        assert key not in approval.question
        assert approval.question.replace("\n", "").isprintable()
        assert len(approval.question) < 2_100


async def test_answers_are_bounded_and_without_control_characters(world: World) -> None:
    asks = FakeAgent("asks", Ask("which one?"), "hello")
    world.add(asks)
    await world.run(TASK, "asks")
    (question,) = world.approvals.pending
    with pytest.raises(InputError, match="20001 characters; 20000 at most"):
        world.approvals.decide(question.id, Decision("edit", "x" * 20_001))
    world.approvals.decide(question.id, Decision("edit", "this\x1b]0;one\x07\u202e"))
    assert (await world.run(TASK, "asks")).status is TaskStatus.COMPLETED
    assert asks.messages[1].text == "this]0;one"


async def test_what_failed_before_a_question_is_not_made_again_once_it_is_answered(
    world: World,
) -> None:
    first, asks = FakeAgent("first", Fail("no")), FakeAgent("asks", Ask("which?"), "hello")
    world.add(first, asks)
    assert (await world.run(TASK, "first", "asks")).status is TaskStatus.WAITING
    (question,) = world.approvals.pending
    world.approvals.decide(question.id, Decision("edit", "this"))
    result = await world.run(TASK, "first", "asks")
    assert outcomes(result) == [O.FAILED, O.VERIFIED]
    assert (first.calls, asks.calls) == (1, 2)
    assert world.made == {}  # another round begins anew
    world.round = 1
    await world.run(TASK, "first", "asks")
    assert first.calls == 2
