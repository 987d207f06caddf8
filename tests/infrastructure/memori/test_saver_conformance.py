"""LangGraph's own conformance suite for checkpointers, on every kind of store."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from langgraph.checkpoint.conformance import checkpointer_test, validate

from infrastructure.memory.memori.checkpoints import MemoriSaver


async def test_it_has_every_capability_of_langgraph_s_suite(place: str) -> None:
    @checkpointer_test(name="MemoriSaver")
    async def saver() -> AsyncGenerator[Any]:
        async with MemoriSaver.open(place) as opened:
            yield opened

    report = await validate(saver)
    failures = [failure for result in report.results.values() for failure in result.failures]
    assert not failures
    assert len(report.results) == 8
    assert all(result.passed for result in report.results.values())
