"""A ladder as a whole: what a policy expects, what it may use up, what it saves, where it stops."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from route_samples import TASK, Row, agent, ladder, order

from genesis.errors import BudgetExceeded
from genesis.routing.belief import Belief
from genesis.routing.candidates import route
from genesis.routing.ladder import Rung
from genesis.routing.options import ModelOption
from genesis.routing.outlook import Outlook, option_name
from genesis.routing.prices import Prices
from genesis.routing.rules import Facts, RuleBook
from infrastructure.a2a.agent import AgentCard

CHEAP, SECOND, EXPERT = (
    agent("cheap", usd=0.01),
    agent("second", usd=0.012),
    agent("expert", usd=0.1),
)
CARDS = [CHEAP, SECOND, EXPERT]


def outlook(
    success: Sequence[Sequence[float]],
    usd: Sequence[float] = (0.01, 0.012, 0.1),
    rate: Sequence[float] = (0.5, 0.5, 0.5),
) -> Outlook:
    """Of the three agents, in states of equal weight."""
    states = len(success[0])
    names = ("cheap", "second", "expert")
    return Outlook(
        tuple(option_name("answer_questions", name, "", "") for name in names),
        np.array(success),
        np.full(states, 1 / states),
        np.array(usd),
        np.full(3, 100.0),
        np.array(rate),
    )


def test_who_is_expected_to_fail_here_does_not_go_first() -> None:
    easy = outlook([[0.9], [0.9], [0.95]])
    hard = outlook([[0.05], [0.05], [0.9]])
    assert order(ladder(CARDS, outlook=easy)) == ["cheap", "second", "expert"]
    assert order(ladder(CARDS, outlook=hard))[0] == "expert"
    assert (
        "the policy expects 90% here, 50% as a rule" in ladder(CARDS, outlook=hard).rungs[0].reason
    )


def test_who_fails_where_the_first_fails_is_asked_later() -> None:
    apart = outlook([[0.5], [0.5], [0.5]], usd=(0.01, 0.012, 0.02))
    assert order(ladder(CARDS, outlook=apart)) == ["cheap", "second", "expert"]
    alike = outlook([[0.99, 0.01], [0.99, 0.01], [0.5, 0.5]], usd=(0.01, 0.012, 0.02))
    assert order(ladder(CARDS, outlook=alike)) == ["cheap", "expert", "second"]


def test_a_record_like_the_training_leaves_the_policy_its_word() -> None:
    expects = outlook([[0.9], [0.5], [0.5]], rate=(0.5, 0.5, 0.5))
    row = Row("cheap", 50, 50, usd=1.0, seconds=100)
    (rung,) = (r for r in ladder(CARDS, row, outlook=expects).rungs if r.agent == "cheap")
    assert rung.p_success == pytest.approx(0.9, abs=0.02)


def test_a_record_that_has_turned_bad_outweighs_the_policy() -> None:
    expects = outlook([[0.9], [0.5], [0.6]], rate=(0.8, 0.5, 0.6))
    row = Row("cheap", 0, 40, usd=0.4, seconds=40)
    assert order(ladder(CARDS, outlook=expects))[0] == "cheap"
    found = ladder(CARDS, row, outlook=expects)
    assert order(found) == ["second", "cheap", "expert"]
    assert found.rungs[1].p_success < 0.35
    assert "the record" in found.rungs[1].reason


def test_an_agent_that_the_policy_does_not_know_takes_part() -> None:
    newcomer = agent("newcomer", usd=0.001)
    found = ladder([*CARDS, newcomer], outlook=outlook([[0.9, 0.1]] * 3))
    assert order(found)[0] == "newcomer"
    assert "assumed" in found.rungs[0].reason


AGENTS = st.lists(
    st.tuples(st.floats(0, 2), st.floats(0, 60), st.integers(0, 9), st.integers(0, 9)),
    min_size=1,
    max_size=6,
)


def cards_and_rows(
    agents: Sequence[tuple[float, float, int, int]],
) -> tuple[list[AgentCard], list[Row]]:
    cards = [agent(f"a{n}", usd=usd, seconds=s) for n, (usd, s, _, _) in enumerate(agents)]
    rows = [
        Row(f"a{n}", good, bad, usd=usd * (good + bad), seconds=s * (good + bad))
        for n, (usd, s, good, bad) in enumerate(agents)
        if good + bad
    ]
    return cards, rows


@given(agents=AGENTS, usd=st.floats(0, 4), seconds=st.floats(0.1, 120))
@settings(max_examples=100, deadline=None)
def test_all_attempts_together_fit_what_is_left(
    agents: list[tuple[float, float, int, int]], usd: float, seconds: float
) -> None:
    cards, rows = cards_and_rows(agents)
    try:
        found = ladder(cards, *rows, usd=usd, seconds=seconds)
    except BudgetExceeded:
        alone = ladder(cards, *rows).rungs
        assert all(rung.cost_usd > usd or rung.seconds > seconds for rung in alone)
        return
    assert sum(rung.cost_usd for rung in found.rungs) <= usd + 1e-9
    assert sum(rung.seconds for rung in found.rungs) <= seconds + 1e-9


@given(agents=AGENTS)
@settings(max_examples=100, deadline=None)
def test_the_forecast_is_what_the_ladder_comes_to(
    agents: list[tuple[float, float, int, int]],
) -> None:
    cards, rows = cards_and_rows(agents)
    found = ladder(cards, *rows)
    assert found.forecast is not None
    reached, usd, seconds = 1.0, 0.0, 0.0
    for rung in found.rungs:
        usd += reached * rung.cost_usd
        seconds += reached * rung.seconds
        reached *= 1 - rung.p_success
    forecast = found.forecast
    assert (forecast.p_success, forecast.usd, forecast.seconds) == pytest.approx(
        (1 - reached, usd, seconds)
    )
    assert forecast.saved_on_dearest_usd == pytest.approx(forecast.dearest.usd - usd)
    assert forecast.saved_on_best_usd == pytest.approx(forecast.best.usd - usd)
    assert forecast.dearest.usd >= max(rung.cost_usd for rung in found.rungs)


def test_the_ladder_says_what_it_saves_against_whom() -> None:
    expects = outlook([[0.9], [0.9], [0.95]])
    found = ladder(CARDS, outlook=expects)
    assert found.forecast is not None
    assert found.forecast.dearest.who == found.forecast.best.who == "expert"
    assert found.forecast.saved_on_dearest_usd == pytest.approx(0.0878, abs=1e-3)
    assert "less than the dearest alone (expert, 95%)" in found.reason
    assert "less than the best alone (expert, 95%)" in found.reason
    assert "100% verified expected of the whole for $0.01" in found.reason
    # One option has nothing to be compared with.
    assert "alone" not in ladder([CHEAP]).reason


def test_an_attempt_that_is_not_worth_its_price_is_not_made() -> None:
    expects = outlook([[0.5], [0.5], [0.5]])
    modest = ladder(CARDS, outlook=expects, prices=Prices(success_usd=0.1))
    assert order(modest) == ["cheap", "second"]
    assert "1 more not worth trying, at $0.1 for a verified success" in modest.reason
    assert len(ladder(CARDS, outlook=expects).rungs) == 3
    with pytest.raises(BudgetExceeded, match=r"no attempt is worth.*raise success_value_usd"):
        ladder(CARDS, outlook=expects, prices=Prices(success_usd=0.001))


def test_what_is_too_dear_after_the_others_is_said() -> None:
    found = ladder(CARDS, usd=0.105)
    assert order(found) == ["cheap", "second"] or order(found) == ["expert"]
    assert "more could not be afforded after these" in found.reason


def test_preference_and_assignment_weigh_as_rules_say() -> None:
    def ruled(rules: str) -> list[str]:
        book = RuleBook.parse(f"rules:\n  - {rules}\n", "r.yaml")
        found = route(TASK, CARDS, book.now(Facts()).effects(TASK), Belief())
        return order(ladder(CARDS, found=found, outlook=outlook([[0.6], [0.6], [0.6]])))

    assert ruled("{name: r, then: {prefer: second}, because: so}")[0] == "second"
    assert ruled("{name: r, then: {prefer: expert}, because: so}")[0] == "cheap"
    assert ruled("{name: r, then: {assign: expert}, because: so}")[0] == "expert"


def test_of_many_ways_the_reason_says_that_not_all_were_weighed() -> None:
    writer = agent("writer", needs_model=True)
    models = [ModelOption(f"p:m{n}", n + 1, n + 1) for n in range(10)]
    found = ladder([writer], models=models)
    assert len(found.rungs) == 4
    assert "8 of these not even weighed" in found.reason


def test_no_order_of_the_agents_does_better() -> None:
    rng = random.Random(3)
    for _ in range(20):
        chances = [[rng.random() for _ in range(3)] for _ in range(3)]
        expects = outlook(chances, usd=[rng.uniform(0.01, 0.5) for _ in range(3)])
        found = ladder(CARDS, outlook=expects, prices=Prices(success_usd=1.0))
        rungs = {rung.agent: rung for rung in ladder(CARDS, outlook=expects).rungs}
        every = [o for n in (1, 2, 3) for o in itertools.permutations(rungs, n)]
        best = max(utility(names, expects, rungs) for names in every)
        assert utility(order(found), expects, rungs) == pytest.approx(best, abs=1e-6)


def utility(names: Sequence[str], expects: Outlook, rungs: Mapping[str, Rung]) -> float:
    """Of attempts in this order, at one dollar for a success."""
    failing, worth = expects.weights, 0.0
    for name in names:
        success = expects.success[("cheap", "second", "expert").index(name)]
        price = Prices().of(rungs[name].cost_usd, rungs[name].seconds)
        worth += float(failing @ success) - price * float(failing.sum())
        failing = failing * (1 - success)
    return worth
