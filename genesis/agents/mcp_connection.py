"""A connection to an MCP server: opened when needed, kept, opened anew when it broke, closed."""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO, cast

import httpx2
import mcp_types as types
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from genesis.agents.mcp_transport import GuardedTransport
from infrastructure.errors import (
    AgentError,
    AgentUnavailable,
    GenesisError,
    InputError,
    TaskTimeout,
)
from infrastructure.net.http import origin_of
from infrastructure.redaction import hide_secrets
from infrastructure.text import cut, one_line, strip_control

log = logging.getLogger("genesis.agents.mcp")

MAX_TEXT: Final = 100_000
_MAX_TOOLS: Final = 500
_MAX_PAGES: Final = 50
_MAX_FILE: Final = 10 * 1024 * 1024
_CONNECT_S: Final = 30.0
_CLOSE_S: Final = 10.0
_SILENCE_S: Final = 30.0
_STDERR: Final = 4_096


@dataclass(frozen=True, slots=True)
class McpServer:
    """Where an MCP server is: a command to start, or a URL.

    Attributes:
        command: program and arguments of a server that speaks MCP on stdin and stdout. It is
            started with a minimal environment (PATH, HOME and the like), in a process group of
            its own, and ended with the connection.
        url: of a server that speaks streamable HTTP.
        token: bearer token for the URL.
        environment: variables that the command gets besides.
        cwd: folder that the command runs in; this process's unless given.
        allow_private: whether the URL may lead to this machine or a private network.
        timeout_s: seconds that one call may take.

    Raises:
        InputError: neither or both of command and url are given, or one is of no use.
    """

    command: Sequence[str] = ()
    url: str = ""
    token: str | None = field(default=None, repr=False)
    environment: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    cwd: Path | None = None
    allow_private: bool = False
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        if bool(self.command) == bool(self.url):
            raise InputError("an MCP server is a command or a URL: give one of both")
        if isinstance(self.command, str):
            raise InputError("command must be a list: program, then its arguments")
        if self.url:
            origin_of(self.url)
        if not 0 < self.timeout_s < float("inf"):
            raise InputError("timeout_s must be a number of seconds above 0")

    def __str__(self) -> str:
        # No other arguments: they may hold secrets.
        shown = [word for word in self.command[:2] if not word.startswith("-")]
        return self.url or " ".join(os.path.basename(word) for word in shown)  # noqa: PTH119 - of any text


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """What a tool answered; others wrote it, so that it is data.

    Attributes:
        text: its texts, stripped of control characters and cut.
        structured: its structured content; None without.
        files: (media type, bytes) of the images and other files that came along.
        failed: whether the tool calls it an error.
    """

    text: str
    structured: dict[str, Any] | None
    files: tuple[tuple[str, bytes], ...]
    failed: bool


class McpConnection:
    """A connection to one server, shared by calls at once.

    A task of its own holds the SDK's client, which must be left by the task that entered it.
    """

    def __init__(self, server: McpServer) -> None:
        self.server = server
        self._opening = asyncio.Lock()
        self._held: _Held | None = None

    async def tools(self) -> list[types.Tool]:
        """All tools of the server.

        Raises:
            AgentUnavailable: it cannot be started or reached.
            AgentError: it is refused, or does not keep to the protocol.
        """
        held = await self._live()
        found: list[types.Tool] = []
        cursor: str | None = None
        for _ in range(_MAX_PAGES):
            async with self._told(held):
                page = await held.client.list_tools(cursor=cursor)
            found += page.tools
            cursor = page.next_cursor
            if cursor is None or len(found) >= _MAX_TOOLS:
                break
        if len(found) > _MAX_TOOLS:
            log.warning("of the tools of %s the first %d are used", self.server, _MAX_TOOLS)
        return found[:_MAX_TOOLS]

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> ToolAnswer:
        """Call a tool.

        Raises:
            TaskTimeout: it took longer than the server's `timeout_s`.
            AgentUnavailable: the connection broke; nobody knows what was done.
            AgentError: the server refused the call, or answered what cannot be used.
        """
        held = await self._live()
        async with self._told(held):
            result = await held.client.call_tool(
                tool, dict(arguments), read_timeout_seconds=self.server.timeout_s
            )
        return _answer(result)

    async def aclose(self) -> None:
        """End the connection, and the process that was started for it."""
        held, self._held = self._held, None
        if held is not None:
            await held.close()

    async def _live(self) -> _Held:
        async with self._opening:
            held = self._held
            if held is None or not held.usable:
                self._held = None
                self._held = held = await _Held.open(self.server)
            return held

    @asynccontextmanager
    async def _told(self, held: _Held) -> AsyncGenerator[None]:
        """Errors of the SDK as ours; a broken connection is opened anew by the next call."""
        try:
            yield
        except MCPError as error:
            if error.code == types.REQUEST_TIMEOUT:
                raise TaskTimeout(
                    f"{self.server} did not answer in {self.server.timeout_s:g} s"
                ) from error
            refusal = held.take_refusal()
            if error.code == types.CONNECTION_CLOSED or refusal is not None:
                await self._drop(held)
                raise refusal or AgentUnavailable(
                    f"the MCP server {self.server} closed the connection"
                ) from error
            raise AgentError(f"{self.server}: {one_line(error.message, 500)}") from error
        except GenesisError:
            raise
        except (OSError, httpx2.HTTPError) as error:
            await self._drop(held)
            raise AgentUnavailable(f"the connection to {self.server} broke: {error}") from error
        except (ValueError, RuntimeError) as error:  # of the SDK: an answer against its own schema
            raise AgentError(
                f"{self.server} answered what cannot be used: {one_line(str(error), 500)}"
            ) from error

    async def _drop(self, held: _Held) -> None:
        if self._held is held:
            self._held = None
        await held.close()


class _Held:
    """An entered client, and the task that will leave it."""

    def __init__(self, server: McpServer) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._closing = asyncio.Event()
        self._ready: asyncio.Future[Client] = self._loop.create_future()
        self._transport: GuardedTransport | None = None
        self._stderr = _Stderr()
        self._task = asyncio.create_task(self._hold(), name=f"MCP server {server}")

    @classmethod
    async def open(cls, server: McpServer) -> _Held:
        held = cls(server)
        try:
            async with asyncio.timeout(_CONNECT_S):
                await asyncio.shield(held._ready)
        except TimeoutError as error:
            await held.close()
            raise AgentUnavailable(
                f"the MCP server {server} did not answer in {_CONNECT_S:g} s"
            ) from error
        except BaseException:
            await held.close()
            raise
        return held

    @property
    def client(self) -> Client:
        return self._ready.result()

    @property
    def usable(self) -> bool:
        """Whether it is of this event loop and was not ended."""
        return self._loop is asyncio.get_running_loop() and not self._task.done()

    def take_refusal(self) -> GenesisError | None:
        """Why the last request was not sent or its answer not taken, told once."""
        if self._transport is None:
            return None
        refusal, self._transport.refusal = self._transport.refusal, None
        return refusal

    async def close(self) -> None:
        """Leave the client; bounded, as a server may not want to end."""
        if self._loop is not asyncio.get_running_loop():
            return  # it ended with its event loop
        self._closing.set()
        _, pending = await asyncio.wait([self._task], timeout=_CLOSE_S)
        for task in pending:
            task.cancel()
            await asyncio.wait([task], timeout=_CLOSE_S)

    async def _hold(self) -> None:
        try:
            async with AsyncExitStack() as stack:
                client = await stack.enter_async_context(await self._client(stack))
                self._ready.set_result(client)
                await self._closing.wait()
        except asyncio.CancelledError:
            if not self._ready.done():
                self._ready.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - of the SDK's task groups; whoever waits is told
            if self._ready.done():
                log.warning("the MCP server %s ended badly: %s", self._server, _cause(error))
            else:
                self._ready.set_exception(self._unreachable(error))

    async def _client(self, stack: AsyncExitStack) -> Client:
        server = self._server
        if server.command:
            parameters = StdioServerParameters(
                command=server.command[0],
                args=list(server.command[1:]),
                env=dict(server.environment),
                cwd=server.cwd,
            )
            errors = await self._stderr.opened(stack)
            return Client(stdio_client(parameters, errlog=errors), cache=None)
        self._transport = GuardedTransport(
            server.url,
            allow_private=server.allow_private,
            # Longer than a call may take: a silent stream is lost with all calls on it.
            timeout_s=server.timeout_s + _SILENCE_S,
        )
        headers = {} if server.token is None else {"Authorization": f"Bearer {server.token}"}
        http = await stack.enter_async_context(
            httpx2.AsyncClient(transport=self._transport, headers=headers)
        )
        return Client(streamable_http_client(server.url, http_client=http), cache=None)

    def _unreachable(self, error: BaseException) -> GenesisError:
        refusal = self.take_refusal()
        if refusal is not None:
            return refusal
        said = one_line(_cause(error), 500)
        last = one_line(hide_secrets(self._stderr.text()), 500)
        wrote = f"; it wrote: {last}" if last else ""
        return AgentUnavailable(f"the MCP server {self._server} cannot be used: {said}{wrote}")


class _Stderr(asyncio.Protocol):
    """The end of what a started server wrote to stderr, for the error that tells of it."""

    def __init__(self) -> None:
        self._tail = b""

    def data_received(self, data: bytes) -> None:
        self._tail = (self._tail + data)[-_STDERR:]

    def text(self) -> str:
        return self._tail.decode(errors="replace")

    async def opened(self, stack: AsyncExitStack) -> TextIO:
        """The end to write to, open until the stack ends."""
        reading, writing = os.pipe()
        errors = stack.enter_context(os.fdopen(writing, "w"))
        loop = asyncio.get_running_loop()
        pipe = os.fdopen(reading, "rb", buffering=0)
        transport, _ = await loop.connect_read_pipe(lambda: self, pipe)
        stack.callback(transport.close)
        return errors


def _cause(error: BaseException) -> str:
    leaf = error
    while isinstance(leaf, BaseExceptionGroup):
        leaf = cast("BaseExceptionGroup[BaseException]", leaf).exceptions[0]
    return f"{type(leaf).__name__}: {leaf}"


def _answer(result: types.CallToolResult) -> ToolAnswer:
    texts: list[str] = []
    files: list[tuple[str, bytes]] = []
    for block in result.content:
        if isinstance(block, types.TextContent):
            texts.append(block.text)
        elif isinstance(block, types.ImageContent | types.AudioContent):
            files.append((block.mime_type, _decoded(block.data)))
        elif isinstance(block, types.EmbeddedResource):
            contents = block.resource
            if isinstance(contents, types.TextResourceContents):
                texts.append(contents.text)
            else:
                files.append((contents.mime_type or "", _decoded(contents.blob)))
        else:
            texts.append(str(block.uri))
    return ToolAnswer(
        text=cut(strip_control("\n\n".join(texts)), MAX_TEXT),
        structured=result.structured_content,
        files=tuple(files),
        failed=bool(result.is_error),
    )


def _decoded(data: str) -> bytes:
    if len(data) > _MAX_FILE * 4 // 3 + 4:
        raise AgentError(f"the tool sent a file of more than {_MAX_FILE:,} bytes")
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise AgentError("the tool sent a file that is no base64") from error
