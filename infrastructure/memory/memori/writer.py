"""The one thread that writes: it takes all commits that wait and makes them durable together."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

from infrastructure.errors import StoreError
from infrastructure.memory.memori.dialect import Connection, Database, Write
from infrastructure.memory.memori.group_commit import BatchLost, GroupCommit
from infrastructure.memory.memori.jobs import Job, tell

_ENDED: Final = "a write ended the transaction; a write must not run COMMIT or ROLLBACK"


class Writer:
    """A queue of commits, drained by one thread on one connection.

    The thread belongs to an executor, so that leaving the interpreter waits for what was accepted,
    while an idle writer keeps no process alive.
    """

    def __init__(self, database: Database) -> None:
        self.commits = 0
        self.batches = 0
        self._database = database
        self._group = GroupCommit(database)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="memori-writer")
        self._lock = threading.Lock()
        self._waiting: deque[Job] = deque()
        self._draining = False
        self._closed = False
        self._thread: int | None = None
        self._process = os.getpid()

    @property
    def inherited(self) -> bool:
        """Whether this process was forked from the one that opened the store, which owns it."""
        return os.getpid() != self._process

    @property
    def queued(self) -> int:
        """Commits that wait for the next batch."""
        return len(self._waiting)

    def check_usable(self) -> None:
        """Raise StoreError when the store is closed, or belongs to another process."""
        with self._lock:
            self._refuse_closed()

    def submit(self, tenant: str, writes: tuple[Write[Any], ...]) -> Future[list[Any]]:
        """Queue one caller's writes; the future resolves when they are durable, or did not happen.

        Cancelling the future withdraws writes that have not begun; later it has no effect.
        """
        future: Future[list[Any]] = Future()
        self._enqueue(Job(tenant, writes, future))
        return future

    def submit_from_loop(
        self, tenant: str, writes: tuple[Write[Any], ...]
    ) -> asyncio.Future[list[Any]]:
        """`submit` for the running event loop, which is woken once for all it waits for."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Any]] = loop.create_future()
        self._enqueue(Job(tenant, writes, future, loop))
        return future

    def run(self, function: Callable[[Connection], Any]) -> Future[Any]:
        """Run a function on the writer's thread, outside any transaction."""
        self._refuse_reentry()
        with self._lock:
            self._refuse_closed()
            return self._start(lambda: function(self._open()))

    def close(self) -> None:
        """Store what was accepted, then close the connection; harmless when closed already."""
        self._refuse_reentry()
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._executor.shutdown(wait=True)
        self._group.close()

    def _enqueue(self, job: Job) -> None:
        self._refuse_reentry()
        with self._lock:
            self._refuse_closed()
            if not self._draining:
                self._start(self._drain)
                self._draining = True
            self._waiting.append(job)

    def _start(self, function: Callable[[], Any]) -> Future[Any]:
        try:
            return self._executor.submit(function)
        except RuntimeError as error:
            raise StoreError("the interpreter is shutting down; nothing was stored") from error

    def _refuse_closed(self) -> None:
        if self.inherited:
            raise StoreError(
                f"the memory store at {self._database.place} was opened before this process was "
                "forked; open it again here"
            )
        if self._closed:
            raise StoreError(f"the memory store at {self._database.place} is closed; open it again")

    def _refuse_reentry(self) -> None:
        if threading.get_ident() == self._thread:
            raise StoreError(
                "a write may use the store only through the transaction it is given: "
                "it would wait for itself"
            )

    def _drain(self) -> None:
        """Commit what waits; what came meanwhile takes its turn after other calls."""
        while True:
            with self._lock:
                waiting = list(self._waiting)
                self._waiting.clear()
            jobs = [job for job in waiting if job.begins()]
            if jobs:
                self._finish(jobs)
            with self._lock:
                if not self._waiting:
                    self._draining = False
                    return
                try:
                    self._executor.submit(self._drain)
                except RuntimeError:  # shutting down: finish here what was accepted
                    continue
                return

    def _finish(self, jobs: list[Job]) -> None:
        """Commit the jobs together or, if the database gives up on all, each by itself."""
        try:
            self._thread = threading.get_ident()
            self._group.commit(jobs)
            self.batches += 1
            self.commits += sum(job.error is None for job in jobs)
        except BatchLost as lost:
            if len(jobs) > 1:
                for job in jobs:
                    self._finish([job])
                return
            jobs[0].error = jobs[0].error or lost.__cause__ or StoreError(_ENDED)
        except Exception as error:  # noqa: BLE001 - it belongs to the callers, not to this thread
            for job in jobs:
                job.error = error
        tell(jobs)

    def _open(self) -> Connection:
        self._thread = threading.get_ident()
        return self._group.open()
