"""Any agent as an A2A 1.0 server: JSON-RPC, HTTP+JSON and gRPC from one request handler."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from a2a.server.routes import create_jsonrpc_routes, create_rest_routes
from a2a.types import a2a_pb2 as pb
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp

from infrastructure.a2a.agent import Agent
from infrastructure.a2a.convert import status_to_wire
from infrastructure.a2a.push import PushPolicy, PushSender
from infrastructure.a2a.push_configs import InMemoryConfigs, MemoriConfigs, PushConfigs
from infrastructure.a2a.serving_callers import HttpContexts, context_of, one_token
from infrastructure.a2a.serving_cards import ServedCards
from infrastructure.a2a.serving_executor import AgentFor, ServedExecutor
from infrastructure.a2a.serving_handler import ServedHandler, TaskNamer
from infrastructure.a2a.serving_http import (
    CARD_PATH,
    JSONRPC_PATH,
    REST_PATH,
    Gate,
    card_route,
    json_route,
)
from infrastructure.a2a.serving_lease import Lease
from infrastructure.a2a.serving_rate import Rates
from infrastructure.a2a.serving_tasks import ENDED, WAITING, BoundedTasks, ServedTasks
from infrastructure.a2a.signing import JWKS_PATH, CardSigner
from infrastructure.a2a.task_store import MemoriTaskStore
from infrastructure.a2a.types import EXTENSION, Message, Part, StatusUpdate, TaskState
from infrastructure.callers import Authenticate, Caller
from infrastructure.errors import ConfigError
from infrastructure.jsonvalue import JsonObject
from infrastructure.memory.memori.store import MemoriStore

if TYPE_CHECKING:
    from infrastructure.a2a.grpc_server import GrpcServer

__all__ = [
    "CARD_PATH",
    "JSONRPC_PATH",
    "JWKS_PATH",
    "REST_PATH",
    "A2AServer",
    "CardSigner",
    "PushPolicy",
    "ServedAgent",
    "ServingLimits",
    "serve_agent",
]

_PARKED_S: Final = 600.0  # a task that waits for somebody is then read from the store again


@dataclass(frozen=True, slots=True)
class ServingLimits:
    """What clients may ask of a server.

    Attributes:
        max_body_bytes: larger requests are refused, on every binding.
        max_kept_tasks: ended tasks that each caller can still ask about; the oldest are forgotten.
        max_waiting: tasks that wait while the agent has as many as its card allows; more are
            rejected.
        requests_per_minute: of one caller, over all HTTP bindings together and over gRPC.
        retention_s: seconds after which ended tasks are forgotten in any case.
    """

    max_body_bytes: int = 32 * 1024 * 1024
    max_kept_tasks: int = 1_000
    max_waiting: int = 100
    requests_per_minute: float = 1_200.0
    retention_s: float = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class ServedAgent:
    """What is served.

    Attributes:
        agent: its card is shown, and it answers unless `agent_for` is given.
        agent_for: the agent that answers one caller, for agents that keep tenants apart.
        durable: whether the agent goes on with a task when its message is sent again after a
            restart; tasks of others are failed then.
        idempotent: whether a repeated message is the same task.
        input_modes: media types that messages may carry; others are refused; empty takes any.
    """

    agent: Agent
    agent_for: AgentFor | None = None
    durable: bool = False
    idempotent: bool = True
    input_modes: Sequence[str] = field(default_factory=tuple[str, ...])


class A2AServer:
    """An agent behind A2A's three bindings; the same tasks can be reached over each.

    `routes` go into any Starlette app (`app` is one that starts and closes it by itself), `grpc`
    makes the gRPC server. `start` before the first request, `aclose` after the last.

    Args:
        served: the agent, or a description of how it is served.
        url: where clients reach the HTTP app, without a path; it goes on the card.
        grpc_url: where they reach the gRPC server ("host:port"); empty when there is none.
        authenticate: tells from a bearer token who calls, on every binding; None lets everybody
            in as the one caller of the tenant "default".
        store: where tasks are kept; None keeps them in memory, for this process's life.
        limits, push: what clients may ask, and where notifications may go.
        signer: signs the card; None leaves it unsigned.
    """

    def __init__(
        self,
        served: Agent | ServedAgent,
        *,
        url: str,
        grpc_url: str = "",
        authenticate: Authenticate | None = None,
        store: MemoriStore | None = None,
        limits: ServingLimits | None = None,
        push: PushPolicy | None = None,
        signer: CardSigner | None = None,
    ) -> None:
        self._served = served if isinstance(served, ServedAgent) else ServedAgent(served)
        self._url = url.rstrip("/")
        self._authenticate = authenticate
        self._limits = limits or ServingLimits()
        self._rates = Rates(self._limits.requests_per_minute)
        self._signer = signer
        push = push or PushPolicy()
        self._lease = Lease(store) if store is not None else None
        self._tasks = self._task_store(store)
        self._adopting: set[str] = set()
        kept = InMemoryConfigs()
        durable = MemoriConfigs(store, self._limits.retention_s) if store is not None else kept
        configs = PushConfigs(durable, push.max_configs)
        self._sender = PushSender(configs, push)
        ways = [("JSONRPC", self._url + JSONRPC_PATH), ("HTTP+JSON", self._url + REST_PATH)]
        self._cards = ServedCards(
            self._served.agent.card,
            [*ways, ("GRPC", grpc_url)] if grpc_url else ways,
            token_needed=authenticate is not None and authenticate(None) is None,
            input_modes=self._served.input_modes,
            limits=_shown(self._limits),
            sign=self._sign,
        )
        self.card = self._cards.public
        self._handler = self._make_handler(configs, push)

    @property
    def routes(self) -> list[BaseRoute]:
        """The card, the key set, JSON-RPC and HTTP+JSON, as routes for the root of an app."""
        contexts = HttpContexts()
        rpc = create_jsonrpc_routes(self._handler, JSONRPC_PATH, contexts)
        rest = create_rest_routes(self._handler, contexts)
        for binding, routes in (("JSONRPC", rpc), ("HTTP+JSON", rest)):
            for route in routes:
                if isinstance(route, Route):  # the SDK's mount of tenants has the same objects
                    route.app = self._gate(route.app, binding)
        public: list[BaseRoute] = [card_route(self.card)]
        if self._signer is not None:
            public.append(json_route(JWKS_PATH, self._signer.jwks))
        return [*public, *rpc, Mount(REST_PATH, routes=rest)]

    def app(self) -> Starlette:
        """An app of its own, which starts and closes the server."""

        @asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncGenerator[None]:
            await self.start()
            try:
                yield
            finally:
                await self.aclose()

        return Starlette(routes=self.routes, lifespan=lifespan)

    def grpc(self, address: str, credentials: Any = None) -> GrpcServer:
        """A gRPC server of the same tasks: `await start()` gives its port, `await stop()` ends it.

        Args:
            address: host and port to listen on; port 0 takes a free one.
            credentials: grpcio's server credentials for TLS; None serves plain text.

        Raises:
            ConfigError: the `a2a` extra is not installed.
        """
        try:
            from infrastructure.a2a.grpc_server import GrpcServer
        except ImportError as error:
            raise ConfigError(
                "gRPC", "", "needs the a2a extra: pip install 'genesis-orchestrator[a2a]'"
            ) from error
        return GrpcServer(
            self._handler,
            address,
            authenticate=self._authenticate,
            rates=self._rates,
            max_body_bytes=self._limits.max_body_bytes,
            credentials=credentials,
        )

    async def start(self, tenants: Iterable[str] = ("default",)) -> None:
        """Take up, or fail, what dead servers left; tasks of other tenants when they are read.

        Args:
            tenants: those whose tasks are looked through now.

        Raises:
            StoreError: the store cannot be used.
        """
        if self._lease is None or not isinstance(self._tasks, MemoriTaskStore):
            return
        await self._lease.start()
        for tenant in dict.fromkeys(tenants):
            async for task, caller in self._tasks.orphans(tenant):
                await self._adopt(task, caller)

    async def aclose(self) -> None:
        """Stop what is being worked on; durable agents' tasks go on at the next start."""
        left = self._tasks.open_tasks() if isinstance(self._tasks, MemoriTaskStore) else []
        await self._handler.aclose()
        if not self._served.durable:
            for task, caller in left:
                now = await self._tasks.get(task.id, context_of(caller))
                if now is not None and now.status.state not in ENDED | WAITING:
                    await self._fail(now, caller, "the server was stopped while it worked on this")
        await self._sender.aclose()
        if self._lease is not None:
            await self._lease.aclose()

    async def _adopt(self, task: pb.Task, caller: Caller) -> pb.Task:
        """What becomes of a task that a dead server left."""
        assert isinstance(self._tasks, MemoriTaskStore)
        if not self._served.durable:
            return await self._fail(task, caller, "the server that worked on this task died")
        if task.id not in self._adopting:
            self._adopting.add(task.id)
            try:
                await self._tasks.own(task, caller)
                await self._handler.resume(task, caller)
            finally:
                self._adopting.discard(task.id)
        return task

    async def _fail(self, task: pb.Task, caller: Caller, reason: str) -> pb.Task:
        said = Message(f"{task.id}-lost", "agent", (Part(text=reason),))
        again: JsonObject = {EXTENSION: {"retryable": True}}
        update = status_to_wire(StatusUpdate("", "", TaskState.FAILED, said, again))
        task.status.CopyFrom(update.status)
        task.metadata.MergeFrom(update.metadata)
        await self._tasks.save(task, context_of(caller))
        return task

    def _gate(self, app: ASGIApp, binding: str) -> Gate:
        limit = self._limits.max_body_bytes
        return Gate(app, binding, self._authenticate, self._rates, limit)

    def _task_store(self, store: MemoriStore | None) -> ServedTasks:
        if store is None or self._lease is None:
            return BoundedTasks(self._limits.max_kept_tasks)
        tasks = MemoriTaskStore(
            store,
            self._lease,
            kept_tasks=self._limits.max_kept_tasks,
            retention_s=self._limits.retention_s,
        )
        tasks.adopt = self._adopt
        return tasks

    def _sign(self, card: pb.AgentCard) -> None:
        if self._signer is not None:
            self._signer.sign(card, self._url)

    def _make_handler(self, configs: PushConfigs, push: PushPolicy) -> ServedHandler:
        served = self._served
        agent = served.agent
        executor = ServedExecutor(
            served.agent_for or (lambda caller: agent),
            agent.card.max_concurrency,
            self._limits.max_waiting,
        )
        handler = ServedHandler(
            executor,
            self._tasks,
            self.card,
            push_config_store=configs,
            push_sender=self._sender,
            request_context_builder=TaskNamer() if served.idempotent else None,
            extended_agent_card=self._cards.extended,
            push_url_validator=push.is_fit,
            validate_input_modes=bool(served.input_modes),
            interrupted_task_timeout=_PARKED_S,
        )
        handler.bind(self._tasks, configs, idempotent=served.idempotent)
        return handler


def _shown(limits: ServingLimits) -> JsonObject:
    return {
        "max_body_bytes": limits.max_body_bytes,
        "max_kept_tasks": limits.max_kept_tasks,
        "requests_per_minute": limits.requests_per_minute,
        "retention_s": limits.retention_s,
    }


def serve_agent(
    agent: Agent,
    *,
    url: str,
    token: str | None = None,
    max_body_bytes: int = 32 * 1024 * 1024,
    max_kept_tasks: int = 1_000,
    max_waiting: int = 100,
) -> Starlette:
    """An ASGI app that serves one agent over HTTP, its tasks in memory; any ASGI server runs it.

    Args:
        agent: what is served.
        url: where clients reach the app; it goes on the card.
        token: bearer token that every request but the card's must carry; None asks for none.
        max_body_bytes, max_kept_tasks, max_waiting: see `ServingLimits`.
    """
    return A2AServer(
        agent,
        url=url,
        authenticate=None if token is None else one_token(token),
        limits=ServingLimits(max_body_bytes, max_kept_tasks, max_waiting),
    ).app()
