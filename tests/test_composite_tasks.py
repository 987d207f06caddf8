"""Composite tasks: requests within a request, in whole runs."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from langchain_openai import ChatOpenAI
from langgraph.store.memory import InMemoryStore
from openai_server import OpenAIServer
from pydantic import SecretStr

from genesis import Assignment, GenesisOrchestrator, Skill, TaskOutput
from genesis.agents import composite
from genesis.agents.files import resolve_input
from genesis.cli.render import receipt
from genesis.errors import AgentError
from genesis.events import RunAccepted, RunEnded
from genesis.execution.below import run_id_below
from genesis.execution.events import SubRequestStarted, TaskEnded
from genesis.planning.validation import validate
from genesis.result import OrchestrationResult, RunFinished
from genesis.tasks.dag import TaskDAG
from genesis.tasks.task import SUB_REQUEST, Task, Usage
from genesis.testing import Fail, FakeAgent, FakeOutcome, Hang
from infrastructure.config import load_flags, load_settings

REQUEST = "Tell me something nice"
CONFIG = Path(__file__).parent.parent / "config"
HEAD = """
deliverables: {}
asked: {general: {always: [answer]}}
templates:
"""
OUTER = """
  - name: outer
    task_types: [general]
    asks: [answer]
    tasks:
      - {id: research, description: Find out what is nice., operation: sub_request,
         produces: [findings]}
      - {id: compose, description: Compose., operation: compose, requires: [findings],
         produces: [answer]}
"""
INNER = """
  - name: inner
    asks: [findings]
    tasks:
      - {id: fetch, description: Fetch., operation: fetch, task_type: general, produces: [facts]}
      - {id: count, description: Count., operation: count, task_type: general, produces: [figures]}
      - {id: merge, description: Merge., operation: merge, task_type: general,
         requires: [facts, figures], produces: [findings]}
"""
DEEPER = """
  - name: inner
    asks: [findings]
    tasks:
      - {id: look, description: Look deeper., operation: sub_request, produces: [facts]}
      - {id: merge, description: Merge., operation: merge, task_type: general,
         requires: [facts], produces: [findings]}
  - name: innermost
    asks: [facts]
    tasks:
      - {id: fetch, description: Fetch., operation: fetch, task_type: general, produces: [facts]}
      - {id: count, description: Count., operation: count, task_type: general, produces: [figures],
         depends_on: [fetch]}
"""
MAKES = {
    "fetch": "facts",
    "count": "figures",
    "merge": "findings",
    "compose": "answer",
    "guess": "findings",
}

Make = Callable[..., GenesisOrchestrator]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    (tmp_path / "workspace").mkdir()
    folder = tmp_path / "config"
    shutil.copytree(CONFIG, folder)
    monkeypatch.setenv("GENESIS_CONFIG_DIR", str(folder))

    def build(
        *templates: str, model: Any = None, store: Any = None, **settings: Any
    ) -> GenesisOrchestrator:
        (folder / "plan_templates.yaml").write_text(HEAD + "".join(templates or (OUTER, INNER)))
        chosen = load_settings(
            {},
            workspace=tmp_path / "workspace",
            data_dir=tmp_path / "data",
            db_path=str(tmp_path / "memory.db"),
            **settings,
        )
        return GenesisOrchestrator(settings=chosen, flags=load_flags({}), agents=[], model=model)

    return build


class World:
    """An agent per operation, each makes its datum; scripts may say otherwise."""

    def __init__(
        self,
        orchestrator: GenesisOrchestrator,
        scripts: Mapping[str, FakeOutcome | tuple[FakeOutcome, ...]] | None = None,
        cost_usd: float = 0.125,
    ) -> None:
        self.agents: dict[str, FakeAgent] = {}
        requires = {"merge": ("facts",), "compose": ("findings",)}
        for operation, datum in MAKES.items():
            done = TaskOutput(
                f"by {operation}", {datum: f"by {operation}"}, usage=Usage(cost_usd=cost_usd)
            )
            outcome = (scripts or {}).get(operation, done)
            script = outcome if isinstance(outcome, tuple) else (outcome,)
            skill = Skill(
                operation,
                operation,
                ("general",),
                requires.get(operation, ()),
                (datum,),
                cost_usd=cost_usd,
                seconds=0.1,
            )
            self.agents[operation] = FakeAgent(operation, *script, skills=[skill])
            if operation != "guess":
                orchestrator.register_agent(self.agents[operation])

    def calls(self) -> dict[str, int]:
        return {name: agent.calls for name, agent in self.agents.items() if agent.calls}


def statuses(result: OrchestrationResult) -> dict[str, str]:
    return {task.id: task.status for task in result.tasks}


async def test_a_composite_task_is_done_as_a_request_of_its_own(make: Make) -> None:
    async with make() as orchestrator:
        world = World(orchestrator)
        result = await orchestrator.execute_orchestrated_request(REQUEST, "s")
        below = f"{result.run_id}~research~1"
        told = str(await orchestrator.explain(result.run_id))
        told_below = str(await orchestrator.explain(below))
        run = await orchestrator.services.memory.run(below)
    assert (result.success, result.errors) == (True, [])
    assert statuses(result) == {"research": "completed", "compose": "completed"}
    assert world.calls() == {"fetch": 1, "count": 1, "merge": 1, "compose": 1}
    assert world.agents["compose"].assignments[0].inputs == {"findings": "by merge"}
    assert "by merge" in result.output
    research, compose = result.tasks
    assert (research.agent, research.task_type) == ("orchestrator", "composite")
    (sub,) = research.sub_requests
    assert (sub.run_id, sub.success) == (below, True)
    assert [task.id for task in sub.tasks] == ["fetch", "count", "merge"]
    assert receipt(result).startswith("2 tasks and 3 within them, ")
    # What the parts cost is in the whole once.
    assert result.cost_usd == pytest.approx(4 * 0.125)
    assert (research.cost_usd, compose.cost_usd) == (pytest.approx(3 * 0.125), 0.125)
    assert f"goes one level down as run {below}" in told
    assert f"is a part of run {result.run_id}" in told_below
    assert "merge" in told_below
    assert run is not None
    assert (run.state, run.request) == ("completed", "Find out what is nice.")


async def test_only_the_whole_is_counted_and_each_part_teaches_once(make: Make) -> None:
    async with make() as orchestrator:
        World(orchestrator)
        result = await orchestrator.execute_orchestrated_request(REQUEST, "s")
        memory = orchestrator.services.memory
        metrics = await orchestrator.get_workflow_learning_metrics()
        runs = await memory.runs()
        (workflow,) = await memory.workflows("s")
        recall = await memory.recall("general")
        below = await memory.run(f"{result.run_id}~research~1")
        assert below is not None
        plans = await memory.recall(below.task_type, "Find out what is nice.")
        sources = await memory.sources(result.run_id)
    assert metrics["total_workflows_executed"] == 1
    assert [run.run_id for run in runs] == [result.run_id]
    assert workflow.steps == ("composite:orchestrator:", "general:compose:")
    assert {o.agent: (o.successes, o.failures) for o in recall.outcomes} == {
        "orchestrator": (1, 0),
        "fetch": (1, 0),
        "count": (1, 0),
        "merge": (1, 0),
        "compose": (1, 0),
    }
    assert [list(pattern.workflow_steps) for pattern in recall.patterns] == [list(workflow.steps)]
    # Its verified plan is one for requests like it.
    assert [case.run_id for case in plans.cases] == [below.run_id]
    # Whatever an agent took part in can be found, also one level down.
    assert {"agent:fetch", "agent:orchestrator"} <= set(sources)


@pytest.mark.parametrize("kind", ["BaseStore", "PostgreSQL"])
async def test_another_store_counts_the_same_also_when_it_is_opened_again(
    make: Make, kind: str, request: pytest.FixtureRequest
) -> None:
    store = InMemoryStore() if kind == "BaseStore" else request.getfixturevalue("postgres_url")
    async with make(store=store) as orchestrator:
        World(orchestrator)
        result = await orchestrator.execute_orchestrated_request(REQUEST, "s")
    async with make(store=store) as orchestrator:
        metrics = await orchestrator.get_workflow_learning_metrics()
        memory = orchestrator.services.memory
        recall = await memory.recall("general")
        runs = await memory.runs()
        forgotten = await memory.forget(source="agent:fetch")
    assert metrics["total_workflows_executed"] == 1
    assert [run.run_id for run in runs] == [result.run_id]
    assert sum(outcome.successes for outcome in recall.outcomes) == 5
    # The agent took part one level down, and so in the whole.
    assert forgotten.runs == 2


@pytest.mark.parametrize("other_store", [False, True])
async def test_forgetting_a_run_forgets_its_parts(make: Make, other_store: bool) -> None:
    async with make(store=InMemoryStore() if other_store else None) as orchestrator:
        World(orchestrator)
        result = await orchestrator.execute_orchestrated_request(REQUEST, "s")
        memory = orchestrator.services.memory
        forgotten = await memory.forget(run_id=result.run_id)
        recall = await memory.recall("general", "Find out what is nice.")
        assert not await memory.is_known(f"{result.run_id}~research~1")
    assert forgotten.runs == 2
    assert (recall.outcomes, recall.cases) == ((), ())


async def test_a_remembered_plan_keeps_its_composite_tasks(make: Make) -> None:
    async with make() as orchestrator:
        World(orchestrator)
        await orchestrator.execute_orchestrated_request(REQUEST)
        again = await orchestrator.execute_orchestrated_request(REQUEST)
        told = str(await orchestrator.explain(f"{again.run_id}~research~1"))
    assert (again.success, again.plan_source) == (True, "memory")
    assert again.tasks[0].sub_requests[0].run_id.startswith(again.run_id)
    assert "from memory" in told


async def test_the_failure_below_is_the_failure_of_the_task_with_its_reasons(make: Make) -> None:
    async with make(max_replans=0) as orchestrator:
        world = World(orchestrator, {"count": Fail("cannot count")})
        result = await orchestrator.execute_orchestrated_request(REQUEST)
        below = await orchestrator.services.memory.run(f"{result.run_id}~research~1")
    assert not result.success
    assert statuses(result) == {"research": "failed", "compose": "skipped"}
    assert "cannot count" in result.tasks[0].error
    assert f"{result.run_id}~research~1" in result.tasks[0].error
    assert "compose" not in world.calls()
    assert result.tasks[0].sub_requests[0].success is False
    assert result.cost_usd == pytest.approx(result.tasks[0].cost_usd)
    assert below is not None
    assert below.state == "failed"


async def test_a_composite_task_that_failed_is_replaced_as_one_task(make: Make) -> None:
    other_way = """
  - name: other way
    task_types: [general]
    asks: [nothing_else]
    tasks:
      - {id: guess, description: Guess., operation: guess, produces: [findings]}
      - {id: more, description: More., operation: more, produces: [nothing_else]}
"""
    async with make(OUTER, INNER, other_way) as orchestrator:
        world = World(orchestrator, {"count": Fail("cannot count")})
        orchestrator.register_agent(world.agents["guess"])
        result = await orchestrator.execute_orchestrated_request(REQUEST)
    assert result.success
    assert statuses(result) == {
        "research": "failed",
        "research.2": "completed",
        "compose": "completed",
    }
    assert {name: n for name, n in world.calls().items() if name in ("guess", "compose")} == {
        "guess": 1,
        "compose": 1,
    }


async def test_events_tell_of_the_runs_below_by_their_ids(make: Make) -> None:
    async with make() as orchestrator:
        World(orchestrator)
        events = [event async for event in orchestrator.stream(REQUEST)]
    finished = events[-1]
    assert isinstance(finished, RunFinished)
    run_id = finished.result.run_id
    below = f"{run_id}~research~1"
    assert [e.sub_run_id for e in events if isinstance(e, SubRequestStarted)] == [below]
    assert [e.run_id for e in events if isinstance(e, RunAccepted)] == [run_id, below]
    assert [e.run_id for e in events if isinstance(e, RunEnded)] == [below, run_id]
    ended = [(e.run_id, e.task_id) for e in events if isinstance(e, TaskEnded)]
    assert set(ended[:3]) == {(below, "fetch"), (below, "count"), (below, "merge")}
    assert ended[3:] == [(run_id, "research"), (run_id, "compose")]


async def test_a_preview_shows_a_composite_task_as_such(make: Make) -> None:
    async with make() as orchestrator:
        World(orchestrator)
        preview = await orchestrator.plan(REQUEST)
    assert preview.composites == ("research",)
    assert preview.ladders[0].rungs[0].agent == "orchestrator"


async def test_levels_do_not_wait_for_each_other(make: Make) -> None:
    alone = {"max_parallel_tasks": 1, "max_concurrent_runs": 1}
    async with make(OUTER, DEEPER, max_request_depth=3, **alone) as orchestrator:
        World(orchestrator)
        deep = await orchestrator.execute_orchestrated_request(REQUEST)
        innermost = f"{deep.run_id}~research~1~look~1"
        assert await orchestrator.services.memory.is_known(innermost)
    assert deep.success
    (sub,) = deep.tasks[0].sub_requests
    assert sub.tasks[0].sub_requests[0].run_id == innermost


async def test_too_deep_is_refused_with_the_reason(make: Make) -> None:
    async with make(OUTER, DEEPER, max_request_depth=2, max_replans=0) as orchestrator:
        world = World(orchestrator)
        result = await orchestrator.execute_orchestrated_request(REQUEST)
        told = str(await orchestrator.explain(f"{result.run_id}~research~1"))
    assert not result.success
    assert "'look' is a request of its own" in " ".join(result.errors)
    assert "2 levels deep in all (max_request_depth)" in " ".join(result.errors)
    assert "[htdag] plan: sent back" in told
    assert world.calls() == {}


async def test_without_levels_no_task_is_a_request_of_its_own(make: Make) -> None:
    async with make(max_request_depth=1) as orchestrator:
        world = World(orchestrator)
        result = await orchestrator.execute_orchestrated_request(REQUEST)
    assert not result.success
    assert "1 level deep in all (max_request_depth)" in " ".join(result.errors)
    assert world.calls() == {}


@pytest.mark.parametrize(
    ("inner", "reason"),
    [
        (
            "{id: research, description: Find out what is nice., operation: sub_request,"
            " produces: [findings]}",
            "the same again",
        ),
        (
            "{id: other, description: In other words., operation: sub_request,"
            " produces: [findings]}",
            "nothing but task 'other'",
        ),
    ],
)
async def test_a_request_that_only_hands_itself_down_is_refused(
    make: Make, inner: str, reason: str
) -> None:
    looping = f"\n  - name: inner\n    asks: [findings]\n    tasks:\n      - {inner}\n"
    async with make(OUTER, looping, max_request_depth=10) as orchestrator:
        world = World(orchestrator)
        result = await orchestrator.execute_orchestrated_request(REQUEST)
        too_deep = await orchestrator.services.memory.is_known(
            f"{result.run_id}~research~1~{'research' if 'same' in reason else 'other'}~1"
        )
    assert not result.success
    assert reason in " ".join(result.errors)
    assert world.calls() == {}
    assert not too_deep


async def test_all_plans_together_keep_to_the_number_of_tasks(make: Make) -> None:
    async with make(max_plan_tasks=4, max_replans=0) as orchestrator:
        world = World(orchestrator)
        result = await orchestrator.execute_orchestrated_request(REQUEST)
    assert not result.success
    told = " ".join(result.errors)
    assert "the plan has 3 tasks, and of the 4" in told
    assert "2 are taken (max_plan_tasks)" in told
    assert world.calls() == {}
    async with make(max_plan_tasks=5) as orchestrator:
        World(orchestrator)
        assert (await orchestrator.execute_orchestrated_request(REQUEST)).success


async def test_money_is_shared_with_what_is_below(make: Make) -> None:
    async with make(max_replans=0) as orchestrator:
        world = World(orchestrator)
        result = await orchestrator.execute_orchestrated_request(REQUEST, budget_usd=0.3)
    assert not result.success
    assert "$0.3" in " ".join(result.errors)
    assert result.cost_usd <= 0.3
    assert "compose" not in world.calls()
    async with make() as orchestrator:
        World(orchestrator)
        enough = await orchestrator.execute_orchestrated_request(REQUEST, budget_usd=0.5)
    assert enough.success
    assert enough.cost_usd == pytest.approx(0.5)


async def test_time_is_shared_with_what_is_below(make: Make) -> None:
    async with make(max_replans=0) as orchestrator:
        world = World(orchestrator, {"count": Hang()})
        await orchestrator.plan(REQUEST)  # what is slow at the first request only
        result = await orchestrator.execute_orchestrated_request(REQUEST, timeout_s=1.0)
        below = await orchestrator.services.memory.run(f"{result.run_id}~research~1")
    assert not result.success
    assert result.duration_s < 10
    assert world.agents["count"].canceled == 1
    assert below is not None
    assert below.state == "failed"
    # What was verified in time is kept below.
    sub = result.tasks[0].sub_requests[0]
    assert {task.id: task.status for task in sub.tasks}["fetch"] == "completed"


async def test_a_task_below_keeps_its_own_time_limit(make: Make) -> None:
    limited = OUTER.replace("produces: [findings]}", "produces: [findings], timeout_s: 0.5}", 1)
    async with make(limited, INNER, max_replans=0) as orchestrator:
        World(orchestrator, {"count": Hang()})
        result = await orchestrator.execute_orchestrated_request(REQUEST, timeout_s=60)
    assert not result.success
    assert result.duration_s < 30
    assert statuses(result) == {"research": "failed", "compose": "skipped"}


async def test_cancelling_the_whole_cancels_what_is_below(make: Make) -> None:
    async with make() as orchestrator:
        world = World(orchestrator, {"count": Hang()})
        asking = asyncio.create_task(orchestrator.execute_orchestrated_request(REQUEST))
        await world.agents["count"].started.wait()
        await world.agents["fetch"].ended.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        memory = orchestrator.services.memory
        (run,) = await memory.runs()
        below = await memory.run(f"{run.run_id}~research~1")
        recall = await memory.recall("general")
    assert world.agents["count"].canceled == 1
    assert below is not None
    assert (run.state, below.state) == ("canceled", "canceled")
    assert "cancelled" in str(below.result)
    # The verified result of a part is kept with it, and what it says of its agent is learnt.
    assert "by fetch" in str(below.result["output"])
    assert {o.agent: (o.successes, o.failures) for o in recall.outcomes} == {"fetch": (1, 0)}


async def test_a_cancelled_run_keeps_what_was_verified(make: Make) -> None:
    async with make() as orchestrator:
        world = World(orchestrator, {"compose": Hang()})
        asking = asyncio.create_task(orchestrator.execute_orchestrated_request(REQUEST))
        await world.agents["compose"].started.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        (run,) = await orchestrator.services.memory.runs()
        metrics = await orchestrator.get_workflow_learning_metrics()
    assert run.result["output"] == "by fetch\n\nby count\n\nby merge"
    assert run.result["tasks"] == 1
    assert metrics["total_workflows_executed"] == 1


TWINS = """
  - name: outer
    task_types: [general]
    asks: [answer]
    tasks:
      - {id: one, description: Find out one thing., operation: sub_request, produces: [findings]}
      - {id: two, description: Find out another thing., operation: sub_request, produces: [figures]}
      - {id: compose, description: Compose., operation: compose, requires: [findings, figures],
         produces: [answer]}
  - name: first
    asks: [findings]
    tasks:
      - {id: fetch, description: Fetch., operation: fetch, task_type: general, produces: [facts]}
      - {id: merge, description: Merge., operation: merge, task_type: general, requires: [facts],
         produces: [findings]}
  - name: second
    asks: [figures]
    tasks:
      - {id: count, description: Count., operation: count, task_type: general, produces: [figures]}
"""


@pytest.mark.parametrize(("limit", "success"), [(6, True), (5, False)])
async def test_requests_side_by_side_share_the_number_of_tasks(
    make: Make, limit: int, success: bool
) -> None:
    async with make(TWINS, max_plan_tasks=limit, max_replans=0) as orchestrator:
        world = World(orchestrator)
        result = await orchestrator.execute_orchestrated_request(REQUEST)
    assert result.success is success
    # Three of the outer plan, and at most as many below as there is room for.
    assert sum(world.calls().values()) - world.agents["compose"].calls <= limit - 3
    if not success:
        assert "(max_plan_tasks)" in " ".join(result.errors)


async def test_what_a_branch_below_made_is_not_made_again(make: Make) -> None:
    other_way = """
  - name: other way
    asks: [nothing]
    tasks:
      - {id: tally, description: Tally., operation: tally, produces: [figures]}
      - {id: more, description: More., operation: more, produces: [nothing]}
"""
    async with make(TWINS, other_way) as orchestrator:
        world = World(orchestrator, {"count": Fail("cannot count")})
        tally = FakeAgent(
            "tally",
            {"figures": "1"},
            skills=[Skill("tally", "T.", ("general",), produces=("figures",))],
        )
        orchestrator.register_agent(tally)
        result = await orchestrator.execute_orchestrated_request(REQUEST)
    assert result.success
    assert world.calls()["fetch"] == world.calls()["merge"] == world.calls()["compose"] == 1
    # Whether it is counted in another way below or above, what the other branch made stands.
    assert len(next(task for task in result.tasks if task.id == "one").sub_requests) == 1


async def test_files_of_the_run_are_at_hand_one_level_down(make: Make, tmp_path: Path) -> None:
    files = """
  - name: outer
    task_types: [general]
    asks: [answer]
    tasks:
      - {id: write, description: Write., operation: write, produces: [project]}
      - {id: read, description: Read it., operation: sub_request, requires: [project],
         produces: [answer]}
  - name: inner
    given: [project]
    asks: [answer]
    tasks:
      - {id: read, description: Read., operation: read, task_type: general, requires: [project],
         produces: [answer]}
given: {project: the project}
"""

    async def write(assignment: Assignment) -> TaskOutput:
        folder = assignment.artifacts_dir / "made"
        folder.mkdir()
        (folder / "main.py").write_text("x = 1")
        return TaskOutput("written", {"project": str(folder)})

    async def read(assignment: Assignment) -> str:
        place = resolve_input(assignment, "project")
        assert assignment.artifacts_dir.resolve().is_relative_to(tmp_path / "data" / "runs")
        return (place / "main.py").read_text()

    async with make(files) as orchestrator:
        made = Skill("write", "W.", ("general",), produces=("project",))
        orchestrator.register_agent(write, name="write", skills=[made])
        shown = Skill("read", "R.", requires=("project",), produces=("answer",))
        orchestrator.register_agent(read, name="read", skills=[shown])
        result = await orchestrator.execute_orchestrated_request(REQUEST)
    assert result.success, result.errors
    assert "x = 1" in result.output


async def test_a_chat_model_may_plan_composite_tasks_but_not_below_the_deepest(make: Make) -> None:
    def task(operation: str, *requires: str, **values: Any) -> dict[str, Any]:
        return {
            "id": operation,
            "description": f"Do {operation}.",
            "operation": operation,
            "requires": list(requires),
            **values,
        }

    outer = {"tasks": [task("sub_request", produces=["findings"]), task("compose", "findings")]}
    inner = {"tasks": [task("fetch"), task("merge", "facts")]}
    with OpenAIServer([outer, inner]) as server:
        model = ChatOpenAI(
            model="scripted", base_url=server.url, api_key=SecretStr("any"), max_retries=0
        )
        async with make(model=model, max_request_depth=2) as orchestrator:
            world = World(orchestrator, cost_usd=0.0)
            result = await orchestrator.execute_orchestrated_request(REQUEST)
    assert result.success, result.errors
    assert world.calls() == {"fetch": 1, "merge": 1, "compose": 1}
    first, second = (request.text for request in server.requests)
    assert "- sub_request:" in first
    assert "- sub_request:" not in second
    assert "Asked for: findings" in second
    # Planning below is paid for once, here.
    assert result.cost_usd == pytest.approx(2 * (100 * 5 + 20 * 25) / 1e6)


def test_a_run_below_has_an_id_of_its_own_however_long_the_names() -> None:
    assert run_id_below("r", "a", "r:a:1") == "r~a~1"
    assert run_id_below("r", "a", "r:a:2+1") == "r~a~2-1"
    long = "x" * 80
    ids = {run_id_below("r~" + long * 2, long, f"k:{n}") for n in range(3)}
    assert len(ids) == 3
    assert all(len(run_id) <= 200 and run_id.startswith("r~") for run_id in ids)


def test_two_parts_in_other_words_are_not_the_same_work() -> None:
    parts = [
        Task(name, f"Do {name}.", "general", SUB_REQUEST, requires=("topic",))
        for name in ("one", "two")
    ]
    report = validate(TaskDAG(parts, ["topic"]), asked=())
    assert report.findings == ()


async def test_outside_a_run_nothing_is_one_level_down(tmp_path: Path) -> None:
    task = Task("part", "Find out.", "general", SUB_REQUEST)
    with pytest.raises(AgentError, match="only a composite task of a run"):
        await composite.run(Assignment(task, "r", {}, tmp_path, tmp_path))


async def test_a_run_that_a_defect_ends_keeps_what_was_verified(make: Make) -> None:
    async with make() as orchestrator:
        World(orchestrator)
        memory = orchestrator.services.memory
        finish, broken = memory.finish, iter([False, True])

        async def finish_once_broken(run: Any) -> bool:
            if next(broken, False):
                raise RuntimeError("a defect")
            return await finish(run)

        memory.finish = finish_once_broken  # type: ignore[method-assign] - no other way to the moment
        result = await orchestrator.execute_orchestrated_request(REQUEST, "s")
        (workflow,) = await memory.workflows("s")
    assert not result.success
    assert result.recorded
    assert "a defect" in " ".join(result.errors)
    assert statuses(result) == {"research": "completed", "compose": "completed"}
    assert "by compose" in result.output
    assert workflow.success is False


async def test_what_runs_below_can_be_found_while_it_is_at_work(make: Make) -> None:
    async with make() as orchestrator:
        world = World(orchestrator, {"count": Hang()})
        asking = asyncio.create_task(orchestrator.execute_orchestrated_request(REQUEST))
        await world.agents["count"].started.wait()
        (run,) = await orchestrator.services.memory.runs()
        # All that is left when the process dies now.
        told = str(await orchestrator.explain(run.run_id))
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    assert f"research: goes one level down as run {run.run_id}~research~1" in told


async def test_a_deadline_below_leaves_the_reasons_at_every_level(make: Make) -> None:
    async with make(OUTER, DEEPER, max_request_depth=3, max_replans=2) as orchestrator:
        World(orchestrator, {"merge": Hang()})
        await orchestrator.plan(REQUEST)  # what is slow at the first request only
        result = await orchestrator.execute_orchestrated_request(REQUEST, timeout_s=1.0)
        memory = orchestrator.services.memory
        below = await memory.run(f"{result.run_id}~research~1")
    assert not result.success
    assert "task 'research' failed" in result.errors[0]
    assert "agent 'merge' did not end the task" in result.errors[0]
    assert "deadline" in result.errors[-1]
    # Without time left nothing is planned again.
    assert statuses(result) == {"research": "failed", "compose": "skipped"}
    assert below is not None
    assert len(list(below.result["errors"])) == 2  # type: ignore[arg-type]


@pytest.mark.parametrize("other_store", [False, True])
async def test_what_is_said_of_the_whole_holds_for_its_parts(make: Make, other_store: bool) -> None:
    store = InMemoryStore() if other_store else None

    async def counted(orchestrator: GenesisOrchestrator) -> dict[str, tuple[int, int]]:
        recall = await orchestrator.services.memory.recall("general")
        return {o.agent: (o.successes, o.failures) for o in recall.outcomes}

    agents = ("orchestrator", "fetch", "count", "merge", "compose")
    async with make(store=store) as orchestrator:
        World(orchestrator)
        result = await orchestrator.execute_orchestrated_request(REQUEST)
        part = f"{result.run_id}~research~1"
        # Nobody knows which check was fooled, here or one level down.
        await orchestrator.record_feedback(result.run_id, success=False)
        assert await counted(orchestrator) == dict.fromkeys(agents, (0, 1))
        assert (await orchestrator.services.memory.recall("general")).cases == ()
    async with make(store=store) as orchestrator:
        assert await counted(orchestrator) == dict.fromkeys(agents, (0, 1))
        # Of a part somebody may know more.
        await orchestrator.record_feedback(part, success=True)
        below = dict.fromkeys(("fetch", "count", "merge"), (1, 0))
        assert await counted(orchestrator) == {**dict.fromkeys(agents, (0, 1)), **below}
        await orchestrator.record_feedback(result.run_id, success=False)
        assert await counted(orchestrator) == {**dict.fromkeys(agents, (0, 1)), **below}
        await orchestrator.record_feedback(result.run_id, success=True)
        assert await counted(orchestrator) == dict.fromkeys(agents, (1, 0))


async def test_a_failed_whole_called_right_leaves_its_parts_as_they_were_checked(
    make: Make,
) -> None:
    async with make(max_replans=0) as orchestrator:
        World(orchestrator, {"compose": Fail("cannot compose")})
        result = await orchestrator.execute_orchestrated_request(REQUEST)
        for success in (True, False):
            await orchestrator.record_feedback(result.run_id, success=success)
            recall = await orchestrator.services.memory.recall("general")
            counts = {o.agent: (o.successes, o.failures) for o in recall.outcomes}
            assert counts.pop("compose") == ((1, 0) if success else (0, 1))
            assert set(counts.values()) == {(1, 0)}


async def test_what_is_said_of_a_part_holds_for_its_own_parts(make: Make) -> None:
    async with make(OUTER, DEEPER, max_request_depth=3) as orchestrator:
        World(orchestrator)
        result = await orchestrator.execute_orchestrated_request(REQUEST)
        await orchestrator.record_feedback(f"{result.run_id}~research~1", success=False)
        for success in (False, True):
            await orchestrator.record_feedback(result.run_id, success=success)
            recall = await orchestrator.services.memory.recall("general")
            counts = {o.agent: (o.successes, o.failures) for o in recall.outcomes}
            assert counts["fetch"] == counts["merge"] == (0, 1)
            assert counts["compose"] == ((1, 0) if success else (0, 1))
