"""What is proved of rules as a set is true: tried on random rules, tasks and moments."""

from __future__ import annotations

import random
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rule_samples import CARDS, rules, scene, workspace

from genesis.errors import ConfigError
from genesis.routing.conditions import (
    Facts,
    at_least_as_wide,
    contradiction,
    known,
    may_meet,
    of_now,
    words_of,
)
from genesis.routing.effects import Rule
from genesis.routing.rule_conflicts import contradict, problems, unreachable
from genesis.routing.rules import RuleBook
from genesis.tasks.task import Task

_SCENES = 60
_SEEDS = st.integers(0, 2**32)
_LAW = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def _holds(rule: Rule, task: Task, facts: Facts) -> bool:
    return rule.when.holds_now(of_now(facts), facts, words_of(facts)) and rule.when.holds_for(
        known(task), task.description
    )


def _scenes(seed: int, folder: Path) -> list[tuple[Task, Facts]]:
    rng = random.Random(seed)
    return [scene(rng, folder) for _ in range(_SCENES)]


@given(rules(), _SEEDS)
@_LAW
def test_a_rule_called_unreachable_never_changes_anything(
    tmp_path: Path, found: tuple[Rule, ...], seed: int
) -> None:
    folder = workspace(tmp_path)
    whole = RuleBook(found)
    for problem in [*unreachable(found), *(p for p in problems(found) if "never hold" in p.reason)]:
        without = RuleBook([rule for rule in found if rule is not problem.rule])
        for task, facts in _scenes(seed, folder):
            for card in CARDS:
                expected = whole.effects(task, facts).on(card)
                assert without.effects(task, facts).on(card) == expected, problem


@given(rules(), _SEEDS)
@_LAW
def test_what_is_proved_of_conditions_is_so(
    tmp_path: Path, found: tuple[Rule, ...], seed: int
) -> None:
    folder = workspace(tmp_path)
    for task, facts in _scenes(seed, folder):
        held = {rule.name for rule in found if _holds(rule, task, facts)}
        for rule in found:
            if contradiction(rule.when)[0]:
                assert rule.name not in held
        for one, other in combinations(found, 2):
            both = {one.name, other.name} <= held
            assert may_meet(one.when, other.when) or not both
            if at_least_as_wide(one.when, other.when) and other.name in held:
                assert one.name in held
            if at_least_as_wide(other.when, one.when) and one.name in held:
                assert other.name in held


@given(rules())
@_LAW
def test_conflicts_are_mutual(found: tuple[Rule, ...]) -> None:
    for one, other in combinations(found, 2):
        assert may_meet(one.when, other.when) == may_meet(other.when, one.when)
        for first in one.effects:
            for second in other.effects:
                assert contradict(first, second) == contradict(second, first)
    reason = "contradicts"
    forwards = {p.reason.count(reason) for p in problems(found)}
    backwards = {p.reason.count(reason) for p in problems(tuple(reversed(found)))}
    assert (1 in forwards) == (1 in backwards)


@given(rules(1))
@_LAW
def test_a_rule_is_as_wide_as_itself(found: tuple[Rule, ...]) -> None:
    assert at_least_as_wide(found[0].when, found[0].when)


def _refusal(*listed: str) -> str:
    with pytest.raises(ConfigError) as caught:
        RuleBook.parse("rules:\n" + "".join(f"  - {rule}\n" for rule in listed), "r.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("when", "key", "why"),
    [
        ("inputs: {f: {over_bytes: 10, under_bytes: 11}}", "when.inputs.f", "no size"),
        ("inputs: {f: {suffix: .csv, equals: [a.json]}}", "when.inputs.f", "ends so"),
        ("load: {a: {over: 2, under: 3}}", "when.load.a", "no load"),
        ("agent_healthy: a, agent_unhealthy: a", "when.agent_healthy", "unhealthy"),
    ],
)
def test_a_rule_whose_conditions_exclude_each_other_is_refused(
    when: str, key: str, why: str
) -> None:
    said = _refusal(f"{{name: r, when: {{{when}}}, then: {{prefer: a}}, because: x}}")
    assert f"line 2, rule 'r': {key}: the rule can never hold" in said
    assert why in said


@pytest.mark.parametrize(
    ("high", "low"),
    [
        ("then: {forbid: a}", "when: {tenant: t}, then: {assign: a}"),
        ("then: {require: b}", "when: {tenant: t}, then: {assign: a}"),
        ("then: {require: b}", "then: {require: a}"),
        ("then: {require: b}", "then: {forbid: a}"),
        ("then: {prefer: a}", "when: {task_type: x}, then: {prefer: a}"),
        ("then: {assign: a}", "then: {forbid: a}"),
        ("when: {tenant: [t, u]}, then: {forbid: a}", "when: {tenant: t}, then: {prefer: a}"),
        (
            "when: {inputs: {f: {over_bytes: 5}}}, then: {forbid: a}",
            "when: {inputs: {f: {over_bytes: 9, suffix: .csv}}}, then: {prefer: a}",
        ),
        ("when: {given: [f, g]}, then: {forbid: a}", "when: {inputs: {f: {}}}, then: {prefer: a}"),
        (
            "when: {load: {a: {over: 1}}}, then: {forbid: a}",
            "when: {load: {a: {over: 3, under: 9}}}, then: {prefer: a}",
        ),
        (
            "when: {request_matches: [chart, plot]}, then: {forbid: a}",
            "when: {request_matches: Plot}, then: {prefer: a}",
        ),
        ("then: {forbid: {capability: o}}", "then: {prefer: {capability: o}}"),
    ],
)
def test_a_rule_that_stronger_ones_settle_is_refused(high: str, low: str) -> None:
    said = _refusal(
        f"{{name: high, priority: 2, {high}, because: x}}",
        f"{{name: low, priority: 1, {low}, because: x}}",
    )
    assert "line 3, rule 'low': then." in said
    assert "can never change anything: rule 'high' (line 2)" in said


def test_a_rule_that_several_settle_together_is_refused() -> None:
    above = [
        f"{{name: {name}, priority: 2, when: {{{when}}}, then: {{forbid: a}}, because: x}}"
        for name, when in (("one", "tenant: t"), ("two", "tenant: [u, v], task_type: [x, y]"))
    ]
    low = "{{name: low, when: {{tenant: [t, u], task_type: {}}}, then: {{prefer: a}}, because: x}}"
    said = _refusal(*above, low.format("[y, x]"))
    assert "line 4, rule 'low': then.prefer: the rule can never change anything" in said
    assert "rule 'one' (line 2) and 'two' (line 3) come first" in said
    kept = [*above, low.format("[x, z]")]
    assert RuleBook.parse("rules:\n" + "".join(f"  - {rule}\n" for rule in kept), "r.yaml")


@pytest.mark.parametrize(
    ("high", "low"),
    [
        ("when: {tenant: t}, then: {forbid: a}", "then: {assign: a}"),
        ("then: {forbid: a}", "then: {assign: b}"),
        ("then: {forbid: a}", "then: {require: a}"),  # which forbids all others too
        ("then: {assign: a}", "then: {prefer: a}"),
        ("then: {forbid: a}", "then: {prefer: {capability: o}}"),
        ("when: {request_matches: chart}, then: {forbid: a}", "then: {prefer: a}"),
        (
            "when: {load: {a: {over: 3}}}, then: {forbid: a}",
            "when: {load: {a: {over: 1}}}, then: {prefer: a}",
        ),
        (
            "when: {request_matches: plot}, then: {forbid: a}",
            "when: {request_matches: [chart, plot]}, then: {prefer: a}",
        ),
    ],
)
def test_a_rule_that_may_still_act_is_kept(high: str, low: str) -> None:
    text = (
        f"rules:\n  - {{name: high, priority: 2, {high}, because: x}}\n"
        f"  - {{name: low, priority: 1, {low}, because: x}}\n"
    )
    assert len(RuleBook.parse(text, "r.yaml")) == 2


def test_a_rule_is_not_unreachable_where_a_third_one_shields_it() -> None:
    text = (
        "rules:\n"
        "  - {name: top, priority: 3, when: {tenant: t}, then: {assign: a}, because: x}\n"
        "  - {name: mid, priority: 2, then: {forbid: a}, because: x}\n"
        "  - {name: low, priority: 1, then: {prefer: a}, because: x}\n"
    )
    book = RuleBook.parse(text, "r.yaml")
    on_a = book.effects(Task("t", "", "x"), Facts(tenant="t")).on(CARDS[0])
    assert set(on_a) == {"assign", "prefer"}


_WORDS = """
rules: separate: persons: - { } [ ] , : name r when then because inputs load over equals &a *a !!int
? forbid assign capability priority .nan 1e999 0x 2001-99-99 ' " << | > # --- ... ~ = !
"""
_PIECES = st.sampled_from(
    [*_WORDS.split(), "\n", "  ", " ", "\t", "\x00", "\ud7ff", "\U0001f600", "%YAML 9"]
)


@given(st.one_of(st.text(max_size=60), st.lists(_PIECES, max_size=40).map("".join)))
@settings(max_examples=400, deadline=None)
def test_whatever_is_written_is_read_or_refused_with_its_file(text: str) -> None:
    said = "r.yaml"
    try:
        RuleBook.parse(text, "r.yaml")
    except ConfigError as error:
        said = str(error)
    assert said.startswith("r.yaml")
