"""Step 1: decompose the request into a DAG of tasks, or plan a failed branch again."""

from __future__ import annotations

from typing import Any

from langgraph.runtime import Runtime

from genesis.context import RunContext
from genesis.errors import PlanningError
from genesis.events import PlanMade
from genesis.planning.planner import first_plan
from genesis.state import RunState


async def htdag(state: RunState, runtime: Runtime[RunContext]) -> dict[str, Any]:
    """Add the plan of the first planner that has one: learnt, then model, then template."""
    services, journal = runtime.context.services, runtime.context.journal
    try:
        plan, passed_over = await first_plan(services.planners, state.goal())
    except PlanningError as error:
        return {"errors": (*state.errors, *state.objections, str(error)), "objections": ()}
    journal.add(
        PlanMade(
            plan.dag.to_json(), plan.source, plan.reason, plan.changes, plan.run_id, passed_over
        )
    )
    kept = {task_id: r for task_id, r in state.results.items() if r.output is not None}
    lost = tuple(
        (task, state.results[task.id])
        for task in (state.plan.dag if state.plan else ())
        if task.id in state.results and task.id not in kept
    )
    return {
        "plan": plan,
        "objections": (),
        "planning_usd": state.planning_usd + plan.cost_usd,
        "results": {task_id: r for task_id, r in kept.items() if task_id in plan.dag},
        "abandoned": state.abandoned + lost,
    }
