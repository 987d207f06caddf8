"""What is served beside the REST API: A2A and MCP."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from starlette.routing import Route

from genesis.orchestrator import GenesisOrchestrator
from genesis.server.app import Beside
from genesis.server.auth import Callers
from infrastructure.memory.memori.engine import Memori

log = logging.getLogger("genesis.server")

MCP_PATH: Final = "/mcp"


@dataclass(frozen=True, slots=True)
class BesideOptions:
    """What is served beside the REST API.

    Attributes:
        a2a, mcp: whether they are.
        grpc_port: where A2A listens for gRPC; None for not at all.
        a2a_test_mode, mcp_test_mode: answer the conformance kits' fixtures.
        public_url: where clients reach the server, when that is not where it listens.
    """

    a2a: bool = True
    mcp: bool = True
    grpc_port: int | None = None
    a2a_test_mode: bool = False
    mcp_test_mode: bool = False
    public_url: str = ""


async def everything_beside(
    orchestrator: GenesisOrchestrator,
    memori: Memori,
    callers: Callers,
    url: str,
    options: BesideOptions,
) -> Sequence[Beside]:
    """What the options ask for.

    Args:
        orchestrator: what A2A asks.
        memori: what MCP reads and writes.
        callers: who may call.
        url: where the server listens.
        options: what is asked for.
    """
    beside: list[Beside] = []
    if options.mcp:
        beside += _mcp(orchestrator, memori, callers, url, options)
    return beside


def _mcp(
    orchestrator: GenesisOrchestrator,
    memori: Memori,
    callers: Callers,
    url: str,
    options: BesideOptions,
) -> list[Beside]:
    if importlib.util.find_spec("mcp") is None:
        log.warning("MCP is not served: install it with `pip install 'genesis-orchestrator[mcp]'`")
        return []
    from genesis.server.mcp import LOOPBACK_HOSTS, mcp_app

    named = {urlsplit(place).hostname or "" for place in (url, options.public_url)}
    app = mcp_app(
        memori,
        callers.authenticate,
        embedder=orchestrator.services.embedder,
        hosts=(*LOOPBACK_HOSTS, *sorted(named - {""} - set(LOOPBACK_HOSTS))),
        test_mode=options.mcp_test_mode,
    )
    return [Beside([Route(MCP_PATH, endpoint=app.endpoint)], app.lifespan)]
