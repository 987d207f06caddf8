from __future__ import annotations

import pytest

from genesis.testing import FakeClock
from infrastructure.errors import AgentUnavailable, ConfigError
from infrastructure.resilience.breaker import (
    BreakerPolicy,
    Breakers,
    BreakerState,
    CircuitBreaker,
)

POLICY = BreakerPolicy(failures=3, cooldown_s=10, growth=2, longest_cooldown_s=30)


def _breaker() -> tuple[CircuitBreaker, FakeClock]:
    clock = FakeClock()
    return CircuitBreaker("a", POLICY, clock), clock


def _fail(breaker: CircuitBreaker, times: int = 3) -> None:
    for _ in range(times):
        breaker.enter().failed()


def test_it_opens_after_failures_in_a_row_and_says_when_it_tries_again() -> None:
    breaker, clock = _breaker()
    _fail(breaker, 2)
    breaker.enter().succeeded()
    _fail(breaker, 2)
    assert breaker.statistics.state is BreakerState.CLOSED
    _fail(breaker, 1)
    clock.advance(4)
    with pytest.raises(AgentUnavailable, match=r"'a' is open after 3 failures in a row.*in 6 s"):
        breaker.enter()
    statistics = breaker.statistics
    assert (statistics.state, statistics.opened, statistics.refused) == (BreakerState.OPEN, 1, 1)
    assert statistics.retry_in_s == 6


def test_half_open_lets_one_call_through() -> None:
    breaker, clock = _breaker()
    _fail(breaker)
    clock.advance(10)
    assert breaker.statistics.state is BreakerState.HALF_OPEN
    probe = breaker.enter()
    with pytest.raises(AgentUnavailable, match="trial"):
        breaker.enter()
    probe.succeeded()
    assert breaker.statistics.state is BreakerState.CLOSED
    assert breaker.statistics.failures_in_a_row == 0


def test_failed_trials_cool_down_longer_up_to_a_bound() -> None:
    breaker, clock = _breaker()
    _fail(breaker)
    waits: list[float] = []
    for _ in range(4):
        waits.append(breaker.statistics.retry_in_s)
        clock.advance(waits[-1])
        breaker.enter().failed()
    assert waits == [10, 20, 30, 30]


def test_an_abandoned_trial_frees_the_way_for_the_next() -> None:
    breaker, clock = _breaker()
    _fail(breaker)
    clock.advance(10)
    breaker.enter().abandoned()
    breaker.enter().succeeded()
    assert breaker.statistics.state is BreakerState.CLOSED


def test_calls_from_before_it_opened_neither_close_nor_reopen_it() -> None:
    breaker, clock = _breaker()
    late_good, late_bad = breaker.enter(), breaker.enter()
    _fail(breaker)
    late_good.succeeded()
    assert breaker.statistics.state is BreakerState.OPEN
    clock.advance(10)
    probe = breaker.enter()
    late_bad.failed()
    assert breaker.statistics.opened == 1
    probe.succeeded()
    assert breaker.statistics.state is BreakerState.CLOSED


def test_a_permit_counts_once() -> None:
    breaker, _ = _breaker()
    permit = breaker.enter()
    permit.failed()
    permit.failed()
    permit.abandoned()
    assert breaker.statistics.failures_in_a_row == 1


def test_each_agent_has_its_own() -> None:
    breakers = Breakers(FakeClock(), POLICY)
    _fail(breakers.of("a"))
    breakers.of("b").enter().succeeded()
    states = {name: statistics.state for name, statistics in breakers.statistics.items()}
    assert states == {"a": BreakerState.OPEN, "b": BreakerState.CLOSED}
    assert breakers.of("a") is breakers.of("a")


@pytest.mark.parametrize(
    "wrong", [{"failures": 0}, {"cooldown_s": 0}, {"growth": 0.5}, {"longest_cooldown_s": 1}]
)
def test_a_policy_out_of_range_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="breaker"):
        BreakerPolicy(**wrong)  # pyright: ignore[reportArgumentType] - one key at a time
