"""The engine: group commit, isolation of callers, crashes, and files it must refuse."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from raw_items import keys, put
from rounds import ROUNDS, in_rounds

from infrastructure.errors import InputError, SchemaTooNew, StoreError, StoreUnavailable
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.migration import Migration
from infrastructure.memory.memori.schema import MIGRATIONS, applied, migrate

WRITERS = 32


@pytest.fixture(params=["memory", "file", "postgres"])
def memori(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Memori]:
    places = {
        "memory": lambda: ":memory:",
        "file": lambda: str(tmp_path / "memori.db"),
        "postgres": lambda: str(request.getfixturevalue("postgres_url")),
    }
    store = Memori.open(places[request.param]())
    yield store
    store.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A store with one item, closed."""
    path = tmp_path / "memori.db"
    store = Memori.open(path)
    store.commit_sync(put("first"))
    store.close()
    return path


def held(started: threading.Event, release: threading.Event, key: str) -> Callable[[Tx], str]:
    """A write that waits in the writer's thread, so that what comes after it queues up."""

    def write(tx: Tx) -> str:
        started.set()
        assert release.wait(30)
        return put(key)(tx)

    return write


async def test_one_failing_writer_of_many_fails_alone(memori: Memori) -> None:
    def fails(tx: Tx) -> None:
        put("half")(tx)
        raise ValueError("the caller's own bug")

    writes = [memori.commit(put(str(number))) for number in range(WRITERS - 1)]
    *results, failure = await asyncio.gather(*writes, memori.commit(fails), return_exceptions=True)
    assert results == [[str(number)] for number in range(WRITERS - 1)]
    assert isinstance(failure, ValueError)
    assert await memori.read(keys) == {str(number) for number in range(WRITERS - 1)}


async def test_all_that_wait_share_one_commit(memori: Memori) -> None:
    started, release = threading.Event(), threading.Event()
    first = asyncio.create_task(memori.commit(held(started, release, "first")))
    await asyncio.to_thread(started.wait, 30)
    rest = [asyncio.create_task(memori.commit(put(str(number)))) for number in range(WRITERS)]
    await asyncio.sleep(0)
    assert memori.statistics.queued == WRITERS
    release.set()
    await asyncio.gather(first, *rest)
    assert memori.statistics.commits == WRITERS + 1
    assert memori.statistics.batches == 2


async def test_the_writes_of_one_commit_are_stored_together_or_not_at_all(memori: Memori) -> None:
    assert await memori.commit(put("a"), put("b")) == ["a", "b"]
    with pytest.raises(StoreError, match=r"UNIQUE|unique"):
        await memori.commit(put("c"), put("a"))
    assert await memori.read(keys) == {"a", "b"}


async def test_a_cancelled_caller_harms_no_other(memori: Memori) -> None:
    started, release = threading.Event(), threading.Event()
    running = asyncio.create_task(memori.commit(held(started, release, "running")))
    await asyncio.to_thread(started.wait, 30)
    waiting = asyncio.create_task(memori.commit(put("waiting")))
    other = asyncio.create_task(memori.commit(put("other")))
    await asyncio.sleep(0)
    running.cancel()
    waiting.cancel()
    await asyncio.gather(running, waiting, return_exceptions=True)
    release.set()
    assert await other == ["other"]
    assert await memori.commit(put("later")) == ["later"]
    # What had begun is stored wholly, what had not begun is withdrawn.
    assert await memori.read(keys) == {"running", "other", "later"}


@pytest.mark.parametrize("how", ["read", "commit"])
async def test_an_exhausted_iterator_in_a_callers_function_reaches_the_caller(
    memori: Memori, how: str
) -> None:
    def bug(tx: Tx) -> object:
        return next(iter(tx.execute("SELECT 1 WHERE 1 = 0")))

    with pytest.raises(RuntimeError, match="StopIteration"):
        await (memori.read(bug) if how == "read" else memori.commit(bug))
    assert await memori.commit(put("alive")) == ["alive"]


async def test_a_write_that_ends_the_transaction_is_reported(memori: Memori) -> None:
    with pytest.raises(StoreError, match="must not run COMMIT or ROLLBACK"):
        await memori.commit(put("a"), lambda tx: tx.execute("ROLLBACK"))
    assert await memori.commit(put("b")) == ["b"]
    assert await memori.read(keys) == {"b"}


async def test_a_write_that_would_wait_for_itself_is_refused(memori: Memori) -> None:
    with pytest.raises(StoreError, match="wait for itself"):
        await memori.commit(lambda _: memori.commit_sync(put("inner")))


async def test_a_read_cannot_write(memori: Memori) -> None:
    with pytest.raises(StoreUnavailable, match="read-only"):
        await memori.read(put("a"))
    assert await memori.commit(put("b")) == ["b"]


async def test_a_slow_read_holds_up_neither_loop_nor_writer(file: Path) -> None:
    store = Memori.open(file)
    started, release = threading.Event(), threading.Event()

    def slow(tx: Tx) -> set[str]:
        before = keys(tx)
        started.set()
        assert release.wait(30)
        assert keys(tx) == before, "a read sees one snapshot"
        return before

    reading = asyncio.create_task(store.read(slow))
    await asyncio.to_thread(started.wait, 30)
    await store.commit(put("second"))
    assert await store.read(keys) == {"first", "second"}
    release.set()
    assert await reading == {"first"}
    await store.aclose()


async def test_tenants_see_their_own_rows(memori: Memori) -> None:
    other = memori.for_tenant("other")
    await memori.commit(put("mine"))
    await other.commit(put("theirs"))
    assert await memori.read(keys) == {"mine"}
    assert await other.read(keys) == {"theirs"}


@pytest.mark.parametrize("tenant", ["", "a\x00b"])
def test_a_tenant_needs_a_name(memori: Memori, tenant: str) -> None:
    with pytest.raises((InputError, StoreError), match="tenant"):
        memori.for_tenant(tenant)


def test_one_store_serves_several_event_loops(memori: Memori) -> None:
    async def use(key: str) -> set[str]:
        await memori.commit(put(key))
        return await memori.read(keys)

    assert asyncio.run(use("a")) == {"a"}
    assert asyncio.run(use("b")) == {"a", "b"}


def test_synchronous_callers_in_threads(memori: Memori) -> None:
    threads = [
        threading.Thread(target=memori.commit_sync, args=(put(str(number)),)) for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(memori.read_sync(keys)) == 8


async def test_everything_after_close_is_refused(memori: Memori) -> None:
    await memori.aclose()
    memori.close()
    with pytest.raises(StoreError, match="closed"):
        await memori.read(keys)
    with pytest.raises(StoreError, match="closed"):
        await memori.commit(put("a"))
    with pytest.raises(StoreError, match="closed"):
        memori.for_tenant("other").read_sync(keys)


async def test_closing_stores_what_was_accepted(tmp_path: Path) -> None:
    store = Memori.open(tmp_path / "memori.db")
    writes = [asyncio.create_task(store.commit(put(str(number)))) for number in range(20)]
    await asyncio.sleep(0)
    await store.aclose()
    await asyncio.gather(*writes)
    again = Memori.open(tmp_path / "memori.db")
    assert len(again.read_sync(keys)) == 20
    again.close()


async def test_a_full_disk_fails_the_write_that_needs_the_room(file: Path) -> None:
    store = Memori.open(file)
    started, release = threading.Event(), threading.Event()
    await store.commit(lambda tx: tx.execute("PRAGMA max_page_count = 100"))
    first = asyncio.create_task(store.commit(held(started, release, "a")))
    await asyncio.to_thread(started.wait, 30)
    large = asyncio.create_task(store.commit(put("large", "x" * 4_000_000)))
    small = asyncio.create_task(store.commit(put("small")))
    await asyncio.sleep(0)
    release.set()
    assert await first == ["a"]
    with pytest.raises(StoreUnavailable, match="disk is full"):
        await large
    assert await small == ["small"]
    assert await store.read(keys) == {"first", "a", "small"}
    await store.aclose()


async def test_a_lock_of_another_process_is_waited_for(file: Path) -> None:
    store = Memori.open(file)
    other = sqlite3.connect(file, isolation_level=None)
    await store.commit(put("before"))
    other.execute("BEGIN IMMEDIATE")
    writing = asyncio.create_task(store.commit(put("after")))
    assert await store.read(keys) == {"first", "before"}
    other.execute("COMMIT")
    other.close()
    assert await writing == ["after"]
    await store.aclose()


async def test_a_lock_held_too_long_is_reported(file: Path) -> None:
    store = Memori.open(file, busy_timeout_s=0.01)
    await store.commit(put("before"))
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked"):
        await store.commit(put("a"))
    other.execute("COMMIT")
    other.close()
    assert await store.commit(put("b")) == ["b"]
    await store.aclose()


# Files that cannot be used


def refusal(path: Path | str) -> StoreError:
    store = Memori.open(path)
    with pytest.raises(StoreError) as raised:
        store.commit_sync(put("a"))
    store.close()
    return raised.value


def test_missing_folders_are_made(tmp_path: Path) -> None:
    store = Memori.open(tmp_path / "a" / "b" / "memori.db")
    store.commit_sync(put("a"))
    store.close()
    assert (tmp_path / "a" / "b" / "memori.db").is_file()


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert f"{tmp_path} is a folder" in str(refusal(tmp_path))


def test_a_folder_that_cannot_be_made_is_refused() -> None:
    error = refusal("/proc/genesis/memori.db")
    assert isinstance(error, StoreUnavailable)
    assert "/proc/genesis/memori.db" in str(error)


def test_a_path_with_nul_is_refused() -> None:
    assert isinstance(refusal("a\x00b"), StoreUnavailable)


def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"shopping list\n" * 100)
    assert "not a memory store" in str(refusal(path))
    assert path.read_bytes() == b"shopping list\n" * 100
    assert [entry.name for entry in tmp_path.iterdir()] == ["notes.txt"]


def test_another_programs_database_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE invoices (id INTEGER)")
    other.close()
    before = path.read_bytes()
    assert "another program" in str(refusal(path))
    assert path.read_bytes() == before


@pytest.mark.parametrize("where", [100, 4096, 4096 * 3, -4096])
def test_a_damaged_file_is_reported_and_left_as_it_is(file: Path, where: int) -> None:
    content = bytearray(file.read_bytes())
    start = where % len(content)
    content[start : start + 4000] = b"\xa5" * len(content[start : start + 4000])
    file.write_bytes(content)
    error = refusal(file)
    assert isinstance(error, StoreUnavailable)
    assert "damaged" in str(error)
    assert str(file) in str(error)
    assert file.read_bytes() == bytes(content)


def test_a_truncated_file_is_reported_and_left_as_it_is(file: Path) -> None:
    content = file.read_bytes()[:5000]
    file.write_bytes(content)
    assert isinstance(refusal(file), StoreUnavailable)
    assert file.read_bytes() == content


def test_a_newer_schema_is_refused_and_left_as_it_is(file: Path) -> None:
    newer = sqlite3.connect(file)
    newer.execute("INSERT INTO memori_migrations (name) VALUES ('telepathy')")
    newer.commit()
    newer.close()
    before = file.read_bytes()
    error = refusal(file)
    assert isinstance(error, SchemaTooNew)
    assert "telepathy" in str(error)
    assert file.read_bytes() == before


def test_a_file_of_an_older_version_is_brought_up_to_date(file: Path) -> None:
    def add_notes(tx: Tx) -> None:
        tx.execute("CREATE TABLE notes (text TEXT)")

    def broken(tx: Tx) -> None:
        tx.execute("CREATE TABLE half (text TEXT)")
        raise ValueError("no")

    store = Memori.open(file)
    later = (*MIGRATIONS, Migration("notes", add_notes))
    with pytest.raises(ValueError, match="no"):
        store.commit_sync(lambda tx: migrate(tx, (*later, Migration("broken", broken))))
    assert store.read_sync(applied) == [migration.name for migration in MIGRATIONS]
    store.commit_sync(lambda tx: migrate(tx, later))
    assert store.read_sync(applied)[-1] == "notes"
    assert store.read_sync(keys) == {"first"}
    store.close()
    assert isinstance(refusal(file), SchemaTooNew)


def test_migrations_have_names_of_their_own() -> None:
    names = [migration.name for migration in MIGRATIONS]
    assert len(set(names)) == len(names)


def test_opening_a_file_that_appears_later_works(tmp_path: Path) -> None:
    folder = tmp_path / "blocked"
    folder.write_text("a file where the folder should be")
    store = Memori.open(folder / "memori.db")
    with pytest.raises(StoreUnavailable):
        store.commit_sync(put("a"))
    folder.unlink()
    assert store.commit_sync(put("a")) == ["a"]
    store.close()


# Processes

WRITE_FOREVER = """
import asyncio, sys
from infrastructure.memory.memori.engine import Memori

def put(key):
    def write(tx):
        tx.execute(
            "INSERT INTO items (tenant, namespace, key, value, created_at, updated_at)"
            " VALUES (?, 'n.', ?, '{}', 0, 0)", (tx.tenant, key))
    return write

async def write(memori, name, count):
    for number in range(count):
        await memori.commit(put(f"{name}-{number}"))
        print(f"{name}-{number}", flush=True)

async def main():
    memori = Memori.open(sys.argv[1])
    await asyncio.gather(*(write(memori, f"{sys.argv[2]}{w}", int(sys.argv[3])) for w in range(8)))

asyncio.run(main())
"""


def start(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITE_FOREVER, str(path), name, str(count)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )


@in_rounds
def test_nothing_acknowledged_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "memori.db"
    acknowledged: set[str] = set()
    for number in range(ROUNDS):
        with start(path, f"round{number}-", 1_000_000) as process:
            assert process.stdout is not None
            for line in process.stdout:
                acknowledged.add(line.strip())
                if len(acknowledged) % (37 + 20 * number) == 0:
                    process.send_signal(signal.SIGKILL)
                    acknowledged.update(
                        rest.strip() for rest in process.stdout if rest.endswith("\n")
                    )
    store = Memori.open(path)
    assert len(acknowledged) > ROUNDS
    assert acknowledged <= store.read_sync(keys)
    assert store.read_sync(lambda tx: tx.execute("PRAGMA integrity_check").fetchone()) == ("ok",)
    store.close()


def test_two_processes_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "memori.db"
    with start(path, "a", 25) as one, start(path, "b", 25) as two:
        lines = one.communicate()[0].split() + two.communicate()[0].split()
    assert (one.returncode, two.returncode) == (0, 0)
    assert len(lines) == 400
    store = Memori.open(path)
    assert store.read_sync(keys) == set(lines)
    store.close()


def test_a_process_that_does_not_close_ends_and_keeps_its_writes(tmp_path: Path) -> None:
    path = tmp_path / "memori.db"
    # The thread's commit is still being awaited when the main thread ends.
    script = WRITE_FOREVER.split("async def write")[0] + (
        "import threading\n"
        "memori = Memori.open(sys.argv[1])\n"
        "threading.Thread(target=lambda: memori.commit_sync(put('a'))).start()\n"
        "memori.read_sync(lambda tx: None)\n"
    )
    subprocess.run(
        [sys.executable, "-c", script, str(path)],
        check=True,
        timeout=60,
        cwd=Path(__file__).parents[3],
    )
    store = Memori.open(path)
    assert store.read_sync(keys) == {"a"}
    store.close()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_is_told_to_open_the_store_again(file: Path) -> None:
    store = Memori.open(file)
    store.read_sync(keys)
    child = os.fork()
    if child == 0:
        try:
            store.commit_sync(put("child"))
        except StoreError as error:
            os._exit(0 if "forked" in str(error) else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    store.close()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_that_closes_the_store_takes_nothing_from_its_parent(
    shared_place: str,
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def held(tx: Tx) -> None:
        put("second")(tx)
        begun.set()
        assert go_on.wait(30)

    with closing(Memori.open(shared_place)) as store, ThreadPoolExecutor(1) as thread:
        store.commit_sync(put("first"))
        assert store.read_sync(keys) == {"first"}
        writing = thread.submit(store.commit_sync, held)
        assert begun.wait(30)
        child = os.fork()
        if child == 0:
            try:
                store.close()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        go_on.set()
        writing.result(30)
        assert store.read_sync(keys) == {"first", "second"}
