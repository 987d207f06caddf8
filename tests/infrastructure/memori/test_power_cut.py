"""The power is cut at any moment under 32 writers: all that was acknowledged is there, and whole.

A power cut loses what the store did not have synced. The store's work is recorded once; every
round is another moment of it and another part that survives.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from power_cut import Disk, lay_out
from recording_vfs import Created, Deleted, Event, RecordingVfs, Synced, Told, recorded
from rounds import ROUNDS, in_rounds
from store_writers import found, item

from infrastructure.errors import StoreError
from infrastructure.memory.memori.dialect import Durability
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.store import MemoriStore

WRITERS: Final = 32
COMMITS: Final = 24
PARTS: Final = 3


@dataclass(frozen=True)
class Aftermath:
    """What a power cut left of the store.

    Fields:
        lost: commits acknowledged before, and not to be had.
        torn: commits of which a part is there.
        damage: why the store cannot be used; empty when it can.
    """

    lost: set[str]
    torn: set[str]
    damage: str = ""

    @property
    def harmless(self) -> bool:
        return not (self.lost or self.torn or self.damage)


async def write(vfs: RecordingVfs, path: Path, name: str, durability: Durability) -> None:
    """Open a store, have all writers at it, and close it, so that its log is removed."""
    memori = Memori.open(path, durability=durability)
    store = MemoriStore(memori)

    async def work(writer: int) -> None:
        for number in range(COMMITS):
            commit = f"{name}.{writer}.{number}"
            words = random.Random(commit).randrange(600)
            await store.abatch([item(f"{commit}/{part}", words) for part in range(PARTS)])
            vfs.tell(commit)

    await asyncio.gather(*(work(writer) for writer in range(WRITERS)))
    await memori.aclose()


def record(folder: Path, durability: Durability) -> list[Event]:
    """What a store asked of the file system, from its making over two lives to its end."""
    path = folder / "memori.db"
    with recorded() as vfs:
        for name in ("first", "second"):
            asyncio.run(write(vfs, path, name, durability))
    return vfs.events


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    return record(tmp_path_factory.mktemp("full"), "full")


@pytest.fixture(scope="module")
def normal(tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    return record(tmp_path_factory.mktemp("normal"), "normal")


def cut(events: Sequence[Event], folder: Path, rng: random.Random, disk: Disk) -> Aftermath:
    """Cut the power after the events, and open what is left."""
    disk.follow(events)
    lay_out(disk.cut(rng), folder, rng)
    acknowledged = {event.what for event in events if isinstance(event, Told)}
    try:
        return look(folder / "memori.db", acknowledged)
    except StoreError as error:
        return Aftermath(acknowledged, set(), str(error))


def look(path: Path, acknowledged: set[str]) -> Aftermath:
    """Compare a store with what was acknowledged; what is there must be found by a search too."""
    memori = Memori.open(path)
    try:
        parts = Counter(key.partition("/")[0] for key in found(MemoriStore(memori)))
        (verdict,) = memori.read_sync(lambda tx: tx.execute("PRAGMA integrity_check").fetchall())
        torn = {commit for commit, count in parts.items() if count != PARTS}
        return Aftermath(acknowledged - set(parts), torn, "" if verdict == ("ok",) else verdict[0])
    finally:
        memori.close()


def cuts(
    events: Sequence[Event], folder: Path, count: int, *, honest: bool = True
) -> list[Aftermath]:
    """Cut the power at as many moments, at random."""
    aftermaths: list[Aftermath] = []
    for seed in range(count):
        rng = random.Random(seed)
        moment = rng.randrange(len(events))
        aftermaths.append(cut(events[:moment], folder / str(seed), rng, Disk(honest)))
    return aftermaths


def test_what_is_recorded_has_every_kind_of_moment(full: list[Event]) -> None:
    assert sum(isinstance(event, Told) for event in full) == 2 * WRITERS * COMMITS
    (database,) = {
        event.file for event in full if isinstance(event, Created) and event.path.endswith(".db")
    }
    synced = [event.file for event in full if isinstance(event, Synced)]
    assert len(set(synced)) >= 4, "the database, its first journal, and two write-ahead logs"
    assert synced.count(database) >= 6, "checkpoints while writers are at it"
    assert any(isinstance(event, Deleted) and event.path.endswith("-wal") for event in full)


@in_rounds
def test_a_power_cut_loses_nothing_acknowledged(full: list[Event], tmp_path: Path) -> None:
    for seed, aftermath in enumerate(cuts(full, tmp_path, ROUNDS)):
        assert aftermath.harmless, (seed, aftermath)


def test_a_store_can_be_made_where_a_power_cut_ended_its_making(
    full: list[Event], tmp_path: Path
) -> None:
    log = next(n for n, event in enumerate(full) if "-wal" in getattr(event, "path", ""))
    for moment in range(log + 8):
        for seed in range(3):
            rng = random.Random(seed)
            aftermath = cut(full[:moment], tmp_path / f"{moment}.{seed}", rng, Disk())
            assert aftermath.harmless, (moment, seed, aftermath)


@in_rounds
def test_relaxed_durability_loses_last_commits_and_no_more(
    normal: list[Event], tmp_path: Path
) -> None:
    aftermaths = cuts(normal, tmp_path, ROUNDS)
    assert any(aftermath.lost for aftermath in aftermaths), "the simulation lets nothing be lost"
    assert not any(aftermath.torn or aftermath.damage for aftermath in aftermaths)


def test_a_disk_that_lies_about_syncs_is_found_out(full: list[Event], tmp_path: Path) -> None:
    aftermaths = cuts(full, tmp_path, 40, honest=False)
    assert any(aftermath.lost for aftermath in aftermaths)
    assert any(aftermath.damage for aftermath in aftermaths)
