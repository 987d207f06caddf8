"""The latest attempts at one kind of task, packed beside their counters.

Sums over all time cannot tell that an agent has changed; the order of its latest outcomes can.
They are packed so that a row of counters stays small enough for its page: 17 bytes an attempt.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

KEPT: Final = 32
"""Attempts that are kept for each agent, model, effort and kind of task."""

_FIELDS: Final = "dff?"
_FORMAT: Final = struct.Struct(f"<{_FIELDS}")


class Attempted(NamedTuple):
    """One attempt.

    Fields:
        created_at: seconds since the epoch.
        seconds, usd: duration and cost, to seven digits.
        success: whether it counts as verified.
    """

    created_at: float
    seconds: float
    usd: float
    success: bool


@dataclass(frozen=True, slots=True, eq=False)
class LatestAttempts:
    """Attempts oldest first, field by field; equal ones are one object as long as they are used.

    Attributes:
        times: seconds since the epoch.
        seconds, usd: durations and costs.
        successes: whether each counts as verified.
    """

    times: tuple[float, ...] = ()
    seconds: tuple[float, ...] = ()
    usd: tuple[float, ...] = ()
    successes: tuple[bool, ...] = ()


NONE: Final = LatestAttempts()


def pack(attempts: Iterable[Attempted]) -> bytes:
    """The latest `KEPT` of some attempts, given oldest first."""
    return b"".join(_FORMAT.pack(*attempt) for attempt in list(attempts)[-KEPT:])


@lru_cache(maxsize=4096)
def unpack(packed: bytes) -> LatestAttempts:
    """What was packed."""
    if not packed:
        return NONE
    # All at once, so that there is no tuple for each: every request reads some that are new.
    read = _of_all(len(packed) // _FORMAT.size).unpack(packed)
    fields = len(Attempted._fields)
    return LatestAttempts(*(read[field::fields] for field in range(fields)))


@lru_cache(maxsize=KEPT)
def _of_all(attempts: int) -> struct.Struct:
    return struct.Struct("<" + _FIELDS * attempts)


def extended(packed: bytes, attempts: Iterable[Attempted]) -> bytes:
    """What was packed, and later attempts."""
    return (packed + pack(attempts))[-KEPT * _FORMAT.size :]


def last_at(packed: bytes) -> float:
    """When the latest of them was made; minus infinity without any."""
    return _FORMAT.unpack(packed[-_FORMAT.size :])[0] if packed else float("-inf")
