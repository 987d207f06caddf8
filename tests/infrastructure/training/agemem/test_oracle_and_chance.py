"""What bounds every policy: the oracle above, no memory below, chance somewhere between."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from infrastructure.memory.agemem.actions import ACTIONS, PASS, Moment
from infrastructure.memory.agemem.decider import Decider, Observation, Reading
from infrastructure.memory.agemem.features import FEATURES
from infrastructure.memory.agemem.heuristics import Careful, KeepEverything
from infrastructure.training.agemem.baselines import NoMemory, RandomPolicy
from infrastructure.training.agemem.collect import Collector
from infrastructure.training.agemem.config import TrainingConfig
from infrastructure.training.agemem.episodes import (
    Arrival,
    Episode,
    Need,
    Question,
    Turn,
    TurnKind,
)
from infrastructure.training.agemem.oracle import Oracle
from infrastructure.training.agemem.rollout import Guided, Played
from tests.infrastructure.training.agemem.small_episode import EPISODE, TRAIN


async def played(decider: Decider, episode: Episode = EPISODE) -> Played:
    return await Collector(TrainingConfig(), lambda _: episode).play(episode, decider)


def taken(result: Played, moment: Moment) -> list[str]:
    places: list[int] = result.trajectory.actions.tolist()
    return [
        str(ACTIONS[place].operation)
        for place, event in zip(places, result.trajectory.events, strict=True)
        if event.startswith(moment)
    ]


def telling(count: int, *, each: str = "The code of door {n} is {n}{n}7.") -> list[Turn]:
    texts = [each.format(n=number) for number in range(count)]
    return [
        Turn(text, TurnKind.FACT, f"fact-{number}", evidence=text, useful=True)
        for number, text in enumerate(texts)
    ]


def asking(*turns: Turn, text: str | None = None) -> Question:
    needs = tuple(Need(turn.fact_id, (turn.text,)) for turn in turns)
    return Question(text or f"What do we know of {turns[0].text[4:15]}?", needs)


async def test_the_oracle_answers_everything_that_can_be_answered() -> None:
    result = await played(Oracle())
    assert (result.success, result.stale_rate) == (1.0, 0.0)
    assert result.memory.quality == result.memory.coverage == 1.0


async def test_the_oracle_uses_no_more_tokens_than_it_needs() -> None:
    lavish = await played(KeepEverything())
    assert (await played(Oracle())).context_tokens < lavish.context_tokens


async def test_with_little_room_it_stores_what_answers_the_most_questions() -> None:
    turns = telling(4)
    questions = (asking(*turns[:3]), asking(turns[3]), asking(turns[3], text="Which door is last?"))
    episode = replace(
        EPISODE, turns=tuple(turns), questions=questions, arrivals=(), goal="", capacity=2
    )
    result = await played(Oracle(), episode)
    assert taken(result, Moment.ARRIVAL) == ["pass", "pass", "pass", "add"]
    assert result.success == pytest.approx(2 / 3)


async def test_the_oracle_keeps_in_a_small_context_what_is_needed_later() -> None:
    chatter = [Arrival(f"The crowd at game {n} sang for a long time.") for n in range(8)]
    arrivals = (*chatter[:2], EPISODE.arrivals[1], *chatter[2:])
    crowded = replace(EPISODE, arrivals=arrivals, budget=40)
    result = await played(Oracle(), crowded)
    assert TRAIN in result.contexts[2][0]
    assert "filter" in taken(result, Moment.CONTEXT)
    assert (await played(KeepEverything(), crowded)).success < result.success


async def test_an_oracle_must_be_told_what_is_played() -> None:
    allowed = np.ones(len(ACTIONS), dtype=np.bool_)
    zeros = np.zeros(len(FEATURES), dtype=np.float32)
    with pytest.raises(RuntimeError, match="follow"):
        Oracle().decide(
            Observation(Moment.ARRIVAL, zeros, lambda: Reading(zeros, zeros[None]), allowed)
        )


async def test_one_oracle_plays_one_episode_after_another() -> None:
    oracle = Oracle()
    turns = telling(2)
    other = replace(EPISODE, turns=tuple(turns), questions=(asking(turns[1]),), goal="")
    assert [(await played(oracle, one)).success for one in (EPISODE, other, EPISODE)] == [1, 1, 1]


def test_no_decider_that_can_be_used_is_told_the_truth() -> None:
    assert isinstance(Oracle(), Guided)
    for decider in (NoMemory(), RandomPolicy(0), KeepEverything(), Careful()):
        assert not isinstance(decider, Guided)


async def test_without_memory_nothing_is_stored_or_fetched() -> None:
    result = await played(NoMemory())
    assert set(result.trajectory.actions.tolist()) == {PASS}
    assert result.memory.entries == 0


async def test_chance_takes_every_action_alike_and_repeats_with_its_seed() -> None:
    allowed = np.zeros(len(ACTIONS), dtype=np.bool_)
    allowed[[0, 2, 5]] = True
    zeros = np.zeros(len(FEATURES), dtype=np.float32)
    observed = Observation(Moment.ARRIVAL, zeros, lambda: Reading(zeros, zeros[None]), allowed)
    policy = RandomPolicy(1)
    drawn = Counter(policy.decide(observed).place for _ in range(900))
    assert set(drawn) == {0, 2, 5}
    assert min(drawn.values()) > 240
    again, other = RandomPolicy(1), RandomPolicy(2)
    first = [again.decide(observed).place for _ in range(20)]
    policy = RandomPolicy(1)
    assert first == [policy.decide(observed).place for _ in range(20)]
    assert first != [other.decide(observed).place for _ in range(20)]
