"""What the check of the registry finds, one thing wrong at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from genesis import GenesisOrchestrator
from genesis.agents.assignment import Assignment
from genesis.agents.builtin import register_builtin
from genesis.agents.check import RegistryReport, check_agents, check_registry
from genesis.agents.findings import RegistryFinding
from genesis.agents.registry import AgentRegistry
from genesis.planning.template import TemplateBook
from genesis.routing.rules import RuleBook
from genesis.tasks.checks import check_produced
from genesis.testing import FakeAgent
from infrastructure.a2a.agent import Skill
from infrastructure.config import ConfigFile, Settings
from infrastructure.jsonvalue import JsonObject, JsonValue
from infrastructure.models.chat import ChatModels

MAKE = Skill("make_it", "", ("general",), ("topic",), ("thing",))
JUDGE = Skill("judge_it", "", ("general",), ("thing",), ("verdict",))
TASKS: list[JsonObject] = [
    {
        "id": "make",
        "description": "Make it.",
        "operation": "make_it",
        "task_type": "general",
        "requires": ["topic"],
        "produces": ["thing"],
    },
    {
        "id": "judge",
        "description": "Judge it.",
        "operation": "judge_it",
        "task_type": "general",
        "requires": ["thing"],
        "produces": ["verdict"],
    },
]


def _book(tasks: Sequence[JsonObject] | None = None) -> TemplateBook:
    plan: JsonValue = {"name": "make and judge", "tasks": [*(tasks or TASKS)]}
    return TemplateBook.load(
        ConfigFile("t.yaml", {"given": {"topic": "a topic"}, "templates": [plan]})
    )


def _checked(
    agents: dict[str, Sequence[Skill]],
    rules: str = "rules: []",
    *,
    checked: Sequence[str] = ("thing", "verdict"),
    has_model: bool = True,
    tasks: Sequence[JsonObject] | None = None,
) -> RegistryReport:
    registry = AgentRegistry()
    for number, (name, skills) in enumerate(agents.items()):
        checks = dict.fromkeys(checked, check_produced) if number == 0 else {}
        registry.register(
            FakeAgent(name, skills=skills),
            checks=checks,
            checks_of_data={datum: datum for datum in checks},
        )
    book = RuleBook.parse(rules, "r.yaml")
    return check_registry(registry, book, _book(tasks), has_model=has_model)


BOTH: dict[str, Sequence[Skill]] = {"maker": [MAKE], "judge": [JUDGE]}


def _only(report: RegistryReport) -> RegistryFinding:
    (finding,) = report.findings
    assert report.sound == (finding.severity == "warning")
    assert finding.remedy
    return finding


def _rule(text: str) -> str:
    return f"rules:\n  - {{name: r, {text}, because: x}}"


def test_what_fits_together_is_sound() -> None:
    report = _checked(BOTH)
    assert report.sound
    assert report.findings == ()
    assert report.agents == ("maker", "judge")


def test_what_ships_is_sound_with_a_model_and_without() -> None:
    registry = AgentRegistry()
    register_builtin(registry, ChatModels([]))
    book = TemplateBook.load(cards=lambda: registry.cards)
    assert check_registry(registry, RuleBook.load(), book, has_model=True).findings == ()
    report = check_registry(registry, RuleBook.load(), book, has_model=False)
    assert report.sound
    assert {f.remedy for f in report.findings} == {"set GENESIS_MODEL=provider:name"}


def test_an_operation_that_nobody_can_do() -> None:
    finding = _only(_checked({"maker": [MAKE]}))
    assert (finding.severity, finding.kind, finding.subject) == ("error", "operation", "judge_it")
    assert "'make and judge'" in finding.message
    assert "maker: " in finding.message


def test_an_operation_that_only_lacks_a_model() -> None:
    asks = Skill("judge_it", "", ("general",), ("thing",), ("verdict",), needs_model=True)
    finding = _only(_checked({"maker": [MAKE], "judge": [asks]}, has_model=False))
    assert (finding.severity, finding.subject) == ("warning", "judge_it")
    assert "GENESIS_MODEL" in finding.remedy


def test_an_acceptance_check_that_is_not_registered() -> None:
    strict: JsonObject = {**TASKS[1], "acceptance": [{"check": "proof"}]}
    finding = _only(_checked(BOTH, tasks=[TASKS[0], strict]))
    assert (finding.severity, finding.kind, finding.subject) == ("error", "check", "proof")


def test_a_datum_without_a_check_is_named_as_unverified() -> None:
    finding = _only(_checked(BOTH, checked=["thing"]))
    assert (finding.severity, finding.kind, finding.subject) == ("warning", "check", "verdict")


def test_skills_of_one_name_that_differ() -> None:
    other = Skill("make_it", "", ("general",), ("topic",), ("thing", "verdict"))
    finding = _only(_checked({**BOTH, "other": [other]}))
    assert (finding.severity, finding.kind, finding.subject) == ("warning", "skill", "make_it")
    elsewhere = Skill("make_it", "", ("testing",), ("topic",), ("thing", "verdict"))
    assert _checked({**BOTH, "other": [elsewhere]}).findings == ()


def test_a_skill_whose_data_nobody_gives_or_makes() -> None:
    hungry = Skill("taste_it", "", ("general",), ("spoon",), ("verdict",))
    finding = _only(_checked({**BOTH, "other": [hungry]}))
    assert (finding.severity, finding.kind, finding.subject) == (
        "warning",
        "skill",
        "other.taste_it",
    )
    assert "'spoon'" in finding.message


@pytest.mark.parametrize(
    ("rules", "severity", "message"),
    [
        (_rule("then: {assign: ghost}"), "error", "line 2: no agent is registered that is ghost"),
        (_rule("then: {require: {capability: sing}}"), "error", "agents with 'sing'"),
        (_rule("then: {forbid: ghost}"), "warning", "no agent is registered that is ghost"),
        (
            _rule("when: {agent_unhealthy: ghost}, then: {prefer: maker}"),
            "error",
            "it can never hold: no agent is registered as ghost",
        ),
        (_rule("when: {load: {ghost: {over: 1}}}, then: {prefer: maker}"), "error", "as ghost"),
        (
            _rule("when: {operation: judge_it}, then: {prefer: maker}"),
            "warning",
            "maker can do none of the declared tasks that it is about (judge_it)",
        ),
        (
            _rule("when: {tenant: acme}, then: {forbid: {capability: make_it}}")
            + "\n  - {name: s, when: {tenant: acme}, then: {prefer: maker}, because: x}",
            "warning",
            "line 3: prefer maker disagrees with forbid agents with 'make_it' of rule 'r' (line 2)",
        ),
        (
            _rule("when: {operation: make_itt}, then: {prefer: maker}"),
            "warning",
            "knows the name 'make_itt' under operation; did you mean 'make_it'?",
        ),
        (
            _rule("when: {given: topik}, then: {prefer: maker}"),
            "warning",
            "knows the name 'topik' under given; did you mean 'topic'?",
        ),
        (
            _rule("when: {inputs: {spoon: {suffix: .csv}}}, then: {prefer: maker}"),
            "warning",
            "knows the name 'spoon' under inputs",
        ),
    ],
)
def test_rules_that_do_not_fit(rules: str, severity: str, message: str) -> None:
    finding = _only(_checked(BOTH, rules))
    assert (finding.severity, finding.kind) == (severity, "rule")
    assert message in finding.message


def test_a_task_that_rules_keep_from_everybody() -> None:
    rules = _rule("when: {operation: make_it}, then: {forbid: maker}")
    finding = _only(_checked(BOTH, rules))
    assert (finding.severity, finding.subject) == ("error", "make_it")
    assert "the rules 'r' keep it from maker" in finding.message
    assert _checked({**BOTH, "other": [MAKE]}, rules).sound
    sometimes = _rule("when: {operation: make_it, tenant: acme}, then: {forbid: maker}")
    assert _checked(BOTH, sometimes).findings == ()


_SEPARATE = (
    "rules: []\nseparate: [{{name: four-eyes, between: [make_it, {other}], because: x}}]\n"
    "persons: {persons}"
)


def test_too_few_agents_for_tasks_that_different_ones_must_do() -> None:
    apart = _SEPARATE.format(other="judge_it", persons="{}")
    assert _checked(BOTH, apart).findings == ()
    finding = _only(_checked({"all": [MAKE, JUDGE]}, apart))
    assert (finding.severity, finding.kind, finding.subject) == ("error", "team", "four-eyes")
    assert "only 'all' can do either" in finding.message
    assert _checked({"all": [MAKE, JUDGE], "judge": [JUDGE]}, apart).sound
    one = _SEPARATE.format(other="judge_it", persons="{acme: [maker, judge]}")
    assert _only(_checked(BOTH, one)).severity == "error"
    twice = _SEPARATE.format(other="make_it", persons="{}")
    assert _only(_checked(BOTH, twice)).severity == "error"


def test_names_of_a_team_that_nobody_knows() -> None:
    unknown = _SEPARATE.format(other="sing", persons="{acme: [maker, ghost]}")
    findings = _checked(BOTH, unknown).findings
    assert [(f.severity, f.kind, f.subject) for f in findings] == [
        ("warning", "team", "ghost"),
        ("warning", "team", "four-eyes"),
    ]


async def test_an_agent_elsewhere_that_does_not_answer() -> None:
    registry = AgentRegistry()
    register_builtin(registry, ChatModels([]))
    registry.register("http://127.0.0.1:9/")
    book = TemplateBook.load(cards=lambda: registry.cards)
    report = await check_agents(registry, RuleBook.load(), book, has_model=True)
    finding = _only(report)
    assert (finding.severity, finding.kind, finding.subject) == (
        "error",
        "agent",
        "http://127.0.0.1:9/",
    )


async def test_an_orchestrator_checks_its_own(tmp_path: Path) -> None:
    async def sing(assignment: Assignment) -> str:
        return assignment.request

    settings = Settings(data_dir=tmp_path)
    async with GenesisOrchestrator(str(tmp_path / "m.db"), settings=settings) as genesis:
        genesis.register_agent(sing, skills=[Skill("sing", "Sings.", produces=("song",))])
        report = await genesis.check_agents()
    assert report.sound
    assert "sing" in report.agents
    assert [f.subject for f in report.findings if f.kind == "check"] == ["song"]
