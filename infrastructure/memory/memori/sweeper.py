"""A background task that deletes expired items now and then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from infrastructure.errors import StoreError

_log = logging.getLogger(__name__)


class Sweeper:
    """Calls a sweep at an interval until stopped; a failed sweep is logged and tried again."""

    def __init__(self, sweep: Callable[[], Awaitable[int]]) -> None:
        self._sweep = sweep
        self._stopped = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self, interval_s: float) -> asyncio.Task[None]:
        """Start the task on the running loop, or return the one that runs already."""
        if self._task is None or self._task.done():
            self._stopped = asyncio.Event()
            self._task = asyncio.create_task(self._run(interval_s), name="memori-sweeper")
        return self._task

    async def stop(self, timeout_s: float | None = None) -> bool:
        """Let the sweep that runs finish; False if it did not within the time."""
        task = self._task
        if task is None:
            return True
        self._stopped.set()
        _, unfinished = await asyncio.wait({task}, timeout=timeout_s)
        if unfinished:
            return False
        self._task = None
        return True

    async def _run(self, interval_s: float) -> None:
        while not self._stopped.is_set():
            try:
                await asyncio.wait_for(self._stopped.wait(), interval_s)
            except TimeoutError:
                try:
                    swept = await self._sweep()
                except StoreError:
                    _log.exception("sweeping expired items failed; it is tried again")
                else:
                    _log.debug("swept %d expired items", swept)
