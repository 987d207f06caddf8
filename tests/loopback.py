"""Real servers on loopback, for tests of what crosses a wire."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import pytest
import uvicorn

App: TypeAlias = Callable[..., Awaitable[None]]


class _Server(uvicorn.Server):
    """Stops the moment it is told to, where uvicorn looks ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.told_to_stop = asyncio.Event()
        self.is_up = asyncio.Event()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        self.is_up.set()
        await self.told_to_stop.wait()


@dataclass
class Served:
    """A server on a loopback port."""

    url: str
    server: _Server
    task: asyncio.Task[None]

    async def stop(self) -> None:
        self.server.told_to_stop.set()
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
        server = _Server(config)
        task = asyncio.create_task(server.serve([listening]))
        await server.is_up.wait()
        running.append(Served(url, server, task))
        return running[-1]

    yield start
    for served in running:
        await served.stop()
