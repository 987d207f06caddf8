"""What the routes share: one server's parts, and whether it takes new runs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Annotated, cast

from fastapi import Depends, Request

from genesis.errors import Overloaded
from genesis.orchestrator import GenesisOrchestrator
from genesis.server.auth import Callers
from genesis.server.errors import ShuttingDown
from genesis.server.limits import Limits, StreamLimiter
from genesis.server.metrics import ServerMetrics
from genesis.server.worker import RunWorker
from infrastructure.callers import Caller


@dataclass(slots=True)
class Hub:
    """One server's parts.

    Attributes:
        orchestrator: the root.
        callers: who may call.
        limits: of one caller.
        worker: works the runs.
        streams: counts what callers hold open.
        metrics: what is counted.
        stopping: set when open streams are to end.
        draining: no new runs are taken.
    """

    orchestrator: GenesisOrchestrator
    callers: Callers
    limits: Limits
    worker: RunWorker
    streams: StreamLimiter
    metrics: ServerMetrics
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    draining: bool = False

    def require_open(self, tenant: str) -> None:
        """Refuse new runs when the server is about to end.

        Raises:
            ShuttingDown: it is.
            Overloaded: as many runs wait as may.
        """
        if self.draining or not self.worker.accepting:
            raise ShuttingDown("the server is shutting down; ask again in a moment")
        if self.worker.full(tenant):
            raise Overloaded("too many runs wait for their turn; nothing was stored, ask later")

    async def drain(self, grace_s: float) -> None:
        """Take nothing new, let what runs finish for `grace_s` seconds, end every stream."""
        self.draining = True
        await self.worker.drain(grace_s)
        self.stopping.set()


@dataclass(frozen=True, slots=True)
class Visit:
    """One request: the hub, who calls, and the orchestrator that sees that tenant alone."""

    hub: Hub
    caller: Caller
    orchestrator: GenesisOrchestrator

    @property
    def key(self) -> str:
        """Names the caller among all."""
        return f"{self.caller.tenant}\n{self.caller.name}"


def hub_of(request: Request) -> Hub:
    """The hub of the app that answers."""
    return cast("Hub", request.app.state.hub)


def visit_of(request: Request) -> Visit:
    """Who calls; the gate has authenticated everybody who gets here."""
    hub = hub_of(request)
    caller = cast("Caller", request.state.caller)
    return Visit(hub, caller, hub.worker.of(caller.tenant))


Visiting = Annotated[Visit, Depends(visit_of)]
