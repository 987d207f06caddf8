"""What must be seen through, however often whoever waits for it is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def settled(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """The work as a task that is done, with its result or its error.

    Cancelling whoever waits here neither ends the work nor the waiting, so the caller raises what
    it was cancelled with afterwards. When a whole event loop is ended, the work is ended too.
    """
    task = asyncio.ensure_future(work)
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            continue
    if not task.cancelled():
        task.exception()  # it is the caller's; if nobody asks, it is no news for the event loop
    return task
