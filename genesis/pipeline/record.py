"""Step 6: store in one commit how the run ended and all that it teaches."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from langgraph.runtime import Runtime

from genesis.context import RunBelow, RunContext, Services
from genesis.events import MemoryDecision, MemoryLearnt, RunEnded, event_line
from genesis.past_run import PastRun, read_journal
from genesis.remembering import Lesson
from genesis.state import RunState, telling_attempts
from genesis.tasks.dag import TaskDAG
from genesis.tasks.task import AttemptOutcome, Task, TaskResult
from genesis.told import told
from infrastructure.errors import GenesisError, StoreError
from infrastructure.jsonvalue import JsonObject, JsonValue
from infrastructure.memory.finished_run import EndedPart, FinishedRun
from infrastructure.memory.memori import run_sources
from infrastructure.memory.memori.outcomes import OutcomeRecord
from infrastructure.memory.memori.run_journal import LeaseLost
from infrastructure.memory.memori.runs import OPEN_STATES, RunRecord
from infrastructure.redaction import hide_secrets

log = logging.getLogger("genesis.memory")


async def record(state: RunState, runtime: Runtime[RunContext]) -> dict[str, Any]:
    """Store the run; a store that fails costs the memory of the run, never its answer."""
    await _learn(state, runtime.context)
    return await store_end(state, runtime.context)


async def _learn(state: RunState, context: RunContext) -> None:
    """Remember what the run teaches, before its end is told: then nothing that was is lost."""
    remembering = context.services.remembering
    if remembering is None or context.level.depth or state.learnt:
        return
    agents = [result.attempts[-1].agent for _, result in state.finished if result.attempts]
    lesson = Lesson(
        run_id=context.scope.run_id,
        session_id=context.session_id,
        request=state.request,
        verified=state.success,
        agents=tuple(dict.fromkeys(agents)),
        outcome=state.output if state.success else "; ".join(_with_causes(state)),
    )
    try:
        learnt = await remembering.after(lesson, again=bool(state.entry))
    except Exception as error:  # whatever is wrong with memory costs no request
        defect = not isinstance(error, GenesisError)
        log.warning(
            "Step 6: remembering the run failed, going on without: %s", error, exc_info=defect
        )
        context.journal.add(MemoryLearnt((), f"remembering the run failed: {error}"))
        return
    decisions = tuple(map(MemoryDecision.of, learnt.decisions))
    context.journal.add(MemoryLearnt(decisions, learnt.note))


async def store_end(
    state: RunState, context: RunContext, *, to_its_end: bool = True
) -> dict[str, Any]:
    """Store how a run ended, and what `record` adds to its state.

    Args:
        state: as the run left it.
        context: its own.
        to_its_end: False when it was ended from outside: that says nothing about its plan, while
            the attempts that were made say of their agents what they say of them anyway.
    """
    state = replace(state, errors=_with_causes(state))
    context.active.closing = True
    # A cancelled commit may have happened: whoever is left with the run tries the same again.
    context.reached.ending = (state, to_its_end)
    parts = await _open_parts(context) if context.reached.open_below else ()
    ended = RunEnded(
        run_id=context.scope.run_id,
        success=state.success,
        output=state.output,
        errors=state.errors,
        duration_s=context.elapsed_s,
        cost_usd=context.spent_usd,
        canceled=state.canceled,
    )

    async def finish(events: Sequence[str]) -> bool:
        run = _finished(state, context, ended, tuple(events), to_its_end)
        return await context.services.memory.finish(replace(run, parts=parts))

    try:
        await context.journal.end_with(ended, finish)
    except LeaseLost:
        raise  # another process goes on with the run: this one has no answer to give
    except StoreError as error:
        log.error("Step 6: storing run %s failed: %s", context.scope.run_id, error)
        unstored = f"the run was not stored: {error}"
        return {"errors": state.errors, "over": True, "unstored": unstored}
    return {"errors": state.errors, "over": True, "recorded": True}


async def store_bare_end(
    run: RunRecord, fence: int, errors: tuple[str, ...], services: Services
) -> None:
    """End a run, as canceled, whose journal cannot be gone on with.

    Args:
        run: what is stored of it.
        fence: of the lease on it.
        errors: why.
        services: the orchestrator's parts.
    """
    ended = RunEnded(run.run_id, False, "", errors, 0.0, 0.0, canceled=True)
    await services.memory.finish(
        FinishedRun(
            run_id=run.run_id,
            session_id=run.session_id,
            request=run.request,
            task_type=run.task_type or services.inferrer.infer(run.request).task_type,
            success=False,
            steps=(),
            duration_s=0.0,
            cost_usd=0.0,
            events=(event_line(ended, services.clock.now()),),
            fence=fence,
            canceled=True,
            result={"errors": list(errors)},
        )
    )


async def _open_parts(context: RunContext) -> tuple[EndedPart, ...]:
    """The ends of the parts that nobody will go on with; what they spent is the run's."""
    memory, reached = context.services.memory, context.reached
    found: list[EndedPart] = []
    for run_id, charged in reached.open_below.items():
        events = await memory.events(run_id)
        if not events:
            continue  # it was never begun
        if not charged:
            part = await told("", read_journal(run_id, events), context.services)
            context.scope.budget.charge(part.cost_usd)
            reached.open_below[run_id] = True
        for part_id in (run_id, *await memory.parts(run_id)):
            held = await memory.holder(part_id)
            if held is not None and held.state in OPEN_STATES:
                past = read_journal(part_id, await memory.events(part_id))
                found.append(_ended_part(part_id, past, context))
    return tuple(found)


def _ended_part(part_id: str, past: PastRun, context: RunContext) -> EndedPart:
    why = f"run {context.scope.run_id}, which it is a part of, ended before it"
    ended = RunEnded(part_id, False, "", (why,), past.worked_s, past.spent_usd, canceled=True)
    line = event_line(ended, context.services.clock.now())
    return EndedPart(part_id, line, past.state.task_type, {"errors": [why]})


def _with_causes(state: RunState) -> tuple[str, ...]:
    """Why the run failed, with what it tried to do another way and in the end could not."""
    if not state.errors:
        return ()
    given_up = (result.why_failed for _, result in state.abandoned)
    return tuple(dict.fromkeys((*given_up, *state.errors)))


def _finished(
    state: RunState,
    context: RunContext,
    ended: RunEnded,
    events: tuple[str, ...],
    to_its_end: bool,
) -> FinishedRun:
    plan = state.plan.dag.to_json() if state.plan and to_its_end else None
    may_recall = context.services.flags.memory_enabled and to_its_end
    steps = (_step(task, result) for task, result in state.finished if result.attempts)
    return FinishedRun(
        run_id=ended.run_id,
        session_id=context.session_id,
        request=hide_secrets(state.request),
        task_type=state.task_type,
        success=ended.success,
        steps=tuple(steps) if to_its_end else (),
        duration_s=ended.duration_s,
        cost_usd=ended.cost_usd,
        recalled=_used_memory(state) if may_recall else None,
        metadata={"plan": plan} if plan else {},
        given=tuple(sorted(state.given.data)),
        plan=plan,
        structure=_structure(state.plan.dag) if state.plan else None,
        vector=context.vector,
        outcomes=tuple(_outcomes(state)),
        sources=tuple(dict.fromkeys(_sources(state, context.reached.below))),
        events=events,
        first_event=context.journal.next_number,
        fence=context.journal.fence,
        canceled=state.canceled,
        result=_summary(state, ended),
        parent_run_id=context.level.parent_run_id,
    )


def _step(task: Task, result: TaskResult) -> str:
    return f"{task.task_type}:{result.agent}:{result.model}"


def _used_memory(state: RunState) -> bool:
    return bool(state.changed_by_memory) or (
        state.plan is not None and state.plan.source == "memory"
    )


def _structure(dag: TaskDAG) -> JsonValue:
    """What makes two plans the same: everything but the words that describe the tasks."""
    return [
        [task.id, task.task_type, task.operation, list(task.produces), list(task.depends_on)]
        for task in dag
    ]


def _outcomes(state: RunState) -> Iterator[OutcomeRecord]:
    for task, attempt in telling_attempts(state.finished):
        yield OutcomeRecord(
            task_type=task.task_type,
            operation=attempt.operation,
            agent=attempt.agent,
            model=attempt.model,
            effort=attempt.effort if attempt.model else "",
            success=attempt.outcome is AttemptOutcome.VERIFIED,
            seconds=attempt.duration_s,
            usd=attempt.usage.cost_usd,
            task_id=task.id,
        )


def _sources(state: RunState, below: Iterable[RunBelow]) -> Iterator[str]:
    """Every agent that was asked, here or one level down, and the past run whose plan this is."""
    for _, result in state.finished:
        for attempt in result.attempts:
            yield run_sources.AGENT + attempt.agent
    if state.plan is not None and state.plan.run_id:
        yield run_sources.RUN + state.plan.run_id
    for part in below:
        yield from _sources(part.state, part.below)


def _summary(state: RunState, ended: RunEnded) -> JsonObject:
    return {
        "output": ended.output,
        "errors": list(ended.errors),
        "tasks": len(state.finished),
        "plan_source": state.plan.source if state.plan else None,
        "cost_usd": ended.cost_usd,
        "duration_s": ended.duration_s,
    }
