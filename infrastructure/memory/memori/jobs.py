"""What callers hand to the writer, and how they are told the end of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from infrastructure.memory.memori.dialect import Write


@dataclass(slots=True, eq=False)
class Job:
    """One caller's writes; a caller waits in a thread, or on an event loop."""

    tenant: str
    writes: tuple[Write[Any], ...]
    future: Future[list[Any]] | asyncio.Future[list[Any]]
    loop: asyncio.AbstractEventLoop | None = None
    results: list[Any] = field(default_factory=list[Any])
    error: BaseException | None = None

    def begins(self) -> bool:
        """Whether its caller still wants it."""
        if isinstance(self.future, Future):
            return self.future.set_running_or_notify_cancel()
        return not self.future.cancelled()

    def resolve(self) -> None:
        """Tell the caller, in its own thread where it waits on a loop."""
        if self.future.cancelled():  # it lost interest after the work began
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.results)


def _resolve(jobs: Sequence[Job]) -> None:
    for job in jobs:
        job.resolve()


def tell(jobs: Sequence[Job]) -> None:
    """Tell every caller how its job ended; each event loop is woken once for all of its own."""
    waiting: dict[asyncio.AbstractEventLoop, list[Job]] = {}
    for job in jobs:
        if job.loop is None:
            job.resolve()
        else:
            waiting.setdefault(job.loop, []).append(job)
    for loop, theirs in waiting.items():
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(_resolve, theirs)
