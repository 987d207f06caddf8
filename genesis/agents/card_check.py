"""What an agent's card must keep to, whoever wrote it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from genesis.agents.wire import MAX_COST_USD
from genesis.errors import InputError
from infrastructure.a2a.agent import AgentCard, Skill

_MAX_NAME = 80
_MAX_SKILL_NAME = 100
_MAX_DATUM = 200
_MAX_SECONDS = 1e9


def require_card(card: AgentCard) -> None:
    """Refuse a card with a name, number or list that is none.

    Raises:
        InputError: says which of the agent's skills has what wrong.
    """
    if not _is_name(card.name, _MAX_NAME):
        raise InputError(
            f"an agent's name must be 1 to {_MAX_NAME} printable characters, not {card.name!r}; "
            "pass name="
        )
    if not _number(card.max_concurrency) >= 1:
        raise InputError(f"agent {card.name!r}: max_concurrency must be 1 or more")
    if not card.skills:
        raise InputError(f"agent {card.name!r} has no skills")
    seen: set[str] = set()
    for skill in cast("Iterable[object]", card.skills):
        if not isinstance(skill, Skill):
            raise InputError(
                f"agent {card.name!r}: a skill is a Skill or its id, not {skill!r:.80}"
            )
        _require_skill(card, skill, seen)
        seen.add(skill.id)


def _require_skill(card: AgentCard, skill: Skill, seen: set[str]) -> None:
    where = f"agent {card.name!r}, skill {skill.id!r:.80}"
    if not isinstance(cast("object", skill.id), str) or not skill.id.strip() or skill.id in seen:
        raise InputError(f"agent {card.name!r}: skill id {skill.id!r} is empty or used twice")
    for key, most in (
        ("task_types", _MAX_SKILL_NAME),
        ("requires", _MAX_DATUM),
        ("produces", _MAX_DATUM),
    ):
        names = getattr(skill, key)
        if not isinstance(names, tuple | list):
            raise InputError(f"{where}: {key} must be a tuple of names, not {names!r:.80}")
        for name in cast("Iterable[object]", names):
            if not _is_name(name, most):
                raise InputError(
                    f"{where}: {key} has the name {name!r:.80}; a name is 1 to {most} "
                    "printable characters"
                )
    if not _is_name(skill.id, _MAX_SKILL_NAME):
        raise InputError(f"{where}: a skill id is 1 to {_MAX_SKILL_NAME} printable characters")
    if not (
        0 <= _number(skill.cost_usd) <= MAX_COST_USD and 0 < _number(skill.seconds) <= _MAX_SECONDS
    ):
        raise InputError(
            f"{where}: cost_usd must be 0 to {MAX_COST_USD:g} and seconds above 0, "
            f"at most {_MAX_SECONDS:g}"
        )


def _is_name(name: object, most: int) -> bool:
    return (
        isinstance(name, str)
        and 0 < len(name) <= most
        and name.isprintable()
        and bool(name.strip())
    )


def _number(value: object) -> float:
    """The value where it is a number, else one that is within no bounds."""
    return value if isinstance(value, int | float) else float("nan")
