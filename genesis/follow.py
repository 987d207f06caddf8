"""The events of a run as they happen, whoever works on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import cast

import orjson

from genesis.active import ActiveRun
from genesis.context import Services
from genesis.events import RunEvent, event_line
from genesis.execution.events import AttemptProgress
from infrastructure.jsonvalue import JsonObject
from infrastructure.memory.memori.runs import RUNNING

_POLL_S = 0.25
_MAX_WAITING = 1_000


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One event of a run.

    Attributes:
        seq: its number in the journal, counted from 1; None for what is not kept there, such as
            what agents say while they work.
        event: as JSON, with its type's name as "type" and seconds since the epoch as "at".
    """

    seq: int | None
    event: JsonObject


async def follow(run_id: str, after: int, services: Services) -> AsyncGenerator[JournalEntry]:
    """Every event after the first `after`, until the run ends, or waits and nobody works on it."""
    seen = after
    while True:
        active = services.active.get(run_id)
        if active is not None:
            async with aclosing(_live(active, seen, services)) as entries:
                async for entry in entries:
                    seen = entry.seq or seen
                    yield entry
        # Read before the journal: what is written between the two is told the next time.
        held = await services.memory.holder(run_id)
        for event in await services.memory.events(run_id, seen):
            seen += 1
            yield JournalEntry(seen, event)
        if held is None or held.state != RUNNING:
            return
        if services.active.get(run_id) is None:
            await asyncio.sleep(_POLL_S)


async def _live(active: ActiveRun, seen: int, services: Services) -> AsyncGenerator[JournalEntry]:
    """What happens in a run that this process works on, after what it has told before."""
    waiting: asyncio.Queue[tuple[int | None, RunEvent]] = asyncio.Queue()

    def take(event: RunEvent, number: int | None) -> None:
        if isinstance(event, AttemptProgress) and waiting.qsize() >= _MAX_WAITING:
            return
        waiting.put_nowait((number, event))

    active.journal.followers.add(take)
    try:
        # Those before are in the store, or will be before any that is taken in from now on.
        await active.journal.flush_or_wait()
        for event in await services.memory.events(active.run_id, seen):
            seen += 1
            yield JournalEntry(seen, event)
        while not (active.ended.is_set() and waiting.empty()):
            found = await _next(waiting, active)
            if found is None:
                continue
            number, event = found
            if number is None or number > seen:
                seen = number or seen
                yield JournalEntry(number, _json(event, services))
    finally:
        active.journal.followers.discard(take)


async def _next(
    waiting: asyncio.Queue[tuple[int | None, RunEvent]], active: ActiveRun
) -> tuple[int | None, RunEvent] | None:
    """The next event, or None when the run stops before there is one."""
    taken = asyncio.ensure_future(waiting.get())
    ended = asyncio.ensure_future(active.ended.wait())
    try:
        await asyncio.wait({taken, ended}, return_when=asyncio.FIRST_COMPLETED)
        return taken.result() if taken.done() else None
    finally:
        for future in (taken, ended):
            future.cancel()
        with suppress(asyncio.CancelledError):
            await ended


def _json(event: RunEvent, services: Services) -> JsonObject:
    return cast("JsonObject", orjson.loads(event_line(event, services.clock.now())))
