"""Read-only connections in their own threads: a slow query blocks neither loop nor writer."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

from infrastructure.errors import StoreError
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.sqlite import MEMORY, SqliteTx, call, connect_reader, explain
from infrastructure.memory.memori.writer import Writer

POOL_SIZE: Final = 4


class Readers:
    """A small pool; a store in memory has no second connection and reads on the writer's thread."""

    def __init__(self, path: str, writer: Writer, timeout_s: float) -> None:
        self.reads = 0
        self._path = path
        self._writer = writer
        self._timeout_s = timeout_s
        self._executor = ThreadPoolExecutor(POOL_SIZE, thread_name_prefix="memori-reader")
        self._lock = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._ready = False

    def submit(self, tenant: str, query: Callable[[Tx], Any]) -> Future[Any]:
        """Run the query in one read transaction."""
        self.reads += 1
        if self._path == MEMORY:
            return self._writer.run(
                lambda connection: self._read_in_memory(connection, tenant, query)
            )
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
            # The writer makes the file and its schema; a reader alone could do neither.
            self._writer.run(lambda _: None).result()
            self._ready = True
        connection = self._take()
        try:
            return self._query(connection, tenant, query)
        finally:
            with self._lock:
                self._idle.append(connection)

    def _read_in_memory(
        self, connection: sqlite3.Connection, tenant: str, query: Callable[[Tx], Any]
    ) -> Any:
        connection.execute("PRAGMA query_only = ON")
        try:
            return self._query(connection, tenant, query)
        finally:
            connection.execute("PRAGMA query_only = OFF")

    def _take(self) -> sqlite3.Connection:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return connect_reader(self._path, self._timeout_s)

    def _query(
        self, connection: sqlite3.Connection, tenant: str, query: Callable[[Tx], Any]
    ) -> Any:
        try:
            connection.execute("BEGIN")
            try:
                return call(query, SqliteTx(connection, tenant))
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise explain(error, self._path) from error
