from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import pytest
from attempt_world import TASK, World, outcomes

from genesis.agents.assignment import Assignment
from genesis.errors import AgentUnavailable, ModelError, ModelNotConfigured
from genesis.execution.events import (
    AttemptEnded,
    AttemptProgress,
    AttemptStarted,
    TaskEnded,
    TaskStarted,
)
from genesis.routing.ladder import Apart
from genesis.tasks.checks import Check, Submission
from genesis.tasks.task import (
    Acceptance,
    Attempt,
    AttemptOutcome,
    Task,
    TaskOutput,
    TaskResult,
    TaskStatus,
    Usage,
    Verdict,
)
from genesis.testing import Fail, FakeAgent, Hang
from infrastructure.a2a.agent import AgentCard, Skill
from infrastructure.a2a.types import AgentEvent, Message, Part, StatusUpdate, TaskState
from infrastructure.resilience.budget import Budget

O = AttemptOutcome  # noqa: E741 - a table of outcomes reads better without the long name


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def _says(expected: str) -> Check:
    async def check(submission: Submission) -> Verdict:
        right = submission.output.text == expected
        return Verdict(right, "says", "as expected" if right else f"it is not {expected!r}")

    return check


async def test_a_verified_answer_completes_the_task(world: World) -> None:
    world.add(FakeAgent("a", TaskOutput("hello", usage=Usage(3, 4, 0.5))))
    result = await world.run(TASK, "a", cost=1.0)
    assert result.status is TaskStatus.COMPLETED
    assert result.output is not None
    assert (result.output.text, result.cost_usd, result.agent) == ("hello", 0.5, "a")
    assert result.verdict is not None
    assert result.verdict.passed
    assert world.budget.statistics.spent_usd == 0.5
    kinds = [type(event) for event in world.events]
    assert kinds == [TaskStarted, AttemptStarted, AttemptEnded, TaskEnded]


async def test_an_agent_that_claims_success_and_fails_its_check_has_failed(world: World) -> None:
    world.add(FakeAgent("a", ""))
    result = await world.run(TASK, "a")
    assert result.status is TaskStatus.FAILED
    assert outcomes(result) == [O.REJECTED]
    assert result.output is None
    assert result.verdict is not None
    assert not result.verdict.passed
    assert "rejected: the answer is empty" in result.error


async def test_the_next_agent_is_told_why_the_last_answer_was_rejected(world: World) -> None:
    first, second = FakeAgent("first", "hi\x07"), FakeAgent("second", "hello")
    world.registry.register(first, checks={"says": _says("hello")})
    world.add(second)
    task = Task("t", "say hello", "general", acceptance=(Acceptance("says"),))
    result = await world.run(task, "first", "second")
    assert result.status is TaskStatus.COMPLETED
    assert outcomes(result) == [O.REJECTED, O.VERIFIED]
    assert first.assignments[0].notes == ()
    (note,) = second.assignments[0].notes
    assert "'first'" in note
    assert "not 'hello'" in note


async def test_a_failing_or_unreachable_agent_is_followed_by_the_next(world: World) -> None:
    broken = FakeAgent("broken", Fail("no such column"))
    away = FakeAgent("away", AgentUnavailable("connection refused"))
    world.add(broken, away, FakeAgent("good", "hello"))
    result = await world.run(TASK, "broken", "away", "nobody", "good")
    assert outcomes(result) == [O.FAILED, O.UNAVAILABLE, O.UNAVAILABLE, O.VERIFIED]
    assert result.attempts[0].reason == "no such column"
    assert "no agent is registered as 'nobody'" in result.attempts[2].reason


async def test_a_defect_of_an_agent_fails_its_attempt_only(world: World) -> None:
    class Defective(FakeAgent):
        async def send(self, message: Message) -> AsyncGenerator[AgentEvent]:
            raise KeyError("a defect")
            yield

    world.add(Defective("bad"), FakeAgent("good"))
    result = await world.run(TASK, "bad", "good")
    assert outcomes(result) == [O.FAILED, O.VERIFIED]
    assert "KeyError" in result.attempts[0].reason


async def test_what_is_retryable_is_tried_again_under_the_same_key(world: World) -> None:
    world.tries = 3
    agent = FakeAgent("a", AgentUnavailable("reset"), ConnectionResetError(), "hello")
    world.add(agent)
    result = await world.run(TASK, "a")
    assert outcomes(result) == [O.VERIFIED]
    assert {m.message_id for m in agent.messages} == {"run:t:1"}
    assert agent.calls == 3
    assert world.clock.monotonic() > 0  # it paused in between


async def test_programming_errors_and_failures_are_not_retried(world: World) -> None:
    world.tries = 3
    failing, wrong = FakeAgent("failing", Fail("no")), FakeAgent("wrong", ValueError("bad"))
    world.add(failing, wrong)
    await world.run(TASK, "failing", "wrong")
    assert (failing.calls, wrong.calls) == (1, 1)


async def test_a_function_says_whether_another_try_may_help(world: World) -> None:
    world.tries = 3
    calls = {"limited": 0, "unset": 0}

    @world.registry.agent(name="limited", skills=["limited"])
    async def limited(assignment: Assignment) -> str:
        calls["limited"] += 1
        if calls["limited"] < 3:
            raise ModelError("rate limit", retryable=True)
        return "hello"

    @world.registry.agent(name="unset", skills=["unset"])
    async def unset(assignment: Assignment) -> str:
        calls["unset"] += 1
        raise ModelNotConfigured("set GENESIS_MODEL=provider:name")

    result = await world.run(TASK, "unset", "limited", cost=0.1)
    assert outcomes(result) == [O.FAILED, O.VERIFIED]
    assert result.attempts[0].reason == "set GENESIS_MODEL=provider:name"
    assert result.attempts[0].usage.cost_usd == 0  # it called no model
    assert calls == {"limited": 3, "unset": 1}


async def test_an_attempt_that_takes_too_long_is_stopped(world: World) -> None:
    slow = FakeAgent("slow", Hang())
    world.add(slow, FakeAgent("quick", "hello"))
    result = await world.run(Task("t", "hello", "general", timeout_s=0.01), "slow", "quick")
    assert outcomes(result) == [O.TIMEOUT, O.VERIFIED]
    assert (slow.canceled, slow.active) == (1, 0)


async def test_cancellation_reaches_the_agent_and_is_not_swallowed(world: World) -> None:
    agent = FakeAgent("a", Hang())
    world.add(agent)
    running = asyncio.create_task(world.run(TASK, "a", cost=0.25))
    await agent.started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (agent.canceled, agent.active) == (1, 0)
    assert world.slots.statistics["a"].active == 0
    statistics = world.budget.statistics
    assert (statistics.reserved_usd, statistics.spent_usd) == (0, 0.25)
    last = world.events[-1]
    assert isinstance(last, TaskEnded)
    assert last.result.status is TaskStatus.CANCELED
    assert outcomes(last.result) == [O.CANCELED]


async def test_a_stream_that_cannot_be_closed_is_cancelled_by_its_task(world: World) -> None:
    stopped: list[str] = []

    class Stream:
        def __init__(self) -> None:
            self.sent = False

        def __aiter__(self) -> AsyncIterator[AgentEvent]:
            return self

        async def __anext__(self) -> AgentEvent:
            if self.sent:
                await asyncio.Event().wait()
            self.sent = True
            return StatusUpdate("remote-7", "c", TaskState.WORKING)

    class Foreign:
        card = AgentCard("foreign", "d", (Skill("s", "d"),))

        def send(self, message: Message) -> AsyncIterator[AgentEvent]:
            return Stream()

        async def cancel(self, task_id: str) -> None:
            stopped.append(task_id)

    world.add(Foreign())
    await world.run(Task("t", "hello", "general", timeout_s=0.01), "foreign")
    assert stopped == ["remote-7"]


async def test_no_money_no_call(world: World) -> None:
    world.budget = Budget(0.3)
    dear, cheap = FakeAgent("dear"), FakeAgent("cheap", TaskOutput("x", usage=Usage(1, 1, 0.05)))
    world.add(dear, cheap)
    result = await world.run(TASK, "dear", cost=0.5)
    assert outcomes(result) == [O.OVER_BUDGET]
    assert "$0.5" in result.error
    assert dear.calls == 0
    assert (await world.run(TASK, "cheap", cost=0.3)).status is TaskStatus.COMPLETED
    assert world.budget.statistics.left_usd == pytest.approx(0.25)


async def test_an_agent_that_does_not_say_what_it_spent_spent_what_was_expected(
    world: World,
) -> None:
    world.add(FakeAgent("a", Fail("no")), FakeAgent("b", "x"))
    result = await world.run(TASK, "a", "b", cost=0.1)
    assert result.cost_usd == pytest.approx(0.2)
    assert world.budget.statistics.spent_usd == pytest.approx(0.2)


async def test_the_breaker_opens_for_all_runs_and_closes_after_a_good_trial(world: World) -> None:
    agent = FakeAgent("a", AgentUnavailable("down"), AgentUnavailable("down"), "hello")
    world.add(agent)
    await world.run(TASK, "a")
    await world.run(TASK, "a")
    assert not world.registry.health("a").available
    refused = await world.run(TASK, "a")
    assert agent.calls == 2
    assert "circuit breaker" in refused.error
    world.clock.advance(30)
    assert (await world.run(TASK, "a")).status is TaskStatus.COMPLETED
    assert world.registry.health("a").available


async def test_rejected_answers_do_not_open_the_breaker(world: World) -> None:
    agent = FakeAgent("a", "", Fail("x"))
    world.add(agent)
    for _ in range(5):
        await world.run(TASK, "a")
    assert agent.calls == 5


async def test_after_the_deadline_nobody_is_asked(world: World) -> None:
    agent = FakeAgent("a")
    world.add(agent)
    world.deadline = 5.0
    world.clock.advance(6)
    result = await world.run(TASK, "a", "a")
    assert agent.calls == 0
    assert outcomes(result) == [O.CANCELED]  # which says nothing about the agent
    assert "deadline" in result.error


async def test_being_cut_short_by_the_deadline_does_not_count_against_an_agent(
    world: World,
) -> None:
    world.add(FakeAgent("a", Hang()))
    world.deadline = 0.01
    for _ in range(3):
        assert outcomes(await world.run(TASK, "a")) == [O.TIMEOUT]
    assert world.registry.health("a").available


async def test_an_agent_works_on_no_more_than_it_says(world: World) -> None:
    agent = FakeAgent("a", "x", max_concurrency=2)
    world.add(agent)
    await asyncio.gather(*(world.run(Task(f"t{i}", "x", "general"), "a") for i in range(9)))
    assert (agent.calls, agent.most_active) == (9, 2)
    load = world.slots.statistics["a"]
    assert (load.active, load.waiting, load.limit) == (0, 0, 2)


async def test_inputs_are_what_is_given_and_what_was_made_upstream(world: World) -> None:
    agent = FakeAgent("a", "x")
    world.add(agent)
    world.given = {"dataset": "/d.csv", "project": "old", "unasked": 1}
    made = TaskResult("b", TaskStatus.COMPLETED, output=TaskOutput(data={"project": "new"}))
    task = Task("t", "x", "general", requires=("dataset", "project"), depends_on=("b",))
    await world.run(task, "a", upstream={"b": made})
    assert agent.assignments[0].inputs == {"dataset": "/d.csv", "project": "new"}
    missing = await world.run(Task("t", "x", "general", requires=("source",)), "a")
    assert "requires 'source'" in missing.error
    assert agent.calls == 1


async def test_a_check_that_breaks_hangs_or_answers_nonsense_proves_nothing(world: World) -> None:
    async def breaks(submission: Submission) -> Verdict:
        raise RuntimeError("disk gone")

    async def hangs(submission: Submission) -> Verdict:
        await asyncio.Event().wait()
        raise AssertionError

    async def nonsense(submission: Submission) -> Verdict:
        return True  # pyright: ignore[reportReturnType] - what a careless user writes

    checks: dict[str, Check] = {"breaks": breaks, "hangs": hangs, "nonsense": nonsense}
    world.registry.register(FakeAgent("a", "x"), checks=checks)
    world.check_timeout_s = 0.01
    for name, reason in [("breaks", "disk gone"), ("hangs", "did not end"), ("nonsense", "bool")]:
        result = await world.run(Task("t", "x", "general", acceptance=(Acceptance(name),)), "a")
        assert outcomes(result) == [O.REJECTED]
        assert reason in result.error


async def test_an_unknown_check_is_found_before_anybody_is_paid(world: World) -> None:
    agent = FakeAgent("a", "x")
    world.add(agent)
    task = Task("t", "x", "general", acceptance=(Acceptance("no_such"),))
    result = await world.run(task, "a")
    assert "'no_such' is not registered" in result.error
    assert agent.calls == 0


async def test_every_check_must_pass(world: World) -> None:
    world.registry.register(FakeAgent("a", "hello"), checks={"says": _says("bye")})
    both = (Acceptance("produced"), Acceptance("says"))
    result = await world.run(Task("t", "x", "general", acceptance=both), "a")
    assert result.verdict is not None
    assert (result.status, result.verdict.check) == (TaskStatus.FAILED, "says")


async def test_files_are_written_to_a_folder_of_the_attempt(world: World) -> None:
    @world.registry.agent(name="writer", skills=["write"])
    async def write(assignment: Assignment) -> TaskOutput:
        path = assignment.artifacts_dir / "out.txt"
        path.write_text("content")
        return TaskOutput("written", artifacts=(str(path),))

    result = await world.run(Task("..", "x", "general"), "writer")
    assert result.output is not None
    (path,) = result.output.artifacts
    assert Path(path).read_text() == "content"
    assert Path(path).parent == world.scope.artifacts_dir / "..-1"


async def test_every_attempt_of_every_round_has_its_own_key_and_folder(world: World) -> None:
    agent = FakeAgent("a", "")
    world.add(agent)
    for name in ("a", "a-1"):
        for world.round in (0, 1, 2):
            await world.run(Task(name, "x", "general"), "a", "a")
    assert len({assignment.idempotency_key for assignment in agent.assignments}) == 12
    assert len({assignment.artifacts_dir for assignment in agent.assignments}) == 12


async def test_no_folder_is_made_where_no_file_is_written(world: World) -> None:
    world.add(FakeAgent("a", "hello"))
    await world.run(TASK, "a")
    assert not world.scope.artifacts_dir.exists()


async def test_progress_is_told_and_what_needs_a_person_fails(world: World) -> None:
    class Asking(FakeAgent):
        async def send(self, message: Message) -> AsyncGenerator[AgentEvent]:
            said = Message("m", "agent", (Part(text="halfway " * 200),))
            yield StatusUpdate("t", "c", TaskState.WORKING, said)
            asks = Message("m", "agent", (Part(text="which year?"),))
            yield StatusUpdate("t", "c", TaskState.INPUT_REQUIRED, asks)

    world.add(Asking("a"))
    result = await world.run(TASK, "a")
    assert "which year?" in result.error
    (progress,) = [event for event in world.events if isinstance(event, AttemptProgress)]
    assert len(progress.text) == 500


async def test_reasons_are_cut_and_without_control_characters(world: World) -> None:
    world.add(
        FakeAgent("a", Fail("\x1b[31m" + "x" * 9000)), FakeAgent("b", ValueError("\0" * 9000))
    )
    result = await world.run(TASK, "a", "b")
    for attempt in result.attempts:
        assert len(attempt.reason) <= 2000
        assert attempt.reason.replace("\n", "").isprintable()


async def test_a_stream_without_an_end_is_a_failure(world: World) -> None:
    class Silent(FakeAgent):
        async def send(self, message: Message) -> AsyncGenerator[AgentEvent]:
            yield StatusUpdate("t", "c", TaskState.WORKING)

    world.add(Silent("a"))
    assert "stopped answering" in (await world.run(TASK, "a")).error


FOUR_EYES = Apart("build", "rule 'four-eyes': two must agree", (("a", "a2"),))


def _built_by(*agents: str) -> dict[str, TaskResult]:
    """The build went through these hands; the last one's answer was taken."""
    attempts = tuple(
        Attempt(n, agent, O.VERIFIED if agent == agents[-1] else O.REJECTED, "")
        for n, agent in enumerate(agents, 1)
    )
    return {"build": TaskResult("build", TaskStatus.COMPLETED, attempts)}


async def test_who_did_the_other_task_in_the_end_is_not_asked(world: World) -> None:
    asked = [FakeAgent(name, "hello") for name in ("a", "a2", "b")]
    world.add(*asked)
    result = await world.run(TASK, "a", "a2", "b", upstream=_built_by("b", "a"), apart=(FOUR_EYES,))
    assert result.status is TaskStatus.COMPLETED
    assert result.agent == "b"  # which failed at the build, and did not do it
    assert outcomes(result) == [O.CANCELED, O.CANCELED, O.VERIFIED]
    assert result.attempts[0].reason == (
        "not asked: it did task 'build'; rule 'four-eyes': two must agree"
    )
    assert "'a', the same person, did task 'build'" in result.attempts[1].reason
    assert [len(agent.assignments) for agent in asked] == [0, 0, 1]


async def test_a_task_whose_every_agent_is_kept_from_it_fails_with_the_rule(world: World) -> None:
    agent = FakeAgent("a", "hello")
    world.add(agent)
    result = await world.run(TASK, "a", upstream=_built_by("a"), apart=(FOUR_EYES,))
    assert result.status is TaskStatus.FAILED
    assert "rule 'four-eyes': two must agree" in result.error
    assert not agent.assignments


async def test_who_is_in_reserve_is_asked_only_where_a_rule_bars_somebody(world: World) -> None:
    first, second = FakeAgent("a", Fail("no")), FakeAgent("b", "hello")
    world.add(first, second)
    result = await world.run(
        TASK, "a", "a", upstream=_built_by("b"), apart=(FOUR_EYES,), spare=("b",)
    )
    assert outcomes(result) == [O.FAILED, O.FAILED]
    result = await world.run(
        TASK, "a", "a", upstream=_built_by("a"), apart=(FOUR_EYES,), spare=("b",)
    )
    assert outcomes(result) == [O.CANCELED, O.VERIFIED]  # it is barred once, not for each attempt
    assert result.agent == "b"
