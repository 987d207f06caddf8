"""What a MemoriSaver stores: once, small, strictly, for its tenant alone, and gone when deleted."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Final

import pytest
from langgraph.checkpoint.base import Checkpoint, CheckpointMetadata, empty_checkpoint
from langgraph.checkpoint.base.id import uuid6
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from infrastructure.errors import InputError, StoreError
from infrastructure.memory.memori.checkpoints import MemoriSaver
from infrastructure.memory.memori.copying import copy_to
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.engine import Memori

ROOT: Final = Path(__file__).parents[3]


@pytest.fixture
async def memori(place: str) -> AsyncGenerator[Memori]:
    opened = Memori.open(place)
    yield opened
    await opened.aclose()


@pytest.fixture
def saver(memori: Memori) -> MemoriSaver:
    return MemoriSaver(memori)


class Thread:
    """A thread that grows by one checkpoint a step, as LangGraph makes them."""

    def __init__(self, saver: MemoriSaver, thread_id: str = "1") -> None:
        self.saver = saver
        self.config: Any = {"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}
        self.values: dict[str, Any] = {}
        self.versions: dict[str, Any] = {}
        self.steps = 0

    async def step(self, run_id: str = "", **changed: Any) -> Any:
        new: dict[str, Any] = {
            channel: self.saver.get_next_version(self.versions.get(channel), None)
            for channel in changed
        }
        self.values.update(changed)
        self.versions.update(new)
        checkpoint: Checkpoint = {
            **empty_checkpoint(),
            "id": str(uuid6(clock_seq=self.steps)),
            "channel_values": dict(self.values),
            "channel_versions": dict(self.versions),
        }
        metadata: CheckpointMetadata = {"source": "loop", "step": self.steps, "run_id": run_id}
        self.config = await self.saver.aput(self.config, checkpoint, metadata, new)
        self.steps += 1
        return self.config

    async def read(self, config: Any = None) -> dict[str, Any]:
        found = await self.saver.aget_tuple(config or self.config)
        assert found is not None
        return found.checkpoint["channel_values"]


def bytes_of_values(tx: Tx) -> int:
    (size,) = tx.execute(
        "SELECT COALESCE(SUM(LENGTH(body)), 0) FROM checkpoint_values"
    ).fetchone() or (0,)
    return int(size)


def rows_of(table: str) -> Any:
    def count(tx: Tx) -> int:
        (rows,) = tx.execute(f"SELECT COUNT(*) FROM {table}").fetchone() or (0,)
        return int(rows)

    return count


def noise(seed: int, count: int) -> bytes:
    return random.Random(seed).randbytes(count)


# Size


async def test_an_unchanged_value_is_stored_once(memori: Memori, saver: MemoriSaver) -> None:
    thread = Thread(saver)
    await thread.step(document=noise(0, 200_000), count=0)
    for count in range(1, 20):
        await thread.step(count=count)
    assert await memori.read(bytes_of_values) < 202_000
    assert (await thread.read()) == {"document": noise(0, 200_000), "count": 19}


async def test_a_list_that_grows_takes_what_is_new_of_it(
    memori: Memori, saver: MemoriSaver
) -> None:
    thread, messages, configs = Thread(saver), list[str](), list[Any]()
    for number in range(100):
        messages = [*messages, noise(number, 500).hex()]
        configs.append(await thread.step(messages=messages))
    whole = sum(1_000 * length for length in range(1, 101))
    assert await memori.read(bytes_of_values) < whole / 20
    for number in (0, 31, 32, 33, 99):
        assert (await thread.read(configs[number]))["messages"] == messages[: number + 1]
    history = [
        found async for found in saver.alist(thread.config | {"configurable": {"thread_id": "1"}})
    ]
    assert [len(found.checkpoint["channel_values"]["messages"]) for found in history] == list(
        range(100, 0, -1)
    )


async def test_what_changes_wholly_is_stored_whole(saver: MemoriSaver) -> None:
    thread = Thread(saver)
    for number in range(5):
        await thread.step(blob=noise(number, 5_000))
        assert (await thread.read())["blob"] == noise(number, 5_000)


async def test_a_state_of_many_megabytes_comes_back(saver: MemoriSaver) -> None:
    thread = Thread(saver)
    large = noise(0, 24 * 1024 * 1024)
    await thread.step(large=large)
    await thread.step(large=large + b"more")
    assert (await thread.read())["large"] == large + b"more"


async def test_a_value_does_not_build_on_one_that_another_process_deleted(
    shared_place: str,
) -> None:
    async with MemoriSaver.open(shared_place) as saver, MemoriSaver.open(shared_place) as other:
        thread = Thread(saver)
        text = noise(0, 5_000).hex()
        await thread.step(text=text)
        await other.adelete_thread("1")
        await thread.step(text=text + "!")
        assert (await thread.read())["text"] == text + "!"


async def test_versions_of_branches_differ_though_processes_are_seeded_alike(
    saver: MemoriSaver,
) -> None:
    random.seed(0)
    first = saver.get_next_version("0000000004.aa", None)
    random.seed(0)
    second = saver.get_next_version("0000000004.aa", None)
    assert first != second
    assert first.startswith("0000000005.")
    assert saver.get_next_version(first, None) > max(first, second)
    assert saver.get_next_version(None, None) < saver.get_next_version(9, None)


async def test_a_value_without_a_version_is_kept_too(saver: MemoriSaver) -> None:
    thread = Thread(saver)
    checkpoint: Checkpoint = {**empty_checkpoint(), "channel_values": {"loose": [1]}}
    stored = await saver.aput(thread.config, checkpoint, {}, {})
    assert await thread.read(stored) == {"loose": [1]}


# Deleting


async def test_deleting_a_run_leaves_what_others_need(memori: Memori, saver: MemoriSaver) -> None:
    thread, texts = Thread(saver), [noise(number, 2_000).hex() for number in range(2)]
    first = await thread.step(run_id="a", text=texts[0], kept="from a")
    second = await thread.step(run_id="b", text=texts[0] + "!")  # builds on a's
    await saver.aput_writes(first, [("text", "pending")], "task")
    await thread.step(run_id="a", text=texts[1])
    await saver.adelete_for_runs(["a"])
    assert await thread.read(second) == {"text": texts[0] + "!", "kept": "from a"}
    assert await memori.read(rows_of("checkpoints")) == 1
    assert await memori.read(rows_of("checkpoint_writes")) == 0
    assert await memori.read(rows_of("checkpoint_values")) == 3  # the base among them
    await saver.adelete_for_runs(["b", "", "unknown"])
    assert await memori.read(rows_of("checkpoint_values")) == 0


async def test_pruning_gives_back_the_space(memori: Memori, saver: MemoriSaver) -> None:
    thread = Thread(saver)
    for number in range(50):
        await thread.step(blob=noise(number, 3_000), same="same")
    other = Thread(saver, "2")
    await other.step(blob=noise(1, 3_000))
    await saver.aprune(["1"])
    assert await thread.read() == {"blob": noise(49, 3_000), "same": "same"}
    assert await other.read() == {"blob": noise(1, 3_000)}
    assert await memori.read(rows_of("checkpoints")) == 2
    assert await memori.read(rows_of("checkpoint_values")) == 3
    saver.prune(["1", "2"], strategy="delete")
    for table in ("checkpoints", "checkpoint_values", "checkpoint_writes"):
        assert await memori.read(rows_of(table)) == 0
    with pytest.raises(InputError, match="keep_latest"):
        saver.prune(["1"], strategy="keep_all")


async def test_a_copy_lives_without_its_source(saver: MemoriSaver) -> None:
    thread, text = Thread(saver), noise(0, 3_000).hex()
    await thread.step(text=text)
    await thread.step(text=text + "!")
    await saver.acopy_thread("1", "2")
    saver.copy_thread("1", "1")
    saver.delete_thread("1")
    found = await saver.aget_tuple({"configurable": {"thread_id": "2"}})
    assert found is not None
    assert found.checkpoint["channel_values"] == {"text": text + "!"}
    assert await saver.aget_tuple({"configurable": {"thread_id": "1"}}) is None


# Listing


async def test_a_long_history_is_read_in_pages(saver: MemoriSaver) -> None:
    thread, configs = Thread(saver), list[Any]()
    for number in range(120):
        configs.append(await thread.step(number=number))
    everything: Any = {"configurable": {"thread_id": "1"}}
    numbers = [each.checkpoint["channel_values"]["number"] for each in saver.list(everything)]
    assert numbers == list(range(119, -1, -1))
    some = [each async for each in saver.alist(everything, before=configs[100], limit=60)]
    assert [each.checkpoint["channel_values"]["number"] for each in some] == list(range(99, 39, -1))
    assert [each async for each in saver.alist(everything, limit=0)] == []
    with pytest.raises(InputError, match="limit"):
        list(saver.list(everything, limit=-1))


async def test_filters_are_data(saver: MemoriSaver) -> None:
    thread = Thread(saver)
    for number in range(3):
        await thread.step(number=number)
    hostile = ["x' OR '1'='1", 'step") = 0 OR (1', "$.step", "step' OR 1=1 --", "$or", "a.b"]
    for key in hostile:
        assert list(saver.list(None, filter={key: 1})) == []
        assert list(saver.list(None, filter={"step": key})) == []
    assert len(list(saver.list(None, filter={"step": 1}))) == 1
    assert list(saver.list(None, filter={"step": True})) == []
    assert list(saver.list(None, filter={"step": {"$gte": 0}})) == []
    with pytest.raises(InputError, match="filter"):
        list(saver.list(None, filter={"step": object()}))


async def test_metadata_of_any_depth_can_be_filtered(saver: MemoriSaver) -> None:
    config: Any = {
        "configurable": {"thread_id": "1", "user": "ada"},
        "metadata": {"score": 0.5, "beta": True},
    }
    metadata: Any = {"source": "input", "step": -1, "parents": {"a": "b"}, "pair": (1, 2)}
    await saver.aput(config, empty_checkpoint(), metadata, {})
    for wanted in ({"user": "ada"}, {"score": 0.5, "beta": True}, {"parents": {"a": "b"}},
                   {"pair": [1, 2]}, {"missing": None}):  # fmt: skip
        assert len(list(saver.list(None, filter=wanted))) == 1
    others: tuple[dict[str, Any], ...] = (
        {"user": "Ada"},
        {"beta": 1},
        {"parents": {}},
        {"missing": 1},
    )
    for unwanted in others:
        assert list(saver.list(None, filter=unwanted)) == []


# Walls


async def test_tenants_see_nothing_of_each_other(memori: Memori) -> None:
    ours, theirs = MemoriSaver(memori), MemoriSaver(memori.for_tenant("other"))
    thread = Thread(ours)
    config = await thread.step(secret=noise(0, 2_000))
    await ours.aput_writes(config, [("secret", "pending")], "task")
    assert await theirs.aget_tuple(config) is None
    assert [each async for each in theirs.alist(None)] == []
    await theirs.adelete_thread("1")
    await theirs.adelete_for_runs([""])
    await theirs.aprune(["1"], strategy="delete")
    await theirs.acopy_thread("1", "2")
    assert await theirs.aget_tuple({"configurable": {"thread_id": "2"}}) is None
    assert await thread.read() == {"secret": noise(0, 2_000)}


async def test_pickle_is_refused(memori: Memori) -> None:
    pickling = JsonPlusSerializer(pickle_fallback=True)
    with pytest.raises(InputError, match="pickle"):
        MemoriSaver(memori, serde=pickling)
    with pytest.raises(InputError, match="pickle"):
        MemoriSaver(memori, serde=EncryptedSerializer(_Reversed(), pickling))


class _Reversed:
    """A cipher that hides nothing; the serialiser's part is what counts here."""

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        return "reversed", plaintext[::-1]

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        assert ciphername == "reversed"
        return ciphertext[::-1]


async def test_encrypted_values_are_stored_as_they_are(memori: Memori) -> None:
    thread = Thread(MemoriSaver(memori, serde=EncryptedSerializer(_Reversed())))
    await thread.step(text="secret" * 500)
    await thread.step(text="secret" * 501)
    assert (await thread.read())["text"] == "secret" * 501

    def forms(tx: Tx) -> list[Any]:
        return tx.execute("SELECT DISTINCT type, form FROM checkpoint_values").fetchall()

    assert await memori.read(forms) == [("msgpack+reversed", 0)]


def test_a_crafted_value_makes_no_object(tmp_path: Path) -> None:
    """Whoever can write to the database cannot run code by what a graph loads from it."""
    place, canary = tmp_path / "crafted.db", tmp_path / "canary"
    with MemoriSaver.open(place) as saver:
        checkpoint: Checkpoint = {
            **empty_checkpoint(), "channel_values": {"a": 1}, "channel_versions": {"a": "1"},
        }  # fmt: skip
        saver.put({"configurable": {"thread_id": "1"}}, checkpoint, {}, {"a": "1"})
    crafted = JsonPlusSerializer().dumps_typed({"a": _Call(str(canary))})
    with sqlite3.connect(place) as connection:
        connection.execute("UPDATE checkpoint_values SET type = ?, form = 0, body = ?", crafted)
    connection.close()
    with MemoriSaver.open(place) as saver:
        found = saver.get_tuple({"configurable": {"thread_id": "1"}})
    assert found is not None
    assert not canary.exists()
    assert found.checkpoint["channel_values"]["a"] == {"a": {"name": str(canary)}}
    with sqlite3.connect(place) as connection:
        connection.execute("UPDATE checkpoint_values SET type = 'pickle', body = ?", (b"cos\n.",))
    connection.close()
    with MemoriSaver.open(place) as saver, pytest.raises(NotImplementedError, match="pickle"):
        saver.get_tuple({"configurable": {"thread_id": "1"}})


class _Call:
    """Serialised as the call `os.mkdir(name)` would be."""

    __module__ = "os"
    __qualname__ = __name__ = "mkdir"

    def __init__(self, name: str) -> None:
        self.name = name

    def model_dump(self) -> dict[str, str]:
        return {"name": self.name}


_Call.__name__ = "mkdir"


async def test_damage_is_told(tmp_path: Path) -> None:
    place = tmp_path / "damaged.db"
    async with MemoriSaver.open(place) as saver:
        thread = Thread(saver)
        await thread.step(text="ab" * 1_000)
    with sqlite3.connect(place) as connection:
        (body,) = connection.execute("SELECT body FROM checkpoint_values").fetchone()
        connection.execute("UPDATE checkpoint_values SET body = ?", (body[:-6] + b"000000",))
    connection.close()
    async with MemoriSaver.open(place) as saver:
        with pytest.raises(StoreError, match="damaged"):
            await saver.aget_tuple({"configurable": {"thread_id": "1"}})


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({}, "thread_id"),
        ({"configurable": {}}, "thread_id"),
        ({"configurable": {"thread_id": "x" * 401}}, "401 bytes"),
        ({"configurable": {"thread_id": "a\x00b"}}, "NUL"),
        ({"configurable": {"thread_id": "a", "checkpoint_ns": "n" * 1_201}}, "checkpoint_ns"),
        ({"configurable": {"thread_id": "a", "checkpoint_id": "c" * 101}}, "checkpoint_id"),
    ],
)
async def test_names_that_cannot_be_stored_are_told(config: Any, told: str) -> None:
    with MemoriSaver.open(":memory:") as saver:
        with pytest.raises(InputError, match=told):
            await saver.aget_tuple(config)
        with pytest.raises(InputError, match=told):
            saver.put(config, empty_checkpoint(), {}, {})


async def test_writes_need_a_checkpoint_and_metadata_must_be_json(saver: MemoriSaver) -> None:
    config: Any = {"configurable": {"thread_id": "1"}}
    with pytest.raises(InputError, match="checkpoint_id"):
        await saver.aput_writes(config, [("a", 1)], "task")
    metadata: Any = {"when": object()}
    with pytest.raises(InputError, match="when"):
        await saver.aput(config, empty_checkpoint(), metadata, {})
    assert [each async for each in saver.alist(None)] == []


async def test_the_longest_names_fit_into_every_index(saver: MemoriSaver) -> None:
    rng = random.Random(0)  # so that no database compresses them
    config: Any = {
        "configurable": {
            "thread_id": rng.randbytes(200).hex(),
            "checkpoint_ns": rng.randbytes(600).hex(),
        }
    }
    channel = rng.randbytes(200).hex()
    version = rng.randbytes(50).hex()
    checkpoint: Checkpoint = {
        **empty_checkpoint(),
        "channel_values": {channel: 1},
        "channel_versions": {channel: version},
    }
    stored = await saver.aput(config, checkpoint, {}, {channel: version})
    await saver.aput_writes(stored, [(channel, 1)], rng.randbytes(50).hex(), "path" * 500)
    found = await saver.aget_tuple(config)
    assert found is not None
    assert found.checkpoint["channel_values"] == {channel: 1}


def test_who_imports_langgraph_first_is_told_what_that_means() -> None:
    script = (
        "import langgraph.checkpoint.base\n"
        "from infrastructure.memory.memori import Memori, MemoriSaver\n"
        "MemoriSaver(Memori.open(':memory:'))\n"
    )
    environ = {name: value for name, value in os.environ.items() if "STRICT_MSGPACK" not in name}
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True, text=True, timeout=60, check=True, cwd=ROOT, env=environ,
    )  # fmt: skip
    assert "LANGGRAPH_STRICT_MSGPACK" in done.stderr
    first, second, *rest = script.splitlines()
    done = subprocess.run(
        [sys.executable, "-c", "\n".join((second, first, *rest))],
        capture_output=True, text=True, timeout=60, check=True, cwd=ROOT, env=environ,
    )  # fmt: skip
    assert not done.stderr


async def test_what_is_no_memori_is_refused() -> None:
    wrong: Any = "memory.db"
    with pytest.raises(InputError, match=r"MemoriSaver\.open"):
        MemoriSaver(wrong)


# Moving


async def test_checkpoints_move_with_their_tenant(tmp_path: Path, postgres_url: str) -> None:
    source, target = Memori.open(tmp_path / "source.db"), Memori.open(postgres_url)
    thread, lines = Thread(MemoriSaver(source)), list[str]()
    for number in range(5):
        lines = [*lines, noise(number, 500).hex()]
        await thread.step(lines=lines)
    await thread.saver.aput_writes(thread.config, [("lines", "pending")], "task")
    copied = {table.name: table.rows for table in await copy_to(source, target)}
    assert (copied["checkpoints"], copied["checkpoint_values"]) == (5, 5)
    assert [found async for found in MemoriSaver(target).alist(None)] == [
        found async for found in thread.saver.alist(None)
    ]
    await source.aclose()
    await target.aclose()
