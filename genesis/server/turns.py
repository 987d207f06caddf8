"""Turns shared out among tenants: a long queue of one does not hold up the runs of another."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from genesis.errors import Overloaded


class FairTurns:
    """Lets at most so many in at once; who waits is let in by tenant in turn, then by arrival.

    Args:
        limit: at once.
    """

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._closed = False
        # The tenant that was served longest ago first.
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiting.values()))

    def waiting_of(self, tenant: str) -> int:
        """How many of a tenant wait."""
        return len(self._waiting.get(tenant, ()))

    @asynccontextmanager
    async def turn(self, tenant: str) -> AsyncGenerator[None]:
        """Hold a place, as soon as it is the tenant's turn.

        Raises:
            Overloaded: nobody is let in any more.
        """
        if self._closed:
            raise Overloaded("no run is begun any more: the process is to end")
        if self._free:
            self._free -= 1
        else:
            await self._wait(tenant)
        try:
            yield
        finally:
            self._pass_on()

    def close(self) -> None:
        """Let nobody in any more, also of those who wait."""
        self._closed = True
        for waiting in self._waiting.values():
            for each in waiting:
                if not each.done():
                    each.set_exception(Overloaded("the process is to end"))
        self._waiting.clear()

    async def _wait(self, tenant: str) -> None:
        mine = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant, deque()).append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled() and mine.exception() is None:
                self._pass_on()  # it was let in at the very moment
            elif mine in self._waiting.get(tenant, ()):
                self._waiting[tenant].remove(mine)
            raise

    def _pass_on(self) -> None:
        while self._waiting:
            tenant, waiting = self._waiting.popitem(last=False)
            if not waiting:
                continue
            following = waiting.popleft()
            if waiting:
                self._waiting[tenant] = waiting  # at the end: the others come first
            if not following.done():
                following.set_result(None)
                return
        self._free += 1
