"""An agent made with the SDK alone, on all three bindings: a peer that shares no code with ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from a2a.helpers import new_task_from_user_message
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes, create_rest_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import a2a_pb2 as pb
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Value
from starlette.applications import Starlette


def sdk_card(url: str, bindings: Sequence[str], grpc_at: str = "", **more: Any) -> pb.AgentCard:
    """A card with these bindings, preferred first."""
    where = {"JSONRPC": f"{url}/rpc", "HTTP+JSON": f"{url}/rest", "GRPC": grpc_at}
    capabilities = {"streaming": more.pop("streaming", True), **more.pop("capabilities", {})}
    return pb.AgentCard(
        name="sdk",
        description="Does what its message says.",
        version="1",
        supported_interfaces=[
            pb.AgentInterface(url=where[b], protocol_binding=b, protocol_version="1.0")
            for b in bindings
        ],
        capabilities=pb.AgentCapabilities(**capabilities),
        default_input_modes=["text/plain"],
        default_output_modes=["text/plain"],
        skills=[pb.AgentSkill(id="do", name="do", description="Does it.", tags=["general"])],
        **more,
    )


def sdk_app(executor: AgentExecutor, card: pb.AgentCard, **handled: Any) -> Starlette:
    """JSON-RPC and HTTP+JSON, as the SDK serves them."""
    handler = DefaultRequestHandler(executor, InMemoryTaskStore(), card, **handled)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        yield
        await handler.aclose()

    return Starlette(
        routes=[
            *create_agent_card_routes(card),
            *create_jsonrpc_routes(handler, "/rpc"),
            *create_rest_routes(handler, path_prefix="/rest"),
        ],
        lifespan=lifespan,
    )


@dataclass
class SdkExecutor(AgentExecutor):
    """What it does is the text that it is sent: echo, parts, ask, sign in, hang, fail, reply."""

    messages: list[pb.Message] = field(default_factory=list[pb.Message])
    canceled: list[str] = field(default_factory=list[str])
    started: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        message = context.message
        assert message is not None
        assert context.task_id is not None
        assert context.context_id is not None
        self.messages.append(message)
        text = "".join(part.text for part in message.parts)
        if text == "reply":
            await event_queue.enqueue_event(_said("here I am"))
            return
        if context.current_task is None:
            await event_queue.enqueue_event(new_task_from_user_message(message))
        updater = TaskUpdater(event_queue, context.task_id, context.context_id)
        await updater.start_work()
        self.started.set()
        match text:
            case "ask":
                await updater.requires_input(_said("Which region?"))
            case "sign in":
                await updater.requires_auth(_said("Please sign in."))
            case "hang":
                await asyncio.Event().wait()
            case "wait":
                await updater.add_artifact([pb.Part(text="first ")], "a", append=False)
                await self.release.wait()
                await updater.add_artifact([pb.Part(text="second")], "a", append=True)
                await updater.complete()
            case "fail":
                await updater.failed(_said("it broke"))
            case "parts":
                await updater.add_artifact(_back(message), "a", name="result")
                await updater.complete()
            case _:
                await updater.add_artifact([pb.Part(text=f"you said {text}")], "a")
                await updater.complete()

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        assert context.task_id is not None
        assert context.context_id is not None
        self.canceled.append(context.task_id)
        await TaskUpdater(event_queue, context.task_id, context.context_id).cancel()


def _said(text: str) -> pb.Message:
    return pb.Message(message_id="said", role=pb.ROLE_AGENT, parts=[pb.Part(text=text)])


def _back(message: pb.Message) -> list[pb.Part]:
    """Every part but the text, and data of every kind."""
    data = ParseDict({"a": [1, 2.5, None, True, "é"], "b": {}}, Value())
    return [*(p for p in message.parts if not p.HasField("text")), pb.Part(data=data)]
