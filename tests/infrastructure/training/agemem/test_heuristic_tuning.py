"""The search for a heuristic's numbers: it finds what is better, keeps to its ranges, repeats."""

from __future__ import annotations

from dataclasses import asdict, fields

import pytest

from infrastructure.errors import InputError
from infrastructure.memory.agemem.decider import Decider
from infrastructure.memory.agemem.heuristics import (
    Careful,
    CarefulNumbers,
    KeepEverything,
    LongestTurns,
)
from infrastructure.training.agemem.tuning import (
    RANGES,
    tune_careful,
    tune_fetches,
    tuned_heuristics,
)


class Farness:
    """Judges `Careful` by how near its numbers are to a target; counts what it judged."""

    def __init__(self) -> None:
        self.judged: list[CarefulNumbers] = []

    async def __call__(self, decider: Decider) -> float:
        assert isinstance(decider, Careful)
        self.judged.append(decider.numbers)
        return -abs(decider.numbers.skip_below - 0.8) - abs(decider.numbers.rarity - 3.5) / 4


async def test_the_search_gets_nearer_and_is_the_best_it_judged() -> None:
    judge = Farness()
    tuned = await tune_careful(judge, 60, seed=1)
    first = await Farness()(Careful())
    assert tuned.score > first
    assert tuned.tries == len(judge.judged) == 60
    assert tuned.score == max([await Farness()(Careful(one)) for one in judge.judged])


async def test_every_number_is_looked_for_within_its_range() -> None:
    assert set(RANGES) == {one.name for one in fields(CarefulNumbers)}
    judge = Farness()
    await tune_careful(judge, 40, seed=2)
    for numbers in judge.judged:
        for name, value in asdict(numbers).items():
            assert RANGES[name][0] <= value <= RANGES[name][1]


async def test_one_seed_finds_the_same_numbers() -> None:
    found = [await tune_careful(Farness(), 20, seed=seed) for seed in (3, 3, 4)]
    numbers = [one.decider.numbers for one in found if isinstance(one.decider, Careful)]
    assert numbers[0] == numbers[1] != numbers[2]


async def test_who_does_not_pass_the_screen_is_not_judged() -> None:
    screen, judge = Farness(), Farness()
    tuned = await tune_careful(judge, 40, seed=5, screen=screen)
    assert len(screen.judged) == 39  # the better start and 38 draws
    assert 1 < len(judge.judged) < 20
    assert tuned.score == max([await Farness()(Careful(one)) for one in judge.judged])


async def test_no_try_is_refused() -> None:
    with pytest.raises(InputError, match="at least 1 try"):
        await tune_careful(Farness(), 0, seed=0)


async def test_the_number_of_fetches_is_the_one_that_the_judge_likes_best() -> None:
    async def judge(decider: Decider) -> float:
        assert isinstance(decider, LongestTurns)
        return {2: 0.1, 4: 0.7, 8: 0.3, 16: 0.2}[decider.top_k]

    tuned = await tune_fetches(LongestTurns, judge)
    assert isinstance(tuned.decider, LongestTurns)
    assert (tuned.decider.top_k, tuned.score) == (4, 0.7)


async def test_all_heuristics_are_tuned() -> None:
    async def judge(decider: Decider) -> float:
        return float(isinstance(decider, KeepEverything))

    tuned = await tuned_heuristics(judge, tries=2, seed=0)
    assert [one.decider.name for one in tuned] == ["fifo", "longest", "rarest", "careful"]
