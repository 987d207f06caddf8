"""The best order of attempts and where to stop, against trying out every order there is."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from genesis.errors import InputError
from genesis.routing.cascade import MAX_OPTIONS, Cascade, Limit, best_cascade, expected

Floats = NDArray[np.float64]
ONE = np.ones(1)


@dataclass(frozen=True)
class Case:
    costs: Floats
    success: Floats
    weights: Floats
    value: float

    def utility(self, order: tuple[int, ...]) -> float:
        success, cost = expected(order, self.costs, self.success, self.weights)
        return self.value * success - cost

    def best(self, attempts: int | None = None, limits: Sequence[Limit] = ()) -> Cascade:
        return best_cascade(
            self.costs, self.success, self.weights, self.value, attempts=attempts, limits=limits
        )


@st.composite
def cases(draw: st.DrawFn, most: int = 5, states: int = 3) -> Case:
    options, count = draw(st.integers(1, most)), draw(st.integers(1, states))
    share = st.floats(0, 1)
    success = [[draw(share) for _ in range(count)] for _ in range(options)]
    weights = np.array([draw(st.floats(0.01, 1)) for _ in range(count)])
    costs = [draw(st.floats(1e-4, 2)) for _ in range(options)]
    return Case(np.array(costs), np.array(success), weights / weights.sum(), draw(st.floats(0, 20)))


def orders(options: int, attempts: int) -> list[tuple[int, ...]]:
    return [
        order
        for length in range(attempts + 1)
        for order in itertools.permutations(range(options), length)
    ]


@given(case=cases(), attempts=st.integers(1, 5))
@settings(max_examples=150, deadline=None)
def test_no_order_is_better(case: Case, attempts: int) -> None:
    found = case.best(attempts=attempts)
    assert len(found.order) <= attempts
    tried = orders(len(case.costs), min(attempts, len(case.costs)))
    assert case.utility(found.order) == pytest.approx(max(map(case.utility, tried)), abs=1e-9)


@given(case=cases(most=4), left=st.floats(0, 4))
@settings(max_examples=100, deadline=None)
def test_no_order_within_a_limit_is_better(case: Case, left: float) -> None:
    amounts = case.costs[::-1].copy()
    found = case.best(limits=[Limit(amounts, left)])
    within = [
        order for order in orders(len(amounts), len(amounts)) if sum(amounts[list(order)]) <= left
    ]
    assert case.utility(found.order) == pytest.approx(max(map(case.utility, within)), abs=1e-9)


@given(case=cases(states=1))
@settings(max_examples=100, deadline=None)
def test_independent_options_go_by_price_over_probability(case: Case) -> None:
    chance = np.maximum(case.success[:, 0], 0.05)
    found = best_cascade(case.costs, chance[:, None], ONE, 1e6)
    ratios = (case.costs / chance)[list(found.order)]
    assert (np.diff(ratios) >= -1e-9).all()


@given(case=cases(states=1))
@settings(max_examples=100, deadline=None)
def test_nothing_is_spent_on_what_is_not_worth_it(case: Case) -> None:
    chance = case.success[:, 0]
    order = list(case.best().order)
    assert (case.value * chance[order] >= case.costs[order]).all()
    if (1 - chance[order]).prod() > 1e-6:
        left = [option for option in range(len(chance)) if option not in order]
        assert (case.value * chance[left] <= case.costs[left] + 1e-6).all()


@given(case=cases())
@settings(max_examples=100, deadline=None)
def test_the_last_attempt_is_worth_its_price(case: Case) -> None:
    # An earlier one may cost more than it promises: its failure tells what to try instead.
    order = case.best().order
    if order:
        assert case.utility(order) >= case.utility(order[:-1])


@given(case=cases(), more=st.floats(1, 5))
@settings(max_examples=100, deadline=None)
def test_a_dearer_success_is_pursued_at_least_as_far(case: Case, more: float) -> None:
    worth_more = Case(case.costs, case.success, case.weights, case.value * more)
    assert worth_more.best().success >= case.best().success - 1e-9


@given(case=cases(), factor=st.floats(0, 1))
@settings(max_examples=100, deadline=None)
def test_cheaper_options_are_never_worse(case: Case, factor: float) -> None:
    cheaper = Case(case.costs * factor, case.success, case.weights, case.value)
    assert cheaper.utility(cheaper.best().order) >= case.utility(case.best().order) - 1e-9


def test_an_option_that_fails_where_the_first_failed_is_skipped() -> None:
    # Two states: the first two options both succeed in the easy one only.
    success = np.array([[0.95, 0.02], [0.96, 0.03], [0.90, 0.80]])
    costs = np.array([0.1, 0.15, 0.5])
    found = best_cascade(costs, success, np.array([0.5, 0.5]), 5.0, attempts=2)
    assert found.order == (0, 2)
    independent = (success @ [0.5, 0.5])[:, None]
    assert best_cascade(costs, independent, ONE, 5.0).order[:2] == (0, 1)


def test_a_single_option_is_tried_if_it_is_worth_it_or_must_be() -> None:
    costs, success = np.array([2.0]), np.array([[0.5]])
    assert best_cascade(costs, success, ONE, 5.0) == Cascade((0,), 0.5, 2.0)
    assert best_cascade(costs, success, ONE, 4.0).order == ()
    assert best_cascade(costs, success, ONE, 0.0, first=[[0]]).order == (0,)
    assert best_cascade(costs, success, ONE, 0.0, first=[[]]).order == ()
    assert best_cascade(costs, success, ONE, 5.0, limits=[Limit(costs, 1.9)]).order == ()
    assert best_cascade(costs, success, ONE, 5.0, limits=[Limit(costs, 2.0)]).order == (0,)
    assert best_cascade(costs, success, ONE, 5.0, attempts=0).order == ()


def test_what_must_go_first_does_whatever_it_costs() -> None:
    costs, success = np.array([0.1, 9.0, 0.2]), np.array([[0.9], [0.1], [0.8]])
    assert best_cascade(costs, success, ONE, 5.0, first=[[1]]).order == (1, 0, 2)
    assert best_cascade(costs, success, ONE, 5.0, first=[[1], [2]]).order == (1, 2, 0)
    assert best_cascade(costs, success, ONE, 0.0, first=[[1, 2]]).order == (2,)
    assert best_cascade(costs, success, ONE, 0.0).order == ()
    within = [Limit(costs, 1.0)]
    assert best_cascade(costs, success, ONE, 5.0, first=[[1]], limits=within).order == (0, 2)


def test_expectations_are_those_of_the_order() -> None:
    found = best_cascade(np.array([1.0, 2.0]), np.array([[0.5], [0.5]]), ONE, 100.0)
    assert found == Cascade((0, 1), 0.75, 2.0)


def test_nothing_worth_trying_is_an_empty_order() -> None:
    assert best_cascade(np.array([1.0]), np.array([[0.5]]), ONE, 1.0) == Cascade((), 0.0, 0.0)


def test_of_too_many_the_most_promising_and_the_likeliest_are_searched() -> None:
    count = 30
    costs = np.linspace(0.1, 3, count)
    success = np.full((count, 1), 0.5)
    success[-1] = 0.99
    found = best_cascade(costs, success, ONE, 1e6, attempts=3, first=[[20]])
    assert found.unsearched == count - MAX_OPTIONS
    assert found.order[0] == 20
    assert count - 1 in found.order


@pytest.mark.parametrize(
    ("costs", "success", "value"),
    [
        ([-1.0], [[0.5]], 1.0),
        ([float("nan")], [[0.5]], 1.0),
        ([1.0], [[1.5]], 1.0),
        ([1.0], [[float("nan")]], 1.0),
        ([1.0, 1.0], [[0.5]], 1.0),
        ([1.0], [[0.5]], float("nan")),
    ],
)
def test_what_cannot_be_is_refused(
    costs: list[float], success: list[list[float]], value: float
) -> None:
    with pytest.raises(InputError):
        best_cascade(np.array(costs), np.array(success), ONE, value)
