"""What a disk holds after a power cut, told from what was recorded up to that moment.

What was synced is there. Of the rest any part may be there: each changed sector and each changed
name of a folder by itself, so that writes are torn and come in another order.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from recording_vfs import (
    Created,
    Deleted,
    Event,
    FolderSynced,
    SyncBegun,
    Synced,
    Truncated,
    Written,
)

Change: TypeAlias = Written | Truncated


@dataclass
class _File:
    """Bytes that are durable, and changes that are not, of which a sync may be on its way."""

    data: bytearray = field(default_factory=bytearray)
    changes: list[Change] = field(default_factory=list[Change])
    under_way: int = 0

    def sync(self) -> None:
        for change in self.changes[: self.under_way]:
            _apply(self.data, change)
        del self.changes[: self.under_way]
        self.under_way = 0


@dataclass
class Disk:
    """A disk that follows what was recorded.

    Args:
        honest: whether it does what a sync asks; one that lies says so and keeps all in memory.
    """

    honest: bool = True
    _files: dict[int, _File] = field(default_factory=dict[int, _File])
    _names: dict[str, int] = field(default_factory=dict[str, int])
    _renamed: list[Created | Deleted] = field(default_factory=list[Created | Deleted])

    def follow(self, events: Iterable[Event]) -> None:
        """Take in what happened."""
        for event in events:
            match event:
                case Created():
                    self._files[event.file] = _File()
                    self._renamed.append(event)
                case Deleted():
                    self._renamed.append(event)
                case Written() | Truncated():
                    self._files[event.file].changes.append(event)
                case SyncBegun() if self.honest:
                    self._files[event.file].under_way = len(self._files[event.file].changes)
                case Synced() if self.honest:
                    self._files[event.file].sync()
                case FolderSynced() if self.honest:
                    self._rename(self._renamed)
                    self._renamed = []
                case _:
                    pass

    def cut(self, rng: random.Random) -> dict[str, bytes]:
        """Cut the power: the files that survive, by path. The disk is of no use afterwards."""
        share, sector = rng.choice((0.0, 0.3, 0.7, 0.95)), rng.choice((512, 4096))
        self._rename([name for name in self._renamed if rng.random() < share])
        for file in self._files.values():
            for change in file.changes:
                for part in _sectors(change, sector):
                    if rng.random() < share:
                        _apply(file.data, part)
        return {path: bytes(self._files[file].data) for path, file in self._names.items()}

    def _rename(self, changes: Iterable[Created | Deleted]) -> None:
        for change in changes:
            if isinstance(change, Created):
                self._names[change.path] = change.file
            else:
                self._names.pop(change.path, None)


def lay_out(files: dict[str, bytes], folder: Path, rng: random.Random) -> None:
    """Write the survivors to a folder, beside the shared memory's file as it may be left over."""
    folder.mkdir()
    for path, data in files.items():
        (folder / Path(path).name).write_bytes(data)
        if path.endswith("-wal"):
            shared = Path(path).name.removesuffix("-wal") + "-shm"
            (folder / shared).write_bytes(rng.randbytes(32_768))


def _sectors(change: Change, size: int) -> Iterable[Change]:
    """The parts of a change that reach the disk each by itself."""
    if isinstance(change, Truncated):
        yield change
        return
    start, end = change.offset, change.offset + len(change.data)
    while start < end:
        stop = min(end, (start // size + 1) * size)
        yield Written(change.file, start, change.data[start - change.offset : stop - change.offset])
        start = stop


def _apply(data: bytearray, change: Change) -> None:
    if isinstance(change, Truncated):
        del data[change.size :]
        data.extend(bytes(change.size - len(data)))
        return
    data.extend(bytes(max(0, change.offset - len(data))))
    data[change.offset : change.offset + len(change.data)] = change.data
