from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import pytest
import uvicorn

App: TypeAlias = Callable[..., Awaitable[None]]


@dataclass
class Served:
    """A server on a loopback port."""

    url: str
    server: uvicorn.Server
    task: asyncio.Task[None]

    async def stop(self) -> None:
        self.server.should_exit = True
        await self.task

    async def kill(self) -> None:
        """Drop every connection at once, as a killed process would."""
        for connection in list(self.server.server_state.connections):
            transport: Any = getattr(connection, "transport", None)
            transport.abort()
        for listener in self.server.servers:
            listener.close()
        self.server.force_exit = True
        await self.stop()


Serve: TypeAlias = Callable[[Callable[[str], App]], Awaitable[Served]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Serves the app that a function makes for the URL it will have."""
    running: list[Served] = []

    async def start(make: Callable[[str], App]) -> Served:
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        config = uvicorn.Config(make(url), log_level="critical", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve([listening]))
        while not server.started:  # noqa: ASYNC110 - uvicorn offers no event
            await asyncio.sleep(0.005)
        running.append(Served(url, server, task))
        return running[-1]

    yield start
    for served in running:
        await served.stop()
