"""A circuit breaker per agent: one that does not answer is left alone for a while.

Only infrastructure failures count (unreachable, too slow). An answer that fails its check is still
an answer: whom to trust is routing's business.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from infrastructure.clock import Clock
from infrastructure.errors import AgentUnavailable, ConfigError


class BreakerState(StrEnum):
    """Closed lets calls through, open refuses them, half-open lets one through to try."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a breaker opens and for how long.

    Attributes:
        failures: failures in a row that open it.
        cooldown_s: seconds before one call may try again.
        growth: each failed trial multiplies the cool-down by this.
        longest_cooldown_s: its upper bound, seconds.

    Raises:
        ConfigError: a value is out of range.
    """

    failures: int = 5
    cooldown_s: float = 30.0
    growth: float = 2.0
    longest_cooldown_s: float = 600.0

    def __post_init__(self) -> None:
        if self.failures < 1:
            raise ConfigError("breaker", "failures", f"must be 1 or more, not {self.failures}")
        if not (math.isfinite(self.cooldown_s) and self.cooldown_s > 0):
            raise ConfigError("breaker", "cooldown_s", f"must be above 0, not {self.cooldown_s}")
        if self.growth < 1:
            raise ConfigError("breaker", "growth", f"must be 1 or more, not {self.growth}")
        if self.longest_cooldown_s < self.cooldown_s:
            raise ConfigError("breaker", "longest_cooldown_s", "must not be below cooldown_s")


@dataclass(frozen=True, slots=True)
class BreakerStatistics:
    """A breaker at one moment.

    Attributes:
        state: now; open turns half-open when its cool-down is over.
        failures_in_a_row: since the last answer.
        opened: how often it has opened.
        refused: calls that it refused.
        retry_in_s: seconds until a call may try again; 0 when one may now.
    """

    state: BreakerState
    failures_in_a_row: int
    opened: int
    refused: int
    retry_in_s: float


class Permit:
    """Leave to make one call; tell it how the call went, or abandon it (cancelled, not made)."""

    __slots__ = ("_breaker", "_generation", "_open", "probe")

    def __init__(self, breaker: CircuitBreaker, generation: int, probe: bool) -> None:
        self._breaker = breaker
        self._generation = generation
        self._open = True
        self.probe = probe

    def succeeded(self) -> None:
        """The agent answered."""
        if self._close():
            self._breaker.on_success()

    def failed(self) -> None:
        """The agent could not be reached or took too long."""
        if self._close():
            self._breaker.on_failure()

    def abandoned(self) -> None:
        """Nothing was learnt about the agent; another call may try."""
        if self._close() and self.probe:
            self._breaker.on_abandoned_probe()

    def _close(self) -> bool:
        # A call that began before the breaker last changed its state says nothing about now.
        current = self._open and self._generation == self._breaker.generation
        self._open = False
        return current


class CircuitBreaker:
    """Refuses calls to an agent that failed several times in a row.

    Args:
        name: the agent's name, for messages.
        policy: when it opens.
        clock: for cool-downs.
    """

    def __init__(self, name: str, policy: BreakerPolicy, clock: Clock) -> None:
        self._name = name
        self._policy = policy
        self._clock = clock
        self._failures = 0
        self._failed_probes = 0
        self._opened = 0
        self._refused = 0
        self._open_until: float | None = None
        self._probing = False
        self.generation = 0

    def enter(self) -> Permit:
        """Ask for leave to call; every permit must be given back by one of its methods.

        Raises:
            AgentUnavailable: the breaker is open, or its one trial call is under way.
        """
        if self._open_until is None:
            return Permit(self, self.generation, probe=False)
        wait = self._retry_in()
        if wait > 0 or self._probing:
            self._refused += 1
            when = f"the next try is in {wait:.3g} s" if wait > 0 else "a trial call is under way"
            raise AgentUnavailable(
                f"the circuit breaker of agent {self._name!r} is open after "
                f"{self._failures} failures in a row; {when}"
            )
        self._probing = True
        return Permit(self, self.generation, probe=True)

    @property
    def statistics(self) -> BreakerStatistics:
        """State and counts now."""
        wait = self._retry_in()
        state = BreakerState.CLOSED
        if self._open_until is not None:
            state = BreakerState.OPEN if wait > 0 else BreakerState.HALF_OPEN
        return BreakerStatistics(state, self._failures, self._opened, self._refused, wait)

    def on_success(self) -> None:
        """Called by a permit: the agent answered."""
        self._failures = 0
        if self._open_until is not None:
            self._open_until = None
            self._probing = False
            self._failed_probes = 0
            self.generation += 1

    def on_failure(self) -> None:
        """Called by a permit: the agent did not answer."""
        self._failures += 1
        if self._probing:
            self._failed_probes += 1
            self._open()
        elif self._failures >= self._policy.failures:
            self._open()

    def on_abandoned_probe(self) -> None:
        """Called by a permit: the trial call ended without an answer either way."""
        self._probing = False

    def _open(self) -> None:
        cooldown = self._policy.cooldown_s * self._policy.growth**self._failed_probes
        cooldown = min(cooldown, self._policy.longest_cooldown_s)
        self._open_until = self._clock.monotonic() + cooldown
        self._probing = False
        self._opened += 1
        self.generation += 1

    def _retry_in(self) -> float:
        if self._open_until is None:
            return 0.0
        return max(0.0, self._open_until - self._clock.monotonic())


class Breakers:
    """The breakers of all agents, shared by every run of a process.

    Args:
        clock: for cool-downs.
        policy: the same for each.
    """

    def __init__(self, clock: Clock, policy: BreakerPolicy | None = None) -> None:
        self._clock = clock
        self._policy = policy or BreakerPolicy()
        self._by_agent: dict[str, CircuitBreaker] = {}

    def of(self, agent: str) -> CircuitBreaker:
        """The breaker of an agent, closed when it was never asked for before."""
        breaker = self._by_agent.get(agent)
        if breaker is None:
            breaker = self._by_agent[agent] = CircuitBreaker(agent, self._policy, self._clock)
        return breaker

    @property
    def statistics(self) -> Mapping[str, BreakerStatistics]:
        """By agent, those that were called at least once."""
        return {name: breaker.statistics for name, breaker in self._by_agent.items()}
