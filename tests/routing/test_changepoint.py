"""Since when an agent is as it is."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesis.routing.changepoint import Hazards, Past, Present, Record
from infrastructure.memory.memori.latest_attempts import LatestAttempts

STILL = Hazards(kind=1e-9, agent=1e-9, idle=0.0)
ALONE = Hazards(kind=0.01, agent=1e-9, idle=0.0)
TOGETHER = Hazards(kind=1e-9, agent=0.01, idle=0.0)


def record(
    *successes: bool, earlier: tuple[int, int] = (0, 0), times: Sequence[float] = ()
) -> Record:
    """Attempts one second after another, unless their times are given."""
    times = tuple(times) or tuple(float(number) for number in range(len(successes)))
    nothing = (0.0,) * len(successes)
    passed = sum(successes)
    return Record(
        earlier[0] + passed,
        earlier[1] + len(successes) - passed,
        LatestAttempts(times, nothing, nothing, tuple(successes)),
    )


def present(one: Record, *others: Record, hazards: Hazards = ALONE) -> Present:
    return Past([one, *others], hazards).present(0, 1.0, 1.0)


def test_without_changes_it_is_the_posterior_of_all_outcomes() -> None:
    found = present(record(True, False, True, earlier=(7, 2)), hazards=STILL)
    assert found.mean == pytest.approx(10 / 14, abs=1e-4)
    assert found.variance == pytest.approx(10 * 4 / 14**2 / 15, abs=1e-4)
    assert found.since == pytest.approx(12, abs=1e-3)


def test_an_agent_that_turned_bad_is_no_longer_trusted_after_a_few_failures() -> None:
    long_good = (True,) * 28
    means = [present(record(*long_good, *(False,) * n, earlier=(200, 4))).mean for n in range(5)]
    assert means == sorted(means, reverse=True)
    assert means[0] > 0.95
    assert means[3] < 0.35
    assert 203 / 208 > 0.97  # what all outcomes together would still say


def test_a_good_agent_that_fails_now_and_then_has_not_changed() -> None:
    mixed = [number % 5 != 0 for number in range(32)]
    assert present(record(*mixed, earlier=(400, 100))).mean == pytest.approx(0.8, abs=0.06)


def test_an_agent_that_became_good_is_trusted_again() -> None:
    found = present(record(*(False,) * 20, *(True,) * 6, earlier=(0, 100)))
    assert found.mean > 0.8
    assert found.since == pytest.approx(6, abs=1.5)


def test_failures_at_several_kinds_of_task_add_up_to_a_change_of_the_agent() -> None:
    good = (True,) * 12
    untouched = record(*good)
    failing = [record(*good, False, times=(*range(12), 50.0 + n)) for n in range(4)]
    assert present(untouched, hazards=TOGETHER).mean > 0.9
    after = present(untouched, *failing, hazards=TOGETHER)
    assert after.mean < 0.65
    assert after.since < 3
    # Where each failure was followed by successes of the others, it says nothing of them.
    later = record(*good, times=[1000.0 + n for n in range(12)])
    assert present(later, *failing, hazards=TOGETHER).mean > 0.9


def test_what_was_seen_since_the_agent_changed_counts() -> None:
    bad = [record(*(True,) * 12, *(False,) * 3) for _ in range(3)]
    proved = record(*(True,) * 15, times=[5.0 + n for n in range(15)])
    assert present(proved, *bad, hazards=TOGETHER).mean > 0.85


def test_a_record_fades_while_others_are_asked() -> None:
    hazards = Hazards(kind=0.01, agent=0.01, idle=0.01)
    past = Past([record(*(False,) * 10)], hazards)
    asked = [float(number) for number in range(10)]
    means = [
        past.present(0, 1.6, 0.4, [*asked, *(100.0 + n for n in range(idle))]).mean
        for idle in (0, 30, 100, 1000)
    ]
    assert means == sorted(means)
    assert means[0] < 0.2
    assert means[-1] == pytest.approx(0.8, abs=0.02)


def test_after_a_long_pause_little_is_needed_to_believe_a_change() -> None:
    hazards = Hazards(kind=0.01, agent=0.01, idle=0.01)
    outcomes = (False,) * 10 + (True,) * 2

    def believed(pause: int) -> float:
        others = [10 + n / 1000 for n in range(pause)]
        own = [*map(float, range(10)), 11.0, 12.0]
        one = Past([record(*outcomes, times=own)], hazards)
        return one.present(0, 1.0, 1.0, sorted(own + others)).mean

    assert believed(200) > believed(0) + 0.1


def _exact(successes: Sequence[bool], hazard: float) -> float:
    """The mean over every place of one change, with a Beta(1, 1) on either side."""

    def evidence(part: Sequence[bool]) -> float:
        s, f = sum(part), len(part) - sum(part)
        return math.factorial(s) * math.factorial(f) / math.factorial(s + f + 1)

    n = len(successes)
    weights = [evidence(successes)] + [
        hazard * evidence(successes[:at]) * evidence(successes[at:]) for at in range(n)
    ]
    parts = [successes, *(successes[at:] for at in range(n))]
    means = [(1 + sum(part)) / (2 + len(part)) for part in parts]
    return sum(w * m for w, m in zip(weights, means, strict=True)) / sum(weights)


@pytest.mark.parametrize("successes", list(itertools.product([True, False], repeat=6)))
def test_it_is_the_exact_posterior_of_one_change(successes: tuple[bool, ...]) -> None:
    assert present(record(*successes)).mean == pytest.approx(_exact(successes, 0.01), abs=0.01)


@given(st.lists(st.booleans(), max_size=32), st.integers(0, 300), st.integers(0, 300))
def test_it_is_always_a_rate_of_some_of_the_outcomes(
    successes: list[bool], passed: int, failed: int
) -> None:
    one = record(*successes, earlier=(passed, failed))
    found = present(one, record(True, False, times=(3.0, 4.0)), hazards=Hazards(0.05, 0.05, 0.0))
    assert 0 < found.mean < 1
    assert 0 < found.variance < found.mean * (1 - found.mean)
    assert 0 <= found.since <= one.successes + one.failures + 1e-9


@pytest.mark.parametrize("kinds", [1, 20, 40, 80])
def test_many_kinds_that_fail_at_once_change_the_agent_however_much_they_say(kinds: int) -> None:
    failing = [
        record(*(True,) * 31, False, times=[*range(31), 100.0 + n], earlier=(968, 0))
        for n in range(kinds)
    ]
    hazards = Hazards(kind=0.01, agent=0.01, idle=0.002)
    means = [Past(failing, hazards).present(number, 1.0, 1.0).mean for number in range(kinds)]
    assert all(0 < mean < 1 for mean in means)
    if kinds > 1:
        assert max(means) < 0.5


def test_a_change_after_a_long_record_is_found_where_it_was() -> None:
    assert present(record(*(False,) * 30, earlier=(3000, 0))).since == pytest.approx(30, abs=1)


def test_a_record_of_long_ago_says_nothing() -> None:
    past = Past([record(*(False,) * 10)], Hazards(kind=0.01, agent=0.01, idle=0.5))
    asked = [float(number) for number in range(2000)]
    assert past.present(0, 1.6, 0.4, asked).mean == pytest.approx(0.8)


@given(
    st.lists(
        st.tuples(
            st.lists(st.booleans(), max_size=32), st.integers(0, 10**6), st.integers(0, 10**6)
        ),
        min_size=1,
        max_size=40,
    ),
    st.sampled_from([1e-9, 0.01, 0.5]),
)
@settings(max_examples=50, deadline=None)
def test_whatever_the_records_it_is_a_rate(
    drawn: list[tuple[list[bool], int, int]], hazard: float
) -> None:
    records = [record(*latest, earlier=(passed, failed)) for latest, passed, failed in drawn]
    past = Past(records, Hazards(hazard, hazard, hazard))
    for number, (one, effective) in enumerate(zip(records, past.effective, strict=True)):
        found = past.present(number, 1.6, 0.4, one.latest.times)
        assert 0 < found.mean < 1
        assert 0 < found.variance < found.mean * (1 - found.mean)
        counted = (one.successes, one.failures)
        assert all(-1e-6 <= e <= n * (1 + 1e-9) for e, n in zip(effective, counted, strict=True))


@given(st.lists(st.booleans(), min_size=1, max_size=32), st.integers(0, 500))
def test_attempts_of_one_moment_are_no_less_likely_to_differ(
    successes: list[bool], others: int
) -> None:
    # All attempts of a run are stored with the moment of its end.
    one = record(*successes, times=(5.0,) * len(successes))
    hazards = Hazards(kind=0.01, agent=0.01, idle=0.02)
    asked = [5.0] * (len(successes) + others)
    found = Past([one], hazards).present(0, 1.0, 1.0, asked)
    alone = Past([one], hazards).present(0, 1.0, 1.0)
    assert found.mean == pytest.approx(alone.mean)
    assert found.variance == pytest.approx(alone.variance)


@given(st.lists(st.booleans(), max_size=31), st.integers(0, 300), st.integers(0, 300))
def test_another_success_does_not_lower_it(successes: list[bool], passed: int, failed: int) -> None:
    before = present(record(*successes, earlier=(passed, failed)))
    after = present(record(*successes, True, earlier=(passed, failed)))
    assert after.mean > before.mean - 2e-3


@given(st.lists(st.booleans(), max_size=8), st.randoms())
def test_the_order_matters_only_through_changes(successes: list[bool], rng: random.Random) -> None:
    shuffled = rng.sample(successes, len(successes))
    steady = present(record(*shuffled), hazards=STILL).mean
    assert steady == pytest.approx(present(record(*successes), hazards=STILL).mean, abs=1e-4)


@given(st.floats(0.01, 0.99), st.floats(0.1, 100))
def test_without_a_record_it_is_what_was_expected(mean: float, weight: float) -> None:
    found = Past([record()], TOGETHER).present(0, mean * weight, (1 - mean) * weight)
    assert found.mean == pytest.approx(mean)
