"""Whether the process lives, whether it takes requests, and what it has counted."""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Literal

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.responses import Response

from genesis.errors import GenesisError
from genesis.server.auth import bearer_of
from genesis.server.errors import PROBLEM_JSON, problem, request_id_of
from genesis.server.hub import hub_of

log = logging.getLogger("genesis.server")
router = APIRouter(tags=["operation"])

_STORE_S: Final = 2.0


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """Whether new runs are taken; `reason` says why not."""

    ready: bool
    reason: str = ""


@router.get("/healthz")
async def healthz() -> Health:
    """The process lives and its event loop turns."""
    return Health()


@router.get("/readyz", responses={503: {"model": Readiness, "description": "Not now."}})
async def readyz(request: Request, response: Response) -> Readiness:
    """Whether new runs are taken: the store answers, and the server is not shutting down."""
    hub = hub_of(request)
    reason = ""
    if hub.draining or not hub.worker.accepting:
        reason = "shutting down"
    else:
        try:
            async with asyncio.timeout(_STORE_S):
                await hub.orchestrator.runs(limit=1)
        except (GenesisError, TimeoutError) as error:
            log.warning("not ready, the store does not answer: %s", error)
            reason = "the store does not answer"
    if reason:
        response.status_code = 503
    return Readiness(ready=not reason, reason=reason)


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
        403: {
            "description": "No operator's token.",
            "content": {PROBLEM_JSON: {}},
        },
    },
)
async def metrics(request: Request) -> Response:
    """Prometheus metrics of the whole process: for operators' tokens, where tokens are asked for.

    Where a request comes from says nothing: a proxy on this machine, and a web page in a browser
    on it, come from this machine too.
    """
    hub = hub_of(request)
    if not hub.callers.is_operator(bearer_of(request.headers.get("authorization"))):
        return problem(
            403,
            "metrics are of all tenants: ask with a token that"
            " `genesis serve token NAME --operator` made",
            request_id=request_id_of(request),
        )
    return Response(hub.metrics.text(), media_type=CONTENT_TYPE_LATEST)
