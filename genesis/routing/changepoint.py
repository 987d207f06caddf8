"""Since when an agent has been as it is now: a posterior over change points of its success.

An agent's record of one kind of task is a sequence of verified successes and failures. Its rate is
taken to be constant until it changes, all at once, to a rate unrelated to the old one. The model is
that of Bayesian change-point detection (D. A. Barry and J. A. Hartigan, 1993; R. P. Adams and D. J.
C. MacKay, 2007) with a Beta-Bernoulli evidence of each segment and at most one change among the
latest attempts, which makes it exact in one pass; what lies before them is part of the first
segment.

A change is of one kind of task alone, or of the agent as a whole: then all its kinds change at
the same moment, so that a failure here and a failure there add up to what neither says alone.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import NamedTuple

from infrastructure.memory.memori.latest_attempts import LatestAttempts

_NEGLIGIBLE = 3e-3  # regimes less likely than this are left out
_MOST_EVIDENCE = 300.0  # natural logarithm; keeps exponentials and products of two finite
_LEAST_STILL = 1e-20  # chance of no change; less makes no difference, and zero divides nothing
_TOGETHER = 8  # latest attempts of each record in which a change of the whole agent is looked for
_COARSE = frozenset((10, 12, 15, 19, 24))  # longer ago a change need not be dated to the attempt


class Record(NamedTuple):
    """Outcomes of one kind of task.

    Fields:
        successes, failures: over all time, the latest among them.
        latest: the latest attempts in order.
    """

    successes: int
    failures: int
    latest: LatestAttempts


class Present(NamedTuple):
    """A success rate as it is now.

    Fields:
        mean, variance: of what is believed of it.
        since: expected outcomes since it is so.
    """

    mean: float
    variance: float
    since: float


class Hazards(NamedTuple):
    """How likely changes are before anything is seen of them.

    Fields:
        kind: chance that an agent changes at one kind of task between two attempts at it.
        agent: chance that it changes as a whole between two attempts at anything.
        idle: chance that it changes at a kind of task while another agent is asked for one.
    """

    kind: float
    agent: float
    idle: float


class Past:
    """What one agent's records say together about changes.

    Args:
        records: one for each kind of task, model and effort.
        hazards: how likely changes are.
        before: the same at an earlier time; its records that are still the same are not analysed
            again.

    Attributes:
        effective: of each record, expected successes and failures since its latest change.
    """

    __slots__ = ("_common", "_hazards", "_odds", "_records", "_splits", "effective")

    def __init__(
        self, records: Sequence[Record], hazards: Hazards, before: Past | None = None
    ) -> None:
        self._records, self._hazards = records, hazards
        known = before.known(hazards) if before is not None else {}
        self._splits = [known.get(record) or _splits(record, hazards.kind) for record in records]
        self._common, log_total = self._common_changes()
        alone = sum(splits.log_scale for splits in self._splits)
        # Odds that the agent changed as a whole, against each record by itself.
        odds = math.exp(min(log_total - alone, _MOST_EVIDENCE))
        self._odds = odds if odds > _NEGLIGIBLE else 0.0
        self.effective = tuple(map(self._effective, range(len(records))))

    def known(self, hazards: Hazards) -> dict[Record, _Splits]:
        """What was found of each record by itself, as far as it holds with these hazards."""
        if hazards.kind != self._hazards.kind:
            return {}
        return dict(zip(self._records, self._splits, strict=True))

    def times(self, number: int) -> tuple[float, ...]:
        """When the latest attempts of a record were made."""
        return self._records[number].latest.times

    def present(
        self, number: int, alpha: float, beta: float, asked: Sequence[float] = ()
    ) -> Present:
        """The rate of one record as it is now: a mixture over since when it is so.

        Args:
            number: of the record.
            alpha, beta: parameters of the Beta distribution that is expected without it.
            asked: when anybody, this agent included, was asked for this kind of task, in order.
        """
        record, splits = self._records[number], self._splits[number]
        found = [(1.0, record.successes, record.failures)]
        found += self._own_changes(number, asked)
        total = sum([weight for weight, _, _ in found])
        if self._odds:
            for share, (successes, failures) in zip(
                self._common[number], splits.after, strict=True
            ):
                found.append((total * self._odds * share, successes, failures))
            total *= 1 + self._odds
        if asked and record.latest.times:
            idle = len(asked) - bisect_right(asked, record.latest.times[-1])
            still = max((1 - self._hazards.idle) ** idle, _LEAST_STILL)
            found.append((total * (1 - still) / still, 0, 0))
        return _moments(found, alpha, beta)

    def _own_changes(self, number: int, asked: Sequence[float]) -> list[tuple[float, int, int]]:
        """Changes of one record alone: odds against none, and outcomes since then."""
        splits, (kind, _, idle) = self._splits[number], self._hazards
        if not asked:
            return [(kind * odds, s, f) for _, odds, s, f in splits.likely]
        times = self._records[number].latest.times
        recent = max(len(times) - _TOGETHER, 0)
        found: list[tuple[float, int, int]] = []
        for at, odds, successes, failures in splits.likely:
            hazard = kind
            if at > recent:
                # Between attempts of one moment, such as those of one run, there is nothing.
                others = bisect_left(asked, times[at]) - bisect_right(asked, times[at - 1])
                hazard = min(kind + idle * max(others, 0), 0.5)
            found.append((hazard * odds, successes, failures))
        return found

    def _effective(self, number: int) -> tuple[float, float]:
        splits = self._splits[number]
        if not self._odds:
            return splits.effective
        own, together = 1 / (1 + self._odds), self._odds / (1 + self._odds)
        successes, failures = own * splits.effective[0], own * splits.effective[1]
        for share, (s, f) in zip(self._common[number], splits.after, strict=True):
            successes += together * share * s
            failures += together * share * f
        return successes, failures

    def _common_changes(self) -> tuple[list[list[float]], float]:
        """Shares of a change of the whole agent after all attempts of each record, before its
        latest one, before the two latest, and so on; and the log evidence of a change at all.
        """
        moments = self._moments_of_change()
        most = max(evidence for evidence, _ in moments)
        weights = [math.exp(evidence - most) for evidence, _ in moments]
        total = sum(weights)
        shares: list[list[float]] = [[] for _ in self._records]
        seen, so_far = [0.0] * len(self._records), weights[0]
        for weight, (_, number) in zip(weights[1:], moments[1:], strict=True):
            shares[number].append((so_far - seen[number]) / total)
            seen[number] = so_far
            so_far += weight
        for each, before in zip(shares, seen, strict=True):
            each.append((so_far - before) / total)
        return shares, math.log(self._hazards.agent * total) + most

    def _moments_of_change(self) -> list[tuple[float, int]]:
        """When the agent may have changed as a whole, latest first: after all attempts, and before
        each of the latest of all records; as log evidence and the number of that record.
        """
        events: list[tuple[float, int]] = []
        for number, record in enumerate(self._records):
            events.extend([(time, number) for time in record.latest.times[-_TOGETHER:]])
        events.sort(reverse=True)
        found, passed, together = [(0.0, -1)], [0] * len(self._records), 0.0
        for _, number in events:
            evidence, back = self._splits[number].evidence, passed[number]
            together += evidence[back + 1] - evidence[back]
            passed[number] = back + 1
            found.append((together, number))
        return found


def _moments(hypotheses: Iterable[tuple[float, int, int]], alpha: float, beta: float) -> Present:
    """A rate over hypotheses, each a weight and the outcomes that it leaves to count."""
    weights = means = squares = since = 0.0
    before = alpha + beta
    for weight, successes, failures in hypotheses:
        n = successes + failures
        mean = weight * (alpha + successes) / (before + n)
        weights += weight
        means += mean
        squares += mean * (alpha + successes + 1) / (before + n + 1)
        since += weight * n
    mean = means / weights
    return Present(mean, squares / weights - mean * mean, since / weights)


class _Split(NamedTuple):
    """A change before one of the latest attempts, and the outcomes since then."""

    at: int
    odds: float
    successes: int
    failures: int


class _Splits(NamedTuple):
    """One record by itself.

    Fields:
        evidence: log Bayes factors of a change before the last n attempts, against none at all,
            for n from 0 to `_TOGETHER` or to all.
        after: successes and failures among the last n attempts, for the same n.
        likely: changes that are not negligible.
        log_scale: log evidence of a change or none, against none.
        effective: expected successes and failures since the latest change.
    """

    evidence: tuple[float, ...]
    after: tuple[tuple[int, int], ...]
    likely: tuple[_Split, ...]
    log_scale: float
    effective: tuple[float, float]


def _splits(record: Record, hazard: float) -> _Splits:
    latest = record.latest.successes
    count, passed = len(latest), sum(latest)
    all_successes, all_failures = (
        max(record.successes, passed),
        max(record.failures, count - passed),
    )
    whole = _log_evidence(all_successes, all_failures)
    evidence, after, found = [0.0], [(0, 0)], list[_Split]()
    passed_of_last = tuple(accumulate(reversed(latest), initial=0))
    for back, gap in _looked_at(count):
        successes, failures = passed_of_last[back], back - passed_of_last[back]
        before = _log_evidence(all_successes - successes, all_failures - failures)
        each = min(before + _log_evidence(successes, failures) - whole, _MOST_EVIDENCE)
        found.append(_Split(count - back, gap * math.exp(each), successes, failures))
        if back <= _TOGETHER:
            evidence.append(each)
            after.append((successes, failures))
    scale = 1 + hazard * sum([split.odds for split in found])
    likely = tuple(split for split in found if hazard * split.odds > _NEGLIGIBLE * scale)
    share = 1 / (1 + hazard * sum([split.odds for split in likely]))
    return _Splits(
        tuple(evidence),
        tuple(after),
        likely,
        math.log(scale),
        (
            share * (all_successes + hazard * sum([x.odds * x.successes for x in likely])),
            share * (all_failures + hazard * sum([x.odds * x.failures for x in likely])),
        ),
    )


@lru_cache(maxsize=128)
def _looked_at(count: int) -> tuple[tuple[int, int], ...]:
    """How many of so many attempts lie after the changes that are looked at, and for how many
    places each of those stands.
    """
    backs = [n for n in range(1, count + 1) if n <= _TOGETHER or n in _COARSE or n == count]
    return tuple((back, back - before) for before, back in pairwise([0, *backs]))


@lru_cache(maxsize=65536)
def _log_evidence(successes: int, failures: int) -> float:
    """Logarithm of the probability of a sequence when all rates are equally likely before it."""
    total = math.lgamma(successes + failures + 2)
    return math.lgamma(successes + 1) + math.lgamma(failures + 1) - total
