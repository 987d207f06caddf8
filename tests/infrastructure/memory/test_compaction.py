"""Compaction loses nothing, counts nothing twice, and keeps out of the way."""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any

import pytest
from prometheus_client import REGISTRY, CollectorRegistry
from workflow_fixtures import START, SetClock, workflow

from infrastructure.errors import InputError, StoreError
from infrastructure.memory.compaction_service import CompactionService, SessionMetrics
from infrastructure.memory.compaction_worker import TOGETHER, CompactionWorker
from infrastructure.memory.memori.archive import (
    BATCH_RECORDS,
    next_batch,
    pack_batch,
    replace_by_archive,
)
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.workflows import Workflow, store_workflow
from infrastructure.memory.session_patterns import SessionPattern
from infrastructure.memory.workflow_memory import WorkflowMemory
from infrastructure.observability.metrics import memory_metrics


@pytest.fixture
async def memory(place: str) -> AsyncIterator[WorkflowMemory]:
    memori = Memori.open(place, clock=SetClock())
    yield WorkflowMemory(memori)
    await memori.aclose()


@pytest.fixture
def service(memory: WorkflowMemory) -> CompactionService:
    return CompactionService(memory)


def _metadata(n: int) -> dict[str, Any]:
    tasks = [{"id": f"t{k}", "agent": "tester", "produces": ["test_report"]} for k in range(6)]
    return {"request": f"run the tests of project {n}", "dag": {"tasks": tasks}, "n": n}


async def _fill(memory: WorkflowMemory, count: int, start: int = 0, session: str = "s") -> None:
    for n in range(start, start + count):
        row = workflow(
            f"{session}{n:04}",
            session_id=session,
            metadata=_metadata(n),
            duration_s=0.1 * n,
            success=n % 4 != 0,
            created_at=START + n,
        )
        await memory.store(row)


def _store(tx: Tx, row: Workflow) -> bool:
    return store_workflow(tx, row)


async def _live_rows(memory: WorkflowMemory) -> int:
    sql = "SELECT COUNT(*) FROM workflows"
    row = await memory.memori.read(lambda tx: tx.execute(sql).fetchone())
    assert row is not None
    return row[0]


async def test_a_session_is_packed_and_read_back_exactly(
    memory: WorkflowMemory, service: CompactionService
) -> None:
    await _fill(memory, 10)
    before = await memory.workflows("s")
    metrics = await service.compact_session("s")
    assert await _live_rows(memory) == 0
    assert await service.read_session("s") == before
    assert metrics.num_memories == 10
    assert metrics.compressed_size_bytes < metrics.original_size_bytes
    assert metrics.compression_ratio == pytest.approx(
        1 - metrics.compressed_size_bytes / metrics.original_size_bytes
    )
    assert metrics.compression_ratio > 0.73
    assert metrics.num_patterns_extracted > 0


async def test_compacting_twice_changes_nothing(
    memory: WorkflowMemory, service: CompactionService
) -> None:
    await _fill(memory, 5)
    first = await service.compact_session("s")
    learnt = await memory.learning_metrics()
    assert await service.compact_session("s") == first
    assert await memory.learning_metrics() == learnt
    assert learnt["total_workflows_executed"] == 5


async def test_new_workflows_extend_the_archive(
    memory: WorkflowMemory, service: CompactionService
) -> None:
    for start in range(0, 70, 7):
        await _fill(memory, 7, start)
        await service.compact_session("s")
    found = await service.read_session("s")
    assert [row.metadata["n"] for row in found] == list(range(70))
    metrics = await service.compact_session("s")
    assert metrics.num_memories == 70
    assert metrics.compression_ratio > 0.9


async def test_a_long_session_takes_several_chunks(
    memory: WorkflowMemory, service: CompactionService
) -> None:
    rows = [workflow(f"w{n:04}", created_at=START + n) for n in range(600)]
    await memory.memori.commit(*(partial(_store, row=row) for row in rows))
    assert (await service.compact_session("s")).num_memories == 600
    assert await service.read_session("s") == rows


async def test_one_tiny_record_does_not_grow(
    memory: WorkflowMemory, service: CompactionService
) -> None:
    await memory.store(workflow("w", steps=()))
    metrics = await service.compact_session("s")
    assert 0 < metrics.compressed_size_bytes <= metrics.original_size_bytes


async def test_an_empty_session_gives_zeros(service: CompactionService) -> None:
    assert await service.compact_session("nothing") == SessionMetrics("nothing", 0, 0, 0.0, 0, 0, 0)
    assert await service.get_session_patterns("nothing") == []
    assert await service.read_session("nothing") == []
    with pytest.raises(InputError):
        await service.compact_session(" ")


async def test_feedback_and_forgetting_reach_compacted_records(
    memory: WorkflowMemory, service: CompactionService
) -> None:
    await _fill(memory, 4)
    await service.compact_session("s")
    await memory.feedback("s0000", success=True, task_type="debugging")
    rows = await service.read_session("s")
    assert (rows[0].success, rows[0].task_type) == (True, "debugging")
    assert (await memory.learning_metrics())["overall_success_rate"] == 1.0
    await memory.forget_run("s0001")
    assert [row.id for row in await service.read_session("s")] == ["s0000", "s0002", "s0003"]
    assert (await service.compact_session("s")).num_memories == 3
    for n in (0, 2, 3):
        await memory.forget_run(f"s000{n}")
    assert (await service.get_compaction_metrics()).original_size_bytes == 0
    assert (await service.get_compaction_metrics()).sessions == 0


async def test_a_damaged_archive_is_named_not_returned(
    memory: WorkflowMemory, service: CompactionService
) -> None:
    await _fill(memory, 3)
    await service.compact_session("s")
    await memory.memori.commit(
        lambda tx: tx.execute("UPDATE archives SET sha256 = 'other'").rowcount
    )
    with pytest.raises(StoreError, match="chunk 0 of session 's' is damaged"):
        await service.read_session("s")


async def test_a_commit_that_fails_leaves_the_session_as_it_was(
    memory: WorkflowMemory, service: CompactionService
) -> None:
    await _fill(memory, 3)
    before = await memory.workflows("s")

    def fail(_: object) -> None:
        raise StoreError("power cut")

    batch = await memory.memori.read(lambda tx: next_batch(tx, "s"))
    packed = pack_batch(batch, "orchestrator")
    with pytest.raises(StoreError, match="power cut"):
        await memory.memori.commit(
            lambda tx: replace_by_archive(tx, batch, packed, patterns=True, ms=1.0, now=START),
            fail,
        )
    assert await _live_rows(memory) == 3
    assert await memory.workflows("s") == before
    assert (await service.compact_session("s")).num_memories == 3


async def test_a_record_that_changes_while_it_is_packed_is_packed_again(
    memory: WorkflowMemory, service: CompactionService
) -> None:
    await _fill(memory, 3)
    batch = await memory.memori.read(lambda tx: next_batch(tx, "s"))
    packed = pack_batch(batch, "orchestrator")
    await memory.forget_run("s0001")
    with pytest.raises(StoreError, match="meanwhile"):
        await memory.memori.commit(
            lambda tx: replace_by_archive(tx, batch, packed, patterns=True, ms=1.0, now=START)
        )
    assert (await service.compact_session("s")).num_memories == 2


async def test_patterns_name_sequences_agents_and_models_with_failures(
    memory: WorkflowMemory, service: CompactionService
) -> None:
    common = ("testing:tester:", "documentation:writer:small")
    await memory.store(workflow("w1", steps=(*common, "general:other:large")))
    await memory.store(workflow("w2", steps=("debugging:debugger:", *common)))
    await memory.store(workflow("w3", steps=("debugging:debugger:",), success=False))
    await service.compact_session("s")
    found = await service.get_session_patterns("s")
    assert SessionPattern("sequence", common, 2, 2, 1.0) in found
    assert SessionPattern("agent", ("debugger",), 2, 1, 0.5) in found
    assert SessionPattern("model", ("small",), 2, 2, 1.0) in found
    assert not any(p.kind == "workflow" and p.value == ("debugging:debugger:",) for p in found)


async def test_patterns_are_extracted_only_when_asked_for(
    memory: WorkflowMemory, service: CompactionService
) -> None:
    await _fill(memory, 2)
    assert (await service.compact_session("s", extract_patterns=False)).num_patterns_extracted == 0
    assert await service.get_session_patterns("s") == []
    assert (await service.compact_session("s")).num_patterns_extracted > 0
    assert await service.get_session_patterns("s") != []


async def test_requests_are_served_off_the_path(
    memory: WorkflowMemory, service: CompactionService
) -> None:
    for session in ("a", "b"):
        await _fill(memory, 3, session=session)
        assert service.request(session)
        assert service.request(session)
    await service.drain()
    metrics = await service.get_compaction_metrics()
    assert (metrics.sessions, metrics.num_memories) == (2, 6)
    assert (metrics.worker.waiting, metrics.worker.failed) == (0, 0)
    assert 0 < metrics.compression_ratio < 1


async def test_sessions_asked_for_together_share_a_commit_and_lose_nothing(
    memory: WorkflowMemory, service: CompactionService
) -> None:
    sessions = [f"s{n}" for n in range(20)]
    for session in sessions:
        await _fill(memory, 2, session=session)
    await service.compact_session("s3")
    await _fill(memory, 3, start=2, session="s3")
    before = {session: await memory.workflows(session) for session in sessions}
    commits = memory.memori.statistics.batches
    for session in sessions:
        service.request(session)
    await service.drain()
    assert memory.memori.statistics.batches - commits < len(sessions) / 2
    assert await _live_rows(memory) == 0
    for session in sessions:
        assert await service.read_session(session) == before[session]
        assert (await service.get_ledger(session))[-1].record_ids
        assert await service.get_session_patterns(session)
    metrics = await service.get_compaction_metrics()
    assert (metrics.sessions, metrics.num_memories) == (20, 43)
    assert (metrics.worker.done, metrics.worker.failed) == (20, 0)


async def test_a_long_session_among_others_is_packed_to_its_end(
    memory: WorkflowMemory, service: CompactionService
) -> None:
    rows = [
        workflow(f"long{n:04}", session_id="long", created_at=START + n)
        for n in range(BATCH_RECORDS + 5)
    ]
    await memory.memori.commit(*(partial(_store, row=row) for row in rows))
    for session in ("a", "b"):
        await _fill(memory, 2, session=session)
    for session in ("a", "long", "b"):
        service.request(session)
    await service.drain()
    assert await _live_rows(memory) == 0
    assert len(await service.read_session("long")) == BATCH_RECORDS + 5


async def test_a_damaged_session_fails_alone(
    memory: WorkflowMemory, service: CompactionService, caplog: pytest.LogCaptureFixture
) -> None:
    for session in ("a", "bad", "b"):
        await _fill(memory, 2, session=session)
    await service.compact_session("bad")
    sql = "UPDATE archives SET body = ? WHERE session_id = 'bad'"
    await memory.memori.commit(lambda tx: tx.execute(sql, (b"no archive",)).rowcount)
    await _fill(memory, 1, start=2, session="bad")
    for session in ("a", "bad", "b"):
        service.request(session)
    with caplog.at_level(logging.ERROR, "genesis.memory"):
        await service.drain()
    assert "compaction of session bad failed" in caplog.text
    worker = (await service.get_compaction_metrics()).worker
    assert (worker.done, worker.failed) == (3, 1)
    assert await _live_rows(memory) == 1
    for session in ("a", "b"):
        assert len(await service.read_session(session)) == 2


async def test_a_failure_in_the_background_is_logged_and_counted(
    memory: WorkflowMemory, service: CompactionService, caplog: pytest.LogCaptureFixture
) -> None:
    await _fill(memory, 1)
    await memory.memori.commit(lambda tx: tx.execute("DROP TABLE archives").rowcount)
    with caplog.at_level(logging.ERROR, "genesis.memory"):
        service.request("s")
        await service.drain()
    assert "compaction of session s failed" in caplog.text
    assert await _live_rows(memory) == 1


def test_the_queue_is_bounded_and_drops_repeats() -> None:
    begun, go_on, served = threading.Event(), threading.Event(), list[str]()

    def serve(session_id: str) -> None:
        begun.set()
        go_on.wait(30)
        served.append(session_id)

    worker = CompactionWorker(serve, limit=2)
    assert worker.request("first")
    assert begun.wait(30)
    assert worker.request("a")
    assert worker.request("b")
    assert worker.request("a")  # waits already
    assert not worker.request("c")
    assert worker.statistics.waiting == 3
    go_on.set()
    worker.wait()
    assert served == ["first", "a", "b"]
    assert worker.statistics.refused == 1


def test_those_who_ask_soon_after_one_another_are_served_together() -> None:
    together, all_served = list[str](), threading.Event()

    def serve_together(sessions: Sequence[str]) -> None:
        together.extend(sessions)
        all_served.set()

    # Nobody waits, and the first alone would wait for a minute: the last that fits begins it.
    worker = CompactionWorker(together.append, serve_together=serve_together, gather_s=60)
    for n in range(TOGETHER):
        worker.request(str(n))
    assert all_served.wait(30)
    assert together == [str(n) for n in range(TOGETHER)]
    # Who waits for what is asked is not kept waiting.
    worker.request("late")
    worker.wait()
    assert together[-1] == "late"
    assert worker.statistics.done == TOGETHER + 1


def test_an_idle_worker_takes_short_steps_until_none_is_left() -> None:
    left, done = [3], threading.Event()

    def idle() -> bool:
        left[0] -= 1
        if not left[0]:
            done.set()
        return left[0] > 0

    worker = CompactionWorker(lambda session_id: None, idle=idle)
    worker.request("a")
    assert done.wait(30)
    worker.wait()
    assert left == [0]


def test_upkeep_that_fails_does_not_stop_the_queue(caplog: pytest.LogCaptureFixture) -> None:
    failed = threading.Event()

    def idle() -> bool:
        failed.set()
        raise StoreError("no room")

    worker = CompactionWorker(lambda session_id: None, idle=idle)
    with caplog.at_level(logging.ERROR, "genesis.memory"):
        worker.request("a")
        assert failed.wait(30)
        worker.request("b")
        worker.wait()
    assert "the upkeep of archives failed: no room" in caplog.text
    assert worker.statistics.done == 2


async def test_prometheus_follows(memory: WorkflowMemory, service: CompactionService) -> None:
    def value(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, labels) or 0.0

    saved = value("memory_storage_bytes_saved_total")
    reads = value("memory_decompression_latency_ms_count")
    await _fill(memory, 5)
    metrics = await service.compact_session("s")
    await service.compact_session("s")
    await service.read_session("s")
    assert value("memory_storage_bytes_saved_total") - saved == (
        metrics.original_size_bytes - metrics.compressed_size_bytes
    )
    assert value("memory_compression_ratio", namespace="orchestrator") == metrics.compression_ratio
    assert value("memory_decompression_latency_ms_count") == reads + 1


def test_metrics_can_live_in_a_registry_of_their_own() -> None:
    registry = CollectorRegistry()
    assert memory_metrics(registry) is memory_metrics(registry)
    memory_metrics(registry).retrieval_accuracy.observe(0.5)
    assert registry.get_sample_value("memory_retrieval_accuracy_sum") == 0.5
