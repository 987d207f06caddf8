"""The journal of one run: events in order, to the listener at once, to the store in groups."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from genesis.events import RunAccepted, RunEnded, RunEvent, event_to_json
from genesis.execution.events import AttemptEnded, AttemptProgress, ExecutionEvent, TaskStarted
from infrastructure.clock import Clock
from infrastructure.errors import StoreError
from infrastructure.jsonvalue import JsonObject

log = logging.getLogger("genesis.memory")

# Takes the run, its events, and the number of the first of them.
Append: TypeAlias = Callable[[str, Sequence[JsonObject], int], Awaitable[object]]
Listener: TypeAlias = Callable[[RunEvent], None]

# Progress for whoever listens; `TaskEnded` holds all of it that matters afterwards.
_PASSING = (TaskStarted, AttemptProgress, AttemptEnded)


class Journal:
    """Collects a run's events.

    Args:
        run_id: the run.
        clock: gives each event its time.
        append: stores events of a run durably, in order, numbered from 1.
        listener: is told each event as it happens; None for nobody.
    """

    def __init__(
        self, run_id: str, clock: Clock, append: Append, listener: Listener | None = None
    ) -> None:
        self._run_id = run_id
        self._clock = clock
        self._append = append
        self._listener = listener
        self._waiting: list[JsonObject] = []
        self._stored = 0
        self._order = asyncio.Lock()

    def add(self, event: RunEvent) -> None:
        """Take an event; it is durable after the next `flush`."""
        if not isinstance(event, _PASSING):
            self._waiting.append(event_to_json(event, self._clock.now()))
        if self._listener is not None:
            self._listener(event)

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

    def take(self) -> list[JsonObject]:
        """The events not yet stored, for a commit that stores them together with more."""
        events, self._waiting = self._waiting, []
        return events

    async def flush(self) -> None:
        """Store what was taken in; events of concurrent tasks share a write and keep their order.

        Raises:
            StoreError: the store failed; the events are kept for the next flush.
        """
        async with self._order:
            events = self.take()
            if not events:
                return
            try:
                await self._append(self._run_id, events, self.next_number)
                self._stored += len(events)
            except BaseException:
                # Whatever stopped the write, the events must not be lost; their numbers make
                # storing them again harmless.
                self._waiting[:0] = events
                raise

    async def flush_or_wait(self) -> None:
        """`flush`, where a store that fails costs the journal for now, never the answer."""
        try:
            await self.flush()
        except StoreError as error:
            log.error("the journal of run %s waits for the next write: %s", self._run_id, error)
