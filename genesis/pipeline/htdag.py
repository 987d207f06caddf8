"""Step 1: decompose the request into a DAG of tasks, or plan a failed branch again."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from langgraph.runtime import Runtime

from genesis.context import RunContext
from genesis.errors import PlanningError
from genesis.events import PlanMade, PlanSentBack
from genesis.planning.branch import plan_again
from genesis.planning.planner import Goal, Plan, first_plan
from genesis.state import RunState

_LATE = "planning was not done when the run's deadline passed"


async def htdag(state: RunState, runtime: Runtime[RunContext]) -> dict[str, Any]:
    """Add the plan of the first planner that has one: learnt, model, template, own skills.

    `objections` when it must be made again, `errors` when that was tried often enough.
    """
    context = runtime.context
    if state.rounds > context.services.settings.max_replans:
        return {"errors": (*state.errors, *state.objections), "objections": ()}
    if context.seconds_left <= 0:
        return _failed(state, _LATE)
    goal = replace(
        state.goal(),
        budget=context.scope.budget,
        seconds_left=context.seconds_left,
        levels_left=context.level.levels_left,
    )
    try:
        async with asyncio.timeout(context.seconds_left):
            plan = await _plan(goal, context)
    except PlanningError as error:
        return _failed(state, str(error))
    except TimeoutError:
        return _failed(state, _LATE)
    objections = context.level.objections(context.scope.run_id, state.request, plan.dag)
    now = state.planned_anew(plan)
    context.reached.begin(replace(now, objections=()))
    added = {
        "plan": plan,
        "results": now.results,
        "abandoned": now.abandoned,
        "objections": objections,
    }
    if not objections:
        return added
    context.journal.add(PlanSentBack(objections))
    if state.rounds >= context.services.settings.max_replans:
        return {**added, "objections": (), "errors": (*state.errors, *objections)}
    return {**added, "rounds": state.rounds + 1}


def _failed(state: RunState, why: str) -> dict[str, Any]:
    return {"errors": (*state.errors, *state.objections, why), "objections": ()}


async def _plan(goal: Goal, context: RunContext) -> Plan:
    make = plan_again if goal.failed and goal.last is not None else first_plan
    plan, passed_over = await make(context.services.planners, goal)
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
    return plan
