"""A real A2A server on loopback with all three bindings, for tests."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc.aio
import httpx
import pytest
from loopback import Served
from serving_wires import Grpc, JsonRpc, Rest, Wire

from infrastructure.a2a.serving import JSONRPC_PATH, REST_PATH, A2AServer

Serve: TypeAlias = Callable[[Callable[[str], Any]], Awaitable[Served]]


@dataclass
class World:
    """A server that runs, and the ways to reach it."""

    server: A2AServer
    url: str
    grpc_address: str
    http: httpx.AsyncClient
    served: Served
    grpc_server: Any
    channel: Any
    stopped: bool = False

    def wire(self, binding: str, token: str = "") -> Wire:
        """One binding, as whoever holds the token."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        if binding == "JSONRPC":
            return JsonRpc(self.http, self.url + JSONRPC_PATH, headers)
        if binding == "HTTP+JSON":
            return Rest(self.http, self.url + REST_PATH, headers)
        return Grpc(self.channel, headers)

    async def stop(self) -> None:
        """As a server that is told to; once."""
        if self.stopped:
            return
        self.stopped = True
        await self.channel.close()
        await self.http.aclose()
        await self.grpc_server.stop(0)
        await self.served.stop()


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Worlds:
    """Opens servers, and stops those that nobody stopped."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._opened: list[World] = []

    async def __call__(self, make: Callable[[str, str], A2AServer]) -> World:
        """Serve what a function makes for an HTTP URL and a gRPC address."""
        address = f"127.0.0.1:{free_port()}"
        made: list[A2AServer] = []

        def app(url: str) -> Any:
            made.append(make(url, address))
            return made[0].app()

        served = await self._serve(app)
        grpc_server = made[0].grpc(address)
        await grpc_server.start()
        channel = grpc.aio.insecure_channel(address)
        http = httpx.AsyncClient(timeout=20)
        world = World(made[0], served.url, address, http, served, grpc_server, channel)
        self._opened.append(world)
        return world

    async def aclose(self) -> None:
        """Stop what still runs."""
        for world in self._opened:
            await world.stop()


@pytest.fixture
async def worlds(serve: Serve) -> AsyncIterator[Worlds]:
    """Opens servers for one test."""
    opened = Worlds(serve)
    yield opened
    await opened.aclose()
