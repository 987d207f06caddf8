"""A server on loopback that speaks OpenAI's chat-completions protocol with scripted answers.

    with OpenAIServer(["hello", {"city": "Oslo"}, Failure.HANG]) as server:
        ChatOpenAI(model="scripted", base_url=server.url, api_key="any")

It runs in a thread of its own, so that it serves any event loop as well as synchronous code;
`async with` works too.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self, TypeAlias, cast


class Failure(Enum):
    """Ways in which a provider fails; a number is the HTTP status that it answers."""

    BAD_REQUEST = 400
    UNAUTHORIZED = 401
    NOT_FOUND = 404
    RATE_LIMIT = 429
    SERVER_ERROR = 500
    HANG = "never answers"
    CLOSE = "closes the connection in the middle of its answer"
    GARBAGE = "answers 200 with what is not JSON"


@dataclass(frozen=True)
class Reply:
    """An answer in full; text or a mapping alone stand for the usual one.

    Attributes:
        content: the assistant's text, or an object that it writes as JSON (as the arguments of
            the tool, where the request offers tools).
        input_tokens, output_tokens: the usage that is reported; None for both reports none.
        finish_reason: "stop", or "length" for an answer that was cut.
    """

    content: str | Mapping[str, Any]
    input_tokens: int | None = 100
    output_tokens: int | None = 20
    finish_reason: str = "stop"


Scripted: TypeAlias = str | Mapping[str, Any] | Reply | Failure


@dataclass(frozen=True)
class ChatRequest:
    """One request that the server received."""

    body: Mapping[str, Any]
    headers: Mapping[str, str]

    @property
    def messages(self) -> list[tuple[str, str]]:
        """Role and text of each message."""
        return [(m["role"], m.get("content") or "") for m in self.body["messages"]]

    @property
    def text(self) -> str:
        """All messages' text."""
        return "\n".join(text for _, text in self.messages)

    @property
    def schema(self) -> Mapping[str, Any] | None:
        """The JSON schema that the answer must follow, if one was sent."""
        if "tools" in self.body:
            return self.body["tools"][0]["function"]["parameters"]
        if "response_format" in self.body:
            return self.body["response_format"]["json_schema"]["schema"]
        return None


Script: TypeAlias = Sequence[Scripted] | Callable[[ChatRequest], Scripted]


@dataclass
class OpenAIServer:
    """Answers each request with the script's next item, or with what the script returns for it.

    A script that has run out answers 400 and says so. `requests` holds what was received.
    """

    script: Script
    requests: list[ChatRequest] = field(default_factory=list[ChatRequest])

    @property
    def url(self) -> str:
        """The base URL, as `OPENAI_BASE_URL` wants it."""
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def __enter__(self) -> Self:
        self._items: Iterator[Scripted] = iter(() if callable(self.script) else self.script)
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._http = _Http(("127.0.0.1", 0), _Handler)
        self._http.scripted = self
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._http.shutdown()
        self._thread.join()
        self._http.break_connections()
        self._http.server_close()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        self.__exit__()

    def next_reply(self, request: ChatRequest) -> Scripted:
        """Note the request and give what the script has for it."""
        with self._lock:
            self.requests.append(request)
            if callable(self.script):
                return self.script(request)
            return next(self._items, Failure.BAD_REQUEST)

    def wait_until_stopped(self) -> None:
        """Block until the server is closed."""
        self._stopped.wait()


class _Http(ThreadingHTTPServer):
    daemon_threads = False  # so that closing waits for them
    scripted: OpenAIServer

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._connections: list[socket.socket] = []

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._connections.append(connection)
        return connection, address

    def break_connections(self) -> None:
        """End the connections that clients keep open, so that no thread waits for them."""
        for connection in self._connections:
            with contextlib.suppress(OSError):  # closed long ago
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        request = ChatRequest(body, dict(self.headers.items()))
        server = cast("_Http", self.server).scripted
        scripted = server.next_reply(request)
        if isinstance(scripted, Failure):
            self._fail(scripted, server)
            return
        reply = scripted if isinstance(scripted, Reply) else Reply(scripted)
        self._send(200, json.dumps(_completion(request, reply)))

    def _fail(self, failure: Failure, server: OpenAIServer) -> None:
        if isinstance(failure.value, int):
            # Real providers repeat (part of) the key that was refused, so this one does too.
            message = f"scripted failure; you sent {self.headers['Authorization']}"
            error = {"message": message, "type": "scripted", "code": None, "param": None}
            self._send(failure.value, json.dumps({"error": error}))
        elif failure is Failure.HANG:
            server.wait_until_stopped()
            self.close_connection = True
        elif failure is Failure.CLOSE:
            self._send(200, '{"id": "cut', length=10_000)
            self.close_connection = True
        else:
            self._send(200, "<html>not what you asked for")

    def _send(
        self,
        status: int,
        body: str,
        length: int | None = None,
    ) -> None:
        payload = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload) if length is None else length))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - inherited name
        """Say nothing on stderr."""


def _completion(request: ChatRequest, reply: Reply) -> dict[str, Any]:
    tools = request.body.get("tools")
    content = reply.content if isinstance(reply.content, str) else json.dumps(reply.content)
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if tools and not isinstance(reply.content, str):
        function = {"name": tools[0]["function"]["name"], "arguments": content}
        call = {"id": "call_1", "type": "function", "function": function}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
    completion: dict[str, Any] = {
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "created": 0,
        "model": request.body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": reply.finish_reason}],
    }
    if reply.input_tokens is not None and reply.output_tokens is not None:
        completion["usage"] = {
            "prompt_tokens": reply.input_tokens,
            "completion_tokens": reply.output_tokens,
            "total_tokens": reply.input_tokens + reply.output_tokens,
        }
    return completion
