"""The grid of difficulties that everything is trained on and measured over: 2^5 cells."""

from __future__ import annotations

from itertools import product
from typing import Final

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


def label(difficulty: Difficulty) -> str:
    """A short name of a cell, such as "c1-b96-d12-u0.45-p1"."""
    return (
        f"c{difficulty.capacity:g}-b{difficulty.budget}-d{difficulty.distractors}"
        f"-u{difficulty.updates:g}-p{difficulty.paraphrase:d}"
    )
