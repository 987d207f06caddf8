"""The one thread that writes: it takes all commits that wait and makes them durable together."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final, cast

from infrastructure.errors import StoreError
from infrastructure.memory.memori.dialect import (
    BoundTx,
    Connection,
    Database,
    Insertion,
    SqlValue,
    Write,
    call,
)

_MERGING_PAUSES: Final = 8
_ENDED = "a write ended the transaction; a write must not run COMMIT or ROLLBACK"


@dataclass(slots=True, eq=False)
class _Job:
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


def _is_insertion(job: _Job) -> bool:
    return len(job.writes) == 1 and isinstance(job.writes[0], Insertion)


def _resolve(jobs: Sequence[_Job]) -> None:
    for job in jobs:
        job.resolve()


class _BatchLost(Exception):
    """The whole transaction is gone, not only the failing caller's part; each may be tried alone.

    The store is as it was before. After any other failed COMMIT the outcome is unknown, and
    repeating a write could store it twice.
    """


class Writer:
    """A queue of commits, drained by one thread on one connection.

    The thread belongs to an executor, so that leaving the interpreter waits for what was accepted,
    while an idle writer keeps no process alive.
    """

    def __init__(self, database: Database) -> None:
        self.commits = 0
        self.batches = 0
        self._database = database
        self._connection: Connection | None = None
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="memori-writer")
        self._lock = threading.Lock()
        self._waiting: deque[_Job] = deque()
        self._draining = False
        self._closed = False
        self._thread: int | None = None
        self._process = os.getpid()
        self._merging_pauses = 0

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
        self._enqueue(_Job(tenant, writes, future))
        return future

    def submit_from_loop(
        self, tenant: str, writes: tuple[Write[Any], ...]
    ) -> asyncio.Future[list[Any]]:
        """`submit` for the running event loop, which is woken once for all it waits for."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Any]] = loop.create_future()
        self._enqueue(_Job(tenant, writes, future, loop))
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
        self._disconnect()

    def _enqueue(self, job: _Job) -> None:
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
        if os.getpid() != self._process:
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

    def _finish(self, jobs: list[_Job]) -> None:
        """Commit the jobs together or, if the database gives up on all, each by itself."""
        try:
            self._commit(jobs)
        except _BatchLost as lost:
            if len(jobs) > 1:
                for job in jobs:
                    self._finish([job])
                return
            jobs[0].error = jobs[0].error or lost.__cause__ or StoreError(_ENDED)
        except Exception as error:  # noqa: BLE001 - it belongs to the callers, not to this thread
            for job in jobs:
                job.error = error
        self._tell(jobs)

    def _tell(self, jobs: list[_Job]) -> None:
        waiting: dict[asyncio.AbstractEventLoop, list[_Job]] = {}
        for job in jobs:
            if job.loop is None:
                job.resolve()
            else:
                waiting.setdefault(job.loop, []).append(job)
        for loop, theirs in waiting.items():
            with suppress(RuntimeError):  # the loop was closed: nobody waits any more
                loop.call_soon_threadsafe(_resolve, theirs)

    def _commit(self, jobs: list[_Job]) -> None:
        database = self._database
        try:
            connection = self._begin()
        except database.errors as error:
            raise database.explain(error) from error
        try:
            for run in (self._run_merged, self._run_together, self._run_apart):
                if run(connection, jobs):
                    break
                if connection.in_transaction:
                    connection.rollback()
                connection.begin_write()
            connection.commit()
        except database.errors as error:
            self._abandon(connection)
            if database.undone(error):
                raise _BatchLost from database.explain(error)
            raise database.explain(error) from error
        self.batches += 1
        self.commits += sum(job.error is None for job in jobs)

    def _begin(self) -> Connection:
        """Begin on the connection that is there; one that turns out to be lost is replaced."""
        fresh = self._connection is None
        while True:
            connection = self._open()
            try:
                connection.begin_write()
            except self._database.errors:
                self._abandon(connection)
                if fresh or not connection.lost:
                    raise
                self._disconnect()
                fresh = True
            else:
                return connection

    def _run_merged(self, connection: Connection, jobs: list[_Job]) -> bool:
        """Run neighbouring insertions as one statement; False if some row was there already.

        Where that happens often it is not tried each time: what follows costs the batch twice.
        """
        if self._merging_pauses:
            self._merging_pauses -= 1
            return self._run_together(connection, jobs)
        try:
            for insertions, group in groupby(jobs, _is_insertion):
                if not insertions:
                    if not self._run_together(connection, list(group)):
                        return False
                elif not self._insert(connection, list(group)):
                    self._merging_pauses = _MERGING_PAUSES
                    return False
        except self._database.errors:
            return False
        return True

    def _insert(self, connection: Connection, jobs: list[_Job]) -> bool:
        rows: dict[str, list[tuple[SqlValue, ...]]] = {}
        for job in jobs:
            insertion = cast("Insertion", job.writes[0])
            rows.setdefault(insertion.statement, []).append((job.tenant, *insertion.values))
        for statement, values in rows.items():
            if connection.insert_all(statement, values) != len(values):
                return False
        for job in jobs:
            job.results = [None]
        return True

    def _run_together(self, connection: Connection, jobs: list[_Job]) -> bool:
        """Run the jobs without telling them apart; False if one failed and all must be undone."""
        try:
            for job in jobs:
                tx = BoundTx(connection, self._database.dialect, job.tenant)
                job.results = [call(write, tx) for write in job.writes]
        except BaseException:  # noqa: BLE001 - it comes again, and is told, when each runs by itself
            return False
        return connection.in_transaction

    def _run_apart(self, connection: Connection, jobs: list[_Job]) -> bool:
        """Run each job so that its failure undoes nothing else."""
        for job in jobs:
            self._run(connection, job)
        return True

    def _run(self, connection: Connection, job: _Job) -> None:
        job.results, job.error = [], None
        tx = BoundTx(connection, self._database.dialect, job.tenant)
        connection.execute("SAVEPOINT caller")
        try:
            job.results = [call(write, tx) for write in job.writes]
        except self._database.errors as error:
            job.error = self._database.explain(error)
            job.error.__cause__ = error
        except BaseException as error:  # noqa: BLE001 - a caller's bug reaches that caller alone
            job.error = error
        if not connection.in_transaction:
            raise _BatchLost from job.error
        if job.error is not None:
            connection.execute("ROLLBACK TO SAVEPOINT caller")
        connection.execute("RELEASE SAVEPOINT caller")

    def _open(self) -> Connection:
        self._thread = threading.get_ident()
        if self._connection is None:
            self._connection = self._database.connect_writer()
        return self._connection

    def _abandon(self, connection: Connection) -> None:
        """Leave no transaction open; a connection that cannot even roll back is replaced."""
        try:
            if connection.in_transaction:
                connection.rollback()
        except self._database.errors:
            self._disconnect()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
