"""Version 1, the fallback: a stateless router that hands the request to a single agent."""

from __future__ import annotations

from genesis.context import Services
from genesis.planning.given import check_request, find_given
from genesis.result import OrchestrationResult, task_report
from genesis.routing.ladder import Ladder, Rung
from genesis.run_setup import Request, scope_of
from genesis.tasks.task import Task, TaskResult, TaskStatus
from infrastructure.a2a.agent import AgentCard, Skill

VERSION = "1.0"


async def answer_v1(request: Request, services: Services, note: str = "") -> OrchestrationResult:
    """Route by task type alone, ask one agent once, check its answer, remember nothing.

    Args:
        request: as for v2.
        services: registry, inferrer and runner are used; memory is not touched.
        note: why v1 answers, put first among the errors of a failure.

    Raises:
        InputError: the request cannot be used.
    """
    settings, clock = services.settings, services.clock
    started = clock.monotonic()
    await services.startup.agents()
    check_request(request.text)
    task_type = services.inferrer.infer(request.text).task_type
    given = find_given(request.text, settings.workspace, request.given, task_type=task_type)
    asked = services.deliverables.asked(request.text, task_type, given.data)
    chosen = _choose(task_type, frozenset(given.data), frozenset(asked), services)
    scope = scope_of(request, given.data, settings, started)
    if chosen is None:
        task = Task("answer", request.text, task_type)
        what = f"no agent serves {task_type} with what the request gives"
        result = TaskResult(task.id, TaskStatus.FAILED, error=what)
    else:
        task, ladder = _task(request.text, task_type, *chosen, services)
        result = await services.runner.run(task, ladder, {}, scope)
    return _result(request, task, result, note, clock.monotonic() - started)


def _choose(
    task_type: str, given: frozenset[str], asked: frozenset[str], services: Services
) -> tuple[AgentCard, Skill] | None:
    """The cheapest skill of the type that makes what is asked for from nothing but the given."""
    fitting = [
        (card, skill)
        for card in services.registry.cards
        for skill in card.skills
        if task_type in skill.task_types and given.issuperset(skill.requires)
    ]
    return min(
        fitting,
        key=lambda pair: (
            -len(asked.intersection(pair[1].produces)),
            -len(pair[1].requires),
            pair[1].cost_usd,
            pair[1].seconds,
        ),
        default=None,
    )


def _task(
    text: str, task_type: str, card: AgentCard, skill: Skill, services: Services
) -> tuple[Task, Ladder]:
    task = Task(
        id="answer",
        description=text,
        task_type=task_type,
        operation=skill.id,
        requires=skill.requires,
        produces=skill.produces,
    )
    model = services.models.names[0] if skill.needs_model and services.models.names else ""
    reason = f"version 1 takes the first agent that serves {task_type}"
    rung = Rung(card.name, skill.id, model, "medium", 0.5, skill.cost_usd, skill.seconds, reason)
    return task, Ladder(task.id, (rung,), 0.5, reason)


def _result(
    request: Request, task: Task, result: TaskResult, note: str, duration_s: float
) -> OrchestrationResult:
    success = result.status is TaskStatus.COMPLETED
    output = result.output
    return OrchestrationResult(
        run_id=request.run_id,
        session_id=request.session_id,
        version=VERSION,
        task_type=task.task_type,
        state="completed" if success else "failed",
        success=success,
        output=output.text if output else "",
        artifacts=list(output.artifacts) if output else [],
        tasks=[task_report(task, result)],
        cost_usd=result.cost_usd,
        duration_s=duration_s,
        errors=[] if success else [text for text in (note, result.error) if text],
    )
