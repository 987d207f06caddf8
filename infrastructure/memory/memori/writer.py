"""The one thread that writes: it takes all commits that wait and makes them durable together."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from infrastructure.errors import StoreError
from infrastructure.memory.memori.dialect import Write
from infrastructure.memory.memori.sqlite import SqliteTx, explain, primary_code

# These leave the file as it was before the transaction; after any other failed COMMIT the outcome
# is unknown, and repeating a write could store it twice.
_CLEAN_FAILURES = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY})


@dataclass(slots=True, eq=False)
class _Job:
    tenant: str
    writes: tuple[Write[Any], ...]
    future: Future[list[Any]] = field(default_factory=lambda: Future[list[Any]]())
    results: list[Any] = field(default_factory=list[Any])
    error: BaseException | None = None

    def resolve(self) -> None:
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.results)


class _BatchLost(Exception):
    """SQLite rolled the whole transaction back, not only the failing caller's part."""


class Writer:
    """A queue of commits, drained by one thread on one connection.

    The thread belongs to an executor, so that leaving the interpreter waits for what was accepted,
    while an idle writer keeps no process alive.
    """

    def __init__(
        self, path: str, connect: Callable[[], sqlite3.Connection], timeout_s: float
    ) -> None:
        self.commits = 0
        self.batches = 0
        self._path = path
        self._connect = connect
        self._timeout_s = timeout_s
        self._connection: sqlite3.Connection | None = None
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="memori-writer")
        self._lock = threading.Lock()
        self._waiting: deque[_Job] = deque()
        self._draining = False
        self._closed = False
        self._thread: int | None = None

    @property
    def queued(self) -> int:
        """Commits that wait for the next batch."""
        return len(self._waiting)

    def submit(self, tenant: str, writes: tuple[Write[Any], ...]) -> Future[list[Any]]:
        """Queue one caller's writes; the future resolves when they are durable, or did not happen.

        Cancelling the future withdraws writes that have not begun; later it has no effect.
        """
        self._refuse_reentry()
        job = _Job(tenant, writes)
        with self._lock:
            self._refuse_closed()
            if not self._draining:
                self._start(self._drain)
                self._draining = True
            self._waiting.append(job)
        return job.future

    def call(self, function: Callable[[sqlite3.Connection], Any]) -> Future[Any]:
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
        self._disconnect()

    def _start(self, function: Callable[[], Any]) -> Future[Any]:
        try:
            return self._executor.submit(function)
        except RuntimeError as error:
            raise StoreError("the interpreter is shutting down; nothing was stored") from error

    def _refuse_closed(self) -> None:
        if self._closed:
            raise StoreError(f"the memory store at {self._path} is closed; open it again")

    def _refuse_reentry(self) -> None:
        if threading.get_ident() == self._thread:
            raise StoreError(
                "a write may use the store only through the transaction it is given: "
                "it would wait for itself"
            )

    def _drain(self) -> None:
        self._thread = threading.get_ident()
        while True:
            with self._lock:
                jobs = list(self._waiting)
                self._waiting.clear()
                if not jobs:
                    self._draining = False
                    return
            self._finish([job for job in jobs if job.future.set_running_or_notify_cancel()])

    def _finish(self, jobs: list[_Job]) -> None:
        """Commit the jobs together or, if SQLite gives up on all of them, each by itself."""
        try:
            self._commit(jobs)
        except _BatchLost as lost:
            if len(jobs) > 1:
                for job in jobs:
                    self._finish([job])
                return
            jobs[0].error = jobs[0].error or lost.__cause__
        except Exception as error:  # noqa: BLE001 - it belongs to the callers, not to this thread
            for job in jobs:
                job.error = error
        for job in jobs:
            job.resolve()

    def _commit(self, jobs: list[_Job]) -> None:
        connection = self._open()
        self._begin(connection)
        for job in jobs:
            self._run(connection, job)
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._abandon(connection)
            if primary_code(error) in _CLEAN_FAILURES:
                raise _BatchLost from explain(error, self._path)
            self._disconnect()
            raise explain(error, self._path) from error
        self.batches += 1
        self.commits += sum(job.error is None for job in jobs)

    def _run(self, connection: sqlite3.Connection, job: _Job) -> None:
        job.results, job.error = [], None
        tx = SqliteTx(connection, job.tenant)
        connection.execute("SAVEPOINT caller")
        try:
            job.results = [write(tx) for write in job.writes]
        except sqlite3.Error as error:
            job.error = explain(error, self._path)
            job.error.__cause__ = error
        except BaseException as error:  # noqa: BLE001 - a caller's bug reaches that caller alone
            job.error = error
        if not connection.in_transaction:
            raise _BatchLost from job.error
        if job.error is not None:
            connection.execute("ROLLBACK TO caller")
        connection.execute("RELEASE caller")

    def _begin(self, connection: sqlite3.Connection) -> None:
        deadline = time.monotonic() + self._timeout_s
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                # SQLite returns some kinds of BUSY at once, without its own waiting.
                busy = primary_code(error) == sqlite3.SQLITE_BUSY
                if not busy or time.monotonic() >= deadline:
                    raise explain(error, self._path) from error
                time.sleep(0.005)
            else:
                return

    def _open(self) -> sqlite3.Connection:
        self._thread = threading.get_ident()
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _abandon(self, connection: sqlite3.Connection) -> None:
        if connection.in_transaction:
            connection.execute("ROLLBACK")

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
