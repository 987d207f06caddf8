"""The ways in which a task could be done: an agent, a model and an effort, with what to expect."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from genesis.errors import InputError
from genesis.routing.belief import Belief, Prior
from genesis.routing.difficulty import Difficulty
from genesis.routing.ladder import Candidate, Route
from genesis.routing.outlook import Outlook, option_name
from genesis.tasks.capability import Cards
from genesis.tasks.task import Task
from infrastructure.a2a.agent import AgentCard, Skill
from infrastructure.text import counted

EFFORTS = ("low", "medium", "high")
_TOKENS_IN = 2000
_TOKENS_OUT = {"low": 400, "medium": 1000, "high": 2500}
_MILLION = 1_000_000
_POLICY_WEIGHT = 8.0  # attempts, at most, that a policy's training counts for against a record
_SURELY = 1e-3


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
class Option:
    """One way of doing a task.

    Attributes:
        candidate: the agent with its skill.
        model: the chat model's name, empty without one.
        effort: "low", "medium" or "high".
        p_success: expected share of verified successes, 0 to 1.
        usd, seconds: what one attempt is expected to take.
        basis: what the expectation rests on, in words.
        place: where the policy's outlook has it; -1 where it does not.
    """

    candidate: Candidate
    model: str
    effort: str
    p_success: float
    usd: float
    seconds: float
    basis: str
    place: int = -1

    @property
    def who(self) -> str:
        """The agent and what it uses, in words."""
        agent = self.candidate.agent
        return f"{agent} with {self.model}, effort {self.effort}" if self.model else agent


def options_of(
    task: Task,
    route: Route,
    belief: Belief,
    difficulty: Difficulty,
    *,
    cards: Sequence[AgentCard],
    models: Sequence[ModelOption],
    outlook: Outlook | None,
) -> list[Option]:
    """Every agent of a route, with every model and two efforts where it needs a model.

    Args:
        task: what is to be done.
        route: who can do it.
        belief: the record.
        difficulty: sets the lower of the efforts.
        cards: the registered agents; their skills say who needs a model.
        models: the chat models that may be used.
        outlook: what a learnt policy expects; None without a policy.
    """
    skills = _skills(Cards(cards))
    places = {name: place for place, name in enumerate(outlook.options)} if outlook else {}
    base = EFFORTS[min(int(difficulty.value * len(EFFORTS)), len(EFFORTS) - 1)]
    return [
        _option(task, candidate, skill, model, effort, belief, outlook, places)
        for candidate in route.candidates
        for skill in (skills[candidate.agent, candidate.operation],)
        for model, effort in _ways(skill, models, base)
    ]


@lru_cache(maxsize=8)
def _skills(cards: Cards) -> dict[tuple[str, str], Skill]:
    """All skills by agent and operation."""
    return {(card.name, skill.id): skill for card in cards.cards for skill in card.skills}


def _ways(
    skill: Skill, models: Sequence[ModelOption], base: str
) -> Iterator[tuple[ModelOption | None, str]]:
    if not skill.needs_model:
        yield None, base
        return
    for model in models:
        for effort in EFFORTS[EFFORTS.index(base) :][:2]:
            yield model, effort


def _option(
    task: Task,
    candidate: Candidate,
    skill: Skill,
    model: ModelOption | None,
    effort: str,
    belief: Belief,
    outlook: Outlook | None,
    places: Mapping[str, int],
) -> Option:
    name, spent = (model.name, effort) if model else ("", "")
    place = places.get(option_name(skill.id, candidate.agent, name, spent), -1)
    prior, usd = None, skill.cost_usd + (model.usd(effort) if model else 0.0)
    if outlook is not None and place >= 0:
        weight = min(max(float(outlook.support[place]), 1.0), _POLICY_WEIGHT)
        prior, usd = Prior(float(outlook.rate[place]), weight), float(outlook.usd[place])
    record = belief.estimate(
        task.task_type,
        skill.id,
        candidate.agent,
        model=name,
        effort=spent,
        seconds=skill.seconds + (model.seconds if model else 0.0),
        usd=usd,
        prior=prior,
    )
    known = (
        f"from {counted(record.n, 'attempt')}" if record.n else "assumed, no record of this kind"
    )
    p_success = record.mean
    if outlook is not None and prior is not None:
        here = float(outlook.marginal[place])
        p_success = _here(here, record.mean, prior.mean)
        record_says = f", the record {record.mean:.0%} {known}" if record.n else ""
        known = f"the policy expects {here:.0%} here, {prior.mean:.0%} as a rule{record_says}"
    return Option(candidate, name, effort, p_success, record.usd, record.seconds, known, place)


def _here(policy: float, record: float, rate: float) -> float:
    """What a policy expects of this task, moved by how far the record is from what it learnt from.

    The policy saw the task, the record has seen what happened since: a record that agrees with the
    share that the policy was trained on leaves its expectation as it is.
    """
    logit = _logit(policy) + _logit(record) - _logit(rate)
    return 1 / (1 + math.exp(-logit))


def _logit(share: float) -> float:
    share = min(max(share, _SURELY), 1 - _SURELY)
    return math.log(share / (1 - share))
