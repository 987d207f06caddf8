"""What went wrong, as RFC 9457 problem details: what, where, and what to do."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from genesis.errors import (
    GenesisError,
    InputError,
    InvalidPlan,
    ModelNotConfigured,
    Overloaded,
    PlanningError,
    RoutingError,
    RunBusy,
    StoreUnavailable,
    UnknownRun,
)
from genesis.server.limits import TooMany, retry_after
from infrastructure.redaction import hide_secrets
from infrastructure.text import cut, strip_control

log = logging.getLogger("genesis.server")

PROBLEM_JSON: Final = "application/problem+json"
_BUSY_RETRY_S: Final = 2.0
# What is wrong is told within bounds: a request of a megabyte can hold a hundred thousand faults.
_MAX_FAULTS: Final = 20
_MAX_SHOWN: Final = 2_000

# The first class that fits decides.
_STATUSES: Final[tuple[tuple[type[GenesisError], int], ...]] = (
    (UnknownRun, 404),
    (RunBusy, 409),
    (Overloaded, 503),
    (StoreUnavailable, 503),
    (InputError, 422),
    (PlanningError, 422),
    (RoutingError, 422),
    (InvalidPlan, 422),
    (ModelNotConfigured, 422),
)


class Fault(BaseModel):
    """One thing that is wrong with a request.

    Attributes:
        where: a JSON pointer into the body ("/budget_usd"), or the name of a header or parameter.
        detail: what is wrong with it, and what is allowed.
    """

    where: str
    detail: str


class Problem(BaseModel):
    """RFC 9457.

    Attributes:
        type: "about:blank": the status says what kind of problem it is.
        title: the status in words.
        status: the HTTP status.
        detail: what failed, why, and what to do.
        code: the error's name in `genesis.errors`, or the status in words.
        request_id: names the request in the server's log.
        faults: what is wrong with the request, one by one, 20 at most.
    """

    model_config = ConfigDict(extra="forbid")

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    request_id: str = ""
    faults: list[Fault] = Field(default_factory=list[Fault])


class ShuttingDown(GenesisError):
    """The server takes no new runs; those that it accepted go on here or after its next start."""


def problem(
    status: int,
    detail: str,
    *,
    code: str = "",
    request_id: str = "",
    faults: list[Fault] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """A response that says what is wrong."""
    title = HTTPStatus(status).phrase
    body = Problem(
        title=title,
        status=status,
        detail=_shown(detail),
        code=code or title.replace(" ", ""),
        request_id=request_id,
        faults=faults or [],
    )
    return JSONResponse(body.model_dump(), status, headers=headers, media_type=PROBLEM_JSON)


def install(app: FastAPI) -> None:
    """Answer every error of the REST API as a problem."""
    app.add_exception_handler(GenesisError, _on_genesis_error)
    app.add_exception_handler(TooMany, _on_too_many)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(Exception, _on_defect)


async def _on_genesis_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, GenesisError)
    if isinstance(error, ShuttingDown):
        status = 503
    else:
        status = next((code for kind, code in _STATUSES if isinstance(error, kind)), 500)
    if status == 500:
        log.error("%s %s failed: %s", request.method, request.url.path, error)
    headers = {"retry-after": retry_after(_BUSY_RETRY_S)} if status in (409, 503) else None
    return problem(
        status,
        str(error),
        code=type(error).__name__,
        request_id=request_id_of(request),
        headers=headers,
    )


async def _on_too_many(request: Request, error: Exception) -> Response:
    assert isinstance(error, TooMany)
    return too_many(error, request_id_of(request))


def too_many(error: TooMany, request_id: str) -> Response:
    """429, and when to ask again."""
    headers = {"retry-after": retry_after(error.retry_after_s)}
    return problem(429, str(error), request_id=request_id, headers=headers)


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [_fault(found) for found in error.errors()[:_MAX_FAULTS]]
    detail = "; ".join(f"{fault.where}: {fault.detail}" for fault in faults[:5])
    status = 422
    if any(found["type"] == "json_invalid" for found in error.errors()):
        status = 400
    elif _no_json(request, faults):
        status, detail = 415, "send the body as application/json"
    return problem(
        status, detail, code="InvalidRequest", request_id=request_id_of(request), faults=faults
    )


def _no_json(request: Request, faults: list[Fault]) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    in_body = any(fault.where.startswith("/") or not fault.where for fault in faults)
    return in_body and request.method == "POST" and kind != "application/json"


def _fault(found: dict[str, Any]) -> Fault:
    place, *path = found["loc"]
    if found["type"] == "json_invalid":
        return Fault(where="body", detail=f"is no JSON: {found['ctx']['error']}")
    where = (
        "/" + "/".join(str(part) for part in path)
        if place == "body"
        else ".".join(str(part) for part in path)
    )
    return Fault(where=_shown(where), detail=_shown(found["msg"]))


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    details = {404: "there is nothing here; /openapi.json lists what there is"}
    return problem(
        error.status_code,
        details.get(error.status_code, error.detail)
        if error.detail == HTTPStatus(error.status_code).phrase
        else error.detail,
        request_id=request_id_of(request),
        headers=dict(error.headers or {}),
    )


async def _on_defect(request: Request, error: Exception) -> Response:
    # Its text may hold anything, so it goes to the log and not to the caller.
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem(
        500,
        "an unexpected failure; the server's log has it under this request_id",
        request_id=request_id_of(request),
    )


def request_id_of(request: Request) -> str:
    """The id that names this request in the log and in the answer."""
    return getattr(request.state, "request_id", "")


def _shown(text: str) -> str:
    # Lone surrogates cannot be sent as UTF-8.
    return cut(strip_control(hide_secrets(text)), _MAX_SHOWN).encode("utf-8", "replace").decode()
