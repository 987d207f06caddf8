"""A2A agents of all kinds on loopback, good and bad, for tests of the client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

import grpc
import pytest
from a2a.server.request_handlers import DefaultRequestHandler, GrpcHandler
from a2a.server.tasks import InMemoryTaskStore
from a2a.types import a2a_pb2_grpc

from infrastructure.a2a.remote import RemoteAgent
from infrastructure.a2a.types import AgentEvent, Message, Part

Answer: TypeAlias = Callable[["Call"], Awaitable[None]]
CARD_PATH = "/.well-known/agent-card.json"
JSON = "application/json"
EVENTS = "text/event-stream"


def card_json(url: str, **changes: Any) -> dict[str, Any]:
    """A stranger's card, for JSON-RPC at /rpc unless `changes` say otherwise."""
    return {
        "name": "stranger",
        "description": "d",
        "version": "1",
        "supportedInterfaces": [
            {"url": f"{url}/rpc", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
        ],
        "capabilities": {"streaming": True},
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
        "skills": [{"id": "s", "name": "s", "description": "d", "tags": ["general"]}],
        **changes,
    }


def status(state: str, task_id: str = "t1", text: str = "") -> dict[str, Any]:
    """A status update as an item of a stream."""
    said: dict[str, Any] = {"state": f"TASK_STATE_{state}"}
    if text:
        part = {"text": text}
        said["message"] = {"messageId": "said", "role": "ROLE_AGENT", "parts": [part]}
    return {"statusUpdate": {"taskId": task_id, "contextId": "c", "status": said}}


def artifact(*parts: dict[str, Any], task_id: str = "t1", **more: Any) -> dict[str, Any]:
    """An artifact update as an item of a stream."""
    body = {"artifactId": "a", "parts": list(parts)}
    return {"artifactUpdate": {"taskId": task_id, "contextId": "c", "artifact": body, **more}}


def task(state: str, *parts: dict[str, Any], task_id: str = "t1") -> dict[str, Any]:
    """A whole task."""
    found = [{"artifactId": "a", "parts": list(parts)}] if parts else []
    said = {"state": f"TASK_STATE_{state}"}
    return {"id": task_id, "contextId": "c", "status": said, "artifacts": found}


@dataclass
class Call:
    """One request as it came in, and the socket to answer on."""

    path: str
    headers: dict[str, str]
    body: bytes
    writer: asyncio.StreamWriter

    @property
    def method(self) -> str:
        """The JSON-RPC method; empty for what is no JSON-RPC."""
        return json.loads(self.body)["method"] if self.body else ""

    @property
    def params(self) -> dict[str, Any]:
        """The JSON-RPC parameters."""
        return json.loads(self.body)["params"]

    async def raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def head(self, kind: str, *more: str, code: int = 200) -> None:
        """Begin a response whose body comes in chunks."""
        lines = [f"HTTP/1.1 {code} X", f"content-type: {kind}", *more, "transfer-encoding: chunked"]
        await self.raw("\r\n".join([*lines, "", ""]).encode())

    async def chunk(self, data: bytes) -> None:
        """A chunk of the body."""
        await self.raw(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    async def end(self) -> None:
        """End the body."""
        await self.raw(b"0\r\n\r\n")

    async def respond(self, data: bytes, kind: str = JSON, *more: str, code: int = 200) -> None:
        """A whole response."""
        length = f"content-length: {len(data)}"
        head = "\r\n".join([f"HTTP/1.1 {code} X", f"content-type: {kind}", length, *more, "", ""])
        await self.raw(head.encode() + data)

    async def result(self, result: object) -> None:
        """A JSON-RPC result."""
        await self.respond(json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}).encode())

    async def error(self, code: int, message: str) -> None:
        """A JSON-RPC error."""
        error = {"code": code, "message": message}
        await self.respond(json.dumps({"jsonrpc": "2.0", "id": 1, "error": error}).encode())

    async def event(self, result: object) -> None:
        """An item of a stream."""
        said = json.dumps({"jsonrpc": "2.0", "id": 1, "result": result})
        await self.chunk(f"data: {said}\n\n".encode())

    async def events(self, *results: object) -> None:
        """A whole stream."""
        await self.head(EVENTS)
        for result in results:
            await self.event(result)
        await self.end()

    def drop(self) -> None:
        """Cut the connection as a killed process would."""
        self.writer.transport.abort()


@dataclass
class Peer:
    """A server that answers with bytes of its own choice; its card may be changed meanwhile."""

    answer: Answer
    show: Answer | None = None
    url: str = ""
    card: dict[str, Any] = field(default_factory=dict[str, Any])
    calls: list[Call] = field(default_factory=list[Call])
    connections: int = 0
    _server: asyncio.Server | None = None

    @property
    def methods(self) -> list[str]:
        """JSON-RPC methods that were called."""
        return [call.method for call in self.calls if call.body]

    async def start(self, port: int = 0) -> None:
        """Listen on a port of loopback, a free one for 0."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        self.card = card_json(self.url)

    async def stop(self) -> None:
        """Stop listening and drop every connection."""
        assert self._server is not None
        self._server.close()
        for call in self.calls:
            call.drop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while (call := await _read_call(reader, writer)) is not None:
                self.calls.append(call)
                if call.path != CARD_PATH:
                    await self.answer(call)
                elif self.show is not None:
                    await self.show(call)
                else:
                    await call.respond(json.dumps(self.card).encode())
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def _read_call(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Call | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode().split("\r\n")
    pairs = (line.partition(":") for line in lines if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Call(first.split(" ")[1], headers, body, writer)


StartPeer: TypeAlias = Callable[..., Awaitable[Peer]]


@pytest.fixture
async def peer() -> AsyncIterator[StartPeer]:
    """Starts a `Peer` that answers by the given function."""
    running: list[Peer] = []

    async def start(answer: Answer, show: Answer | None = None) -> Peer:
        one = Peer(answer, show)
        await one.start()
        running.append(one)
        return one

    yield start
    for one in running:
        await one.stop()


ServeGrpc: TypeAlias = Callable[..., Awaitable[tuple[str, Any]]]


@pytest.fixture
async def serve_grpc() -> AsyncIterator[ServeGrpc]:
    """Serves a servicer, or an executor of the SDK's, and gives "host:port" and the server."""
    running: list[Any] = []
    handlers: list[DefaultRequestHandler] = []

    async def start(servicer: Any, card: Any = None, **options: Any) -> tuple[str, Any]:
        if card is not None:
            handlers.append(DefaultRequestHandler(servicer, InMemoryTaskStore(), card))
            servicer = GrpcHandler(handlers[-1])
        server = grpc.aio.server(**options)
        cast("Any", a2a_pb2_grpc).add_A2AServiceServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        running.append(server)
        return f"127.0.0.1:{port}", server

    yield start
    for server in running:
        await server.stop(0)
    for handler in handlers:
        await handler.aclose()


async def ask(agent: RemoteAgent, message: Message | None = None) -> list[AgentEvent]:
    """All events of one message."""
    sent = message or Message("m1", "user", (Part(text="hello"),))
    async with aclosing(agent.send(sent)) as stream:
        return [event async for event in stream]


async def ask_once(url: str, message: Message | None = None, **how: Any) -> list[AgentEvent]:
    """Connect, ask one message, close."""
    agent = await RemoteAgent.connect(url, **how)
    try:
        return await ask(agent, message)
    finally:
        await agent.aclose()
