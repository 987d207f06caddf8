"""The grid of difficulties that everything is trained on and measured over: 2^5 cells."""

from __future__ import annotations

from itertools import product
from typing import Final

from infrastructure.errors import InputError
from infrastructure.training.agemem.episodes import Difficulty

CAPACITIES: Final = (2.0, 1.0)
BUDGETS: Final = (224, 96)
DISTRACTORS: Final = (4, 12)
UPDATES: Final = (0.15, 0.45)
PARAPHRASE: Final = (False, True)

GRID: Final[tuple[Difficulty, ...]] = tuple(
    Difficulty(*cell) for cell in product(CAPACITIES, BUDGETS, DISTRACTORS, UPDATES, PARAPHRASE)
)
"""Every combination of easy and hard, the easiest first and the hardest last."""

_LEAST_BUDGET: Final = 90
_MOST_DISTRACTORS: Final = 64
_MOST_UPDATES: Final = 0.6


def check(difficulty: Difficulty) -> None:
    """Refuse a difficulty that no episode could have.

    Raises:
        InputError: one of its numbers is out of range.
    """
    problem = ""
    if not 0 < difficulty.capacity <= 100:
        problem = f"a capacity above 0, at most 100 entries a fact, not {difficulty.capacity!r}"
    elif difficulty.budget < _LEAST_BUDGET:
        problem = f"a budget of {_LEAST_BUDGET} tokens or more, not {difficulty.budget!r}"
    elif not 0 <= difficulty.distractors <= _MOST_DISTRACTORS:
        problem = f"0 to {_MOST_DISTRACTORS} distractors, not {difficulty.distractors!r}"
    elif not 0 <= difficulty.updates <= _MOST_UPDATES:
        problem = f"a share of updates from 0 to {_MOST_UPDATES}, not {difficulty.updates!r}"
    if problem:
        raise InputError(f"a difficulty has {problem}")


def label(difficulty: Difficulty) -> str:
    """A short name of a cell, such as "c1-b96-d12-u0.45-p1"."""
    return (
        f"c{difficulty.capacity:g}-b{difficulty.budget}-d{difficulty.distractors}"
        f"-u{difficulty.updates:g}-p{difficulty.paraphrase:d}"
    )
