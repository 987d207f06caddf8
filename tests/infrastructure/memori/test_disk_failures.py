"""A disk that is full or broken, and files that are taken away, under an open store."""

from __future__ import annotations

import os
import random
import resource
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path
from traceback import format_exception

import pytest
from raw_items import keys, put
from recording_vfs import Call, recorded

from infrastructure.errors import StoreError, StoreUnavailable
from infrastructure.memory.memori.dialect import Write
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.items import decode_namespace
from infrastructure.memory.memori.jsontext import load_object
from infrastructure.memory.memori.store import MemoriStore

FULL = sqlite3.SQLITE_FULL
NOBODY = 65534

sixteen_kib = "x" * 16_384


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A store with one item, closed."""
    return made(tmp_path / "memori.db")


def made(path: Path) -> Path:
    store = Memori.open(path)
    store.commit_sync(put("first"))
    store.close()
    return path


def outcome(store: Memori, write: Write[str]) -> str | None:
    """Why a write failed; None if it did not."""
    try:
        store.commit_sync(write)
    except StoreUnavailable as error:
        return str(error)
    return None


class Fails:
    """A disk on which one call fails, the n-th of its kind."""

    def __init__(self, call: Call, number: int, code: int) -> None:
        self.call = call
        self.left = number
        self.code = code

    def __call__(self, call: Call, path: str) -> int:
        if call != self.call:
            return 0
        self.left -= 1
        return self.code if self.left == -1 else 0


@pytest.mark.parametrize(
    ("call", "code", "cause"),
    [
        ("write", FULL, "the disk is full; free some space and try again"),
        ("write", sqlite3.SQLITE_IOERR_WRITE, "repeat the write under the same id"),
        ("sync", sqlite3.SQLITE_IOERR_FSYNC, "repeat the write under the same id"),
    ],
)
def test_a_disk_that_fails_at_any_moment(file: Path, call: Call, code: int, cause: str) -> None:
    """Each commit, and the checkpoint after it, fails one call later than the one before."""
    with recorded() as disk, ExitStack() as opened:
        store = Memori.open(file)
        opened.callback(store.close)
        store.commit_sync(lambda tx: tx.execute("PRAGMA wal_autocheckpoint = 1"))
        before, errors = {"first"}, 0
        for number in count():
            disk.fault = fails = Fails(call, number, code)
            error = outcome(store, put(f"{number}", sixteen_kib))
            if error is None:
                before.add(f"{number}")
            else:
                assert cause in error
                assert str(file) in error
                errors += 1
            if fails.left >= 0:
                break
            # The next write works, and so does whatever was there, with nothing opened again.
            disk.fault = Fails(call, -1, code)
            before.add(store.commit_sync(put(f"after {number}"))[0])
            assert store.read_sync(keys) == before
        assert errors
    again = Memori.open(file)
    assert again.read_sync(keys) == before
    assert again.read_sync(lambda tx: tx.execute("PRAGMA integrity_check").fetchone()) == ("ok",)
    again.close()


def test_a_file_that_may_not_grow(file: Path) -> None:
    store = Memori.open(file)
    stored = store.read_sync(keys)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        while (error := outcome(store, put(f"{len(stored)}", sixteen_kib))) is None:
            stored.add(f"{len(stored)}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "the disk failed" in error
    assert len(stored) > 10
    assert store.read_sync(keys) == stored
    assert store.commit_sync(put("after")) == ["after"]
    store.close()


# Files that are taken away


@pytest.mark.parametrize("suffix", ["", "-wal"])
def test_a_file_removed_from_an_open_store(file: Path, suffix: str) -> None:
    store = Memori.open(file)
    store.commit_sync(put("second"))
    taken = file.with_name("memori.db" + suffix)
    taken.rename(file.with_name("elsewhere"))
    with pytest.raises(StoreUnavailable, match="removed or replaced") as raised:
        store.commit_sync(put("third"))
    assert str(file) in str(raised.value)
    assert not taken.exists(), "no empty store in its place"
    file.with_name("elsewhere").rename(taken)
    assert store.commit_sync(put("fourth")) == ["fourth"]
    assert store.read_sync(keys) == {"first", "second", "fourth"}
    store.close()


def test_a_file_replaced_under_an_open_store(file: Path, tmp_path: Path) -> None:
    store = Memori.open(file)
    assert store.read_sync(keys) == {"first"}
    shutil.copy(file, tmp_path / "copy")
    (tmp_path / "copy").rename(file)
    with pytest.raises(StoreUnavailable, match="replaced while it was open"):
        store.read_sync(keys)
    with pytest.raises(StoreUnavailable, match="replaced while it was open"):
        store.commit_sync(put("second"))
    store.close()
    again = Memori.open(file)
    assert again.read_sync(keys) == {"first"}
    again.close()


def test_a_file_replaced_by_garbage_while_closed(file: Path) -> None:
    garbage = random.Random(0).randbytes(50_000)
    file.write_bytes(garbage)
    store = Memori.open(file)
    with pytest.raises(StoreUnavailable, match="not a memory store"):
        store.commit_sync(put("second"))
    assert file.read_bytes() == garbage
    file.unlink()
    assert store.commit_sync(put("anew")) == ["anew"]
    store.close()


def test_damage_in_a_file_too_large_to_check_is_reported_where_it_is_met(file: Path) -> None:
    store = Memori.open(file)
    store.commit_sync(*(put(f"{number}", sixteen_kib) for number in range(400)))
    store.close()
    content = bytearray(file.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 40_960] = b"\xa5" * 40_960
    file.write_bytes(content)
    store = Memori.open(file)
    # Pages of the tree make the store unusable, pages of a value spoil that value.
    with pytest.raises(StoreError, match="damaged") as raised:
        store.read_sync(lambda tx: tx.execute("SELECT value FROM items").fetchall())
    assert str(file) in str(raised.value)
    store.close()
    assert file.read_bytes() == content


def crashed(file: Path, folder: Path) -> Path:
    """What a killed process leaves of a store whose log has the item 'second'."""
    store = Memori.open(file)
    store.commit_sync(put("second"))
    for suffix in ("", "-wal"):
        shutil.copy(f"{file}{suffix}", folder / f"crashed.db{suffix}")
    store.close()
    return folder / "crashed.db"


@pytest.mark.parametrize("offset", range(0, 60, 2))
def test_one_changed_byte_in_the_schema_is_told_as_damage(file: Path, offset: int) -> None:
    content = bytearray(file.read_bytes())
    content[content.index(b"CREATE TABLE items") + offset] = 0xA5
    file.write_bytes(content)
    store = Memori.open(file)
    with pytest.raises(StoreUnavailable, match=r"damaged.*restore a backup"):
        store.read_sync(keys)
    store.close()
    assert file.read_bytes() == bytes(content)


@pytest.mark.parametrize("damaged", [b'{"text": secret}', b'{"text":"\xff secret"}'])
def test_a_damaged_value_is_told_without_its_text(file: Path, damaged: bytes) -> None:
    with closing(sqlite3.connect(file)) as raw, raw:
        raw.execute("UPDATE items SET value = CAST(? AS TEXT)", (damaged,))
        namespace, key = raw.execute("SELECT namespace, key FROM items").fetchone()
    place = decode_namespace(namespace)
    memori = Memori.open(file)
    store = MemoriStore(memori)
    reads: list[Callable[[], object]] = [
        lambda: store.get(place, key),
        lambda: store.search(place),
        lambda: store.search(place, filter={"text": {"$gt": "a"}}),
        lambda: store.search(place, filter={'"': {"$contains": 1}}),
        lambda: store.search(place, order_by="text"),
    ]
    for read in reads:
        assert "secret" not in told_of_damage(read)
    store.put(place, key, {"text": "anew"})
    found = store.get(place, key)
    assert found is not None
    assert found.value == {"text": "anew"}
    memori.close()


def told_of_damage(read: Callable[[], object]) -> str:
    with pytest.raises(StoreError, match=r"damaged.*restore a backup") as caught:
        read()
    return "".join(format_exception(caught.value))


def test_a_damaged_record_of_a_run_is_told() -> None:
    with pytest.raises(StoreError, match=r"damaged.*restore a backup"):
        load_object('{"steps": [')


def test_a_log_removed_after_a_crash_leaves_the_state_before_it(file: Path, tmp_path: Path) -> None:
    left = crashed(file, tmp_path)
    left.with_name("crashed.db-wal").unlink()
    store = Memori.open(left)
    assert store.read_sync(keys) == {"first"}
    assert store.commit_sync(put("third")) == ["third"]
    store.close()


def test_a_log_replaced_by_garbage_after_a_crash_leaves_the_state_before_it(
    file: Path, tmp_path: Path
) -> None:
    left = crashed(file, tmp_path)
    left.with_name("crashed.db-wal").write_bytes(random.Random(0).randbytes(50_000))
    store = Memori.open(left)
    assert store.read_sync(keys) == {"first"}
    assert store.commit_sync(put("third")) == ["third"]
    store.close()


# Files that may not be written


@pytest.fixture
def own_folder() -> Iterator[Path]:
    """A folder of a user who is not root, as whom the test runs."""
    folder, user = Path(tempfile.mkdtemp()), os.geteuid()
    if user == 0:
        os.chown(folder, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    yield folder
    os.seteuid(user)
    shutil.rmtree(folder)


@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_is_read_only_is_refused_and_left_as_it_is(own_folder: Path, what: str) -> None:
    file = made(own_folder / "memori.db")
    before = file.read_bytes()
    closed, mode = (own_folder, 0o755) if what == "folder" else (file, 0o644)
    closed.chmod(mode & 0o555)
    store = Memori.open(file)
    with pytest.raises(StoreUnavailable, match="read-only") as raised:
        store.commit_sync(put("second"))
    assert str(file) in str(raised.value)
    assert file.read_bytes() == before
    closed.chmod(mode)
    assert store.commit_sync(put("second")) == ["second"]
    assert store.read_sync(keys) == {"first", "second"}
    store.close()


def test_folders_that_are_made_survive_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[int, int]] = []

    def fsync(descriptor: int) -> None:
        found = os.fstat(descriptor)
        synced.append((found.st_dev, found.st_ino))

    monkeypatch.setattr(os, "fsync", fsync)
    made(tmp_path / "a" / "b" / "memori.db")
    parents = [tmp_path.stat(), (tmp_path / "a").stat()]
    assert set(synced) == {(parent.st_dev, parent.st_ino) for parent in parents}
