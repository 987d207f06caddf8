"""The order of a verified escalation under budget and deadline."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from route_samples import QUICK, TASK, THOROUGH, Row, agent, ladder, order, routed

from genesis.errors import BudgetExceeded, InputError, ModelNotConfigured, RoutingError
from genesis.routing.belief import Belief
from genesis.routing.candidates import route
from genesis.routing.options import ModelOption
from genesis.routing.prices import Prices
from genesis.routing.rules import Facts, RuleBook

SMALL, LARGE = ModelOption("p:small", 0.1, 0.4), ModelOption("p:large", 5, 25)


def test_a_quick_agent_without_a_record_goes_first() -> None:
    assert order(ladder([THOROUGH, QUICK])) == ["quick", "thorough"]


def test_after_one_verified_failure_it_no_longer_does() -> None:
    rows = (Row("quick", 0, 1, seconds=0.2), Row("thorough", 1, 0, seconds=1.0))
    assert order(ladder([QUICK, THOROUGH], *rows)) == ["thorough", "quick"]
    # Nor when the attempts took next to no time at all.
    rows = (Row("quick", 0, 1, seconds=0.001), Row("thorough", 1, 0, seconds=0.002))
    assert order(ladder([QUICK, THOROUGH], *rows)) == ["thorough", "quick"]


def test_its_failure_at_another_operation_alone_does_not_cost_it_first_place() -> None:
    rows = (Row("quick", 0, 1, operation="write_data_report"), Row("thorough", 1, 0, seconds=1.0))
    assert order(ladder([QUICK, THOROUGH], *rows))[0] == "quick"


def test_a_long_record_of_successes_earns_first_place_back() -> None:
    rows = (Row("quick", 20, 1, seconds=4.0), Row("thorough", 5, 0, seconds=5.0))
    assert order(ladder([QUICK, THOROUGH], *rows)) == ["quick", "thorough"]


def test_each_rung_says_what_is_expected_and_why() -> None:
    found = ladder([QUICK, THOROUGH], Row("thorough", 9, 0, seconds=9.0))
    assert "assumed, no record" in found.rungs[0].reason
    assert "from 9 attempts" in found.rungs[1].reason
    assert "quick first" in found.reason
    assert found.difficulty == 0.3


def test_a_rule_assigned_agent_is_asked_first_whatever_it_costs() -> None:
    rules = "rules:\n  - {name: r, then: {assign: dear}, because: so}\n"
    effects = RuleBook.parse(rules, "r.yaml").effects(TASK, Facts())
    cards = [QUICK, agent("dear", usd=3, seconds=90)]
    found = ladder(cards, found=route(TASK, cards, effects, Belief()))
    assert order(found) == ["dear", "quick"]
    assert "assigned by a rule" in found.rungs[0].reason


def test_models_and_efforts_become_attempts_cheapest_success_first() -> None:
    card = agent("writer", needs_model=True)
    found = ladder([card], models=[LARGE, SMALL])
    tried = [(rung.model, rung.effort) for rung in found.rungs]
    assert tried == [
        ("p:small", "low"),
        ("p:small", "medium"),
        ("p:large", "low"),
        ("p:large", "medium"),
    ]
    failed = Row("writer", 0, 30, model="p:small", effort="low", usd=0.03, seconds=100)
    other = Row("writer", 0, 30, model="p:small", effort="medium", usd=0.03, seconds=100)
    won = Row("writer", 30, 0, model="p:large", effort="low", usd=0.3, seconds=100)
    assert ladder([card], failed, other, won, models=[LARGE, SMALL]).rungs[0].model == "p:large"


@pytest.mark.parametrize(("difficulty", "effort"), [(0.1, "low"), (0.5, "medium"), (1.0, "high")])
def test_difficulty_sets_the_effort(difficulty: float, effort: str) -> None:
    card = agent("writer", needs_model=True)
    assert ladder([card], models=[SMALL], difficulty=difficulty).rungs[0].effort == effort


def test_what_does_not_fit_is_left_out() -> None:
    cards = [QUICK, agent("dear", usd=0.5), agent("slow", seconds=60)]
    found = ladder(cards, usd=0.1, seconds=10)
    assert order(found) == ["quick"]
    assert "2 left out for budget or deadline" in found.reason
    assert order(ladder([QUICK], usd=0.0)) == ["quick"]


def test_when_nothing_fits_the_price_and_what_is_left_are_named() -> None:
    with pytest.raises(BudgetExceeded, match=r"dear.*\$0\.5000 and \$0\.1000"):
        ladder([agent("dear", usd=0.5), agent("dearer", usd=0.6)], usd=0.1)
    with pytest.raises(BudgetExceeded, match=r"slow.*60\.0 s and 10\.0 s"):
        ladder([agent("slow", seconds=60)], seconds=10)


def test_without_a_model_the_setting_is_named() -> None:
    with pytest.raises(ModelNotConfigured, match="GENESIS_MODEL=provider:name"):
        ladder([agent("writer", needs_model=True)])


@pytest.mark.parametrize("price", [-1.0, float("nan"), float("inf")])
def test_a_price_that_is_none_is_refused(price: float) -> None:
    with pytest.raises(InputError, match="'p:m'"):
        ModelOption("p:m", 1.0, price)


def test_nobody_at_all_is_a_routing_error_with_each_reason() -> None:
    with pytest.raises(RoutingError, match=r"'t': x: .*does not produce"):
        ladder([agent("x", produces=("text",))])
    with pytest.raises(RoutingError, match="there are no agents"):
        ladder([])


def test_attempts_are_capped_and_the_likeliest_stays() -> None:
    cards = [agent(f"a{n}", seconds=0.1) for n in range(8)] + [agent("sure", seconds=500)]
    rows = [Row(f"a{n}", 1, 1) for n in range(8)] + [Row("sure", 50, 0, seconds=25_000)]
    found = ladder(cards, *rows)
    assert len(found.rungs) == 4
    assert order(found)[-1] == "sure"


def test_the_order_of_the_route_is_the_order_of_the_attempts() -> None:
    cards = [agent(f"a{n}", seconds=n + 1) for n in range(4)]
    rows = [Row("a0", 1, 5), Row("a2", 9, 1)]
    assert order(ladder(cards, *rows)) == [c.agent for c in routed(cards, *rows).candidates]


@given(
    options=st.lists(
        st.tuples(st.floats(0.05, 1), st.floats(0, 2), st.floats(0, 60)), min_size=1, max_size=5
    )
)
@settings(max_examples=50)
def test_falling_value_is_the_cheapest_order_of_all(
    options: list[tuple[float, float, float]],
) -> None:
    prices = Prices(usd_per_second=0.01)

    def expected(sequence: tuple[tuple[float, float, float], ...]) -> float:
        total, reached = 0.0, 1.0
        for p, usd, seconds in sequence:
            total += reached * prices.of(usd, seconds)
            reached *= 1 - p
        return total

    ours = tuple(sorted(options, key=lambda o: -prices.value(*o)))
    best = min(expected(sequence) for sequence in itertools.permutations(options))
    assert expected(ours) == pytest.approx(best)
