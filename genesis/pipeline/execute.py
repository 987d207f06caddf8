"""Step 5: run the tasks over A2A as soon as what they need is there, each to its verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from langgraph.runtime import Runtime

from genesis.context import RunContext
from genesis.execution.scheduler import run_dag
from genesis.state import RunState
from genesis.tasks.task import Task, TaskResult, TaskStatus


async def execute(state: RunState, runtime: Runtime[RunContext]) -> dict[str, Any]:
    """Add a result to every task; `rounds` grows when a failed branch is to be planned again."""
    assert state.plan is not None
    context = runtime.context
    scope = replace(context.scope, round=state.rounds)
    too_many = context.level.tree.hold(scope.run_id, len(state.plan.dag))
    if too_many:
        return {"errors": (*state.errors, too_many)}
    context.reached.begin(state)
    # What was decided is durable before any agent is asked to act on it.
    await context.journal.flush_or_wait()

    async def run_task(task: Task, upstream: Mapping[str, TaskResult]) -> TaskResult:
        result = await context.services.runner.run(task, state.ladders[task.id], upstream, scope)
        context.reached.results[task.id] = result
        await context.journal.flush_or_wait()
        return result

    results = await run_dag(
        state.plan.dag, run_task, state.results, context.services.settings.max_parallel_tasks
    )
    added: dict[str, Any] = {"results": results}
    reasons = tuple(r.why_failed for r in results.values() if r.status is TaskStatus.FAILED)
    if not reasons:
        return added
    if state.rounds >= context.services.settings.max_replans:
        return {**added, "errors": (*state.errors, *reasons)}
    return {**added, "objections": reasons, "rounds": state.rounds + 1}
