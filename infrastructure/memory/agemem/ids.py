"""Ids that sort by creation, and sources of ids and time that can be set back for a rollout."""

from __future__ import annotations

import secrets
from typing import Final

from infrastructure.clock import Clock

_RANDOM_BITS: Final = 64
_ROOM: Final = 1 << 32


class SortableIds:
    """Ids of 28 hexadecimal digits: milliseconds, then a random number that only rises.

    Those of one source sort exactly by creation, also within a millisecond and when the clock is
    set back; those of several by their clocks.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._milliseconds = -1
        self._number = 0

    def __call__(self) -> str:
        milliseconds = int(self._clock.now() * 1000)
        if milliseconds > self._milliseconds:
            self._milliseconds = milliseconds
            # Room above, so that counting on within the millisecond cannot overflow.
            self._number = secrets.randbits(_RANDOM_BITS) // 2 + 1
        else:
            self._number += 1 + secrets.randbelow(_ROOM)
        return f"{self._milliseconds:012x}{self._number:016x}"


class CountedIds:
    """Ids that only count: the same ones in every rollout from one snapshot.

    Attributes:
        count: ids given so far; a snapshot keeps it and `restore` sets it back.
    """

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> str:
        self.count += 1
        return f"{self.count:012d}"


class CountedClock:
    """A clock that goes on by one second each time it is asked, for rollouts.

    Attributes:
        count: how often it was asked; a snapshot keeps it and `restore` sets it back.

    Args:
        start: seconds since the epoch that it begins with.
    """

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self._start = start
        self.count = 0

    def now(self) -> float:
        """Seconds since the epoch, one more than the last time."""
        self.count += 1
        return self._start + self.count

    def monotonic(self) -> float:
        """Seconds since the start."""
        return float(self.count)
