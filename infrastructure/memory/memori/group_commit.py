"""Group commit: the jobs that wait become one transaction, and none of them harms another."""

from __future__ import annotations

from itertools import groupby
from typing import Final, cast

from infrastructure.errors import StoreError, StoreUnavailable
from infrastructure.memory.memori.dialect import (
    BoundTx,
    Connection,
    Database,
    Insertion,
    SqlValue,
    call,
)
from infrastructure.memory.memori.jobs import Job

_MERGING_PAUSES: Final = 8


class BatchLost(Exception):
    """The whole transaction is gone, not only the failing caller's part; each may be tried alone.

    The store is as it was before. After any other failed COMMIT the outcome is unknown, and
    repeating a write could store it twice.
    """


def _is_insertion(job: Job) -> bool:
    return len(job.writes) == 1 and isinstance(job.writes[0], Insertion)


class GroupCommit:
    """Commits batches of jobs on one connection, by the quickest way that tells them apart.

    First neighbouring insertions as one statement, then all jobs in a row; when one of them fails
    the batch is undone, and run again with a savepoint around each.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Connection | None = None
        self._merging_pauses = 0

    def commit(self, jobs: list[Job]) -> None:
        """Run the jobs in one transaction and make it durable; each then has its results or error.

        Raises:
            BatchLost: nothing was stored; each job may be tried alone.
            StoreError: the database failed; what was stored is what it says.
        """
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
            explained = self._explain(connection, error)
            self._abandon(connection)
            if database.undone(error):
                raise BatchLost from explained
            raise explained from error

    def _begin(self) -> Connection:
        """Begin on the connection that is there; one that turns out to be lost is replaced."""
        fresh = self._connection is None
        while True:
            connection = self.open()
            try:
                connection.begin_write()
            except self._database.errors:
                self._abandon(connection)
                if fresh or not connection.lost:
                    raise
                self.close()
                fresh = True
            else:
                return connection

    def _run_merged(self, connection: Connection, jobs: list[Job]) -> bool:
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
        except Exception:  # noqa: BLE001 - it comes again, and is told, when each runs by itself
            return False
        return True

    def _insert(self, connection: Connection, jobs: list[Job]) -> bool:
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

    def _run_together(self, connection: Connection, jobs: list[Job]) -> bool:
        """Run the jobs without telling them apart; False if one failed and all must be undone."""
        try:
            for job in jobs:
                tx = BoundTx(connection, self._database.dialect, job.tenant)
                job.results = [call(write, tx) for write in job.writes]
        except BaseException:  # noqa: BLE001 - it comes again, and is told, when each runs by itself
            return False
        return connection.in_transaction

    def _run_apart(self, connection: Connection, jobs: list[Job]) -> bool:
        """Run each job so that its failure undoes nothing else."""
        for job in jobs:
            self._run(connection, job)
        return True

    def _run(self, connection: Connection, job: Job) -> None:
        job.results, job.error = [], None
        tx = BoundTx(connection, self._database.dialect, job.tenant)
        connection.execute("SAVEPOINT caller")
        try:
            job.results = [call(write, tx) for write in job.writes]
        except self._database.errors as error:
            job.error = self._explain(connection, error)
            job.error.__cause__ = error
        except BaseException as error:  # noqa: BLE001 - a caller's bug reaches that caller alone
            job.error = error
        if not connection.in_transaction:
            raise BatchLost from job.error
        if job.error is not None:
            connection.execute("ROLLBACK TO SAVEPOINT caller")
        connection.execute("RELEASE SAVEPOINT caller")

    def _explain(self, connection: Connection, error: Exception) -> StoreError:
        """What an error means to a write that was under way."""
        told = self._database.explain(error)
        if not connection.lost:
            return told
        return StoreUnavailable(
            f"{told}; the write that was under way may or may not be stored, so repeat it under "
            "the same id"
        )

    def open(self) -> Connection:
        """The connection that writes, opened at its first use."""
        if self._connection is None:
            self._connection = self._database.connect_writer()
        return self._connection

    def _abandon(self, connection: Connection) -> None:
        """Leave no transaction open; a connection that cannot even roll back is replaced."""
        try:
            if connection.in_transaction:
                connection.rollback()
        except self._database.errors:
            self.close()

    def close(self) -> None:
        """Close the connection; the next use opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
