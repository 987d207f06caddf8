"""Any agent as an A2A 1.0 server: JSON-RPC and HTTP+JSON, with its card, in one ASGI app."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TypeAlias

from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.context import ServerCallContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import (
    create_agent_card_routes,
    create_jsonrpc_routes,
    create_rest_routes,
)
from a2a.server.tasks import InMemoryTaskStore
from a2a.types import a2a_pb2 as pb
from starlette.applications import Starlette
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infrastructure.a2a.agent import Agent
from infrastructure.a2a.cards import card_to_wire
from infrastructure.a2a.convert import (
    artifact_to_wire,
    message_from_wire,
    message_to_wire,
    status_to_wire,
)
from infrastructure.a2a.types import (
    EXTENSION,
    Artifact,
    ArtifactUpdate,
    Part,
    StatusUpdate,
    TaskState,
)
from infrastructure.a2a.types import Message as OurMessage
from infrastructure.jsonvalue import JsonObject

_WireUpdate: TypeAlias = pb.TaskStatusUpdateEvent | pb.TaskArtifactUpdateEvent

JSONRPC_PATH = "/a2a/jsonrpc"
REST_PATH = "/a2a/rest"
_CARD_PATH = "/.well-known/agent-card.json"


def serve_agent(
    agent: Agent,
    *,
    url: str,
    token: str | None = None,
    max_body_bytes: int = 32 * 1024 * 1024,
    max_kept_tasks: int = 1_000,
    max_waiting: int = 100,
) -> Starlette:
    """An ASGI app that serves one agent; run it with any ASGI server.

    Args:
        agent: what is served.
        url: where clients reach the app; it goes on the card.
        token: bearer token that every request but the card's must carry; None asks for none.
        max_body_bytes: larger requests are refused.
        max_kept_tasks: ended tasks that clients can still ask about; the oldest are forgotten.
        max_waiting: tasks that wait while the agent has as many as its card allows; more are
            rejected.
    """
    base = url.rstrip("/")
    interfaces = [("JSONRPC", base + JSONRPC_PATH), ("HTTP+JSON", base + REST_PATH)]
    card = card_to_wire(agent.card, interfaces, token_needed=token is not None)
    handler = DefaultRequestHandler(
        _Executor(agent, max_waiting), _BoundedTaskStore(max_kept_tasks), card
    )

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            await handler.aclose()

    app = Starlette(
        routes=[
            *create_agent_card_routes(card),
            *create_jsonrpc_routes(handler, JSONRPC_PATH),
            *create_rest_routes(handler, path_prefix=REST_PATH),
        ],
        lifespan=lifespan,
    )
    app.add_middleware(_Gate, token=token, max_body_bytes=max_body_bytes)
    return app


class _Executor(AgentExecutor):
    """Passes an agent's events to the SDK's queue, as many tasks at once as its card allows."""

    def __init__(self, agent: Agent, max_waiting: int) -> None:
        self._agent = agent
        self._slots = asyncio.Semaphore(agent.card.max_concurrency)
        self._waiting = 0
        self._max_waiting = max_waiting

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        if not self._slots.locked():
            async with self._slots:
                await self._work(context, event_queue, announced=context.current_task is not None)
            return
        # Clients see the task, and can cancel it, while it waits.
        if context.current_task is None:
            await event_queue.enqueue_event(_new_task(context))
        if self._waiting >= self._max_waiting:
            await event_queue.enqueue_event(_busy(context))
            return
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        try:
            await self._work(context, event_queue, announced=True)
        finally:
            self._slots.release()

    async def _work(
        self, context: RequestContext, event_queue: EventQueue, *, announced: bool
    ) -> None:
        assert context.message is not None
        async for event in self._agent.send(message_from_wire(context.message)):
            if isinstance(event, OurMessage):
                # The protocol has a message instead of a task, never both.
                if announced:
                    for update in _as_task(event, context):
                        await event_queue.enqueue_event(update)
                else:
                    await event_queue.enqueue_event(message_to_wire(event))
                return
            if not announced:
                await event_queue.enqueue_event(_new_task(context))
                announced = True
            await event_queue.enqueue_event(_to_wire(event, context))

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        # The SDK cancels `execute` right after this, which closes the agent's stream.
        assert context.task_id is not None
        assert context.context_id is not None
        update = StatusUpdate(context.task_id, context.context_id, TaskState.CANCELED)
        await event_queue.enqueue_event(status_to_wire(update))


def _new_task(context: RequestContext) -> pb.Task:
    task = pb.Task(
        id=context.task_id,
        context_id=context.context_id,
        status=pb.TaskStatus(state=pb.TASK_STATE_SUBMITTED),
    )
    if context.message is not None:
        task.history.append(context.message)
    return task


def _busy(context: RequestContext) -> _WireUpdate:
    said = OurMessage("busy", "agent", (Part(text="too many tasks wait already; try later"),))
    again: JsonObject = {EXTENSION: {"retryable": True}}
    return _to_wire(StatusUpdate("", "", TaskState.REJECTED, said, again), context)


def _as_task(message: OurMessage, context: RequestContext) -> tuple[_WireUpdate, _WireUpdate]:
    artifact = Artifact(message.message_id, message.parts, metadata=message.metadata)
    ended = StatusUpdate("", "", TaskState.COMPLETED)
    return _to_wire(ArtifactUpdate("", "", artifact), context), _to_wire(ended, context)


def _to_wire(event: StatusUpdate | ArtifactUpdate, context: RequestContext) -> _WireUpdate:
    """An event under the server's names: an agent names its tasks as it likes."""
    wire = status_to_wire(event) if isinstance(event, StatusUpdate) else artifact_to_wire(event)
    wire.task_id, wire.context_id = context.task_id or "", context.context_id or ""
    return wire


class _BoundedTaskStore(InMemoryTaskStore):
    """The SDK's store in memory, which alone would grow for ever."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit
        self._ended: OrderedDict[str, ServerCallContext] = OrderedDict()

    async def save(self, task: pb.Task, context: ServerCallContext) -> None:
        await super().save(task, context)
        if task.status.state in _ENDED:
            self._ended[task.id] = context
        while len(self._ended) > self._limit:
            oldest, its_context = self._ended.popitem(last=False)
            await super().delete(oldest, its_context)


_ENDED = frozenset(
    {
        pb.TASK_STATE_COMPLETED,
        pb.TASK_STATE_FAILED,
        pb.TASK_STATE_CANCELED,
        pb.TASK_STATE_REJECTED,
        pb.TASK_STATE_INPUT_REQUIRED,  # nobody may ever answer
        pb.TASK_STATE_AUTH_REQUIRED,
    }
)


class _Gate:
    """Checks the token, the content type and the size before anything is parsed."""

    def __init__(self, app: ASGIApp, token: str | None, max_body_bytes: int) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode() if token is not None else None
        self._max = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == _CARD_PATH:
            await self._app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        given = headers.get(b"authorization", b"")
        if self._expected is not None and not hmac.compare_digest(given, self._expected):
            await _refuse(send, 401, "this agent needs its bearer token")
            return
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if scope["method"] == "POST" and kind not in (b"application/json", b"application/a2a+json"):
            await _refuse(send, 415, "send application/json")
            return
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > self._max:
            await _refuse(send, 413, f"requests may have at most {self._max} bytes")
            return
        # Read here, before the SDK: it answers 200 to a body that breaks off on the way.
        body = await self._body(receive)
        if body is None:
            await _refuse(send, 413, f"requests may have at most {self._max} bytes")
            return
        await self._app(scope, _replaying(body, receive), send)

    async def _body(self, receive: Receive) -> bytes | None:
        chunks: list[bytes] = []
        read = 0
        while True:
            message = await receive()
            chunks.append(message.get("body", b""))
            read += len(chunks[-1])
            if read > self._max:
                return None
            if not message.get("more_body", False):
                return b"".join(chunks)


def _replaying(body: bytes, receive: Receive) -> Receive:
    waiting = [body]

    async def replay() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return replay


async def _refuse(send: Send, status: int, reason: str) -> None:
    headers = [(b"content-type", b"application/json")]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    body = json.dumps({"error": reason}).encode()
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
