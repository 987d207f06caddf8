from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.errors import BudgetExceeded, InputError
from infrastructure.resilience.budget import Budget


def test_reserving_more_than_is_left_names_every_amount() -> None:
    budget = Budget(1.0)
    budget.settle(budget.reserve(0.25), 0.25)
    budget.reserve(0.5)
    with pytest.raises(BudgetExceeded) as caught:
        budget.reserve(0.4)
    for amount in ("$0.4", "$0.25", "$0.5", "$1"):
        assert amount in str(caught.value)
    assert budget.statistics.reserved_usd == 0.5


def test_a_cost_above_the_reservation_is_counted_and_stops_the_next_call() -> None:
    budget = Budget(1.0)
    budget.settle(budget.reserve(0.1), 1.5)
    statistics = budget.statistics
    assert (statistics.spent_usd, statistics.left_usd) == (1.5, 0.0)
    with pytest.raises(BudgetExceeded):
        budget.reserve(0.01)
    budget.release(budget.reserve(0.0))  # what costs nothing may go on


def test_decimal_prices_fill_a_budget_exactly() -> None:
    budget = Budget(0.3)
    for _ in range(3):
        budget.reserve(0.1)
    with pytest.raises(BudgetExceeded):
        budget.reserve(0.001)


def test_a_child_spends_its_parents_money() -> None:
    run = Budget(1.0)
    part = run.child(0.5)
    part.settle(part.reserve(0.3), 0.4)
    assert run.statistics.spent_usd == 0.4
    with pytest.raises(BudgetExceeded):
        part.reserve(0.2)
    run.reserve(0.55)
    free = run.child()
    assert free.statistics.limit_usd is None
    assert free.statistics.left_usd == pytest.approx(0.05)
    with pytest.raises(BudgetExceeded):
        free.reserve(0.1)
    assert free.statistics.reserved_usd == 0  # a refused reservation leaves no trace


@pytest.mark.parametrize("wrong", [-0.01, math.nan, math.inf])
def test_impossible_amounts_are_refused(wrong: float) -> None:
    budget = Budget(1.0)
    with pytest.raises(InputError):
        Budget(wrong)
    with pytest.raises(InputError):
        budget.reserve(wrong)
    with pytest.raises(InputError):
        budget.settle(budget.reserve(0.5), wrong)


def test_a_reservation_is_closed_once_and_where_it_was_made() -> None:
    budget = Budget()
    reservation = budget.reserve(1)
    with pytest.raises(ValueError, match="another budget"):
        Budget().release(reservation)
    budget.release(reservation)
    with pytest.raises(ValueError, match="already"):
        budget.settle(reservation, 1)
    assert budget.statistics.left_usd is None


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10), st.booleans()), max_size=30))
def test_money_is_neither_lost_nor_made(calls: list[tuple[float, float, bool]]) -> None:
    budget = Budget(20.0)
    part = budget.child()
    spent = 0.0
    for expected, actual, made in calls:
        try:
            reservation = part.reserve(expected)
        except BudgetExceeded:
            assert expected > 20.0 - spent - 1e-6
            continue
        if made:
            part.settle(reservation, actual)
            spent += actual
        else:
            part.release(reservation)
    for statistics in (budget.statistics, part.statistics):
        assert statistics.spent_usd == pytest.approx(spent)
        assert statistics.reserved_usd == pytest.approx(0, abs=1e-6)
