"""DAAO: agents, models and efforts as the attempts of a verified escalation, in order.

Every result is checked, so it pays to try what reaches a verified success at the least expected
price first and to go on only when the check fails.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from genesis.errors import BudgetExceeded, InputError, ModelNotConfigured, RoutingError
from genesis.routing.belief import Belief
from genesis.routing.difficulty import Difficulty
from genesis.routing.ladder import Candidate, Ladder, Route, Rung
from genesis.routing.prices import Prices
from genesis.tasks.task import Task
from infrastructure.a2a.agent import AgentCard, Skill
from infrastructure.text import counted

EFFORTS = ("low", "medium", "high")
_TOKENS_IN = 2000
_TOKENS_OUT = {"low": 400, "medium": 1000, "high": 2500}
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class ModelOption:
    """A chat model that may be chosen.

    Attributes:
        name: "provider:name".
        usd_per_mtok_in, usd_per_mtok_out: US dollars per million tokens read and written.
        seconds: expected duration of one answer.
    """

    name: str
    usd_per_mtok_in: float
    usd_per_mtok_out: float
    seconds: float = 5.0

    def __post_init__(self) -> None:
        prices = (self.usd_per_mtok_in, self.usd_per_mtok_out, self.seconds)
        if not all(0 <= price < math.inf for price in prices):
            raise InputError(f"the model {self.name!r}: prices and seconds must be 0 or more")

    def usd(self, effort: str) -> float:
        """Expected price of one answer before there is a record."""
        read, written = _TOKENS_IN, _TOKENS_OUT[effort]
        return (read * self.usd_per_mtok_in + written * self.usd_per_mtok_out) / _MILLION


@dataclass(frozen=True, slots=True)
class _Option:
    rung: Rung
    assigned: bool
    explored: bool
    value: float


def choose(
    task: Task,
    route: Route,
    belief: Belief,
    difficulty: Difficulty,
    *,
    cards: Sequence[AgentCard],
    models: Sequence[ModelOption] = (),
    budget_left_usd: float | None = None,
    seconds_left: float | None = None,
    prices: Prices | None = None,
    max_rungs: int = 4,
) -> Ladder:
    """The attempts to make at a task, in order.

    Args:
        task: what is to be done.
        route: who can do it.
        belief: the record.
        difficulty: sets the effort that a model starts with.
        cards: the registered agents; their skills say who needs a model.
        models: the chat models that may be used.
        budget_left_usd, seconds_left: what one attempt must fit in; None for no limit.
        prices: how money and time compare.
        max_rungs: attempts at most; the likeliest success is always among them.

    Raises:
        RoutingError: nobody can do the task; says why each agent was rejected.
        ModelNotConfigured: all who can need a chat model and there is none.
        BudgetExceeded: nothing fits what is left; names the price and what is left.
    """
    if not route.candidates:
        why = "; ".join(f"{r.agent}: {r.reason}" for r in route.rejected) or "there are no agents"
        raise RoutingError(f"no agent can do task {task.id!r}: {why}")
    skills = {(card.name, skill.id): skill for card in cards for skill in card.skills}
    base = _effort(difficulty)
    options = [
        option
        for candidate in route.candidates
        for option in _expanded(
            task,
            candidate,
            skills[candidate.agent, candidate.operation],
            belief,
            models,
            base,
            prices or Prices(),
        )
    ]
    if not options:
        agents = ", ".join(candidate.agent for candidate in route.candidates)
        raise ModelNotConfigured(
            f"task {task.id!r} can only be done by {agents} with a chat model and none is set: "
            "set GENESIS_MODEL=provider:name"
        )
    fitting = [o for o in options if _fits(o.rung, budget_left_usd, seconds_left)]
    if not fitting:
        raise BudgetExceeded(_too_dear(task, options, budget_left_usd, seconds_left))
    ordered = sorted(fitting, key=lambda o: (not o.assigned, not o.explored, -o.value))
    kept = _capped(ordered, max_rungs)
    return Ladder(
        task.id,
        tuple(option.rung for option in kept),
        difficulty.value,
        _reason(difficulty, kept, len(options) - len(fitting), len(fitting) - len(kept)),
    )


def _effort(difficulty: Difficulty) -> str:
    return EFFORTS[min(int(difficulty.value * len(EFFORTS)), len(EFFORTS) - 1)]


def _expanded(
    task: Task,
    candidate: Candidate,
    skill: Skill,
    belief: Belief,
    models: Sequence[ModelOption],
    base: str,
    prices: Prices,
) -> list[_Option]:
    if not skill.needs_model:
        return [_option(task, candidate, skill, belief, None, base, prices)]
    efforts = EFFORTS[EFFORTS.index(base) :][:2]
    return [
        _option(task, candidate, skill, belief, model, effort, prices)
        for model in models
        for effort in efforts
    ]


def _option(
    task: Task,
    candidate: Candidate,
    skill: Skill,
    belief: Belief,
    model: ModelOption | None,
    effort: str,
    prices: Prices,
) -> _Option:
    record = belief.estimate(
        task.task_type,
        skill.id,
        candidate.agent,
        model=model.name if model else "",
        effort=effort if model else "",
        seconds=skill.seconds + (model.seconds if model else 0.0),
        usd=skill.cost_usd + (model.usd(effort) if model else 0.0),
    )
    value = prices.value(record.mean, record.usd, record.seconds)
    known = (
        f"from {counted(record.n, 'attempt')}" if record.n else "assumed, no record of this kind"
    )
    reason = (
        f"{record.mean:.0%} verified expected ({known}) at ${record.usd:.4f} and "
        f"{record.seconds:.1f} s: ${1 / value:.5f} a verified success"
    )
    rung = Rung(
        agent=candidate.agent,
        operation=candidate.operation,
        model=model.name if model else "",
        effort=effort,
        p_success=record.mean,
        cost_usd=record.usd,
        seconds=record.seconds,
        reason=f"assigned by a rule; {reason}" if candidate.assigned else reason,
    )
    return _Option(rung, candidate.assigned, candidate.explored, candidate.weight * value)


def _fits(rung: Rung, usd: float | None, seconds: float | None) -> bool:
    return (usd is None or rung.cost_usd <= usd) and (seconds is None or rung.seconds <= seconds)


def _too_dear(
    task: Task, options: Sequence[_Option], usd: float | None, seconds: float | None
) -> str:
    rungs = [option.rung for option in options]
    affordable = [r for r in rungs if usd is None or r.cost_usd <= usd]
    if not affordable:
        cheapest = min(rungs, key=lambda r: r.cost_usd)
        return (
            f"task {task.id!r}: the cheapest attempt ({_who(cheapest)}) costs "
            f"${cheapest.cost_usd:.4f} and ${usd or 0:.4f} of the budget is left"
        )
    quickest = min(affordable, key=lambda r: r.seconds)
    return (
        f"task {task.id!r}: the quickest affordable attempt ({_who(quickest)}, "
        f"${quickest.cost_usd:.4f}) takes {quickest.seconds:.1f} s and {seconds or 0:.1f} s are "
        "left before the deadline"
    )


def _who(rung: Rung) -> str:
    return f"{rung.agent} with {rung.model}, effort {rung.effort}" if rung.model else rung.agent


def _capped(ordered: Sequence[_Option], limit: int) -> list[_Option]:
    kept = list(ordered[:limit])
    likeliest = max(ordered, key=lambda o: o.rung.p_success)
    if likeliest.rung.p_success > max(o.rung.p_success for o in kept):
        kept[-1] = likeliest
    return kept


def _reason(difficulty: Difficulty, kept: Sequence[_Option], unfit: int, cut: int) -> str:
    parts = [f"difficulty {difficulty.value:.2f} ({difficulty.reason})"]
    first = kept[0].rung
    if kept[0].assigned:
        parts.append(f"{_who(first)} first, assigned by a rule")
    elif kept[0].explored:
        parts.append(f"{_who(first)} first, to learn more about it")
    else:
        parts.append(f"{_who(first)} first, the least expected price for a verified success")
    if unfit:
        parts.append(f"{unfit} left out for budget or deadline")
    if cut:
        parts.append(f"{cut} more left out by the limit of {len(kept)} attempts")
    return "; ".join(parts)
