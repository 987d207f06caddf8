"""The store benchmark's peers: LangGraph's stores, on the same questions.

LangGraph's stores keep no counters, so 'the best step lists of a type' reads the type's workflows
by a filter and groups them in Python, which is what a program over them has to do.
"""

from __future__ import annotations

import importlib
import sqlite3
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Any

from langgraph.store.base import BaseStore, Op, PutOp, SearchItem
from store_data import Executed, Note
from store_measure import TOP

from infrastructure.embeddings.builtin import BuiltinEmbedder

_NAMESPACE = ("notes",)
_WORKFLOWS = ("workflows",)
_LEAST_RATE = 0.7
_EVERYTHING = 100_000_000


class LangGraphSubject:
    """Any of LangGraph's stores, without its index."""

    def __init__(self, store: BaseStore) -> None:
        self._store = store

    async def put(self, note: Note) -> None:
        await self._store.aput(_NAMESPACE, note.key, note.value, index=False)

    async def add_workflows(self, executed: Sequence[Executed]) -> None:
        puts: list[Op] = [
            PutOp(
                _WORKFLOWS,
                one.key,
                {
                    "task_type": one.task_type,
                    "steps": list(one.steps),
                    "success": one.success,
                    "seconds": one.seconds,
                    "usd": one.usd,
                },
                index=False,
            )
            for one in executed
        ]
        await self._store.abatch(puts)

    async def patterns(self, task_type: str) -> Sequence[object]:
        groups: dict[tuple[str, ...], list[bool]] = {}
        for item in await self._of_type(task_type):
            groups.setdefault(tuple(item.value["steps"]), []).append(item.value["success"])
        rates = {steps: sum(results) / len(results) for steps, results in groups.items()}
        good = [steps for steps, rate in rates.items() if rate >= _LEAST_RATE]
        return sorted(good, key=lambda steps: rates[steps], reverse=True)[:TOP]

    async def metrics(self, task_type: str) -> tuple[int, int]:
        items = await self._of_type(task_type)
        return len(items), sum(item.value["success"] for item in items)

    async def _of_type(self, task_type: str) -> list[SearchItem]:
        return await self._store.asearch(
            _WORKFLOWS, filter={"task_type": task_type}, limit=_EVERYTHING
        )


class SearchableLangGraph:
    """LangGraph's stores with their index: vectors alone, of the same embedder as ours."""

    def __init__(self, store: BaseStore) -> None:
        self._store = store

    async def put(self, note: Note) -> None:
        await self._store.aput(_NAMESPACE, note.key, note.value)

    async def add_notes(self, notes: Sequence[Note]) -> None:
        await self._store.abatch([PutOp(_NAMESPACE, note.key, note.value) for note in notes])

    async def search(self, query: str) -> list[str]:
        found = await self._store.asearch(_NAMESPACE, query=query, limit=TOP)
        return [item.key for item in found]


def index_config() -> Any:
    """Their index over the text of a note."""
    embedder = BuiltinEmbedder()

    def embed(texts: Sequence[str]) -> list[list[float]]:
        return embedder.embed(texts).tolist()

    return {
        "dims": embedder.dimensions,
        "embed": embed,
        "fields": ["text"],
        "text_fields": ["text"],
    }


@asynccontextmanager
async def open_async_sqlite(
    path: str, *, wal: bool, index: Any = None
) -> AsyncGenerator[BaseStore]:
    """AsyncSqliteStore as it comes, or with a write-ahead log flushed at every commit."""
    from langgraph.store.sqlite.aio import AsyncSqliteStore

    async with AsyncSqliteStore.from_conn_string(path, index=index) as store:
        if wal:
            await store.conn.execute("PRAGMA journal_mode = WAL")
            await store.conn.execute("PRAGMA synchronous = FULL")
        await store.setup()
        yield store


@asynccontextmanager
async def open_as_it_comes(path: str) -> AsyncGenerator[LangGraphSubject]:
    """AsyncSqliteStore in SQLite's default journal mode."""
    async with open_async_sqlite(path, wal=False) as store:
        yield LangGraphSubject(store)


@asynccontextmanager
async def open_wal(path: str) -> AsyncGenerator[LangGraphSubject]:
    """AsyncSqliteStore in WAL with `synchronous=FULL`."""
    async with open_async_sqlite(path, wal=True) as store:
        yield LangGraphSubject(store)


@asynccontextmanager
async def open_searchable_wal(path: str) -> AsyncGenerator[SearchableLangGraph]:
    """AsyncSqliteStore in WAL with its index."""
    async with open_async_sqlite(path, wal=True, index=index_config()) as store:
        yield SearchableLangGraph(store)


def extensions_can_be_loaded() -> bool:
    """Whether AsyncSqliteStore's index can work in this process.

    It needs an sqlite3 that loads extensions. Where Python's own does not, `pysqlite3` takes its
    place in this process, if it is installed.
    """
    if hasattr(sqlite3.Connection, "enable_load_extension"):
        return True
    if find_spec("pysqlite3") is None:
        return False
    sys.modules["sqlite3"] = importlib.import_module("pysqlite3")
    return True


@asynccontextmanager
async def open_async_postgres(url: str, index: Any = None) -> AsyncGenerator[BaseStore]:
    """AsyncPostgresStore with a pool of connections."""
    from langgraph.store.postgres.aio import AsyncPostgresStore

    async with AsyncPostgresStore.from_conn_string(
        url, pool_config={"min_size": 1, "max_size": 10}, index=index
    ) as store:
        await store.setup()
        yield store


@asynccontextmanager
async def open_postgres(url: str) -> AsyncGenerator[LangGraphSubject]:
    """AsyncPostgresStore."""
    async with open_async_postgres(url) as store:
        yield LangGraphSubject(store)


@asynccontextmanager
async def open_searchable_postgres(url: str) -> AsyncGenerator[SearchableLangGraph]:
    """AsyncPostgresStore with its index, which is approximate (HNSW of pgvector)."""
    async with open_async_postgres(url, index_config()) as store:
        yield SearchableLangGraph(store)
