"""Dictionaries are trained when they pay, never hold what few share, and go when they must."""

from __future__ import annotations

import random
import string
from collections.abc import AsyncIterator
from functools import partial

import pytest
from backports import zstd
from workflow_fixtures import START, SetClock, workflow

from infrastructure.errors import StoreError
from infrastructure.memory.compaction_service import CompactionService
from infrastructure.memory.dictionary_training import train
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.workflows import Workflow, store_workflow
from infrastructure.memory.workflow_memory import WorkflowMemory

SESSIONS = 68
SECRETS = {
    7: "the password is Vierwaldstaettersee",
    13: "my account number is CH9300762011623852957",
}
COMMON = "Every report begins with the same long disclaimer about the limits of measurement."


@pytest.fixture
async def memory(place: str) -> AsyncIterator[WorkflowMemory]:
    memori = Memori.open(place, clock=SetClock())
    yield WorkflowMemory(memori)
    await memori.aclose()


@pytest.fixture
def service(memory: WorkflowMemory) -> CompactionService:
    return CompactionService(memory)


def _record(number: int) -> Workflow:
    rng = random.Random(number)
    phrases = [f"{COMMON} Section {n} tells how {rng.choice('abc')} was found." for n in range(30)]
    rng.shuffle(phrases)
    return workflow(
        f"w{number:03}",
        session_id=f"s{number:03}",
        created_at=START + number,
        metadata={
            "report": phrases,
            # Makes the archive large enough for a dictionary to pay; nobody shares it.
            "noise": _noise(rng, 13_000),
            "secret": SECRETS.get(number, ""),
        },
    )


def _noise(rng: random.Random, length: int) -> str:
    return "".join(rng.choices(string.ascii_letters + " .,-", k=length))


async def _fill(
    memory: WorkflowMemory,
    service: CompactionService,
    numbers: range,
) -> None:
    rows = [_record(number) for number in numbers]
    await memory.memori.commit(*(partial(_store, row=row) for row in rows))
    for row in rows:
        await service.compact_session(row.session_id)


def _store(tx: Tx, row: Workflow) -> bool:
    return store_workflow(tx, row)


async def _bodies(memory: WorkflowMemory) -> list[bytes]:
    sql = "SELECT body FROM archive_dictionaries ORDER BY version"
    return [body for (body,) in await memory.memori.read(lambda tx: tx.execute(sql).fetchall())]


async def _named(memory: WorkflowMemory) -> set[int]:
    sql = "SELECT DISTINCT dictionary FROM archives"
    return {row[0] for row in await memory.memori.read(lambda tx: tx.execute(sql).fetchall())}


async def _all_read_back(service: CompactionService, numbers: range) -> None:
    for number in numbers:
        assert await service.read_session(f"s{number:03}") == [_record(number)]


async def test_a_dictionary_is_trained_when_it_pays_and_old_chunks_stay(
    memory: WorkflowMemory, service: CompactionService
) -> None:
    await _fill(memory, service, range(SESSIONS))
    assert (await service.get_compaction_metrics()).dictionaries == 0
    await service.maintain()
    metrics = await service.get_compaction_metrics()
    assert metrics.dictionaries == 1
    assert 0 < metrics.dictionary_bytes <= 64 * 1024
    assert metrics.compression_ratio_with_dictionaries < metrics.compression_ratio
    before = await service.compact_session("s000")
    await _fill(memory, service, range(SESSIONS, SESSIONS + 1))
    after = await service.compact_session(f"s{SESSIONS:03}")
    assert after.compression_ratio > before.compression_ratio
    assert await _named(memory) == {0, 1}
    await _all_read_back(service, range(SESSIONS + 1))
    await service.maintain()
    assert (await service.get_compaction_metrics()).dictionaries == 1


def test_a_dictionary_must_save_more_than_its_own_size() -> None:
    rng = random.Random(0)
    phrases = [f"{COMMON} Section {n}." for n in range(300)]
    alike = [" ".join(rng.sample(phrases, 20)).encode() for _ in range(80)]
    unlike = [rng.randbytes(2000) for _ in range(80)]
    assert train(unlike, None, sessions=80) is None
    assert train(alike, None, sessions=2) is None
    found = train(alike, None, sessions=10_000)
    assert found is not None
    assert 0.3 < found.share_saved < 1
    assert train(alike, zstd.ZstdDict(found.body), sessions=80) is None


async def test_a_dictionary_holds_only_what_three_sessions_share(
    memory: WorkflowMemory, service: CompactionService
) -> None:
    await _fill(memory, service, range(SESSIONS))
    await service.maintain()
    (body,) = await _bodies(memory)
    assert b"limits of measurement" in body
    for secret in SECRETS.values():
        pieces = {secret[start : start + 12].encode() for start in range(len(secret) - 11)}
        assert not any(piece in body for piece in pieces)


async def test_a_dictionary_goes_before_too_many_of_its_sources_are_forgotten(
    memory: WorkflowMemory, service: CompactionService
) -> None:
    await _fill(memory, service, range(SESSIONS))
    await service.maintain()
    await _fill(memory, service, range(SESSIONS, SESSIONS + 5))
    assert await _named(memory) == {0, 1}
    await memory.forget_run("w001")  # one is within the margin
    assert len(await _bodies(memory)) == 1
    await memory.forget_run("w002")  # two retire it: its chunks are packed anew, then it is deleted
    await _fill(memory, service, range(SESSIONS + 5, SESSIONS + 6))
    assert f"s{SESSIONS + 5:03}" not in await _sessions_naming(memory, 1)
    await service.maintain()
    assert await _sessions_naming(memory, 1) == set()
    await _all_read_back(service, range(3, SESSIONS + 6))


async def test_the_last_forgetting_removes_a_dictionary_in_the_same_commit(
    memory: WorkflowMemory, service: CompactionService
) -> None:
    await _fill(memory, service, range(SESSIONS))
    await service.maintain()
    await _fill(memory, service, range(SESSIONS, SESSIONS + 5))
    for name in ("w001", "w002", "w003"):
        await memory.forget_run(name)
    assert await _bodies(memory) == []
    assert await _named(memory) == {0}
    await _all_read_back(service, range(4, SESSIONS + 5))
    metrics = await service.get_compaction_metrics()
    assert (metrics.sessions, metrics.dictionary_bytes) == (SESSIONS + 2, 0)
    await _totals_agree(memory)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("DELETE FROM archive_dictionaries", "needs dictionary 1, which is missing"),
        ("UPDATE archive_dictionaries SET sha256 = 'other'", "dictionary 1 .* is damaged"),
    ],
)
async def test_a_missing_or_damaged_dictionary_is_named(
    memory: WorkflowMemory, service: CompactionService, change: str, message: str
) -> None:
    await _fill(memory, service, range(SESSIONS))
    await service.maintain()
    await _fill(memory, service, range(SESSIONS, SESSIONS + 1))
    await memory.memori.commit(lambda tx: tx.execute(change).rowcount)
    with pytest.raises(StoreError, match=message):
        await service.read_session(f"s{SESSIONS:03}")
    await _all_read_back(service, range(2))


async def _sessions_naming(memory: WorkflowMemory, version: int) -> set[str]:
    sql = "SELECT session_id FROM archives WHERE dictionary = ?"
    rows = await memory.memori.read(lambda tx: tx.execute(sql, (version,)).fetchall())
    return {session_id for (session_id,) in rows}


async def _totals_agree(memory: WorkflowMemory) -> None:
    held = "SELECT COUNT(DISTINCT session_id), SUM(records), SUM(LENGTH(body)) FROM archives"
    told = "SELECT sessions, records, compressed_bytes FROM compaction_totals"
    by_session = "SELECT COUNT(*), SUM(records), SUM(compressed_bytes) FROM compactions"
    found = [
        await memory.memori.read(lambda tx, sql=sql: tx.execute(sql).fetchone())
        for sql in (held, told, by_session)
    ]
    assert found[0] == found[1] == found[2]
