"""How many tasks an agent works on at once, counted over all runs."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from genesis.errors import Overloaded
from infrastructure.a2a.agent import AgentCard


@dataclass(frozen=True, slots=True)
class AgentLoad:
    """An agent's load now.

    Attributes:
        active: calls under way.
        waiting: calls that wait for a slot.
        limit: calls it takes at once.
    """

    active: int
    waiting: int
    limit: int


class _Slots:
    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.semaphore = asyncio.Semaphore(limit)
        self.loop = asyncio.get_running_loop()
        self.active = 0
        self.waiting = 0

    def serve(self, card: AgentCard) -> bool:
        """Whether they are for this card's limit and this event loop."""
        return self.limit == card.max_concurrency and self.loop is asyncio.get_running_loop()


@dataclass(frozen=True, slots=True)
class TurnStatistics:
    """The runs of an orchestrator at one moment.

    Attributes:
        active: runs that have their turn.
        waiting: requests that wait for theirs.
        refused: requests that were refused so far, because too many waited.
        limit: runs that may have their turn at once.
    """

    active: int
    waiting: int
    refused: int
    limit: int


class Turns:
    """Lets at most so many in at once, in one event loop at a time; the others wait their turn.

    Args:
        limit: at once.
        max_waiting: how many may wait.
    """

    def __init__(self, limit: int, max_waiting: int) -> None:
        self._limit = limit
        self._max_waiting = max_waiting
        self._semaphore: asyncio.Semaphore | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._active = self._waiting = self._refused = 0
        self._closed = False

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        """Hold a place, as soon as one is free.

        Raises:
            Overloaded: too many wait already, or nothing is admitted any more.
        """
        loop = asyncio.get_running_loop()
        if self._semaphore is None or self._loop is not loop:
            self._semaphore, self._loop = asyncio.Semaphore(self._limit), loop
            self._active = self._waiting = 0
        self._require_room(self._semaphore)
        self._waiting += 1
        try:
            await self._semaphore.acquire()
        finally:
            self._waiting -= 1
        self._active += 1
        try:
            self.require_open()
            yield
        finally:
            self._active -= 1
            self._semaphore.release()

    def close(self) -> None:
        """Admit nobody any more, also of those who wait."""
        self._closed = True

    @property
    def statistics(self) -> TurnStatistics:
        """How many there are now."""
        return TurnStatistics(self._active, self._waiting, self._refused, self._limit)

    def require_open(self) -> None:
        """Refuse whoever comes after `close`.

        Raises:
            Overloaded: nothing is admitted any more.
        """
        if self._closed:
            self._refused += 1
            raise Overloaded("no request is admitted any more: the process is to end")

    def _require_room(self, semaphore: asyncio.Semaphore) -> None:
        self.require_open()
        if semaphore.locked() and self._waiting >= self._max_waiting:
            self._refused += 1
            raise Overloaded(
                f"{self._active} runs are under way and {self._waiting} requests wait already "
                "(max_concurrent_runs, max_waiting_runs): try again later"
            )


class AgentSlots:
    """Bounds each agent's calls by its card's `max_concurrency`, in one event loop at a time."""

    def __init__(self) -> None:
        self._by_agent: dict[str, _Slots] = {}

    @asynccontextmanager
    async def use(self, card: AgentCard, timeout_s: float = math.inf) -> AsyncGenerator[None]:
        """Hold one of the agent's slots.

        Args:
            card: the agent's.
            timeout_s: seconds to wait for a free one.

        Raises:
            TimeoutError: none became free in time.
        """
        slots = self._by_agent.get(card.name)
        if slots is None or not slots.serve(card):
            slots = self._by_agent[card.name] = _Slots(card.max_concurrency)
        slots.waiting += 1
        try:
            async with asyncio.timeout(timeout_s):
                await slots.semaphore.acquire()
        finally:
            slots.waiting -= 1
        slots.active += 1
        try:
            yield
        finally:
            slots.active -= 1
            slots.semaphore.release()

    def free(self, card: AgentCard) -> bool:
        """Whether a call would not have to wait."""
        slots = self._by_agent.get(card.name)
        return slots is None or not slots.serve(card) or not slots.semaphore.locked()

    @property
    def statistics(self) -> Mapping[str, AgentLoad]:
        """By agent, those that were called at least once."""
        return {
            name: AgentLoad(slots.active, slots.waiting, slots.limit)
            for name, slots in self._by_agent.items()
        }
