"""What breaks in the middle of a run ends it with its cause, and leaves nothing half-stored."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from loopback import Serve
from openai_server import Failure, OpenAIServer

from genesis import Assignment, GenesisOrchestrator, OrchestrationResult, Skill
from genesis.agents.adapters import FunctionAgent
from infrastructure.a2a.agent import AgentCard
from infrastructure.a2a.serving import serve_agent
from infrastructure.config import load_flags, load_settings

SKILL = Skill("summarise", "Summarises.", ("general",), produces=("answer",), seconds=0.1)
REQUEST = "Tell me something nice"

Make = Callable[..., GenesisOrchestrator]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    workspace = tmp_path / "workspace"
    workspace.mkdir()

    def build(**arguments: object) -> GenesisOrchestrator:
        settings = load_settings(
            {}, workspace=workspace, data_dir=tmp_path / "data", db_path=str(tmp_path / "memory.db")
        )
        return GenesisOrchestrator(settings=settings, flags=load_flags({}), **arguments)  # type: ignore[arg-type]

    return build


async def assert_failed_cleanly(
    orchestrator: GenesisOrchestrator, result: OrchestrationResult, cause: str
) -> None:
    """The result says why, and the store holds the run whole: ended, counted once, explained."""
    assert not result.success
    assert cause in " ".join(result.errors), result.errors
    memory = orchestrator.services.memory
    run = await memory.run(result.run_id)
    assert run is not None
    assert run.state == "failed"
    metrics = await orchestrator.get_workflow_learning_metrics()
    assert metrics["total_workflows_executed"] == 1
    assert metrics["overall_success_rate"] == 0.0
    assert cause in str(await orchestrator.explain(result.run_id))
    assert await orchestrator.memory.retrieve_workflow_patterns(result.task_type) == []


async def test_an_agent_that_raises(make: Make) -> None:
    async def broken(assignment: Assignment) -> str:
        raise ZeroDivisionError("by zero, of all things")

    orchestrator = make(agents=[])
    orchestrator.register_agent(broken, name="broken", skills=[SKILL])
    async with orchestrator:
        result = await orchestrator.execute_orchestrated_request(REQUEST)
        await assert_failed_cleanly(orchestrator, result, "by zero, of all things")


async def test_an_agent_whose_process_is_killed(make: Make) -> None:
    async def suicidal(assignment: Assignment) -> str:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "import time; time.sleep(60)"
        )
        process.send_signal(signal.SIGKILL)
        code = await process.wait()
        raise ChildProcessError(f"the worker ended with {code}")

    orchestrator = make(agents=[])
    orchestrator.register_agent(suicidal, name="suicidal", skills=[SKILL])
    async with orchestrator:
        result = await orchestrator.execute_orchestrated_request(REQUEST)
        await assert_failed_cleanly(orchestrator, result, "the worker ended with -9")


async def test_an_agent_that_never_ends_meets_the_deadline(make: Make) -> None:
    async def endless(assignment: Assignment) -> str:
        await asyncio.Event().wait()
        return ""

    orchestrator = make(agents=[])
    orchestrator.register_agent(endless, name="endless", skills=[SKILL])
    async with orchestrator:
        result = await orchestrator.execute_orchestrated_request(REQUEST, timeout_s=0.5)
        await assert_failed_cleanly(orchestrator, result, "did not end the task within")


async def test_a_remote_agent_answers_over_http_and_dies_in_the_middle(
    make: Make, serve: Serve
) -> None:
    started, mortal = asyncio.Event(), [False]

    async def nice(assignment: Assignment) -> dict[str, str]:
        if mortal[0]:
            started.set()
            await asyncio.Event().wait()
        return {"answer": "a nice day"}

    agent = FunctionAgent(AgentCard("faraway", "Answers nicely.", (SKILL,)), nice)
    served = await serve(lambda url: serve_agent(agent, url=url))
    orchestrator = make(agents=[served.url])
    async with orchestrator:
        fine = await orchestrator.execute_orchestrated_request(REQUEST)
        assert fine.success, fine.errors
        assert [task.agent for task in fine.tasks] == ["faraway"]
        mortal[0] = True
        asking = asyncio.create_task(orchestrator.execute_orchestrated_request(REQUEST))
        await started.wait()
        await served.kill()
        result = await asking
        assert not result.success
        assert result.recorded
        assert "faraway" in " ".join(result.errors)
        metrics = await orchestrator.get_workflow_learning_metrics()
    assert metrics["total_workflows_executed"] == 2
    assert metrics["overall_success_rate"] == 0.5


@pytest.mark.parametrize("failure", [Failure.CLOSE, Failure.SERVER_ERROR, Failure.GARBAGE])
async def test_a_model_that_dies_in_the_middle(
    make: Make, monkeypatch: pytest.MonkeyPatch, failure: Failure
) -> None:
    with OpenAIServer(lambda _: failure) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-key")
        async with make(model="openai:scripted") as orchestrator:
            result = await orchestrator.execute_orchestrated_request(
                "Implement a binary search algorithm"
            )
            await assert_failed_cleanly(orchestrator, result, "openai:scripted")
    assert server.requests
    assert "sk-secret-key" not in str(result)


async def test_the_store_fails_at_the_end_and_the_answer_survives(
    make: Make, tmp_path: Path
) -> None:
    database = tmp_path / "memory.db"

    async def saboteur(assignment: Assignment) -> dict[str, str]:
        # Whoever writes next finds that the file is no longer the one that was opened.
        orchestrator.services.memory.memori.close()
        return {"answer": "done"}

    orchestrator = make(agents=[])
    orchestrator.register_agent(saboteur, name="saboteur", skills=[SKILL])
    result = await orchestrator.execute_orchestrated_request(REQUEST)
    assert not result.recorded
    assert "not stored" in " ".join(result.errors)
    assert database.exists()
    async with make(agents=[]) as again:
        (run,) = await again.services.memory.runs()
        metrics = await again.get_workflow_learning_metrics()
    assert (run.run_id, run.state) == (result.run_id, "running")
    assert metrics["total_workflows_executed"] == 0


async def test_a_budget_that_does_not_reach_stops_the_run(make: Make) -> None:
    called: list[str] = []

    async def dear(assignment: Assignment) -> dict[str, str]:
        called.append(assignment.task.id)
        return {"answer": "gold"}

    skill = Skill("summarise", "Summarises.", ("general",), produces=("answer",), cost_usd=2.0)
    orchestrator = make(agents=[])
    orchestrator.register_agent(dear, name="dear", skills=[skill])
    async with orchestrator:
        result = await orchestrator.execute_orchestrated_request(REQUEST, budget_usd=0.5)
        await assert_failed_cleanly(orchestrator, result, "0.5")
        assert called == []
        paid = await orchestrator.execute_orchestrated_request(REQUEST, budget_usd=5)
    assert paid.success
    assert paid.cost_usd == pytest.approx(2.0)


def test_the_process_is_killed_and_the_accepted_run_is_known(tmp_path: Path) -> None:
    """kill -9 in the middle: the run is there as running, and nothing of it is counted."""
    script = (
        "import asyncio, os, signal\n"
        "from genesis import GenesisOrchestrator, Skill\n"
        "async def agent(assignment):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "orchestrator = GenesisOrchestrator(agents=[])\n"
        "orchestrator.register_agent(agent, name='a', skills=[Skill('s', 's', ('general',), "
        "produces=('answer',))])\n"
        f"asyncio.run(orchestrator.execute_orchestrated_request({REQUEST!r}))\n"
    )
    database = tmp_path / "killed.db"
    environment = {**os.environ, "MEMORI_DB_PATH": str(database), "GENESIS_DATA_DIR": str(tmp_path)}

    async def run() -> tuple[int, list[str], int]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, env=environment, cwd=tmp_path
        )
        code = await process.wait()
        settings = load_settings({}, db_path=str(database))
        async with GenesisOrchestrator(settings=settings, agents=[]) as orchestrator:
            states = [found.state for found in await orchestrator.services.memory.runs()]
            metrics = await orchestrator.get_workflow_learning_metrics()
        return code, states, metrics["total_workflows_executed"]

    assert asyncio.run(run()) == (-signal.SIGKILL, ["running"], 0)
