"""The REST API of runs: accept, look, decide, cancel, go on, explain, correct."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated, Final

from fastapi import APIRouter, Header, Path, Query, Response
from starlette import status

from genesis.errors import InputError, RunBusy
from genesis.server.hub import Visit, Visiting
from genesis.server.pages import page_of
from genesis.server.problems import PROBLEMS
from genesis.server.schemas import (
    ApprovalAnswer,
    Canceled,
    CancelRequest,
    DecisionView,
    ExplanationView,
    Feedback,
    ResumeRequest,
    RunPage,
    RunRequest,
    RunView,
)
from genesis.server.views import run_record, run_view
from genesis.server.worker import NewLimits

router = APIRouter(prefix="/v1/runs", tags=["runs"], responses=PROBLEMS)

_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ID_CHARS: Final = 26
PART: Final = "~"
_WAIT: Final = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})")

RunId = Annotated[str, Path(min_length=1, max_length=200, description="A run's id.")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="Names this request: sent again with the same body it gives the same run.",
    ),
]
Prefer = Annotated[
    str | None,
    Header(max_length=200, description="`wait=N` waits up to N seconds for the run's end."),
]


@router.post(
    "",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=RunView,
    responses={
        200: {"model": RunView, "description": "The run is over."},
        202: {"description": "The run is accepted and durable; `Location` is where to look."},
    },
)
async def accept(
    asked: RunRequest,
    visit: Visiting,
    response: Response,
    idempotency_key: IdempotencyKey = None,
    prefer: Prefer = None,
) -> RunView:
    """Accept a run. It is stored before this answers, and is worked on whatever happens."""
    visit.hub.require_open(visit.caller.tenant)
    with _patience(visit, prefer) as seconds:
        run_id = await visit.orchestrator.accept(
            asked.request,
            asked.session_id,
            budget_usd=asked.budget_usd,
            timeout_s=asked.timeout_s,
            context=asked.context,
            approve=tuple(asked.approve),
            run_id=None if idempotency_key is None else _keyed(visit, idempotency_key),
            remote=True,
        )
        return await _work(visit, run_id, None, response, seconds)


@router.get("")
async def runs(
    visit: Visiting,
    state: Annotated[str | None, Query(max_length=20, description="Only in this state.")] = None,
    session_id: Annotated[str | None, Query(max_length=200)] = None,
    since: Annotated[
        float | None, Query(ge=0, allow_inf_nan=False, description="Seconds since the epoch.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[
        str | None, Query(max_length=500, description="`next_cursor` of the page before.")
    ] = None,
) -> RunPage:
    """Runs, newest first; runs that are parts of others are left out."""
    return await page_of(
        visit.orchestrator,
        state=state,
        session_id=session_id,
        since=since,
        limit=limit,
        cursor=cursor,
    )


@router.get("/{run_id}")
async def show(run_id: RunId, visit: Visiting) -> RunView:
    """A run with its result, tasks and receipt, once it is over."""
    return await run_view(visit.orchestrator, run_id)


@router.post("/{run_id}/approve")
async def approve(run_id: RunId, answer: ApprovalAnswer, visit: Visiting) -> RunView:
    """Decide what a waiting run asked; it goes on at once."""
    await visit.orchestrator.approve(
        run_id,
        answer.decision,
        approval_id=answer.approval_id,
        edit=answer.edit,
        comment=answer.comment,
        by=visit.caller.name,
    )
    # A part of a run goes on with its whole.
    whole = run_id.partition(PART)[0]
    visit.hub.worker.start(visit.caller.tenant, whole)
    return await run_view(visit.orchestrator, whole)


@router.post("/{run_id}/cancel")
async def cancel(run_id: RunId, visit: Visiting, asked: CancelRequest | None = None) -> Canceled:
    """Cancel a run; what is finished of it is kept. False when it was over already."""
    await run_record(visit.orchestrator, run_id)
    reason = (asked and asked.reason) or f"cancelled by {visit.caller.name}"
    return Canceled(run_id=run_id, canceled=await visit.orchestrator.cancel(run_id, reason))


@router.post(
    "/{run_id}/resume",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=RunView,
    responses={200: {"model": RunView, "description": "The run is over."}},
)
async def resume(
    run_id: RunId,
    visit: Visiting,
    response: Response,
    asked: ResumeRequest | None = None,
    prefer: Prefer = None,
) -> RunView:
    """Go on with an interrupted or approved run; a finished one is given as it ended."""
    visit.hub.require_open(visit.caller.tenant)
    limits = NewLimits(asked.budget_usd, asked.timeout_s) if asked else None
    with _patience(visit, prefer) as seconds:
        told = await visit.orchestrator.run(run_id)
        if told.state == "running" and not visit.hub.worker.works(visit.caller.tenant, run_id):
            raise RunBusy(f"another process works on run {run_id!r}; follow its events instead")
        return await _work(visit, run_id, limits, response, seconds)


@router.get("/{run_id}/explain")
async def explain(run_id: RunId, visit: Visiting) -> ExplanationView:
    """Why the run went as it did: every decision with its reasons."""
    told = await visit.orchestrator.explain(run_id)
    decisions = [
        DecisionView(step=d.step, subject=d.subject, choice=d.choice, reasons=list(d.reasons))
        for d in told.decisions
    ]
    return ExplanationView(run_id=run_id, decisions=decisions, text=str(told))


@router.post("/{run_id}/feedback", status_code=status.HTTP_204_NO_CONTENT, response_class=Response)
async def feedback(run_id: RunId, said: Feedback, visit: Visiting) -> None:
    """Correct what was learnt from a run; aggregates and patterns follow."""
    if said.success is None and said.task_type is None and said.comment is None:
        raise InputError("say what to correct: success, task_type or comment")
    await visit.orchestrator.record_feedback(
        run_id, success=said.success, task_type=said.task_type, comment=said.comment
    )


async def _work(
    visit: Visit, run_id: str, limits: NewLimits | None, response: Response, seconds: float
) -> RunView:
    """Have a run worked on, wait for so many seconds at most, and say how it stands."""
    worker, tenant = visit.hub.worker, visit.caller.tenant
    worker.start(tenant, run_id, limits)
    if seconds:
        await worker.wait(tenant, run_id, seconds)
        response.headers["preference-applied"] = f"wait={seconds:g}"
    response.headers["location"] = f"/v1/runs/{run_id}"
    view = await run_view(visit.orchestrator, run_id)
    if view.result is not None:
        response.status_code = status.HTTP_200_OK
    return view


@contextmanager
def _patience(visit: Visit, prefer: str | None) -> Generator[float]:
    """The seconds that a caller prefers to wait; while it does, it holds one of its streams.

    Raises:
        TooMany: it holds too many; nothing was accepted then.
    """
    seconds = min(_seconds(prefer), visit.hub.limits.wait_s)
    if not seconds:
        yield 0.0
        return
    with visit.hub.streams.hold(visit.key):
        yield seconds


def _seconds(prefer: str | None) -> float:
    match = _WAIT.search(prefer or "")
    return float(match[1]) if match else 0.0


def _keyed(visit: Visit, key: str) -> str:
    """The run's id that a caller's key stands for: 130 bits of a hash, with the tenant in it."""
    text = f"{visit.caller.tenant}\n{key}".encode()
    number = int.from_bytes(hashlib.sha256(text).digest())
    return "".join(_CROCKFORD[(number >> (5 * place)) & 31] for place in range(_ID_CHARS))
