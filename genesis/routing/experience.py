"""Cards as experience tells them: what an attempt takes and costs, beside what is declared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from genesis.routing.belief import Belief
from infrastructure.a2a.agent import AgentCard, Skill


def experienced(cards: Sequence[AgentCard], belief: Belief) -> tuple[AgentCard, ...]:
    """The cards with the durations and prices to expect by the agents' records.

    An agent without a record keeps its card as it is.
    """
    return tuple(_told_by_record(card, belief) for card in cards)


def _told_by_record(card: AgentCard, belief: Belief) -> AgentCard:
    skills = tuple(_skill(card.name, skill, belief) for skill in card.skills)
    return card if skills == card.skills else replace(card, skills=skills)


def _skill(agent: str, skill: Skill, belief: Belief) -> Skill:
    seconds, usd = belief.spent(agent, skill.id, seconds=skill.seconds, usd=skill.cost_usd)
    if seconds == skill.seconds and usd == skill.cost_usd:
        return skill
    return replace(skill, seconds=seconds, cost_usd=usd)
