"""The next agent beside one that takes long: the first verified answer wins, the other stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from attempt_world import TASK, World, outcomes

from genesis.execution.approvals import ApprovalPolicy, Decision
from genesis.execution.events import AttemptEnded, AttemptStarted, TaskEnded
from genesis.tasks.task import (
    SUB_REQUEST,
    Attempt,
    AttemptOutcome,
    Task,
    TaskOutput,
    TaskResult,
    TaskStatus,
    Usage,
)
from genesis.testing import Ask, Fail, FakeAgent, Hang
from infrastructure.a2a.types import AgentEvent, Message
from infrastructure.errors import AgentUnavailable
from infrastructure.resilience.budget import Budget

O = AttemptOutcome  # noqa: E741 - a table of outcomes reads better without the long name


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, hedge_after=3.0)


class Gated(FakeAgent):
    """Answers once it may."""

    gate: asyncio.Event

    def __init__(self, name: str, *script: object) -> None:
        super().__init__(name, *script)  # pyright: ignore[reportArgumentType] - as FakeAgent
        self.gate = asyncio.Event()

    async def send(self, message: Message) -> AsyncGenerator[AgentEvent]:
        async for event in super().send(message):
            if not self.gate.is_set():
                await self.gate.wait()
            yield event


async def _raced(
    world: World, first: FakeAgent, second: FakeAgent, cost: float = 0.0
) -> TaskResult:
    """Both at work before either ends, where the second is begun."""
    world.add(first, second)
    running = asyncio.create_task(world.run(TASK, first.card.name, second.card.name, cost=cost))
    async with asyncio.timeout(5):
        await first.started.wait()
        world.took_long.set()
        await second.started.wait()
        for agent in (first, second):
            if isinstance(agent, Gated):
                agent.gate.set()
        return await running


async def test_the_second_answer_wins_and_the_first_agent_is_told_to_stop(world: World) -> None:
    slow = FakeAgent("slow", Hang())
    quick = FakeAgent("quick", TaskOutput("hello", usage=Usage(cost_usd=0.25)))
    result = await _raced(world, slow, quick, cost=0.5)
    assert (result.status, result.agent) == (TaskStatus.COMPLETED, "quick")
    assert [(a.number, a.outcome) for a in result.attempts] == [(1, O.CANCELED), (2, O.VERIFIED)]
    assert "made beside it was verified first" in result.attempts[0].reason
    assert (slow.canceled, slow.active) == (1, 0)
    assert world.patience_s == 3.0  # three times what the rung expects
    # The loser did not say what it consumed, so what was set aside for it is spent.
    assert result.cost_usd == pytest.approx(0.75)
    assert world.budget.statistics.spent_usd == pytest.approx(0.75)
    assert world.budget.statistics.reserved_usd == 0
    keys = [e.idempotency_key for e in world.events if isinstance(e, AttemptStarted)]
    assert keys == ["run:t:1", "run:t:2"]
    ended = [e.attempt.number for e in world.events if isinstance(e, AttemptEnded)]
    assert sorted(ended) == [1, 2]
    assert isinstance(world.events[-1], TaskEnded)
    assert world.runner is not None
    hedged = world.runner.statistics.hedges
    assert hedged is not None
    assert (hedged.begun, hedged.won, hedged.lost) == (1, 1, 0)


async def test_the_first_answer_wins_and_stays_the_last_attempt(world: World) -> None:
    result = await _raced(world, Gated("slow", "hello"), FakeAgent("later", Hang()))
    assert (result.status, result.agent) == (TaskStatus.COMPLETED, "slow")
    assert [(a.number, a.outcome) for a in result.attempts] == [(2, O.CANCELED), (1, O.VERIFIED)]
    assert world.runner is not None
    hedged = world.runner.statistics.hedges
    assert hedged is not None
    assert (hedged.won, hedged.lost) == (0, 1)


async def test_one_that_fails_leaves_it_to_the_other(world: World) -> None:
    result = await _raced(world, Gated("slow", "hello"), FakeAgent("bad", Fail("no")))
    assert [(a.agent, a.outcome) for a in result.attempts] == [
        ("bad", O.FAILED),
        ("slow", O.VERIFIED),
    ]


async def test_where_both_fail_the_ladder_goes_on_behind_them(world: World) -> None:
    world.add(FakeAgent("third", "hello"))
    world.add(first := Gated("slow", Fail("no")), second := FakeAgent("bad", Fail("no")))
    running = asyncio.create_task(world.run(TASK, "slow", "bad", "third"))
    await first.started.wait()
    world.took_long.set()
    await second.ended.wait()
    first.gate.set()
    result = await running
    assert outcomes(result) == [O.FAILED, O.FAILED, O.VERIFIED]
    assert [a.number for a in result.attempts] == [1, 2, 3]


async def test_two_good_answers_at_once_are_one(world: World) -> None:
    result = await _raced(world, Gated("one", "hello"), Gated("two", "hello"))
    assert sorted(outcomes(result)) == [O.CANCELED, O.VERIFIED]
    assert result.attempts[-1].outcome is O.VERIFIED


async def test_cancelling_the_run_stops_both(world: World) -> None:
    first, second = FakeAgent("a", Hang()), FakeAgent("b", Hang())
    world.add(first, second)
    running = asyncio.create_task(world.run(TASK, "a", "b", cost=0.25))
    await first.started.wait()
    world.took_long.set()
    await second.started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (first.active, second.active) == (0, 0)
    assert world.budget.statistics.spent_usd == 0.5
    last = world.events[-1]
    assert isinstance(last, TaskEnded)
    assert [a.reason for a in last.result.attempts] == ["the run was cancelled"] * 2


async def _stays_alone(
    world: World, task: Task = TASK, cost: float = 0.0, *, same: bool = False
) -> bool:
    """Whether nobody was begun beside the first, though it took long."""
    first, second = Gated("a", "hello"), FakeAgent("b", "hello")
    world.add(first, second)
    world.took_long.set()
    running = asyncio.create_task(world.run(task, "a", "a" if same else "b", cost=cost))
    await first.started.wait()
    for _ in range(20):
        await asyncio.sleep(0)
    first.gate.set()
    result = await running
    assert result.status is TaskStatus.COMPLETED
    return second.calls == 0 and first.calls == 1


async def test_nobody_is_begun_beside_it_where_money_or_a_person_says_no(world: World) -> None:
    world.budget = Budget(0.3)
    assert await _stays_alone(world, cost=0.2)


async def test_nobody_is_asked_for_money_for_a_second_opinion(tmp_path: Path) -> None:
    world = World(tmp_path, hedge_after=3.0, policy=ApprovalPolicy.read(["cost:0.3"]))
    assert await _stays_alone(world, cost=0.2)
    assert world.approvals.pending == ()


async def test_the_same_agent_and_model_are_no_second_opinion(world: World) -> None:
    assert await _stays_alone(world, same=True)


async def test_composite_tasks_are_never_made_twice_at_once(world: World) -> None:
    assert await _stays_alone(world, Task("t", "x", "general", operation=SUB_REQUEST))


async def test_an_agent_that_is_away_is_not_begun(world: World) -> None:
    for _ in range(2):
        world.breakers.of("b").enter().failed()
    assert await _stays_alone(world)


async def test_off_unless_it_is_set(tmp_path: Path) -> None:
    assert await _stays_alone(World(tmp_path))


async def test_a_question_is_dropped_where_the_other_answers(world: World) -> None:
    cancelled: list[str] = []

    class Asking(FakeAgent):
        async def cancel(self, task_id: str) -> None:
            cancelled.append(task_id)
            raise AgentUnavailable("it is gone already")  # which holds nobody up

    result = await _raced(world, Gated("slow", "hello"), Asking("asks", Ask("which one?")))
    assert (result.status, result.agent) == (TaskStatus.COMPLETED, "slow")
    assert outcomes(result) == [O.CANCELED, O.VERIFIED]
    assert world.approvals.pending == ()
    assert cancelled == ["run:t:2"]


async def test_a_question_that_remains_is_asked_and_goes_on_under_its_number(world: World) -> None:
    asks = FakeAgent("asks", Ask("which one?"), "hello")
    result = await _raced(world, Gated("slow", Fail("no")), asks)
    assert result.status is TaskStatus.WAITING
    (question,) = world.approvals.pending
    assert question.id == "input:t:2:1"
    world.approvals.decide(question.id, Decision("edit", "this"))
    done = await world.run(TASK, "slow", "asks")
    assert [(a.number, a.agent, a.outcome) for a in done.attempts] == [
        (1, "slow", O.FAILED),  # it is not asked again
        (2, "asks", O.VERIFIED),
    ]
    assert [m.message_id for m in asks.messages] == ["run:t:2", "run:t:2:1"]


@pytest.mark.parametrize("ended", [1, 2])
async def test_after_a_crash_only_the_attempt_that_had_not_ended_is_made(
    world: World, ended: int
) -> None:
    first, second = FakeAgent("a", "hello"), FakeAgent("b", "hello")
    world.add(first, second)
    world.made["t"] = (Attempt(ended, "ab"[ended - 1], O.REJECTED, "not good"),)
    result = await world.run(TASK, "a", "b")
    assert result.status is TaskStatus.COMPLETED
    assert (first.calls, second.calls) == ((0, 1) if ended == 1 else (1, 0))
    (made,) = (*first.messages, *second.messages)
    assert made.message_id == f"run:t:{3 - ended}"
    assert "not good" in (*first.assignments, *second.assignments)[0].notes[0]
