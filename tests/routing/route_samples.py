"""Agents, records and tasks for the tests of routing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from genesis.routing.belief import Belief
from genesis.routing.candidates import route
from genesis.routing.choose import choose
from genesis.routing.difficulty import Difficulty
from genesis.routing.ladder import Ladder, Route
from genesis.routing.options import ModelOption
from genesis.routing.outlook import Outlook
from genesis.routing.prices import Prices
from genesis.routing.rules import RuleEffects
from genesis.tasks.task import Task
from infrastructure.a2a.agent import AgentCard, Skill
from infrastructure.memory.memori.latest_attempts import NONE, LatestAttempts

TASK = Task("t", "d", "data_analysis", "answer_questions", ("dataset",), ("data_answers",))


@dataclass(frozen=True)
class Row:
    """Counted outcomes, as the store gives them."""

    agent: str
    successes: int
    failures: int
    seconds: float = 0.0
    usd: float = 0.0
    model: str = ""
    effort: str = ""
    task_type: str = "data_analysis"
    operation: str = "answer_questions"
    latest: LatestAttempts = NONE


def agent(
    name: str,
    *,
    skill: str = "answer_questions",
    seconds: float = 1.0,
    usd: float = 0.0,
    needs_model: bool = False,
    task_types: tuple[str, ...] = ("data_analysis",),
    requires: tuple[str, ...] = ("dataset",),
    produces: tuple[str, ...] = ("data_answers",),
) -> AgentCard:
    return AgentCard(
        name, "", (Skill(skill, "", task_types, requires, produces, usd, seconds, needs_model),)
    )


QUICK = agent("quick", seconds=0.2)
THOROUGH = agent("thorough", seconds=1.0)


def routed(cards: Sequence[AgentCard], *rows: Row) -> Route:
    return route(TASK, cards, RuleEffects(), Belief(rows))


def ladder(
    cards: Sequence[AgentCard],
    *rows: Row,
    models: Sequence[ModelOption] = (),
    usd: float | None = None,
    seconds: float | None = None,
    difficulty: float = 0.3,
    found: Route | None = None,
    outlook: Outlook | None = None,
    prices: Prices | None = None,
) -> Ladder:
    return choose(
        TASK,
        found or routed(cards, *rows),
        Belief(rows),
        Difficulty(difficulty, "set"),
        cards=cards,
        models=models,
        budget_left_usd=usd,
        seconds_left=seconds,
        outlook=outlook,
        prices=prices,
    )


def order(found: Ladder) -> list[str]:
    return [rung.agent for rung in found.rungs]
