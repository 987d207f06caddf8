"""Several processes on one store: all wait for one another, see one another, and find alike."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from raw_items import keys, put
from store_writers import NAMESPACE, ROOT, found, start_writers

from infrastructure.memory.memori import sqlite
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.store import MemoriStore

PROCESSES, WRITERS, COUNT = 4, 8, 12

_OTHER = """
import json, sys
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.store import MemoriStore

memori = Memori.open(sys.argv[1])
store = MemoriStore(memori)
for line in sys.stdin:
    name, key = json.loads(line)
    if name == "put":
        answer = store.put(("writers",), key, {"text": "rain " + key})
    elif name == "delete":
        answer = store.delete(("writers",), key)
    elif name == "get":
        answer = store.get(("writers",), key) is not None
    elif name == "search":
        hits = store.search(("writers",), query=key, limit=1000)
        answer = sorted(hit.key for hit in hits if hit.score is not None)
    elif name == "lock":
        answer = "released"
        memori.commit_sync(lambda tx: (print('"held"', flush=True), sys.stdin.readline())[:0])
    print(json.dumps(answer), flush=True)
memori.close()
"""


class Other:
    """A store in another process."""

    def __init__(self, place: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _OTHER, place],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": str(ROOT)},
        )

    def ask(self, name: str, key: str = "") -> Any:
        """Have it do something, and wait for the answer."""
        self.tell(json.dumps([name, key]))
        return self.answer()

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        """Let it close its store and end."""
        self.process.communicate()
        assert self.process.returncode == 0


@pytest.fixture
def other(shared_place: str) -> Iterator[Other]:
    process = Other(shared_place)
    yield process
    process.close()


@pytest.fixture
def memori(shared_place: str) -> Iterator[Memori]:
    store = Memori.open(shared_place)
    yield store
    store.close()


def test_many_writers_in_several_processes(shared_place: str) -> None:
    """They also make the store at the same moment."""
    with ExitStack() as running:
        processes = [
            running.enter_context(start_writers(shared_place, f"process{number}", WRITERS, COUNT))
            for number in range(PROCESSES)
        ]
        acknowledged = [key for process in processes for key in process.communicate()[0].split()]
    assert [process.returncode for process in processes] == [0] * PROCESSES
    assert len(acknowledged) == PROCESSES * WRITERS * COUNT
    memori = Memori.open(shared_place)
    assert found(MemoriStore(memori)) == set(acknowledged)
    memori.close()


async def test_a_process_that_holds_the_store_is_waited_for(memori: Memori, other: Other) -> None:
    await memori.commit(put("before"))
    assert await memori.read(keys) == {"before"}
    assert other.ask("lock") == "held"
    writing = asyncio.create_task(memori.commit(put("after")))
    _, waiting = await asyncio.wait({writing}, timeout=2)
    assert waiting, "the lock was held, and the write did not wait for it"
    assert await memori.read(keys) == {"before"}
    other.tell("go on")
    assert await writing == ["after"]
    assert other.answer() == "released"


def test_each_sees_what_the_other_stored(memori: Memori, other: Other) -> None:
    store = MemoriStore(memori)
    for number in range(5):
        other.ask("put", f"theirs {number}")
        assert store.get(NAMESPACE, f"theirs {number}") is not None
        store.put(NAMESPACE, f"ours {number}", {"text": "rain"})
        assert other.ask("get", f"ours {number}")
    other.ask("delete", "theirs 0")
    assert store.get(NAMESPACE, "theirs 0") is None


def test_both_find_what_is_there_and_nothing_else(memori: Memori, other: Other) -> None:
    store, rng = MemoriStore(memori), random.Random(0)
    there: set[str] = set()
    for _ in range(80):
        key = f"k{rng.randrange(12)}"
        ours = rng.random() < 0.5
        match rng.choice(["put", "put", "delete", "search"]):
            case "put":
                there.add(key)
                if ours:
                    store.put(NAMESPACE, key, {"text": f"rain {key}"})
                else:
                    other.ask("put", key)
            case "delete":
                there.discard(key)
                if ours:
                    store.delete(NAMESPACE, key)
                else:
                    other.ask("delete", key)
            case _:
                assert other.ask("search", "rain") == sorted(there)
                assert found(store) == there
    assert other.ask("search", "rain") == sorted(there)
    assert found(store) == there


def test_a_store_opened_twice_keeps_its_log_when_another_process_ends(tmp_path: Path) -> None:
    """A process that closes a file gives up all of its locks on it, whoever has them."""
    path = str(tmp_path / "memori.db")
    first, second = Memori.open(path), Memori.open(path)
    first.commit_sync(put("first"))
    second.commit_sync(put("second"))
    other = Other(path)
    other.ask("put", "theirs")
    other.close()
    assert Path(f"{path}-wal").exists()
    assert first.commit_sync(put("third")) == ["third"]
    assert second.read_sync(keys) == {"first", "second", "third", "theirs"}
    second.close()
    first.close()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [text for text in caplog.messages if "another process writes" in text]


@pytest.mark.parametrize(("version", "warned"), [((3, 51, 2), 1), ((3, 51, 3), 0)])
def test_an_sqlite_that_several_processes_can_damage_is_warned_of_once(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    version: tuple[int, int, int],
    warned: int,
) -> None:
    monkeypatch.setattr(sqlite, "VERSION", version)
    caplog.set_level(logging.WARNING)
    path = str(tmp_path / "memori.db")
    store = Memori.open(path)
    for number in range(3):
        store.commit_sync(put(f"alone {number}"))
        assert len(store.read_sync(keys)) == number + 1
    assert warnings(caplog) == []
    other = Other(path)
    for number in range(2):
        other.ask("put", f"theirs {number}")
        store.commit_sync(put(f"ours {number}"))
    other.close()
    assert len(warnings(caplog)) == warned
    assert all(path in text and "3.51.3" in text for text in warnings(caplog))
    store.close()
