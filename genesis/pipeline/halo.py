"""Step 2: find for each task the agents that can do it, by rules, capability and record."""

from __future__ import annotations

from typing import Any

from langgraph.runtime import Runtime

from genesis.context import RunContext
from genesis.events import TasksRouted
from genesis.state import RunState


async def halo(state: RunState, runtime: Runtime[RunContext]) -> dict[str, Any]:
    """Add a route to every task that is not finished yet."""
    assert state.plan is not None
    context, dag = runtime.context, state.plan.dag
    services = context.services
    routes = services.router.routes(
        [task for task in dag if task.id not in state.results],
        state.request,
        state.belief(),
        given=state.given.data,
        workspace=context.scope.workspace,
    )
    routes = services.rules.team.keep_apart(dag, routes, state.results)
    context.journal.add(TasksRouted(tuple(routes)))
    return {"routes": {route.task_id: route for route in routes}}
