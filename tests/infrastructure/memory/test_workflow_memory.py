"""The orchestrator's memory: one commit ends a run, one read begins the next."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from workflow_fixtures import PLAN, START, SetClock, attempt, finished, workflow

from infrastructure.errors import InputError, StoreError
from infrastructure.memory.finished_run import AcceptedRun, finish_write
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.runs import RunRecord
from infrastructure.memory.workflow_memory import WorkflowMemory

TABLES = (
    "runs",
    "run_events",
    "run_journals",
    "run_feedback",
    "executions",
    "workflows",
    "pattern_counts",
    "workflow_counts",
    "outcomes",
    "outcome_counts",
    "plan_runs",
    "plan_exemplars",
)


@pytest.fixture
async def memory(shared_place: str) -> AsyncIterator[WorkflowMemory]:
    memori = Memori.open(shared_place, clock=SetClock())
    yield WorkflowMemory(memori)
    await memori.aclose()


def _record(run_id: str, **changes: Any) -> RunRecord:
    values: dict[str, Any] = {"session_id": "s", "request": "do it", "created_at": START}
    return RunRecord(run_id, **{**values, **changes})


async def _dump(memory: WorkflowMemory) -> dict[str, list[tuple[Any, ...]]]:
    def rows(tx: Tx) -> dict[str, list[tuple[Any, ...]]]:
        return {t: sorted(tx.execute(f"SELECT * FROM {t}").fetchall(), key=repr) for t in TABLES}

    return await memory.memori.read(rows)


async def test_a_run_is_known_from_acceptance_to_end(memory: WorkflowMemory) -> None:
    assert await memory.accept(AcceptedRun(_record("r1")))
    assert not await memory.accept(AcceptedRun(_record("r1", request="another")))
    assert (
        await memory.append("r1", ['{"event":"planned"}', '{"event":"started","task":"t1"}']) == 2
    )
    # The process dies here: the run stays listed as running, with its journal.
    (left,) = await memory.runs(state="running")
    assert (left.run_id, left.request) == ("r1", "do it")
    assert await memory.finish(finished("r1", events=('{"event":"done"}',), result={"n": 1}))
    run = await memory.run("r1")
    assert run is not None
    assert (run.state, run.task_type, run.result) == ("completed", "testing", {"n": 1})
    assert await memory.events("r1") == [
        {"event": "planned"},
        {"event": "started", "task": "t1"},
        {"event": "done"},
    ]
    assert (await _dump(memory))["run_events"] == []
    with pytest.raises(InputError, match="journal is closed"):
        await memory.append("r1", ['{"event":"late"}'])


async def test_numbered_events_are_appended_once(memory: WorkflowMemory) -> None:
    await memory.accept(AcceptedRun(_record("r1")))
    for _ in range(2):
        assert await memory.append("r1", ['{"n":1}', '{"n":2}'], first_seq=1) == 2
    assert await memory.events("r1") == [{"n": 1}, {"n": 2}]
    with pytest.raises(InputError, match="no run 'r2'"):
        await memory.append("r2", [])


async def test_a_damaged_journal_is_not_taken_for_the_truth(memory: WorkflowMemory) -> None:
    await memory.finish(finished("r1", events=('{"event":"done"}',)))
    other = b"{}"
    await memory.memori.commit(
        lambda tx: tx.execute("UPDATE run_journals SET body = ?", (other,)).rowcount
    )
    with pytest.raises(StoreError, match="damaged"):
        await memory.events("r1")


async def test_runs_are_listed_by_state_session_and_time(memory: WorkflowMemory) -> None:
    for n in range(4):
        await memory.accept(
            AcceptedRun(_record(f"r{n}", session_id=f"s{n % 2}", created_at=START + n))
        )
    await memory.finish(finished("r3", success=False, session_id="s1"))
    assert [r.run_id for r in await memory.runs(limit=2)] == ["r3", "r2"]
    assert [r.run_id for r in await memory.runs(session_id="s1")] == ["r3", "r1"]
    assert [r.run_id for r in await memory.runs(state="failed")] == ["r3"]
    assert [r.run_id for r in await memory.runs(since=START + 2)] == ["r3", "r2"]
    with pytest.raises(InputError, match="unknown state"):
        await memory.runs(state="done")


async def test_finishing_twice_is_finishing_once(memory: WorkflowMemory) -> None:
    assert await memory.finish(finished("r1"))
    before = await _dump(memory)
    assert not await memory.finish(finished("r1", success=False, duration_s=9.0))
    assert await _dump(memory) == before


async def test_a_failing_write_leaves_nothing_of_the_run(memory: WorkflowMemory) -> None:
    def fail(tx: Tx) -> None:
        assert tx.execute("SELECT COUNT(*) FROM executions").fetchone() == (1,)
        raise StoreError("the disk is gone")

    with pytest.raises(StoreError, match="disk is gone"):
        await memory.memori.commit(finish_write(finished("r1"), START), fail)
    with pytest.raises(InputError, match="a plan is not plain JSON"):
        await memory.finish(finished("r1", plan={"tasks": {1, 2}}))
    assert not any((await _dump(memory)).values())


async def test_a_storage_failure_is_logged_as_an_error(
    memory: WorkflowMemory, caplog: pytest.LogCaptureFixture
) -> None:
    await memory.memori.commit(lambda tx: tx.execute("DROP TABLE plan_runs").rowcount)
    with caplog.at_level(logging.ERROR, "genesis.memory"), pytest.raises(StoreError):
        await memory.finish(finished("r1"))
    assert "storing run r1 failed" in caplog.text
    assert await memory.run("r1") is None


async def test_patterns_come_from_all_executions_not_from_successes(memory: WorkflowMemory) -> None:
    for n in range(10):
        await memory.finish(finished(f"r{n}", success=n != 0, finished_at=START + n))
    recall = await memory.recall("testing", "run the tests", given=("project",))
    (pattern,) = recall.patterns
    assert (pattern.total_executions, pattern.successful_executions) == (10, 9)
    assert pattern.success_rate == 0.9
    assert pattern.supporting_runs[0] == "r9"
    (count,) = recall.outcomes
    assert (count.successes, count.failures, count.seconds) == (9, 1, 15.0)


async def test_a_failed_run_is_never_recalled_as_a_pattern(memory: WorkflowMemory) -> None:
    await memory.finish(finished("r1", success=False))
    recall = await memory.recall("testing", "run the tests", given=("project",), min_success_rate=0)
    assert recall.patterns == ()
    assert recall.cases == ()
    assert recall.outcomes[0].failures == 1


async def test_session_scope_sees_its_session_alone(memory: WorkflowMemory) -> None:
    await memory.finish(finished("r1", session_id="s1", steps=("one",)))
    await memory.finish(finished("r2", session_id="s2", steps=("two",)))
    own = await memory.recall(
        "testing", "tests", given=("project",), scope="session", session_id="s2"
    )
    assert [p.workflow_steps for p in own.patterns] == [["two"]]
    assert [c.run_id for c in own.cases] == ["r2"]
    grouped = await memory.patterns("testing", scope="session")
    assert sorted(p.workflow_steps for p in grouped) == [["one"], ["two"]]


async def test_the_most_similar_request_is_recalled_with_its_own_plan(
    memory: WorkflowMemory,
) -> None:
    sales: dict[str, Any] = {"tasks": ["profile", "trend"]}
    weather: dict[str, Any] = {"tasks": ["profile", "chart"]}
    await memory.finish(finished("r1", request="monthly trend of sales", plan=sales))
    await memory.finish(finished("r2", request="chart of the weather", plan=weather))
    recall = await memory.recall(
        "testing", "the trend of sales by month", given=("project", "more")
    )
    assert [case.run_id for case in recall.cases] == ["r1", "r2"]
    assert recall.cases[0].plan == sales
    assert 0 < recall.cases[0].similarity <= 1
    assert (await memory.recall("testing", "trend", given=())).cases == ()
    assert (await memory.recall("debugging", "trend", given=("project",))).cases == ()


async def test_vectors_outweigh_words(memory: WorkflowMemory) -> None:
    east, north = np.array([1, 0], dtype=np.float32), np.array([0, 2], dtype=np.float32)
    await memory.finish(finished("r1", request="alpha", vector=east, plan={"p": 1}))
    await memory.finish(finished("r2", request="beta", vector=north, plan={"p": 2}))
    recall = await memory.recall("testing", "alpha", vector=north, given=("project",))
    assert [case.run_id for case in recall.cases] == ["r2", "r1"]
    assert recall.cases[0].similarity == pytest.approx(0.7)


async def test_one_plan_is_one_case_with_all_its_runs(memory: WorkflowMemory) -> None:
    for n in range(8):
        await memory.finish(
            finished(
                f"r{n}",
                request=f"tests of project {n}",
                structure="same",
                plan={"n": n},
                finished_at=START + n,
            )
        )
    await memory.finish(finished("bad", success=False, structure="same", finished_at=START + 9))
    recall = await memory.recall("testing", "tests of project 6", given=("project",))
    (case,) = recall.cases
    assert (case.run_id, case.plan, case.similarity) == ("r6", {"n": 6}, 1.0)
    assert (case.successes, case.failures) == (8, 1)
    # Old requests make room: the plan is still counted, its first request is no longer kept.
    (case,) = (await memory.recall("testing", "tests of project 0", given=("project",))).cases
    assert case.run_id != "r0"


async def test_a_plan_whose_runs_begin_to_fail_is_no_longer_offered(memory: WorkflowMemory) -> None:
    await memory.finish(finished("r1"))
    assert len((await memory.recall("testing", given=("project",))).cases) == 1
    await memory.finish(finished("r2", success=False))
    assert (await memory.recall("testing", given=("project",))).cases == ()


async def test_another_process_sees_what_was_learnt(
    memory: WorkflowMemory, shared_place: str
) -> None:
    other = WorkflowMemory(Memori.open(shared_place))
    assert (await other.recall("testing", given=("project",))).cases == ()
    await memory.finish(finished("r1"))
    assert len((await other.recall("testing", given=("project",))).cases) == 1
    await memory.forget_run("r1")
    assert (await other.recall("testing", given=("project",))).cases == ()
    await other.aclose()


async def test_feedback_moves_every_counter_and_back(memory: WorkflowMemory) -> None:
    await memory.finish(finished("r0"))
    await memory.finish(finished("r1", outcomes=(attempt(False), attempt(True, "other"))))
    before = await _dump(memory)
    await memory.feedback("r1", comment="wrong figures")
    for _ in range(2):
        await memory.feedback("r1", success=False)
    said = await memory.feedback("r1", success=False)
    assert said.comment == "wrong figures"
    recall = await memory.recall("testing", given=("project",), min_success_rate=0)
    assert (recall.patterns[0].total_executions, recall.patterns[0].successful_executions) == (2, 1)
    assert [(c.agent, c.successes, c.failures) for c in recall.outcomes] == [
        ("other", 0, 1),
        ("tester", 1, 1),
    ]
    assert (recall.cases[0].successes, recall.cases[0].failures) == (1, 1)
    run = await memory.run("r1")
    assert run is not None
    assert (run.state, run.recorded_success) == ("failed", True)
    await memory.feedback("r1", success=True)
    after = await _dump(memory)
    assert {**after, "run_feedback": []} == before


async def test_feedback_that_a_failure_was_right_counts_its_last_attempts(
    memory: WorkflowMemory,
) -> None:
    tries = (attempt(False, "a"), attempt(False, "b"), attempt(False, "c", task_id="t2"))
    await memory.finish(finished("r1", success=False, outcomes=tries))
    await memory.feedback("r1", success=True)
    recall = await memory.recall("testing", given=("project",))
    assert [(c.agent, c.successes) for c in recall.outcomes] == [("a", 0), ("b", 1), ("c", 1)]
    assert [case.run_id for case in recall.cases] == ["r1"]


async def test_a_corrected_task_type_moves_patterns_and_plans(memory: WorkflowMemory) -> None:
    await memory.finish(finished("r1", request="why is my test slow?"))
    await memory.feedback("r1", task_type="optimization")
    assert await memory.patterns("testing") == []
    assert len(await memory.patterns("optimization")) == 1
    recall = await memory.recall("optimization", given=("project",))
    assert [case.plan for case in recall.cases] == [PLAN]
    assert (await memory.recall("testing", given=("project",))).cases == ()
    assert await memory.corrections() == [("why is my test slow?", "optimization")]


async def test_feedback_needs_a_finished_run_and_something_to_say(memory: WorkflowMemory) -> None:
    await memory.accept(AcceptedRun(_record("r1")))
    with pytest.raises(InputError, match="no run 'nobody'"):
        await memory.feedback("nobody", success=True)
    with pytest.raises(InputError, match="not finished"):
        await memory.feedback("r1", success=True)
    with pytest.raises(InputError, match="needs a success"):
        await memory.feedback("r1")


async def test_forgetting_a_run_leaves_nothing_of_it(memory: WorkflowMemory) -> None:
    await memory.finish(finished("r0"))
    before = await _dump(memory)
    later = (attempt(True), attempt(True, "other"))
    await memory.finish(finished("r1", finished_at=START + 5, outcomes=later))
    await memory.feedback("r1", success=False)
    assert await memory.forget_run("r1")
    assert await _dump(memory) == before
    assert not await memory.forget_run("r1")


async def test_metrics_show_learning_with_n_and_interval(memory: WorkflowMemory) -> None:
    for n in range(10):
        await memory.finish(
            finished(f"cold{n}", success=n < 6, duration_s=10 + n % 2, cost_usd=1, recalled=False)
        )
        await memory.finish(
            finished(f"warm{n}", success=n < 9, duration_s=4 + n % 2, cost_usd=0.5, recalled=True)
        )
    await memory.store(workflow("w", task_type="custom_task", success=False))
    metrics: dict[str, Any] = await memory.learning_metrics()
    assert metrics["total_workflows_executed"] == 21
    assert metrics["overall_success_rate"] == pytest.approx(15 / 21)
    assert metrics["learned_task_types"] == ["custom_task", "testing"]
    of_type = metrics["metrics_by_task_type"]["testing"]
    assert (of_type["total_executions"], of_type["success_rate"]) == (20, 0.75)
    assert of_type["avg_duration"] == pytest.approx(7.5)
    assert of_type["avg_cost"] == pytest.approx(0.75)
    assert metrics["memory_hit_rate"]["value"] == 0.5
    assert metrics["memory_hit_rate"]["n"] == 20
    assert metrics["success_rate_with_memory"]["value"] == 0.9
    assert metrics["success_rate_without_memory"]["value"] == 0.6
    low, high = metrics["saved_s"]["interval"]
    assert low < 6 < high
    assert metrics["saved_s"]["value"] == pytest.approx(6)
    assert metrics["saved_usd"] == {"value": 0.5, "n": 10, "interval": [0.5, 0.5]}


async def test_metrics_say_none_where_nothing_is_known(memory: WorkflowMemory) -> None:
    unknown = {"value": None, "n": 0, "interval": None}
    metrics = await memory.learning_metrics()
    assert metrics["overall_success_rate"] == 0.0
    assert metrics["saved_s"] == metrics["memory_hit_rate"] == unknown
    await memory.finish(finished("r1", recalled=True))
    metrics = await memory.learning_metrics()
    assert metrics["saved_usd"] == unknown


async def test_metrics_are_filtered(memory: WorkflowMemory) -> None:
    await memory.finish(finished("r1", session_id="s1", finished_at=START))
    await memory.finish(finished("r2", session_id="s2", finished_at=START + 90_000.5))
    for filters in (
        {"session_id": "s2"},
        {"since": START + 90_000.5},
        {"session_id": "s2", "since": START + 1},
        {"task_type": "testing", "since": START + 0.001},
    ):
        metrics = await memory.learning_metrics(**filters)  # pyright: ignore[reportArgumentType]  # one filter set a round
        assert metrics["total_workflows_executed"] == 1
    assert (await memory.learning_metrics(task_type="other"))["total_workflows_executed"] == 0
    with pytest.raises(InputError, match="since"):
        await memory.learning_metrics(since=float("nan"))


async def test_a_memory_in_memory_says_what_is_lost() -> None:
    memory = WorkflowMemory(Memori.open(":memory:"))
    assert not memory.durable
    assert "lost" in memory.notes[0]
    await memory.aclose()


async def test_recall_says_what_it_found(
    memory: WorkflowMemory, caplog: pytest.LogCaptureFixture
) -> None:
    await memory.finish(finished("r1"))
    with caplog.at_level(logging.INFO, "genesis.memory"):
        await memory.recall("testing")
    assert "found 1 patterns for testing, best rate 100 %" in caplog.text
