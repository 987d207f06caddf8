"""The rest of the REST API: plans without runs, agents, what was learnt."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from genesis.server.hub import Visiting
from genesis.server.problems import PROBLEMS
from genesis.server.schemas import (
    AgentList,
    AgentView,
    LadderView,
    PlanRequest,
    PlanView,
    SkillView,
)
from infrastructure.a2a.agent import AgentCard

router = APIRouter(prefix="/v1", responses=PROBLEMS)


@router.post("/plan", tags=["plans"])
async def plan(asked: PlanRequest, visit: Visiting) -> PlanView:
    """The plan for a request, validated, routed and priced; nothing is run or stored."""
    made = await visit.orchestrator.plan(asked.request, context=asked.context)
    ladders = [
        LadderView(task_id=ladder.task_id, reason=ladder.reason, rungs=list(ladder.rungs))
        for ladder in made.ladders
    ]
    return PlanView(
        task_type=made.task_type,
        plan=dict(made.plan),
        source=made.source,
        reason=made.reason,
        changes=list(made.changes),
        composites=list(made.composites),
        ladders=ladders,
        findings=list(made.findings),
        changed_by_memory=list(made.changed_by_memory),
        notes=list(made.notes),
    )


@router.get("/agents", tags=["agents"])
async def agents(visit: Visiting) -> AgentList:
    """The registered agents, and whether each may be asked now."""
    registry = visit.orchestrator.services.registry
    return AgentList(
        agents=[_agent(card, registry.health(card.name).reason) for card in registry.cards]
    )


@router.get("/metrics/learning", tags=["learning"])
async def learning(
    visit: Visiting,
    task_type: Annotated[str | None, Query(max_length=200)] = None,
    since: Annotated[float | None, Query(ge=0, allow_inf_nan=False)] = None,
    session_id: Annotated[str | None, Query(max_length=200)] = None,
) -> dict[str, Any]:
    """What was executed and learnt, overall and by task type."""
    return await visit.orchestrator.get_workflow_learning_metrics(
        task_type=task_type, since=since, session_id=session_id
    )


def _agent(card: AgentCard, unavailable: str) -> AgentView:
    return AgentView(
        name=card.name,
        description=card.description,
        version=card.version,
        remote=bool(card.url),
        max_concurrency=card.max_concurrency,
        available=not unavailable,
        reason=unavailable,
        skills=[
            SkillView(
                id=skill.id,
                description=skill.description,
                task_types=list(skill.task_types),
                requires=list(skill.requires),
                produces=list(skill.produces),
                needs_model=skill.needs_model,
            )
            for skill in card.skills
        ],
    )
