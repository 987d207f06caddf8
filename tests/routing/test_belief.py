"""Posteriors over verified success."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from route_samples import Row

from genesis.routing.belief import Belief, Estimate, Prior, Tried
from genesis.routing.beta import beta_quantile
from genesis.routing.priors import RoutingPriors
from infrastructure.memory.memori.latest_attempts import LatestAttempts

OPTIMISM = RoutingPriors().success.mean


def _estimate(*rows: Row, agent: str = "a", model: str = "", effort: str = "") -> Estimate:
    belief = Belief(rows)
    return belief.estimate(
        "data_analysis", "answer_questions", agent, model=model, effort=effort, seconds=2, usd=0.5
    )


def test_a_newcomer_is_met_with_optimism_and_its_declared_price() -> None:
    estimate = _estimate()
    assert estimate.mean == pytest.approx(OPTIMISM)
    assert (estimate.n, estimate.seconds, estimate.usd) == (0, 2, 0.5)


def test_a_record_of_this_kind_outweighs_all_else() -> None:
    elsewhere = Row("a", 500, 0, task_type="testing", operation="run_tests")
    here = _estimate(elsewhere, Row("a", 0, 20))
    assert here.mean < 0.06
    assert here.n == 20


def test_a_new_kind_leans_on_the_agents_record_elsewhere() -> None:
    good = _estimate(Row("a", 50, 0, operation="profile_data"))
    bad = _estimate(Row("a", 0, 50, operation="profile_data"))
    assert bad.mean < OPTIMISM < good.mean
    assert bad.n == good.n == 0


def test_other_task_types_and_agents_are_kept_apart() -> None:
    assert _estimate(Row("b", 0, 50)).mean == pytest.approx(OPTIMISM)


def test_models_and_efforts_have_records_of_their_own() -> None:
    rows = (
        Row("a", 0, 9, model="p:small", effort="low"),
        Row("a", 9, 0, model="p:large", effort="low"),
    )
    small = _estimate(*rows, model="p:small", effort="low")
    large = _estimate(*rows, model="p:large", effort="low")
    other = _estimate(*rows, model="p:other", effort="low")
    assert small.mean < other.mean < large.mean
    assert (small.n, large.n, other.n) == (9, 9, 0)


def test_price_and_time_come_from_the_record() -> None:
    estimate = _estimate(Row("a", 99, 0, seconds=990, usd=0.0))
    assert estimate.seconds == pytest.approx(9.92)
    assert estimate.usd == pytest.approx(0.005)


def test_the_failure_rate_of_a_task_type_counts_failures() -> None:
    rate, n = Belief([Row("a", 2, 6), Row("b", 0, 2)]).failure_rate("data_analysis")
    assert n == 10
    assert 0.5 < rate < 0.8


@given(a=st.floats(0.2, 200), b=st.floats(0.2, 200))
@settings(max_examples=25, deadline=None)
def test_the_interval_holds_nine_tenths_of_the_draws(a: float, b: float) -> None:
    estimate = Estimate(a, b, 0, 1, 0)
    low, high = estimate.interval
    rng = random.Random(1)
    draws = [estimate.draw(rng) for _ in range(4000)]
    for quantile, share in ((low, 0.05), (high, 0.95)):  # exact to 1e-4
        assert sum(draw < quantile - 1e-4 for draw in draws) / 4000 < share + 0.02
        assert sum(draw < quantile + 1e-4 for draw in draws) / 4000 > share - 0.02
    assert low <= estimate.mean <= high


@pytest.mark.parametrize(
    ("a", "b", "p", "quantile"),
    [(1, 1, 0.05, 0.05), (1, 1, 0.95, 0.95), (2, 1, 0.25, 0.5), (1, 2, 0.75, 0.5)],
)
def test_known_quantiles(a: float, b: float, p: float, quantile: float) -> None:
    assert beta_quantile(a, b, p) == pytest.approx(quantile, abs=1e-3)


@given(n=st.integers(0, 50))
def test_more_successes_never_lower_the_expectation(n: int) -> None:
    assert _estimate(Row("a", n + 1, 3)).mean > _estimate(Row("a", n, 3)).mean


def test_a_prior_takes_the_place_of_optimism_and_yields_to_a_record() -> None:
    expected = Prior(0.3, 10)
    new = Belief().estimate("data_analysis", "answer_questions", "a", prior=expected)
    assert new.mean == pytest.approx(0.3)
    known = Belief([Row("a", 60, 0)])
    assert known.estimate("data_analysis", "answer_questions", "a", prior=expected).mean > 0.85


@pytest.mark.parametrize(
    ("mean", "weight"), [(-0.1, 1), (1.1, 1), (0.5, 0), (float("nan"), 1), (0.5, 1e300)]
)
def test_an_impossible_prior_is_refused(mean: float, weight: float) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        Prior(mean, weight)


@pytest.mark.parametrize("mean", [0.0, 1.0])
def test_no_prior_is_so_sure_that_a_record_cannot_change_it(mean: float) -> None:
    record = Row("a", 0, 50) if mean else Row("a", 50, 0)
    known = Belief([record])
    estimate = known.estimate("data_analysis", "answer_questions", "a", prior=Prior(mean, 2))
    assert abs(estimate.mean - mean) > 0.9


def _recent(*attempts: tuple[float, float, bool]) -> LatestAttempts:
    """Attempts a second apart, each with its duration, price and verdict."""
    seconds, usd, successes = zip(*attempts, strict=True)
    times = tuple(float(number) for number in range(len(attempts)))
    return LatestAttempts(times, seconds, usd, successes)


def test_price_and_time_follow_what_attempts_take_lately() -> None:
    latest = _recent(*[(1.0, 0.01, True)] * 16, *[(4.0, 0.04, True)] * 16)
    estimate = _estimate(Row("a", 1000, 0, seconds=1048, usd=10.48, latest=latest))
    assert 3.0 < estimate.seconds < 4.0
    assert 0.03 < estimate.usd < 0.09  # the declared price still counts for an attempt


def test_an_agent_that_turned_bad_is_not_trusted_for_its_past() -> None:
    latest = _recent(*[(1.0, 0.0, True)] * 28, *[(1.0, 0.0, False)] * 4)
    turned = _estimate(Row("a", 528, 4, latest=latest))
    assert turned.mean < 0.4
    assert turned.n == 532
    assert "tell of the present" in turned.basis
    low, high = turned.interval
    assert high - low > 0.3  # four attempts are not many
    steady = _estimate(Row("a", 528, 4))
    assert steady.mean > 0.95
    assert steady.basis == "from 532 attempts"


def test_what_failed_in_this_very_run_counts_at_once() -> None:
    latest = _recent(*[(1.0, 0.0, True)] * 3)
    before = Belief([Row("a", 3, 0, latest=latest)])
    tried = Tried("data_analysis", "answer_questions", "a", "", "", 0, 1, 1.0, 0.0)
    after = before.plus([tried])
    key = ("data_analysis", "answer_questions", "a")
    assert after.estimate(*key).mean < before.estimate(*key).mean
    assert after.estimate(*key).n == 4


def test_a_failure_rate_forgets_agents_that_changed() -> None:
    latest = _recent(*[(1.0, 0.0, False)] * 20, *[(1.0, 0.0, True)] * 12)
    recovered = Belief([Row("a", 12, 220, latest=latest)])
    assert recovered.failure_rate("data_analysis")[0] < 0.25
    assert recovered.failure_rate("data_analysis")[1] == 232
