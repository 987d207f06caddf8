"""How much one caller may ask: requests a second, streams at once, bytes a request."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from infrastructure.clock import Clock

_MAX_BUCKETS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What one caller may ask of the server.

    Attributes:
        requests_per_s: in the long run.
        burst: at once, after a pause.
        streams: event streams, and requests that wait for a result, at the same time.
        body_bytes: of one request to the REST API.
        body_s: seconds in which a request must have sent its body.
        wait_s: the longest that a request may wait for a result, seconds.
        heartbeat_s: silence after which a stream sends a comment, seconds.
    """

    requests_per_s: float = 100.0
    burst: int = 1_000
    streams: int = 64
    body_bytes: int = 1024 * 1024
    body_s: float = 30.0
    wait_s: float = 60.0
    heartbeat_s: float = 15.0


class TooMany(Exception):
    """A caller has as much as it may have; `retry_after_s` says when to ask again."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class RateLimiter:
    """A token bucket per caller; the callers not seen for longest are forgotten, as if full."""

    def __init__(self, clock: Clock, limits: Limits) -> None:
        self._clock = clock
        self._rate = limits.requests_per_s
        self._burst = float(limits.burst)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> None:
        """Count one request.

        Raises:
            TooMany: the caller's bucket is empty.
        """
        now = self._clock.monotonic()
        left, since = self._buckets.pop(caller, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._rate)
        allowed = left >= 1.0
        self._buckets[caller] = (left - 1.0 if allowed else left, now)
        if len(self._buckets) > _MAX_BUCKETS:
            self._buckets.popitem(last=False)
        if not allowed:
            raise TooMany(
                f"more than {self._rate:g} requests a second; ask more slowly",
                (1.0 - left) / self._rate,
            )


class StreamLimiter:
    """Counts what each caller holds open."""

    def __init__(self, limits: Limits) -> None:
        self._limit = limits.streams
        self._open: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """Open at this moment, of all callers."""
        return self._open.total()

    def enter(self, caller: str) -> None:
        """Hold one more, until `leave`.

        Raises:
            TooMany: the caller holds as many as it may.
        """
        if self._open[caller] >= self._limit:
            raise TooMany(f"{self._limit} streams are open already; close one", 1.0)
        self._open[caller] += 1

    def leave(self, caller: str) -> None:
        """Give one back."""
        self._open[caller] -= 1
        if self._open[caller] <= 0:
            del self._open[caller]

    @contextmanager
    def hold(self, caller: str) -> Generator[None]:
        """Hold one more while the block runs.

        Raises:
            TooMany: the caller holds as many as it may.
        """
        self.enter(caller)
        try:
            yield
        finally:
            self.leave(caller)


def retry_after(seconds: float) -> str:
    """The `Retry-After` header's value: whole seconds, at least 1."""
    return str(max(1, math.ceil(seconds)))
