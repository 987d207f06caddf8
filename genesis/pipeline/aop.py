"""Step 3: validate the plan, mend what can be mended, send back what cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from langgraph.runtime import Runtime

from genesis.context import RunContext, Services
from genesis.events import PlanValidated, TasksRouted
from genesis.planning.agent_catalogue import AgentCatalogue, agent_catalogue
from genesis.planning.deliverables import FALLBACK
from genesis.planning.findings import ValidationReport
from genesis.planning.mend import drop_superfluous, fill_gaps
from genesis.planning.validation import Limits, validate
from genesis.routing.experience import experienced
from genesis.routing.ladder import Route
from genesis.state import RunState
from genesis.tasks.dag import TaskDAG
from genesis.tasks.task import SUB_REQUEST
from infrastructure.jsonvalue import JsonObject


async def aop(state: RunState, runtime: Runtime[RunContext]) -> dict[str, Any]:
    """Add the report; `objections` when the plan must be made again, `errors` when no more."""
    assert state.plan is not None
    context, plan = runtime.context, state.plan
    dag, report, changes = _mended(plan.dag, state, context)
    mended = dag.to_json() if changes else None
    context.journal.add(PlanValidated(report.accepted, report, changes, mended))
    added: dict[str, Any] = {"report": report}
    if changes:
        added["plan"] = replace(plan, dag=dag)
        added["routes"] = _routes(dag, state, context)
    if report.accepted:
        return added
    if state.rounds >= context.services.settings.max_replans:
        return {**added, "errors": (*state.errors, *report.objections)}
    return {**added, "objections": report.objections, "rounds": state.rounds + 1}


def _mended(
    dag: TaskDAG, state: RunState, context: RunContext
) -> tuple[TaskDAG, ValidationReport, tuple[str, ...]]:
    """The plan as far as it can be mended here, the report on it, and what was changed."""
    services = context.services
    has_model = services.models.configured
    # What plans take and cost is judged by what the agents took and cost, not by what they say.
    cards = experienced(services.registry.cards, state.belief())
    catalogue = agent_catalogue(cards, has_model=has_model)
    asked = asked_data(state.request, state.task_type, state.given.data, services, catalogue)
    finished = {task_id for task_id, r in state.results.items() if r.output is not None}
    limits = Limits(
        max_tasks=services.settings.max_plan_tasks,
        max_depth=services.settings.max_plan_depth,
        seconds=context.seconds_left,
        usd=context.usd_left,
    )

    def judged(plan: TaskDAG) -> ValidationReport:
        return validate(plan, catalogue, asked=asked, limits=limits, finished=finished)

    report = judged(dag)
    dag, changes = drop_superfluous(dag, report)
    if changes:
        report = judged(dag)
    if not report.accepted:
        # Only a plan that this makes right is worth it; else the planners are asked again.
        filled, added = fill_gaps(dag, report, catalogue)
        if added and (again := judged(filled)).accepted:
            return filled, again, (*changes, *added)
    return dag, report, changes


def asked_data(
    request: str, task_type: str, given: JsonObject, services: Services, catalogue: AgentCatalogue
) -> tuple[str, ...] | None:
    """What a plan must make; None for whatever its last tasks make.

    Words that name nothing that is known ask for an answer. Where no agent gives one, what a
    plan comes to by the agents there are is the answer.
    """
    asked = services.deliverables.asked(request, task_type, given)
    answers = (
        not operation.produces or FALLBACK in operation.produces
        for operation in catalogue.operations
        if operation.name != SUB_REQUEST
    )
    return None if asked == (FALLBACK,) and not any(answers) else asked


def _routes(dag: TaskDAG, state: RunState, context: RunContext) -> Mapping[str, Route]:
    """The routes of the tasks that are left, and those of the tasks that are new or altered."""
    assert state.plan is not None
    services, before = context.services, state.plan.dag
    known = [
        route
        for task_id, route in state.routes.items()
        if task_id in dag and _same_work(dag, before, task_id)
    ]
    routed = {route.task_id for route in known}
    new = services.router.routes(
        [task for task in dag if task.id not in routed and task.id not in state.results],
        state.request,
        state.belief(),
        given=state.given.data,
        workspace=context.scope.workspace,
    )
    routes = services.rules.team.keep_apart(dag, [*known, *new], state.results)
    if new:
        context.journal.add(TasksRouted(tuple(routes)))
    return {route.task_id: route for route in routes}


def _same_work(dag: TaskDAG, before: TaskDAG, task_id: str) -> bool:
    return replace(dag[task_id], depends_on=()) == replace(before[task_id], depends_on=())
