"""Items as JSON Lines and tenants copied whole: exactly, checked, and never by halves."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import resource
import sqlite3
import stat
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genesis.testing import FakeClock
from infrastructure.errors import InputError, StoreError
from infrastructure.memory.compaction_service import CompactionService
from infrastructure.memory.finished_run import AcceptedRun, FinishedRun
from infrastructure.memory.memori import item_lines, tables
from infrastructure.memory.memori.copying import copy_to
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.outcomes import OutcomeRecord
from infrastructure.memory.memori.provenance import Provenance
from infrastructure.memory.memori.runs import RunRecord
from infrastructure.memory.memori.store import MemoriStore
from infrastructure.memory.memori.transfer import Imported, export_jsonl, import_jsonl
from infrastructure.memory.memori.values import InvalidItem
from infrastructure.memory.workflow_memory import WorkflowMemory

NS = ("notes", "ada")
_tenants = count()


@pytest.fixture(params=["memory", "file", "postgres"])
def memori(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Memori]:
    places = {
        "memory": lambda: ":memory:",
        "file": lambda: str(tmp_path / "memori.db"),
        "postgres": lambda: str(request.getfixturevalue("postgres_url")),
    }
    opened = Memori.open(places[request.param](), clock=FakeClock())
    yield opened
    opened.close()


@pytest.fixture
def other() -> Iterator[Memori]:
    opened = Memori.open(":memory:", clock=FakeClock())
    yield opened
    opened.close()


def rows(memori: Memori) -> list[tuple[Any, ...]]:
    """The tenant's items in their order, without their versions."""
    table = tables.KEPT[0]
    return memori.read_sync(
        lambda tx: [row for page in tables.pages(tx, table, item_lines.COLUMNS) for row in page]
    )


def exported(memori: Memori) -> bytes:
    stream = io.BytesIO()
    asyncio.run(export_jsonl(memori, stream))
    return stream.getvalue()


def imported(memori: Memori, data: bytes, **options: Any) -> Imported:
    return asyncio.run(import_jsonl(memori, io.BytesIO(data), **options))


def fill(memori: Memori, items: int = 3) -> None:
    store = MemoriStore(memori)
    for n in range(items):
        store.put(NS, f"k{n}", {"text": f"banana {n}"})


def sealed(lines: list[bytes]) -> bytes:
    """A whole file of these lines, as if somebody had made it by hand."""
    head = orjson.dumps({"format": "memori-items", "version": 1}) + b"\n"
    body = head + b"".join(lines)
    end = {"items": len(lines), "sha256": hashlib.sha256(body).hexdigest()}
    return body + orjson.dumps(end) + b"\n"


def line(**changes: Any) -> bytes:
    item: dict[str, Any] = {
        "namespace": ["a"],
        "key": "k",
        "value": {"n": 1},
        "created_at": 5,
        "updated_at": 6,
        "ttl": None,
        "expires_at": None,
        "index": ["$"],
        "source": "",
        "run_id": "",
        "verified": None,
    }
    return json.dumps({**item, **changes}).encode() + b"\n"


# Round trips

_text = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=8)
_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=6,
)
_puts = st.tuples(
    st.lists(_text.filter(lambda t: bool(t) and "." not in t), min_size=1, max_size=2).map(tuple),
    _text,
    st.dictionaries(_text, _json, max_size=3),
    st.sampled_from([None, False, ["a", "b[*].c"]]),
    st.none() | st.floats(0, 100),
    st.builds(Provenance, _text, _text, st.none() | st.booleans()),
)


def _put_all(memori: Memori, puts: list[Any]) -> None:
    store = MemoriStore(memori)
    for namespace, key, value, index, ttl, provenance in puts:
        store.with_provenance(provenance).put(namespace, key, value, index, ttl=ttl)


@settings(max_examples=60, deadline=None)
@given(st.lists(_puts, max_size=8))
def test_what_is_exported_is_imported_exactly(puts: list[Any]) -> None:
    source, target = Memori.open(":memory:"), Memori.open(":memory:")
    try:
        _put_all(source, puts)
        data = exported(source)
        assert imported(target, data).added == len(rows(source))
        assert rows(target) == rows(source)
        assert exported(target) == data
    finally:
        source.close()
        target.close()


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(_puts, max_size=6))
def test_a_file_goes_to_postgresql_and_back(postgres_url: str, puts: list[Any]) -> None:
    source, there = Memori.open(":memory:"), Memori.open(postgres_url)
    try:
        _put_all(source, puts)
        target = there.for_tenant(f"t{next(_tenants)}")
        data = exported(source)
        imported(target, data)
        assert rows(target) == rows(source)
        assert exported(target) == data
    finally:
        source.close()
        there.close()


def test_many_items_keep_their_order_over_pages_and_commits(memori: Memori, other: Memori) -> None:
    fill(memori, 1203)
    MemoriStore(memori).put(NS, "k0", {"text": "written again, so the last"})
    done = imported(other, exported(memori))
    assert done == Imported(added=1203, indexed=1203)
    assert rows(other) == rows(memori)
    assert rows(other)[-1][1] == "k0"
    assert other.statistics.commits == 3


def test_expired_items_and_those_without_an_index_are_taken_along(
    memori: Memori, other: Memori
) -> None:
    store = MemoriStore(memori)
    store.put(NS, "dead", {"n": 1}, ttl=1)
    store.put(NS, "plain", {"n": 2}, index=False)
    assert isinstance(memori.clock, FakeClock)
    memori.clock.advance(3600)
    data = exported(memori)
    assert imported(other, data) == Imported(added=2, indexed=1)
    assert imported(other, data, on_conflict="skip") == Imported(skipped=2)
    assert rows(other) == rows(memori)


async def test_what_is_imported_can_be_found(memori: Memori, other: Memori) -> None:
    await MemoriStore(memori).aput(NS, "k", {"text": "banana"})
    stream = io.BytesIO()
    await export_jsonl(memori, stream)
    stream.seek(0)
    await import_jsonl(other, stream)
    (hit,) = await MemoriStore(other).asearch(NS, query="banana")
    assert hit.score is not None


def test_an_empty_store_is_a_file_too(memori: Memori, other: Memori) -> None:
    assert imported(other, exported(memori)) == Imported()


def test_only_the_tenants_own_items_are_exported(memori: Memori) -> None:
    fill(memori.for_tenant("other"))
    assert exported(memori).count(b"\n") == 2


# Keys that are there


def test_a_key_that_is_there_stops_the_import_before_it_begins(
    memori: Memori, other: Memori
) -> None:
    fill(memori, 700)
    MemoriStore(other).put(NS, "k650", {"mine": True})
    with pytest.raises(InvalidItem, match=r"line 652: key 'k650'.*'skip' or 'replace'"):
        imported(other, exported(memori))
    assert len(rows(other)) == 1


def test_skip_keeps_what_is_there_and_changes_nothing_the_second_time(
    memori: Memori, other: Memori
) -> None:
    fill(memori)
    MemoriStore(other).put(NS, "k1", {"mine": True})
    data = exported(memori)
    assert imported(other, data, on_conflict="skip") == Imported(added=2, skipped=1, indexed=2)
    before = rows(other)
    assert imported(other, data, on_conflict="skip") == Imported(skipped=3)
    assert rows(other) == before
    assert orjson.loads(before[0][2]) == {"mine": True}


async def test_replace_takes_what_is_imported_and_the_old_words_are_gone(
    memori: Memori, other: Memori
) -> None:
    await MemoriStore(memori).aput(NS, "k", {"text": "new"})
    mine = MemoriStore(other)
    await mine.aput(NS, "k", {"text": "old"})
    await mine.asearch(NS, query="old")
    stream = io.BytesIO()
    await export_jsonl(memori, stream)
    stream.seek(0)
    done = await import_jsonl(other, stream, on_conflict="replace")
    assert done == Imported(replaced=1, indexed=1)
    assert [hit.score for hit in await mine.asearch(NS, query="old")] == [None]


def test_an_unknown_way_with_conflicts_is_refused(other: Memori) -> None:
    with pytest.raises(InvalidItem, match="on_conflict"):
        imported(other, sealed([]), on_conflict="merge")


# Files that are wrong

_CHANGES: dict[str, tuple[Callable[[list[bytes]], list[bytes]], str]] = {
    "cut after a line": (lambda lines: lines[:-1], "cut short: it ends after line 4"),
    "cut within a line": (lambda lines: [*lines[:2], lines[2][:20]], "line 3 .*ends within"),
    "cut within the last line": (lambda lines: [*lines[:-1], lines[-1][:9]], "line 5 is not JSON"),
    "reordered": (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], "line 5: the SHA-256"),
    "duplicated": (lambda lines: [*lines[:2], *lines[1:]], "line 6 says .* 3 items, .* has 4"),
    "dropped": (lambda lines: [lines[0], *lines[2:]], "line 4 says .* 3 items, .* has 2"),
    "changed": (
        lambda lines: [lines[0], lines[1].replace(b"banana", b"BANANA"), *lines[2:]],
        "line 5: the SHA-256",
    ),
    "line ends": (
        lambda lines: [line.replace(b"\n", b"\r\n") for line in lines],
        "line 5: the SHA-256",
    ),
    "more at the end": (lambda lines: [*lines, lines[1]], "line 6: nothing may follow"),
    "empty": (lambda lines: [], "line 1 is not JSON"),
    "no first line": (lambda lines: lines[1:], "line 1 does not say"),
    "newer": (
        lambda lines: [lines[0].replace(b":1}", b":2}"), *lines[1:]],
        "line 1 says version 2.*upgrade",
    ),
    "binary": (lambda lines: [lines[0], b"\x00\xff\x80\n", *lines[1:]], "line 2 is not JSON"),
    "not an object": (lambda lines: [lines[0], b"[1]\n", *lines[1:]], "line 2 is not a JSON obj"),
}


@pytest.mark.parametrize("name", _CHANGES)
def test_a_damaged_file_is_refused_whole(other: Memori, tmp_path: Path, name: str) -> None:
    fill(other)
    target = other.for_tenant("target")
    change, told = _CHANGES[name]
    path = tmp_path / "items.jsonl"
    path.write_bytes(b"".join(change(exported(other).splitlines(keepends=True))))
    with pytest.raises(InvalidItem, match=told):
        asyncio.run(import_jsonl(target, path))
    assert rows(target) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"namespace": []}, "namespace"),
        ({"namespace": ["a.b"]}, "period"),
        ({"namespace": "ab"}, "namespace"),
        ({"key": 3}, "key must be a str"),
        ({"key": "k" * 1001}, "longer than 1000 bytes"),
        ({"value": [1]}, "must be a dict"),
        ({"value": {"n": "\x00"}}, "NUL"),
        ({"value": {"n": 2**63}}, "64 bits"),
        ({"created_at": 1.5}, "created_at must be whole"),
        ({"updated_at": True}, "updated_at must be whole"),
        ({"ttl": 5}, "expires_at must be whole"),
        ({"expires_at": 2**62 + 1, "ttl": 1}, "expires_at must be whole"),
        ({"index": "$"}, "index must be"),
        ({"source": "s" * 501}, "source is longer"),
        ({"run_id": None}, "run_id must be a str"),
        ({"verified": 1}, "verified must be"),
        ({"more": 1}, "lacks or adds more"),
    ],
)
def test_a_bad_line_is_named_with_what_is_wrong(
    other: Memori, changes: dict[str, Any], told: str
) -> None:
    data = sealed([line(key="first"), line(**changes)])
    with pytest.raises(InvalidItem, match=rf"line 3[: ].*{told}"):
        imported(other, data)
    assert rows(other) == []


def test_a_key_twice_in_one_file_stops_where_it_is_met(other: Memori) -> None:
    data = sealed([line(), line()])
    with pytest.raises(InvalidItem, match="line 3: key 'k'"):
        imported(other, data)
    assert imported(other, data, on_conflict="skip") == Imported(added=1, skipped=1, indexed=1)


def test_the_last_of_a_key_twice_in_one_file_replaces_the_first(memori: Memori) -> None:
    data = sealed([line(), line(key="other"), line(value={"n": 2}, index=None)])
    done = imported(memori, data, on_conflict="replace")
    assert done == Imported(added=2, replaced=1, indexed=2)
    assert [(row[1], orjson.loads(row[2])) for row in rows(memori)] == [
        ("other", {"n": 1}),
        ("k", {"n": 2}),
    ]


def test_a_huge_line_is_refused_without_being_read_whole(other: Memori) -> None:
    class Endless(io.RawIOBase):
        """A first line, and then one that goes on for 4 GB."""

        def __init__(self) -> None:
            self.given = 0
            self.head = sealed([]).splitlines(keepends=True)[0]

        def readline(self, size: int | None = -1, /) -> bytes:
            assert size is not None
            assert 0 < size < 64 * 1024 * 1024
            if self.head:
                head, self.head = self.head, b""
                return head
            self.given += size
            return b"x" * size

    file: Any = Endless()
    with pytest.raises(InvalidItem, match=r"line 2 is longer than"):
        list(item_lines.read_items(file))
    assert file.given < 64 * 1024 * 1024


def test_a_large_value_is_exported_and_imported(memori: Memori, other: Memori) -> None:
    store = MemoriStore(memori)
    for n in range(3):
        store.put(NS, f"k{n}", {"text": f"{n}" * 6_000_000}, index=False)
    imported(other, exported(memori))
    assert rows(other) == rows(memori)


def test_a_file_that_changes_after_it_was_checked_tells_how_much_was_imported(
    other: Memori, tmp_path: Path
) -> None:
    path = tmp_path / "items.jsonl"
    path.write_bytes(sealed([line(key=f"k{n}") for n in range(600)]))

    class Spoilt:
        """A handle on a store beside which somebody empties the file after the first commit."""

        def __getattr__(self, name: str) -> Any:
            return getattr(other, name)

        async def commit(self, *writes: Any) -> Any:
            done = await other.commit(*writes)
            with path.open("r+b") as file:
                file.truncate(90_000)
            return done

    target: Any = Spoilt()
    with pytest.raises(InvalidItem, match="500 items had been imported by then, and stay"):
        asyncio.run(import_jsonl(target, path, on_conflict="skip"))
    assert len(rows(other)) == 500


# Files that cannot be written or read


async def test_a_file_appears_only_when_it_is_whole(memori: Memori, tmp_path: Path) -> None:
    await MemoriStore(memori).aput(NS, "k", {"text": "x" * 200_000})
    path = tmp_path / "items.jsonl"
    path.write_text("what was there")
    with _disk_of(100_000), pytest.raises(StoreError, match=r"could not be exported.*items\.jsonl"):
        await export_jsonl(memori, path)
    assert path.read_text() == "what was there"
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []
    done = await export_jsonl(memori, path)
    assert done.items == 1
    body, _, _ = path.read_bytes().rstrip(b"\n").rpartition(b"\n")
    assert hashlib.sha256(body + b"\n").hexdigest() == done.sha256


async def test_an_export_goes_where_a_link_leads(memori: Memori, tmp_path: Path) -> None:
    real, link = tmp_path / "kept" / "items.jsonl", tmp_path / "latest.jsonl"
    real.parent.mkdir()
    real.write_text("what was there")
    link.symlink_to(real)
    await export_jsonl(memori, link)
    assert link.is_symlink()
    assert real.read_bytes() == await asyncio.to_thread(exported, memori)


async def test_an_export_keeps_the_mode_of_a_file_and_makes_private_ones(
    memori: Memori, tmp_path: Path
) -> None:
    old, new = tmp_path / "old.jsonl", tmp_path / "new.jsonl"
    old.touch()
    old.chmod(0o640)
    for path, mode in ((old, 0o640), (new, 0o600)):
        await export_jsonl(memori, path)
        assert path.read_bytes() == await asyncio.to_thread(exported, memori)
        assert stat.S_IMODE(path.stat().st_mode) == mode


async def test_what_is_no_file_is_left_alone_by_an_export(memori: Memori, tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for path in (pipe, link):
        with pytest.raises(StoreError, match="no regular file; open it and give the stream"):
            await export_jsonl(memori, path)
    assert pipe.is_fifo()
    assert sorted(tmp_path.iterdir()) == sorted([*tmp_path.glob("memori.db*"), link, pipe])


async def test_a_pipe_can_be_written_and_read_as_a_stream(
    memori: Memori, other: Memori, tmp_path: Path
) -> None:
    fill(memori)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    async def export() -> None:
        with await asyncio.to_thread(pipe.open, "wb") as stream:
            await export_jsonl(memori, stream)

    _, done = await asyncio.gather(export(), import_jsonl(other, pipe))
    assert done.added == 3


_CLOSED: Any = io.BytesIO()
_CLOSED.close()


@pytest.mark.parametrize(
    "wrong", [None, 5, io.StringIO(), _CLOSED, b"items.jsonl", "a\x00b"], ids=repr
)
async def test_what_is_neither_path_nor_binary_stream_is_refused(
    memori: Memori, wrong: Any
) -> None:
    with pytest.raises(InvalidItem, match="a path or a binary stream"):
        await export_jsonl(memori, wrong)
    with pytest.raises(InvalidItem, match="a path or a binary stream"):
        await import_jsonl(memori, wrong)


async def test_a_stream_of_the_wrong_direction_is_refused(memori: Memori, tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.touch()
    with path.open("rb") as reads, pytest.raises(InvalidItem, match="cannot be written"):
        await export_jsonl(memori, reads)
    writes: Any = path.open("wb")
    with writes, pytest.raises(InvalidItem, match="cannot be read"):
        await import_jsonl(memori, writes)


@contextmanager
def _disk_of(size: int) -> Generator[None]:
    """No file grows beyond a size meanwhile, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_device_is_told(memori: Memori) -> None:
    full: Any = Path("/dev/full").open("wb", buffering=0)  # noqa: ASYNC230, SIM115 - closed below
    try:
        with pytest.raises(StoreError, match="No space"):
            await export_jsonl(memori, full)
    finally:
        full.close()


async def test_places_that_are_not_there_are_told(memori: Memori, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="could not be exported"):
        await export_jsonl(memori, tmp_path / "nowhere" / "items.jsonl")
    with pytest.raises(StoreError, match="could not be exported"):
        await export_jsonl(memori, tmp_path)
    with pytest.raises(StoreError, match="cannot be imported"):
        await import_jsonl(memori, tmp_path / "none.jsonl")


# Copies of a whole tenant


async def populate(memori: Memori) -> None:
    """Items, deleted ones, and every kind of record around a run."""
    store = MemoriStore(memori, index={"embed": _embed, "dims": 2})
    for n in range(40):
        await store.awrite(
            ("n", str(n % 3)), f"kä{n}", {"n": n, "x": n / 7}, ttl=None if n % 2 else 5,
            provenance=Provenance(f"agent:{n % 4}", f"r{n % 5}", n % 3 == 0),
        )  # fmt: skip
    await store.adelete(("n", "0"), "kä0")
    await store.asearch((), query="1")
    memory = WorkflowMemory(memori)
    for n in range(9):
        await memory.finish(
            FinishedRun(
                run_id=f"r{n}", session_id=f"s{n % 2}", request=f"ask ünïcode {n}",
                task_type="testing", success=n % 3 > 0, steps=("a:ann:m",), duration_s=n / 3,
                cost_usd=n / 1000, metadata={"n": n}, plan={"tasks": [n % 2]},
                vector=np.array([n, 1.5], dtype=np.float32), events=(f'{{"n":{n}}}',),
                outcomes=(OutcomeRecord("testing", "run", f"a{n % 3}", "", "", n % 2 == 0),),
            )
        )  # fmt: skip
    await memory.accept(AcceptedRun(RunRecord("going", "s9", "still going on", 5.0)))
    await memory.append("going", ['{"type":"Begun"}'])
    await memory.feedback("r1", False, "debugging", "wrong")
    await CompactionService(memory).compact_session("s0")


def _embed(texts: Any) -> list[list[float]]:
    return [[float(len(text)), 1.0] for text in texts]


def test_every_table_is_either_copied_or_left_out_on_purpose(other: Memori) -> None:
    names = other.read_sync(
        lambda tx: tx.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        ).fetchall()
    )
    known = {table.name for table in tables.KEPT} | set(tables.LEFT_OUT) | {"memori_migrations"}
    assert {name for (name,) in names} == known


def test_a_table_is_ordered_by_what_tells_its_rows_apart(other: Memori) -> None:
    def primary_key(tx: Tx, name: str) -> set[str]:
        found = tx.execute("SELECT name FROM pragma_table_info(?) WHERE pk > 0", (name,))
        return {column for (column,) in found.fetchall()}

    for table in tables.KEPT:
        key = other.read_sync(lambda tx, name=table.name: primary_key(tx, name))
        assert set(table.key) | {"tenant"} == key | {"tenant"}


async def test_a_tenant_goes_to_postgresql_and_back_unchanged(
    other: Memori, postgres_url: str, tmp_path: Path
) -> None:
    await populate(other)
    there, back = Memori.open(postgres_url), Memori.open(tmp_path / "back.db")
    try:
        await MemoriStore(there.for_tenant("neighbour")).aput(NS, "k", {"n": 1})
        first = await copy_to(other, there)
        second = await copy_to(there, back)
        assert first == second
        counts = {table.name: table.rows for table in first}
        checkpoints = {"checkpoints", "checkpoint_values", "checkpoint_writes"}
        empty = {"archive_dictionaries", "archive_dictionary_sources", *checkpoints}
        assert {name for name, number in counts.items() if not number} == empty
        assert (counts["items"], counts["runs"]) == (39, 10)
        for copy in (there, back):
            await _check_copy(other, copy)
    finally:
        await there.aclose()
        await back.aclose()


async def _check_copy(original: Memori, copy: Memori) -> None:
    theirs, ours = WorkflowMemory(original), WorkflowMemory(copy)
    assert await ours.learning_metrics() == await theirs.learning_metrics()
    assert await ours.workflows("s0") == await theirs.workflows("s0")
    assert await ours.events("r2") == await theirs.events("r2")
    assert await ours.sources("r2") == await theirs.sources("r2")
    assert await ours.append("going", ['{"type":"Again"}'], 2) == 2
    store = MemoriStore(copy, index={"embed": _embed, "dims": 2})
    found = await store.asearch(("n",), query="7", limit=50)
    expected = await MemoriStore(original, index={"embed": _embed, "dims": 2}).asearch(
        ("n",), query="7", limit=50
    )
    assert [(h.key, h.score) for h in found] == [(h.key, h.score) for h in expected]
    assert await store.aundelete(("n", "0"), "kä0") is not None
    await store.adelete(("n", "0"), "kä0")


async def test_only_an_empty_tenant_takes_a_copy(memori: Memori, other: Memori) -> None:
    await populate(other)
    await MemoriStore(memori).aput(NS, "k", {"mine": True})
    with pytest.raises(InputError, match=r"holds records already.*another tenant"):
        await copy_to(other, memori)
    assert len(rows(memori)) == 1
    await copy_to(other, memori.for_tenant("empty"))
    assert len(rows(memori)) == 1


async def test_a_tenant_is_copied_to_another_of_its_own_store_unless_that_is_in_memory(
    memori: Memori,
) -> None:
    await populate(memori)
    target = memori.for_tenant("copy")
    if memori.private:
        with pytest.raises(InputError, match=r"lives in memory.*copy it into another store first"):
            await copy_to(memori, target)
        begun = await memori.read(
            lambda tx: tx.execute("SELECT tenant FROM copies_under_way").fetchall()
        )
        assert begun == []
    else:
        await copy_to(memori, target)
        await _check_copy(memori, target)


async def test_a_copy_that_broke_off_begins_again(memori: Memori, other: Memori) -> None:
    await populate(other)

    class Breaking:
        """A target that is lost after some commits."""

        def __init__(self, commits: int) -> None:
            self.left = commits

        def __getattr__(self, name: str) -> Any:
            return getattr(memori, name)

        def commit_sync(self, *writes: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                raise StoreError("the server is gone")
            return memori.commit_sync(*writes)

    for commits in (0, 1, 2, 5, 12):
        target: Any = Breaking(commits)
        with pytest.raises(StoreError, match="gone"):
            await copy_to(other, target)
    complete = await copy_to(other, memori)
    assert {table.name: table.rows for table in complete}["items"] == 39
    await _check_copy(other, memori)
    with pytest.raises(InputError, match="holds records already"):
        await copy_to(other, memori)


async def test_a_target_that_is_written_to_meanwhile_is_found_out(
    memori: Memori, other: Memori
) -> None:
    await populate(other)

    class Busy:
        """A target into which somebody else writes."""

        def __getattr__(self, name: str) -> Any:
            return getattr(memori, name)

        async def read(self, query: Any) -> Any:
            await MemoriStore(memori).aput(NS, "k", {"mine": True})
            return await memori.read(query)

    target: Any = Busy()
    with pytest.raises(StoreError, match=r"table items has 39 rows in .* and 40 in"):
        await copy_to(other, target)
    await copy_to(other, memori)


async def test_the_copy_is_one_snapshot_while_the_source_goes_on(
    tmp_path: Path, other: Memori
) -> None:
    source = Memori.open(tmp_path / "source.db")
    try:
        for n in range(60):
            await MemoriStore(source).aput(NS, f"k{n}", {"n": n})

        class Writing:
            """A target whose every commit comes with a write to the source."""

            def __getattr__(self, name: str) -> Any:
                return getattr(other, name)

            def commit_sync(self, *writes: Any) -> Any:
                with source_rows as connection:
                    connection.execute("UPDATE items SET value = '{\"n\":-1}'")
                return other.commit_sync(*writes)

        source_rows = sqlite3.connect(
            tmp_path / "source.db", isolation_level=None, check_same_thread=False
        )
        target: Any = Writing()
        await copy_to(source, target)
        source_rows.close()
        assert [orjson.loads(row[2])["n"] for row in rows(other)] == list(range(60))
    finally:
        await source.aclose()


async def test_a_cancelled_copy_stops_and_can_be_repeated(tmp_path: Path, other: Memori) -> None:
    source = Memori.open(tmp_path / "source.db")
    try:
        for n in range(200):
            await MemoriStore(source).aput(NS, f"k{n}", {"n": n})
        begun = asyncio.Event()
        loop = asyncio.get_running_loop()

        class Slow:
            """A target that tells of its first commit."""

            def __getattr__(self, name: str) -> Any:
                return getattr(other, name)

            def commit_sync(self, *writes: Any) -> Any:
                loop.call_soon_threadsafe(begun.set)
                return other.commit_sync(*writes)

        target: Any = Slow()
        copying = asyncio.create_task(copy_to(source, target))
        await begun.wait()
        copying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await copying
    finally:
        await source.aclose()
    source = Memori.open(tmp_path / "source.db")
    try:
        assert (await copy_to(source, other))[0].rows == 200
    finally:
        await source.aclose()
