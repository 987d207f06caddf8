"""Lists of tasks on Memori are those of the SDK's own store, page by page, on either database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from a2a.server.tasks import InMemoryTaskStore, TaskStore
from a2a.types import a2a_pb2 as pb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infrastructure.a2a.serving_callers import context_of, owner_of
from infrastructure.a2a.serving_lease import Lease
from infrastructure.a2a.task_store import MemoriTaskStore
from infrastructure.callers import Caller
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.store import MemoriStore

CALLERS = (Caller("acme", "a.b"), Caller("acme", "a"), Caller("evil", "a.b"))
STATES = [value for value in pb.TaskState.values() if value]
SAVES = st.lists(
    st.tuples(
        st.sampled_from(CALLERS),
        st.integers(0, 5),
        st.sampled_from(STATES),
        st.integers(0, 3),
        st.sampled_from(["c", "d"]),
    ),
    max_size=25,
)


def _task(number: int, state: int, second: int, context: str) -> pb.Task:
    task = pb.Task(id=f"t{number}", context_id=context)
    task.status.state = state  # pyright: ignore[reportAttributeAccessIssue] - an enum's number
    task.status.timestamp.FromSeconds(second)
    task.artifacts.add(artifact_id="a").parts.add(text=f"{number} at {second}")
    return task


async def _pages(store: TaskStore, caller: Caller, **asked: Any) -> list[tuple[list[pb.Task], int]]:
    pages: list[tuple[list[pb.Task], int]] = []
    token = ""
    while True:
        params = pb.ListTasksRequest(page_size=2, page_token=token, **asked)
        page = await store.list(params, context_of(caller))
        pages.append((list(page.tasks), page.total_size))
        token = page.next_page_token
        if not token:
            return pages


def _store(memori: Memori) -> MemoriTaskStore:
    base = MemoriStore(memori)
    return MemoriTaskStore(base, Lease(base), kept_tasks=100, retention_s=3600)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(saves=SAVES)
async def test_lists_and_gets_are_those_of_the_sdks_store(saves: list[Any]) -> None:
    memori = Memori.open(":memory:")
    ours, theirs = _store(memori), InMemoryTaskStore(owner_resolver=owner_of)
    for caller, *fields in saves:
        for store in (ours, theirs):
            await store.save(_task(*fields), context_of(caller))
    for caller in CALLERS:
        for asked in ({}, {"context_id": "c"}, {"status": pb.TASK_STATE_COMPLETED}):
            assert await _pages(ours, caller, **asked) == await _pages(theirs, caller, **asked)
        for number in range(6):
            found = [await s.get(f"t{number}", context_of(caller)) for s in (ours, theirs)]
            assert found[0] == found[1]
    await memori.aclose()


@pytest.fixture(params=["sqlite", "postgres"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    if request.param == "sqlite":
        yield str(tmp_path / "tasks.db")
    else:
        yield request.getfixturevalue("postgres_url")


async def test_what_was_saved_is_there_when_it_is_opened_again(place: str) -> None:
    caller = CALLERS[0]
    for expected in (0, 3):
        memori = Memori.open(place)
        store = _store(memori)
        before = await _pages(store, caller)
        assert before[0][1] == expected
        for number in range(3):
            task = _task(number, pb.TASK_STATE_COMPLETED, number, "c")
            await store.save(task, context_of(caller))
        pages = await _pages(store, caller)
        assert [[task.id for task in tasks] for tasks, _ in pages] == [["t2", "t1"], ["t0"]]
        assert await store.get("t1", context_of(CALLERS[1])) is None
        await store.keep_answer(pb.Task(id="x"), context_of(caller))
        assert await store.answer("x", context_of(caller)) == pb.Task(id="x")
        await memori.aclose()
