"""Read-only connections in their own threads: a slow query blocks neither loop nor writer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

from infrastructure.errors import StoreError
from infrastructure.memory.memori.dialect import BoundTx, Connection, Database, Tx, call
from infrastructure.memory.memori.writer import Writer

POOL_SIZE: Final = 4


class Readers:
    """A small pool; a private database has no second connection and reads on the writer's thread.

    A read must not begin another and wait for it: with every thread waiting so, none would end.
    """

    def __init__(self, database: Database, writer: Writer) -> None:
        self.reads = 0
        self._database = database
        self._writer = writer
        self._executor = ThreadPoolExecutor(POOL_SIZE, thread_name_prefix="memori-reader")
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._ready = False
        self._reading = threading.local()

    def submit(self, tenant: str, query: Callable[[Tx], Any]) -> Future[Any]:
        """Run the query in one read transaction."""
        if getattr(self._reading, "now", False):
            raise StoreError(
                "a read may use the store only through the transaction it is given: it would wait "
                "for itself"
            )
        self.reads += 1
        if self._database.private:
            return self._writer.run(lambda connection: self._read_alone(connection, tenant, query))
        self._writer.check_usable()
        try:
            return self._executor.submit(self._read, tenant, query)
        except RuntimeError as error:
            raise StoreError("the store is closing; nothing was read") from error

    def close(self) -> None:
        """Wait for queries that run, then close the connections."""
        self._executor.shutdown(wait=True)
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    def _read(self, tenant: str, query: Callable[[Tx], Any]) -> Any:
        if not self._ready:
            # The writer makes the place and its schema; a reader alone could do neither.
            self._writer.run(lambda _: None).result()
            self._ready = True
        connection = self._begin()
        self._reading.now = True
        try:
            return self._query(connection, tenant, query)
        finally:
            self._reading.now = False
            self._put_back(connection)

    def _read_alone(self, connection: Connection, tenant: str, query: Callable[[Tx], Any]) -> Any:
        connection.begin_read()
        return self._query(connection, tenant, query)

    def _begin(self) -> Connection:
        """A connection in a read transaction; an idle one that turns out to be lost is replaced."""
        while True:
            connection, fresh = self._take()
            try:
                connection.begin_read()
            except self._database.errors as error:
                self._put_back(connection)
                if fresh or not connection.lost:
                    raise self._database.explain(error) from error
            else:
                return connection

    def _take(self) -> tuple[Connection, bool]:
        """A connection, and whether it was opened now."""
        with self._lock:
            if self._idle:
                return self._idle.pop(), False
        return self._database.connect_reader(), True

    def _put_back(self, connection: Connection) -> None:
        if connection.lost:
            connection.close()
            return
        with self._lock:
            self._idle.append(connection)

    def _query(self, connection: Connection, tenant: str, query: Callable[[Tx], Any]) -> Any:
        try:
            try:
                return call(query, BoundTx(connection, self._database.dialect, tenant))
            finally:
                connection.end_read()
        except self._database.errors as error:
            raise self._database.explain(error) from error
