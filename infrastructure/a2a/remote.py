"""An A2A agent elsewhere, behind the same interface as one in this process."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeAlias, cast

import httpx
from a2a.client import Client, ClientConfig, ClientFactory
from a2a.client.card_resolver import parse_agent_card
from a2a.client.errors import A2AClientTimeoutError
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import A2AError
from google.protobuf.json_format import ParseError

from infrastructure.a2a.agent import AgentCard
from infrastructure.a2a.cards import card_from_wire
from infrastructure.a2a.convert import events_from_wire, message_to_wire, task_events
from infrastructure.a2a.types import AgentEvent, Message, StatusUpdate, TaskState
from infrastructure.errors import AgentError, AgentUnavailable, GenesisError, InputError
from infrastructure.net.http import guarded_client, origin_of

log = logging.getLogger("genesis.a2a")

_Stream: TypeAlias = AsyncGenerator[pb.StreamResponse]

_CARD_PATH = "/.well-known/agent-card.json"
BINDINGS = ("JSONRPC", "HTTP+JSON")
_CANCEL_S = 5.0
_NAMING_S = 2.0
_FIRST_POLL_S = 0.25
_LONGEST_POLL_S = 5.0
_MAX_CARD_BYTES = 1024 * 1024


class RemoteAgent:
    """An agent reached over A2A 1.0, by JSON-RPC or HTTP+JSON; made by `connect`.

    Its card is read once: what it says later changes nothing here. It is only ever talked to at
    the origin that it was registered with.
    """

    def __init__(self, card: AgentCard, http: httpx.AsyncClient, client: Client) -> None:
        self._card = card
        self._http = http
        self._client = client

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        token: str | None = None,
        name: str = "",
        allow_private: bool = False,
        http_timeout_s: float = 30.0,
        max_response_bytes: int = 64 * 1024 * 1024,
        bindings: tuple[str, ...] = BINDINGS,
    ) -> RemoteAgent:
        """Read the agent's card and keep a client for it.

        Args:
            url: where the agent is, or its card (a URL that ends in ".json").
            token: bearer token; it is sent to this origin only.
            name: what to call the agent here; empty takes the card's name.
            allow_private: whether it may be at a loopback or private address. Say yes where the
                owner of this process named the URL.
            http_timeout_s: seconds without a byte before a connection counts as lost.
            max_response_bytes: longer answers are cut off.
            bindings: protocol bindings that may be used; the agent's card says which it prefers.

        Raises:
            InputError: the URL is no http or https URL, or the token cannot be sent.
            AgentUnavailable: it cannot be reached now.
            AgentError: what is there is no A2A agent that can be talked to.
        """
        if token is not None and not (token.isascii() and token.isprintable() and token.strip()):
            # Caught here, since the HTTP library would show it in its complaint.
            raise InputError(f"the token for {url} must be printable ASCII text")
        http = guarded_client(
            url,
            headers={"Authorization": f"Bearer {token}"} if token else None,
            allow_private=allow_private,
            timeout_s=http_timeout_s,
            max_response_bytes=max_response_bytes,
        )
        try:
            wire = _pinned(await _read_card(http, url), url, bindings)
            card = card_from_wire(wire, url, name)
            config = ClientConfig(httpx_client=http, supported_protocol_bindings=list(bindings))
            return cls(card, http, ClientFactory(config).create(wire))
        except BaseException as error:
            await http.aclose()
            if isinstance(error, Exception):
                raise _as_ours(error, url) from error
            raise

    @property
    def card(self) -> AgentCard:
        """Name and skills as the card said when it was read."""
        return self._card

    async def send(self, message: Message) -> AsyncGenerator[AgentEvent]:
        """See `Agent.send`. A lost stream is followed by polling while the agent can be reached."""
        progress = _Progress()
        events = self._follow(pb.SendMessageRequest(message=message_to_wire(message)), progress)
        step: asyncio.Future[AgentEvent | None] | None = None
        try:
            while True:
                # Shielded: whoever is cancelled before the agent has named the task could not
                # cancel it there.
                step = asyncio.ensure_future(anext(events, None))
                event = await asyncio.shield(step)
                if event is None:
                    return
                yield event
        finally:
            await self._finish(step, progress)
            await events.aclose()

    async def cancel(self, task_id: str) -> None:
        """Ask the agent to stop a task; tries for 5 seconds at most."""
        try:
            async with asyncio.timeout(_CANCEL_S):
                await self._client.cancel_task(pb.CancelTaskRequest(id=task_id))
        except Exception as error:  # noqa: BLE001 - it has ended or cannot be reached: nothing to stop
            log.debug("task %s of %s was not cancelled: %s", task_id, self._card.name, error)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()
        await self._http.aclose()

    async def _follow(
        self, request: pb.SendMessageRequest, progress: _Progress
    ) -> AsyncGenerator[AgentEvent]:
        try:
            try:
                stream = cast("_Stream", self._client.send_message(request))
                async with aclosing(stream):
                    async for response in stream:
                        for event in progress.note(events_from_wire(response)):
                            yield event
                        if progress.ended:
                            return
            except (A2AError, httpx.TransportError) as error:
                ours = _as_ours(error, self._card.url)
                if not (isinstance(ours, AgentUnavailable) and progress.task_id):
                    raise ours from error
                log.info("the stream of task %s was lost: %s", progress.task_id, error)
            async for event in self._poll(progress):
                yield event
        except Exception as error:
            # Whatever a stranger's bytes break on the way here is the stranger's failure.
            raise _as_ours(error, self._card.url) from error

    async def _finish(
        self, step: asyncio.Future[AgentEvent | None] | None, progress: _Progress
    ) -> None:
        """Leave no read behind, and no work at the agent that nobody waits for."""
        if step is not None and not step.done():
            if not progress.task_id:
                await asyncio.wait([step], timeout=_NAMING_S)
            step.cancel()
            await asyncio.wait([step])
        if step is not None and not step.cancelled():
            step.exception()  # the caller has it, or has gone
        if progress.task_id and not progress.ended:
            await self.cancel(progress.task_id)

    async def _poll(self, progress: _Progress) -> AsyncGenerator[AgentEvent]:
        if not progress.task_id:
            raise AgentError(f"agent {self._card.name!r} answered nothing")
        pause = _FIRST_POLL_S
        while True:
            task = await self._client.get_task(pb.GetTaskRequest(id=progress.task_id))
            events = task_events(task)
            last = events[-1]
            if isinstance(last, StatusUpdate) and _is_end(last.state):
                for event in progress.note(events):
                    yield event
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_POLL_S)


class _Progress:
    """How far a task is, from the events that passed."""

    def __init__(self) -> None:
        self.task_id = ""
        self.ended = False

    def note(self, events: list[AgentEvent]) -> list[AgentEvent]:
        for event in events:
            if isinstance(event, Message):
                self.ended = True
            else:
                self.task_id = event.task_id or self.task_id
                if isinstance(event, StatusUpdate) and _is_end(event.state):
                    self.ended = event.state.terminal
        return events


def _is_end(state: TaskState) -> bool:
    return state.terminal or state in (TaskState.INPUT_REQUIRED, TaskState.AUTH_REQUIRED)


async def _read_card(http: httpx.AsyncClient, url: str) -> pb.AgentCard:
    path = url if httpx.URL(url).path.endswith(".json") else url.rstrip("/") + _CARD_PATH
    response = await http.get(path)
    response.raise_for_status()
    if len(response.content) > _MAX_CARD_BYTES:
        raise AgentError(f"the agent card at {path} is larger than {_MAX_CARD_BYTES} bytes")
    try:
        return parse_agent_card(json.loads(response.content))
    except (ValueError, ParseError, RecursionError) as error:
        raise AgentError(f"what is at {path} is not an A2A agent card: {error}") from error


def _pinned(card: pb.AgentCard, url: str, bindings: tuple[str, ...]) -> pb.AgentCard:
    """The card with only those interfaces that are at the origin it was read from.

    A card can name any URL, and whatever it names would be sent the token.
    """
    spoken = [i for i in card.supported_interfaces if i.protocol_binding in bindings]
    here = [i for i in spoken if _same_origin(i.url, url)]
    if not here:
        elsewhere = ", ".join(sorted({i.url[:200] for i in spoken}))
        raise AgentError(
            f"the agent card of {url} points elsewhere ({elsewhere}); register that URL itself"
            if spoken
            else f"the agent at {url} speaks none of {', '.join(bindings)}"
        )
    pinned = pb.AgentCard()
    pinned.CopyFrom(card)
    del pinned.supported_interfaces[:]
    pinned.supported_interfaces.extend(here)
    return pinned


def _same_origin(one: str, other: str) -> bool:
    try:
        return origin_of(one) == origin_of(other)
    except InputError:
        return False


def _as_ours(error: Exception, url: str) -> GenesisError:
    if isinstance(error, GenesisError):
        return error
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__) is not None:
        causes.append(cause)
    for cause in causes:
        if isinstance(cause, GenesisError):
            return cause
        if isinstance(cause, httpx.HTTPStatusError):
            return _status_error(cause.response, url)
        if isinstance(cause, httpx.TransportError | A2AClientTimeoutError):
            said = str(cause) or type(cause).__name__
            return AgentUnavailable(f"the agent at {url} cannot be reached: {said}")
    if isinstance(error, A2AError):
        return AgentError(f"the agent at {url} answered with an error: {error}")
    return AgentError(f"the agent at {url} sent what is not A2A: {type(error).__name__}: {error}")


def _status_error(response: httpx.Response, url: str) -> AgentError:
    code = response.status_code
    if code == 429 or code >= 500:
        return AgentUnavailable(f"the agent at {url} cannot answer now: HTTP {code}")
    if code in (401, 403):
        return AgentError(f"the agent at {url} refuses the token (HTTP {code}): pass its token=")
    if response.is_redirect:
        return AgentError(
            f"the agent at {url} redirects, which is not followed: register the URL where it is"
        )
    return AgentError(f"the agent at {url} refused the request: HTTP {code}")
