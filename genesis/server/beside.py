"""What is served beside the REST API: A2A over HTTP and gRPC, and the memory over MCP."""

from __future__ import annotations

import importlib.util
import logging
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from starlette.routing import Route

import genesis
from genesis.server import test_mode
from genesis.server.app import Beside
from genesis.server.hub import Hub
from genesis.server.orchestrator_agent import served_orchestrator
from infrastructure.a2a.serving import A2AServer, CardSigner, PushPolicy, ServedAgent
from infrastructure.errors import ConfigError
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.store import MemoriStore

log = logging.getLogger("genesis.server")

MCP_PATH: Final = "/mcp"
_KEY_FILE: Final = "a2a_card_key.pem"
_EVERYWHERE: Final = ("0.0.0.0", "::", "[::]")  # noqa: S104 - looked for, not bound to
_GRPC_GRACE_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class BesideOptions:
    """What is served beside the REST API.

    Attributes:
        a2a, mcp: whether they are.
        grpc_port: where A2A listens for gRPC, 0 for a free port; None for not at all.
        a2a_test_mode, mcp_test_mode: answer what the conformance kits ask.
        public_url: where clients reach the server, when that is not where it listens.
    """

    a2a: bool = True
    mcp: bool = True
    grpc_port: int | None = None
    a2a_test_mode: bool = False
    mcp_test_mode: bool = False
    public_url: str = ""


@dataclass(frozen=True, slots=True)
class Places:
    """Where the server is.

    Attributes:
        url: where it listens.
        host: the same, as a name or an address.
        data_dir: takes the key that signs the A2A card.
    """

    url: str
    host: str
    data_dir: Path


def everything_beside(
    hub: Hub, memori: Memori, places: Places, options: BesideOptions
) -> Sequence[Beside]:
    """What the options ask for.

    Raises:
        ConfigError: something of it cannot be served.
    """
    beside: list[Beside] = []
    if places.host in _EVERYWHERE and not options.public_url and (options.a2a or options.mcp):
        log.warning("--url is not set: A2A's card and MCP's check of hosts name %s", places.host)
    if options.a2a:
        beside.append(_a2a(hub, memori, places, options))
    if options.mcp:
        beside += _mcp(hub, memori, places, options)
    return beside


def _a2a(hub: Hub, memori: Memori, places: Places, options: BesideOptions) -> Beside:
    port = _grpc_port(places.host, options.grpc_port)
    address = "" if port is None else at(places.host, port)
    public = options.public_url or places.url
    shown = "" if port is None else at(urlsplit(public).hostname or places.host, port)
    testing = options.a2a_test_mode
    server = A2AServer(
        _tested() if testing else served_orchestrator(hub.worker, genesis.__version__),
        url=public,
        grpc_url=shown,
        authenticate=hub.callers.authenticate,
        store=MemoriStore(memori),
        push=PushPolicy(allowed_hosts=test_mode.PUSH_HOSTS if testing else ()),
        signer=_signer(places.data_dir),
    )

    @asynccontextmanager
    async def lifespan() -> AsyncGenerator[None]:
        await server.start(hub.callers.tenants)
        grpc = server.grpc(address) if address else None
        try:
            if grpc is not None:
                await grpc.start()
                log.info("A2A over gRPC on %s", address)
            yield
        finally:
            if grpc is not None:
                await grpc.stop(_GRPC_GRACE_S)
            await server.aclose()

    return Beside(server.routes, lifespan)


def _tested() -> ServedAgent:
    agent = test_mode.TestModeAgent()
    return ServedAgent(agent, idempotent=False, input_modes=test_mode.INPUT_MODES)


def _signer(data_dir: Path) -> CardSigner | None:
    if importlib.util.find_spec("cryptography") is None:
        log.warning("the A2A card is not signed: pip install 'genesis-orchestrator[a2a]'")
        return None
    return CardSigner.load_or_create(data_dir / _KEY_FILE)


def _grpc_port(host: str, port: int | None) -> int | None:
    """The port, which has to be on the card before anything listens there."""
    if port != 0:
        return port
    try:
        with bind(host, 0) as probe:
            return int(probe.getsockname()[1])
    except OSError as error:
        raise ConfigError("--grpc-port", "", f"no port is free on {host}: {error}") from error


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one.

    Raises:
        OSError: it cannot.
    """
    name = host.strip("[]")
    family = socket.AF_INET6 if ":" in name else socket.AF_INET
    return socket.create_server((name, port), family=family, backlog=2048)


def at(host: str, port: int) -> str:
    """Host and port as they stand in a URL."""
    name = host.strip("[]")
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


def _mcp(hub: Hub, memori: Memori, places: Places, options: BesideOptions) -> list[Beside]:
    if importlib.util.find_spec("mcp") is None:
        log.warning("MCP is not served: pip install 'genesis-orchestrator[mcp]'")
        return []
    from genesis.server.mcp import LOOPBACK_HOSTS, mcp_app

    named = {urlsplit(place).hostname or "" for place in (places.url, options.public_url)}
    app = mcp_app(
        memori,
        hub.callers.authenticate,
        embedder=hub.orchestrator.services.embedder,
        hosts=(*LOOPBACK_HOSTS, *sorted(named - {""} - set(LOOPBACK_HOSTS))),
        test_mode=options.mcp_test_mode,
    )
    return [Beside([Route(MCP_PATH, endpoint=app.endpoint)], app.lifespan)]
