"""A bounded, de-duplicating queue served by one daemon thread, independent of event loops."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Final

QUEUE_LIMIT: Final = 10_000
TOGETHER: Final = 64
"""Sessions that are served at once."""

_log = logging.getLogger("genesis.memory")


@dataclass(frozen=True, slots=True)
class WorkerStatistics:
    """What the worker has done.

    Attributes:
        done: requests served, failed ones included.
        failed: of those, how many raised.
        refused: requests turned away because the queue was full.
        waiting: sessions in the queue or being served.
    """

    done: int
    failed: int
    refused: int
    waiting: int


class CompactionWorker:
    """Serves each asked-for session once, in order of asking.

    Args:
        serve: compacts one session; may raise.
        limit: sessions that may wait; more are turned away, and compacted when next asked for.
        idle: one short step of work for when nobody waits; True when there is more of it.
        serve_together: compacts several sessions for little more than one; if it raises, each is
            served by itself.
        gather_s: seconds that the first asked for waits for others, unless somebody waits for it.
    """

    def __init__(
        self,
        serve: Callable[[str], object],
        limit: int = QUEUE_LIMIT,
        idle: Callable[[], bool] | None = None,
        *,
        serve_together: Callable[[Sequence[str]], object] | None = None,
        gather_s: float = 0.0,
    ) -> None:
        self._serve = serve
        self._serve_together = serve_together
        self._at_once = 1 if serve_together is None else TOGETHER
        self._gather_s = gather_s
        self._idle = idle
        self._limit = limit
        self._queue: dict[str, int] = {}
        self._asked = 0
        self._served = 0
        self._awaited = 0
        self._done = self._failed = self._refused = 0
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()

    @property
    def statistics(self) -> WorkerStatistics:
        """Counters since the worker was made."""
        with self._changed:
            waiting = self._asked - self._served
            return WorkerStatistics(self._done, self._failed, self._refused, waiting)

    def request(self, session_id: str) -> bool:
        """Ask for a session, without waiting; False if the queue is full."""
        with self._changed:
            if session_id in self._queue:
                return True
            if len(self._queue) >= self._limit:
                self._refused += 1
                _log.warning(
                    "compaction queue is full (%d sessions): %s stays as it is until it is asked"
                    " for again",
                    self._limit,
                    session_id,
                )
                return False
            self._asked += 1
            self._queue[session_id] = self._asked
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._run, name="genesis-compaction", daemon=True
                )
                self._thread.start()
            self._changed.notify_all()
            return True

    def wait(self) -> None:
        """Block until all that was asked for before this call is served."""
        with self._changed:
            last = self._asked
            self._awaited += 1
            self._changed.notify_all()
            try:
                self._changed.wait_for(lambda: self._served >= last)
            finally:
                self._awaited -= 1

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._queue))
                self._changed.wait_for(self._gathered, self._gather_s)
                sessions = list(islice(self._queue, self._at_once))
                number = [self._queue.pop(session_id) for session_id in sessions][-1]
            failed = self._attempt_all(sessions)
            with self._changed:
                self._done += len(sessions)
                self._failed += failed
                self._served = number
                self._changed.notify_all()
            self._use_idle_time()

    def _gathered(self) -> bool:
        return len(self._queue) >= self._at_once or self._awaited > 0

    def _attempt_all(self, sessions: Sequence[str]) -> int:
        """Serve some sessions; returns how many failed."""
        if self._serve_together is not None and len(sessions) > 1:
            try:
                self._serve_together(sessions)
            except Exception as error:  # noqa: BLE001 (each is tried by itself, and tells its own)
                _log.debug("%d sessions are compacted one by one: %s", len(sessions), error)
            else:
                return 0
        return sum(map(self._attempt, sessions))

    def _use_idle_time(self) -> None:
        more = self._idle is not None
        while more and not self._queue:
            more = self._attempt_idle()

    def _attempt_idle(self) -> bool:
        try:
            return self._idle is not None and self._idle()
        except Exception as error:  # noqa: BLE001 (as for a session: the queue must go on)
            if not _process_ends():
                _log.error("the upkeep of archives failed: %s", error)
            return False

    def _attempt(self, session_id: str) -> bool:
        try:
            self._serve(session_id)
        except Exception as error:  # noqa: BLE001 (the queue must go on whatever one session raises)
            if _process_ends():
                # The store is closing: the session stays as it is, whole.
                _log.debug("compaction of session %s was left for later: %s", session_id, error)
                return False
            _log.error("compaction of session %s failed: %s", session_id, error)
            return True
        return False


def _process_ends() -> bool:
    # Executors refuse work from the moment the interpreter begins to leave; no public flag says so.
    try:
        with ThreadPoolExecutor(1) as probe:
            probe.submit(int)
    except RuntimeError:
        return True
    return False
