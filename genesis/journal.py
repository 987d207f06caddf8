"""The journal of one run: events in order, to the listener at once, to the store in groups."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeAlias, TypeVar

from genesis.events import RunAccepted, RunEnded, RunEvent, event_line
from genesis.execution.events import AttemptEnded, AttemptProgress, ExecutionEvent, TaskStarted
from genesis.tasks.task import AttemptOutcome
from infrastructure.clock import Clock
from infrastructure.errors import StoreError
from infrastructure.memory.memori.run_journal import LeaseLost

T = TypeVar("T")

log = logging.getLogger("genesis.memory")

Listener: TypeAlias = Callable[[RunEvent], None]
Numbered: TypeAlias = Callable[[RunEvent, int | None], None]


class Append(Protocol):
    """Stores events of a run durably, in order."""

    def __call__(
        self, run_id: str, lines: Sequence[str], first_seq: int | None, fence: int | None, /
    ) -> Awaitable[object]:
        """Takes the run, its events as JSON text, the number of the first, and the lease."""
        ...


class Journal:
    """Collects a run's events.

    Args:
        run_id: the run.
        clock: gives each event its time.
        append: stores events of a run durably, in order, numbered from 1.
        listener: is told each event as it happens; None for nobody.
        stored: how many events are in the journal already.
        fence: of the lease under which the run is worked on; None where there is none.
    """

    def __init__(
        self,
        run_id: str,
        clock: Clock,
        append: Append,
        listener: Listener | None = None,
        *,
        stored: int = 0,
        fence: int | None = None,
    ) -> None:
        self.fence = fence
        self.followers: set[Numbered] = set()
        self._run_id = run_id
        self._clock = clock
        self._append = append
        self._listener = listener
        self._waiting: list[str] = []
        self._stored = self._count = stored
        self._order = asyncio.Lock()

    def add(self, event: RunEvent) -> None:
        """Take an event; it is durable after the next `flush`."""
        number = None
        if not _passes(event):
            self._waiting.append(event_line(event, self._clock.now()))
            self._count += 1
            number = self._count
        self._tell(event, number)

    async def end_with(
        self, event: RunEnded, store: Callable[[Sequence[str]], Awaitable[object]]
    ) -> None:
        """Let the commit that ends the run store what was taken in, and this event last.

        Raises:
            Exception: the commit's; the event is told all the same, but not kept.
        """
        line = event_line(event, self._clock.now())
        try:
            await self.store_with(lambda events: store([*events, line]))
            self._stored += 1
            self._count += 1
        except Exception:
            self._tell(event, None)
            raise
        self._tell(event, self._count)

    def _tell(self, event: RunEvent, number: int | None) -> None:
        if self._listener is not None:
            self._listener(event)
        for follower in tuple(self.followers):
            follower(event, number)

    @property
    def listener_below(self) -> Listener | None:
        """Passes on what a run one level down tells of itself, as far as it names its run."""
        listener = self._listener
        if listener is None:
            return None

        def tell(event: RunEvent) -> None:
            if isinstance(event, RunAccepted | RunEnded | ExecutionEvent):
                listener(event)

        return tell

    @property
    def next_number(self) -> int:
        """The number of the first event that is not known to be stored, counted from 1."""
        return self._stored + 1

    async def store_with(self, store: Callable[[Sequence[str]], Awaitable[T]]) -> T:
        """Let a commit of the caller's store what was taken in; returns what that returns.

        Events of concurrent tasks share a write and keep their order.

        Raises:
            Exception: the commit's; the events are kept for the next one.
        """
        async with self._order:
            events, self._waiting = self._waiting, []
            try:
                stored = await store(events)
                self._stored += len(events)
            except BaseException:
                # Whatever stopped the write, the events must not be lost; their numbers make
                # storing them again harmless.
                self._waiting[:0] = events
                raise
            return stored

    async def flush(self) -> None:
        """Store what was taken in.

        Raises:
            StoreError: the store failed; the events are kept for the next flush.
            LeaseLost: another process works on the run.
        """
        if self._waiting or self._order.locked():  # another flush has not ended yet
            await self.store_with(self._store)

    async def _store(self, events: Sequence[str]) -> None:
        if events:  # another flush was quicker
            await self._append(self._run_id, events, self.next_number, self.fence)

    async def flush_or_wait(self) -> None:
        """`flush`, where a store that fails costs the journal for now, never the answer.

        Raises:
            LeaseLost: another process works on the run, so that this one must stop.
        """
        try:
            await self.flush()
        except LeaseLost:
            raise
        except StoreError as error:
            log.error("the journal of run %s waits for the next write: %s", self._run_id, error)


def _passes(event: RunEvent) -> bool:
    """Whether it is for whoever listens alone; `TaskEnded` holds a verified attempt's end."""
    if isinstance(event, AttemptEnded):
        return event.attempt.outcome is AttemptOutcome.VERIFIED
    return isinstance(event, TaskStarted | AttemptProgress)
