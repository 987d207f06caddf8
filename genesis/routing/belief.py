"""What is believed of an agent before it is asked: Beta posteriors over verified success.

Outcomes count as far as they tell of the present (`changepoint`). A record of few attempts leans on
a wider one: a model's on its agent's record for this kind of task, that on the agent's record at
task types where agents do alike (`transfer`), and that on a mild optimism which lets newcomers try.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass

from genesis.routing.beta import beta_quantile
from genesis.routing.priors import RoutingPriors, configured_priors
from genesis.routing.records import OutcomeRow, Spent
from genesis.routing.standings import Standings
from genesis.routing.transfer import Guess
from infrastructure.memory.memori.latest_attempts import NONE, LatestAttempts

_DECLARED_WEIGHT = 1.0  # attempts that a skill's declared price and time count for
_MOST_WEIGHT = 1e6  # attempts; no record could be told from a prior of far more
_ALPHA = 0.10  # outside of the credible interval


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
    latest: LatestAttempts = NONE


@dataclass(frozen=True, slots=True)
class Prior:
    """What is expected before there is any record.

    Attributes:
        mean: share of verified successes, 0 to 1.
        weight: attempts that it counts for, more than 0 and at most a million.

    Raises:
        ValueError: the mean or the weight cannot be.
    """

    mean: float
    weight: float

    def __post_init__(self) -> None:
        if not (0 <= self.mean <= 1 and 0 < self.weight <= _MOST_WEIGHT):
            raise ValueError(f"a prior of mean {self.mean} and weight {self.weight} cannot be")


@dataclass(frozen=True, slots=True)
class Estimate:
    """What to expect of one attempt.

    Attributes:
        alpha, beta: parameters of the Beta posterior of verified success.
        n: attempts of this very kind that it rests on.
        seconds: expected duration.
        usd: expected money, US dollars.
        basis: what it rests on, in words: the record, records elsewhere, or assumptions.
    """

    alpha: float
    beta: float
    n: int
    seconds: float
    usd: float
    basis: str = ""

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


class Belief:
    """Expectations from counted outcomes, each worked out when it is first asked for.

    Args:
        rows: one per (task type, operation, agent, model, effort); none at all is allowed.
        priors: what is assumed; None takes the configuration's.
    """

    def __init__(
        self, rows: Iterable[OutcomeRow] = (), priors: RoutingPriors | None = None
    ) -> None:
        self._rows = tuple(rows)
        self._priors = priors
        self._known: Standings | None = None

    def plus(self, rows: Iterable[OutcomeRow]) -> Belief:
        """The same with further outcomes."""
        return Belief((*self._rows, *rows), self._priors)

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

        Raises:
            ConfigError: the configured priors are wrong.
        """
        opinion = None if prior is None else Guess(prior.mean, prior.weight)
        found = self._ready().present(task_type, operation, agent, model, effort, opinion)
        expected = _expected(found.spent, seconds, usd)
        return Estimate(found.alpha, found.beta, found.n, *expected, found.basis)

    def spent(
        self, agent: str, operation: str, *, seconds: float = 1.0, usd: float = 0.0
    ) -> tuple[float, float]:
        """Seconds and US dollars to expect of one attempt at an operation, whatever the task type.

        Args:
            agent, operation: who does what.
            seconds, usd: what its skill declares, until a record says better.
        """
        return _expected(self._ready().spent(agent, operation), seconds, usd)

    def failure_rate(self, task_type: str) -> tuple[float, int]:
        """Share of attempts at a task type that fail now, and on how many attempts that rests."""
        return self._ready().failure_rate(task_type)

    def _ready(self) -> Standings:
        if self._known is None:
            self._known = Standings(self._rows, self._priors or configured_priors())
        return self._known


def _expected(spent: Spent, seconds: float, usd: float) -> tuple[float, float]:
    """Seconds and US dollars of one attempt: as it was lately, and as it is declared."""
    weight = spent.weight + _DECLARED_WEIGHT
    return (
        (spent.seconds + seconds * _DECLARED_WEIGHT) / weight,
        (spent.usd + usd * _DECLARED_WEIGHT) / weight,
    )
