"""One ASGI app: the REST API of runs, health and metrics, and whatever is mounted beside them."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute

import genesis
from genesis.orchestrator import GenesisOrchestrator
from genesis.server import errors, files_route, health, other_routes, runs, stream_route
from genesis.server.auth import Callers
from genesis.server.errors import Problem
from genesis.server.gate import Gate
from genesis.server.hub import Hub
from genesis.server.limits import Limits, RateLimiter, StreamLimiter
from genesis.server.metrics import ServerMetrics
from genesis.server.worker import RunWorker
from infrastructure.clock import Clock, SystemClock
from infrastructure.memory.memori.engine import Memori

_GUARDED: Final = ("/v1",)
_BEARER: Final = "bearer"


@dataclass(frozen=True, slots=True)
class Beside:
    """Something served in the same process.

    Attributes:
        routes: answered before those of the REST API; they see to authentication by themselves.
        lifespan: held open while the server runs.
    """

    routes: Sequence[BaseRoute]
    lifespan: Callable[[], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True)
class Served:
    """An app and its parts."""

    app: FastAPI
    hub: Hub


@dataclass(frozen=True, slots=True)
class Parts:
    """What an app is made of.

    Attributes:
        orchestrator: does the runs; whoever made it closes it.
        callers: who may call.
        memori: the store whose commits are counted; None for a store of another kind.
        limits: of one caller.
        beside: makes A2A, MCP and what else is served.
        clock: for limits, ids and expiry.
    """

    orchestrator: GenesisOrchestrator
    callers: Callers
    memori: Memori | None = None
    limits: Limits = field(default_factory=Limits)
    beside: Callable[[Hub], Sequence[Beside]] = lambda hub: ()
    clock: Clock = field(default_factory=SystemClock)


def build_app(parts: Parts) -> Served:
    """The app of these parts; any ASGI server that knows lifespans runs it."""
    hub = _hub(parts)
    everything = parts.beside(hub)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            for beside in everything:
                await stack.enter_async_context(beside.lifespan())
            await stack.enter_async_context(hub.worker.open())
            yield
            if not hub.draining:
                await hub.drain(0)

    app = FastAPI(
        title="Genesis",
        version=genesis.__version__,
        summary="Runs of a multi-agent orchestrator that learns.",
        lifespan=lifespan,
        # Their pages load scripts from elsewhere; the document itself is at /openapi.json.
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=_operation_id,
        redirect_slashes=False,
        default_response_class=AsciiJson,
    )
    app.state.hub = hub
    errors.install(app)
    for beside in everything:
        app.router.routes.extend(beside.routes)
    for module in (runs, stream_route, files_route, other_routes, health):
        app.include_router(module.router)
    app.openapi = lambda: _document(app)
    app.add_middleware(
        Gate,
        callers=parts.callers,
        limits=parts.limits,
        rates=RateLimiter(parts.clock, parts.limits),
        metrics=hub.metrics.counted,
        clock=parts.clock,
        guarded=_GUARDED,
    )
    return Served(app, hub)


class AsciiJson(JSONResponse):
    """JSON without any character above ASCII, as what agents answer need not be valid Unicode."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, separators=(",", ":")).encode()


def _hub(parts: Parts) -> Hub:
    streams = StreamLimiter(parts.limits)
    worker = RunWorker(
        parts.orchestrator,
        lambda: parts.callers.tenants,
        lambda result: metrics.run_ended(result),
    )
    metrics = ServerMetrics(
        parts.orchestrator,
        parts.memori,
        lambda: worker.working,
        lambda: worker.waiting,
        lambda: streams.total,
    )
    return Hub(parts.orchestrator, parts.callers, parts.limits, worker, streams, metrics)


def _operation_id(route: APIRoute) -> str:
    return route.name


def _document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document: FastAPI's, with our problems in place of its own errors."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, summary=app.summary, routes=app.routes
        )
        components = document.setdefault("components", {})
        schemas = components.setdefault("schemas", {})
        template = "#/components/schemas/{model}"
        problem = Problem.model_json_schema(ref_template=template)
        schemas.update(problem.pop("$defs", {}))
        schemas[Problem.__name__] = problem
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        components["securitySchemes"] = {_BEARER: {"type": "http", "scheme": "bearer"}}
        for path, operations in document["paths"].items():
            if path.startswith(_GUARDED[0]):
                for operation in operations.values():
                    operation["security"] = [{_BEARER: []}]
        app.openapi_schema = document
    return app.openapi_schema
