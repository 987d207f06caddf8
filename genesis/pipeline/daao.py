"""Step 4: choose for each task who tries first, with which model and effort, and who next."""

from __future__ import annotations

from typing import Any

from langgraph.runtime import Runtime

from genesis.context import RunContext
from genesis.errors import BudgetExceeded, ModelNotConfigured, RoutingError
from genesis.events import PlanPriced
from genesis.routing.belief import Belief
from genesis.routing.ladder import Ladder, Route
from genesis.state import RunState
from genesis.tasks.task import Task


async def daao(state: RunState, runtime: Runtime[RunContext]) -> dict[str, Any]:
    """Add a ladder of attempts to every routed task, and what memory changed in it."""
    assert state.plan is not None
    context = runtime.context
    ladders: list[Ladder] = []
    changed: list[str] = []
    try:
        for task_id in state.routes:
            task = state.plan.dag[task_id]
            ladder = _ladder(task, state.routes[task_id], state, context, state.belief())
            ladders.append(ladder)
            changed += _changed_by_memory(task, ladder, state, context)
    except (BudgetExceeded, ModelNotConfigured, RoutingError) as error:
        return {"errors": (*state.errors, str(error))}
    context.journal.add(PlanPriced(tuple(ladders), tuple(changed)))
    return {
        "ladders": {ladder.task_id: ladder for ladder in ladders},
        "changed_by_memory": tuple(changed),
    }


def _ladder(
    task: Task, route: Route, state: RunState, context: RunContext, belief: Belief
) -> Ladder:
    return context.services.router.ladder(
        task,
        route,
        state.request,
        state.given.data,
        belief,
        usd_left=context.usd_left,
        seconds_left=context.seconds_left,
    )


def _changed_by_memory(
    task: Task, ladder: Ladder, state: RunState, context: RunContext
) -> list[str]:
    """Who would have gone first if nothing were known, where that is somebody else."""
    if not state.recalled.attempts_known or len(ladder.rungs) == 1:
        return []
    first = ladder.rungs[0]
    belief = state.belief(with_memory=False)
    router = context.services.router
    (route,) = router.routes([task], state.request, belief, explore=False)
    unlearnt = _ladder(task, route, state, context, belief).rungs[0]
    if (unlearnt.agent, unlearnt.model) == (first.agent, first.model):
        return []
    return [
        f"{task.id}: {_named(first.agent, first.model)} goes first instead of "
        f"{_named(unlearnt.agent, unlearnt.model)}: {first.reason}"
    ]


def _named(agent: str, model: str) -> str:
    return f"{agent} with {model}" if model else agent
