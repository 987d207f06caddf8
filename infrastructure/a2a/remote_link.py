"""One way to one agent: the binding that its card prefers, pinned to where the card was read."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

import httpx
from a2a.client import Client, ClientConfig, ClientFactory
from a2a.client.client import ClientCallContext
from a2a.types import a2a_pb2 as pb

from infrastructure.a2a.remote_grpc import GrpcPlace, grpc_is_installed, open_channel
from infrastructure.errors import AgentError, InputError
from infrastructure.net.addresses import names_private, origin_of
from infrastructure.net.http import Limits, guarded_client

Responses: TypeAlias = AsyncGenerator[pb.StreamResponse]

JSONRPC, HTTP_JSON, GRPC = BINDINGS = ("JSONRPC", "HTTP+JSON", "GRPC")

_CALL_S = 30.0
# An agent that cannot stream and answers with the result alone says nothing until it has it.
_UNSTREAMED_S = 600.0


@dataclass(frozen=True, slots=True)
class Target:
    """Where an agent is and how it may be talked to.

    Attributes:
        url: where its card is read; nothing leaves this host.
        token: bearer token, for this host only.
        allow_private: whether the host may be at a loopback or private address; None allows it
            where the URL itself names such an address.
        timeout_s: seconds without a byte before a connection counts as lost.
        limits: how much it may answer.
        bindings: protocol bindings that may be used.
        max_events: events of one task; who sends more never ends.
    """

    url: str
    token: str | None = field(default=None, repr=False)
    allow_private: bool | None = None
    timeout_s: float = 30.0
    limits: Limits = field(default_factory=Limits)
    bindings: tuple[str, ...] = BINDINGS
    max_events: int = 20_000

    def __post_init__(self) -> None:
        token = self.token
        if token is not None and not (token.isascii() and token.isprintable() and token.strip()):
            # Caught here, since the libraries would show it in their complaints.
            raise InputError(f"the token for {self.url} must be printable ASCII text")
        origin_of(self.url)

    @property
    def private_is_fine(self) -> bool:
        """Whether the host may lead to a private address."""
        if self.allow_private is None:
            return names_private(origin_of(self.url)[1])
        return self.allow_private

    def http(self) -> httpx.AsyncClient:
        """A client for the origin."""
        return guarded_client(
            self.url,
            headers={"Authorization": f"Bearer {self.token}"} if self.token else None,
            allow_private=self.private_is_fine,
            timeout_s=self.timeout_s,
            limits=self.limits,
        )


class Link:
    """The SDK's client, over one binding.

    Attributes:
        binding: JSONRPC, HTTP+JSON or GRPC.
        streams: whether the agent can stream.
        silence_s: seconds without an event after which a stream counts as lost; None where the
            connection itself notices.
    """

    def __init__(
        self, target: Target, client: Client, wire: pb.AgentCard, place: GrpcPlace | None
    ) -> None:
        self._client = client
        self.binding = wire.supported_interfaces[0].protocol_binding
        self._place = place
        self.streams = wire.capabilities.streaming
        self.silence_s = target.timeout_s if place else None
        headers = {"authorization": f"Bearer {target.token}"} if place and target.token else None
        self._stream_call = ClientCallContext(service_parameters=headers)
        self._call = ClientCallContext(service_parameters=headers, timeout=_CALL_S)
        self._long_call = ClientCallContext(service_parameters=headers, timeout=_UNSTREAMED_S)

    def send(self, message: pb.Message) -> Responses:
        """Send a message; an agent that cannot stream is asked to answer at once with its task."""
        request = pb.SendMessageRequest(message=message)
        if self.streams:
            return cast("Responses", self._client.send_message(request, context=self._stream_call))
        request.configuration.return_immediately = True
        return cast("Responses", self._client.send_message(request, context=self._long_call))

    def subscribe(self, task_id: str) -> Responses:
        """Follow a task that is under way."""
        request = pb.SubscribeToTaskRequest(id=task_id)
        return cast("Responses", self._client.subscribe(request, context=self._stream_call))

    async def task(self, task_id: str) -> pb.Task:
        """A task as it is now, without its history."""
        request = pb.GetTaskRequest(id=task_id, history_length=0)
        return await self._client.get_task(request, context=self._call)

    async def cancel(self, task_id: str) -> None:
        """Ask for a task to be stopped."""
        await self._client.cancel_task(pb.CancelTaskRequest(id=task_id), context=self._call)

    async def extended_card(self) -> pb.AgentCard:
        """The card that only those who are known may see."""
        request = pb.GetExtendedAgentCardRequest()
        return await self._client.get_extended_agent_card(request, context=self._call)

    async def has_moved(self) -> bool:
        """Whether the host's name now leads elsewhere than this link does (gRPC only).

        Raises:
            AgentError: it leads where it must not.
        """
        return self._place is not None and await self._place.has_moved()

    async def aclose(self) -> None:
        """Close what the link opened; the HTTP client is its maker's."""
        await self._client.close()


async def open_link(target: Target, wire: pb.AgentCard, http: httpx.AsyncClient) -> Link:
    """Make the client for the first binding of the card that can be used.

    Raises:
        AgentError: there is none.
        AgentUnavailable: its host cannot be resolved now.
    """
    chosen = _chosen(target, wire)
    pinned = pb.AgentCard()
    pinned.CopyFrom(wire)
    del pinned.supported_interfaces[:]
    pinned.supported_interfaces.append(chosen)
    place: GrpcPlace | None = None
    channel: Any = None
    if chosen.protocol_binding == GRPC:
        place = await GrpcPlace.find(chosen.url, allow_private=target.private_is_fine)
        channel = open_channel(place, target.limits.response_bytes)
    config = ClientConfig(
        httpx_client=http,
        grpc_channel_factory=lambda url: channel,
        supported_protocol_bindings=[chosen.protocol_binding],
    )
    return Link(target, ClientFactory(config).create(pinned), pinned, place)


def _chosen(target: Target, wire: pb.AgentCard) -> pb.AgentInterface:
    """The card's first interface that we speak, at the host that the card was read from.

    A card can name any URL, and whatever it names would be sent the token.
    """
    bindings = tuple(b for b in target.bindings if b != GRPC or grpc_is_installed())
    spoken = [i for i in wire.supported_interfaces if i.protocol_binding in bindings]
    if not spoken:
        raise AgentError(f"the agent at {target.url} speaks none of {', '.join(bindings)}")
    reasons: list[str] = []
    here: list[pb.AgentInterface] = []
    for interface in spoken:
        reason = _why_not(interface, target.url)
        reasons.extend([reason] if reason else [])
        here.extend([] if reason else [interface])
    if not here:
        raise AgentError(
            f"the agent card of {target.url} points elsewhere ({'; '.join(reasons[:5])}); "
            "register that URL itself"
        )
    same = [i for i in here if i.protocol_binding == here[0].protocol_binding]
    return next((i for i in same if i.protocol_version.startswith("1.")), here[0])


def _why_not(interface: pb.AgentInterface, url: str) -> str:
    shown = repr(interface.url[:200])
    try:
        if interface.protocol_binding == GRPC:
            place = GrpcPlace.parse(interface.url)
            # A gRPC server has a port of its own; the host is what was registered.
            return "" if place.host == origin_of(url)[1] else shown
        return "" if origin_of(interface.url) == origin_of(url) else shown
    except InputError:
        return shown
