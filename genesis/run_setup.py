"""What a run starts with: from a new request, or from the journal of one that was begun before."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from genesis.active import ActiveRun
from genesis.context import RunContext, Services
from genesis.errors import InputError
from genesis.events import RunAccepted, RunResumed
from genesis.execution.approvals import Approval, ApprovalPolicy, Approvals
from genesis.execution.below import SubRequest
from genesis.execution.events import ApprovalRequested, ExecutionEvent
from genesis.execution.scope import RunScope
from genesis.journal import Journal, Listener
from genesis.past_run import MadeAttempts, PastRun
from genesis.planning.given import Given, check_request, find_given
from genesis.planning.hierarchy import Level, TreeSize
from genesis.planning.wanted import given_below
from genesis.state import RunState
from genesis.tasks.inference import Inference
from genesis.tasks.task import TaskOutput
from infrastructure.clock import Clock
from infrastructure.config import Settings
from infrastructure.jsonvalue import JsonObject
from infrastructure.redaction import hide_secrets
from infrastructure.resilience.budget import Budget

VERSION = "2.1"

DoBelow: TypeAlias = Callable[[RunContext, SubRequest], Awaitable[TaskOutput]]

# Requests are about their beginning; a pasted log after it would drown what is asked.
_EMBEDDED_CHARS = 2_000


@dataclass(frozen=True, slots=True)
class Request:
    """What the caller asked for.

    Attributes:
        text: the request.
        run_id, session_id: never empty.
        budget_usd: US dollars; None without a limit.
        timeout_s: seconds.
        given: named data beside the request.
        approve: when a person is asked first, as `ApprovalPolicy.read` takes it.
        remote: whether the caller is elsewhere.
        new_session: whether the session begins with this request.
        above: the run that it is a part of; None for a request of its own.
        sub: the attempt at a composite task that it is; None for a request of its own.
    """

    text: str
    run_id: str
    session_id: str
    budget_usd: float | None
    timeout_s: float
    given: JsonObject
    approve: tuple[str, ...] = ()
    remote: bool = False
    new_session: bool = False
    above: RunContext | None = None
    sub: SubRequest | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What a caller allows who goes on with a run; None leaves what it was accepted with.

    Attributes:
        budget_usd: for the whole run, US dollars.
        timeout_s: from now on, seconds.
    """

    budget_usd: float | None = None
    timeout_s: float | None = None


async def begin(
    request: Request, services: Services, listener: Listener | None, do_below: DoBelow
) -> tuple[RunContext, RunState]:
    """A new run, with what its request means and what comes with it.

    Args:
        request: what is asked.
        services: the orchestrator's parts.
        listener: is told what happens; None for nobody.
        do_below: does a composite task of the run as a request one level down.

    Raises:
        InputError: the request cannot be used.
    """
    check_request(request.text)
    await services.startup.agents()
    await services.startup.corrections()
    # In a thread: the first inference trains the classifier, and names are looked up on the disk.
    inferred, given, vector = await asyncio.to_thread(_read, request, services)
    journal = Journal(request.run_id, services.clock, services.memory.append, listener, fence=1)
    context = _context(request, services, journal, given.data, vector, do_below)
    journal.add(_accepted(request, given, context))
    return context, RunState(request.text, inferred, given)


async def go_on(
    past: PastRun,
    request: Request,
    limits: Limits,
    services: Services,
    listener: Listener | None,
    do_below: DoBelow,
    fence: int,
) -> tuple[RunContext, RunState]:
    """A run that was begun before, at the step that is due.

    Args:
        past: what its journal tells.
        request: as it was accepted.
        limits: what is allowed instead.
        services, listener, do_below: as for `begin`.
        fence: of the lease on it.

    Raises:
        InputError: it was accepted for another workspace, or nobody here can do what is left.
    """
    _require_workspace(past, services.settings)
    await services.startup.agents()
    await services.startup.corrections()
    _require_agents(past, services)
    inferred, vector = await asyncio.to_thread(_meaning, request.text, services)
    journal = Journal(
        request.run_id,
        services.clock,
        services.memory.append,
        listener,
        stored=past.events,
        fence=fence,
    )
    given = past.accepted.given
    context = _context(request, services, journal, given, vector, do_below, past)
    journal.add(
        RunResumed(request.run_id, services.clock.now(), limits.budget_usd, limits.timeout_s)
    )
    state = past.to_go_on
    if not past.inferred:  # nothing of it was begun
        return context, replace(state, inferred=inferred, entry="")
    return context, state


def _accepted(request: Request, given: Given, context: RunContext) -> RunAccepted:
    return RunAccepted(
        request.run_id,
        request.session_id,
        hide_secrets(request.text),
        given.data,
        given.notes,
        VERSION,
        context.level.parent_run_id,
        request.budget_usd,
        request.timeout_s,
        request.approve,
        str(context.scope.workspace),
        request.remote,
    )


def _require_workspace(past: PastRun, settings: Settings) -> None:
    then, now = past.accepted.workspace, str(settings.workspace.resolve())
    if then not in ("", now):
        raise InputError(
            f"run {past.accepted.run_id!r} was accepted for the workspace {then}, and this is "
            f"{now}: go on with it where the workspace is that one"
        )


def _require_agents(past: PastRun, services: Services) -> None:
    """Leave a run to a process that knows its agents, instead of failing it here."""
    known, state = services.registry, past.state
    missing = {
        ladder.rungs[0].agent
        for ladder in state.ladders.values()
        if ladder.task_id not in state.results
        and not any(rung.agent in known for rung in (*ladder.rungs, *ladder.spare))
    }
    if missing:
        run_id = past.accepted.run_id
        raise InputError(
            f"run {run_id!r} needs agents that are not registered here "
            f"({', '.join(sorted(missing))}): go on with it in the program that registers them, by "
            f"`await orchestrator.resume({run_id!r})`"
        )


def _read(request: Request, services: Services) -> tuple[Inference, Given, NDArray[np.float32]]:
    """The request's task type, the data that come with it, and its embedding, float32 [d]."""
    inferred, vector = _meaning(request.text, services)
    workspace, task_type = services.settings.workspace, inferred.task_type
    find = find_given if request.sub is None else given_below
    return inferred, find(request.text, workspace, request.given, task_type=task_type), vector


def _meaning(text: str, services: Services) -> tuple[Inference, NDArray[np.float32]]:
    return services.inferrer.infer(text), services.embedder.embed([text[:_EMBEDDED_CHARS]])[0]


def _context(
    request: Request,
    services: Services,
    journal: Journal,
    given: JsonObject,
    vector: NDArray[np.float32],
    do_below: DoBelow,
    past: PastRun | None = None,
) -> RunContext:
    settings, clock = services.settings, services.clock
    started = clock.monotonic() - (past.worked_s if past else 0.0)
    scope = scope_of(request, given, settings, started)
    level = Level(TreeSize(settings.max_plan_tasks), settings.max_request_depth)
    above = request.above
    if above is not None and request.sub is not None:
        scope = _scope_below(scope, above.scope, request.sub)
        level = above.level.below(above.scope.run_id, request.sub.task)
    if past is not None:
        scope.budget.charge(past.spent_usd)
    active = ActiveRun(
        request.run_id,
        journal,
        Approvals(
            ApprovalPolicy.read(request.approve),
            past.approvals if past else None,
            lambda approval: journal.add(_asked(request.run_id, clock, approval)),
            above.scope.approvals if above else None,
        ),
        above.active if above else None,
    )

    made = past.made if past else MadeAttempts()

    def emit(event: ExecutionEvent) -> None:
        made.note(event)
        journal.add(event)

    async def run_below(sub: SubRequest) -> TaskOutput:
        return await do_below(context, sub)

    context = RunContext(
        services=services,
        scope=replace(
            scope,
            emit=emit,
            run_below=run_below,
            approvals=active.approvals,
            flush=journal.flush_or_wait,
            stopping=lambda: active.stopping,
            made=made.ended,
            sandboxed=request.remote or services.settings.sandbox == "always",
        ),
        journal=journal,
        session_id=request.session_id,
        new_session=request.new_session,
        vector=vector,
        started=started,
        active=active,
        approve=request.approve,
        level=level,
    )
    return context


def _asked(run_id: str, clock: Clock, approval: Approval) -> ApprovalRequested:
    return ApprovalRequested(run_id, approval.task_id, clock.now(), approval)


def scope_of(request: Request, given: JsonObject, settings: Settings, started: float) -> RunScope:
    """What an attempt needs to know of a request.

    Args:
        request: of its own, not a part of another.
        given: the data that come with it.
        settings: places.
        started: on the clock's `monotonic()`, seconds.
    """
    return RunScope(
        run_id=request.run_id,
        request=request.text,
        given=given,
        workspace=settings.workspace.resolve(),
        artifacts_dir=settings.data_dir.resolve() / "runs" / request.run_id,
        budget=Budget(request.budget_usd),
        deadline=started + request.timeout_s,
    )


def _scope_below(scope: RunScope, above: RunScope, sub: SubRequest) -> RunScope:
    """Files stay with the outermost run; money and time are a part of what the run above has."""
    return replace(
        scope,
        artifacts_dir=sub.folder,
        outermost_dir=above.files_dir,
        budget=sub.budget,
        deadline=sub.deadline,
        told=sub.told,
    )
