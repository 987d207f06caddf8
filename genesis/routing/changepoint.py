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
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from infrastructure.memory.memori.latest_attempts import LatestAttempts

_NEGLIGIBLE = 3e-3  # regimes less likely than this are left out
_MOST_EVIDENCE = 100.0  # natural logarithm; keeps exponentials finite
_TOGETHER = 8  # latest attempts of each record in which a change of the whole agent is looked for


class Record(NamedTuple):
    """Outcomes of one kind of task.

    Fields:
        successes, failures: over all time, the latest among them.
        latest: the latest attempts in order.
    """

    successes: int
    failures: int
    latest: LatestAttempts


class Regime(NamedTuple):
    """One hypothesis about since when outcomes tell of the present.

    Fields:
        weight: its probability.
        successes, failures: outcomes since then.
    """

    weight: float
    successes: float
    failures: float


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

    Attributes:
        effective: of each record, expected successes and failures since its latest change.
    """

    __slots__ = ("_common", "_hazards", "_records", "_shared", "_splits", "effective")

    def __init__(self, records: Sequence[Record], hazards: Hazards) -> None:
        self._records, self._hazards = records, hazards
        self._splits = [_splits(record, hazards.kind) for record in records]
        self._common, total = self._common_changes()
        alone = sum(splits.log_scale for splits in self._splits)
        # The chance that the agent changed as a whole, against each record by itself.
        shared = 1 / (1 + math.exp(min(alone - math.log(total), _MOST_EVIDENCE)))
        self._shared = shared / total if shared > _NEGLIGIBLE else 0.0
        self.effective = tuple(map(self._effective, range(len(records))))

    def times(self, number: int) -> tuple[float, ...]:
        """When the latest attempts of a record were made."""
        return self._records[number].latest.times

    def regimes(self, number: int, asked: Sequence[float] = ()) -> list[Regime]:
        """The present of one record.

        Args:
            number: of the record.
            asked: when anybody, this agent included, was asked for this kind of task, in order.

        Returns:
            regimes whose weights sum to 1.
        """
        record, splits, hazards = self._records[number], self._splits[number], self._hazards
        times, odds = record.latest.times, [1.0]
        for at, each, _, _ in splits.likely:
            hazard = hazards.kind
            if asked and at:
                others = bisect_left(asked, times[at]) - bisect_right(asked, times[at - 1])
                hazard = min(hazard + hazards.idle * others, 0.5)
            odds.append(hazard * each)
        idle = len(asked) - bisect_right(asked, times[-1]) if asked and times else 0
        still = (1 - hazards.idle) ** idle
        common = self._common[number] if self._shared else ()
        scale = still * (1 - self._shared * sum(common)) / sum(odds)
        found = [Regime(1 - still, 0, 0), Regime(scale, record.successes, record.failures)]
        for weight, (_, _, successes, failures) in zip(odds[1:], splits.likely, strict=True):
            found.append(Regime(weight * scale, successes, failures))
        scale = still * self._shared
        for mass, (successes, failures) in zip(common, splits.after, strict=False):
            found.append(Regime(scale * mass, successes, failures))
        return found

    def _effective(self, number: int) -> tuple[float, float]:
        splits = self._splits[number]
        if not self._shared:
            return splits.effective
        common = self._common[number]
        own = 1 - self._shared * sum(common)
        successes, failures = own * splits.effective[0], own * splits.effective[1]
        for mass, (s, f) in zip(common, splits.after, strict=False):
            successes += self._shared * mass * s
            failures += self._shared * mass * f
        return successes, failures

    def _common_changes(self) -> tuple[list[list[float]], float]:
        """Weight of a change of the whole agent after all attempts of each record, before its
        latest one, before the two latest, and so on; and their sum, the same for all records.
        """
        events: list[tuple[float, int]] = []
        for number, record in enumerate(self._records):
            events.extend([(time, number) for time in record.latest.times[-_TOGETHER:]])
        events.sort()
        masses: list[list[float]] = [[] for _ in self._records]
        seen = [0.0] * len(self._records)
        total = hazard = self._hazards.agent
        together = 0.0
        for _, number in reversed(events):
            mass, evidence = masses[number], self._splits[number].evidence
            mass.append(total - seen[number])
            seen[number] = total
            together += evidence[len(mass)] - evidence[len(mass) - 1]
            total += hazard * math.exp(min(together, _MOST_EVIDENCE))
        for mass, before in zip(masses, seen, strict=True):
            mass.append(total - before)
        return masses, total


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
            for n from 0 [latest + 1].
        after: successes and failures among the last n attempts, for n from 0 [latest + 1].
        likely: changes that are not negligible.
        log_scale: log evidence of a change or none, against none.
        effective: expected successes and failures since the latest change.
    """

    evidence: tuple[float, ...]
    after: tuple[tuple[int, int], ...]
    likely: tuple[_Split, ...]
    log_scale: float
    effective: tuple[float, float]


@lru_cache(maxsize=8192)
def _splits(record: Record, hazard: float) -> _Splits:
    evidence, after = [0.0], [(0, 0)]
    successes, failures = 0, 0
    all_successes = max(record.successes, sum(record.latest.successes))
    all_failures = max(record.failures, len(record.latest.successes) - sum(record.latest.successes))
    whole = _log_evidence(all_successes, all_failures)
    for success in reversed(record.latest.successes):
        successes, failures = successes + success, failures + (not success)
        before = _log_evidence(all_successes - successes, all_failures - failures)
        now = _log_evidence(successes, failures)
        evidence.append(min(before + now - whole, _MOST_EVIDENCE))
        after.append((successes, failures))
    odds = [math.exp(each) for each in evidence]
    scale = 1 + hazard * sum(odds[1:])
    count = len(record.latest.successes)
    likely = tuple(
        _Split(count - back, odds[back], *after[back])
        for back in range(1, count + 1)
        if hazard * odds[back] > _NEGLIGIBLE * scale
    )
    share = 1 / (1 + hazard * sum(split.odds for split in likely))
    return _Splits(
        tuple(evidence),
        tuple(after),
        likely,
        math.log(scale),
        (
            share * (all_successes + hazard * sum(each.odds * each.successes for each in likely)),
            share * (all_failures + hazard * sum(each.odds * each.failures for each in likely)),
        ),
    )


@lru_cache(maxsize=65536)
def _log_evidence(successes: int, failures: int) -> float:
    """Logarithm of the probability of a sequence when all rates are equally likely before it."""
    total = math.lgamma(successes + failures + 2)
    return math.lgamma(successes + 1) + math.lgamma(failures + 1) - total
