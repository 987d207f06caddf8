"""Who calls, found out on every transport alike, and whose tasks they are."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any, Final

from a2a.auth.user import User
from a2a.extensions.common import HTTP_EXTENSION_HEADER, get_requested_extensions
from a2a.server.context import ServerCallContext
from a2a.server.routes.common import DefaultServerCallContextBuilder
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import InvalidParamsError
from starlette.requests import Request

from infrastructure.callers import Authenticate, Caller

SCOPE_KEY: Final = "genesis.caller"
RESUMED: Final = "genesis.resumed"
ANONYMOUS: Final = Caller("default", "anonymous")


class CallerUser(User):
    """A caller as the SDK knows users; the tenant is part of the name, so that owners differ."""

    def __init__(self, caller: Caller, *, authenticated: bool) -> None:
        self.caller = caller
        self._authenticated = authenticated

    @property
    def is_authenticated(self) -> bool:
        """Whether a token said who it is."""
        return self._authenticated

    @property
    def user_name(self) -> str:
        """Tenant and name."""
        return f"{self.caller.tenant}\n{self.caller.name}"


def caller_of(context: ServerCallContext) -> Caller:
    """Who makes a call; what no transport of ours has let in is nobody."""
    user = context.user
    return user.caller if isinstance(user, CallerUser) else ANONYMOUS


def owner_of(context: ServerCallContext) -> str:
    """The SDK's owner of what a call stores: tenant and caller."""
    caller = caller_of(context)
    return f"{caller.tenant}\n{caller.name}"


def context_of(caller: Caller) -> ServerCallContext:
    """A context for work that goes on after a restart, in the name of whoever asked for it."""
    return ServerCallContext(user=CallerUser(caller, authenticated=True))


def check_tenant(context: ServerCallContext) -> None:
    """Refuse a call that names another tenant than its token's.

    Raises:
        InvalidParamsError: it does.
    """
    if context.tenant and context.tenant != caller_of(context).tenant:
        raise InvalidParamsError(message="the tenant is that of the token; leave it out")


def bearer_token(headers: Mapping[str, str]) -> str | None:
    """The token of an `Authorization: Bearer` header; None without one."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def identify(authenticate: Authenticate | None, token: str | None) -> CallerUser | None:
    """Who holds a token; None refuses. Where nobody needs one, everybody is the same caller."""
    if authenticate is None:
        return CallerUser(ANONYMOUS, authenticated=False)
    caller = authenticate(token)
    return None if caller is None else CallerUser(caller, authenticated=True)


def one_token(token: str) -> Authenticate:
    """Lets in whoever holds the one token."""

    def authenticate(given: str | None) -> Caller | None:
        right = given is not None and hmac.compare_digest(given.encode(), token.encode())
        return Caller("default", "token") if right else None

    return authenticate


class HttpContexts(DefaultServerCallContextBuilder):
    """Calls over HTTP: the gate in front has found out who calls."""

    def build_user(self, request: Request) -> User:
        """Whom the gate let in."""
        return request.scope[SCOPE_KEY]


def wire_context(user: CallerUser, headers: Mapping[str, str]) -> ServerCallContext:
    """The context of a call whose headers are known, from gRPC's metadata."""
    extensions = headers.get(HTTP_EXTENSION_HEADER.lower(), "")
    state: dict[str, Any] = {"headers": dict(headers)}
    return ServerCallContext(
        user=user,
        state=state,
        requested_extensions=get_requested_extensions([extensions] if extensions else []),
    )


def same_request(earlier: pb.Message, later: pb.Message) -> bool:
    """Whether two messages of one id ask for the same; metadata may tell of another try."""
    other_context = later.context_id and later.context_id != earlier.context_id
    return list(earlier.parts) == list(later.parts) and not other_context
