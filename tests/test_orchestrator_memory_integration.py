"""The orchestrator with its memory, through its public interface, on real files and SQLite."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from genesis import Assignment, GenesisOrchestrator, OrchestrationResult, Skill, TaskOutput
from genesis.errors import InputError, StoreUnavailable, UnknownRun, WorkspaceError
from genesis.execution.events import AttemptStarted
from genesis.result import RunFinished
from infrastructure.config import FeatureFlags, load_flags, load_settings

QUESTION = "How many rows are in prices.csv, and which city has the highest mean price?"
SIMILAR = "How many rows are in sales.csv, and which shop has the highest mean revenue?"

Make = Callable[..., GenesisOrchestrator]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    (folder / "prices.csv").write_text("city,price\nOslo,3\nRome,8\nOslo,5\nRome,6\nBern,1\n")
    (folder / "sales.csv").write_text("shop,revenue\nN,10\nS,30\nN,20\nS,50\n")
    return folder


@pytest.fixture
def make(workspace: Path, tmp_path: Path) -> Make:
    """Builds orchestrators on one database and workspace."""

    def build(flags: FeatureFlags | None = None, **arguments: object) -> GenesisOrchestrator:
        settings = load_settings(
            {}, workspace=workspace, data_dir=tmp_path / "data", db_path=str(tmp_path / "memory.db")
        )
        return GenesisOrchestrator(
            settings=settings,
            flags=flags or load_flags({}),
            **arguments,  # type: ignore[arg-type]
        )

    return build


def attempts(result: OrchestrationResult) -> int:
    return sum(len(task.attempts) for task in result.tasks)


async def test_a_question_is_answered_recorded_and_explained(make: Make) -> None:
    async with make() as orchestrator:
        result = await orchestrator.execute_orchestrated_request(QUESTION)
        assert result.success, result.errors
        assert result.version == "2.1"
        assert result.task_type == "data_analysis"
        assert "5" in result.output
        assert "Rome" in result.output
        assert result.session_id
        assert result.recorded
        assert all(task.verdict and task.verdict.passed for task in result.tasks)
        metrics = await orchestrator.get_workflow_learning_metrics()
        assert metrics["total_workflows_executed"] == 1
        assert metrics["metrics_by_task_type"]["data_analysis"]["success_rate"] == 1.0
        told = str(await orchestrator.explain(result.run_id))
    for step in ("recall", "htdag", "halo", "aop", "daao", "execute", "record"):
        assert f"[{step}]" in told
    assert "data_analyst" in told


async def test_a_similar_request_uses_the_first_ones_plan(make: Make) -> None:
    async with make() as orchestrator:
        first = await orchestrator.execute_orchestrated_request(QUESTION)
        second = await orchestrator.execute_orchestrated_request(SIMILAR)
    assert (first.plan_source, second.plan_source) == ("template", "memory")
    assert second.success
    assert "S" in second.output
    assert second.recalled.similar_runs == [first.run_id]
    assert second.recalled.changed


async def test_another_deliverable_does_not_reuse_the_plan(make: Make) -> None:
    async with make() as orchestrator:
        await orchestrator.execute_orchestrated_request(QUESTION)
        other = await orchestrator.execute_orchestrated_request(
            "Profile prices.csv: missing values and duplicates"
        )
    assert other.plan_source == "template"


async def test_what_was_learnt_is_there_after_a_restart(make: Make) -> None:
    async with make() as orchestrator:
        first = await orchestrator.execute_orchestrated_request(QUESTION)
    async with make() as orchestrator:
        second = await orchestrator.execute_orchestrated_request(SIMILAR)
        assert second.plan_source == "memory"
        assert str(await orchestrator.explain(first.run_id))


def test_one_object_outlives_an_event_loop(make: Make) -> None:
    orchestrator = make()
    first = asyncio.run(orchestrator.execute_orchestrated_request(QUESTION))

    async def again() -> OrchestrationResult:
        async with orchestrator:
            results = await asyncio.gather(
                *(orchestrator.execute_orchestrated_request(SIMILAR) for _ in range(12))
            )
        assert all(result.success for result in results)
        return results[0]

    second = asyncio.run(again())
    assert first.success
    assert second.plan_source == "memory"


async def test_many_requests_at_once_on_one_object(make: Make) -> None:
    async with make() as orchestrator:
        results = await asyncio.gather(
            *(
                orchestrator.execute_orchestrated_request(QUESTION, f"session-{n}")
                for n in range(16)
            )
        )
        metrics = await orchestrator.get_workflow_learning_metrics()
        one = await orchestrator.get_workflow_learning_metrics(session_id="session-3")
    assert all(result.success for result in results)
    assert len({result.run_id for result in results}) == 16
    assert metrics["total_workflows_executed"] == 16
    assert one["total_workflows_executed"] == 1


async def test_stream_ends_with_the_result(make: Make) -> None:
    async with make() as orchestrator:
        events = [event async for event in orchestrator.stream(QUESTION)]
    names = [type(event).__name__ for event in events]
    assert names[0] == "RunAccepted"
    assert {"PlanMade", "PlanValidated", "TasksRouted", "PlanPriced", "TaskEnded"} <= set(names)
    last = events[-1]
    assert isinstance(last, RunFinished)
    assert last.result.success


async def test_leaving_a_stream_early_cancels_the_run(make: Make) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def endless(assignment: Assignment) -> str:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return ""

    orchestrator = make(agents=[])
    orchestrator.register_agent(
        endless, name="endless", skills=[Skill("answer_questions", "waits", ("data_analysis",))]
    )
    async with orchestrator:
        stream = orchestrator.stream(QUESTION)
        async for event in stream:
            if isinstance(event, AttemptStarted):
                break
        await started.wait()
        await stream.aclose()
        assert cancelled.is_set()
        (run,) = await orchestrator.services.memory.runs()
    assert run.state == "canceled"


async def test_feedback_corrects_metrics_and_inference(make: Make) -> None:
    async with make() as orchestrator:
        result = await orchestrator.execute_orchestrated_request(QUESTION)
        for _ in range(2):
            await orchestrator.record_feedback(result.run_id, success=False)
        metrics = await orchestrator.get_workflow_learning_metrics("data_analysis")
        assert metrics["metrics_by_task_type"]["data_analysis"]["success_rate"] == 0.0
        assert metrics["total_workflows_executed"] == 1
        with pytest.raises(UnknownRun, match="no-such-run"):
            await orchestrator.record_feedback("no-such-run", success=True)


async def test_feedback_reaches_workflows_stored_by_hand(make: Make) -> None:
    async with make() as orchestrator:
        stored = await orchestrator.memory.store_workflow("custom", ["a"], True, 1.0, "one")
        await orchestrator.record_feedback(stored, success=False)
        metrics = await orchestrator.memory.get_task_success_metrics("custom")
    assert (metrics.successful_executions, metrics.failed_executions) == (0, 1)


async def test_compaction_is_off_the_answers_path_and_loses_nothing(make: Make) -> None:
    async with make() as orchestrator:
        for text in (QUESTION, SIMILAR, QUESTION):
            await orchestrator.execute_orchestrated_request(text, "one")
        await orchestrator.drain()
        again = await orchestrator.compaction.compact_session("one")
        stored = await orchestrator.compaction.read_session("one")
        metrics = await orchestrator.get_workflow_learning_metrics()
    assert len(stored) == 3
    assert all(workflow.success for workflow in stored)
    assert again.num_memories == 3
    assert metrics["total_workflows_executed"] == 3


async def test_the_memory_tool_sees_what_the_orchestrator_did(make: Make) -> None:
    async with make() as orchestrator:
        await orchestrator.execute_orchestrated_request(QUESTION)
        (pattern,) = await orchestrator.memory.retrieve_workflow_patterns("data_analysis")
        metrics = await orchestrator.memory.get_task_success_metrics("data_analysis")
    assert pattern.workflow_steps == ["data_analysis:data_analyst:"]
    assert (metrics.total_executions, metrics.successful_executions) == (1, 1)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "empty"),
        ("   \n", "empty"),
        ("x" * 1_000_000, "100,000"),
        ("analyse \x00\x01\x02 this", "control|binary|NUL"),
    ],
)
async def test_unusable_requests_are_refused_and_leave_nothing(
    make: Make, text: str, complaint: str
) -> None:
    async with make() as orchestrator:
        with pytest.raises(InputError, match=complaint):
            await orchestrator.execute_orchestrated_request(text)
        assert await orchestrator.services.memory.runs() == []


async def test_missing_and_foreign_files_are_named(make: Make) -> None:
    async with make() as orchestrator:
        with pytest.raises(InputError, match=r"price\.csv.*prices\.csv"):
            await orchestrator.execute_orchestrated_request("How many rows are in price.csv?")
        with pytest.raises(WorkspaceError, match="outside"):
            await orchestrator.execute_orchestrated_request("How many rows are in ../x.csv?")


@pytest.mark.parametrize("budget", [-1, float("nan"), float("inf"), True])
async def test_impossible_budgets_are_refused(make: Make, budget: float) -> None:
    async with make() as orchestrator:
        with pytest.raises(InputError, match="budget_usd"):
            await orchestrator.execute_orchestrated_request(QUESTION, budget_usd=budget)


async def test_without_a_model_code_generation_fails_and_names_the_setting(make: Make) -> None:
    async with make() as orchestrator:
        result = await orchestrator.execute_orchestrated_request(
            "Implement a binary search algorithm"
        )
        metrics = await orchestrator.get_workflow_learning_metrics()
    assert not result.success
    assert result.recorded
    assert "GENESIS_MODEL=provider:name" in " ".join(result.errors)
    assert metrics["metrics_by_task_type"]["code_generation"]["failed_executions"] == 1


async def test_an_agent_that_claims_success_and_is_wrong_has_failed(make: Make) -> None:
    async def liar(assignment: Assignment) -> TaskOutput:
        answers = {"answers": [{"question": "rows", "answer": "7", "value": 7}]}
        return TaskOutput("7 rows", {"data_answers": answers})

    orchestrator = make()
    skill = Skill(
        "answer_questions",
        "lies",
        ("data_analysis",),
        ("dataset",),
        ("data_answers",),
        seconds=0.01,
    )
    orchestrator.register_agent(liar, name="liar", skills=[skill])
    async with orchestrator:
        first = await orchestrator.execute_orchestrated_request(QUESTION)
        second = await orchestrator.execute_orchestrated_request(SIMILAR)
    assert [a.agent for a in first.tasks[0].attempts] == ["liar", "data_analyst"]
    assert first.tasks[0].attempts[0].outcome == "rejected"
    assert first.success
    assert [a.agent for a in second.tasks[0].attempts] == ["data_analyst"]
    assert any("liar" in change for change in second.recalled.changed)


async def test_version_1_answers_without_memory(make: Make) -> None:
    flags = load_flags({"ORCHESTRATION_ENABLED": "false"})
    async with make(flags) as orchestrator:
        result = await orchestrator.execute_orchestrated_request(QUESTION)
        assert result.version == "1.0"
        assert result.success
        assert "Rome" in result.output
        assert not result.recorded
        assert await orchestrator.services.memory.runs() == []


async def test_a_store_that_cannot_be_opened_is_said_and_v1_may_answer(
    workspace: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(b"this is no database " * 100)
    settings = load_settings({}, workspace=workspace, data_dir=tmp_path, db_path=str(damaged))
    async with GenesisOrchestrator(settings=settings, flags=load_flags({})) as orchestrator:
        with pytest.raises(StoreUnavailable, match=r"damaged\.db"):
            await orchestrator.execute_orchestrated_request(QUESTION)
    flags = load_flags({"FALLBACK_TO_V1": "true"})
    async with GenesisOrchestrator(settings=settings, flags=flags) as orchestrator:
        result = await orchestrator.execute_orchestrated_request(QUESTION)
    assert (result.version, result.success) == ("1.0", True)
    assert damaged.read_bytes() == b"this is no database " * 100


async def test_all_eight_steps_on_langgraphs_own_store(workspace: Path, tmp_path: Path) -> None:
    from langgraph.store.memory import InMemoryStore

    settings = load_settings({}, workspace=workspace, data_dir=tmp_path)
    store = InMemoryStore()
    async with GenesisOrchestrator(store=store, settings=settings) as orchestrator:
        first = await orchestrator.execute_orchestrated_request(QUESTION)
        await orchestrator.drain()
        assert first.success
        assert first.recorded
        assert orchestrator.services.memory.notes
    async with GenesisOrchestrator(store=store, settings=settings) as orchestrator:
        second = await orchestrator.execute_orchestrated_request(SIMILAR)
    assert second.plan_source == "memory"


def test_a_script_that_closes_nothing_ends_and_loses_nothing(
    workspace: Path, tmp_path: Path
) -> None:
    script = (
        "import asyncio\n"
        "from genesis import GenesisOrchestrator\n"
        "orchestrator = GenesisOrchestrator()\n"
        f"result = asyncio.run(orchestrator.execute_orchestrated_request({QUESTION!r}))\n"
        "print(result.run_id)\n"
    )
    environment = {
        "MEMORI_DB_PATH": str(tmp_path / "script.db"),
        "GENESIS_DATA_DIR": str(tmp_path),
        "PATH": "/usr/bin:/bin",
        "MPLCONFIGDIR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=workspace,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    settings = load_settings({}, workspace=workspace, db_path=str(tmp_path / "script.db"))

    async def stored() -> list[str]:
        async with GenesisOrchestrator(settings=settings) as orchestrator:
            return [run.run_id for run in await orchestrator.services.memory.runs()]

    assert asyncio.run(stored()) == [done.stdout.strip()]


def test_an_agent_in_demand_serves_one_event_loop_after_another(make: Make) -> None:
    orchestrator = make(agents=[])

    async def answer(assignment: Assignment) -> dict[str, str]:
        await asyncio.sleep(0)
        return {"data_answers": "five"}

    skill = Skill("answer_questions", "answers", ("data_analysis",), produces=("data_answers",))
    orchestrator.register_agent(answer, name="only", skills=[skill], max_concurrency=1)

    async def crowd() -> list[bool]:
        asked = [orchestrator.execute_orchestrated_request(QUESTION) for _ in range(8)]
        return [result.success for result in await asyncio.gather(*asked)]

    assert asyncio.run(crowd()) == [True] * 8
    assert asyncio.run(crowd()) == [True] * 8
    asyncio.run(orchestrator.aclose())
