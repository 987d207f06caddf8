from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesis.execution.scheduler import run_dag
from genesis.tasks.dag import TaskDAG
from genesis.tasks.task import Task, TaskResult, TaskStatus


def _task(name: str, *depends_on: str) -> Task:
    return Task(name, name, "general", depends_on=depends_on)


def _done(task: Task) -> TaskResult:
    return TaskResult(task.id, TaskStatus.COMPLETED)


async def test_a_task_starts_when_its_own_dependencies_are_done() -> None:
    # "slow" ends only after the whole chain behind "quick" has run: level barriers would hang.
    dag = TaskDAG(
        [_task("quick"), _task("slow"), _task("second", "quick"), _task("third", "second")]
    )
    third_ran = asyncio.Event()

    async def run(task: Task, upstream: Mapping[str, TaskResult]) -> TaskResult:
        if task.id == "slow":
            await third_ran.wait()
        if task.id == "third":
            third_ran.set()
        return _done(task)

    async with asyncio.timeout(10):
        results = await run_dag(dag, run)
    assert {r.status for r in results.values()} == {TaskStatus.COMPLETED}


async def test_independent_tasks_run_at_once() -> None:
    dag = TaskDAG([_task(f"t{i}") for i in range(5)])
    together = asyncio.Barrier(5)

    async def run(task: Task, upstream: Mapping[str, TaskResult]) -> TaskResult:
        await together.wait()
        return _done(task)

    async with asyncio.timeout(10):
        assert len(await run_dag(dag, run, limit=5)) == 5


async def test_no_more_tasks_at_once_than_allowed() -> None:
    active = most = 0

    async def run(task: Task, upstream: Mapping[str, TaskResult]) -> TaskResult:
        nonlocal active, most
        active += 1
        most = max(most, active)
        await asyncio.sleep(0)
        active -= 1
        return _done(task)

    await run_dag(TaskDAG([_task(f"t{i}") for i in range(12)]), run, limit=3)
    assert most == 3
    with pytest.raises(ValueError, match="at least one"):
        await run_dag(TaskDAG([_task("a")]), run, limit=0)


async def test_dependants_of_a_failed_task_are_skipped_and_say_why() -> None:
    dag = TaskDAG([_task("a"), _task("b", "a"), _task("c", "b"), _task("d")])
    ran: list[str] = []

    async def run(task: Task, upstream: Mapping[str, TaskResult]) -> TaskResult:
        ran.append(task.id)
        status = TaskStatus.FAILED if task.id == "a" else TaskStatus.COMPLETED
        return TaskResult(task.id, status)

    results = await run_dag(dag, run)
    assert sorted(ran) == ["a", "d"]
    assert results["b"].status is results["c"].status is TaskStatus.SKIPPED
    assert "'a'" in results["b"].error
    assert "failed" in results["b"].error
    assert "'a'" in results["c"].error


async def test_finished_tasks_are_kept_and_do_not_run_again() -> None:
    dag = TaskDAG([_task("a"), _task("b", "a"), _task("x"), _task("y", "x")])
    kept = _done(_task("a"))
    seen: dict[str, list[str]] = {}

    async def run(task: Task, upstream: Mapping[str, TaskResult]) -> TaskResult:
        seen[task.id] = list(upstream)
        return _done(task)

    finished = {"a": kept, "x": TaskResult("x", TaskStatus.FAILED)}
    results = await run_dag(dag, run, finished)
    assert results["a"] is kept
    assert seen == {"b": ["a"]}
    assert results["y"].status is TaskStatus.SKIPPED


async def test_a_task_sees_the_results_of_all_that_is_upstream() -> None:
    dag = TaskDAG([_task("a"), _task("b", "a"), _task("c", "b"), _task("other")])
    seen: dict[str, set[str]] = {}

    async def run(task: Task, upstream: Mapping[str, TaskResult]) -> TaskResult:
        seen[task.id] = set(upstream)
        return _done(task)

    await run_dag(dag, run)
    assert seen["c"] == {"a", "b"}
    assert seen["other"] == set()


async def test_cancellation_cancels_every_task_and_waits_for_it() -> None:
    started, cleaned = asyncio.Barrier(3), list[str]()

    async def run(task: Task, upstream: Mapping[str, TaskResult]) -> TaskResult:
        try:
            await started.wait()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(task.id)
        return _done(task)

    running = asyncio.create_task(run_dag(TaskDAG([_task("a"), _task("b")]), run))
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert sorted(cleaned) == ["a", "b"]


async def test_a_programming_error_cancels_the_others_and_is_raised() -> None:
    cleaned: list[str] = []

    async def run(task: Task, upstream: Mapping[str, TaskResult]) -> TaskResult:
        if task.id == "bad":
            raise KeyError("a defect")
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(task.id)
        return _done(task)

    with pytest.raises(KeyError, match="a defect"):
        await run_dag(TaskDAG([_task("good"), _task("bad")]), run)
    assert cleaned == ["good"]


@pytest.mark.parametrize("shape", ["wide", "deep"])
async def test_large_plans_neither_recurse_nor_take_long(shape: str) -> None:
    if shape == "wide":
        names = [f"t{i}" for i in range(498)]
        tasks = [_task("first"), *(_task(name, "first") for name in names), _task("last", *names)]
    else:
        tasks = [_task("t0"), *(_task(f"t{i}", f"t{i - 1}") for i in range(1, 500))]
    most_upstream = 0

    async def run(task: Task, upstream: Mapping[str, TaskResult]) -> TaskResult:
        nonlocal most_upstream
        most_upstream = max(most_upstream, len(upstream))
        await asyncio.sleep(0)
        return _done(task)

    dag = TaskDAG(tasks)
    began = time.process_time()
    results = await run_dag(dag, run)
    assert time.process_time() - began < 2  # 0.05 s on a slow core; quadratic work would show
    assert len(results) == 500
    assert most_upstream == 499


async def test_a_first_task_that_fails_skips_a_long_chain_without_recursion() -> None:
    dag = TaskDAG([_task("t0"), *(_task(f"t{i}", f"t{i - 1}") for i in range(1, 500))])

    async def run(task: Task, upstream: Mapping[str, TaskResult]) -> TaskResult:
        return TaskResult(task.id, TaskStatus.FAILED)

    results = await run_dag(dag, run)
    assert [r.status for r in results.values()].count(TaskStatus.SKIPPED) == 499


@st.composite
def _dags(draw: st.DrawFn) -> tuple[TaskDAG, set[str]]:
    size = draw(st.integers(1, 14))
    tasks: list[Task] = []
    for i in range(size):
        earlier = [f"t{j}" for j in range(i)]
        chosen = draw(st.sets(st.sampled_from(earlier), max_size=4)) if earlier else set[str]()
        tasks.append(_task(f"t{i}", *sorted(chosen)))
    failing = draw(st.sets(st.sampled_from([task.id for task in tasks])))
    return TaskDAG(tasks), failing


@settings(deadline=None, max_examples=60)
@given(case=_dags(), limit=st.integers(1, 5), seed=st.randoms(use_true_random=False))
def test_exactly_the_descendants_of_failures_are_skipped(
    case: tuple[TaskDAG, set[str]], limit: int, seed: random.Random
) -> None:
    dag, failing = case
    ended: set[str] = set()
    early: list[str] = []

    async def run(task: Task, upstream: Mapping[str, TaskResult]) -> TaskResult:
        if not set(task.depends_on) <= ended:
            early.append(task.id)
        for _ in range(seed.randint(0, 3)):
            await asyncio.sleep(0)
        ended.add(task.id)
        return TaskResult(
            task.id, TaskStatus.FAILED if task.id in failing else TaskStatus.COMPLETED
        )

    results = asyncio.run(run_dag(dag, run, limit=limit))
    skipped: set[str] = set()
    for task in dag:  # an independent definition: a task is skipped if any parent did not complete
        if any(d in skipped or d in failing for d in task.depends_on):
            skipped.add(task.id)
    assert not early
    assert {i for i, r in results.items() if r.status is TaskStatus.SKIPPED} == skipped
    assert ended == {task.id for task in dag} - skipped
