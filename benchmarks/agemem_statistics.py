"""Means over episodes or questions with bootstrap intervals; rows are compared on the same draws.

A draw says how often each unit counts. `within` draws units anew within each group, which all
count alike: the cells of a grid. `of_clusters` draws clusters, and units within each: questions of
one conversation are no independent cases.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RESAMPLES = 2000
_FEW = 5


@dataclass(frozen=True)
class Interval:
    """A figure with the central 95 % of its draws."""

    mean: float
    low: float
    high: float

    @property
    def ends(self) -> list[float]:
        """Low and high, as JSON tells them."""
        return [round(self.low, 4), round(self.high, 4)]


@dataclass(frozen=True)
class Draws:
    """How units are weighed: in truth, [units], and in each draw, [draws, units]."""

    truth: Floats
    weights: Floats

    def mean(self, values: Sequence[float]) -> Interval:
        """The mean of a value of each unit."""
        one = np.asarray(values, dtype=np.float64)
        return _interval(float(self.truth @ one), self.weights @ one)

    def gain(self, ours: Sequence[float], theirs: Sequence[float]) -> Interval:
        """The mean difference of two values of each unit."""
        return self.mean(np.subtract(ours, theirs).tolist())

    def gap_closed(
        self, ours: Sequence[float], theirs: Sequence[float], best: Sequence[float]
    ) -> Interval:
        """The share of the way from theirs to the best that ours goes."""
        gained, gap = np.subtract(ours, theirs), np.subtract(best, theirs)
        share = float(self.truth @ gained) / max(float(self.truth @ gap), 1e-9)
        return _interval(share, (self.weights @ gained) / np.maximum(self.weights @ gap, 1e-9))


def within(groups: Sequence[Hashable], seed: int) -> Draws:
    """Units drawn anew within each group; every group weighs the same.

    Where a group has too few units to tell how they vary, all are drawn as one group.
    """
    rng = np.random.default_rng(seed)
    if min(len(places) for places in _members(groups)) < _FEW:
        groups = [0] * len(groups)
    truth, weights = np.zeros(len(groups)), np.zeros((RESAMPLES, len(groups)))
    members = _members(groups)
    for places in members:
        share = 1 / len(places) / len(members)
        truth[places] = share
        weights[:, places] = share * _counts(rng, len(places), RESAMPLES)
    return Draws(truth, weights)


def of_clusters(clusters: Sequence[Hashable], seed: int) -> Draws:
    """Clusters drawn anew, and the units of each; every unit weighs the same."""
    rng = np.random.default_rng(seed)
    members = _members(clusters)
    weights = np.zeros((RESAMPLES, len(clusters)))
    for row, often in zip(weights, _counts(rng, len(members), RESAMPLES), strict=True):
        for places, times in zip(members, often.astype(int).tolist(), strict=True):
            if times:
                row[places] = _counts(rng, len(places), times).sum(axis=0)
    truth = np.full(len(clusters), 1 / max(1, len(clusters)))
    return Draws(truth, weights / weights.sum(axis=1, keepdims=True))


def _counts(rng: np.random.Generator, units: int, draws: int) -> Floats:
    """How often each unit is drawn when as many are drawn as there are; [draws, units]."""
    return rng.multinomial(units, np.full(units, 1 / units), size=draws).astype(np.float64)


def _members(groups: Sequence[Hashable]) -> list[list[int]]:
    places: dict[Hashable, list[int]] = {}
    for place, group in enumerate(groups):
        places.setdefault(group, []).append(place)
    return list(places.values())


def _interval(mean: float, drawn: Floats) -> Interval:
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Interval(mean, float(low), float(high))
