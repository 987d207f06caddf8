"""What records at some task types say about another, and what is assumed without any."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from route_samples import Row

from genesis.errors import ConfigError
from genesis.routing.belief import Belief
from genesis.routing.priors import PRIORS_FILE, RoutingPriors, configured_priors
from genesis.routing.transfer import Counted, Guess, apart, difference, pooled

HOPE = Guess(0.8, 2.0)
KINDS = ("testing", "debugging", "documentation", "deployment")


def _mean(belief: Belief, agent: str, task_type: str) -> float:
    return belief.estimate(task_type, f"do_{task_type}", agent).mean


def _row(agent: str, task_type: str, successes: int, failures: int) -> Row:
    return Row(agent, successes, failures, task_type=task_type, operation=f"do_{task_type}")


def test_a_new_task_type_starts_from_the_record_at_others() -> None:
    belief = Belief([_row("good", "debugging", 30, 1), _row("bad", "debugging", 1, 30)])
    good, bad = (_mean(belief, agent, "testing") for agent in ("good", "bad"))
    assert bad < 0.5 < 0.8 < good
    assert belief.estimate("testing", "do_testing", "good").basis == "from its record at debugging"


def test_types_that_are_declared_alike_say_more() -> None:
    belief = Belief([_row("a", "debugging", 0, 30)])
    assert _mean(belief, "a", "testing") < _mean(belief, "a", "deployment") < 0.8


def _two_types(*, alike: bool) -> Belief:
    """Ten agents with long records at both types; an eleventh that did one of them alone."""
    rows = [_row("new", "deployment", 1, 40)]
    for number in range(10):
        good = number % 2 == 0
        rates = {"deployment": good, "documentation": good == alike}
        rows += [
            _row(f"a{number}", kind, 38 if well else 2, 2 if well else 38)
            for kind, well in rates.items()
        ]
    return Belief(rows)


def test_types_at_which_agents_do_alike_are_pooled_and_others_are_not() -> None:
    alike = _mean(_two_types(alike=True), "new", "documentation")
    opposed = _mean(_two_types(alike=False), "new", "documentation")
    assert alike < 0.3
    assert opposed > 0.6


def test_its_own_attempts_count_for_more_where_types_disagree() -> None:
    def moved(*, alike: bool) -> float:
        belief = _two_types(alike=alike)
        after = belief.plus([_row("new", "documentation", 0, 2)])
        before = belief.estimate("documentation", "do_documentation", "new")
        return _mean(after, "new", "documentation") / before.mean

    assert moved(alike=False) < moved(alike=True) < 1


def test_nothing_known_is_said_to_be_assumed() -> None:
    estimate = Belief().estimate("testing", "do_testing", "a")
    assert estimate.basis == "assumed from config"
    assert estimate.mean == pytest.approx(RoutingPriors().success.mean)


def test_noise_is_not_taken_for_difference() -> None:
    said = [apart(Counted(1, 2), Counted(2, 2), 0.05) for _ in range(50)]
    assert difference(said, 0.05, 2.0) < 0.05
    said = [apart(Counted(10, 100), Counted(90, 100), 0.05) for _ in range(50)]
    assert difference(said, 0.05, 2.0) == pytest.approx(0.64, abs=0.05)


def _counted(n: float, share: float) -> Counted:
    return Counted(n * share, n)


# What is left of an attempt after a change may be next to nothing, but is not less than a float
# can divide.
counts = st.builds(_counted, st.just(0.0) | st.floats(1e-200, 1000), st.floats(0, 1))


@given(st.dictionaries(st.sampled_from(KINDS), counts), st.floats(0.003, 1))
def test_pooling_stays_among_what_it_pools(records: dict[str, Counted], gap: float) -> None:
    gaps: dict[str, float] = dict.fromkeys(KINDS, gap)
    found = pooled(records, "testing", Counted(), gaps, 0.08, HOPE)
    told = {name: one for name, one in records.items() if name != "testing" and one.n > 0}
    rates = [one.successes / one.n for one in told.values()] + [HOPE.mean]
    assert min(rates) - 1e-9 <= found.mean <= max(rates) + 1e-9
    assert 0 < found.weight <= HOPE.weight + sum(one.n for one in told.values())
    assert (found.leaning in told) if told else (found.leaning == "")


def test_the_configuration_says_what_is_assumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENESIS_CONFIG_DIR", str(tmp_path))
    (tmp_path / PRIORS_FILE).write_text("success: {mean: 0.4, weight: 9}\n", encoding="utf-8")
    assert Belief().estimate("testing", "x", "a").mean == pytest.approx(0.4)
    assert configured_priors().changes == RoutingPriors().changes


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("success: {mean: 1.2}", "success.mean"),
        ("success: {median: 0.5}", "allowed: mean, weight"),
        ("changes: {kind: .nan}", "changes.kind"),
        ("transfer: {groups: testing}", "transfer.groups"),
        ("transfer: {alike: yes}", "transfer.alike"),
        ("success: {weight: '2'}", "success.weight"),
        ("hope: 1", "allowed: success, changes, transfer"),
        ("[]", "must hold the keys"),
    ],
)
def test_a_wrong_configuration_is_refused(
    text: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / PRIORS_FILE).write_text(text, encoding="utf-8")
    monkeypatch.setenv("GENESIS_CONFIG_DIR", str(tmp_path))
    with pytest.raises(ConfigError, match=told):
        configured_priors()


def test_what_is_shipped_is_what_is_assumed_without_a_file() -> None:
    shipped, built_in = configured_priors(), RoutingPriors()
    assert (shipped.success, shipped.changes) == (built_in.success, built_in.changes)
    assert shipped.transfer.model_copy(update={"groups": []}) == built_in.transfer
