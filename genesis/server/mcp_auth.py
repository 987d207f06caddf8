"""Who calls the MCP endpoint: the bearer token, checked before anything of a request is read."""

from __future__ import annotations

from mcp.server.auth.middleware.auth_context import AuthContextMiddleware, get_access_token
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser, RequireAuthMiddleware
from mcp.server.auth.provider import AccessToken
from starlette.authentication import AuthCredentials, AuthenticationBackend, BaseUser
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp

from genesis.server.auth import bearer_of
from infrastructure.callers import Authenticate, Caller
from infrastructure.errors import InputError


class _TokenBackend(AuthenticationBackend):
    """The SDK's way to say who calls, from our `Authenticate`.

    The SDK's own backend asks its verifier only where there is a token; ours also asks without
    one, because a server on loopback may admit whoever is there.
    """

    def __init__(self, authenticate: Authenticate) -> None:
        self._authenticate = authenticate

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser] | None:
        caller = self._authenticate(bearer_of(conn.headers.get("authorization")))
        if caller is None:
            return None
        # The SDK compares name and tenant with those that opened a session; the token is not kept.
        token = AccessToken(token="", client_id=caller.name, subject=caller.tenant, scopes=[])
        return AuthCredentials(), AuthenticatedUser(token)


def authenticated(app: ASGIApp, authenticate: Authenticate) -> ASGIApp:
    """The app, which answers 401 to whoever `authenticate` refuses."""
    guarded = AuthContextMiddleware(RequireAuthMiddleware(app, []))
    return AuthenticationMiddleware(guarded, _TokenBackend(authenticate))


def caller_of_request() -> Caller:
    """Who sent the request that is being answered.

    Raises:
        InputError: nobody was authenticated; no request gets here so.
    """
    token = get_access_token()
    if token is None or token.subject is None:
        raise InputError("this request has no authenticated caller")
    return Caller(token.subject, token.client_id)
