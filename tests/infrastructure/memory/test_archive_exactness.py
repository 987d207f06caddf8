"""Whatever a session holds is read back to the bit: packed, extended, packed anew, forgotten."""

from __future__ import annotations

import asyncio
import random
from dataclasses import asdict
from typing import Any

import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st
from workflow_fixtures import START, SetClock, workflow

from infrastructure.errors import StoreError
from infrastructure.memory.compaction_service import CompactionService
from infrastructure.memory.memori import archive_chunks, dictionaries
from infrastructure.memory.memori.archive_format import pack, unpack
from infrastructure.memory.memori.columns import ColumnReader, ColumnWriter
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.jsontext import dump_json
from infrastructure.memory.memori.workflows import Workflow
from infrastructure.memory.workflow_memory import WorkflowMemory

TEXTS = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ["", "\x00", "\x01", "\x010", "a\x02b", "run-7", "run-07", "run-123", "\ud800"]
    ),
    st.uuids().map(str),
    st.integers(0, 2**128).map("{:032x}".format),
    st.datetimes().map(lambda time: time.isoformat(timespec="microseconds")),
)
NUMBERS = st.one_of(
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(0, 1000).map(lambda value: round(value, 3)),
    st.sampled_from([0.0, -0.0, 1.0, 1, True, 5e-324, 1.7976931348623157e308, 2**64, -(2**63)]),
)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=15,
)
METADATA = st.dictionaries(st.sampled_from(["plan", "notes", "calls"]) | TEXTS, JSON, max_size=4)
AMOUNTS = st.floats(0, 1e6)
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(
            st.just("store"),
            st.fixed_dictionaries(
                {
                    "metadata": METADATA,
                    "steps": st.lists(TEXTS.filter(lambda text: text != "\ud800"), max_size=3).map(
                        tuple
                    ),
                    "duration_s": AMOUNTS,
                    "cost_usd": AMOUNTS,
                    "success": st.booleans(),
                    "recalled": st.none() | st.booleans(),
                    "created_at": st.floats(0, 1e10),
                }
            ),
        ),
        st.tuples(st.sampled_from(["compact", "dictionary", "upkeep", "forget"]), st.none()),
    ),
    min_size=3,
    max_size=14,
)


def _told(rows: list[Workflow]) -> list[str]:
    # Equal values of different types are told apart by their text: 1, 1.0 and True.
    return [dump_json(asdict(row)) for row in rows]


def _some_dictionary(number: int) -> bytes:
    rng = random.Random(number)
    words = ["plan", "notes", "calls", "testing:tester:", "documentation:writer:small"]
    samples = [" ".join(rng.choices(words, k=40)).encode() for _ in range(50)]
    return zstd.train_dict(samples, 1024).dict_content


def _add_dictionary(tx: Tx) -> int | None:
    version = dictionaries.newest(tx)
    kept = {c.session_id: c.sha256 for c in archive_chunks.chunks(tx, "s") if c.number == 0}
    body = _some_dictionary(version)
    return dictionaries.add(tx, body, kept, after=version, served=0, now=START)


async def _play(operations: list[tuple[str, Any]]) -> None:
    memory = WorkflowMemory(Memori.open(":memory:", clock=SetClock()))
    service = CompactionService(memory)
    known: dict[str, Workflow] = {}
    try:
        for number, (what, values) in enumerate(operations):
            if what == "store":
                known[f"w{number}"] = workflow(f"w{number}", **values)
                await memory.store(known[f"w{number}"])
            elif what == "compact":
                metrics = await service.compact_session("s")
                assert metrics.num_memories == len(known)
            elif what == "dictionary":
                await memory.memori.commit(_add_dictionary)
            elif what == "upkeep":
                await service.maintain()
            elif known:
                name = min(known)
                await memory.forget_run(name)
                del known[name]
            expected = sorted(known.values(), key=lambda row: (row.created_at, row.id))
            assert _told(await service.read_session("s")) == _told(expected)
            await service.get_ledger("s")
    finally:
        await memory.aclose()


@settings(max_examples=60, deadline=None)
@given(OPERATIONS)
def test_any_session_reads_back_exactly(operations: list[tuple[str, Any]]) -> None:
    asyncio.run(_play([*operations, ("compact", None)]))


@settings(deadline=None)
@given(st.lists(JSON, max_size=12))
def test_any_column_reads_back_exactly(values: list[Any]) -> None:
    writer = ColumnWriter()
    writer.column(values)
    writer.column(values)
    reader = ColumnReader(writer.text, writer.numbers)
    for _ in range(2):
        found = reader.column(len(values))
        assert [dump_json(value) for value in found] == [dump_json(value) for value in values]


@settings(deadline=None)
@given(st.lists(st.floats(), min_size=1, max_size=100))
def test_floats_keep_every_bit(values: list[float]) -> None:
    writer = ColumnWriter()
    writer.column(values)
    found = ColumnReader(writer.text, writer.numbers).column(len(values))
    assert [value.hex() for value in found] == [value.hex() for value in values]


def test_values_nested_deeper_than_the_columns_go_are_kept() -> None:
    value: Any = "bottom"
    for level in range(200):
        value = [value, level] if level % 2 else {"inner": value}
    writer = ColumnWriter()
    writer.column([value, value, {"inner": 1}])
    found = ColumnReader(writer.text, writer.numbers).column(3)
    assert found == [value, value, {"inner": 1}]


@pytest.mark.parametrize("steps", ['["a", "b"]', '["a","b"] ', "not JSON", '"a"', "[1e5]"])
async def test_text_that_is_not_written_as_ours_is_kept_to_the_byte(steps: str) -> None:
    memory = WorkflowMemory(Memori.open(":memory:", clock=SetClock()))
    await memory.store(workflow("w"))
    await CompactionService(memory).compact_session("s")
    (chunk,) = await memory.memori.read(lambda tx: archive_chunks.chunks(tx, "s"))
    await memory.aclose()
    (record,) = unpack(chunk)
    changed = record._replace(steps=steps, metadata='{"a": 1,"a":2}')
    assert unpack(pack("s", 0, "n", [changed], None)) == [changed]


async def test_what_would_not_read_back_is_never_packed() -> None:
    memory = WorkflowMemory(Memori.open(":memory:", clock=SetClock()))
    await memory.store(workflow("w"))
    await CompactionService(memory).compact_session("s")
    (chunk,) = await memory.memori.read(lambda tx: archive_chunks.chunks(tx, "s"))
    await memory.aclose()
    (record,) = unpack(chunk)
    # No such value comes out of the store; a defect of the packing could do the same.
    unequal = record._replace(session_id="another")
    with pytest.raises(StoreError, match="would not read back exactly"):
        pack("s", 0, "n", [unequal], None)
