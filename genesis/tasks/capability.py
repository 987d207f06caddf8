"""Whether an agent's skill can do a task: one answer for planning, validation and routing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from operator import is_
from typing import NamedTuple, TypeAlias

from genesis.tasks.task import Task
from infrastructure.a2a.agent import AgentCard, Skill


class Kind(NamedTuple):
    """What of a task decides who can do it."""

    task_type: str
    operation: str
    requires: tuple[str, ...]
    produces: tuple[str, ...]


class Cards:
    """Cards compared by identity: quicker than by their contents, and they never change."""

    __slots__ = ("_hash", "cards")

    def __init__(self, cards: Iterable[AgentCard]) -> None:
        self.cards = tuple(cards)
        self._hash = hash(tuple(map(id, self.cards)))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Cards)
            and len(self.cards) == len(other.cards)
            and all(map(is_, self.cards, other.cards))
        )


Able: TypeAlias = tuple[AgentCard, Skill | None, str]
"""An agent with its best skill for a task, or with None and why it has none."""


def shortfall(task: Task | Kind, skill: Skill, *, has_model: bool = True) -> str:
    """Why the skill cannot do the task, in words; empty when it can.

    A skill of another name qualifies when it makes the same data, or when it answers anything of
    this very task type. Only what the task requires is handed over, so a skill that needs more
    cannot be asked.
    """
    if skill.task_types and task.task_type not in skill.task_types:
        return f"{skill.id!r} serves {', '.join(skill.task_types)}, not {task.task_type}"
    lacking = [name for name in task.produces if name not in skill.produces]
    if skill.produces and lacking:
        return f"{skill.id!r} does not produce {lacking[0]!r}"
    if task.operation and skill.id != task.operation:
        makes_the_same = bool(task.produces) and bool(skill.produces)
        answers_the_type = not skill.produces and task.task_type in skill.task_types
        if not makes_the_same and not answers_the_type:
            return f"{skill.id!r} is not {task.operation!r}"
    missing = [name for name in skill.requires if name not in task.requires]
    if missing:
        return f"{skill.id!r} needs {missing[0]!r}, which the task is not given"
    if skill.needs_model and not has_model:
        return f"{skill.id!r} needs a chat model and none is set (set GENESIS_MODEL=provider:name)"
    return ""


def best_skill(
    task: Task | Kind, card: AgentCard, *, has_model: bool = True
) -> tuple[Skill | None, str]:
    """The agent's skill for the task, or None and why it has none.

    Of several that can, the one that bears the operation's name wins, then the one that makes
    the fewest other things.
    """
    reasons: dict[str, str] = {}
    fitting: list[Skill] = []
    for skill in card.skills:
        reasons[skill.id] = shortfall(task, skill, has_model=has_model)
        if not reasons[skill.id]:
            fitting.append(skill)
    if fitting:
        return min(fitting, key=lambda s: (s.id != task.operation, len(s.produces) or 99)), ""
    if task.operation in reasons:
        return None, reasons[task.operation]
    if len(reasons) == 1:
        return None, next(iter(reasons.values()))
    offered = ", ".join(reasons) or "nothing"
    return None, f"it offers {offered}, none of which can do {wanted(task)}"


def best_skills(
    task: Task, cards: Iterable[AgentCard], *, has_model: bool = True
) -> Sequence[Able]:
    """`best_skill` of every agent, in their order."""
    kind = Kind(task.task_type, task.operation, task.requires, task.produces)
    return _best_skills(kind, Cards(cards), has_model)


# The same few kinds of task come again with every plan, and agents seldom come or go.
@lru_cache(maxsize=128)
def _best_skills(kind: Kind, cards: Cards, has_model: bool) -> tuple[Able, ...]:
    return tuple((card, *best_skill(kind, card, has_model=has_model)) for card in cards.cards)


def wanted(task: Task | Kind) -> str:
    """What the task asks for, in words: its operation, and what it must produce."""
    operation = f"{task.operation!r}" if task.operation else f"a {task.task_type} task"
    return f"{operation} (making {', '.join(task.produces)})" if task.produces else operation


def skills_for(
    task: Task, cards: Iterable[AgentCard], *, has_model: bool = True
) -> list[tuple[AgentCard, Skill]]:
    """Every agent that can do the task, with the skill that it would use."""
    able = best_skills(task, cards, has_model=has_model)
    return [(card, skill) for card, skill, _ in able if skill is not None]
