"""Escalation shows the later options hard tasks only; what is learnt must hold for all tasks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from genesis.learning.calibration import fit_calibration
from genesis.learning.examples import Example, Observed
from genesis.learning.selection import unselected
from genesis.learning.train import train
from genesis.routing.joint import with_marginal

Floats = NDArray[np.float64]

USUAL: Floats = np.array([-1.5, -0.3, 0.5, 1.5])  # logits of four options, weakest first


def tasks(n: int, loading: float, seed: int) -> tuple[Floats, Floats]:
    """P(verified) of each option, and what would come of it, of tasks with one hidden trait."""
    rng = np.random.default_rng(seed)
    levels, weights = np.polynomial.hermite_e.hermegauss(9)
    weights = weights / weights.sum()
    marginal = 1 / (1 + np.exp(-(USUAL + 0.8 * rng.normal(size=(n, 1)))))
    slopes = np.broadcast_to(loading * levels, (*marginal.shape, 9))
    level = rng.choice(9, n, p=weights)
    success = with_marginal(slopes, weights, marginal)[np.arange(n), :, level]
    return marginal, (rng.random(success.shape) < success).astype(np.float64)


def escalated(outcomes: Floats) -> Floats:
    """What is seen when each option is tried only where those before it failed."""
    before = np.cumsum(outcomes, axis=1) - outcomes
    return np.where(before > 0, np.nan, outcomes)


@given(
    loading=st.floats(1.0, 2.0),
    n=st.integers(600, 900),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=8, deadline=None)
def test_expectations_are_nearer_to_the_truth(loading: float, n: int, seed: int) -> None:
    marginal, outcomes = tasks(n, loading, seed)
    seen = escalated(outcomes)
    naive = fit_calibration(marginal, seen, seed=0)
    corrected = unselected(marginal, seen, naive).calibration
    gaps = [np.abs(c.apply(marginal) - marginal).mean() for c in (naive.calibration, corrected)]
    assert gaps[1] < gaps[0]


@pytest.mark.parametrize(("loading", "low", "high"), [(0.0, 0.0, 0.5), (2.0, 1.5, 2.5)])
def test_a_varied_order_shows_how_outcomes_go_together(
    loading: float, low: float, high: float
) -> None:
    marginal, outcomes = tasks(1500, loading, seed=0)
    places = np.argsort(np.random.default_rng(1).random(outcomes.shape), axis=1)
    shuffled = escalated(np.take_along_axis(outcomes, places, axis=1))
    seen = np.empty_like(shuffled)
    np.put_along_axis(seen, places, shuffled, axis=1)
    found = unselected(marginal, seen, fit_calibration(marginal, seen, seed=0))
    assert low <= found.joint.loading[0] <= high
    assert np.abs(found.calibration.apply(marginal) - marginal).mean() < 0.05


def test_only_what_was_not_tried_is_completed() -> None:
    marginal, outcomes = tasks(300, 1.0, seed=0)
    seen = escalated(outcomes)
    completed = unselected(marginal, seen, fit_calibration(marginal, seen, seed=0)).completed
    tried = ~np.isnan(seen)
    assert (completed[tried] == seen[tried]).all()
    assert ((completed[~tried] > 0) & (completed[~tried] < 1)).all()
    # Where the weakest succeeded, a task is easy: the strongest would do better than usual.
    expected = fit_calibration(marginal, outcomes, seed=0).calibration.apply(marginal)[:, 3]
    easy = outcomes[:, 0] > 0
    assert completed[easy, 3].mean() > expected[easy].mean()


def test_a_policy_of_escalations_expects_what_holds_of_all_tasks() -> None:
    rng = np.random.default_rng(0)
    _, outcomes = tasks(600, 1.2, seed=3)
    texts = [f"task number {number}" for number in rng.permutation(600).tolist()]
    seen = escalated(outcomes)
    made = [
        Example(
            text,
            {f"option {o}": Observed(row[o] > 0) for o in range(4) if not np.isnan(row[o])},
        )
        for text, row in zip(texts, seen, strict=True)
    ]
    policy = train(made).policy
    said = np.mean([policy.outlook(text).marginal for text in texts[:100]], axis=0)
    truth, naive = outcomes.mean(axis=0), np.nanmean(seen, axis=0)
    # A policy changes the order, so a record to come is compared with the share at all tasks.
    rate = policy.outlook("task").rate
    assert np.abs(rate - truth).mean() < np.abs(naive - truth).mean() / 2
    assert np.abs(said - truth).mean() < np.abs(naive - truth).mean() / 2


def test_a_never_failing_option_and_one_tried_once_are_no_trouble() -> None:
    made = [Example(f"task {n}", {"weak": Observed(n % 2 == 0)}) for n in range(40)]
    made += [Example("task", {"weak": Observed(False), "strong": Observed(True)})]
    training = train(made)
    said = training.policy.outlook("task 3").marginal
    assert np.isfinite(said).all()
    assert ((said > 0) & (said < 1)).all()


def test_one_outcome_that_is_missing_changes_little() -> None:
    rng = np.random.default_rng(0)
    _, outcomes = tasks(200, 1.0, seed=0)
    texts = ["word " * int(size) for size in rng.integers(1, 60, 200)]
    made = [
        Example(text, {f"option {o}": Observed(row[o] > 0) for o in range(4)})
        for text, row in zip(texts, outcomes, strict=True)
    ]
    less = Example(made[7].text, dict(list(made[7].outcomes.items())[:3]))
    policies = [train(each).policy for each in (made, [*made[:7], less, *made[8:]])]
    said = [[policy.outlook(text).marginal for text in texts[:50]] for policy in policies]
    assert said[1] == pytest.approx(np.array(said[0]), abs=0.05)
