"""Who wants to hear of changed memories: streams and sessions of one tenant hear of it alone."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.session import ServerSession
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    ResourcesListChanged,
    ResourceUpdated,
    ServerEvent,
)

_MAX_STREAMS: Final = 200
_MAX_WATCHED: Final = 2_000
_SESSION_HEADER: Final = "mcp-session-id"


class _Tenant:
    """One tenant's open streams."""

    def __init__(self) -> None:
        self.bus = InMemorySubscriptionBus()
        self.listen = ListenHandler(self.bus, max_subscriptions=_MAX_STREAMS)
        self.streams = 0


class Subscriptions:
    """Changes written through this server, told to those who asked for them.

    A client of the 2026-07-28 protocol keeps a stream open (`listen`); an older one names
    resources (`watch`). At most 2,000 are watched for a tenant: beyond that its oldest are
    forgotten, as nothing tells that a session is gone.
    """

    def __init__(self) -> None:
        self._tenants: dict[str, _Tenant] = {}
        self._watched: dict[str, OrderedDict[tuple[str, str], ServerSession]] = {}

    async def listen(
        self,
        tenant: str,
        ctx: ServerRequestContext[Any, Any],
        params: types.SubscriptionsListenRequestParams,
    ) -> types.SubscriptionsListenResult:
        """Serve a stream until its client leaves."""
        own = self._tenants.setdefault(tenant, _Tenant())
        own.streams += 1
        try:
            return await own.listen(ctx, params)
        finally:
            own.streams -= 1
            if own.streams == 0:
                del self._tenants[tenant]

    def watch(self, tenant: str, uri: str, ctx: ServerRequestContext[Any, Any]) -> None:
        """Tell this session when the resource changes."""
        own = self._watched.setdefault(tenant, OrderedDict())
        place = (uri, _connection(ctx))
        own[place] = ctx.session
        own.move_to_end(place)
        while len(own) > _MAX_WATCHED:
            own.popitem(last=False)

    def unwatch(self, tenant: str, uri: str, ctx: ServerRequestContext[Any, Any]) -> None:
        """Tell this session no more."""
        self._watched.get(tenant, OrderedDict()).pop((uri, _connection(ctx)), None)

    async def publish(self, tenant: str, event: ServerEvent) -> None:
        """Tell the tenant's open streams of an event."""
        own = self._tenants.get(tenant)
        if own is not None:
            await own.bus.publish(event)

    async def changed(self, tenant: str, uri: str) -> None:
        """Tell the tenant's listeners that a resource changed, and with it the list of them."""
        await self.publish(tenant, ResourceUpdated(uri))
        await self.publish(tenant, ResourcesListChanged())
        own = self._watched.get(tenant, OrderedDict())
        watching = [session for (watched, _), session in own.items() if watched == uri]
        for session in watching:
            await session.send_resource_updated(uri)  # to a session that is gone, it is dropped


def _connection(ctx: ServerRequestContext[Any, Any]) -> str:
    """The session's id; on stdio there is one connection, without."""
    return "" if ctx.request is None else ctx.request.headers.get(_SESSION_HEADER, "")
