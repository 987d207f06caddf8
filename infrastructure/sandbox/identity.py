"""Who a sandboxed command runs as: nobody that owns anything outside.

An ordinary user gets a user namespace, in which the command is that user without any privilege.
Root, who may read and change everything, hands over to a user and group number that nobody has;
the number is new for each call, so that limits on a user's processes are each call's own.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FIRST_FREE, _FREE = 1_500_000_000, 1 << 24  # far from what distributions and services hand out
_FEW = 8192  # a map of a container with fewer numbers than this has none to spare
_INSIDE = 1000


@dataclass(frozen=True, slots=True)
class Identity:
    """User and group.

    Attributes:
        number: the user's and the group's number, as seen inside.
        from_root: whether root hands over to it; otherwise a user namespace gives it.
    """

    number: int
    from_root: bool


def new_identity() -> Identity:
    """An identity for one call."""
    if os.geteuid() != 0:
        return Identity(_INSIDE, from_root=False)
    ranges = [_free(Path("/proc/self", name)) for name in ("uid_map", "gid_map")]
    first = max(start for start, _ in ranges)
    end = min(end for _, end in ranges)
    if first >= end:  # root of a container that has no other users: an ordinary user outside
        return Identity(_INSIDE, from_root=False)
    return Identity(random.SystemRandom().randrange(first, end), from_root=True)


def _free(map_file: Path) -> tuple[int, int]:
    """Numbers that nobody uses among those that a user namespace has: first, and one past."""
    first, count = max(_ranges(map_file), key=lambda found: found[1], default=(0, 0))
    end = first + count
    if first <= _FIRST_FREE and end >= _FIRST_FREE + _FREE:
        return _FIRST_FREE, _FIRST_FREE + _FREE
    return (first + count // 2, end - count // 4) if count >= _FEW else (0, 0)


def _ranges(map_file: Path) -> Iterator[tuple[int, int]]:
    for line in map_file.read_text(encoding="ascii").splitlines():
        inside, _outside, count = line.split()
        yield int(inside), int(count)
