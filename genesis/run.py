"""One request from acceptance to result: whatever happens on the way, it ends recorded."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from genesis.context import RunBelow, RunContext, Services
from genesis.errors import AgentError
from genesis.events import RunAccepted
from genesis.execution.below import SubRequest
from genesis.execution.events import SubRequestStarted
from genesis.execution.scope import RunScope
from genesis.graph import plan_graph, run_graph
from genesis.journal import Journal, Listener
from genesis.pipeline.record import store_end
from genesis.planning.given import Given, check_request, find_given
from genesis.planning.hierarchy import Level, TreeSize
from genesis.planning.wanted import given_below
from genesis.result import OrchestrationResult, PlanPreview, preview_of, result_of
from genesis.state import RunState
from genesis.tasks.inference import Inference
from genesis.tasks.task import Task, TaskOutput
from infrastructure.config import Settings
from infrastructure.errors import GenesisError
from infrastructure.jsonvalue import JsonObject
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
        above: the run that it is a part of; None for a request of its own.
        sub: the attempt at a composite task that it is; None for a request of its own.
    """

    text: str
    run_id: str
    session_id: str
    budget_usd: float | None
    timeout_s: float
    given: JsonObject
    above: RunContext | None = None
    sub: SubRequest | None = None


async def run_request(
    request: Request, services: Services, listener: Listener | None
) -> OrchestrationResult:
    """Accept the request, take it through the graph, and return the result.

    Raises:
        InputError: the request cannot be used; nothing was stored.
        StoreError: the store cannot be used or did not take the run, so it was not started.
    """
    state, context = await _run(request, services, listener)
    return result_of(state, context)


async def _run(
    request: Request, services: Services, listener: Listener | None
) -> tuple[RunState, RunContext]:
    context, state = await _begin(request, services, listener)
    try:
        await _accept(request, context)
        return await _to_its_end(state, context, request), context
    except asyncio.CancelledError:
        # Also while it is accepted: nobody knows then whether the store took it as running.
        await asyncio.shield(_give_up(state, context, "the run was cancelled"))
        raise


async def _run_below(above: RunContext, sub: SubRequest) -> TaskOutput:
    """Do an attempt at a composite task as a request one level down.

    Raises:
        GenesisError: it failed; the message names the run and gives its reasons.
    """
    services, clock = above.services, above.services.clock
    above.journal.add(
        SubRequestStarted(above.scope.run_id, sub.task.id, clock.now(), sub.number, sub.run_id)
    )
    # Whatever ends this process, who looks at the run above finds the one below.
    await above.journal.flush_or_wait()
    request = Request(
        text=sub.task.description,
        run_id=sub.run_id,
        session_id=above.session_id,
        budget_usd=None,
        timeout_s=max(0.0, sub.deadline - clock.monotonic()),
        given=sub.inputs,
        above=above,
        sub=sub,
    )
    wanted = services.wanting(request.text, sub.task.produces)
    state, context = await _run(request, wanted, above.journal.listener_below)
    above.reached.below.append(RunBelow(sub.task.id, state, context, context.elapsed_s))
    if not state.success:
        raise AgentError(f"run {sub.run_id} failed: {'; '.join(state.errors) or 'no reason'}")
    return _output_of(sub.task, state)


def _output_of(task: Task, state: RunState) -> TaskOutput:
    """What a composite task's run hands in for it: its answer, its files, and the data asked."""
    outputs = [result.output for _, result in state.finished if result.output is not None]
    made = {name: value for output in outputs for name, value in output.data.items()}
    return TaskOutput(
        text=state.output,
        data={name: made[name] for name in task.produces if name in made},
        artifacts=tuple(dict.fromkeys(path for output in outputs for path in output.artifacts)),
    )


async def _to_its_end(state: RunState, context: RunContext, request: Request) -> RunState:
    # A request within a request ends itself before the one that waits for it loses patience.
    grace_s = _GRACE_S / (context.level.depth + 1)
    try:
        async with asyncio.timeout(request.timeout_s + grace_s):
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


async def _accept(request: Request, context: RunContext) -> None:
    services = context.services
    await services.memory.accept(
        RunRecord(
            request.run_id,
            request.session_id,
            hide_secrets(request.text),
            services.clock.now(),
            version=VERSION,
        ),
        context.level.parent_run_id,
    )


def _read(request: Request, services: Services) -> tuple[Inference, Given, NDArray[np.float32]]:
    """The request's task type, the data that come with it, and its embedding, float32 [d]."""
    inferred = services.inferrer.infer(request.text)
    workspace = services.settings.workspace
    task_type = inferred.task_type
    if request.sub is None:
        given = find_given(request.text, workspace, request.given, task_type=task_type)
    else:
        given = given_below(request.text, workspace, request.given, task_type=task_type)
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
    journal = Journal(request.run_id, clock, services.memory.append, listener)

    async def run_below(sub: SubRequest) -> TaskOutput:
        return await _run_below(context, sub)

    scope = scope_of(request, given.data, settings, started)
    level = Level(TreeSize(settings.max_plan_tasks), settings.max_request_depth)
    if request.above is not None and request.sub is not None:
        scope = _scope_below(scope, request.above.scope, request.sub)
        level = request.above.level.below(request.above.scope.run_id, request.sub.task)
    context = RunContext(
        services=services,
        scope=replace(scope, emit=journal.add, run_below=run_below),
        journal=journal,
        session_id=request.session_id,
        vector=vector,
        started=started,
        level=level,
    )
    journal.add(
        RunAccepted(
            request.run_id,
            request.session_id,
            hide_secrets(request.text),
            given.data,
            given.notes,
            VERSION,
            level.parent_run_id,
        )
    )
    return context, RunState(request.text, inferred, given)


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
    )


async def _give_up(first: RunState, context: RunContext, reason: str) -> RunState:
    """End a run that no step could end: stored as a failure with its cause and what was done."""
    reached = context.reached.latest(first)
    state = replace(reached, errors=(*reached.errors, reason))
    return replace(state, **await store_end(state, context, to_its_end=False))
