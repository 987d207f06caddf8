"""Decisions of persons: into a run that is worked on here, or the journal of one that waits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from genesis.active import ActiveRun
from genesis.context import Services
from genesis.errors import InputError, InvalidPlan, RunBusy, UnknownRun
from genesis.events import event_line
from genesis.execution.approvals import Approval, Decision, check_edit
from genesis.execution.events import ApprovalDecided
from genesis.past_run import PastRun, read_journal
from genesis.pipeline.aop import asked_data
from genesis.planning.agent_catalogue import agent_catalogue
from genesis.planning.validation import Limits, validate
from genesis.tasks.dag import TaskDAG
from genesis.told import past_run, require_journal
from infrastructure.jsonvalue import JsonObject
from infrastructure.memory.memori.runs import OPEN_STATES
from infrastructure.processes import is_dead


async def decide(
    run_id: str, approval_id: str | None, decision: Decision, services: Services
) -> None:
    """Put a person's decision into the journal of a run that waits for it.

    Raises:
        UnknownRun: no run has this id.
        InputError: it waits for nothing (of this id), or the decision does not fit.
        RunBusy: another process works on it.
        StoreError: the decision was not stored.
    """
    while True:
        active = services.active.get(run_id) or services.active.get(_whole(run_id))
        if active is not None and not active.closing:
            if await _decided_here(active, run_id, approval_id, decision, services):
                return
        else:
            if active is not None:
                await active.ended.wait()
            if await _decided_in_store(run_id, approval_id, decision, services):
                return


def _whole(run_id: str) -> str:
    return run_id.partition("~")[0]


async def _decided_here(
    active: ActiveRun,
    run_id: str,
    approval_id: str | None,
    decision: Decision,
    services: Services,
) -> bool:
    """Decide for a run that this process works on; False if it stopped meanwhile."""
    at_work = {
        part.run_id: part for part in services.active if part is active or part.outermost is active
    }
    asked = [(name, a) for name, part in at_work.items() for a in part.approvals.pending]
    asked += [(name, a) for name, a in active.asked_below if name not in at_work]
    if run_id != active.run_id:
        asked = [one for one in asked if one[0] == run_id]
    name, approval = _the_one(run_id, asked, approval_id)
    asking = at_work.get(name)
    if asking is None:
        return await _decided_at_rest(active, name, approval, decision, services)
    if asking.closing:
        await asking.ended.wait()
        return False
    asking.approvals.decide(approval.id, decision)
    asking.journal.add(
        ApprovalDecided(name, approval.task_id, services.clock.now(), approval.id, decision)
    )
    await asking.journal.flush()
    return True


async def _decided_at_rest(
    active: ActiveRun, name: str, approval: Approval, decision: Decision, services: Services
) -> bool:
    """Decide for a part that rests while this process works on the rest of the run."""
    past = await past_run(name, services)
    _check(approval, decision, past, services)
    now = services.clock.now()
    event = ApprovalDecided(name, approval.task_id, now, approval.id, decision)
    fence, whole = active.outermost.journal.fence, active.outermost.run_id
    line = event_line(event, now)
    if not await services.memory.append_next(name, line, past.events, whole=whole, fence=fence):
        return False
    active.asked_below[:] = [one for one in active.asked_below if one != (name, approval)]
    active.decided_below += 1
    return True


async def _decided_in_store(
    run_id: str, approval_id: str | None, decision: Decision, services: Services
) -> bool:
    """Decide in the journal of a run that nobody works on; False if somebody was quicker."""
    memory, now, whole = services.memory, services.clock.now(), _whole(run_id)
    if await memory.holder(run_id) is None:
        raise UnknownRun(f"there is no run {run_id!r}")
    held = await memory.holder(whole)
    if held is None or held.state not in OPEN_STATES:
        state = held.state if held else "gone"
        raise InputError(f"run {whole!r} is {state}: there is nothing to decide any more")
    dead = held.owner if is_dead(held.owner) else ""
    if held.works(now) and not dead:
        raise RunBusy(
            f"run {whole!r} is worked on by another process: decide once it waits, or there"
        )
    pasts: dict[str, PastRun] = {}
    for name in (whole, *await memory.parts(whole)):
        events = await memory.events(name)
        if events:
            pasts[name] = read_journal(name, events)
        elif name == whole:
            await require_journal(name, services)
    asked = [
        (name, approval)
        for name, past in pasts.items()
        if past.ended is None
        for approval in past.pending
    ]
    meant = asked if run_id == whole else [one for one in asked if one[0] == run_id]
    name, approval = _the_one(run_id, meant, approval_id)
    _check(approval, decision, pasts[name], services)
    event = ApprovalDecided(name, approval.task_id, now, approval.id, decision)
    return await memory.append_next(
        name,
        event_line(event, now),
        pasts[name].events,
        whole=whole,
        dead=dead,
        ready=asked == [(name, approval)],
    )


def _check(approval: Approval, decision: Decision, past: PastRun, services: Services) -> None:
    check_edit(approval, decision)
    if approval.kind == "plan" and decision.verb == "edit":
        _require_valid_plan(decision, past, services)


def _the_one(
    run_id: str, asked: Sequence[tuple[str, Approval]], approval_id: str | None
) -> tuple[str, Approval]:
    """The question that is meant, with the run that asks it."""
    if not asked:
        raise InputError(f"run {run_id!r} waits for no decision")
    meant = [a for a in asked if approval_id in (None, a[1].id)]
    if len(meant) == 1:
        return meant[0]
    listed = ", ".join(f"{approval.id} of run {name}" for name, approval in asked)
    if not meant:
        raise InputError(f"run {run_id!r} asks nothing of the name {approval_id!r:.80}: {listed}")
    raise InputError(f"run {run_id!r} asks several things, say which is meant: {listed}")


def _require_valid_plan(decision: Decision, past: PastRun, services: Services) -> None:
    """Refuse a changed plan that could not be executed.

    Raises:
        InputError: gives the objections.
    """
    try:
        dag = TaskDAG.from_json(cast("JsonObject", decision.edit))
    except InvalidPlan as error:
        raise InputError(f"the changed plan cannot be used: {error}") from error
    catalogue = agent_catalogue(services.registry.cards, has_model=services.models.configured)
    settings = services.settings
    limits = Limits(max_tasks=settings.max_plan_tasks, max_depth=settings.max_plan_depth)
    given, task_type = past.accepted.given, past.state.task_type
    asked = asked_data(past.accepted.request, task_type, given, services, catalogue)
    report = validate(dag, catalogue, asked=asked, limits=limits)
    missing = sorted(dag.given - set(given))
    objections = [*report.objections, *(f"{name!r} is not given" for name in missing)]
    if objections:
        raise InputError(f"the changed plan cannot be used: {'; '.join(objections)}")
