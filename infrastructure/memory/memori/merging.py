"""Keeps the segments of an index few: neighbours of like size become one, the dead leave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from infrastructure.memory.memori import erasing, segments
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
    parts = _stored(memori, kind.name, run)
    if parts is None:
        return True  # look again
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


def _stored(memori: Memori, kind: str, run: Sequence[Extent]) -> list[Segment] | None:
    """The segments of a run, or None if another process has changed them."""
    found = memori.read_sync(lambda tx: [segments.stored(tx, kind, extent) for extent in run])
    there = [segment for segment in found if segment is not None]
    return there if len(there) == len(run) else None


def too_many_dead(tx: Tx, kind: str) -> bool:
    """Whether the indexes are worth rewriting without their dead."""
    dead = segments.death_count(tx)
    if dead < _LEAST_DEAD:
        return False
    return dead * _DEAD_SHARE > sum(extent.entries for extent in segments.extents(tx, kind))


def rewrite_without_dead(memori: Memori) -> None:
    """Take the dead out of every segment of every kind, then strike off their deaths.

    They stay logged where another process changed a segment meanwhile, and are tried again.

    Raises:
        DamagedIndex: a segment cannot be read.
    """
    reached, logged = memori.read_sync(lambda tx: segments.deaths(tx, 0))
    dead = np.unique(np.array(logged, dtype=np.int64))
    kinds = memori.read_sync(segments.kinds)
    rewritten = [_rewrite(memori, kind, dead) for kind in kinds]
    if all(rewritten):
        memori.commit_sync(lambda tx: segments.strike_deaths(tx, reached))


def _rewrite(memori: Memori, kind: str, dead: NDArray[np.int64]) -> bool:
    """Take the dead out of the segments of a kind; whether that was done to all of them."""
    all_replaced = True
    for extent in memori.read_sync(lambda tx: segments.extents(tx, kind)):
        if erasing.may_hold(extent, dead):
            all_replaced &= _rewrite_segment(memori, kind, extent, dead)
    return all_replaced


def _rewrite_segment(memori: Memori, kind: str, old: Extent, dead: NDArray[np.int64]) -> bool:
    parts = _stored(memori, kind, (old,))
    if parts is None:
        return False
    new = erasing.without(parts[0], kind, dead)
    (replaced,) = memori.commit_sync(lambda tx: segments.replace(tx, kind, (old,), new))
    return bool(replaced)
