"""One request from acceptance to result: whatever happens on the way, it ends recorded."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from genesis.context import RunContext, Services
from genesis.events import RunAccepted, RunEnded
from genesis.execution.scope import RunScope
from genesis.graph import plan_graph, run_graph
from genesis.journal import Journal, Listener
from genesis.planning.given import Given, check_request, find_given
from genesis.result import OrchestrationResult, PlanPreview, preview_of, result_of
from genesis.state import RunState
from genesis.tasks.inference import Inference
from infrastructure.errors import GenesisError
from infrastructure.jsonvalue import JsonObject
from infrastructure.memory.finished_run import FinishedRun
from infrastructure.memory.memori.runs import RunRecord
from infrastructure.redaction import hide_secrets
from infrastructure.resilience.budget import Budget

log = logging.getLogger("genesis")

VERSION = "2.1"

# Requests are about their beginning; a pasted log after it would drown what is asked.
_EMBEDDED_CHARS = 2_000

# Every attempt ends at the deadline by itself; this is what a step may need on top of it.
_GRACE_S = 30.0


@dataclass(frozen=True, slots=True)
class Request:
    """What the caller asked for.

    Attributes:
        text: the request.
        run_id, session_id: never empty.
        budget_usd: US dollars; None without a limit.
        timeout_s: seconds.
        given: named data beside the request.
    """

    text: str
    run_id: str
    session_id: str
    budget_usd: float | None
    timeout_s: float
    given: JsonObject


async def run_request(
    request: Request, services: Services, listener: Listener | None
) -> OrchestrationResult:
    """Accept the request, take it through the graph, and return the result.

    Raises:
        InputError: the request cannot be used; nothing was stored.
        StoreError: the store cannot be used or did not take the run, so it was not started.
    """
    context, state = await _begin(request, services, listener)
    try:
        await _accept(request, services)
        state = await _to_its_end(state, context, request)
    except asyncio.CancelledError:
        # Also while it is accepted: nobody knows then whether the store took it as running.
        await asyncio.shield(_give_up(state, context, "the run was cancelled"))
        raise
    return result_of(state, context)


async def _to_its_end(state: RunState, context: RunContext, request: Request) -> RunState:
    try:
        async with asyncio.timeout(request.timeout_s + _GRACE_S):
            return await run_graph(state, context)
    except TimeoutError:
        return await _give_up(state, context, f"the run took longer than {request.timeout_s:g} s")
    except GenesisError as error:
        return await _give_up(state, context, str(error))
    except Exception as error:  # a defect of ours must not leave a run without an end
        log.exception("run %s failed in an unexpected way", request.run_id)
        return await _give_up(state, context, f"unexpected {type(error).__name__}: {error}")


async def preview_request(request: Request, services: Services) -> PlanPreview:
    """Plan the request without running or storing anything.

    Raises:
        InputError: the request cannot be used.
        PlanningError: no plan validates, or no agent or budget fits it.
    """
    context, state = await _begin(request, services, None)
    return preview_of(await plan_graph(state, context))


async def _accept(request: Request, services: Services) -> None:
    await services.memory.accept(
        RunRecord(
            request.run_id,
            request.session_id,
            hide_secrets(request.text),
            services.clock.now(),
            version=VERSION,
        )
    )


def _read(request: Request, services: Services) -> tuple[Inference, Given, NDArray[np.float32]]:
    """The request's task type, the data that come with it, and its embedding, float32 [d]."""
    inferred = services.inferrer.infer(request.text)
    given = find_given(
        request.text,
        services.settings.workspace,
        request.given,
        task_type=inferred.task_type,
    )
    return inferred, given, services.embedder.embed([request.text[:_EMBEDDED_CHARS]])[0]


async def _begin(
    request: Request, services: Services, listener: Listener | None
) -> tuple[RunContext, RunState]:
    settings, clock = services.settings, services.clock
    check_request(request.text)
    await services.startup.agents()
    await services.startup.corrections()
    # In a thread: the first inference trains the classifier, and names are looked up on the disk.
    inferred, given, vector = await asyncio.to_thread(_read, request, services)
    started = clock.monotonic()
    artifacts = settings.data_dir.resolve() / "runs" / request.run_id
    journal = Journal(request.run_id, clock, services.memory.append, listener)
    context = RunContext(
        services=services,
        scope=RunScope(
            run_id=request.run_id,
            request=request.text,
            given=given.data,
            workspace=settings.workspace.resolve(),
            artifacts_dir=artifacts,
            budget=Budget(request.budget_usd),
            deadline=started + request.timeout_s,
            emit=journal.add,
        ),
        journal=journal,
        session_id=request.session_id,
        vector=vector,
        started=started,
    )
    journal.add(
        RunAccepted(
            request.run_id,
            request.session_id,
            hide_secrets(request.text),
            given.data,
            given.notes,
            VERSION,
        )
    )
    return context, RunState(request.text, inferred, given)


async def _give_up(state: RunState, context: RunContext, reason: str) -> RunState:
    """End a run that no step could end: stored as a failure with its cause."""
    ended = RunEnded(
        context.scope.run_id,
        success=False,
        output="",
        errors=(reason,),
        duration_s=context.elapsed_s,
        cost_usd=context.spent_usd,
    )
    context.journal.add(ended)
    try:
        await context.services.memory.finish(
            FinishedRun(
                run_id=ended.run_id,
                session_id=context.session_id,
                request=hide_secrets(state.request),
                task_type=state.task_type,
                success=False,
                steps=(),
                duration_s=ended.duration_s,
                cost_usd=ended.cost_usd,
                events=tuple(context.journal.take()),
                first_event=context.journal.next_number,
                result={"output": "", "errors": [reason]},
            )
        )
    except GenesisError as error:
        log.error("run %s could not be stored: %s", ended.run_id, error)
        return replace(state, errors=(reason, f"the run was not stored: {error}"))
    return replace(state, errors=(reason,), recorded=True)
