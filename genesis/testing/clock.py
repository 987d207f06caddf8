"""A clock for tests."""

from __future__ import annotations


class FakeClock:
    """A clock that stands still until it is told to go on.

    Args:
        start: seconds since the epoch that it begins with.
    """

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self._start = start
        self._passed = 0.0

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._start + self._passed

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._passed

    def advance(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            ValueError: time would run backwards.
        """
        if seconds < 0:
            raise ValueError(f"time cannot go back by {-seconds} s")
        self._passed += seconds

    async def sleep(self, seconds: float) -> None:
        """Let time pass, as an awaitable that returns at once."""
        self.advance(seconds)
