"""How every way of doing a task stands now, from the records of all agents together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from genesis.routing.beta import matched
from genesis.routing.changepoint import Present
from genesis.routing.priors import RoutingPriors
from genesis.routing.records import (
    AgentRecord,
    OutcomeRow,
    Spent,
    agent_record,
    agent_records,
    asked_at,
)
from genesis.routing.transfer import Counted, Guess, difference, pooled
from infrastructure.text import counted as told_count

_WIDER_WEIGHT = 1.0  # attempts that an agent's record of a kind counts for in that of a model
_USUAL_WEIGHT = 4.0  # attempts that what is usual counts for in a task type's failure rate
_SURELY = 1e-3  # a prior may not be surer than this: no record could change its mind
_STALE = 0.6  # share of a record that tells of the present, below which this is said


class Standing(NamedTuple):
    """One way of doing a kind of task, as it is now.

    Fields:
        alpha, beta: parameters of the Beta posterior of verified success.
        n: attempts that it rests on.
        spent: what they cost.
        basis: what it rests on, in words.
    """

    alpha: float
    beta: float
    n: int
    spent: Spent
    basis: str


_NOBODY = agent_record((), RoutingPriors().changes.hazards)
_HOPELESS = Guess(0.5, 1e-6)  # no opinion: where a routing policy has one


class Standings:
    """What follows from the records of all agents, worked out when it is first asked for.

    Args:
        rows: counted outcomes.
        priors: what is assumed.
    """

    def __init__(self, rows: Sequence[OutcomeRow], priors: RoutingPriors) -> None:
        self._priors = priors
        self._agents = agent_records(rows, priors.changes.hazards)
        self._differences: dict[str, dict[str, float]] = {}
        self._asked: dict[tuple[str, str], list[float]] = {}
        self._found: dict[tuple[object, ...], Standing] = {}
        self._failing: dict[str, tuple[float, int]] = {}
        self._hope = Guess(priors.success.mean, priors.success.weight)

    def present(
        self,
        task_type: str,
        operation: str,
        agent: str,
        model: str,
        effort: str,
        prior: Guess | None,
    ) -> Standing:
        """How one way of doing a kind of task stands.

        Args:
            task_type, operation, agent: the kind of task and who does it.
            model, effort: what it uses; an empty model is for all together.
            prior: what is expected of it before any record; None for what is configured.
        """
        key = (task_type, operation, agent, model, effort, prior)
        if key not in self._found:
            self._found[key] = self._standing(*key)
        return self._found[key]

    def spent(self, agent: str, operation: str) -> Spent:
        """What an agent's attempts at an operation cost lately, at tasks of all types."""
        record = self._agents.get(agent, _NOBODY)
        leaves = (n for n, leaf in enumerate(record.leaves) if leaf.operation == operation)
        return _summed(record.spent[n] for n in leaves)

    def failure_rate(self, task_type: str) -> tuple[float, int]:
        """Share of attempts at a task type that fail now, and on how many attempts that rests."""
        if task_type not in self._failing:
            self._failing[task_type] = self._failure_rate(task_type)
        return self._failing[task_type]

    def _failure_rate(self, task_type: str) -> tuple[float, int]:
        records = tuple(self._agents.values())
        counted = [each.by_type[task_type] for each in records if task_type in each.by_type]
        usual = _USUAL_WEIGHT * (1 - self._hope.mean)
        failures = usual + sum(each.n - each.successes for each in counted)
        n = sum([record.asked.get(task_type, 0) for record in records])
        return failures / (sum(each.n for each in counted) + _USUAL_WEIGHT), n

    def _standing(
        self,
        task_type: str,
        operation: str,
        agent: str,
        model: str,
        effort: str,
        prior: Guess | None,
    ) -> Standing:
        record = self._agents.get(agent, _NOBODY)
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
            return Standing(alpha, beta, 0, Spent(), _assumed(guess, prior, bool(kind)))
        n = sum(record.attempts[number] for number in own)
        present = self._present(record, own, alpha, beta)
        spent = _summed(record.spent[number] for number in own)
        return Standing(*matched(present.mean, present.variance), n, spent, _told(n, present.since))

    def _elsewhere(
        self, record: AgentRecord, task_type: str, kind: Sequence[int], hope: Guess
    ) -> Guess:
        """What the agent's other kinds of task say about this one."""
        here = record.of(n for n in _of_type(record, task_type) if n not in kind)
        differences = self._differences_from(task_type)
        unlike = self._priors.transfer.unlike
        return pooled(record.by_type, task_type, here, differences, unlike, hope)

    def _differences_from(self, task_type: str) -> dict[str, float]:
        """How far an agent's rates at other task types are from that at one, squared."""
        found = self._differences.get(task_type)
        if found is None:
            records = self._agents.values()
            # Who was never asked for both says nothing of them.
            telling = [record for record in records if task_type in record.by_type]
            found = self._differences[task_type] = {
                other: self._difference(task_type, other, telling)
                for other in set[str]().union(*[record.by_type for record in records])
            }
        return found

    def _difference(self, one: str, other: str, telling: Iterable[AgentRecord]) -> float:
        transfer = self._priors.transfer
        assumed = transfer.assumed(one, other)
        if one == other:
            return assumed
        said = [record.apart(one, other, assumed) for record in telling if other in record.by_type]
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
            self._asked[key] = asked_at(self._agents, *key)
        return record.past.present(own[0], alpha, beta, self._asked[key])


def _of_type(record: AgentRecord, task_type: str) -> Iterator[int]:
    for (of_type, _), numbers in record.by_kind.items():
        if of_type == task_type:
            yield from numbers


def _pseudo(guess: Guess, prior: Guess | None) -> tuple[float, float]:
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
    return Spent(*(sum(column) for column in zip(*found, strict=True))) if found else Spent()


def _told(n: int, since: float) -> str:
    told = f"from {told_count(n, 'attempt')}"
    if since < _STALE * n:
        return f"{told}, of which about {since:.0f} tell of the present"
    return told


def _assumed(guess: Guess, prior: Guess | None, known: bool) -> str:
    if prior is not None:
        return "expected by the routing policy"
    if known:
        return "from its record with other models or efforts"
    return f"from its record at {guess.leaning}" if guess.leaning else "assumed from config"
