"""What is believed of an agent before it is asked: Beta posteriors over verified success.

Outcomes count as far as they tell of the present (`changepoint`). A record of few attempts leans on
a wider one: a model's on its agent's record for this kind of task, that on the agent's record at
task types where agents do alike (`transfer`), and that on a mild optimism which lets newcomers try.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from genesis.routing.beta import beta_quantile, matched
from genesis.routing.changepoint import Present
from genesis.routing.priors import RoutingPriors, configured_priors
from genesis.routing.records import (
    AgentRecord,
    OutcomeRow,
    Spent,
    agent_record,
    agent_records,
    asked_at,
)
from genesis.routing.transfer import Counted, Guess, difference, pooled
from infrastructure.memory.memori.latest_attempts import NONE, LatestAttempts
from infrastructure.text import counted as told_count

_WIDER_WEIGHT = 1.0  # attempts that an agent's record of a kind counts for in that of a model
_DECLARED_WEIGHT = 1.0  # attempts that a skill's declared price and time count for
_SURELY = 1e-3  # a prior may not be surer than this: no record could change its mind
_USUAL_WEIGHT = 4.0  # attempts that what is usual counts for in a task type's failure rate
_STALE = 0.6  # share of a record that tells of the present, below which this is said
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
        weight: attempts that it counts for, more than 0.

    Raises:
        ValueError: the mean or the weight cannot be.
    """

    mean: float
    weight: float

    def __post_init__(self) -> None:
        if not (0 <= self.mean <= 1 and 0 < self.weight < math.inf):
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
        self._known: _Known | None = None

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
        known = self._ready()
        found = known.shares(task_type, operation, agent, model, effort, prior)
        weight = found.spent.weight + _DECLARED_WEIGHT
        return Estimate(
            found.alpha,
            found.beta,
            found.n,
            (found.spent.seconds + seconds * _DECLARED_WEIGHT) / weight,
            (found.spent.usd + usd * _DECLARED_WEIGHT) / weight,
            found.basis,
        )

    def failure_rate(self, task_type: str) -> tuple[float, int]:
        """Share of attempts at a task type that fail now, and on how many attempts that rests."""
        known = self._ready()
        usual = 1 - known.priors.success.mean
        records = tuple(known.agents.values())
        counted = [each.by_type[task_type] for each in records if task_type in each.by_type]
        failures = sum(each.n - each.successes for each in counted) + _USUAL_WEIGHT * usual
        n = sum(
            attempts
            for record in records
            for leaf, attempts in zip(record.leaves, record.attempts, strict=True)
            if leaf.task_type == task_type
        )
        return failures / (sum(each.n for each in counted) + _USUAL_WEIGHT), n

    def _ready(self) -> _Known:
        if self._known is None:
            self._known = _Known(self._rows, self._priors or configured_priors())
        return self._known


@dataclass(frozen=True, slots=True)
class _Shares:
    alpha: float
    beta: float
    n: int
    spent: Spent
    basis: str


_NOBODY = agent_record((), (), RoutingPriors().changes.hazards)
_HOPELESS = Guess(0.5, 1e-6)  # no opinion: where a routing policy has one


class _Known:
    """The records of all agents, and what follows from them."""

    def __init__(self, rows: Sequence[OutcomeRow], priors: RoutingPriors) -> None:
        self.priors = priors
        self.agents = agent_records(rows, priors.changes.hazards)
        self._differences: dict[str, dict[str, float]] = {}
        self._asked: dict[tuple[str, str], list[float]] = {}
        self._found: dict[tuple[object, ...], _Shares] = {}
        self._hope = Guess(priors.success.mean, priors.success.weight)

    def shares(
        self,
        task_type: str,
        operation: str,
        agent: str,
        model: str,
        effort: str,
        prior: Prior | None,
    ) -> _Shares:
        """Verified success of one way of doing a kind of task."""
        key = (task_type, operation, agent, model, effort, prior)
        if key not in self._found:
            self._found[key] = self._shares(*key)
        return self._found[key]

    def _shares(
        self,
        task_type: str,
        operation: str,
        agent: str,
        model: str,
        effort: str,
        prior: Prior | None,
    ) -> _Shares:
        record = self.agents.get(agent, _NOBODY)
        origin = "assumed by the routing policy" if prior else "assumed from config"
        kind = record.by_kind.get((task_type, operation), [])
        guess = self._elsewhere(record, task_type, kind, _HOPELESS if prior else self._hope)
        own = kind
        if model:
            same = [n for n in kind if record.leaves[n].model == model]
            own = [n for n in same if record.leaves[n].effort == effort]
            guess = _narrowed(guess, record.of(n for n in kind if n not in same))
            guess = _narrowed(guess, record.of(n for n in same if n not in own))
        alpha, beta = _pseudo(guess, prior)
        if not own:
            basis = f"from its record at {guess.leaning}" if guess.leaning else origin
            return _Shares(alpha, beta, 0, Spent(), basis)
        n = sum(record.attempts[number] for number in own)
        present = self._present(record, own, alpha, beta)
        spent = _summed(record.spent[number] for number in own)
        return _Shares(*matched(present.mean, present.variance), n, spent, _told(n, present.since))

    def _elsewhere(
        self, record: AgentRecord, task_type: str, kind: Sequence[int], hope: Guess
    ) -> Guess:
        """What the agent's other kinds of task say about this one."""
        here = record.of(n for n in _of_type(record, task_type) if n not in kind)
        differences = self._differences_from(task_type)
        unlike = self.priors.transfer.unlike
        return pooled(record.by_type, task_type, here, differences, unlike, hope)

    def _differences_from(self, task_type: str) -> dict[str, float]:
        """How far an agent's rates at other task types are from that at one, squared."""
        found = self._differences.get(task_type)
        if found is None:
            found = self._differences[task_type] = {
                other: self._difference(task_type, other)
                for other in {name for record in self.agents.values() for name in record.by_type}
            }
        return found

    def _difference(self, one: str, other: str) -> float:
        transfer = self.priors.transfer
        assumed = transfer.assumed(one, other)
        if one == other:
            return assumed
        said = (record.apart(one, other, assumed) for record in self.agents.values())
        return difference(said, assumed, transfer.weight)

    def _present(
        self, record: AgentRecord, own: Sequence[int], alpha: float, beta: float
    ) -> Present:
        """The present success of some leaves of an agent; several count as one."""
        if len(own) > 1:
            counted = record.of(own)
            alpha, total = alpha + counted.successes, alpha + beta + counted.n
            mean = alpha / total
            return Present(mean, mean * (1 - mean) / (total + 1), counted.n)
        key = record.leaves[own[0]][:2]
        if key not in self._asked:
            self._asked[key] = asked_at(self.agents, *key)
        return record.past.present(own[0], alpha, beta, self._asked[key])


def _of_type(record: AgentRecord, task_type: str) -> Iterator[int]:
    for (of_type, _), numbers in record.by_kind.items():
        if of_type == task_type:
            yield from numbers


def _pseudo(guess: Guess, prior: Prior | None) -> tuple[float, float]:
    """What is expected of one way of doing a kind of task before its own record, as attempts."""
    mean, weight = guess.mean, guess.weight
    if prior is not None:
        weight += prior.weight
        mean += (prior.mean - mean) * prior.weight / weight
    mean = min(max(mean, _SURELY), 1 - _SURELY)
    return mean * weight, (1 - mean) * weight


def _narrowed(guess: Guess, counted: Counted) -> Guess:
    """A wider record as what it is worth for a narrower one."""
    weight = guess.weight + counted.n
    if not weight:
        return guess
    mean = (guess.mean * guess.weight + counted.successes) / weight
    return Guess(mean, min(weight, _WIDER_WEIGHT), guess.leaning)


def _summed(each: Iterable[Spent]) -> Spent:
    found = tuple(each)
    return Spent(*(sum(column) for column in zip(*found, strict=True)))


def _told(n: int, since: float) -> str:
    told = f"from {told_count(n, 'attempt')}"
    if since < _STALE * n:
        return f"{told}, of which about {since:.0f} tell of the present"
    return told
