"""An A2A agent elsewhere, behind the same interface as one in this process."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence

import httpx
from a2a.types import a2a_pb2 as pb

from infrastructure.a2a.agent import AgentCard
from infrastructure.a2a.cards import card_from_wire
from infrastructure.a2a.remote_card import CardKey, CardSource, ReadCard, card_change
from infrastructure.a2a.remote_errors import as_ours
from infrastructure.a2a.remote_files import FileFetcher, file_places
from infrastructure.a2a.remote_follow import Following
from infrastructure.a2a.remote_link import BINDINGS, Link, Target, open_link
from infrastructure.a2a.types import AgentEvent, Message
from infrastructure.errors import AgentError, AgentMisbehaved, AgentUnavailable, GenesisError
from infrastructure.net.addresses import Origin
from infrastructure.net.http import Limits

__all__ = ["BINDINGS", "CardKey", "RemoteAgent"]

log = logging.getLogger("genesis.a2a")

_CANCEL_S = 5.0
_NAMING_S = 2.0
_RECHECK_S = 5.0


class RemoteAgent:
    """An agent reached over A2A 1.0, by JSON-RPC, HTTP+JSON or gRPC; made by `connect`.

    It is what its card said when it was registered. The card is read again now and then: where
    what the registration stood on has changed, the agent is asked nothing more until it is
    registered again. It is only ever talked to at the host that it was registered with.
    """

    def __init__(
        self,
        card: AgentCard,
        target: Target,
        source: CardSource,
        read: ReadCard,
        *,
        offered: pb.AgentCard,
        places: Mapping[Origin, Target],
        card_max_age_s: float,
    ) -> None:
        self._card = card
        self._target = target
        self._source = source
        self._read = read
        self._offered = offered
        self._places = places
        self._max_age_s = card_max_age_s
        self._checked_at = time.monotonic()
        self._broken = ""
        self._http: httpx.AsyncClient | None = None
        self._link: Link | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        token: str | None = None,
        name: str = "",
        card_key: CardKey | None = None,
        allow_private: bool | None = None,
        allow_files_from: Sequence[str] = (),
        task_types: Collection[str] = (),
        http_timeout_s: float = 30.0,
        max_response_bytes: int = 64 * 1024 * 1024,
        max_events: int = 20_000,
        card_max_age_s: float = 600.0,
        bindings: tuple[str, ...] = BINDINGS,
    ) -> RemoteAgent:
        """Read the agent's card and keep a client for it.

        Args:
            url: where the agent is, or its card (a URL that ends in ".json").
            token: bearer token; it is sent to this host only.
            name: what to call the agent here; empty takes the card's name.
            card_key: public key of who signs its card (PEM, JWK or JWK set). With it, a card
                without a valid signature is refused.
            allow_private: whether it may be at a loopback or private address. None allows that
                where the URL itself names such an address, and not where a name leads to one.
            allow_files_from: origins, beside the agent's own, from which files that its answers
                name by URL are fetched.
            task_types: the known task types; a stranger's tags mean these where they match.
            http_timeout_s: seconds without a byte before a connection counts as lost.
            max_response_bytes: longer answers are cut off.
            max_events: events of one task; who sends more never ends.
            card_max_age_s: seconds after which the card is read again before the agent is asked.
            bindings: protocol bindings that may be used; the agent's card says which it prefers.

        Raises:
            InputError: the URL is no http or https URL, or the token or key cannot be used.
            AgentUnavailable: it cannot be reached now.
            AgentMisbehaved: what is there shows no usable card.
            AgentError: it cannot be talked to.
        """
        limits = Limits(response_bytes=max_response_bytes)
        target = Target(url, token, allow_private, http_timeout_s, limits, bindings, max_events)
        source = CardSource(url, card_key)
        places = file_places(target, allow_files_from)
        http = target.http()
        try:
            read = await source.read(http)
            assert read is not None
            link = await open_link(target, read.wire, http)
            link, offered = await _extended(link, source, target, read.wire, http)
            card = card_from_wire(offered, url, name, task_types)
        except BaseException as error:
            await http.aclose()
            if isinstance(error, Exception) and not isinstance(error, GenesisError):
                raise as_ours(error, url) from error
            raise
        agent = cls(
            card, target, source, read,
            offered=offered, places=places, card_max_age_s=card_max_age_s,
        )  # fmt: skip
        agent._http, agent._link, agent._loop = http, link, asyncio.get_running_loop()
        return agent

    @property
    def card(self) -> AgentCard:
        """Name and skills as the card said when it was read."""
        return self._card

    @property
    def binding(self) -> str:
        """The protocol binding that is in use; empty after `aclose`."""
        return self._link.binding if self._link is not None else ""

    @property
    def changed(self) -> str:
        """What of its card has changed so that it is asked nothing more; empty while it may be."""
        return self._broken

    async def send(self, message: Message) -> AsyncGenerator[AgentEvent]:
        """See `Agent.send`. With the task and context id of a task that waits, it is answered.

        A lost stream is subscribed again, then polled, while the agent can be reached. A task that
        waits for an answer stays open when the iterator is closed; `cancel` ends it.
        """
        await self.check_card()
        link = await self._open_link()
        files = FileFetcher(self._places)
        following = Following(link, self._target, files, message)
        events = following.events()
        step: asyncio.Future[AgentEvent | None] | None = None
        try:
            while True:
                if following.task_id:
                    event = await anext(events, None)
                else:
                    # Shielded: whoever is cancelled before the agent has named the task could
                    # not cancel it there.
                    step = asyncio.ensure_future(anext(events, None))
                    event = await asyncio.shield(step)
                if event is None:
                    return
                yield event
        except AgentUnavailable:
            await self._follow_host(link)
            raise
        finally:
            await self._finish(step, following)
            await events.aclose()
            await files.aclose()

    async def cancel(self, task_id: str) -> None:
        """Ask the agent to stop a task; tries for 5 seconds at most."""
        try:
            async with asyncio.timeout(_CANCEL_S):
                await (await self._open_link()).cancel(task_id)
        except Exception as error:  # noqa: BLE001 - it has ended or cannot be reached: nothing to stop
            log.debug("task %s of %s was not cancelled: %s", task_id, self._card.name, error)

    async def check_card(self, *, now: bool = False) -> None:
        """Read the card again, where the last reading is old; away is no reason to complain.

        Args:
            now: however young the last reading is.

        Raises:
            AgentMisbehaved: what the registration stood on has changed.
        """
        young = time.monotonic() - self._checked_at < self._max_age_s
        if not self._broken and (now or not young):
            self._checked_at = time.monotonic()
            try:
                async with asyncio.timeout(_RECHECK_S), self._target.http() as http:
                    again = await self._source.read(http, self._read.etag)
                if again is not None:
                    self._compare(again)
            except AgentMisbehaved as error:
                self._broken = f"it shows no usable card any more: {error}"
            except Exception as error:  # noqa: BLE001 - asking it will tell; its card can wait
                log.info("the card of %s was not read again: %s", self._card.name, error)
        if self._broken:
            raise AgentMisbehaved(
                f"the card of agent {self._card.name!r} has changed since it was registered: "
                f"{self._broken}; register it again to accept that"
            )

    async def aclose(self) -> None:
        """Close the connections."""
        link, http, self._link, self._http = self._link, self._http, None, None
        if link is not None and http is not None:
            await link.aclose()
            await http.aclose()

    def _compare(self, again: ReadCard) -> None:
        change = card_change(self._read.wire, again.wire)
        self._broken = "; ".join(change.broken)
        if change.new and not change.broken:
            log.warning(
                "agent %s now also offers %s: not used until it is registered again",
                self._card.name,
                ", ".join(change.new),
            )
        if not self._broken:
            self._read = ReadCard(self._read.wire, again.etag)

    async def _open_link(self) -> Link:
        """The one link, made again where another event loop runs than the one it was made in."""
        loop = asyncio.get_running_loop()
        if self._link is not None and self._loop is loop:
            return self._link
        http = self._target.http()
        try:
            link = await open_link(self._target, self._offered, http)
        except BaseException:
            await http.aclose()
            raise
        if self._link is not None and self._loop is loop:  # another task was quicker
            await link.aclose()
            await http.aclose()
            return self._link
        self._http, self._link, self._loop = http, link, loop
        return link

    async def _follow_host(self, link: Link) -> None:
        """Drop a link to an address that the agent's host has left."""
        try:
            moved = await link.has_moved()
        except AgentError as error:
            log.info("agent %s cannot be found again now: %s", self._card.name, error)
            return
        if moved and self._link is link:
            await self.aclose()

    async def _finish(
        self, step: asyncio.Future[AgentEvent | None] | None, following: Following
    ) -> None:
        """Leave no read behind, and no work at the agent that nobody waits for."""
        if step is not None and not step.done():
            if not following.task_id:
                await asyncio.wait([step], timeout=_NAMING_S)
            step.cancel()
            await asyncio.wait([step])
        if step is not None and not step.cancelled():
            step.exception()  # the caller has it, or has gone
        if following.task_id and not following.over:
            await self.cancel(following.task_id)


async def _extended(
    link: Link, source: CardSource, target: Target, public: pb.AgentCard, http: httpx.AsyncClient
) -> tuple[Link, pb.AgentCard]:
    """The card for those who are known, where there is one and we are; else the public one."""
    if not (public.capabilities.extended_agent_card and target.token):
        return link, public
    try:
        extended = await link.extended_card()
        source.require_signed(extended)
        better = await open_link(target, extended, http)
    except Exception as error:  # noqa: BLE001 - the public card says enough to go on with
        ours = as_ours(error, target.url)
        log.warning("the extended card of %s is not used: %s", target.url, ours)
        return link, public
    await link.aclose()
    return better, extended
