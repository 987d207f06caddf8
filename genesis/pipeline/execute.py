"""Step 5: run the tasks over A2A as soon as what they need is there, each to its verdict."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from langgraph.runtime import Runtime

from genesis.context import RunContext
from genesis.execution.approvals import why_rejected
from genesis.execution.scheduler import run_dag
from genesis.execution.scope import RunScope
from genesis.journal import Journal
from genesis.state import RunState
from genesis.tasks.task import Task, TaskResult, TaskStatus
from infrastructure.text import counted

_STOPPED = "its process is to end"
_WAITS = "a person must decide first"


async def execute(state: RunState, runtime: Runtime[RunContext]) -> dict[str, Any]:
    """Add a result to every task that ended.

    `rounds` grows when a failed branch is to be planned again; `paused` says that tasks wait for a
    person or for the next process.
    """
    assert state.plan is not None
    context = runtime.context
    scope = replace(context.scope, round=state.rounds, told=state.told)
    too_many = context.level.tree.hold(scope.run_id, len(state.plan.dag))
    if too_many:
        return {"errors": (*state.errors, too_many)}
    unapproved = _unapproved(state, context)
    context.reached.begin(state)
    # What was decided is durable before any agent is asked to act on it.
    await context.journal.flush_or_wait()
    if unapproved:
        return unapproved
    results = await _results(state, context, scope)
    added: dict[str, Any] = {"results": results}
    if len(results) < len(state.plan.dag):
        return {**added, "paused": _STOPPED if context.active.stopping else _WAITS}
    reasons = tuple(r.why_failed for r in results.values() if r.status is TaskStatus.FAILED)
    if not reasons:
        return added
    rejected = any(scope.approvals.rejected(task_id) for task_id in results)
    if rejected or state.rounds >= context.services.settings.max_replans:
        return {**added, "errors": (*state.errors, *reasons)}
    return {**added, "objections": reasons, "rounds": state.rounds + 1}


def _unapproved(state: RunState, context: RunContext) -> dict[str, Any] | None:
    """Why the plan may not be begun; None where it may."""
    assert state.plan is not None
    ladders = [state.ladders[task.id] for task in state.plan.dag if task.id in state.ladders]
    usd = sum(ladder.rungs[0].cost_usd for ladder in ladders)
    words = "; ".join(f"{task.id}: {task.description}" for task in state.plan.dag)
    what = f"the plan has {counted(len(state.plan.dag), 'task')}, expected ${usd:.4f}: {words}"
    approval = context.scope.approvals.for_plan(state.rounds, what)
    if approval is None or approval.granted:
        return None
    if approval.rejected:
        return {"errors": (*state.errors, why_rejected(approval))}
    context.active.closing = True
    return {"paused": _WAITS}


async def _results(
    state: RunState, context: RunContext, scope: RunScope
) -> Mapping[str, TaskResult]:
    """Results of the tasks that ended; tasks about which was decided meanwhile are begun again."""
    assert state.plan is not None
    awaited = {dependency for task in state.plan.dag for dependency in task.depends_on}
    ended = asyncio.Event()
    notes = (scope.told,) if scope.told else ()

    async def run_task(task: Task, upstream: Mapping[str, TaskResult]) -> TaskResult:
        ladder = state.ladders[task.id]
        result = await context.services.runner.run(task, ladder, upstream, scope, notes)
        if result.status is not TaskStatus.WAITING:
            context.reached.results[task.id] = result
        if task.id not in awaited:
            ended.set()
            return result
        # What a task is given is durable before it begins: after a crash its key means the same.
        await asyncio.sleep(0)  # others may end at this very moment, and share the write
        await context.journal.flush_or_wait()
        return result

    limit, results = context.services.settings.max_parallel_tasks, state.results
    while True:
        decisions = context.active.decisions
        context.active.asked_below.clear()
        async with _kept_durable(context.journal, ended):
            results = await run_dag(
                state.plan.dag, run_task, results, limit, lambda: context.active.stopping
            )
        undecided = decisions == context.active.decisions
        if len(results) == len(state.plan.dag) or context.active.stopping or undecided:
            context.active.closing = len(results) < len(state.plan.dag)
            return results


@asynccontextmanager
async def _kept_durable(journal: Journal, ended: asyncio.Event) -> AsyncGenerator[None]:
    """Store the results that no task waits for as soon as they are there.

    The last of them need no write of their own: they go with the end of the run.

    Raises:
        LeaseLost: another process works on the run; its tasks are cancelled.
    """

    async def store() -> None:
        while True:
            await ended.wait()
            ended.clear()
            await journal.flush_or_wait()

    try:
        async with asyncio.TaskGroup() as group:
            storing = group.create_task(store())
            yield
            storing.cancel()
    except BaseExceptionGroup as errors:
        # One of them ended the others; it is the one to see.
        raise errors.exceptions[0] from None
