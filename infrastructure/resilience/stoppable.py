"""Work that may refuse to stop: told to, it is given a while, and then left standing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from types import coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def _nobody() -> None:
    """Nobody is told."""


@coroutine
def stoppable(
    work: Coroutine[Any, Any, T], grace_s: float, refused: Callable[[], None] = _nobody
) -> Generator[Any, Any, T]:
    """Await strangers' work so that a cancellation of the task always ends it.

    The work runs inside the caller's task, step by step, so nothing of it is left running. Once
    the task is cancelled, the work may clean up for a while; whatever it makes of the
    cancellation after that (an answer, another error, more work), `CancelledError` is raised.
    Cancellations that the work asks for itself and takes back (`asyncio.timeout`) are its own.

    Args:
        work: a coroutine that was not started.
        grace_s: seconds that it has from the cancellation to its end.
        refused: called when it used them up, and is left standing where it is for ever.

    Raises:
        asyncio.CancelledError: the task was cancelled.
        Exception: the work's own, unless the task was cancelled.
    """
    task = asyncio.current_task()
    assert task is not None
    before, grace = task.cancelling(), _Grace(task, grace_s)
    try:
        return (yield from _steps(work, grace, refused))
    except BaseException as error:
        if isinstance(error, asyncio.CancelledError) or task.cancelling() == before:
            raise
        raise asyncio.CancelledError from error
    finally:
        grace.end()
        if task.cancelling() > before:  # it may have swallowed that, and answered
            raise asyncio.CancelledError


class _Grace:
    """The time between a cancellation and the moment when nobody waits any more."""

    __slots__ = ("_before", "_seconds", "_task", "_timer", "over")

    def __init__(self, task: asyncio.Task[Any], seconds: float) -> None:
        self.over = False
        self._task = task
        self._seconds = seconds
        self._before = task.cancelling()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._expire)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self.over:
            self._task.uncancel()  # ours; the one that was not obeyed stays

    def _expire(self) -> None:
        self._timer = None
        if self._task.cancelling() > self._before:  # the work did not take it back
            self.over = True
            self._task.cancel()


def _steps(
    work: Coroutine[Any, Any, T], grace: _Grace, refused: Callable[[], None]
) -> Generator[Any, Any, T]:
    step: Callable[[Any], Any] = work.send
    value: Any = None
    while True:
        try:
            waited = step(value)
        except StopIteration as end:
            return end.value
        try:
            value, step = (yield waited), work.send
        except GeneratorExit:
            work.close()
            raise
        except BaseException as error:  # noqa: BLE001 - it is the work's to deal with
            if isinstance(error, asyncio.CancelledError):
                grace.begin()
            value, step = error, work.throw
        if grace.over:
            _leave_standing(work)
            refused()
            raise asyncio.CancelledError


def _leave_standing(work: Coroutine[Any, Any, Any]) -> None:
    """Never run it again, not even to collect it.

    Closing or collecting it would wake it once more, and what ignores a cancellation may ignore
    `GeneratorExit` too: at the end of the process, with no event loop left, for ever.
    """
    import ctypes  # rarely needed

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(work))
