"""A sound acceptance check for Blocksworld: it executes the plan, step by step, from the start.

Whatever is not understood, not possible, or does not end in the goal is rejected with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

State = frozenset[str]

_STEP = re.compile(r"\(\s*([a-z][\w-]*)((?:\s+[\w-]+)*)\s*\)")
_COMMENT = re.compile(r";.*")
_HANDS = "handempty"


@dataclass(frozen=True, slots=True)
class Effect:
    """What a step needs to hold and takes away, and what it adds.

    In this domain a step takes away all that it needs, so one set serves both.
    """

    needs: State
    adds: State


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether a plan solves a problem, and why not."""

    solved: bool
    reason: str


def judge(plan: str, init: Iterable[str], goal: Iterable[str]) -> Judgement:
    """Execute a plan.

    Args:
        plan: one step a line, such as "(stack a b)"; empty lines and ";" comments are passed over.
        init: the facts that hold at first, such as "on a b".
        goal: the facts that must hold in the end.
    """
    state = frozenset(init)
    for number, step in enumerate(_steps(plan), 1):
        effect = _effect(step)
        if effect is None:
            return Judgement(False, f"step {number} {step!r} is no step of this domain")
        missing = effect.needs - state
        if missing:
            return Judgement(False, f"step {number} {step!r} needs {_told(missing)}")
        state = (state - effect.needs) | effect.adds
    unmet = frozenset(goal) - state
    if unmet:
        return Judgement(False, f"the plan ends without {_told(unmet)}")
    return Judgement(True, "every step was possible and the goal holds")


def _steps(plan: str) -> list[str]:
    lines = (_COMMENT.sub("", line).strip().lower() for line in plan.splitlines())
    return [line for line in lines if line]


def _effect(step: str) -> Effect | None:
    match = _STEP.fullmatch(step)
    if match is None:
        return None
    name, blocks = match[1], match[2].split()
    if len(set(blocks)) != len(blocks):
        return None
    match name, blocks:
        case "pick-up", [x]:
            return _step({f"clear {x}", f"ontable {x}", _HANDS}, {f"holding {x}"})
        case "put-down", [x]:
            return _step({f"holding {x}"}, {f"clear {x}", f"ontable {x}", _HANDS})
        case "stack", [x, y]:
            return _step({f"holding {x}", f"clear {y}"}, {f"clear {x}", f"on {x} {y}", _HANDS})
        case "unstack", [x, y]:
            return _step({f"clear {x}", f"on {x} {y}", _HANDS}, {f"holding {x}", f"clear {y}"})
        case _:
            return None


def _step(needs: set[str], adds: set[str]) -> Effect:
    return Effect(frozenset(needs), frozenset(adds))


def _told(facts: State) -> str:
    return ", ".join(repr(fact) for fact in sorted(facts))
