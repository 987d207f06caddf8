"""What every request passes first: an id, who calls, how often, from where, how much it sends."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
import time
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from genesis.server.auth import Callers, bearer_of
from genesis.server.errors import problem, too_many
from genesis.server.limits import Limits, RateLimiter, TooMany
from infrastructure.callers import Caller
from infrastructure.clock import Clock, new_id
from infrastructure.observability.logs import FIELDS, REQUEST
from infrastructure.observability.serving_metrics import ServingMetrics

log = logging.getLogger("genesis.server.access")

# Open to anybody: they say nothing of anybody's runs.
PUBLIC_PATHS: Final = frozenset(
    {"/healthz", "/readyz", "/openapi.json", "/.well-known/agent-card.json"}
)
_PROBES: Final = ("/healthz", "/readyz")
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PASSED_ON: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
_LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Gate:
    """ASGI middleware around the whole server.

    Attributes:
        app: what is behind it.
        callers: tells who calls.
        limits: of one caller.
        rates: counts its requests.
        metrics: counts all requests.
        clock: makes request ids.
        guarded: path prefixes whose requests need an authenticated caller and have a bounded
            body; what is mounted elsewhere sees to both by itself, but not to how long it takes.
    """

    app: ASGIApp
    callers: Callers
    limits: Limits
    rates: RateLimiter
    metrics: ServingMetrics
    clock: Clock
    guarded: tuple[str, ...]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = _request_id(headers) or new_id(self.clock)
        caller = self.callers.authenticate(bearer_of(headers.get("authorization")))
        state = scope.setdefault("state", {})
        state["request_id"], state["caller"] = request_id, caller
        exchange = _Exchange(scope, send, request_id)
        about = {"request_id": request_id}
        if caller is not None:
            about |= {"tenant": caller.tenant, "caller": caller.name}
        bound = REQUEST.set(about)
        try:
            await self._pass(scope, headers, receive, exchange, caller)
        finally:
            self._note(exchange)
            REQUEST.reset(bound)

    async def _pass(
        self,
        scope: Scope,
        headers: Headers,
        receive: Receive,
        exchange: _Exchange,
        caller: Caller | None,
    ) -> None:
        refusal = self._refusal(scope, headers, caller, exchange.request_id)
        if refusal is None and not self._is_guarded(scope["path"]):
            receive = _hurried(receive, self.limits.body_s)
        elif refusal is None:
            body = await self._body(headers, receive, exchange.request_id)
            if isinstance(body, Response):
                refusal = body
            else:
                receive = _replayed(body, receive)
        await (refusal or self.app)(scope, receive, exchange.send)

    async def _body(self, headers: Headers, receive: Receive, request_id: str) -> bytes | Response:
        limits = self.limits
        try:
            async with asyncio.timeout(limits.body_s):
                body = await _whole_body(headers, receive, limits.body_bytes)
        except TimeoutError:
            detail = f"the body did not come within {limits.body_s:g} s"
            return problem(408, detail, request_id=request_id)
        if body is None:
            detail = f"a request may have at most {limits.body_bytes} bytes"
            return problem(413, detail, request_id=request_id)
        return body

    def _refusal(
        self, scope: Scope, headers: Headers, caller: Caller | None, request_id: str
    ) -> Response | None:
        path = scope["path"]
        if not self.callers.needed and not _from_here(headers):
            return problem(
                403,
                "this server answers its own machine alone (the Host or Origin header is another,"
                " or a proxy passed the request on); give it tokens with `genesis serve token`",
                request_id=request_id,
            )
        try:
            # Who has asked too often can still be probed.
            self.rates.take(f"{'probe ' if path in _PROBES else ''}{_who(caller, scope)}")
        except TooMany as error:
            return too_many(error, request_id)
        if caller is None and path not in PUBLIC_PATHS and self._is_guarded(path):
            return problem(
                401,
                "send a token in the `Authorization` header, as a bearer;"
                " `genesis serve token NAME` makes one",
                request_id=request_id,
                headers={"www-authenticate": 'Bearer realm="genesis"'},
            )
        return None

    def _is_guarded(self, path: str) -> bool:
        return any(path == prefix or path.startswith(f"{prefix}/") for prefix in self.guarded)

    def _note(self, exchange: _Exchange) -> None:
        """Count and log one exchange; the query is left out, it may hold what is private."""
        route, seconds = exchange.route, time.perf_counter() - exchange.began
        self.metrics.requests.labels(exchange.method, route, str(exchange.status)).inc()
        if not exchange.streamed:
            self.metrics.request_seconds.labels(route).observe(seconds)
        level = logging.DEBUG if exchange.path in _PROBES else logging.INFO
        fields = {"status": exchange.status, "ms": round(seconds * 1000, 1)}
        log.log(level, "%s %s", exchange.method, exchange.path, extra={FIELDS: fields})


class _Exchange:
    """One request and what was answered."""

    def __init__(self, scope: Scope, send: Send, request_id: str) -> None:
        self._scope = scope
        self._send = send
        self.request_id = request_id
        self.began = time.perf_counter()
        self.status = 499  # until an answer begins: the client went away
        self.streamed = False

    @property
    def method(self) -> str:
        known = self._scope["method"] in _METHODS
        return self._scope["method"] if known else "other"

    @property
    def path(self) -> str:
        return self._scope["path"][:200]

    @property
    def route(self) -> str:
        """The route's template, so that ids make no series of their own."""
        template = getattr(self._scope.get("route"), "path", None)
        if isinstance(template, str):
            return template
        return next((p for p in _MOUNTS if self.path.startswith(p)), "other")

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = self.request_id
            headers.setdefault("x-content-type-options", "nosniff")
            self.streamed = headers.get("content-type", "").startswith("text/event-stream")
        await self._send(message)


_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_MOUNTS: Final = ("/a2a", "/mcp")


def _request_id(headers: Headers) -> str:
    """The id that the client or a proxy gave, if it can stand in a log as it is."""
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else ""


def _who(caller: Caller | None, scope: Scope) -> str:
    if caller is not None:
        return f"{caller.tenant}\n{caller.name}"
    client = scope.get("client")
    return f"\n{client[0] if client else ''}"


def _from_here(headers: Headers) -> bool:
    """Whether a request came for this machine by its own name, and from no page of elsewhere.

    A page that rebinds its own name to 127.0.0.1 still sends that name. What a proxy passes on
    may come from anywhere, whatever name the proxy puts on it.
    """
    if any(name in headers for name in _PASSED_ON):
        return False
    host = headers.get("host", "")
    if _hostname(f"//{host}") not in _LOCAL_NAMES:
        return False
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc.lower() == host.lower()


def _hostname(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Whether a host to bind to, or a client's address, is this machine's own."""
    if host.lower() in _LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def _whole_body(headers: Headers, receive: Receive, limit: int) -> bytes | None:
    """The body; None when it is larger than it may be."""
    length = headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        return None
    chunks: list[bytes] = []
    read, more = 0, True
    while more:
        message = await receive()
        chunks.append(message.get("body", b""))
        read += len(chunks[-1])
        if read > limit:
            return None
        more = message.get("more_body", False)
    return b"".join(chunks)


def _hurried(receive: Receive, seconds: float) -> Receive:
    """The same, to which a client that takes too long over its body is one that went away."""
    until = asyncio.get_running_loop().time() + seconds
    complete = False

    async def hurried() -> Message:
        nonlocal complete
        if complete:
            return await receive()
        try:
            async with asyncio.timeout_at(until):
                message = await receive()
        except TimeoutError:
            return {"type": "http.disconnect"}
        complete = not message.get("more_body", False)
        return message

    return hurried


def _replayed(body: bytes, receive: Receive) -> Receive:
    waiting = [body]

    async def replay() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return replay
