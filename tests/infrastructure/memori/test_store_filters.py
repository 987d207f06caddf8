"""Filters: one answer for every JSON value, whatever the keys and operands contain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from json_filters import all_filters, filter_matches, records
from langgraph.store.base import PutOp

from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.store import MemoriStore

NS = ("f",)


@pytest.fixture(scope="module")
def store() -> Iterator[MemoriStore]:
    memori = Memori.open(":memory:")
    yield MemoriStore(memori)
    memori.close()


@settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(stored=st.lists(records, min_size=1, max_size=5), filter_=all_filters)
def test_the_store_filters_as_the_rules_say(
    store: MemoriStore, stored: list[dict[str, Any]], filter_: dict[str, Any]
) -> None:
    for key in range(5):
        store.delete(NS, str(key))
    store.batch([PutOp(NS, str(key), value) for key, value in enumerate(stored)])
    hits = store.search(NS, filter=filter_, limit=10)
    expected = [str(key) for key, value in enumerate(stored) if filter_matches(value, filter_)]
    assert [hit.key for hit in reversed(hits)] == expected
    assert [hit.value for hit in reversed(hits)] == [stored[int(key)] for key in expected]
