"""The MCP SDK's client, held open by a task of its own, over a child process or HTTP."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import AsyncExitStack
from typing import Final, TextIO, cast

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from genesis.agents.mcp_process import McpProcess
from genesis.agents.mcp_server import McpServer
from genesis.agents.mcp_transport import GuardedTransport
from infrastructure.errors import AgentUnavailable, GenesisError
from infrastructure.redaction import hide_secrets
from infrastructure.text import one_line

log = logging.getLogger("genesis.agents.mcp")

_CONNECT_S: Final = 30.0
_CLOSE_S: Final = 10.0
_SILENCE_S: Final = 30.0
_STDERR: Final = 4_096


class HeldClient:
    """An entered client, and the task that will leave it."""

    def __init__(self, server: McpServer) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._closing = asyncio.Event()
        self._ready: asyncio.Future[Client] = self._loop.create_future()
        self._transport: GuardedTransport | McpProcess | None = None
        self._stderr = _Stderr()
        self._task = asyncio.create_task(self._hold(), name=f"MCP server {server}")

    @classmethod
    async def open(cls, server: McpServer) -> HeldClient:
        """Start or reach the server.

        Raises:
            AgentUnavailable: it does not answer; the message has what it wrote to stderr.
            AgentError: the address policy refuses it.
        """
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
        """The SDK's client."""
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
            self._transport = process = McpProcess(server)
            errors = await self._stderr.opened(stack)
            return Client(process.connected(errors), cache=None)
        self._transport = guarded = GuardedTransport(
            server.url,
            allow_private=server.allow_private,
            # Longer than a call may take: a silent stream is lost with all calls on it.
            timeout_s=server.timeout_s + _SILENCE_S,
        )
        headers = {} if server.token is None else {"Authorization": f"Bearer {server.token}"}
        http = await stack.enter_async_context(
            httpx2.AsyncClient(transport=guarded, headers=headers)
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
