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
from genesis.tasks.task import TaskStatus

_LATE = "planning was not done when the run's deadline passed"


async def htdag(state: RunState, runtime: Runtime[RunContext]) -> dict[str, Any]:
    """Add the plan of the first planner that has one: learnt, model, template, own skills.

    `objections` when it must be made again, `errors` when that was tried often enough.
    """
    context = runtime.context
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
    added = {"plan": plan, **_carried_over(state, plan), "objections": objections}
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


def _carried_over(state: RunState, plan: Plan) -> dict[str, Any]:
    """What of the last plan's results stands, and what was given up."""
    lost = tuple(
        (task, state.results[task.id])
        for task in (state.plan.dag if state.plan else ())
        if task.id in state.results and state.results[task.id].status is TaskStatus.FAILED
    )
    return {
        "results": {
            task_id: result
            for task_id, result in state.results.items()
            if result.output is not None and _still_there(task_id, state, plan)
        },
        "abandoned": state.abandoned + lost,
    }


def _still_there(task_id: str, state: RunState, plan: Plan) -> bool:
    """Whether the new plan has this very task, and not another one of its name."""
    if state.plan is None or task_id not in plan.dag or task_id not in state.plan.dag:
        return False
    old, new = state.plan.dag[task_id], plan.dag[task_id]
    return replace(new, depends_on=old.depends_on) == old
