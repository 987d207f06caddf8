"""Step 4: choose for each task who tries first, with which model and effort, and who next."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from langgraph.runtime import Runtime

from genesis.context import RunContext
from genesis.errors import BudgetExceeded, ModelNotConfigured, RoutingError
from genesis.events import PlanPriced
from genesis.routing.belief import Belief
from genesis.routing.ladder import Ladder, Route
from genesis.routing.outlook import Outlook
from genesis.state import RunState
from genesis.tasks.task import Task


async def daao(state: RunState, runtime: Runtime[RunContext]) -> dict[str, Any]:
    """Add a ladder of attempts to every routed task, and what memory changed in it."""
    assert state.plan is not None
    context = runtime.context
    router, belief = context.services.router, state.belief()
    outlook = router.outlook(state.request, context.vector)
    ladders: list[Ladder] = []
    changed: list[str] = []
    try:
        for task_id in state.routes:
            task = state.plan.dag[task_id]
            ladder = _ladder(task, state.routes[task_id], state, context, belief, outlook)
            ladders.append(ladder)
            if state.recalled.attempts_known or outlook is not None:
                changed += _changed_by_learning(task, ladder, state, context)
    except (BudgetExceeded, ModelNotConfigured, RoutingError) as error:
        return {"errors": (*state.errors, str(error))}
    context.journal.add(PlanPriced(tuple(ladders), tuple(changed)))
    return {
        "ladders": {ladder.task_id: ladder for ladder in ladders},
        "changed_by_memory": tuple(changed),
    }


def _ladder(
    task: Task,
    route: Route,
    state: RunState,
    context: RunContext,
    belief: Belief,
    outlook: Outlook | None,
) -> Ladder:
    return context.services.router.ladder(
        task,
        route,
        state.request,
        state.given.data,
        belief,
        outlook=outlook,
        usd_left=context.usd_left,
        seconds_left=context.seconds_left,
    )


def _changed_by_learning(
    task: Task, ladder: Ladder, state: RunState, context: RunContext
) -> list[str]:
    """Who would have gone first if nothing were known, where that is somebody else."""
    first = ladder.rungs[0]
    if len(state.routes[task.id].candidates) == 1 and not first.model:
        return []
    belief = state.belief(with_memory=False)
    (route,) = context.services.router.routes(
        [task],
        state.request,
        belief,
        given=state.given.data,
        workspace=context.scope.workspace,
        explore=False,
    )
    # Whom rules leave out is left out whatever is learnt.
    open_to = {candidate.agent for candidate in state.routes[task.id].candidates}
    candidates = tuple(c for c in route.candidates if c.agent in open_to)
    if not candidates:  # an agent's breaker opened between the steps
        return []
    route = replace(route, candidates=candidates)
    try:
        other = _ladder(task, route, state, context, belief, None).rungs[0]
    except BudgetExceeded as error:
        return [f"{task.id}: {_named(first.agent, first.model)} can go; unlearnt: {error}"]
    if (other.agent, other.model) == (first.agent, first.model):
        return []
    return [
        f"{task.id}: {_named(first.agent, first.model)} goes first instead of "
        f"{_named(other.agent, other.model)}: {first.reason}"
    ]


def _named(agent: str, model: str) -> str:
    return f"{agent} with {model}" if model else agent
