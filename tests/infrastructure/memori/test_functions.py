"""The functions that SQLite calls for filters keep little of what they were asked."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest

from infrastructure.memory.memori import functions

SIZE = 100_000


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("traced")
def test_long_operands_are_not_kept() -> None:
    for number in range(300):
        text = f"{number}" + "x" * SIZE
        assert functions.equals(f'"{text}"', f'"{text}"')
        assert functions.is_in(f'"{text}"', f'["{text}"]')
        assert functions.contains(f'["{text}"]', f'"{text}"')
        assert functions.field("{}", f'["{text}"]') is None
    held, _ = tracemalloc.get_traced_memory()
    assert held < 10 * SIZE


def test_short_and_long_operands_are_read_alike() -> None:
    for size in (1, 10, 100, 1_000, SIZE):
        text = "x" * size
        assert functions.equals(f'"{text}"', f'"{text}"')
        assert not functions.equals(f'"{text}"', f'"{text}y"')
