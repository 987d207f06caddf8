"""Time and identifiers, passed in so that tests can set them."""

from __future__ import annotations

import secrets
import time
from typing import Protocol

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_TIME_CHARS = 10
_RANDOM_CHARS = 16


class Clock(Protocol):
    """Wall time for records, monotonic time for durations."""

    def now(self) -> float:
        """Seconds since the epoch, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never run backwards, for durations and deadlines."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


def _base32(value: int, length: int) -> str:
    digits: list[str] = []
    for _ in range(length):
        value, digit = divmod(value, 32)
        digits.append(_CROCKFORD[digit])
    return "".join(reversed(digits))


def new_id(clock: Clock) -> str:
    """A ULID: 26 characters that sort by creation time (48 bits of milliseconds, 80 random)."""
    milliseconds = int(clock.now() * 1000) & ((1 << 48) - 1)
    return _base32(milliseconds, _TIME_CHARS) + _base32(secrets.randbits(80), _RANDOM_CHARS)
