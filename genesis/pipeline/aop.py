"""Step 3: validate the plan, mend what can be mended, send back what cannot."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from langgraph.runtime import Runtime

from genesis.context import RunContext
from genesis.events import PlanValidated
from genesis.planning.validate import Limits, ValidationReport, mend, validate
from genesis.state import RunState
from genesis.tasks.dag import TaskDAG


async def aop(state: RunState, runtime: Runtime[RunContext]) -> dict[str, Any]:
    """Add the report; `objections` when the plan must be made again, `errors` when no more."""
    assert state.plan is not None
    context, plan = runtime.context, state.plan
    report = _validate(plan.dag, state, context)
    mended, changes = mend(plan.dag, report)
    if changes:
        plan = replace(plan, dag=mended)
        report = _validate(mended, state, context)
    context.journal.add(PlanValidated(report.accepted, report, changes))
    added: dict[str, Any] = {"plan": plan, "report": report}
    if report.accepted:
        return added
    if state.rounds >= context.services.settings.max_replans:
        return {**added, "errors": (*state.errors, *report.objections)}
    return {**added, "objections": report.objections, "rounds": state.rounds + 1}


def _validate(dag: TaskDAG, state: RunState, context: RunContext) -> ValidationReport:
    services = context.services
    asked = services.deliverables.asked(state.request, state.task_type, state.given.data)
    limits = Limits(
        max_tasks=services.settings.max_plan_tasks,
        max_depth=services.settings.max_plan_depth,
        seconds=context.seconds_left,
        usd=context.usd_left,
        has_model=services.models.configured,
    )
    return validate(dag, state.goal(), services.registry.cards, asked=asked, limits=limits)
