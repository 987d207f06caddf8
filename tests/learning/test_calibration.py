"""Scores become probabilities that keep their word."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from genesis.learning.calibration import calibration_error, fit_calibration, groups

Floats = NDArray[np.float64]


def drawn(n: int, seed: int = 0) -> tuple[Floats, Floats]:
    """Scores on scales of their own, and outcomes of which they tell."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(n, 2))
    outcomes = (rng.random((n, 2)) < 1 / (1 + np.exp(-1.5 * hidden))).astype(np.float64)
    return hidden * (0.02, 40.0) + (0.5, -7.0), outcomes


def test_probabilities_keep_their_word_on_what_was_not_seen() -> None:
    calibration = fit_calibration(*drawn(2000), seed=0).calibration
    scores, outcomes = drawn(4000, seed=1)
    said = calibration.apply(scores)
    for option in range(2):
        assert calibration_error(said[:, option], outcomes[:, option]) < 0.04
    assert np.mean((said - outcomes) ** 2) < 0.9 * outcomes.var()


def test_an_option_is_judged_in_the_light_of_the_others() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(2000, 2))
    outcomes = (rng.random((2000, 2)) < 1 / (1 + np.exp(-2 * scores[:, :1]))).astype(np.float64)
    calibration = fit_calibration(scores, outcomes, seed=0).calibration
    low, high = calibration.apply(np.array([[-2.0, 0.0], [2.0, 0.0]]))[:, 1]
    assert low < 0.15
    assert high > 0.85


def test_few_examples_do_not_let_options_mislead_each_other() -> None:
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(80, 8))
    outcomes = (rng.random((80, 8)) < 1 / (1 + np.exp(-hidden))).astype(np.float64)
    calibration = fit_calibration(hidden, outcomes, seed=0).calibration
    at_once = np.vstack([np.zeros(8), np.append(0.0, np.full(7, 2.0))])
    alone, among = calibration.apply(at_once)[:, 0]
    assert among == pytest.approx(alone, abs=0.05)


def test_what_never_failed_is_not_held_for_sure() -> None:
    scores, outcomes = drawn(20)
    outcomes[:, 0] = 1.0
    outcomes[5:, 1] = np.nan
    fitted = fit_calibration(scores, outcomes, seed=0)
    calibration = fitted.calibration
    assert ((calibration.apply(scores) > 0) & (calibration.apply(scores) < 1)).all()
    assert calibration.apply(scores)[:, 0] == pytest.approx(20.5 / 21)
    assert np.isfinite(fitted.held_out).all()


def test_no_spread_in_the_scores_gives_what_is_usual() -> None:
    outcomes = np.array([[1.0], [0.0], [1.0], [1.0]] * 25)
    calibration = fit_calibration(np.zeros((100, 1)), outcomes, seed=0).calibration
    assert calibration.apply(np.zeros((1, 1)))[0, 0] == pytest.approx(0.75, abs=0.01)


def test_groups_are_of_one_size_and_in_order() -> None:
    expected = np.linspace(0, 1, 95)
    found = groups(expected, np.ones(95))
    assert sum(group.count for group in found) == 95
    assert {group.count for group in found} == {9, 10}
    assert [g.expected for g in found] == sorted(g.expected for g in found)
    assert calibration_error(expected, expected) == pytest.approx(0)
    assert calibration_error(np.full(10, 0.25), np.ones(10)) == pytest.approx(0.75)
