"""The rule language: what holds, who wins, and what is refused when it is read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from route_samples import TASK, agent

from genesis.errors import ConfigError
from genesis.routing.rules import Facts, RuleBook
from infrastructure.a2a.agent import AgentCard, Skill

A, B = agent("a"), agent("b", skill="other")


def _book(*rules: str) -> RuleBook:
    return RuleBook.parse("rules:\n" + "".join(f"  - {rule}\n" for rule in rules), "r.yaml")


def _actions(book: RuleBook, facts: Facts | None = None) -> dict[str, list[str]]:
    effects = book.effects(TASK, facts or Facts("Count the rows"))
    return {card.name: sorted(effects.on(card)) for card in (A, B)}


def test_the_rules_that_ship_are_sound() -> None:
    book = RuleBook.load()
    assert len(book) > 0
    generalist = agent("generalist", skill="answer")
    assert "forbid" in book.effects(TASK, Facts()).on(generalist)


def test_no_rules_are_fine() -> None:
    assert len(RuleBook.parse("rules:\n", "r.yaml")) == 0


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ("{}", True),
        ("{task_type: data_analysis}", True),
        ("{task_type: [testing, data_analysis]}", True),
        ("{task_type: testing}", False),
        ("{operation: answer_questions, produces: data_answers, requires: dataset}", True),
        ("{produces: data_report}", False),
        ("{tenant: acme}", True),
        ("{tenant: other}", False),
        ("{agent_unhealthy: b}", True),
        ("{agent_unhealthy: a}", False),
        ("{request_matches: [class, flight chart*]}", True),
        ("{request_matches: [class, plan, data]}", False),
    ],
)
def test_conditions(when: str, holds: bool) -> None:
    book = _book(f"{{name: r, when: {when}, then: {{prefer: a}}, because: x}}")
    # 'class', 'plan' and 'data' stand only inside other words.
    request = "Reclassify the metadata of my airplane; flight  charts of class.csv too"
    facts = Facts(request, "acme", frozenset({"b"}))
    assert _actions(book, facts)["a"] == (["prefer"] if holds else [])


def test_a_capability_means_every_agent_that_offers_it() -> None:
    book = _book("{name: r, then: {require: {capability: other}}, because: x}")
    assert _actions(book) == {"a": ["forbid"], "b": ["require"]}


def test_of_rules_that_disagree_the_higher_priority_counts() -> None:
    low = "{name: low, priority: 1, when: {produces: data_answers}, then: {forbid: a}, because: x}"
    high = "{name: high, priority: 2, when: {requires: dataset}, then: {assign: a}, because: x}"
    assert _actions(_book(low, high))["a"] == ["assign"]
    assert _actions(_book(low.replace("1", "3"), high))["a"] == ["forbid"]


def test_an_effect_explains_itself() -> None:
    book = _book("{name: careful, then: {forbid: a}, because: it guesses}")
    assert book.effects(TASK, Facts()).on(A)["forbid"].why == "rule 'careful': it guesses"


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (["{name: r, then: {prefer: a}}"], r"r\.yaml, line 2, rule 'r': because: Field required"),
        (["{name: r, then: {}, because: x}"], "then: does nothing; allowed: assign, prefer"),
        (["{name: r, then: {asign: a}, because: x}"], r"then\.asign: is unknown; allowed: assign"),
        (["{name: r, when: {tpye: x}, then: {prefer: a}, because: x}"], "allowed: task_type"),
        (["{name: r, prio: 1, then: {prefer: a}, because: x}"], "prio: is unknown; allowed: name"),
        (["{name: r, priority: high, then: {prefer: a}, because: x}"], "priority"),
        (["{name: r, priority: .nan, then: {prefer: a}, because: x}"], "priority"),
        (["{name: r, when: {task_type: []}, then: {prefer: a}, because: x}"], "task_type"),
        (["{name: r, then: {prefer: 3}, because: x}"], "then"),
        (["{name: r, then: {prefer: a}, because: x}"] * 2, "line 3, rule 'r': name: .*line 2"),
        (["just text"], r"line 2, rule '\(no name\)'"),
        (["{name: r, then: {assign: a, forbid: a}, because: x}"], "forbid a contradicts assign a"),
        (
            [
                "{name: p, then: {assign: a}, because: x}",
                "{name: q, when: {tenant: t}, then: {forbid: a}, because: x}",
            ],
            r"line 3, rule 'q': then\.forbid: forbid a contradicts assign a of rule 'p' .line 2.",
        ),
        (
            [
                "{name: p, then: {assign: a}, because: x}",
                "{name: q, then: {assign: b}, because: x}",
            ],
            "assign b contradicts assign a",
        ),
    ],
)
def test_a_wrong_rule_names_file_line_rule_key_and_remedy(rules: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _book(*rules)


def test_rules_that_can_never_meet_do_not_contradict() -> None:
    book = _book(
        "{name: p, when: {task_type: testing}, then: {assign: a}, because: x}",
        "{name: q, when: {task_type: data_analysis}, then: {forbid: a}, because: x}",
    )
    assert _actions(book)["a"] == ["forbid"]
    effects = book.effects(replace(TASK, task_type="testing"), Facts())
    assert set(effects.on(A)) == {"assign"}


@pytest.mark.parametrize("text", ["rules: [", "rules: 3", "- x", "", "rules: []\nmore: 1", "a: 1"])
def test_a_file_that_is_no_list_of_rules_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"r\.yaml"):
        RuleBook.parse(text, "r.yaml")


def test_the_folder_of_the_environment_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "routing_rules.yaml"
    file.write_text("rules:\n  - {name: r, then: {prefer: a}}\n", encoding="utf-8")
    monkeypatch.setenv("GENESIS_CONFIG_DIR", str(tmp_path))
    with pytest.raises(ConfigError, match=rf"{file}, line 2"):
        RuleBook.load()


def test_a_rule_that_sends_tasks_to_nobody_is_refused_once_the_agents_are_known() -> None:
    text = (
        "rules:\n"
        "  - {name: away, then: {forbid: ghost}, because: it is not here}\n"
        "  - {name: mine, then: {assign: nobody}, because: I like it}\n"
    )
    book = RuleBook.parse(text, "rules.yaml")
    card = AgentCard("somebody", "", (Skill("help", ""),))
    with pytest.raises(ConfigError, match=r"line 3, rule 'mine'.*nobody; registered: somebody"):
        book.require_known([card])
    book = RuleBook.parse(text.replace("nobody", "somebody"), "rules.yaml")
    book.require_known([card])
