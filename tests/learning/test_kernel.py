"""Kernel ridge regression against what it is by definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from genesis.learning.kernel import fit_ridges, gaussian

Floats = NDArray[np.float64]


def drawn(seed: int, n: int = 12) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    kernel = gaussian(rng.normal(size=(n, 3)).astype(np.float32))
    targets = rng.normal(size=(n, 3))
    targets[rng.random(n) < 0.4, 1] = np.nan
    targets[0] = 1.0
    return kernel, targets


@given(seed=st.integers(0, 1000), ridge=st.sampled_from([0.5, 3.0]))
@settings(max_examples=25, deadline=None)
def test_what_it_says_unseen_is_what_a_fit_without_the_example_says(
    seed: int, ridge: float
) -> None:
    kernel, targets = drawn(seed)
    (fit,) = fit_ridges(kernel, targets, [ridge])
    for target in range(3):
        known = np.flatnonzero(~np.isnan(targets[:, target]))
        mean = float(targets[known, target].mean())
        for example in range(len(kernel)):
            others = known[known != example]
            system = kernel[np.ix_(others, others)] + ridge * np.eye(len(others))
            rest: Floats = targets[others, target] - mean
            said = float(kernel[example, others] @ np.linalg.inv(system) @ rest + mean)
            assert fit.unseen[example, target] == pytest.approx(said, abs=1e-6)


def test_an_example_that_does_not_know_a_target_has_no_say_in_it() -> None:
    kernel, targets = drawn(1)
    (fit,) = fit_ridges(kernel, targets, [1.0])
    assert (fit.dual[np.isnan(targets)] == 0).all()
    assert fit.mean == pytest.approx(np.nanmean(targets, axis=0))


def test_several_penalties_together_are_as_each_alone() -> None:
    kernel, targets = drawn(2)
    for ridge, fit in zip((0.3, 5.0), fit_ridges(kernel, targets, (0.3, 5.0)), strict=True):
        (alone,) = fit_ridges(kernel, targets, [ridge])
        assert fit.dual == pytest.approx(alone.dual)
        assert fit.unseen == pytest.approx(alone.unseen)


def test_a_greater_penalty_stays_nearer_to_the_mean() -> None:
    kernel, targets = drawn(3)
    light, heavy = fit_ridges(kernel, targets, (0.1, 100.0))
    assert np.abs(heavy.unseen - heavy.mean).max() < np.abs(light.unseen - light.mean).max()
