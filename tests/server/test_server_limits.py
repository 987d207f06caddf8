"""Rates and streams of callers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesis.server.limits import Limits, RateLimiter, StreamLimiter, TooMany, retry_after
from genesis.testing import FakeClock


@given(st.lists(st.floats(0, 3), max_size=60), st.integers(1, 5), st.floats(0.5, 20))
def test_no_stretch_of_time_holds_more_than_the_burst_and_the_rate(
    pauses: list[float], burst: int, rate: float
) -> None:
    clock = FakeClock()
    limiter = RateLimiter(clock, Limits(requests_per_s=rate, burst=burst))
    taken: list[float] = []
    for pause in pauses:
        clock.advance(pause)
        wait = _wait_for(limiter)
        if wait:
            assert wait <= 1 / rate
            clock.advance(wait * 1.000001)
            limiter.take("ann")
        taken.append(clock.monotonic())
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            allowed = burst + rate * (taken[last] - taken[first])
            assert last - first + 1 <= allowed + 1e-6


def _wait_for(limiter: RateLimiter) -> float:
    try:
        limiter.take("ann")
    except TooMany as error:
        return error.retry_after_s
    return 0.0


def test_callers_are_counted_apart_and_buckets_are_bounded() -> None:
    limiter = RateLimiter(FakeClock(), Limits(burst=1))
    for number in range(10_001):
        limiter.take(f"caller {number}")
    with pytest.raises(TooMany):
        limiter.take("caller 10000")
    limiter.take("caller 0")  # forgotten, and so full again


def test_streams_of_a_caller_are_bounded_and_given_back() -> None:
    streams = StreamLimiter(Limits(streams=2))
    with streams.hold("ann"), streams.hold("ann"), streams.hold("bob"):
        assert streams.total == 3
        with pytest.raises(TooMany, match="2 streams"):
            streams.enter("ann")
    assert streams.total == 0
    streams.enter("ann")


@pytest.mark.parametrize(("seconds", "header"), [(0.0, "1"), (0.2, "1"), (1.01, "2"), (60, "60")])
def test_retry_after_is_whole_seconds(seconds: float, header: str) -> None:
    assert retry_after(seconds) == header
