"""How often a caller may ask: a bucket of requests that refills with time."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_MAX_CALLERS: Final = 10_000


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class Rates:
    """Buckets by caller, the longest unused forgotten first.

    Args:
        per_minute: requests that a caller may make in a minute, and at once after a pause.
        now: monotonic seconds.
    """

    def __init__(self, per_minute: float, now: Callable[[], float] = time.monotonic) -> None:
        self._size = per_minute
        self._now = now
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, who: str) -> bool:
        """Count a request; False when it is one too many."""
        bucket = self._bucket(who)
        if bucket.left < 1:
            return False
        bucket.left -= 1
        return True

    def exhausted(self, who: str) -> bool:
        """Whether the next request would be one too many; counts nothing."""
        return who in self._buckets and self._bucket(who).left < 1

    def _bucket(self, who: str) -> _Bucket:
        now = self._now()
        bucket = self._buckets.get(who)
        if bucket is None:
            bucket = self._buckets[who] = _Bucket(self._size, now)
            if len(self._buckets) > _MAX_CALLERS:
                self._buckets.popitem(last=False)
        bucket.left = min(self._size, bucket.left + (now - bucket.at) * self._size / 60)
        bucket.at = now
        self._buckets.move_to_end(who)
        return bucket
