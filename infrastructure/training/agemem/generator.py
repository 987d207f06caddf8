"""Makes episodes with exact ground truth, the same ones for the same seed.

An episode is a conversation about three to five subjects (people, the speaker, projects, customers,
systems): facts, their updates, retractions and restatements, among as much chatter that resembles
them; then a goal with working facts among distractors; then questions. What is said is worded from
the phrasebook of a split, and no two splits share a name, a value or a phrasing.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Final

from infrastructure.errors import InputError
from infrastructure.training.agemem.conversation import converse, draw_subjects
from infrastructure.training.agemem.episodes import DIFFICULTY_VERSION, Difficulty, Episode
from infrastructure.training.agemem.grid import GRID, check, label
from infrastructure.training.agemem.inquiry import (
    SecondPhase,
    ThirdPhase,
    draw_counts,
    draw_goal,
)
from infrastructure.training.agemem.phrasebook import SPLITS, Split, phrasebook

__all__ = ["GRID", "Split", "episodes", "generate"]

_LEAST_CAPACITY: Final = 3
_STREAM: Final = 1_000_000


def generate(seed: int, difficulty: Difficulty, *, split: Split = "train") -> Episode:
    """One episode.

    Args:
        seed: the same seed, difficulty and split give the same episode.
        difficulty: a cell of GRID, or another.
        split: whose names, values and phrasings are used.

    Raises:
        InputError: there is no such split, or no episode could have the difficulty.
    """
    check(difficulty)
    if split not in SPLITS:
        raise InputError(f"a split is one of {', '.join(SPLITS)}, not {split!r}")
    episode_id = f"v{DIFFICULTY_VERSION}-{split}-{label(difficulty)}-{seed}"
    rng = random.Random(f"agemem:{episode_id}")  # noqa: S311 - an episode, not a secret
    book = phrasebook(split)
    told, talk = converse(book, rng, difficulty, draw_subjects(book, rng))
    goal, about = draw_goal(talk, rng, told)
    questions, working = draw_counts(rng)
    second = SecondPhase(talk, rng, difficulty, about, working)
    third = ThirdPhase(talk, rng, difficulty, told, second.known)
    return Episode(
        episode_id=episode_id,
        turns=told.turns,
        goal=goal,
        arrivals=second.arrivals,
        questions=third.questions(questions),
        capacity=max(_LEAST_CAPACITY, round(difficulty.capacity * len(told.known))),
        budget=difficulty.budget,
        difficulty=difficulty,
    )


def episodes(
    seed: int, count: int, split: Split = "train", cells: Sequence[Difficulty] = GRID
) -> Iterator[Episode]:
    """Some episodes, cycling through the cells.

    Args:
        seed: streams of different seeds share no episode.
        count: how many, at most a million.
        split: whose names, values and phrasings are used.
        cells: the difficulties.

    Raises:
        InputError: there are no cells, or too many episodes are wanted.
    """
    if not cells:
        raise InputError("episodes need at least one cell of difficulty")
    if not 0 <= count <= _STREAM:
        raise InputError(f"a stream has 0 to {_STREAM:,} episodes, not {count!r}")
    return (
        generate(seed * _STREAM + number, cells[number % len(cells)], split=split)
        for number in range(count)
    )
