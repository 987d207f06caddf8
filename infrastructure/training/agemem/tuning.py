"""Gives the hand-written deciders their numbers: seeded random search on training episodes.

What the policy is compared with is tuned as honestly as the policy is trained: on episodes of the
same source, by what the comparison measures.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Final

from infrastructure.errors import InputError
from infrastructure.memory.agemem.decider import Decider
from infrastructure.memory.agemem.features import FETCHES
from infrastructure.memory.agemem.heuristics import (
    Careful,
    CarefulNumbers,
    KeepEverything,
    LongestTurns,
    RarestWords,
)

Judge = Callable[[Decider], Awaitable[float]]
"""How good a decider is on the training episodes: higher is better."""

RANGES: Final[Mapping[str, tuple[float, float]]] = {
    "rarity": (0.0, 4.0),
    "names": (0.0, 4.0),
    "numbers": (0.0, 4.0),
    "lasting": (0.0, 4.0),
    "time": (0.0, 4.0),
    "familiar": (-3.0, 5.0),
    "answering": (0.0, 3.0),
    "passing": (-1.0, 4.0),
    "courtesy": (0.0, 3.0),
    "asking": (0.0, 4.0),
    "skip_below": (0.0, 0.9),
    "again_at": (0.3, 1.01),
    "change_at": (0.1, 1.01),
    "clash_at": (0.1, 1.01),
    "end_at": (0.1, 1.01),
    "tidy_at": (0.0, 1.0),
    "keep_above": (0.1, 0.45),
    "ask_above": (0.1, 0.45),
    "least_score": (0.0, 0.5),
    "within": (0.0, 0.9),
}
"""Where each number of `CarefulNumbers` is looked for."""

_TALK: Final = CarefulNumbers(
    rarity=4.0,
    names=1.0,
    numbers=0.0,
    lasting=0.0,
    time=1.0,
    familiar=0.0,
    answering=1.0,
    passing=0.0,
    courtesy=0.0,
    asking=0.0,
    skip_below=0.0,
    again_at=1.01,
    change_at=1.01,
    clash_at=1.01,
    end_at=1.01,
    least_score=0.0,
    within=0.0,
)
"""Set by hand for talk: rare words, names, times and answers count, and nothing is replaced."""

_EXPLORING: Final = 3  # one try in so many is drawn from anywhere
_CHANGED: Final = 0.3
_STEP: Final = 0.2


@dataclass(frozen=True, slots=True)
class Tuned:
    """The best that a search found.

    Attributes:
        decider: with the best numbers.
        score: what the judge said of it.
        tries: how many were judged.
    """

    decider: Decider
    score: float
    tries: int


async def tune_careful(
    judge: Judge, tries: int, seed: int, *, screen: Judge | None = None
) -> Tuned:
    """The best numbers for `Careful` among its defaults, those for talk, and draws.

    One draw in three is from anywhere in RANGES; the others change some of the best numbers so far
    by a little.

    Args:
        judge: decides which is the best.
        tries: how many are tried, these two among them.
        seed: of the draws.
        screen: judges first, by less; who is not better there than the best is not judged further.

    Raises:
        InputError: tries is below 1.
    """
    if tries < 1:
        raise InputError(f"at least 1 try is needed, not {tries}")
    draws = random.Random(seed)  # noqa: S311 - a search, not a secret
    best = Careful()
    best_score = await judge(best)
    if tries > 1 and (score := await judge(Careful(_TALK))) > best_score:
        best, best_score = Careful(_TALK), score
    to_pass = await screen(best) if screen else 0.0
    for number in range(2, tries):
        anywhere = number % _EXPLORING == 0
        drawn = Careful(_anywhere(draws) if anywhere else _near(best.numbers, draws))
        passed = await screen(drawn) if screen else 0.0
        if screen and passed <= to_pass:
            continue
        score = await judge(drawn)
        if score > best_score:
            best, best_score, to_pass = drawn, score, passed
    return Tuned(best, best_score, tries)


async def tune_fetches(kind: type[KeepEverything], judge: Judge) -> Tuned:
    """The best number of entries to fetch for a heuristic that has no other number."""
    scores = [(await judge(kind(top_k)), top_k) for top_k in FETCHES]
    score, top_k = max(scores)
    return Tuned(kind(top_k), score, len(scores))


async def tuned_heuristics(judge: Judge, tries: int, seed: int) -> list[Tuned]:
    """All hand-written deciders, each at its best by the judge."""
    simple = [
        await tune_fetches(kind, judge) for kind in (KeepEverything, LongestTurns, RarestWords)
    ]
    return [*simple, await tune_careful(judge, tries, seed)]


def _anywhere(draws: random.Random) -> CarefulNumbers:
    return CarefulNumbers(**{name: draws.uniform(*ends) for name, ends in RANGES.items()})


def _near(numbers: CarefulNumbers, draws: random.Random) -> CarefulNumbers:
    changed: dict[str, float] = {}
    for name, value in asdict(numbers).items():
        low, high = RANGES[name]
        step = draws.gauss(0, _STEP) * (high - low) if draws.random() < _CHANGED else 0.0
        changed[name] = min(high, max(low, value + step))
    return CarefulNumbers(**changed)
