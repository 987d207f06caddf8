"""A run as the events that it tells, its result the last of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

from genesis.events import RunEvent
from genesis.execution.events import AttemptProgress
from genesis.journal import Listener
from genesis.result import OrchestrationResult, RunFinished

_MAX_WAITING_EVENTS = 1_000


async def streamed(
    work: Callable[[Listener], Coroutine[Any, Any, OrchestrationResult]],
) -> AsyncGenerator[RunEvent | RunFinished]:
    """Do the work and tell its events; closing the iterator early cancels it.

    Whoever reads slowly misses only what agents say while they work.

    Args:
        work: tells a listener what happens, and returns the result.
    """
    events: asyncio.Queue[RunEvent | RunFinished | None] = asyncio.Queue()

    def tell(event: RunEvent) -> None:
        if isinstance(event, AttemptProgress) and events.qsize() >= _MAX_WAITING_EVENTS:
            return
        events.put_nowait(event)

    run = asyncio.create_task(work(tell))
    run.add_done_callback(lambda _: events.put_nowait(None))
    try:
        while (event := await events.get()) is not None:
            yield event
        yield RunFinished(await run)
    finally:
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
