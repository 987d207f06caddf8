"""The store benchmark's floor: bare sqlite3."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import orjson
from store_data import Note


class BareSqlite:
    """The floor: one writer thread, all that wait in one commit, one INSERT an item."""

    def __init__(self, path: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[str, bytes, asyncio.Future[None]]] = deque()
        self._draining = False
        self._thread = ThreadPoolExecutor(1)
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("CREATE TABLE notes (key TEXT PRIMARY KEY, value BLOB)")

    async def put(self, note: Note) -> None:
        stored: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append((note.key, orjson.dumps(note.value), stored))
        if not self._draining:
            self._draining = True
            self._thread.submit(self._commit)
        await stored

    def _commit(self) -> None:
        batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
        self._connection.execute("BEGIN IMMEDIATE")
        for key, value, _ in batch:
            self._connection.execute("INSERT INTO notes VALUES (?, ?)", (key, value))
        self._connection.execute("COMMIT")
        self._loop.call_soon_threadsafe(self._acknowledge, [stored for _, _, stored in batch])

    def _acknowledge(self, stored: list[asyncio.Future[None]]) -> None:
        for future in stored:
            future.set_result(None)
        if self._waiting:
            self._thread.submit(self._commit)
        else:
            self._draining = False

    def close(self) -> None:
        self._thread.shutdown()
        self._connection.close()


@asynccontextmanager
async def open_bare_sqlite(path: str) -> AsyncGenerator[BareSqlite]:
    """Bare sqlite3 in WAL with `synchronous=FULL`."""
    store = BareSqlite(path)
    try:
        yield store
    finally:
        store.close()
