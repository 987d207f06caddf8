"""Hedging: where an attempt takes much longer than expected, the next one is made beside it.

The first verified answer wins and the other attempt is cancelled: what that costs in money it saves
in time at the tail (J. Dean and L. A. Barroso, "The Tail at Scale", 2013).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from genesis.execution.climb import Paused
from genesis.execution.order import Bill
from genesis.routing.ladder import Rung


@dataclass(frozen=True, slots=True)
class HedgeStatistics:
    """Hedges since the process began, over all runs.

    Attributes:
        begun: attempts begun beside one that took long.
        won: how often theirs was the verified answer.
        lost: how often the other one's was.
    """

    begun: int
    won: int
    lost: int


@dataclass(frozen=True, slots=True)
class Lane:
    """One of two attempts side by side: its number and its rung."""

    number: int
    rung: Rung


class Hedges:
    """Makes attempts side by side; shared by all runs.

    Args:
        after: an attempt takes long once its agent works for this many times the seconds that its
            rung expects.
        sleep: waits for so many seconds.
    """

    def __init__(
        self, after: float, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._after = after
        self._sleep = sleep
        self._begun = self._won = self._lost = 0

    @property
    def statistics(self) -> HedgeStatistics:
        """Counts until now."""
        return HedgeStatistics(self._begun, self._won, self._lost)

    async def race(
        self,
        first: Lane,
        second: Lane,
        attempt: Callable[[Lane, Bill], Awaitable[Paused | None]],
        ready: Callable[[], bool],
        winner: Callable[[], int],
    ) -> list[Paused]:
        """Make one attempt, and another beside it when it takes long, until one is verified.

        Args:
            first: is begun now.
            second: is begun if the first takes long.
            attempt: makes one, and tells its bill when the agent is asked.
            ready: whether the second may be begun at this moment.
            winner: number of the attempt whose answer was verified first; 0 until then.

        Returns:
            Attempts that wait for a person, the lower number first. All others have ended.
        """
        try:
            return await self._race(first, second, attempt, ready, winner)
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None  # a defect: the caller asked for no group

    async def _race(
        self,
        first: Lane,
        second: Lane,
        attempt: Callable[[Lane, Bill], Awaitable[Paused | None]],
        ready: Callable[[], bool],
        winner: Callable[[], int],
    ) -> list[Paused]:
        asked = asyncio.Event()

        async def made(lane: Lane, bill: Bill) -> Paused | None:
            return await attempt(lane, bill)

        async def patience() -> None:
            await asked.wait()
            await self._sleep(self._after * first.rung.seconds)

        async with asyncio.TaskGroup() as group:
            main = group.create_task(made(first, Bill(asked=asked.set)))
            timer = group.create_task(patience())
            await asyncio.wait((main, timer), return_when=asyncio.FIRST_COMPLETED)
            timer.cancel()
            lanes = [main]
            if not main.done() and ready():
                self._begun += 1
                lanes.append(group.create_task(made(second, Bill())))
            await _until_verified(lanes, winner)
        if len(lanes) > 1:
            self._won += winner() == second.number
            self._lost += winner() == first.number
        ended = [lane for lane in lanes if not lane.cancelled()]
        return [paused for lane in ended if (paused := lane.result()) is not None]


async def _until_verified(
    lanes: list[asyncio.Task[Paused | None]], winner: Callable[[], int]
) -> None:
    """Wait until one is verified, then tell the others to stop."""
    running = set(lanes)
    while running and not winner():
        _, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    for lane in running:
        lane.cancel()
