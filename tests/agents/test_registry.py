from __future__ import annotations

import math
import types
from typing import Any, cast

import pytest

from genesis.agents.assignment import Assignment
from genesis.agents.registry import AgentRegistry
from genesis.errors import AgentUnavailable, InputError
from genesis.tasks.checks import Check, Submission
from genesis.tasks.task import TaskOutput, Verdict
from genesis.testing import FakeAgent, FakeClock
from infrastructure.a2a.agent import AgentCard, Skill
from infrastructure.resilience.breaker import BreakerPolicy, Breakers


async def answer(assignment: Assignment) -> str:
    """Answers questions.

    More about it.
    """
    return "42"


async def agrees(submission: Submission) -> Verdict:
    return Verdict(True, "agrees", "it does")


async def disagrees(submission: Submission) -> Verdict:
    return Verdict(False, "disagrees", "it does not")


def test_a_function_becomes_an_agent_named_and_described_by_itself() -> None:
    registry = AgentRegistry()
    registry.register(answer, skills=["ask", Skill("guess", "Guesses.")])
    (card,) = registry.cards
    assert (card.name, card.description) == ("answer", "Answers questions.")
    assert [(s.id, s.description) for s in card.skills] == [
        ("ask", "Answers questions."),
        ("guess", "Guesses."),
    ]
    assert registry.get("answer").card is card
    assert "answer" in registry


def test_the_decorator_registers_and_returns_the_function() -> None:
    registry = AgentRegistry()

    @registry.agent(name="oracle", skills=["ask"], max_concurrency=2)
    def ask(assignment: Assignment) -> dict[str, Any]:
        return {"answer": 42}

    assert callable(ask)
    assert registry.cards[0].max_concurrency == 2


def test_names_are_unique_and_unknown_ones_name_the_known() -> None:
    registry = AgentRegistry()
    registry.register(FakeAgent("a"))
    with pytest.raises(InputError, match="'a' is already registered"):
        registry.register(FakeAgent("a"))
    with pytest.raises(AgentUnavailable, match="'b'; registered: a"):
        registry.get("b")


def test_a_module_brings_its_card_and_checks() -> None:
    module = types.ModuleType("my_agent")
    skill = Skill("ask", "Asks.", produces=("answer",))
    module.__dict__.update(
        CARD=AgentCard("asker", "Asks.", (skill,)),
        run=answer,
        CHECKS={"agrees": agrees},
        CHECKS_OF_DATA={"answer": "agrees"},
    )
    registry = AgentRegistry()
    registry.register(module)
    assert registry.checks["agrees"] is agrees
    assert registry.checks_of_data == {"answer": "agrees"}
    with pytest.raises(InputError, match="is no agent"):
        registry.register(types.ModuleType("empty"))


def test_a_check_guards_the_datum_of_its_name() -> None:
    registry = AgentRegistry()
    skill = Skill("ask", "Asks.", produces=("answer",))
    checks: dict[str, Check] = {"answer": agrees, "other": disagrees}
    registry.register(answer, skills=[skill], checks=checks)
    assert registry.checks_of_data == {"answer": "answer"}


def test_no_agent_can_replace_the_check_of_another() -> None:
    registry = AgentRegistry()
    skill = Skill("ask", "Asks.", produces=("answer",))
    registry.register(answer, skills=[skill], checks={"answer": disagrees})
    with pytest.raises(InputError, match="another acceptance check"):
        registry.register(answer, name="b", skills=[skill], checks={"answer": agrees})
    with pytest.raises(InputError, match="already guarded"):
        registry.register(
            answer,
            name="b",
            skills=[skill],
            checks={"easy": agrees},
            checks_of_data={"answer": "easy"},
        )
    with pytest.raises(InputError, match="no check"):
        registry.register(answer, name="b", skills=[skill], checks_of_data={"x": "missing"})
    assert [card.name for card in registry.cards] == ["answer"]
    assert registry.checks["answer"] is disagrees


@pytest.mark.parametrize(
    ("described", "reason"),
    [
        ({"skills": []}, "has no skills"),
        ({"skills": ["a", "a"]}, "used twice"),
        ({"skills": [""]}, "is empty"),
        ({"skills": ["a"], "name": "x" * 81}, "printable characters"),
        ({"skills": ["a"], "name": "a\nb"}, "printable characters"),
        ({"skills": ["a" * 101]}, "1 to 100 printable characters"),
        ({"skills": [Skill("a", "A.", ("t" * 101,))]}, "1 to 100 printable characters"),
        ({"skills": ["a"], "max_concurrency": 0}, "max_concurrency"),
        ({"skills": [Skill("a", "d", cost_usd=-1)]}, "cost_usd"),
        ({"skills": [Skill("a", "d", seconds=0)]}, "seconds"),
        ({"skills": [Skill("a", "d", cost_usd=math.nan)]}, "cost_usd"),
        ({"skills": [Skill("a", "d", cost_usd=cast("Any", "1"))]}, "cost_usd"),
        ({"skills": [Skill("a", "d", seconds=cast("Any", None))]}, "seconds"),
        ({"skills": [3]}, "a skill is a Skill or its id, not 3"),
        ({"skills": "answer"}, r"skills must be a list, not 'answer'"),
        ({"skills": [Skill(cast("Any", 3), "d")]}, "skill id 3"),
        ({"skills": [Skill("a\n", "d")]}, "skill id"),
        ({"skills": [Skill("a", "d", cast("Any", "code"))]}, "task_types must be a tuple of names"),
        ({"skills": [Skill("a", "d", (), cast("Any", "raw"))]}, "requires must be a tuple of name"),
        ({"skills": [Skill("a", "d", (), (), ("",))]}, "produces has the name ''"),
        ({"skills": [Skill("a", "d", (), (), ("x\x1b[31m",))]}, "produces has the name"),
        ({"skills": ["a"], "name": 3}, "printable characters, not 3"),
        ({"skills": ["a"], "max_concurrency": "4"}, "max_concurrency"),
        ({"skills": ["a"], "max_concurrency": math.nan}, "max_concurrency"),
        ({"skills": ["a"], "checks": {"a": 3}}, "check 'a' cannot be called"),
    ],
)
def test_what_cannot_be_an_agent_is_refused(described: dict[str, Any], reason: str) -> None:
    registry = AgentRegistry()
    with pytest.raises(InputError, match=reason):
        registry.register(answer, **described)
    assert registry.cards == ()


def test_other_things_are_no_agents() -> None:
    registry = AgentRegistry()
    nonsense: Any = 7
    with pytest.raises(InputError, match="a int is no agent"):
        registry.register(nonsense, name="seven", skills=["count"])
    with pytest.raises(InputError, match="use http"):
        registry.register("ftp://example.org/agent")


def test_health_follows_the_breaker() -> None:
    clock = FakeClock()
    breakers = Breakers(clock, BreakerPolicy(failures=1, cooldown_s=30))
    registry = AgentRegistry(breakers)
    registry.register(FakeAgent("a", TaskOutput("x")))
    assert registry.health("a").available
    assert not registry.health("nobody").available
    breakers.of("a").enter().failed()
    health = registry.health("a")
    assert not health.available
    assert "30 s" in health.reason
    clock.advance(30)
    assert registry.health("a").available
