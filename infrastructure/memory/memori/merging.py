"""Keeps the segments of an index few: neighbours of like size become one, the dead leave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from infrastructure.memory.memori import segments
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.segments import Extent, Segment

FAN_IN: Final = 8
"""So many neighbours of one size become one: an entry is rewritten at most once a size."""
MAX_ENTRIES: Final = 32_768
"""A segment does not grow beyond this by merging."""

_LEAST_DEAD: Final = 1_000
_DEAD_SHARE: Final = 4


class Mergeable(Protocol):
    """A kind of index."""

    @property
    def name(self) -> str: ...

    def merge(self, parts: Sequence[Segment], dead: Sequence[int]) -> Segment: ...


def merge_segments(memori: Memori, kind: Mergeable) -> bool:
    """Merge one run of neighbours, if there is one that should be; whether there was."""
    run = mergeable(memori.read_sync(lambda tx: segments.extents(tx, kind.name)))
    if not run:
        return False
    parts = memori.read_sync(lambda tx: _bodies(tx, kind.name, run))
    if [Extent(part.first, part.last, part.entries) for part in parts] != list(run):
        return True  # another process merged them; look again
    with segments.reading(kind.name):
        merged = kind.merge(parts, ())
    memori.commit_sync(lambda tx: segments.replace(tx, kind.name, run, merged))
    return True


def mergeable(extents: Sequence[Extent]) -> Sequence[Extent]:
    """The first run of FAN_IN neighbours of one size class; empty if there is none."""
    run: list[Extent] = []
    for extent in extents:
        if run and _size_class(extent) != _size_class(run[-1]):
            run = []
        run.append(extent)
        if len(run) == FAN_IN:
            if sum(part.entries for part in run) <= MAX_ENTRIES:
                return run
            run = []
    return ()


def _size_class(extent: Extent) -> int:
    size, class_ = max(extent.entries, 1), 0
    while size >= FAN_IN:
        size //= FAN_IN
        class_ += 1
    return class_


def _bodies(tx: Tx, kind: str, run: Sequence[Extent]) -> list[Segment]:
    found = segments.after(tx, kind, run[0].last - 1)
    return found[: len(run)]


def too_many_dead(tx: Tx, kind: str) -> bool:
    """Whether the indexes are worth rewriting without their dead."""
    dead = segments.death_count(tx)
    if dead < _LEAST_DEAD:
        return False
    return dead * _DEAD_SHARE > sum(extent.entries for extent in segments.extents(tx, kind))


def rewrite_without_dead(memori: Memori, kinds: Sequence[Mergeable]) -> None:
    """Take the dead out of every segment, then strike off their deaths.

    They stay logged where another process changed a segment meanwhile, and are tried again.
    """
    all_replaced = True
    reached, dead = memori.read_sync(lambda tx: segments.deaths(tx, 0))
    for kind in kinds:
        for extent in memori.read_sync(lambda tx, name=kind.name: segments.extents(tx, name)):
            parts = memori.read_sync(
                lambda tx, name=kind.name, run=(extent,): _bodies(tx, name, run)
            )
            with segments.reading(kind.name):
                kept = kind.merge(parts, dead)
            (replaced,) = memori.commit_sync(
                lambda tx, name=kind.name, old=extent, new=kept: segments.replace(
                    tx, name, (old,), new
                )
            )
            all_replaced &= replaced
    if all_replaced:
        memori.commit_sync(lambda tx: segments.strike_deaths(tx, reached))
