"""Step 0: say the task type and recall what is known of such requests."""

from __future__ import annotations

import logging
from typing import Any

from langgraph.runtime import Runtime

from genesis.context import RunContext
from genesis.events import (
    ContextRecalled,
    MemoryDecision,
    MemoryRecalled,
    RecalledPattern,
    RecalledRun,
    RunEvent,
    TaskTypeInferred,
)
from genesis.planning.planner import PastPlan
from genesis.routing.belief import Belief
from genesis.state import Recalled, RunState, in_words
from infrastructure.errors import GenesisError
from infrastructure.memory.memori.plan_cases import PlanCase
from infrastructure.memory.workflow_memory import Recall

log = logging.getLogger("genesis.memory")

_PAST_PLANS = 5


async def recall(state: RunState, runtime: Runtime[RunContext]) -> dict[str, Any]:
    """Add what memory holds for requests of this type; a store that fails costs only that."""
    services, journal = runtime.context.services, runtime.context.journal
    # A run that goes on recalls again: what it decided by memory is in its journal already.
    tell = journal.add if not state.entry else _unsaid
    inferred = state.inferred
    tell(TaskTypeInferred(inferred.task_type, inferred.confidence, inferred.reason))
    if not services.flags.memory_enabled:
        tell(MemoryRecalled(note="memory is turned off (memory_enabled)"))
        return {}
    try:
        found = await _search(state, runtime.context)
    except GenesisError as error:
        log.warning("Step 0: retrieval failed, going on without memory: %s", error)
        tell(MemoryRecalled(note=f"retrieval failed: {error}"))
        return {}
    recalled = _recalled(found)
    tell(_event(found, recalled))
    return {"recalled": recalled, "told": await _told(state, runtime.context)}


async def _told(state: RunState, context: RunContext) -> str:
    """What earlier requests taught, for planners and agents; decided once for a request."""
    remembering = context.services.remembering
    if context.level.depth:
        return context.scope.told
    if remembering is None or state.entry:
        return state.told
    session_id = None if context.new_session else context.session_id
    try:
        found = await remembering.before(state.request, context.vector, session_id)
    except Exception as error:  # whatever is wrong with memory costs no request
        defect = not isinstance(error, GenesisError)
        log.warning(
            "Step 0: recalling what was said failed, going on without: %s", error, exc_info=defect
        )
        context.journal.add(ContextRecalled((), "", f"recalling what was said failed: {error}"))
        return ""
    if found.decisions:
        decisions = tuple(map(MemoryDecision.of, found.decisions))
        context.journal.add(ContextRecalled(decisions, found.text, found.note))
    return found.text


def _unsaid(event: RunEvent) -> None:
    """Nobody is told."""


async def _search(state: RunState, context: RunContext) -> Recall:
    services = context.services
    asked = services.deliverables.asked(state.request, state.task_type, state.given.data)

    def serves(case: PlanCase) -> bool:
        return case.made.issuperset(asked)

    log.info("Step 0: querying memory for %s", state.task_type)
    return await services.memory.recall(
        state.task_type,
        state.request,
        context.vector,
        tuple(sorted(state.given.data)),
        min_success_rate=services.settings.min_success_rate,
        limit=_PAST_PLANS,
        serves=serves,
    )


def _recalled(found: Recall) -> Recalled:
    return Recalled(
        patterns=tuple(
            in_words(p.workflow_steps, p.successful_executions, p.total_executions)
            for p in found.patterns
        ),
        past=tuple(
            PastPlan(
                run_id=case.run_id,
                request=case.request,
                task_type=case.task_type,
                given=case.given,
                plan=case.plan,
                successes=case.successes,
                failures=case.failures,
                similarity=case.similarity,
            )
            for case in found.cases
        ),
        belief=Belief(found.outcomes),
        attempts_known=sum(count.successes + count.failures for count in found.outcomes),
    )


def _event(found: Recall, recalled: Recalled) -> MemoryRecalled:
    return MemoryRecalled(
        patterns=tuple(
            RecalledPattern(tuple(p.workflow_steps), p.success_rate, p.total_executions)
            for p in found.patterns
        ),
        past=tuple(
            RecalledRun(p.run_id, p.request, p.similarity, p.successes, p.failures)
            for p in recalled.past
        ),
        attempts_known=recalled.attempts_known,
        note="" if recalled.attempts_known else "nothing is known yet",
    )
