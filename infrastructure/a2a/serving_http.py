"""What stands in front of A2A over HTTP: who calls, how often, how much, and in what type."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from typing import Final

from a2a.server.request_handlers.response_helpers import build_error_response
from a2a.types import a2a_pb2 as pb
from a2a.utils.error_handlers import build_rest_error_payload
from a2a.utils.errors import A2AError, ContentTypeNotSupportedError
from google.protobuf.json_format import MessageToDict
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infrastructure.a2a.serving_callers import SCOPE_KEY, bearer_token, identify
from infrastructure.a2a.serving_rate import Rates
from infrastructure.a2a.types import EXTENSION
from infrastructure.callers import Authenticate
from infrastructure.jsonvalue import JsonObject

JSONRPC_PATH: Final = "/a2a/jsonrpc"
REST_PATH: Final = "/a2a/rest"
CARD_PATH: Final = "/.well-known/agent-card.json"
CARD_MAX_AGE_S: Final = 300

_JSON_TYPES: Final = frozenset({"application/json", "application/a2a+json"})


@dataclass(frozen=True, slots=True)
class Gate:
    """An ASGI app that lets in only what may reach the SDK.

    Args:
        app: what is behind it.
        binding: "JSONRPC" or "HTTP+JSON"; errors look different.
        authenticate: see `infrastructure.callers`; None lets everybody in as the same caller.
        rates: counts requests by caller, and refused ones by address.
        max_body_bytes: larger requests are refused.
    """

    app: ASGIApp
    binding: str
    authenticate: Authenticate | None
    rates: Rates
    max_body_bytes: int

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check one request; nothing of it is parsed before."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        address = scope["client"][0] if scope.get("client") else ""
        if self.rates.exhausted(f"address {address}"):
            await _refuse(send, 429, "too many requests without a valid token; try later")
            return
        user = identify(self.authenticate, bearer_token(headers))
        if user is None:
            self.rates.take(f"address {address}")
            await _refuse(send, 401, "this agent needs its bearer token")
            return
        who = user.user_name if user.is_authenticated else f"{user.user_name} {address}"
        if not self.rates.take(who):
            await _refuse(send, 429, "too many requests; try later")
            return
        scope[SCOPE_KEY] = user
        await self._admit(scope, headers, receive, send)

    async def _admit(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        length = headers.get("content-length", "")
        too_large = f"requests may have at most {self.max_body_bytes} bytes"
        if length.isdigit() and int(length) > self.max_body_bytes:
            await _refuse(send, 413, too_large)
            return
        # Read here, before the SDK: it answers 200 to a body that breaks off on the way.
        body = await self._body(receive)
        if body is None:
            await _refuse(send, 413, too_large)
            return
        has_body = scope["method"] in ("POST", "PUT", "PATCH") and (body or kind)
        if has_body and kind not in _JSON_TYPES:
            await _refuse_type(self.binding, send)
            return
        asked = headers.get("a2a-extensions", "")
        answer = _naming_extensions(send) if EXTENSION in asked else send
        await self.app(scope, _replaying(body, receive), answer)

    async def _body(self, receive: Receive) -> bytes | None:
        chunks: list[bytes] = []
        read = 0
        while True:
            message = await receive()
            chunks.append(message.get("body", b""))
            read += len(chunks[-1])
            if read > self.max_body_bytes:
                return None
            if not message.get("more_body", False):
                return b"".join(chunks)


def card_route(card: pb.AgentCard) -> Route:
    """The route that shows a card, cached by whoever asks again."""
    # Exactly what was signed; the SDK's own route adds fields of older protocols.
    shown = MessageToDict(card)
    unsigned = {name: value for name, value in shown.items() if name != "signatures"}
    digest = hashlib.sha256(json.dumps(unsigned, sort_keys=True).encode()).hexdigest()
    made_at = int(time.time())
    headers = {
        "ETag": f'W/"{digest[:32]}"',
        "Last-Modified": formatdate(made_at, usegmt=True),
        "Cache-Control": f"public, max-age={CARD_MAX_AGE_S}",
    }

    async def show(request: Request) -> Response:
        if _unchanged(request.headers, headers["ETag"], made_at):
            return Response(status_code=304, headers=headers)
        return JSONResponse(shown, headers=headers)

    return Route(CARD_PATH, show, methods=["GET"])


def json_route(path: str, shown: JsonObject) -> Route:
    """A route that shows a JSON document to everybody."""

    async def show(request: Request) -> Response:
        return JSONResponse(shown, headers={"Cache-Control": f"public, max-age={CARD_MAX_AGE_S}"})

    return Route(path, show, methods=["GET"])


def _unchanged(headers: Headers, etag: str, made_at: int) -> bool:
    known = headers.get("if-none-match")
    if known is not None:
        tags = {tag.strip().removeprefix("W/") for tag in known.split(",")}
        return "*" in tags or etag.removeprefix("W/") in tags
    try:
        since = parsedate_to_datetime(headers.get("if-modified-since", ""))
        return since.timestamp() >= made_at
    except ValueError:
        return False


def _replaying(body: bytes, receive: Receive) -> Receive:
    waiting = [body]

    async def replay() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return replay


def _naming_extensions(send: Send) -> Send:
    async def named(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"a2a-extensions", EXTENSION.encode())]
        await send(message)

    return named


async def _refuse_type(binding: str, send: Send) -> None:
    """Each binding says in its own way that it does not know a content type."""
    error: A2AError = ContentTypeNotSupportedError("send application/json or application/a2a+json")
    if binding == "JSONRPC":
        await _send_json(send, 200, build_error_response(None, error))
        return
    body = build_rest_error_payload(error)
    await _send_json(send, body["error"]["code"], body)


async def _refuse(send: Send, status: int, reason: str) -> None:
    names = {401: "UNAUTHENTICATED", 413: "INVALID_ARGUMENT", 429: "RESOURCE_EXHAUSTED"}
    body = {"error": {"code": status, "status": names[status], "message": reason}}
    extra = {401: [(b"www-authenticate", b"Bearer")], 429: [(b"retry-after", b"10")]}
    await _send_json(send, status, body, extra.get(status, []))


async def _send_json(
    send: Send, status: int, body: object, extra: list[tuple[bytes, bytes]] | None = None
) -> None:
    headers = [(b"content-type", b"application/json"), *(extra or [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})
