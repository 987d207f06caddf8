"""The process of `genesis serve`: binds, serves, and ends without losing what it accepted."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import uvicorn

from genesis.agents.registry import AgentSource
from genesis.orchestrator import GenesisOrchestrator
from genesis.server.app import Parts, Served, build_app
from genesis.server.auth import Callers
from genesis.server.beside import BesideOptions, Places, at, bind, everything_beside
from genesis.server.connections import bounded_connections, connections_that_fit
from genesis.server.gate import is_loopback
from genesis.server.limits import Limits
from infrastructure.collector import settle_collector
from infrastructure.config import Settings
from infrastructure.errors import ConfigError

log = logging.getLogger("genesis.server")

_CLOSE_S: Final = 2
_LAST_WORDS_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """How to serve.

    Attributes:
        host, port: where to listen; port 0 takes a free one.
        grace_s: seconds that runs have to finish after the first signal.
        beside: A2A and MCP.
        limits: of one caller.
    """

    host: str = "127.0.0.1"
    port: int = 8300
    grace_s: float = 20.0
    beside: BesideOptions = field(default_factory=BesideOptions)
    limits: Limits = field(default_factory=Limits)


async def serve(
    settings: Settings,
    callers: Callers,
    options: ServeOptions,
    listening: Callable[[str], None],
    agents: Sequence[AgentSource] | None = None,
) -> None:
    """Serve until told to end by SIGTERM or SIGINT; a second signal ends at once.

    Args:
        settings: of the orchestrator.
        callers: who may call.
        options: where and how.
        listening: is told the URL once requests are answered.
        agents: to be used; None takes those that ship.

    Raises:
        ConfigError: it may not or cannot listen there.
        StoreError: memory cannot be used.
    """
    require_tokens(options.host, callers, options.beside.public_url)
    require_apart(settings, callers)
    with contextlib.closing(_bound(options.host, options.port)) as bound:
        url = f"http://{at(options.host, bound.getsockname()[1])}"
        async with GenesisOrchestrator(agents=agents, settings=settings) as orchestrator:
            memori = await orchestrator.services.memory.ready()
            places = Places(url, options.host, settings.data_dir)
            parts = Parts(
                orchestrator,
                callers,
                memori,
                options.limits,
                lambda hub: everything_beside(hub, memori, places, options.beside),
            )
            await _Process(build_app(parts), options).run(bound, lambda: listening(url))


def require_tokens(host: str, callers: Callers, public_url: str = "") -> None:
    """Refuse to listen to other machines without asking who they are.

    Raises:
        ConfigError: the host or the URL that clients are told is not loopback, and there are no
            tokens.
    """
    elsewhere = urlsplit(public_url).hostname or ""
    if elsewhere and not is_loopback(elsewhere) and not callers.needed:
        raise ConfigError(
            "--url",
            "",
            f"whoever reaches {elsewhere} would be taken for somebody of this machine: make a "
            "token with `genesis serve token NAME`, or set GENESIS_TOKEN",
        )
    if not is_loopback(host) and not callers.needed:
        raise ConfigError(
            "--host",
            "",
            f"{host} can be reached from elsewhere, and no token is asked for: make one with "
            "`genesis serve token NAME`, or set GENESIS_TOKEN",
        )


def require_apart(settings: Settings, callers: Callers) -> None:
    """Refuse several tenants where requests of one could name files of another's runs.

    Raises:
        ConfigError: the folder of runs lies inside the workspace.
    """
    runs = settings.data_dir.resolve()
    if len(callers.tenants) > 1 and runs.is_relative_to(settings.workspace.resolve()):
        raise ConfigError(
            "settings",
            "data_dir",
            f"{runs} lies inside the workspace, where every tenant may read; "
            "set GENESIS_DATA_DIR or GENESIS_WORKSPACE to another folder",
        )


def _bound(host: str, port: int) -> socket.socket:
    try:
        return bind(host, port)
    except (OSError, OverflowError) as error:
        raise ConfigError(
            "--host, --port", "", f"cannot listen on {at(host, port)}: {error}"
        ) from error


class Server(uvicorn.Server):
    """Leaves signals to us, and says when it is up."""

    def __init__(self, config: uvicorn.Config, up: Callable[[], None]) -> None:
        super().__init__(config)
        self._up = up

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            settle_collector()
            self._up()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


class _Process:
    """One serving process: the first signal drains it, the second ends it."""

    def __init__(self, served: Served, options: ServeOptions) -> None:
        self._served = served
        self._options = options
        self._told = asyncio.Event()
        self._told_twice = asyncio.Event()

    async def run(self, bound: socket.socket, up: Callable[[], None]) -> None:
        config = uvicorn.Config(
            self._served.app,
            log_config=None,
            access_log=False,
            lifespan="on",
            proxy_headers=False,
            server_header=False,
            ws="none",
            http=bounded_connections(connections_that_fit()),
            timeout_graceful_shutdown=_CLOSE_S,
        )
        server = Server(config, up)
        with self._signals():
            async with asyncio.TaskGroup() as group:
                ending = group.create_task(self._end_when_told(server))
                await server.serve([bound])
                ending.cancel()
        if not server.started:
            raise ConfigError("genesis serve", "", "did not start; the log says why")

    async def _end_when_told(self, server: uvicorn.Server) -> None:
        await self._told.wait()
        log.info("ends: takes no new runs, and lets what runs finish")
        hub = self._served.hub
        async with asyncio.TaskGroup() as group:
            hurrying = group.create_task(self._hurry_when_told())
            # Requests are answered meanwhile: who waits for a run gets it, probes see 503.
            await hub.drain(self._options.grace_s)
            hurrying.cancel()
        server.should_exit = True

    async def _hurry_when_told(self) -> None:
        await self._told_twice.wait()
        await self._served.hub.drain(0)

    @contextlib.contextmanager
    def _signals(self) -> Generator[None]:
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGTERM, signal.SIGINT)
        for number in numbers:
            loop.add_signal_handler(number, self._on_signal, number)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    def _on_signal(self, number: int) -> None:
        if not self._told.is_set():
            self._told.set()
            return
        log.warning("told twice: ends at once; runs go on at the next start")
        self._told_twice.set()
        # What is cut off may hang, and whoever holds a connection too. The journal has all that
        # matters.
        timer = threading.Timer(_LAST_WORDS_S, os._exit, (128 + number,))
        timer.daemon = True
        timer.start()
