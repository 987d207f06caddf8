"""Failed branches planned again, and what flags, breakers and load change, in whole runs."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genesis import Assignment, GenesisOrchestrator, Skill
from genesis.errors import AgentUnavailable
from genesis.testing import Fail, FakeAgent
from infrastructure.config import load_flags, load_settings

REQUEST = "Tell me something nice"
CONFIG = Path(__file__).parent.parent / "config"
TWO_WAYS = """
deliverables: {}
asked: {general: {always: [answer]}}
templates:
  - name: live
    task_types: [general]
    asks: [answer]
    tasks:
      - {id: fetch, description: Fetch., operation: fetch_live, produces: [facts]}
      - {id: count, description: Count., operation: count, produces: [figures]}
      - {id: compose, description: Compose., operation: compose, requires: [facts, figures],
         produces: [answer]}
  - name: archive
    task_types: [general]
    asks: [facts]
    tasks:
      - {id: archive, description: Fetch., operation: fetch_archive, requires: [figures],
         produces: [facts]}
"""

Make = Callable[..., GenesisOrchestrator]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    workspace = tmp_path / "workspace"
    workspace.mkdir()

    def build(flags: dict[str, str] | None = None, **settings: Any) -> GenesisOrchestrator:
        chosen = load_settings(
            {},
            workspace=workspace,
            data_dir=tmp_path / "data",
            db_path=str(tmp_path / "memory.db"),
            **settings,
        )
        return GenesisOrchestrator(settings=chosen, flags=load_flags(flags or {}), agents=[])

    return build


@pytest.fixture
def two_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Facts can be fetched live or from an archive; the live way comes first."""
    folder = tmp_path / "config"
    shutil.copytree(CONFIG, folder)
    (folder / "plan_templates.yaml").write_text(TWO_WAYS)
    monkeypatch.setenv("GENESIS_CONFIG_DIR", str(folder))


def register(orchestrator: GenesisOrchestrator, calls: list[str], broken: set[str]) -> None:
    """An agent per operation; those in `broken` fail."""

    def agent(operation: str) -> Callable[[Assignment], Any]:
        async def work(assignment: Assignment) -> dict[str, str]:
            calls.append(operation)
            if operation in broken:
                raise RuntimeError(f"{operation} is out of order")
            return {assignment.task.produces[0]: f"by {operation}"}

        return work

    # What needs other data cannot stand in within an attempt: it takes another plan.
    requires = {"compose": ("facts", "figures"), "fetch_archive": ("figures",)}
    produces = {"count": ("figures",), "compose": ("answer",)}
    for operation in ("fetch_live", "fetch_archive", "count", "compose"):
        skill = Skill(
            operation,
            operation,
            ("general",),
            requires.get(operation, ()),
            produces.get(operation, ("facts",)),
            cost_usd=0.125,
        )
        orchestrator.register_agent(agent(operation), name=operation, skills=[skill])


@pytest.mark.usefixtures("two_ways")
async def test_a_failed_branch_is_done_another_way_and_the_rest_is_kept(make: Make) -> None:
    calls: list[str] = []
    async with make() as orchestrator:
        register(orchestrator, calls, {"fetch_live"})
        result = await orchestrator.execute_orchestrated_request(REQUEST, "s")
        recall = await orchestrator.services.memory.recall("general")
        told = str(await orchestrator.explain(result.run_id))
        (workflow,) = await orchestrator.services.memory.workflows("s")
        again = await orchestrator.execute_orchestrated_request(REQUEST, "s")
    assert (result.success, result.errors) == (True, [])
    assert calls[:4].count("count") == 1
    assert {task.id: task.status for task in result.tasks} == {
        "fetch": "failed",
        "count": "completed",
        "fetch.2": "completed",
        "compose": "completed",
    }
    assert len(result.tasks) == 4
    assert result.cost_usd == pytest.approx(4 * 0.125)
    assert {c.agent: (c.successes, c.failures) for c in recall.outcomes} == {
        "fetch_live": (0, 1),
        "count": (1, 0),
        "fetch_archive": (1, 0),
        "compose": (1, 0),
    }
    assert len(workflow.steps) == 4
    assert "is done by 'fetch_archive' as 'fetch.2' instead" in told
    # What was learnt is the plan that worked.
    assert again.success
    assert again.plan_source == "memory"
    assert "fetch_live" not in calls[4:]


async def test_two_branches_that_failed_are_both_done_another_way_at_once(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "config"
    shutil.copytree(CONFIG, folder)
    guess = """
  - name: guess
    task_types: [general]
    asks: [figures]
    tasks:
      - {id: ask, description: Ask., operation: ask, produces: [hearsay]}
      - {id: guess, description: Guess., operation: guess, requires: [hearsay, facts],
         produces: [figures]}
"""
    ways = TWO_WAYS.replace("requires: [figures],", "requires: [hearsay],")
    (folder / "plan_templates.yaml").write_text(ways + guess)
    monkeypatch.setenv("GENESIS_CONFIG_DIR", str(folder))
    needs: dict[str, tuple[str, ...]] = {
        "compose": ("facts", "figures"),
        "guess": ("hearsay", "facts"),
        "fetch_archive": ("hearsay",),
    }
    made = {"count": "figures", "guess": "figures", "ask": "hearsay", "compose": "answer"}
    agents: dict[str, FakeAgent] = {}
    async with make() as orchestrator:
        for name in ("fetch_live", "fetch_archive", "count", "ask", "guess", "compose"):
            datum = made.get(name, "facts")
            does = Fail("out of order") if name in ("fetch_live", "count") else {datum: name}
            agents[name] = FakeAgent(
                name, does, skills=[Skill(name, name, ("general",), needs.get(name, ()), (datum,))]
            )
            orchestrator.register_agent(agents[name])
        result = await orchestrator.execute_orchestrated_request(REQUEST)
    assert result.success, result.errors
    operations = {task.id: task.operation for task in result.tasks if task.status == "completed"}
    assert operations == {
        "fetch.2": "fetch_archive",
        "count.2": "guess",
        "ask": "ask",
        "compose": "compose",
    }
    # Both in one round, with the one task that both need; nobody was asked twice.
    assert {name: agent.calls for name, agent in agents.items()} == dict.fromkeys(agents, 1)


@pytest.mark.usefixtures("two_ways")
async def test_rounds_of_planning_are_bounded(make: Make) -> None:
    calls: list[str] = []
    async with make(max_replans=0) as orchestrator:
        register(orchestrator, calls, {"fetch_live"})
        result = await orchestrator.execute_orchestrated_request(REQUEST)
    assert not result.success
    assert "fetch_live is out of order" in " ".join(result.errors)
    assert sorted(calls) == ["count", "fetch_live"]
    assert {task.id: task.status for task in result.tasks}["compose"] == "skipped"


def skill(cost_usd: float = 0.0) -> Skill:
    return Skill("summarise", "S.", ("general",), produces=("answer",), cost_usd=cost_usd)


async def asked_first(orchestrator: GenesisOrchestrator, runs: int) -> set[str]:
    async def answer(assignment: Assignment) -> dict[str, str]:
        return {"answer": "done"}

    orchestrator.register_agent(answer, name="cheap", skills=[skill(0.01)])
    orchestrator.register_agent(answer, name="dear", skills=[skill(0.05)])
    async with orchestrator:
        results = [await orchestrator.execute_orchestrated_request(REQUEST) for _ in range(runs)]
    return {result.tasks[0].attempts[0].agent for result in results}


async def test_exploration_asks_others_now_and_then_where_it_is_enabled(make: Make) -> None:
    curious = make({"EXPLORATION_ENABLED": "true"}, exploration_floor=1.0)
    assert await asked_first(curious, 40) == {"cheap", "dear"}


async def test_without_exploration_the_best_is_asked(make: Make) -> None:
    assert await asked_first(make(exploration_floor=1.0), 10) == {"cheap"}


async def test_exploration_is_off_with_memory(make: Make) -> None:
    flags = {"EXPLORATION_ENABLED": "true", "MEMORY_ENABLED": "false"}
    assert await asked_first(make(flags, exploration_floor=1.0), 10) == {"cheap"}


@pytest.mark.parametrize(("flag", "archived"), [("true", 1), ("false", 0)])
async def test_sessions_are_compacted_where_it_is_enabled(
    make: Make, flag: str, archived: int
) -> None:
    async with make({"COMPACTION_ENABLED": flag}) as orchestrator:
        await orchestrator.execute_orchestrated_request(REQUEST, "s")
        await orchestrator.drain()
        assert (await orchestrator.compaction.get_compaction_metrics()).num_memories == archived
        assert len(await orchestrator.compaction.read_session("s")) == 1


async def test_an_agent_that_cannot_be_reached_is_left_alone_for_a_while(make: Make) -> None:
    async def away(assignment: Assignment) -> str:
        raise AgentUnavailable("nobody is at home")

    async def here(assignment: Assignment) -> dict[str, str]:
        return {"answer": "done"}

    async with make({"MEMORY_ENABLED": "false"}) as orchestrator:
        orchestrator.register_agent(away, name="away", skills=[skill()], max_concurrency=8)
        orchestrator.register_agent(here, name="here", skills=[skill(0.5)])
        await asyncio.gather(
            *(orchestrator.execute_orchestrated_request(REQUEST) for _ in range(5))
        )
        later = await orchestrator.execute_orchestrated_request(REQUEST)
        told = str(await orchestrator.explain(later.run_id))
    assert [attempt.agent for attempt in later.tasks[0].attempts] == ["here"]
    assert "circuit breaker is open" in told


async def test_who_is_busy_is_asked_later(make: Make) -> None:
    first_called, second_called = asyncio.Event(), asyncio.Event()

    async def first(assignment: Assignment) -> dict[str, str]:
        first_called.set()
        await second_called.wait()
        return {"answer": "done"}

    async def second(assignment: Assignment) -> dict[str, str]:
        second_called.set()
        return {"answer": "done"}

    async with make() as orchestrator:
        orchestrator.register_agent(first, name="first", skills=[skill()], max_concurrency=1)
        orchestrator.register_agent(second, name="second", skills=[skill()], max_concurrency=1)
        one = asyncio.create_task(orchestrator.execute_orchestrated_request(REQUEST))
        await first_called.wait()
        two = await orchestrator.execute_orchestrated_request(REQUEST)
        assert (await one).tasks[0].agent == "first"
    assert two.tasks[0].agent == "second"


async def test_decisions_are_durable_before_an_agent_acts_on_them(make: Make) -> None:
    seen: list[str] = []

    async def curious(assignment: Assignment) -> dict[str, str]:
        memory = orchestrator.services.memory
        (run,) = await memory.runs(state="running")
        seen.extend(str(event["type"]) for event in await memory.events(run.run_id))
        return {"answer": "done"}

    orchestrator = make()
    orchestrator.register_agent(curious, name="curious", skills=[skill()])
    async with orchestrator:
        result = await orchestrator.execute_orchestrated_request(REQUEST)
    assert result.success
    assert {"RunAccepted", "PlanMade", "PlanValidated", "TasksRouted", "PlanPriced"} <= set(seen)


@pytest.mark.usefixtures("two_ways")
async def test_a_plan_that_does_not_validate_is_not_executed(make: Make) -> None:
    calls: list[str] = []
    async with make(max_plan_depth=1) as orchestrator:
        register(orchestrator, calls, set())
        result = await orchestrator.execute_orchestrated_request(REQUEST)
        told = str(await orchestrator.explain(result.run_id))
    assert not result.success
    assert calls == []
    assert "its longest path has 2 tasks and at most 1 are allowed" in " ".join(result.errors)
    assert "[aop] validation: sent back" in told
    assert result.recorded
