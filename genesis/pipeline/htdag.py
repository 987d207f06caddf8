"""Step 1: decompose the request into a DAG of tasks, or plan a failed branch again."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from langgraph.runtime import Runtime

from genesis.context import RunContext
from genesis.errors import PlanningError
from genesis.events import PlanMade
from genesis.planning.planner import first_plan
from genesis.state import RunState
from genesis.tasks.task import TaskStatus


async def htdag(state: RunState, runtime: Runtime[RunContext]) -> dict[str, Any]:
    """Add the plan of the first planner that has one: learnt, model, template, own skills."""
    context = runtime.context
    goal = replace(state.goal(), budget=context.scope.budget, seconds_left=context.seconds_left)
    try:
        async with asyncio.timeout(max(0.0, context.seconds_left)):
            plan, passed_over = await first_plan(context.services.planners, goal)
    except PlanningError as error:
        return {"errors": (*state.errors, *state.objections, str(error)), "objections": ()}
    except TimeoutError:
        late = "planning was not done when the run's deadline passed"
        return {"errors": (*state.errors, *state.objections, late), "objections": ()}
    context.journal.add(
        PlanMade(
            plan.dag.to_json(),
            plan.source,
            plan.reason,
            plan.changes,
            plan.run_id,
            passed_over,
            plan.cost_usd,
        )
    )
    kept = {task_id: r for task_id, r in state.results.items() if r.output is not None}
    lost = tuple(
        (task, state.results[task.id])
        for task in (state.plan.dag if state.plan else ())
        if task.id in state.results and state.results[task.id].status is TaskStatus.FAILED
    )
    return {
        "plan": plan,
        "objections": (),
        "results": {task_id: r for task_id, r in kept.items() if task_id in plan.dag},
        "abandoned": state.abandoned + lost,
    }
