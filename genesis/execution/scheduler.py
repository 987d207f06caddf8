"""The eager DAG: a task starts the moment its own dependencies are done, never at a level's end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from genesis.tasks.dag import TaskDAG
from genesis.tasks.task import Task, TaskResult, TaskStatus

RunTask: TypeAlias = Callable[[Task, Mapping[str, TaskResult]], Awaitable[TaskResult]]


async def run_dag(
    dag: TaskDAG,
    run_task: RunTask,
    finished: Mapping[str, TaskResult] | None = None,
    limit: int = 8,
    stopping: Callable[[], bool] = bool,
) -> dict[str, TaskResult]:
    """Run every task whose dependencies succeed; skip the descendants of those that fail.

    Structured: when it returns or raises, no task is left running. A task whose result is
    `WAITING` has not ended: what depends on it is not begun, everything else goes on.

    Args:
        dag: the plan.
        run_task: runs one task, given the results of the tasks it depends on, directly or not.
        finished: results kept from an earlier round, by task id; these tasks do not run again.
        limit: tasks at work at once.
        stopping: whether no further task is to be begun.

    Returns:
        A result for every task that ended, by id, in topological order: for all of the plan,
        unless one waits or it was stopped.

    Raises:
        ValueError: the limit is below 1.
        Exception: `run_task` raised (it should not); the other tasks were cancelled and awaited.
    """
    if limit < 1:
        raise ValueError(f"at least one task must be allowed at once, not {limit}")
    execution = _Execution(dag, run_task, dict(finished or {}), limit, stopping)
    try:
        await execution.run()
    except BaseExceptionGroup as group:
        # The caller asked for tasks, not for a task group: the first error is the one to see.
        raise group.exceptions[0] from None
    return {task.id: execution.results[task.id] for task in dag if task.id in execution.results}


class _Execution:
    """One run through a DAG: who waits for whom, and what is done."""

    def __init__(
        self,
        dag: TaskDAG,
        run_task: RunTask,
        finished: dict[str, TaskResult],
        limit: int,
        stopping: Callable[[], bool],
    ) -> None:
        self.results = {task.id: finished[task.id] for task in dag if task.id in finished}
        self._dag = dag
        self._run_task = run_task
        self._stopping = stopping
        self._slots = asyncio.Semaphore(limit)
        self._missing: dict[str, int] = {}
        self._dependants: dict[str, list[Task]] = {task.id: [] for task in dag}
        self._upstream: dict[str, tuple[str, ...]] = {}

    async def run(self) -> None:
        ready: list[Task] = []
        for task in self._dag:
            self._link(task)
            if task.id not in self.results and self._missing[task.id] == 0:
                ready.append(task)
        async with asyncio.TaskGroup() as group:
            for task in ready:
                self._begin(task, group)

    def _link(self, task: Task) -> None:
        dependencies = dict.fromkeys(task.depends_on)
        self._missing[task.id] = sum(d not in self.results for d in dependencies)
        upstream: dict[str, None] = {}
        for dependency in dependencies:
            self._dependants[dependency].append(task)
            upstream |= dict.fromkeys(self._upstream[dependency]) | {dependency: None}
        self._upstream[task.id] = tuple(upstream)

    def _begin(self, task: Task, group: asyncio.TaskGroup) -> None:
        """Start a task whose dependencies all ended, or skip it and what waits for it."""
        pending = [task]
        while pending:
            candidate = pending.pop()
            reason = self._why_skipped(candidate)
            if reason:
                skipped = TaskResult(candidate.id, TaskStatus.SKIPPED, error=reason)
                pending += self._end(candidate, skipped)
            else:
                group.create_task(self._work(candidate, group), name=f"task {candidate.id}")

    async def _work(self, task: Task, group: asyncio.TaskGroup) -> None:
        async with self._slots:
            if self._stopping():
                return
            known = {d: self.results[d] for d in self._upstream[task.id]}
            result = await self._run_task(task, known)
        if result.status is TaskStatus.WAITING:
            return
        for dependant in self._end(task, result):
            self._begin(dependant, group)

    def _end(self, task: Task, result: TaskResult) -> list[Task]:
        """Note a result; the tasks that waited only for it."""
        self.results[task.id] = result
        freed: list[Task] = []
        for dependant in self._dependants[task.id]:
            self._missing[dependant.id] -= 1
            if self._missing[dependant.id] == 0 and dependant.id not in self.results:
                freed.append(dependant)
        return freed

    def _why_skipped(self, task: Task) -> str:
        for dependency in task.depends_on:
            result = self.results[dependency]
            if result.status is TaskStatus.SKIPPED:
                return result.error
            if result.status is not TaskStatus.COMPLETED:
                return f"task {dependency!r}, which it needs, {result.status.value}"
        return ""
