"""Defects that orchestrators of this kind are known to have, each shown to be absent."""

# What is tested more closely elsewhere, below tests/:
#
# An agent's word is taken for success:
# test_orchestrator_memory_integration.py::test_an_agent_that_claims_success_and_is_wrong_has_failed
# Memory changes nothing:
# test_learning_pair.py::test_the_pair_goes_better_with_memory_and_not_without
# A validator that accepts anything:
# planning/test_validate.py::test_with_no_agent_nothing_is_solvable
# An upsert that inserts:
# genesis/testing/memory_contract/items.py::test_a_second_put_replaces_the_whole_value
# infrastructure/memory/test_workflow_aggregates.py::
#     test_repeated_upserts_of_one_pattern_stay_one_row
# A limit before the filters:
# genesis/testing/memory_contract/searches.py::test_filters_apply_before_limit_and_offset
# Compaction that counts twice, or makes data larger:
# infrastructure/memory/test_compaction.py::test_compacting_twice_changes_nothing
# infrastructure/memory/test_compaction.py::test_one_tiny_record_does_not_grow
# A rejected change that leaves traces:
# planning/test_validate.py::test_mending_removes_what_is_superfluous_and_nothing_else
# Tasks one after another:
# execution/test_scheduler.py::test_a_task_starts_when_its_own_dependencies_are_done
# execution/test_scheduler.py::test_exactly_the_descendants_of_failures_are_skipped
# Keywords inside other words:
# tasks/test_infer_keywords.py::test_keywords_inside_other_words_say_nothing
# planning/test_template.py::test_words_inside_other_words_ask_for_nothing
# An "A2A" that is not the protocol:
# a2a/test_remote_agent.py::test_the_sdks_own_client_is_served
# a2a/test_remote_agent.py::test_both_bindings_stream_the_same_events

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from genesis import Assignment, GenesisOrchestrator, OrchestrationResult, Skill, TaskOutput
from genesis.agents.adapters import AnyAgentFunction, FunctionAgent
from genesis.errors import AgentError, PlanningError
from genesis.tasks.infer import KeywordInferrer
from genesis.tasks.task import Usage
from genesis.tasks.types import TaskType
from genesis.testing import Fail, FakeAgent
from infrastructure.a2a.agent import AgentCard
from infrastructure.config import load_flags, load_settings

STAGES = {"recall", "htdag", "halo", "aop", "daao", "execute", "record", "compact"}


class Bench:
    """Orchestrators on one memory, with plans that the test declares."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._config = folder / "config"
        self._config.mkdir()
        monkeypatch.setenv("GENESIS_CONFIG_DIR", str(self._config))

    def declare(self, *plans: list[dict[str, Any]]) -> None:
        """Declare plans; a request asks for a datum by its name."""
        data = dict.fromkeys(name for plan in plans for task in plan for name in task["produces"])
        declared: dict[str, Any] = {
            "deliverables": {name: {"phrases": [name]} for name in data},
            "asked": {task_type.value: {} for task_type in TaskType},
            "templates": [
                {
                    "name": f"plan {number}",
                    "asks": sorted({name for task in plan for name in task["produces"]}),
                    "tasks": plan,
                }
                for number, plan in enumerate(plans)
            ],
        }
        # JSON is YAML too.
        (self._config / "plan_templates.yaml").write_text(json.dumps(declared))

    def orchestrator(
        self, *agents: Any, memory: bool = True, model: str = "", **settings: Any
    ) -> GenesisOrchestrator:
        return GenesisOrchestrator(
            agents=agents,
            settings=load_settings(
                {},
                workspace=self._folder,
                data_dir=self._folder / "data",
                db_path=str(self._folder / "memory.db"),
                model=model,
                **settings,
            ),
            flags=load_flags({"MEMORY_ENABLED": str(memory)}),
        )


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def task(name: str, *requires: str, operation: str = "", **more: Any) -> dict[str, Any]:
    """A task that makes the datum of its own name."""
    return {
        "id": name,
        "description": f"Make {name}.",
        "operation": operation or f"make_{name}",
        "requires": list(requires),
        "produces": [name],
        **more,
    }


def skill(name: str, *requires: str, operation: str = "", **more: Any) -> Skill:
    return Skill(operation or f"make_{name}", f"Makes {name}.", (), requires, (name,), **more)


def agent(
    name: str, function: AnyAgentFunction, skills: Iterable[Skill], max_concurrency: int = 4
) -> FunctionAgent:
    card = AgentCard(name, f"The {name}.", tuple(skills), max_concurrency=max_concurrency)
    return FunctionAgent(card, function)


async def obedient(assignment: Assignment) -> TaskOutput:
    """Makes whatever is asked for."""
    return TaskOutput(data=dict.fromkeys(assignment.task.produces, assignment.task.id))


def asked(result: OrchestrationResult) -> list[str]:
    return [attempt.agent for task in result.tasks for attempt in task.attempts]


class TestSuccess:
    """Success stored as one word and tested as another, so that nothing was ever a success; or
    taken for granted, so that every rate was 1."""

    async def test_rates_are_the_share_of_verified_runs(self, bench: Bench) -> None:
        outcomes = ({"alpha": "made"}, Fail("it went badly"), {"alpha": ""}, {"alpha": "made"})
        worker = FakeAgent("worker", *outcomes, skills=[skill("alpha")])
        bench.declare([task("alpha")])
        async with bench.orchestrator(worker) as orchestrator:
            results = [
                await orchestrator.execute_orchestrated_request("Make alpha") for _ in outcomes
            ]
            metrics = await orchestrator.get_workflow_learning_metrics()
            runs = await orchestrator.services.memory.runs()
            patterns = await orchestrator.memory.retrieve_workflow_patterns(
                results[0].task_type, min_success_rate=0.0
            )
            good = await orchestrator.memory.retrieve_workflow_patterns(results[0].task_type)
        assert [result.success for result in results] == [True, False, False, True]
        states = {run.run_id: run.state for run in runs}
        assert [states[result.run_id] for result in results] == [
            "completed",
            "failed",
            "failed",
            "completed",
        ]
        assert (metrics["total_workflows_executed"], metrics["overall_success_rate"]) == (4, 0.5)
        assert [(p.total_executions, p.success_rate) for p in patterns] == [(4, 0.5)]
        assert good == []


class TestRecall:
    """What was recalled was only logged, and the steps that were stored were the names of the
    pipeline's own stages, the same for every run."""

    async def test_a_recalled_plan_is_the_one_that_runs(self, bench: Bench) -> None:
        refine = skill("alpha", "beta", operation="refine")
        maker = agent("maker", obedient, [skill("alpha"), refine, skill("beta")])
        bench.declare([task("alpha", "beta", operation="refine"), task("beta")])
        async with bench.orchestrator(maker) as orchestrator:
            first = await orchestrator.execute_orchestrated_request(
                "Implement alpha in the morning"
            )
        # A new declaration would plan otherwise; only memory knows of the refined way.
        bench.declare([task("alpha")])
        async with bench.orchestrator(maker) as orchestrator:
            second = await orchestrator.execute_orchestrated_request(
                "Implement alpha in the evening"
            )
        async with bench.orchestrator(maker, memory=False) as orchestrator:
            forgetful = await orchestrator.execute_orchestrated_request(
                "Implement alpha in the evening"
            )
        operations = [[t.operation for t in r.tasks] for r in (first, second, forgetful)]
        assert operations == [["make_beta", "refine"], ["make_beta", "refine"], ["make_alpha"]]
        assert second.success
        assert second.recalled.changed

    async def test_stored_steps_are_what_was_done_by_whom(self, bench: Bench) -> None:
        bench.declare([task("alpha", task_type="testing")], [task("beta"), task("gamma", "beta")])
        one = agent("one", obedient, [skill("alpha"), skill("beta")])
        two = agent("two", obedient, [skill("gamma", "beta")])
        async with bench.orchestrator(one, two) as orchestrator:
            results = [
                await orchestrator.execute_orchestrated_request(request)
                for request in ("Make alpha", "Make gamma")
            ]
            stored = [
                pattern.workflow_steps
                for task_type in {result.task_type for result in results}
                for pattern in await orchestrator.memory.retrieve_workflow_patterns(task_type)
            ]
        other = results[1].task_type
        assert sorted(stored) == sorted([["testing:one:"], [f"{other}:one:", f"{other}:two:"]])
        assert not STAGES & {part for steps in stored for step in steps for part in step.split(":")}


class TestJudgement:
    """A validator that looked into an empty registry and found every plan solvable, and a
    difficulty that was a label on the task and changed nothing."""

    async def test_without_agents_no_plan_is_run(self, bench: Bench) -> None:
        bench.declare([task("alpha")])
        async with bench.orchestrator() as orchestrator:
            result = await orchestrator.execute_orchestrated_request("Make alpha")
        assert not result.success
        assert result.validation is not None
        assert not result.validation.accepted
        assert result.validation.quality_parts["solvability"] == 0
        assert "make_alpha" in " ".join(result.errors)

    async def test_an_agent_that_leaves_makes_a_learnt_plan_unsolvable(self, bench: Bench) -> None:
        bench.declare([task("alpha")])
        async with bench.orchestrator(agent("maker", obedient, [skill("alpha")])) as orchestrator:
            assert (await orchestrator.execute_orchestrated_request("Make alpha")).success
        other = agent("other", obedient, [skill("beta")])
        async with bench.orchestrator(other) as orchestrator:
            result = await orchestrator.execute_orchestrated_request("Make alpha")
        assert not result.success
        assert asked(result) == []

    async def test_difficulty_and_record_set_the_effort_that_the_agent_gets(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Nobody listens there: the model does not plan, so the declared plan is taken.
        monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        routine = task("alpha", task_type="testing")
        bench.declare([routine], [task("beta", task_type="code_generation")])
        skills = [skill("alpha", needs_model=True), skill("beta", needs_model=True)]
        efforts: list[tuple[str, str]] = []

        async def needs_effort(assignment: Assignment) -> TaskOutput:
            efforts.append((assignment.task.id, assignment.effort))
            enough = assignment.task.id == "alpha" or assignment.effort == "high"
            value = "made" if enough else ""
            return TaskOutput(data={assignment.task.id: value}, usage=Usage(1, 1, 0.001))

        worker = agent("worker", needs_effort, skills)
        async with bench.orchestrator(worker, model="openai:gpt-4.1-mini") as orchestrator:
            for request in ("Make alpha", "Make beta", "Make beta once more"):
                result = await orchestrator.execute_orchestrated_request(request)
                assert result.success, result.errors
        assert efforts == [("alpha", "low"), ("beta", "medium"), ("beta", "high"), ("beta", "high")]


class TestPatterns:
    """A unique key over a column that was NULL, where SQL finds no two rows equal: three stores
    of one pattern made three rows, and the oldest was the one that was read."""

    async def test_three_runs_are_one_pattern_with_the_latest_counts(self, bench: Bench) -> None:
        bench.declare([task("alpha")])
        async with bench.orchestrator(agent("maker", obedient, [skill("alpha")])) as orchestrator:
            results = [
                await orchestrator.execute_orchestrated_request("Make alpha") for _ in range(3)
            ]
            await orchestrator.record_feedback(results[0].run_id, success=False)
            patterns = await orchestrator.memory.retrieve_workflow_patterns(
                results[0].task_type, min_success_rate=0.0
            )
        assert [(p.total_executions, p.successful_executions) for p in patterns] == [(3, 2)]
        assert len({result.session_id for result in results}) == 3

    async def test_a_limit_counts_what_matches_not_what_was_looked_at(self, bench: Bench) -> None:
        """A search that took its first rows and filtered them afterwards, so that what matched
        but lay further back was not found."""
        bench.declare([task("alpha")])
        async with bench.orchestrator() as orchestrator:
            memory = orchestrator.memory
            await memory.store_workflow("testing", ["wanted"], True, 1.0, "first")
            for number in range(20):
                await memory.store_workflow("testing", [f"bad {number}"], False, 1.0, "later")
                for _ in range(2):  # surer, but of another type
                    await memory.store_workflow("general", [f"other {number}"], True, 1.0, "later")
            found = await memory.retrieve_workflow_patterns("testing", limit=1)
            for _ in range(2):  # surer, but of another session
                await memory.store_workflow("testing", ["better"], True, 1.0, "later")
            session = await memory.retrieve_workflow_patterns(
                "testing", scope="session", limit=1, session_id="first"
            )
        assert [pattern.workflow_steps for pattern in found] == [["wanted"]]
        assert [pattern.workflow_steps for pattern in session] == [["wanted"]]


class TestPlans:
    """A copy of a plan that shared its parts with the original: undoing a change undid nothing,
    and refining a plan again added the same dependencies once more."""

    async def test_a_plan_used_again_and_again_stays_as_it_was(self, bench: Bench) -> None:
        bench.declare(
            [
                task("alpha"),
                task("beta", "alpha"),
                task("gamma", "alpha"),
                task("delta", "beta", "gamma"),
            ]
        )
        skills = [
            skill("alpha"),
            skill("beta", "alpha"),
            skill("gamma", "alpha"),
            skill("delta", "beta", "gamma"),
        ]
        async with bench.orchestrator(agent("maker", obedient, skills)) as orchestrator:
            before = await orchestrator.plan("Make delta")
            results = [
                await orchestrator.execute_orchestrated_request("Make delta") for _ in range(4)
            ]
            after = await orchestrator.plan("Make delta")
        edges = {"alpha": [], "beta": ["alpha"], "gamma": ["alpha"], "delta": ["beta", "gamma"]}
        for result in results:
            assert {t.id: t.depends_on for t in result.tasks} == edges
        assert [result.plan_source for result in results] == ["template", *["memory"] * 3]
        assert (before.source, after.source) == ("template", "memory")
        assert after.plan == before.plan


class TestCapacity:
    """An agent's capacity was used up by every task that it was ever given, within one plan and
    from plan to plan, until the next task had nobody left."""

    async def test_one_agent_takes_any_number_of_tasks_one_by_one(self, bench: Bench) -> None:
        names = [f"datum{number}" for number in range(40)]
        bench.declare([task(name) for name in names])
        active, most = 0, 0

        async def worker(assignment: Assignment) -> TaskOutput:
            nonlocal active, most
            active += 1
            most = max(most, active)
            await asyncio.sleep(0)
            active -= 1
            return await obedient(assignment)

        busy = agent("worker", worker, [skill(name) for name in names], max_concurrency=1)
        async with bench.orchestrator(busy) as orchestrator:
            for _ in range(2):
                result = await orchestrator.execute_orchestrated_request(f"Make {' '.join(names)}")
                assert result.success, result.errors
                assert asked(result) == ["worker"] * 40
        assert most == 1

    async def test_an_agent_is_as_free_after_many_requests_as_before(self, bench: Bench) -> None:
        bench.declare([task("alpha")])
        first = agent("first", obedient, [skill("alpha", seconds=0.1)], max_concurrency=1)
        second = agent("second", obedient, [skill("alpha", seconds=10.0)], max_concurrency=1)
        async with bench.orchestrator(first, second, memory=False) as orchestrator:
            for number in range(15):
                request = f"Make alpha number {number}"
                result = await orchestrator.execute_orchestrated_request(request)
                assert asked(result) == ["first"]


class TestRoutingMemory:
    """What was learnt of agents was kept by the task's id alone, so that it was taken for other
    requests whose tasks happened to bear the same id."""

    async def test_a_record_belongs_to_the_work_not_to_the_id(self, bench: Bench) -> None:
        alpha, beta = task("alpha", id="step-1"), task("beta", id="step-1")
        bench.declare([alpha], [beta])

        async def half_able(assignment: Assignment) -> dict[str, str]:
            return {name: "made" if name == "beta" else "" for name in assignment.task.produces}

        quick = agent("quick", half_able, [skill("alpha", seconds=0.1), skill("beta", seconds=0.1)])
        sure = agent("sure", obedient, [skill("alpha", seconds=1.0), skill("beta", seconds=1.0)])
        async with bench.orchestrator(quick, sure) as orchestrator:
            results = [
                await orchestrator.execute_orchestrated_request(request)
                for request in ("Make beta", "Make alpha", "Make alpha", "Make alpha", "Make beta")
            ]
        assert [result.tasks[0].id for result in results] == ["step-1"] * 5
        assert [asked(result) for result in results] == [
            ["quick"],
            ["quick", "sure"],
            ["sure"],
            ["sure"],
            ["quick"],
        ]


class TestExecution:
    """Tasks ran one after another although nothing tied them, and what depended on a failed task
    was run all the same, on nothing."""

    async def test_independent_tasks_meet(self, bench: Bench) -> None:
        bench.declare([task("alpha"), task("beta")])
        meeting = asyncio.Barrier(2)

        async def meets(assignment: Assignment) -> TaskOutput:
            await meeting.wait()
            return await obedient(assignment)

        pair = agent("pair", meets, [skill("alpha"), skill("beta")])
        async with bench.orchestrator(pair, run_timeout_s=20.0) as orchestrator:
            result = await orchestrator.execute_orchestrated_request("Make alpha and beta")
        assert result.success, result.errors

    async def test_nobody_is_asked_to_build_on_what_failed(self, bench: Bench) -> None:
        bench.declare([task("alpha"), task("beta", "alpha"), task("gamma", "beta"), task("delta")])

        async def fails(assignment: Assignment) -> TaskOutput:
            raise AgentError("alpha cannot be made")

        builders = FakeAgent(
            "builder",
            {"beta": 1, "gamma": 1},
            skills=[skill("beta", "alpha"), skill("gamma", "beta")],
        )
        failing = agent("failing", fails, [skill("alpha")])
        free = agent("free", obedient, [skill("delta")])
        async with bench.orchestrator(failing, builders, free) as orchestrator:
            result = await orchestrator.execute_orchestrated_request("Make gamma and delta")
        states = {t.id: t.status for t in result.tasks}
        assert builders.calls == 0
        assert states == {
            "alpha": "failed",
            "beta": "skipped",
            "gamma": "skipped",
            "delta": "completed",
        }
        assert not result.success
        assert "alpha cannot be made" in " ".join(result.errors)


class TestCompaction:
    """What compaction packed was left where it was, so that everything was counted twice."""

    async def test_packing_sessions_changes_no_figure(self, bench: Bench) -> None:
        bench.declare([task("alpha")])
        async with bench.orchestrator(agent("maker", obedient, [skill("alpha")])) as orchestrator:
            for number in range(6):
                await orchestrator.execute_orchestrated_request("Make alpha", f"s{number % 2}")
            await orchestrator.drain()
            before = await orchestrator.get_workflow_learning_metrics()
            for session in ("s0", "s1", "s0"):
                await orchestrator.compaction.compact_session(session)
            after = await orchestrator.get_workflow_learning_metrics()
            kept = [len(await orchestrator.compaction.read_session(s)) for s in ("s0", "s1")]
            following = await orchestrator.execute_orchestrated_request("Make alpha", "s0")
        assert before["total_workflows_executed"] == 6
        assert after == before
        assert kept == [3, 3]
        assert following.plan_source == "memory"


class TestWords:
    """Words were looked for inside other words: 'class' in 'classical', 'plan' in 'planet',
    'data' in 'database'."""

    async def test_words_inside_words_ask_for_nothing(self, bench: Bench) -> None:
        bench.declare([task("class")], [task("plan")], [task("data")])
        maker = agent("maker", obedient, [skill("class"), skill("plan"), skill("data")])
        async with bench.orchestrator(maker) as orchestrator:
            for text in ("a classical airplane", "planets", "the database", "an explanation"):
                with pytest.raises(PlanningError, match="no plan"):
                    await orchestrator.plan(f"Tell me about {text}")
            preview = await orchestrator.plan("Tell me about the class")
        assert [ladder.task_id for ladder in preview.ladders] == ["class"]

    @pytest.mark.parametrize(
        "text",
        ["Tell me about classical airplanes", "Recommend a protest song", "What are planets like?"],
    )
    def test_words_inside_words_are_no_task_type(self, text: str) -> None:
        assert KeywordInferrer().infer(text).task_type == "general"
