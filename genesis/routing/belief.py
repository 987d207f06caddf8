"""What is believed of an agent before it is asked: Beta posteriors over verified success.

A record of few attempts leans on a wider one: a model's on its agent's record for this kind of
task, that on the agent's record elsewhere, and that on a mild optimism which lets newcomers try.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

OPTIMISM = 0.8
_OPTIMISM_WEIGHT = 4.0  # attempts that the optimism counts for in an agent's overall record
_WIDER_WEIGHT = 1.0  # attempts that a wider record counts for in a narrower one
_DECLARED_WEIGHT = 1.0  # attempts that a skill's declared price and time count for
_SURELY = 1e-3  # a prior may not be surer than this: no record could change its mind
_ALPHA = 0.10  # outside of the credible interval


class OutcomeRow(Protocol):
    """Counted outcomes of one way of doing one kind of task; seconds and dollars are sums."""

    @property
    def task_type(self) -> str: ...
    @property
    def operation(self) -> str: ...
    @property
    def agent(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def effort(self) -> str: ...
    @property
    def successes(self) -> int: ...
    @property
    def failures(self) -> int: ...
    @property
    def seconds(self) -> float: ...
    @property
    def usd(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Tried:
    """One attempt as an outcome."""

    task_type: str
    operation: str
    agent: str
    model: str
    effort: str
    successes: int
    failures: int
    seconds: float
    usd: float


@dataclass(frozen=True, slots=True)
class Prior:
    """What is expected before there is any record.

    Attributes:
        mean: share of verified successes, 0 to 1.
        weight: attempts that it counts for, more than 0.

    Raises:
        ValueError: the mean or the weight cannot be.
    """

    mean: float
    weight: float

    def __post_init__(self) -> None:
        if not (0 <= self.mean <= 1 and 0 < self.weight < math.inf):
            raise ValueError(f"a prior of mean {self.mean} and weight {self.weight} cannot be")


OPTIMISTIC = Prior(OPTIMISM, _OPTIMISM_WEIGHT)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What to expect of one attempt.

    Attributes:
        alpha, beta: parameters of the Beta posterior of verified success.
        n: attempts of this very kind that it rests on.
        seconds: expected duration.
        usd: expected money, US dollars.
    """

    alpha: float
    beta: float
    n: int
    seconds: float
    usd: float

    @property
    def mean(self) -> float:
        """Expected share of verified successes."""
        return self.alpha / (self.alpha + self.beta)

    @property
    def interval(self) -> tuple[float, float]:
        """The 90 % credible interval of that share."""
        return (
            beta_quantile(self.alpha, self.beta, _ALPHA / 2),
            beta_quantile(self.alpha, self.beta, 1 - _ALPHA / 2),
        )

    def draw(self, rng: random.Random) -> float:
        """A share drawn from the posterior, for Thompson sampling."""
        return rng.betavariate(self.alpha, self.beta)


@dataclass(slots=True)
class _Counts:
    successes: int = 0
    failures: int = 0
    seconds: float = 0.0
    usd: float = 0.0

    @property
    def n(self) -> int:
        return self.successes + self.failures

    def add(self, row: OutcomeRow) -> None:
        self.successes += row.successes
        self.failures += row.failures
        self.seconds += row.seconds
        self.usd += row.usd


class Belief:
    """Expectations from counted outcomes.

    Args:
        rows: one per (task type, operation, agent, model, effort); none at all is allowed.
    """

    def __init__(self, rows: Iterable[OutcomeRow] = ()) -> None:
        self._rows = tuple(rows)
        self._agents: defaultdict[str, _Counts] = defaultdict(_Counts)
        self._task_types: defaultdict[str, _Counts] = defaultdict(_Counts)
        self._kinds: defaultdict[tuple[str, ...], _Counts] = defaultdict(_Counts)
        for row in self._rows:
            kind = (row.agent, row.task_type, row.operation)
            self._agents[row.agent].add(row)
            self._task_types[row.task_type].add(row)
            self._kinds[kind].add(row)
            if row.model:
                self._kinds[(*kind, row.model)].add(row)
                self._kinds[(*kind, row.model, row.effort)].add(row)

    def plus(self, rows: Iterable[OutcomeRow]) -> Belief:
        """The same with further outcomes."""
        return Belief((*self._rows, *rows))

    def estimate(
        self,
        task_type: str,
        operation: str,
        agent: str,
        *,
        model: str = "",
        effort: str = "",
        seconds: float = 1.0,
        usd: float = 0.0,
        prior: Prior | None = None,
    ) -> Estimate:
        """What to expect of an agent, and of a model and effort within it, for a kind of task.

        Args:
            task_type, operation, agent: the kind of task and who does it.
            model, effort: the model that it would use; empty for all together.
            seconds, usd: what its skill declares, until a record says better.
            prior: what is expected of it before any record, such as what a learnt policy says;
                None for a mild optimism.
        """
        path: list[tuple[str, ...]] = [(agent, task_type, operation)]
        if model:
            path.append((*path[0], model))
            path.append((*path[1], effort))
        counts = [self._agents.get(agent, _Counts())]
        counts.extend(self._kinds.get(key, _Counts()) for key in path)
        root = prior or OPTIMISTIC
        mean = min(max(root.mean, _SURELY), 1 - _SURELY)
        alpha, beta = root.weight * mean, root.weight * (1 - mean)
        for wider, own in zip(counts, (*counts[1:], _Counts()), strict=True):
            # Each level adds only what the narrower ones do not count themselves.
            alpha += wider.successes - own.successes
            beta += wider.failures - own.failures
            if wider is not counts[-1]:
                mean = alpha / (alpha + beta)
                alpha, beta = _WIDER_WEIGHT * mean, _WIDER_WEIGHT * (1 - mean)
        last = counts[-1]
        weight = last.n + _DECLARED_WEIGHT
        return Estimate(
            alpha,
            beta,
            last.n,
            (last.seconds + seconds * _DECLARED_WEIGHT) / weight,
            (last.usd + usd * _DECLARED_WEIGHT) / weight,
        )

    def failure_rate(self, task_type: str) -> tuple[float, int]:
        """Share of attempts at a task type that were not verified, and of how many attempts."""
        counts = self._task_types.get(task_type, _Counts())
        prior = _OPTIMISM_WEIGHT * (1 - OPTIMISM)
        return (counts.failures + prior) / (counts.n + _OPTIMISM_WEIGHT), counts.n


@lru_cache(maxsize=4096)
def beta_quantile(alpha: float, beta: float, probability: float) -> float:
    """The quantile of a Beta distribution, to 1e-4: Newton steps kept inside a bracket.

    The distribution function is the continued fraction of Abramowitz & Stegun 26.5.8.
    """
    low, high, x = 0.0, 1.0, alpha / (alpha + beta)
    for _ in range(60):
        gap = _beta_cdf(alpha, beta, x) - probability
        low, high = (low, x) if gap > 0 else (x, high)
        if high - low < 1e-4:
            break
        density = math.exp(_log_kernel(alpha, beta, x)) / (x * (1 - x))
        step = x - gap / density if density > 0 else -1.0
        if abs(step - x) < 1e-5 and low <= step <= high:
            return step
        x = step if low < step < high else (low + high) / 2
    return (low + high) / 2


def _log_kernel(alpha: float, beta: float, x: float) -> float:
    """Logarithm of x^a (1-x)^b / B(a, b)."""
    scale = math.lgamma(alpha + beta) - math.lgamma(alpha) - math.lgamma(beta)
    return scale + alpha * math.log(x) + beta * math.log1p(-x)


def _beta_cdf(alpha: float, beta: float, x: float) -> float:
    if x > (alpha + 1) / (alpha + beta + 2):
        return 1 - _beta_cdf(beta, alpha, 1 - x)
    return math.exp(_log_kernel(alpha, beta, x)) * _fraction(alpha, beta, x) / alpha


def _fraction(alpha: float, beta: float, x: float) -> float:
    """Lentz's evaluation of the continued fraction."""
    tiny = 1e-30
    c, d = 1.0, 1 - (alpha + beta) * x / (alpha + 1)
    d = 1 / (d if abs(d) > tiny else tiny)
    value = d
    for m in range(1, 200):
        even = m * (beta - m) * x / ((alpha + 2 * m - 1) * (alpha + 2 * m))
        odd = -(alpha + m) * (alpha + beta + m) * x / ((alpha + 2 * m) * (alpha + 2 * m + 1))
        for term in (even, odd):
            d = 1 + term * d
            d = 1 / (d if abs(d) > tiny else tiny)
            c = 1 + term / c
            c = c if abs(c) > tiny else tiny
            value *= c * d
        if abs(c * d - 1) < 1e-7:
            break
    return value
