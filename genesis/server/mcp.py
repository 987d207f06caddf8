"""The memory as an MCP server over streamable HTTP, for whoever mounts it.

Who calls is found out from the bearer token; no argument of a tool names a tenant. What tools,
resources and prompts there are stands in `mcp_handlers`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.types import ASGIApp

from genesis.server.mcp_auth import authenticated, caller_of_request
from genesis.server.mcp_handlers import memory_server
from genesis.server.mcp_sessions import SharedSessions
from infrastructure.callers import Authenticate
from infrastructure.embeddings.embedder import Embedder
from infrastructure.memory.memori.engine import Memori

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]")
_SESSION_IDLE_S = 900.0
_MAX_SESSIONS = 1_000
_SESSIONS_OF_A_TENANT = 250
_MAX_BODY_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class McpApp:
    """The MCP endpoint, to be mounted: `Route("/mcp", endpoint=app.endpoint)`.

    Attributes:
        endpoint: the ASGI app of the one path; it authenticates by itself.
        server: the SDK's server behind it.
    """

    endpoint: ASGIApp
    server: Server[None]
    _sessions: StreamableHTTPSessionManager

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Serve while the context lasts; once only. Open sessions end with it."""
        async with self._sessions.run():
            yield


def mcp_app(
    memori: Memori,
    authenticate: Authenticate,
    *,
    embedder: Embedder | None = None,
    hosts: Sequence[str] = LOOPBACK_HOSTS,
    origins: Sequence[str] = (),
    test_mode: bool = False,
) -> McpApp:
    """The memory over streamable HTTP.

    Args:
        memori: the open database; the tenant comes from the caller. Whoever opened it closes it.
        authenticate: who calls, from the bearer token; None answers 401.
        embedder: searches by meaning too; None searches by words alone.
        hosts: names, without port, that the `Host` header may have, against DNS rebinding.
        origins: `Origin` headers allowed beside those of `hosts` ("https://chat.example.com").
        test_mode: adds the fixtures that MCP's conformance kit asks for.
    """
    server = memory_server(memori, caller_of_request, embedder=embedder, test_mode=test_mode)
    sessions = StreamableHTTPSessionManager(
        app=server,
        security_settings=_transport_security(hosts, origins),
        session_idle_timeout=_SESSION_IDLE_S,
        max_sessions=_MAX_SESSIONS,
        max_request_body_size=_MAX_BODY_BYTES,
    )
    shared = SharedSessions(StreamableHTTPASGIApp(sessions), _SESSIONS_OF_A_TENANT, _SESSION_IDLE_S)
    endpoint = authenticated(shared, authenticate)
    return McpApp(endpoint, server, sessions)


def _transport_security(hosts: Sequence[str], origins: Sequence[str]) -> TransportSecuritySettings:
    with_ports = [*hosts, *(f"{host}:*" for host in hosts)]
    own = [f"{scheme}://{host}" for host in with_ports for scheme in ("http", "https")]
    return TransportSecuritySettings(allowed_hosts=with_ports, allowed_origins=[*own, *origins])
