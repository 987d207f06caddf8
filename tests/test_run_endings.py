"""However a run ends, it ends once: recorded, paid for, and with the answer that it has."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest
from openai_server import OpenAIServer, Reply

from genesis import Assignment, GenesisOrchestrator, Skill, TaskOutput
from genesis.errors import InputError, SchemaTooNew, StoreError
from genesis.execution.events import AttemptStarted
from genesis.tasks.checks import Submission
from genesis.tasks.task import Usage, Verdict
from infrastructure.a2a.agent import AgentCard
from infrastructure.a2a.types import AgentEvent, Message, Part, StatusUpdate, TaskState
from infrastructure.config import load_flags, load_settings

SKILL = Skill("summarise", "Summarises.", ("general",), produces=("answer",), seconds=0.1)
REQUEST = "Tell me something nice"

Make = Callable[..., GenesisOrchestrator]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    workspace = tmp_path / "workspace"
    workspace.mkdir()

    def build(
        flags: dict[str, str] | None = None, settings: dict[str, Any] | None = None, **given: Any
    ) -> GenesisOrchestrator:
        chosen = load_settings(
            {},
            workspace=workspace,
            data_dir=tmp_path / "data",
            db_path=str(tmp_path / "memory.db"),
            **(settings or {}),
        )
        given.setdefault("agents", [])
        return GenesisOrchestrator(settings=chosen, flags=load_flags(flags or {}), **given)

    return build


async def nice(assignment: Assignment) -> dict[str, str]:
    return {"answer": "a nice day"}


@pytest.mark.parametrize("session", ["   ", "a\nb", "x" * 201, 5])
async def test_an_impossible_session_is_refused_before_anything_is_stored(
    make: Make, session: Any
) -> None:
    async with make() as orchestrator:
        orchestrator.register_agent(nice, name="nice", skills=[SKILL])
        with pytest.raises(InputError, match="session_id"):
            await orchestrator.execute_orchestrated_request(REQUEST, session)
        assert await orchestrator.services.memory.runs() == []


@pytest.mark.parametrize(
    "output",
    [
        TaskOutput("x", {"answer": "x"}, usage=Usage(1, 1, 1e9)),
        TaskOutput("x", {"answer": "x"}, usage=Usage(10**30, 1, 0.0)),
        TaskOutput("x", {"answer": 2**80}),
        TaskOutput("x\ud800", {"answer": "\ud800"}),
    ],
)
async def test_a_strange_answer_is_recorded_all_the_same(make: Make, output: TaskOutput) -> None:
    async def strange(assignment: Assignment) -> TaskOutput:
        return output

    async with make() as orchestrator:
        orchestrator.register_agent(strange, name="strange", skills=[SKILL])
        result = await orchestrator.execute_orchestrated_request(REQUEST)
        assert (result.success, result.recorded, result.errors) == (True, True, [])
        assert "strange" in str(await orchestrator.explain(result.run_id))


@pytest.mark.parametrize("value", [{1: 2}, float("nan"), object()])
async def test_data_that_are_not_json_fail_their_attempt_alone(make: Make, value: Any) -> None:
    async def odd(assignment: Assignment) -> dict[str, Any]:
        return {"answer": value}

    async with make() as orchestrator:
        cheap = Skill("summarise", "S.", ("general",), produces=("answer",), seconds=0.01)
        orchestrator.register_agent(odd, name="odd", skills=[cheap])
        orchestrator.register_agent(nice, name="nice", skills=[SKILL])
        result = await orchestrator.execute_orchestrated_request(REQUEST)
    assert result.success
    assert [a.agent for a in result.tasks[0].attempts] == ["odd", "nice"]
    assert "plain JSON" in result.tasks[0].attempts[0].reason


async def test_a_run_cancelled_while_it_is_accepted_is_not_left_running(make: Make) -> None:
    async with make() as orchestrator:
        orchestrator.register_agent(nice, name="nice", skills=[SKILL])
        memory = orchestrator.services.memory
        accept, stored = memory.accept, asyncio.Event()

        async def accept_and_hang(*run: Any) -> bool:
            await accept(*run)
            stored.set()
            await asyncio.Event().wait()
            return True

        memory.accept = accept_and_hang  # type: ignore[method-assign] - the moment cannot be met otherwise
        asking = asyncio.create_task(orchestrator.execute_orchestrated_request(REQUEST))
        await stored.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        (run,) = await memory.runs()
    assert run.state == "canceled"
    assert "cancelled" in str(run.result)


async def test_an_event_that_was_stored_before_is_not_stored_again_at_the_end(make: Make) -> None:
    """A cancelled write may have happened: the last commit repeats its events."""
    async with make() as orchestrator:
        orchestrator.register_agent(nice, name="nice", skills=[SKILL])
        memory = orchestrator.services.memory
        append, stored = memory.append, asyncio.Event()

        async def append_and_hang(*given: Any) -> int:
            await append(*given)
            stored.set()
            await asyncio.Event().wait()
            return 0

        memory.append = append_and_hang  # type: ignore[method-assign] - the moment cannot be met otherwise
        asking = asyncio.create_task(orchestrator.execute_orchestrated_request(REQUEST))
        await stored.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        (run,) = await memory.runs()
        names = [event["type"] for event in await memory.events(run.run_id)]
    assert names.count("RunAccepted") == 1
    assert names.count("PlanMade") == 1
    assert names[-1] == "RunEnded"


async def test_a_store_that_fails_in_the_middle_costs_no_answer(make: Make) -> None:
    async def saboteur(assignment: Assignment) -> dict[str, str]:
        orchestrator.services.memory.memori.close()
        return {"answer": "a nice day"}

    orchestrator = make()
    orchestrator.register_agent(saboteur, name="saboteur", skills=[SKILL])
    result = await orchestrator.execute_orchestrated_request(REQUEST)
    assert result.output == "a nice day"
    assert [task.status for task in result.tasks] == ["completed"]
    assert result.success
    assert not result.recorded
    assert "not stored" in " ".join(result.errors)


async def test_no_more_runs_at_once_than_are_allowed(make: Make) -> None:
    inside, two_inside, gate = 0, asyncio.Event(), asyncio.Event()

    async def waiting(assignment: Assignment) -> dict[str, str]:
        nonlocal inside
        inside += 1
        if inside == 2:
            two_inside.set()
        await gate.wait()
        return {"answer": "done"}

    async with make(settings={"max_concurrent_runs": 2}) as orchestrator:
        orchestrator.register_agent(waiting, name="waiting", skills=[SKILL], max_concurrency=8)
        asked = [
            asyncio.create_task(orchestrator.execute_orchestrated_request(REQUEST))
            for _ in range(6)
        ]
        await two_inside.wait()
        assert len(await orchestrator.services.memory.runs()) == 2
        gate.set()
        results = await asyncio.gather(*asked)
    assert all(result.success for result in results)


async def test_version_1_keeps_files_inside_the_run_whatever_a_skill_is_called(
    make: Make, tmp_path: Path
) -> None:
    folders: list[Path] = []

    async def writer(assignment: Assignment) -> dict[str, str]:
        folders.append(assignment.artifacts_dir.resolve())
        return {"answer": "x"}

    skill = Skill("../../../escaped", "Leaves.", ("general",), produces=("answer",))
    async with make({"ORCHESTRATION_ENABLED": "false"}) as orchestrator:
        orchestrator.register_agent(writer, name="writer", skills=[skill])
        result = await orchestrator.execute_orchestrated_request(REQUEST)
    assert result.success
    assert folders[0].is_relative_to(tmp_path / "data" / "runs" / result.run_id)


async def test_a_store_written_by_a_newer_version_falls_back_where_allowed(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import sqlite3

    async with make() as orchestrator:
        orchestrator.register_agent(nice, name="nice", skills=[SKILL])
        await orchestrator.execute_orchestrated_request(REQUEST)
    with sqlite3.connect(tmp_path / "memory.db") as database:
        database.execute("INSERT INTO memori_migrations (name) VALUES ('future')")
    database.close()
    async with make() as orchestrator:
        with pytest.raises(SchemaTooNew):
            await orchestrator.execute_orchestrated_request(REQUEST)
    async with make({"FALLBACK_TO_V1": "true"}) as orchestrator:
        orchestrator.register_agent(nice, name="nice", skills=[SKILL])
        with caplog.at_level(logging.WARNING, "genesis"):
            result = await orchestrator.execute_orchestrated_request(REQUEST)
    assert (result.version, result.success) == ("1.0", True)
    assert "v2.1 cannot start" in caplog.text


def test_what_is_no_store_is_refused_at_once(make: Make) -> None:
    with pytest.raises(InputError, match="dict is no store"):
        make(store={})


async def test_the_steps_are_what_was_executed(make: Make) -> None:
    """A task that was skipped after a failure is shown, but is no step that was done."""

    async def broken(assignment: Assignment) -> str:
        raise RuntimeError("out of order")

    async with make(agents=None) as orchestrator:
        (orchestrator.settings.workspace / "d.csv").write_text("a,b\n1,2\n")
        services = orchestrator.services
        services.registry._agents.pop("data_analyst")  # pyright: ignore[reportPrivateUsage] - nothing unregisters
        orchestrator.register_agent(
            broken,
            name="broken",
            skills=[
                Skill("profile_data", "P", ("data_analysis",), ("dataset",), ("data_profile",)),
                Skill("answer_questions", "A", ("data_analysis",), ("dataset",), ("data_answers",)),
                Skill(
                    "write_data_report",
                    "R",
                    ("data_analysis",),
                    ("dataset", "data_profile"),
                    ("data_report",),
                ),
            ],
        )
        result = await orchestrator.execute_orchestrated_request(
            "Analyse d.csv and write a report", "s"
        )
        (workflow,) = await services.memory.workflows("s")
    assert not result.success
    assert "skipped" in {task.status for task in result.tasks}
    assert set(workflow.steps) == {"data_analysis:broken:"}
    assert len({task.id for task in result.tasks}) == len(result.tasks)


async def test_an_agent_that_was_not_asked_is_not_blamed(make: Make) -> None:
    """The deadline passes while a first agent works: the second was never asked."""

    async def endless(assignment: Assignment) -> str:
        await asyncio.Event().wait()
        return ""

    async with make() as orchestrator:
        cheap = Skill("summarise", "S.", ("general",), produces=("answer",), seconds=0.01)
        orchestrator.register_agent(endless, name="endless", skills=[cheap])
        orchestrator.register_agent(nice, name="nice", skills=[SKILL])
        result = await orchestrator.execute_orchestrated_request(REQUEST, timeout_s=0.4)
        outcomes = {a.agent: a.outcome for a in result.tasks[0].attempts}
        recall = await orchestrator.services.memory.recall("general")
    assert outcomes == {"endless": "timeout", "nice": "canceled"}
    assert [count.agent for count in recall.outcomes] == ["endless"]


async def test_planning_is_paid_from_the_runs_budget(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    useless = Reply("no plan at all", 100_000, 0)
    with OpenAIServer([useless] * 4) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-key")
        async with make(model="openai:gpt-4.1-mini") as orchestrator:
            orchestrator.register_agent(nice, name="nice", skills=[SKILL])
            paid = await orchestrator.execute_orchestrated_request(REQUEST)
            asked = len(server.requests)
            poor = await orchestrator.execute_orchestrated_request(REQUEST, budget_usd=1e-6)
    # The model's plans were of no use and the template's was taken, but they cost money.
    assert paid.success
    assert paid.plan_source == "template"
    assert paid.cost_usd == pytest.approx(asked * 0.1 * 0.4)
    assert poor.success
    assert poor.cost_usd == 0
    assert len(server.requests) == asked


async def test_planning_ends_with_the_deadline(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from openai_server import Failure

    with OpenAIServer([Failure.HANG]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-key")
        async with make(model="openai:gpt-4.1-mini") as orchestrator:
            orchestrator.register_agent(nice, name="nice", skills=[SKILL])
            async with asyncio.timeout(20):
                result = await orchestrator.execute_orchestrated_request(REQUEST, timeout_s=0.5)
    assert not result.success
    assert "planning was not done" in " ".join(result.errors)
    assert result.cost_usd > 0  # a call that is cut off may be charged


async def test_a_failed_try_that_cost_money_is_paid(make: Make) -> None:
    class RateLimited(Exception):
        retryable = True
        usage = Usage(10, 10, 0.25)

    tries: list[int] = []

    async def paid_twice(assignment: Assignment) -> TaskOutput:
        tries.append(1)
        if len(tries) == 1:
            raise RateLimited("come back later")
        return TaskOutput("x", {"answer": "x"}, usage=Usage(10, 10, 0.5))

    async with make() as orchestrator:
        orchestrator.register_agent(paid_twice, name="twice", skills=[SKILL])
        result = await orchestrator.execute_orchestrated_request(REQUEST)
    assert result.success
    assert result.cost_usd == pytest.approx(0.75)


async def test_tokens_without_a_price_cost_what_the_skill_declares(make: Make) -> None:
    async def unpriced(assignment: Assignment) -> TaskOutput:
        return TaskOutput("x", {"answer": "x"}, usage=Usage(10, 10))

    skill = Skill("summarise", "S.", ("general",), produces=("answer",), cost_usd=0.2)
    async with make() as orchestrator:
        orchestrator.register_agent(unpriced, name="unpriced", skills=[skill])
        result = await orchestrator.execute_orchestrated_request(REQUEST, budget_usd=1)
    assert result.cost_usd == pytest.approx(0.2)


async def test_memory_off_means_that_nothing_learnt_is_used(make: Make) -> None:
    async with make() as orchestrator:
        orchestrator.register_agent(nice, name="nice", skills=[SKILL])
        first = await orchestrator.execute_orchestrated_request(REQUEST)
        await orchestrator.record_feedback(first.run_id, task_type="pleasantries")
        assert orchestrator._infer_task_type(REQUEST) == "pleasantries"  # pyright: ignore[reportPrivateUsage] - part of the interface
    async with make({"MEMORY_ENABLED": "false"}) as orchestrator:
        orchestrator.register_agent(nice, name="nice", skills=[SKILL])
        second = await orchestrator.execute_orchestrated_request(REQUEST)
        metrics = await orchestrator.get_workflow_learning_metrics()
    assert second.task_type == "general"
    assert second.recorded
    assert (second.recalled.similar_runs, second.recalled.attempts_known) == ([], 0)
    assert metrics["total_workflows_executed"] == 2
    assert metrics["memory_hit_rate"]["n"] == 1


async def test_a_secret_in_an_agents_error_reaches_neither_logs_nor_memory(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SHOP_API_KEY", "very-private-value")

    async def careless(assignment: Assignment) -> str:
        raise RuntimeError("GET http://shop/?key=very-private-value failed; sk-abcdef123456")

    async with make() as orchestrator:
        orchestrator.register_agent(careless, name="careless", skills=[SKILL])
        with caplog.at_level(logging.DEBUG):
            result = await orchestrator.execute_orchestrated_request(REQUEST)
        told = str(await orchestrator.services.memory.events(result.run_id))
    for text in (caplog.text, str(result), told):
        assert "very-private-value" not in text
        assert "abcdef123456" not in text
    assert "RuntimeError" in " ".join(result.errors)


async def test_a_key_in_a_request_reaches_the_agent_and_no_memory(
    make: Make, tmp_path: Path
) -> None:
    asked: list[str] = []

    async def agent(assignment: Assignment) -> dict[str, str]:
        asked.append(assignment.request)
        return {"answer": "done"}

    async with make() as orchestrator:
        orchestrator.register_agent(agent, name="agent", skills=[SKILL])
        await orchestrator.execute_orchestrated_request(f"{REQUEST} with sk-abcdef123456")
    assert asked == [f"{REQUEST} with sk-abcdef123456"]
    for file in tmp_path.glob("memory.db*"):
        assert b"abcdef123456" not in file.read_bytes()


async def test_a_check_that_cancels_its_own_work_proves_nothing(make: Make) -> None:
    async def confused(submission: Submission) -> Verdict:
        raise asyncio.CancelledError

    async with make() as orchestrator:
        orchestrator.register_agent(nice, name="nice", skills=[SKILL], checks={"answer": confused})
        result = await orchestrator.execute_orchestrated_request(REQUEST)
    assert not result.success
    assert "cancelled its own work" in " ".join(result.errors)


async def test_each_step_says_at_its_level_what_happened(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "genesis"):
        async with make() as orchestrator:
            orchestrator.register_agent(nice, name="nice", skills=[SKILL])
            for _ in range(2):
                await orchestrator.execute_orchestrated_request(REQUEST, "s")
    said = {(record.levelname, record.getMessage()) for record in caplog.records}
    text = "\n".join(f"{level} {message}" for level, message in said)
    assert "INFO memory integration enabled" in text
    assert "INFO Step 0: querying memory for general" in text
    assert "INFO found 1 patterns for general, best rate 100 %" in text
    assert "INFO Step 7: compacted session s" in text
    assert "% smaller" in text


async def test_closing_a_stream_before_its_first_event_leaves_nothing_behind(make: Make) -> None:
    async with make() as orchestrator:
        orchestrator.register_agent(nice, name="nice", skills=[SKILL])
        stream = orchestrator.stream(REQUEST)
        await stream.aclose()
        seen = [type(event) async for event in orchestrator.stream(REQUEST)]
    assert AttemptStarted in seen


class Chatty:
    """Says more than anybody reads."""

    card = AgentCard("chatty", "Talks.", (SKILL,))

    async def send(self, message: Message) -> AsyncGenerator[AgentEvent]:
        said = Message("m", "agent", (Part(text="still at it"),))
        for _ in range(20_000):
            yield StatusUpdate("t", "c", TaskState.WORKING, said)
        yield Message("done", "agent", (Part(text="a nice day"),))

    async def cancel(self, task_id: str) -> None:
        """Closing the stream is enough."""


async def test_a_slow_reader_of_a_stream_misses_only_chatter(make: Make) -> None:
    async with make(agents=[Chatty()]) as orchestrator:
        seen = [event async for event in orchestrator.stream(REQUEST)]
    names = [type(event).__name__ for event in seen]
    assert 0 < names.count("AttemptProgress") < 5_000
    assert names[-2:] == ["RunEnded", "RunFinished"]
    assert {"TaskEnded", "AttemptEnded", "PlanMade"} <= set(names)


async def test_a_workflow_stored_by_hand_is_counted(make: Make) -> None:
    async with make() as orchestrator:
        stored = await orchestrator._store_workflow_result(  # pyright: ignore[reportPrivateUsage] - part of the interface
            "custom_task", ["a:b:", "c:d:"], True, 2.0, "s", cost=0.5, metadata={"by": "hand"}
        )
        best = await orchestrator.memory.get_best_workflow_for_task("custom_task", "cost")
    assert stored
    assert best is not None
    assert (best.workflow_steps, best.avg_cost, best.avg_duration) == (["a:b:", "c:d:"], 0.5, 2.0)


async def test_a_request_that_cannot_be_used_is_an_error_of_its_stream(make: Make) -> None:
    async with make() as orchestrator:
        with pytest.raises(InputError):
            _ = [event async for event in orchestrator.stream("")]


async def test_a_closed_store_is_said(make: Make) -> None:
    orchestrator = make()
    orchestrator.register_agent(nice, name="nice", skills=[SKILL])
    await orchestrator.execute_orchestrated_request(REQUEST)
    await orchestrator.aclose()
    with pytest.raises(StoreError, match="closed"):
        await orchestrator.execute_orchestrated_request(REQUEST)
