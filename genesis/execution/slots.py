"""How many tasks an agent works on at once, counted over all runs."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

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


class Turns:
    """Lets at most so many in at once, in one event loop at a time; the others wait their turn."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._semaphore: asyncio.Semaphore | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        """Hold a place, as soon as one is free."""
        loop = asyncio.get_running_loop()
        if self._semaphore is None or self._loop is not loop:
            self._semaphore, self._loop = asyncio.Semaphore(self._limit), loop
        async with self._semaphore:
            yield


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

    @property
    def statistics(self) -> Mapping[str, AgentLoad]:
        """By agent, those that were called at least once."""
        return {
            name: AgentLoad(slots.active, slots.waiting, slots.limit)
            for name, slots in self._by_agent.items()
        }
