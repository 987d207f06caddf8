"""The rule language: what holds, who wins, and what is refused when it is read."""

from __future__ import annotations

import re
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


def test_the_rules_of_the_documentation_are_sound() -> None:
    page = (Path(__file__).parents[2] / "docs" / "routing.md").read_text(encoding="utf-8")
    examples = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    books = [RuleBook.parse(example, "routing.md") for example in examples]
    assert [len(book) for book in books] == [1, 0]
    assert books[1].team.separations


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
        ("{description_matches: count*}", True),
        ("{description_matches: count}", False),
        ("{agent_healthy: a}", True),
        ("{agent_healthy: b}", False),
        ("{load: {a: {over: 1}}}", True),
        ("{load: {a: {over: 2}}}", False),
        ("{load: {a: {over: 1, under: 3}, ghost: {under: 1}}}", True),
        ("{given: [dataset, source]}", True),
        ("{given: source}", False),
        ("{inputs: {dataset: {}}}", True),
        ("{inputs: {source: {}}}", False),
        ("{inputs: {dataset: {suffix: [.CSV, .tsv]}}}", True),
        ("{inputs: {dataset: {suffix: .json}}}", False),
        ("{inputs: {dataset: {over_bytes: 9, under_bytes: 11}}}", True),
        ("{inputs: {dataset: {over_bytes: 10}}}", False),
        ("{inputs: {dataset: {under_bytes: 10}}}", False),
        ("{inputs: {rows: {equals: [1, 2]}}}", True),
        ("{inputs: {rows: {equals: [true, '1']}}}", False),
        ("{inputs: {rows: {suffix: '1'}}}", False),
        ("{inputs: {rows: {under_bytes: 99}}}", False),  # it is no file
        ("{inputs: {outside: {over_bytes: 0}}}", False),  # nothing is looked up out there
        ("{inputs: {listed: {equals: x}}}", False),
    ],
)
def test_conditions(tmp_path: Path, when: str, holds: bool) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "Data.CSV").write_bytes(b"0123456789")
    (tmp_path / "secret").write_bytes(b"0123456789")
    book = _book(f"{{name: r, when: {when}, then: {{prefer: a}}, because: x}}")
    facts = Facts(
        # 'class', 'plan' and 'data' stand only inside other words.
        "Reclassify the metadata of my airplane; flight  charts of class.csv too",
        "acme",
        unhealthy=frozenset({"b"}),
        healthy=frozenset({"a"}),
        load={"a": 2},
        given={"dataset": "Data.CSV", "rows": 1, "outside": "../secret", "listed": ["x"]},
        workspace=workspace,
    )
    effects = book.effects(replace(TASK, description="counting rows"), facts)
    assert sorted(effects.on(A)) == (["prefer"] if holds else [])


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
        (["{name: r, then: {prefer: a}}"], r"r\.yaml, line 2, rule 'r': because: is missing"),
        (["{name: r, then: {}, because: x}"], "then: does nothing; allowed: assign, prefer"),
        (["{name: r, then: {asign: a}, because: x}"], r"then\.asign: is unknown; allowed: assign"),
        (["{name: r, when: {tpye: x}, then: {prefer: a}, because: x}"], "allowed: task_type"),
        (["{name: r, prio: 1, then: {prefer: a}, because: x}"], "prio: is unknown; allowed: name"),
        (
            ["{name: r, when: {task_typ: x}, then: {prefer: a}, because: x}"],
            r"rule 'r': when\.task_typ: is unknown; allowed: .*; did you mean 'task_type'\?",
        ),
        (
            ["{name: r, when: {inputs: {f: {sufix: x}}}, then: {prefer: a}, because: x}"],
            r"when\.inputs\.f\.sufix: is unknown; allowed: suffix, .*mean 'suffix'",
        ),
        (["{name: r, when: {load: {a: {}}}, then: {prefer: a}, because: x}"], "allowed: over"),
        (["{name: r, when: {load: {a: {over: -1}}}, then: {prefer: a}, because: x}"], "over"),
        (["{name: r, when: {inputs: {f: {equals: .nan}}}, then: {prefer: a}, because: x}"], "equa"),
        (["{name: r, when: {request_matches: '*'}, then: {prefer: a}, because: x}"], "a letter"),
        (["{name: r, then: {prefer: {capabilty: a}}, because: x}"], "prefer: must be an agent's"),
        (
            ["{name: r, then: {prefer: a, require: b}, because: x}"],
            "require b contradicts prefer a",
        ),
        (["{name: r, priority: high, then: {prefer: a}, because: x}"], "priority"),
        (["{name: r, priority: .nan, then: {prefer: a}, because: x}"], "priority"),
        (
            ["{name: r, when: {tenant: no}, then: {prefer: a}, because: x}"],
            "text: put it in quotes",
        ),
        (["{name: r, when: {tenant: 123}, then: {prefer: a}, because: x}"], "put it in quotes"),
        (["{name: 2020-12-25, then: {prefer: a}, because: x}"], "name: must be text: put it in"),
        (
            ["{name: r, when: {tenant: 2020-12-25}, then: {prefer: a}, because: x}"],
            r"when\.tenant\.?0?: must be text: put it in quotes .found 2020-12-25",
        ),
        (
            ["{name: r, when: {tenant: 2020-13-45}, then: {prefer: a}, because: x}"],
            "line 2: month must be .*; put it in quotes where text is meant",
        ),
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


def test_the_line_is_that_of_the_wrong_key() -> None:
    text = (
        "rules:\n"
        "  - name: r\n"
        "    because: x\n"
        "    when:\n"
        "      tenant: acme\n"
        "      produces:\n"
        "        - d\n"
        "        - 7\n"
        "    then:\n"
        "      forbid: a\n"
        "      assign: {agent: b}\n"
    )
    with pytest.raises(ConfigError, match=r"r\.yaml, line 8, rule 'r': when\.produces\.1: "):
        RuleBook.parse(text, "r.yaml")
    with pytest.raises(ConfigError, match=r"r\.yaml, line 11, rule 'r': then\.assign: must be an"):
        RuleBook.parse(text.replace("- 7", "- e"), "r.yaml")
    with pytest.raises(ConfigError, match=r"r\.yaml, line 2, rule 'r': because: is missing"):
        RuleBook.parse("rules:\n  - name: r\n    then: {forbid: a}\n", "r.yaml")


_BOMB = "rules: &a0 [x]\n" + "".join(
    f"k{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rules: [", "line 1"),
        ("rules: 3", "line 1: rules: "),
        ("- x", "must hold the keys rules, separate, persons"),
        ("", "must hold the keys"),
        ("{}", "rules: is missing"),
        ("rules: []\nmore: 1", "line 2: more: is unknown; allowed: rules"),
        ("a: 1", "line 1: a: is unknown; allowed: rules, separate, persons"),
        ("rules: []\nrules: []", r"line 2: the key 'rules' is given twice, first in line 1"),
        ("rules: []\n? [x]\n: y", "line 2: a key must be text"),
        ("rules: []\n3: y", "line 2: the key 3 must be text"),
        ("rules: !!python/object:os.system [x]", "line 1: the tag .* is not allowed"),
        ("rules: []\nn: !!int", "line 2: the tag .*int' is not allowed"),
        ("rules: []\nn: !!timestamp x", "line 2: the tag .*timestamp' is not allowed"),
        ("rules: []\nbase: &b {x: 1}\nmine: {<<: *b}", "merge"),
        ("rules: []\n---\nrules: []", "line 2"),
        ("rules: &r [*r]", "nested deeper than 32"),
        ("rules: " + "[" * 5000, "nested too deeply"),
        (_BOMB, "more than 50000 values"),
        ("rules: []\nd: 2024-99-99", "line 2"),
        ("rules: [\0]", "not valid YAML"),
        ("#" * 300_000, "larger than 256 KiB"),
    ],
)
def test_a_file_that_is_no_list_of_rules_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=r"r\.yaml") as caught:
        RuleBook.parse(text, "r.yaml")
    assert re.search(message, str(caught.value)), caught.value


def test_a_file_of_other_bytes_or_of_great_size_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENESIS_CONFIG_DIR", str(tmp_path))
    file = tmp_path / "routing_rules.yaml"
    file.write_bytes("rules: []\n# caf\u00e9\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"line 2: is not UTF-8 text: byte 0xe9"):
        RuleBook.load()
    file.write_bytes(b"#" * 300_000)
    with pytest.raises(ConfigError, match="larger than 256 KiB"):
        RuleBook.load()
    file.write_bytes("\ufeffrules: []\n".encode())
    assert len(RuleBook.load()) == 0


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
