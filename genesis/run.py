"""One request from acceptance to result: whatever happens on the way, it ends recorded or waits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any

from genesis.context import RunBelow, RunContext, Services
from genesis.errors import AgentError, InputError, Overloaded, RunBusy, UnknownRun
from genesis.events import RunPaused
from genesis.execution.below import SubRequest
from genesis.execution.events import SubRequestStarted
from genesis.graph import plan_graph, resumed_graph, run_graph
from genesis.journal import Listener
from genesis.leases import kept
from genesis.past_run import PastRun
from genesis.pipeline.record import store_bare_end, store_end
from genesis.result import OrchestrationResult, PlanPreview, preview_of, result_of
from genesis.run_setup import VERSION, Limits, Request, begin, go_on
from genesis.settled import settled
from genesis.state import RunState
from genesis.tasks.task import Task, TaskOutput
from genesis.told import past_run, rests, told
from infrastructure.errors import GenesisError, StoreError
from infrastructure.memory.finished_run import AcceptedRun
from infrastructure.memory.memori.run_journal import LeaseLost
from infrastructure.memory.memori.run_leases import Holder
from infrastructure.memory.memori.runs import (
    CANCELED,
    OPEN_STATES,
    RUNNING,
    WAITING,
    RunRecord,
)
from infrastructure.processes import is_dead
from infrastructure.redaction import hide_secrets

log = logging.getLogger("genesis")

# Every attempt ends at the deadline by itself; this is what a step may need on top of it.
_GRACE_S = 30.0


async def run_request(
    request: Request, services: Services, listener: Listener | None
) -> OrchestrationResult:
    """Accept the request, take it through the graph, and return the result.

    Raises:
        InputError: the request cannot be used; nothing was stored.
        RunBusy: a run of this id is there already, or another process took this one over.
        StoreError: the store cannot be used or did not take the run, so it was not started.
    """
    context, state = await begin(request, services, listener, _do_below)
    _require_not_stopping(services)
    work = _accepted_and_worked(state, context, request)
    return _result(await _to_a_stop(work, state, context, request), context)


async def accept_request(request: Request, services: Services) -> bool:
    """Store a request durably and leave it to whoever goes on with it; False if it is known.

    Raises:
        InputError: the request cannot be used; nothing was stored.
        StoreError: the store did not take it.
    """
    context, _ = await begin(request, services, None, _do_below)
    _require_not_stopping(services)
    return await _accept(request, context, owner="")


async def resume_run(
    run_id: str, limits: Limits, services: Services, listener: Listener | None
) -> OrchestrationResult:
    """Go on with a run that was interrupted, approved, or never begun.

    The result of one that is over, or that waits and about which nothing was decided since, is
    what its journal tells; nothing is done then.

    Raises:
        UnknownRun: no run has this id.
        InputError: it is a part of another run, or was accepted for another workspace.
        RunBusy: somebody works on it.
        Overloaded: the process is to end.
        StoreError: the store cannot be used, or has no journal to go on with.
    """
    held = await _holder(run_id, services)
    if held.state not in OPEN_STATES:
        return await stored_result(run_id, services)
    _require_whole(run_id)
    if held.state == WAITING and await rests(run_id, services):
        return await stored_result(run_id, services)
    claimed = await _claim(run_id, held, services)
    if claimed is None:  # it ended meanwhile
        return await stored_result(run_id, services)
    state, context = await _resumed(run_id, claimed, limits, services, listener)
    return _result(state, context)


async def stored_result(run_id: str, services: Services) -> OrchestrationResult:
    """What the journal of a run tells of it, whether it is over or not.

    Raises:
        UnknownRun: no run has this id.
        StoreError: the store cannot be used, or the journal was pruned or cannot be read.
    """
    held = await _holder(run_id, services)
    past = await past_run(run_id, services)
    run = await told("", past, services)
    at_work = held.works(services.clock.now()) and not is_dead(held.owner)
    return result_of(run, past.accepted.session_id, at_work=at_work)


async def preview_request(request: Request, services: Services) -> PlanPreview:
    """Plan the request without running or storing anything.

    Raises:
        InputError: the request cannot be used.
        PlanningError: no plan validates, or no agent or budget fits it.
    """
    context, state = await begin(request, services, None, _do_below)
    return preview_of(await plan_graph(state, context))


async def _accept(request: Request, context: RunContext, owner: str | None = None) -> bool:
    """Store the run with the beginning of its journal; False if its id is known.

    Args:
        request: what was asked.
        context: of the run.
        owner: who works on it; None for this process, empty for nobody yet.
    """
    services, journal = context.services, context.journal
    now = services.clock.now()
    accepted = AcceptedRun(
        RunRecord(
            request.run_id,
            request.session_id,
            hide_secrets(request.text),
            now,
            version=VERSION,
        ),
        context.level.parent_run_id,
        owner=services.owner() if owner is None else owner,
        until=now + services.settings.run_lease_s,
    )

    async def store(events: Sequence[str]) -> bool:
        return await services.memory.accept(replace(accepted, events=tuple(events)))

    return await journal.store_with(store)


async def _accepted_and_worked(state: RunState, context: RunContext, request: Request) -> RunState:
    if not await _accept(request, context):
        raise RunBusy(
            f"there is a run {request.run_id!r} already: resume it, or ask for its result"
        )
    return await _work(state, context, request)


async def _resumed(
    run_id: str,
    claimed: Holder,
    limits: Limits,
    services: Services,
    listener: Listener | None,
    above: RunContext | None = None,
    sub: SubRequest | None = None,
) -> tuple[RunState, RunContext]:
    """Go on with a run that was claimed; it is let go of when that cannot be begun."""
    try:
        past = await past_run(run_id, services)
        request = _as_accepted(past, limits, services, above, sub)
        context, state = await go_on(
            past, request, limits, services, listener, _do_below, claimed.fence
        )
        run = await told("", past, services)
        context.reached.below.extend(run.below)
        context.reached.open_below.update(dict.fromkeys(past.open_below, False))
        if claimed.cancel_reason is None:
            _require_not_stopping(services)
    except BaseException:
        await _let_go(run_id, claimed, claimed.state, services)
        raise
    if claimed.cancel_reason is not None:
        context.active.cancel_reason = claimed.cancel_reason
        work = _give_up(state, context, claimed.cancel_reason, canceled=True)
    else:
        work = _work(state, context, request)
    return await _to_a_stop(work, state, context), context


def _as_accepted(
    past: PastRun,
    limits: Limits,
    services: Services,
    above: RunContext | None,
    sub: SubRequest | None,
) -> Request:
    """The request of a run that was begun before."""
    accepted, settings = past.accepted, services.settings
    budget_usd = past.budget_usd if limits.budget_usd is None else limits.budget_usd
    # Journals of earlier versions tell no limits.
    knows_limits = accepted.timeout_s is not None or accepted.parent_run_id
    if budget_usd is None and not knows_limits:
        budget_usd = settings.budget_usd
    return Request(
        text=accepted.request,
        run_id=accepted.run_id,
        session_id=accepted.session_id,
        budget_usd=budget_usd,
        timeout_s=_timeout_s(past, limits, services),
        given=accepted.given,
        approve=accepted.approve,
        remote=accepted.remote,
        above=above,
        sub=sub,
    )


def _require_not_stopping(services: Services) -> None:
    if services.active.stopping:
        raise Overloaded("no request is admitted any more: the process is to end")


def _timeout_s(past: PastRun, limits: Limits, services: Services) -> float:
    """Seconds that the whole run may take, what it took before included."""
    if limits.timeout_s is not None:
        return past.worked_s + limits.timeout_s
    return services.settings.run_timeout_s if past.timeout_s is None else past.timeout_s


async def _holder(run_id: str, services: Services) -> Holder:
    held = await services.memory.holder(run_id)
    if held is None:
        raise UnknownRun(f"there is no run {run_id!r}")
    return held


async def _claim(
    run_id: str, held: Holder, services: Services, above: RunContext | None = None
) -> Holder | None:
    """Take a run, or the part of one that is held; None if it is over."""
    if services.active.get(run_id) is not None:
        raise RunBusy(f"run {run_id!r} is worked on right now, by this process")
    dead = held.owner if is_dead(held.owner) else ""
    whole = (above.scope.run_id, above.journal.fence or 0) if above else None
    claiming = asyncio.ensure_future(
        services.memory.claim(
            run_id, services.owner(), services.settings.run_lease_s, dead, above=whole
        )
    )
    try:
        claimed = await asyncio.shield(claiming)
    except asyncio.CancelledError:  # nobody knows yet whether it was taken
        await settled(asyncio.wait({claiming}))
        lost = claiming.cancelled() or claiming.exception() is not None
        if not lost and (taken := claiming.result()) is not None:
            await _let_go(run_id, taken, held.state, services)
        raise
    if claimed is not None:
        return replace(claimed, state=held.state)
    held = await _holder(run_id, services)
    if held.state not in OPEN_STATES:
        return None
    left_s = max(0.0, held.until - services.clock.now())
    raise RunBusy(
        f"run {run_id!r} is worked on by another process; if that one died, its lease ends in "
        f"{left_s:.0f} s, and the run can be resumed then"
    )


async def _let_go(run_id: str, claimed: Holder, state: str, services: Services) -> None:
    """Give back a run that was claimed and not begun, whoever is cancelled meanwhile."""
    memory = services.memory
    released = await settled(memory.release(run_id, claimed.fence, state, anyway=True))
    if released.cancelled() or (error := released.exception()) is None:
        return
    # Its lease ends by itself.
    log.error("run %s was not let go of: %s", run_id, error)


async def _to_a_stop(
    work: Coroutine[Any, Any, RunState],
    state: RunState,
    context: RunContext,
    request: Request | None = None,
) -> RunState:
    """Work on a run to its end, or to where it waits for somebody or something.

    Args:
        work: takes it there.
        state: as it begins.
        context: its own.
        request: of a run that is accepted by this work.

    Raises:
        asyncio.CancelledError: the caller's task was cancelled, and so is the run.
        RunBusy: another process took it over.
    """
    services, active = context.services, context.active
    services.active.add(active)
    try:
        return await work
    except asyncio.CancelledError:
        # Also while it is accepted: nobody knows then whether the store took it as running.
        stopped = await settled(_stopped(state, context, request))
        if not active.take_back():
            raise
        try:
            return stopped.result()
        except LeaseLost as error:
            raise RunBusy(str(error)) from error
    except LeaseLost as error:
        raise RunBusy(str(error)) from error
    finally:
        services.active.remove(active)


async def _stopped(state: RunState, context: RunContext, request: Request | None) -> RunState:
    """What is left of a run that was told to stop, or whose caller went away."""
    active, reached = context.active, context.reached
    if reached.ending is not None:  # it came too late: the end may be stored
        ending, to_its_end = reached.ending
        return replace(ending, **await store_end(ending, context, to_its_end=to_its_end))
    if active.stopping and not active.cancel_reason:
        if request is not None and context.journal.next_number == 1:
            await _accept(request, context)  # nobody knows whether it was
        return await _pause(reached.latest(state), context, "its process is to end")
    reason = active.cancel_reason or "the run was cancelled"
    return await _give_up(state, context, reason, canceled=True)


async def _work(state: RunState, context: RunContext, request: Request) -> RunState:
    memory, settings = context.services.memory, context.services.settings
    async with kept(context.active, memory, settings.run_lease_s):
        final = await _to_its_end(state, context, request)
        return await _pause(final, context, final.paused) if final.paused else final


async def _to_its_end(state: RunState, context: RunContext, request: Request) -> RunState:
    # A request within a request ends itself before the one that waits for it loses patience.
    grace_s = _GRACE_S / (context.level.depth + 1)
    graph = resumed_graph if state.entry else run_graph
    limit = asyncio.timeout(max(0.0, context.seconds_left) + grace_s)
    try:
        async with limit:
            return await graph(state, context)
    except LeaseLost:
        raise
    except GenesisError as error:
        return await _give_up(state, context, str(error))
    except Exception as error:  # a defect of ours must not leave a run without an end
        if limit.expired() and isinstance(error, TimeoutError):
            late = f"the run took longer than {request.timeout_s:g} s"
            return await _give_up(state, context, late)
        log.exception("run %s failed in an unexpected way", request.run_id)
        return await _give_up(state, context, f"unexpected {type(error).__name__}: {error}")


async def _pause(state: RunState, context: RunContext, reason: str) -> RunState:
    """Leave a run as it is, for whoever goes on with it."""
    active, journal, memory = context.active, context.journal, context.services.memory
    active.closing = True
    # What its process left undone is gone on with, whatever else waits for a person.
    waits = bool(active.approvals.pending or active.asked_below) and not active.stopping
    name = "waiting" if waits else "interrupted"
    journal.add(RunPaused(context.scope.run_id, name, reason))
    canceled = None
    try:
        await journal.flush()
        fence = journal.fence or 0
        canceled = await memory.release(context.scope.run_id, fence, WAITING if waits else RUNNING)
    except LeaseLost:
        raise
    except StoreError as error:  # its lease ends by itself, and what is stored can be gone on with
        log.error("run %s was not let go of: %s", context.scope.run_id, error)
    if canceled is not None:
        return await _give_up(state, context, canceled, canceled=True)
    return replace(state, paused=reason)


async def _give_up(
    first: RunState, context: RunContext, reason: str, *, canceled: bool = False
) -> RunState:
    """End a run that no step could end: stored as a failure with its cause and what was done."""
    reached = context.reached.latest(first)
    state = replace(reached, errors=(*reached.errors, reason), canceled=canceled, paused="")
    return replace(state, **await store_end(state, context, to_its_end=False))


async def _do_below(above: RunContext, sub: SubRequest) -> TaskOutput:
    """Do an attempt at a composite task as a request one level down.

    Raises:
        GenesisError: it failed; the message names the run and gives its reasons. Or it only waits,
            which `sub.pause` says.
    """
    services, reached = above.services, above.reached
    above.journal.add(
        SubRequestStarted(
            above.scope.run_id, sub.task.id, services.clock.now(), sub.number, sub.run_id
        )
    )
    reached.open_below[sub.run_id] = True
    # Whatever ends this process, who looks at the run above finds the one below.
    await above.journal.flush_or_wait()
    part = await _part(
        above, sub, services.wanting(services, sub.task.description, sub.task.produces)
    )
    if part.state.paused:
        above.active.asked_below.extend(part.asked)
        sub.pause.reason = f"run {sub.run_id} waits: {part.state.paused}"
        raise AgentError(sub.pause.reason)
    del reached.open_below[sub.run_id]
    reached.below[:] = [known for known in reached.below if known.run_id != part.run_id]
    reached.below.append(part)
    if not part.state.success:
        raise AgentError(f"run {sub.run_id} failed: {'; '.join(part.state.errors) or 'no reason'}")
    return _output_of(sub.task, part.state)


async def _part(above: RunContext, sub: SubRequest, services: Services) -> RunBelow:
    """The run that an attempt at a composite task is; gone on with where it was begun before."""
    if await services.memory.holder(sub.run_id) is not None:
        return await _known_part(above, sub, services)
    request = Request(
        text=sub.task.description,
        run_id=sub.run_id,
        session_id=above.session_id,
        budget_usd=None,
        timeout_s=max(0.0, sub.deadline - services.clock.monotonic()),
        given=sub.inputs,
        approve=above.approve,
        remote=above.scope.sandboxed,
        above=above,
        sub=sub,
    )
    listener = above.journal.listener_below
    context, state = await begin(request, services, listener, _do_below)
    try:
        work = _accepted_and_worked(state, context, request)
        state = await _to_a_stop(work, state, context, request)
    except RunBusy:  # a process that was shut out of the run above was quicker
        return await _known_part(above, sub, services)
    return _now(sub.task.id, state, context)


async def _known_part(above: RunContext, sub: SubRequest, services: Services) -> RunBelow:
    """An attempt at a composite task that was begun before, or even ended."""
    held = await _holder(sub.run_id, services)
    claimed = None
    if held.state == RUNNING or (held.state == WAITING and not await rests(sub.run_id, services)):
        claimed = await _claim(sub.run_id, held, services, above)
    if claimed is None:
        part = await told(sub.task.id, await past_run(sub.run_id, services), services)
        sub.budget.charge(part.cost_usd)
        return part
    listener = above.journal.listener_below
    state, context = await _resumed(sub.run_id, claimed, Limits(), services, listener, above, sub)
    return _now(sub.task.id, state, context)


def _output_of(task: Task, state: RunState) -> TaskOutput:
    """What a composite task's run hands in for it: its answer, its files, and the data asked."""
    outputs = [result.output for _, result in state.finished if result.output is not None]
    made = {name: value for output in outputs for name, value in output.data.items()}
    return TaskOutput(
        text=state.output,
        data={name: made[name] for name in task.produces if name in made},
        artifacts=tuple(dict.fromkeys(path for output in outputs for path in output.artifacts)),
    )


def _now(task_id: str, state: RunState, context: RunContext) -> RunBelow:
    """A run that has just stopped."""
    run_id, active = context.scope.run_id, context.active
    asked = (*((run_id, a) for a in active.approvals.pending), *active.asked_below)
    return RunBelow(
        task_id,
        run_id,
        state,
        context.spent_usd,
        context.elapsed_s,
        tuple(context.reached.below),
        () if state.over else asked,
    )


def _result(state: RunState, context: RunContext) -> OrchestrationResult:
    return result_of(_now("", state, context), context.session_id)


async def cancel_run(run_id: str, reason: str, services: Services) -> bool:
    """End a run for good, with what is finished kept; False if it was over.

    Raises:
        UnknownRun: no run has this id.
        InputError: it is a part of another run.
        StoreError: the store cannot be used.
    """
    while True:
        held = await _holder(run_id, services)
        _require_whole(run_id)
        if held.state not in OPEN_STATES:
            return False
        active = services.active.get(run_id)
        if active is None:
            break
        active.cancel(reason)
        await active.ended.wait()
        held = await _holder(run_id, services)
        if held.state not in OPEN_STATES:
            return held.state == CANCELED
    await services.memory.request_cancel(run_id, reason)
    if held.works(services.clock.now()) and not is_dead(held.owner):
        return True  # it hears of it when it renews its lease, or lets go of it
    try:
        claimed = await _claim(run_id, held, services)
    except RunBusy:  # somebody was quicker, and hears of it
        return True
    if claimed is None:
        return False
    await _cancel_claimed(run_id, replace(claimed, cancel_reason=reason), services)
    return True


async def _cancel_claimed(run_id: str, claimed: Holder, services: Services) -> None:
    try:
        await _resumed(run_id, claimed, Limits(), services, None)
    except (InputError, StoreError) as error:
        # It cannot be gone on with here or nowhere, but it can be ended.
        log.warning("run %s is cancelled without its journal: %s", run_id, error)
        known = await services.memory.run(run_id)
        claimed_again = await services.memory.claim(
            run_id, services.owner(), services.settings.run_lease_s
        )
        if known is not None and claimed_again is not None:
            reason = claimed.cancel_reason or ""
            await store_bare_end(known, claimed_again.fence, (reason, str(error)), services)


def _require_whole(run_id: str) -> None:
    outermost, _, part = run_id.partition("~")
    if part:
        raise InputError(f"run {run_id!r} is a part of run {outermost!r}: name that one")
