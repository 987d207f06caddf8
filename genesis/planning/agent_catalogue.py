"""The catalogue of registered agents: what their skills can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TypeAlias

from genesis.errors import InputError
from genesis.planning.catalogue import Catalogue, Inability, Operation
from genesis.tasks.capability import Cards, shortfall
from genesis.tasks.task import Task
from infrastructure.a2a.agent import AgentCard, Skill

_SHOWN = 8


class AgentCatalogue(Catalogue):
    """The skills of registered agents. Any skill that makes a task's data can do it.

    Args:
        cards: the agents; with none of them nothing can be done.
        has_model: whether a chat model is set; skills that need one are left out without.
    """

    __slots__ = ("_answering", "_cards", "_has_model", "_named", "_offers", "_unusable")

    by_name = False

    def __init__(self, cards: Sequence[AgentCard], *, has_model: bool = True) -> None:
        self._cards = tuple(cards)
        self._has_model = has_model
        self._named: dict[str, list[_Offer]] = {}
        self._offers: dict[str, list[_Offer]] = {}
        self._answering: list[_Offer] = []
        self._unusable: dict[str, str] = {}
        best: dict[tuple[object, ...], Operation] = {}
        for skill in (skill for card in self._cards for skill in card.skills):
            try:
                operation = _of_skill(skill)
            except InputError as error:
                self._unusable[skill.id] = str(error)
                continue
            self._add((skill, operation))
            if has_model or not skill.needs_model:
                key = (skill.id, frozenset(skill.requires), frozenset(skill.produces))
                known = best.get(key)
                best[key] = operation if known is None else _least(operation, known)
        self.operations = tuple(best.values())
        self.index()

    def _add(self, offer: _Offer) -> None:
        skill = offer[0]
        self._named.setdefault(skill.id, []).append(offer)
        for datum in skill.produces:
            self._offers.setdefault(datum, []).append(offer)
        if not skill.produces:
            self._answering.append(offer)

    def doing(self, task: Task) -> Sequence[Operation]:
        """The skills that can do the task, by the same rule as HALO's."""
        near = [*self._named.get(task.operation, ())]
        others = [*self._answering, *self._offers.get(next(iter(task.produces), ""), ())]
        if task.produces or task.operation:
            near += [offer for offer in others if offer[0].id != task.operation]
        else:
            near = [offer for offers in self._named.values() for offer in offers]
        return [
            operation
            for skill, operation in near
            if not shortfall(task, skill, has_model=self._has_model)
        ]

    def inability(self, task: Task) -> tuple[Inability, str, str]:
        """Why no agent can do the task: each agent near it with its reason."""
        known = not task.operation or task.operation in self._named
        kind: Inability = "unsolvable" if known else "unknown_operation"
        if not self._cards:
            return kind, "", "no agent is registered"
        near = [
            f"{card.name}: {self._unusable.get(skill.id) or self._shortfall(task, skill)}"
            for card in self._cards
            for skill in card.skills
            if skill.id == task.operation or set(skill.produces) & set(task.produces)
        ]
        offered = [
            f"{card.name} offers {', '.join(skill.id for skill in card.skills[:_SHOWN])}"
            for card in self._cards
        ]
        return kind, "", "; ".join((near or offered)[:_SHOWN])

    def _shortfall(self, task: Task, skill: Skill) -> str:
        return shortfall(task, skill, has_model=self._has_model)


_Offer: TypeAlias = tuple[Skill, Operation]


def _of_skill(skill: Skill) -> Operation:
    return Operation(
        skill.id,
        skill.requires,
        skill.produces,
        skill.seconds,
        skill.cost_usd,
        skill.description,
        skill.task_types,
    )


def _least(one: Operation, other: Operation) -> Operation:
    """The same operation by several agents: what it takes and costs at the least."""
    return replace(
        one,
        seconds=min(one.seconds, other.seconds),
        cost_usd=min(one.cost_usd, other.cost_usd),
    )


def agent_catalogue(cards: Sequence[AgentCard], *, has_model: bool = True) -> AgentCatalogue:
    """The catalogue of these very cards, made once for as long as no agent comes or goes."""
    return _catalogue_of(Cards(cards), has_model)


@lru_cache(maxsize=32)
def _catalogue_of(cards: Cards, has_model: bool) -> AgentCatalogue:
    return AgentCatalogue(cards.cards, has_model=has_model)
