"""The memory over stdin and stdout, so that a signal ends it at once.

The SDK reads stdin in a thread, which nothing can stop while the client is silent: the process
would hang at SIGTERM and Ctrl-C. Here the event loop reads it, line by line and within a bound.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import sys
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager
from typing import Any, Final, Self, cast

import anyio
from mcp.server.stdio import stdio_server

from genesis.server.mcp_handlers import memory_server
from infrastructure.callers import Caller
from infrastructure.embeddings.embedder import Embedder
from infrastructure.memory.memori.engine import Memori

log = logging.getLogger("genesis.server.mcp")

_MAX_LINE: Final = 4 * 1024 * 1024
_TOO_LONG: Final = "a line was longer than a message may be\n"  # no JSON: answered as an error


async def serve_stdio(
    memori: Memori, caller: Caller, *, embedder: Embedder | None = None, test_mode: bool = False
) -> None:
    """Serve the memory over stdin and stdout until stdin ends.

    Meanwhile stdout leads to stderr for everybody else, so that nothing stray gets among messages.

    Args:
        memori: the open database.
        caller: whose memory it is, and the name that provenance gives to what is written.
        embedder: searches by meaning too; None by words alone.
        test_mode: adds the fixtures that MCP's conformance kit asks for.
    """
    server = memory_server(memori, lambda: caller, embedder=embedder, test_mode=test_mode)
    try:
        async with _wire() as (reading, writing):
            await server.run(reading, writing, server.create_initialization_options())
    except* BrokenPipeError:
        log.info("the client is gone: nobody reads the answers")


@asynccontextmanager
async def _wire() -> AsyncGenerator[tuple[Any, Any]]:
    if not _can_be_watched(0):
        async with stdio_server() as streams:
            yield streams
        return
    with ExitStack() as stack:
        incoming = os.fdopen(os.dup(0), "rb", buffering=0)
        outgoing = stack.enter_context(os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n"))
        sys.stdout.flush()
        os.dup2(2, 1)
        reader = asyncio.StreamReader(limit=_MAX_LINE)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), incoming
        )
        stack.callback(os.set_blocking, 0, True)  # a terminal is the shell's, too
        stack.callback(transport.close)
        lines = cast("anyio.AsyncFile[str]", _Lines(reader))
        async with stdio_server(lines, anyio.wrap_file(outgoing)) as streams:
            yield streams


def _can_be_watched(descriptor: int) -> bool:
    """Whether the event loop can wait for it: a pipe, a socket, a terminal, but no file."""
    status, output = os.fstat(descriptor), os.fstat(1)
    if stat.S_ISSOCK(status.st_mode):
        # One socket for both ways would stop waiting for its reader too.
        return (status.st_dev, status.st_ino) != (output.st_dev, output.st_ino)
    return stat.S_ISFIFO(status.st_mode) or os.isatty(descriptor)


class _Lines:
    """What the SDK reads from: lines of text."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        try:
            line = await self._reader.readline()
        except ValueError:  # beyond the limit; what follows of the line is no message either
            return _TOO_LONG
        if not line:
            raise StopAsyncIteration
        return line.decode("utf-8", errors="replace")
