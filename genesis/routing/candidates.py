"""HALO: who could do a task, best first, and why the others are not asked."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from genesis.routing.belief import Belief, Estimate
from genesis.routing.ladder import Candidate, Rejection, Route
from genesis.routing.prices import Prices
from genesis.routing.rules import Action, Effect, RuleEffects
from genesis.tasks.capability import best_skills
from genesis.tasks.task import Task
from infrastructure.a2a.agent import AgentCard, Skill

_PREFERRED = 2.0


@dataclass(frozen=True, slots=True)
class Exploration:
    """Whether less-known agents are tried now and then.

    Attributes:
        rng: where chance comes from.
        floor: how often, 0 to 1, one of the candidates is asked first whatever is known of them,
            each as likely as the others: with n of them, each is first at least floor / n of
            the time. Whom a rule assigned still goes before.
    """

    rng: random.Random
    floor: float = 0.05


def route(
    task: Task,
    cards: Sequence[AgentCard],
    effects: RuleEffects,
    belief: Belief,
    *,
    health: Mapping[str, bool] | None = None,
    load: Mapping[str, int] | None = None,
    explore: Exploration | None = None,
    prices: Prices | None = None,
    has_model: bool = True,
) -> Route:
    """Rank the agents for one task.

    Args:
        task: what is to be done.
        cards: every registered agent.
        effects: what the rules say about this task.
        belief: the record.
        health: False for an agent whose circuit breaker is open; others are healthy.
        load: attempts that run now, by agent.
        explore: None ranks by expectation; else by a draw from each posterior.
        prices: how money and time compare.
        has_model: whether any chat model is set.

    Returns:
        candidates (possibly none) in the order of preference, and everybody else with a reason.
    """
    candidates: list[Candidate] = []
    rejected: list[Rejection] = []
    for card, skill, reason in best_skills(task, cards, has_model=has_model):
        ruled = effects.on(card)
        if "forbid" in ruled:
            reason = _forbidden(ruled["forbid"])
        elif not (health or {}).get(card.name, True):
            reason = "its circuit breaker is open after repeated failures"
        if reason or skill is None:
            if "assign" in ruled:
                reason = f"{reason} (although assigned by {ruled['assign'].why})"
            rejected.append(Rejection(card.name, reason))
            continue
        running = (load or {}).get(card.name, 0)
        candidates.append(
            _candidate(task, card, skill, ruled, belief, running, explore, prices or Prices())
        )
    if explore is not None and candidates and explore.rng.random() < explore.floor:
        chosen = explore.rng.randrange(len(candidates))
        candidates[chosen] = _favoured(candidates[chosen])
    candidates.sort(key=lambda c: (not c.assigned, not c.explored, -c.score))
    return Route(task.id, tuple(candidates), tuple(rejected))


def _forbidden(effect: Effect) -> str:
    verb = "requires" if effect.action == "require" else "forbids"
    return f"{effect.why} ({verb} {effect.target})"


def _candidate(
    task: Task,
    card: AgentCard,
    skill: Skill,
    ruled: Mapping[Action, Effect],
    belief: Belief,
    running: int,
    explore: Exploration | None,
    prices: Prices,
) -> Candidate:
    record = belief.estimate(
        task.task_type, skill.id, card.name, seconds=skill.seconds, usd=skill.cost_usd
    )
    weight = _PREFERRED if "prefer" in ruled else 1.0
    # Only what runs now weighs: an agent is as free after a thousand tasks as before the first.
    weight /= 1 + running / max(card.max_concurrency, 1)
    if explore is not None:
        weight *= record.draw(explore.rng) / record.mean
    return Candidate(
        agent=card.name,
        operation=skill.id,
        score=weight * prices.value(record.mean, record.usd, record.seconds),
        p_success=record.mean,
        p_interval=_told(record.interval),
        n=record.n,
        reason=_reason(task, skill, card, ruled, record, running),
        assigned="assign" in ruled,
        weight=weight,
    )


def _told(interval: tuple[float, float]) -> tuple[float, float]:
    """As exact as it is worked out: further digits would only fill the journal."""
    return round(interval[0], 4), round(interval[1], 4)


def _favoured(candidate: Candidate) -> Candidate:
    reason = f"{candidate.reason}; asked first to learn more about it"
    return replace(candidate, explored=True, reason=reason)


def _reason(
    task: Task,
    skill: Skill,
    card: AgentCard,
    ruled: Mapping[Action, Effect],
    record: Estimate,
    running: int,
) -> str:
    parts = [effect.why for effect in ruled.values()]
    if skill.id == task.operation:
        parts.append(f"offers {skill.id!r}")
    else:
        made = ", ".join(task.produces) if skill.produces else f"{task.task_type} tasks"
        parts.append(f"its {skill.id!r} serves {made}")
    parts.append(f"{record.mean:.0%} verified expected ({record.basis})")
    if running:
        parts.append(f"busy with {running} of {card.max_concurrency}")
    return "; ".join(parts)
