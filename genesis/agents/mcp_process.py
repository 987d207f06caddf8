"""An MCP server as a child process: lines of JSON on its stdin and stdout, within bounds.

The SDK's own transport collects a line until it ends, so that a server which never ends one fills
this process's memory.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TextIO

import anyio
import mcp_types as types
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage

from genesis.agents.mcp_server import McpServer
from infrastructure.errors import AgentMisbehaved
from infrastructure.sandbox.process import read_pipe

log = logging.getLogger("genesis.agents.mcp")

MAX_LINE: Final = 16 * 1024 * 1024
_LEAVE_S: Final = 2.0
_POLL_S: Final = 0.01


class McpProcess:
    """A transport for the MCP SDK's client: starts a server's command, and ends all of it.

    Args:
        server: with a command.
        max_line: bytes that a message of the server's may have.

    Attributes:
        refusal: why no more was read of what the server wrote; None while all is well.
    """

    def __init__(self, server: McpServer, max_line: int = MAX_LINE) -> None:
        self._server = server
        self._max_line = max_line
        self.refusal: AgentMisbehaved | None = None

    @asynccontextmanager
    async def connected(self, errors: TextIO) -> AsyncGenerator[tuple[Any, Any]]:
        """The streams of messages from and to the server; `errors` takes what it writes to stderr.

        Raises:
            OSError: the command cannot be started.
        """
        reader = asyncio.StreamReader(limit=self._max_line)
        transports: list[asyncio.ReadTransport] = []
        writing = await read_pipe(asyncio.StreamReaderProtocol(reader), transports)
        try:
            process = await self._started(writing, errors)
        except BaseException:
            transports[0].close()
            raise
        finally:
            os.close(writing)
        heard, hearing = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        saying, said = anyio.create_memory_object_stream[SessionMessage](0)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = (
                    group.create_task(self._hear(reader, heard)),
                    group.create_task(_say(said, process, heard)),
                )
                try:
                    yield hearing, saying
                finally:
                    for task in tasks:
                        task.cancel()
        finally:
            transports[0].close()
            for stream in (heard, hearing, saying, said):
                stream.close()
            await asyncio.shield(_end(process))

    async def _started(self, stdout: int, errors: TextIO) -> asyncio.subprocess.Process:
        server = self._server
        return await asyncio.create_subprocess_exec(
            *server.command,
            env={**get_default_environment(), **server.environment},
            cwd=server.cwd,
            stdin=asyncio.subprocess.PIPE,
            stdout=stdout,
            stderr=errors,
            start_new_session=True,
        )

    async def _hear(
        self,
        reader: asyncio.StreamReader,
        heard: MemoryObjectSendStream[SessionMessage | Exception],
    ) -> None:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            async with heard:
                while line := await self._line(reader):
                    await heard.send(_message(line))

    async def _line(self, reader: asyncio.StreamReader) -> bytes:
        """The next line; empty when there is none any more, or it is too long."""
        try:
            return await reader.readline()
        except ValueError:
            self.refusal = AgentMisbehaved(
                f"the MCP server {self._server} wrote a line of more than {self._max_line:,} bytes"
            )
            return b""


def _message(line: bytes) -> SessionMessage | Exception:
    try:
        return SessionMessage(types.jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError as error:  # the session decides what to make of it
        log.debug("an MCP server wrote a line that is no message: %s", error)
        return error


async def _say(
    said: MemoryObjectReceiveStream[SessionMessage],
    process: asyncio.subprocess.Process,
    heard: MemoryObjectSendStream[SessionMessage | Exception],
) -> None:
    assert process.stdin is not None
    try:
        async for each in said:
            text = each.message.model_dump_json(by_alias=True, exclude_unset=True)
            process.stdin.write(text.encode() + b"\n")
            await process.stdin.drain()
    except (ConnectionError, RuntimeError):
        heard.close()  # it reads no more: what waits for its answer must not wait for ever


async def _end(process: asyncio.subprocess.Process) -> None:
    """Close its stdin, and end it and what it started when it does not leave by itself."""
    assert process.stdin is not None
    process.stdin.close()
    for number in (None, signal.SIGTERM, signal.SIGKILL):
        if number is not None:
            _signal(process, number)
        if await _left(process):
            break
    _signal(process, signal.SIGKILL)  # what it started and left behind
    with suppress(ConnectionError):
        await process.stdin.wait_closed()


async def _left(process: asyncio.subprocess.Process) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(_LEAVE_S):
            # Not `wait`: it also waits for pipes, which others may hold.
            while process.returncode is None:  # noqa: ASYNC110
                await asyncio.sleep(_POLL_S)
    return process.returncode is not None


def _signal(process: asyncio.subprocess.Process, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
