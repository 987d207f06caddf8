"""How outcomes go together: learnt back where it is known, beside expectations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from genesis.errors import InputError
from genesis.learning.joint import fit_joint
from genesis.routing.joint import LatentTrait, adapted, with_marginal
from genesis.routing.outlook import Outlook

Floats = NDArray[np.float64]


def tasks(loading: Floats, examples: int, seed: int = 0) -> tuple[Floats, Floats]:
    """Expectations and outcomes drawn from a normal trait."""
    rng = np.random.default_rng(seed)
    levels, weights = np.polynomial.hermite_e.hermegauss(15)
    expected = rng.uniform(0.15, 0.85, (examples, len(loading)))
    given_level = with_marginal(
        np.broadcast_to(loading[:, None] * levels, (*expected.shape, 15)),
        weights / weights.sum(),
        expected,
    )
    level = rng.choice(15, examples, p=weights / weights.sum())
    drawn = given_level[np.arange(examples), :, level]
    return expected, (rng.random(drawn.shape) < drawn).astype(np.float64)


def log_likelihood(joint: LatentTrait, expected: Floats, outcomes: Floats) -> float:
    total = 0.0
    for marginal, seen in zip(expected, outcomes, strict=True):
        success, weights = joint.states(marginal)
        each = np.where(seen[:, None] > 0, success, 1 - success)
        total += float(np.log(each.prod(axis=0) @ weights))
    return total / len(expected)


def test_outcomes_that_go_together_are_found_to() -> None:
    loading = np.full(4, 1.5)
    learnt = fit_joint(*tasks(loading, 800))
    assert np.abs(learnt.loading - loading).max() <= 0.5
    fresh = tasks(loading, 400, seed=1)
    apart = LatentTrait(np.zeros(4), learnt.levels, learnt.weights, learnt.rate)
    assert log_likelihood(learnt, *fresh) > log_likelihood(apart, *fresh) + 0.05


def test_independent_outcomes_are_left_so() -> None:
    learnt = fit_joint(*tasks(np.zeros(4), 800))
    assert np.abs(learnt.loading).max() <= 0.5


def test_an_option_that_goes_its_own_way_is_let_go() -> None:
    learnt = fit_joint(*tasks(np.array([2.0, 2.0, 2.0, 0.0]), 3000))
    assert learnt.loading[3] < 1.0 < learnt.loading[:3].min()


def test_what_was_not_tried_says_nothing() -> None:
    expected, outcomes = tasks(np.full(3, 1.5), 600)
    gaps = np.random.default_rng(2).random(outcomes.shape) < 0.4
    learnt = fit_joint(expected, np.where(gaps, np.nan, outcomes))
    assert learnt.loading.min() > 0.75
    alone = np.full_like(outcomes, np.nan)
    alone[:, 0] = outcomes[:, 0]
    assert not fit_joint(expected, alone).loading.any()
    assert fit_joint(expected, alone).rate[0] == pytest.approx(outcomes[:, 0].mean())


@given(
    marginal=st.lists(st.floats(0.001, 0.999), min_size=1, max_size=5),
    loading=st.floats(-1, 3),
)
@settings(max_examples=100, deadline=None)
def test_every_option_keeps_its_own_expectation(marginal: list[float], loading: float) -> None:
    wanted = np.array(marginal)
    joint = fit_joint(np.full((2, len(wanted)), 0.5), np.full((2, len(wanted)), np.nan))
    tied = LatentTrait(np.full(len(wanted), loading), joint.levels, joint.weights, joint.rate)
    success, weights = tied.states(wanted)
    assert success @ weights == pytest.approx(wanted, abs=1e-6)
    assert (np.diff(success * np.sign(loading), axis=1) >= -1e-9).all()


def test_a_newcomer_goes_with_the_others_on_average() -> None:
    joint = fit_joint(*tasks(np.full(3, 1.5), 500))
    success, weights = joint.states(np.array([0.3, 0.5, 0.7]))
    outlook = Outlook(("a", "b", "c"), success, weights, *np.ones((3, 3)))
    got, states = adapted(outlook, np.array([2, -1]), np.array([0.6, 0.4]))
    assert got @ states == pytest.approx([0.6, 0.4], abs=1e-6)
    assert (np.diff(got, axis=1) > 0).all()
    kept, _ = adapted(outlook, np.array([0, 1, 2]), outlook.marginal)
    assert kept == pytest.approx(success, abs=1e-6)


def test_arrays_round_trip_and_wrong_ones_are_refused() -> None:
    joint = fit_joint(*tasks(np.full(3, 1.0), 100))
    again = LatentTrait.of_arrays(joint.arrays(), 3)
    assert (again.loading == joint.loading).all()
    arrays = joint.arrays()
    for wrong, match in [
        ({**arrays, "more": np.ones(1)}, "more"),
        ({**arrays, "loading": np.full(3, np.nan)}, "not finite"),
        ({**arrays, "loading": np.ones((3, 1))}, "loading"),
        ({**arrays, "levels": np.ones(2)}, "levels"),
        ({**arrays, "weights": arrays["weights"] * 2}, "add up"),
        ({**arrays, "rate": np.full(3, 1.5)}, "0 to 1"),
        ({**arrays, "rate": np.full(3, 0.5, dtype=np.float32)}, "float32"),
    ]:
        with pytest.raises(InputError, match=match):
            LatentTrait.of_arrays(wrong, 3)
    with pytest.raises(InputError, match="3 options, not 4"):
        LatentTrait.of_arrays(arrays, 4)
