"""How many MCP sessions a tenant may hold open, so that one cannot take those of all others."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from genesis.server.mcp_auth import caller_of_request

_SESSION: Final = "mcp-session-id"
_RETRY_S: Final = "60"
_NOT_FOUND: Final = 404
_REFUSED: Final = {
    "jsonrpc": "2.0",
    "id": None,
    "error": {"code": -32000, "message": "too many open sessions: end some with DELETE, or wait"},
}


@dataclass(slots=True)
class _Session:
    tenant: str
    used_at: float
    requests: int = 0  # under way; a stream of events is one


class SharedSessions:
    """An ASGI app that opens no more sessions for a tenant than its share.

    The SDK bounds all sessions together and tells nobody which are open; here they are counted as
    they are opened, used and ended. One that is idle for as long as the SDK keeps it is gone.

    Args:
        app: what is behind it; callers are authenticated.
        share: sessions of one tenant.
        idle_s: seconds without a request after which a session is gone.
        now: monotonic seconds.
    """

    def __init__(
        self, app: ASGIApp, share: int, idle_s: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._app = app
        self._share = share
        self._idle_s = idle_s
        self._now = now
        self._sessions: dict[str, _Session] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, unless it would open one session too many."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        tenant = caller_of_request().tenant
        known = Headers(scope=scope).get(_SESSION)
        if known is None:
            await self._opening(tenant, scope, receive, send)
            return
        session = self._sessions.get(known)
        if session is None or session.tenant != tenant:  # the SDK says that there is none
            await self._app(scope, receive, send)
            return
        session.requests += 1
        try:
            await self._app(scope, receive, self._noting_its_end(known, scope, send))
        finally:
            session.requests -= 1
            session.used_at = self._now()

    async def _opening(self, tenant: str, scope: Scope, receive: Receive, send: Send) -> None:
        gone = self._now() - self._idle_s
        for name, each in list(self._sessions.items()):
            if not each.requests and each.used_at <= gone:
                del self._sessions[name]
        if sum(each.tenant == tenant for each in self._sessions.values()) >= self._share:
            refused = JSONResponse(_REFUSED, 429, headers={"retry-after": _RETRY_S})
            await refused(scope, receive, send)
            return

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                opened = Headers(raw=message["headers"]).get(_SESSION)
                if opened is not None:
                    self._sessions[opened] = _Session(tenant, self._now())
            await send(message)

        await self._app(scope, receive, noting)

    def _noting_its_end(self, session: str, scope: Scope, send: Send) -> Send:
        async def noting(message: Message) -> None:
            ended = message["type"] == "http.response.start" and (
                message["status"] == _NOT_FOUND
                or (scope["method"] == "DELETE" and message["status"] < _NOT_FOUND)
            )
            if ended:
                self._sessions.pop(session, None)
            await send(message)

        return noting
