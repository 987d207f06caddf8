"""Episodes are played on real memories, by what a decider says, and judged by the truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from langgraph.store.base import Op, Result
from langgraph.store.memory import InMemoryStore
from numpy.typing import NDArray

from infrastructure.embeddings.builtin import BuiltinEmbedder
from infrastructure.memory.agemem.actions import (
    ACTIONS,
    PASS,
    MemoryOperation,
    Moment,
    place_of,
)
from infrastructure.memory.agemem.decider import Choice, Observation
from infrastructure.memory.agemem.text_analysis import TextAnalyst
from infrastructure.memory.memori.store import MemoriStore
from infrastructure.training.agemem.collect import Collector
from infrastructure.training.agemem.config import GrpoConfig, TrainingConfig, TrainingStage
from infrastructure.training.agemem.practice import DeciderSource
from infrastructure.training.agemem.rollout import Played
from infrastructure.training.agemem.trajectory import Trajectory
from tests.infrastructure.training.agemem.small_episode import EPISODE, NEW_HOME

ADD = place_of(MemoryOperation.ADD, 0.75)
ADD_LESS = place_of(MemoryOperation.ADD, 0.25)
UPDATE = place_of(MemoryOperation.UPDATE, 0)
DELETE = place_of(MemoryOperation.DELETE, 0)
RETRIEVE_2 = place_of(MemoryOperation.RETRIEVE, 2)
RETRIEVE_4 = place_of(MemoryOperation.RETRIEVE, 4)
FILTER = place_of(MemoryOperation.FILTER, 0.1)

WELL_KEPT = (ADD, PASS, ADD, UPDATE, ADD, PASS, DELETE)
"""What becomes of each turn of the small episode, at best."""


class Scripted:
    """Takes the turns' decisions from a list, then always the same about context and questions."""

    name = "scripted"

    def __init__(self, turns: Sequence[int], *, question: int = RETRIEVE_2) -> None:
        self._turns = list(turns)
        self._question = question

    def decide(self, observation: Observation) -> Choice:
        if observation.moment is Moment.ARRIVAL:
            return Choice(self._turns.pop(0))
        if observation.moment is Moment.QUESTION and observation.allowed[self._question]:
            return Choice(self._question)
        return Choice(PASS)


class Drawing:
    """Draws from what is allowed, with the probabilities it draws by."""

    name = "drawing"

    def __init__(self, draws: np.random.Generator) -> None:
        self._draws = draws

    def decide(self, observation: Observation) -> Choice:
        shares = observation.allowed / observation.allowed.sum()
        place = int(self._draws.choice(len(ACTIONS), p=shares))
        return Choice(place, shares.astype(np.float32))


def _collector(config: TrainingConfig | None = None, **options: Any) -> Collector:
    return Collector(config or TrainingConfig(), lambda _: EPISODE, **options)


async def _played(turns: Sequence[int], question: int = RETRIEVE_2, **options: Any) -> Played:
    return await _collector(**options).play(EPISODE, Scripted(turns, question=question))


async def test_a_memory_that_is_kept_well_answers_everything() -> None:
    played = await _played(WELL_KEPT)
    assert played.success == 1.0
    assert played.evidence_recall == 1.0
    assert played.stale_rate == 0.0
    assert (played.memory.useful, played.memory.stale) == (2, 0)
    assert 0 < played.context_tokens <= EPISODE.budget


async def test_without_memory_only_the_context_is_left() -> None:
    played = await _played([PASS] * 7)
    assert played.success == 0.0
    assert played.evidence_recall == pytest.approx(0.5 / 3)  # the train is in the context


async def test_storing_beside_what_is_gone_spoils_the_answer() -> None:
    played = await _played((ADD, PASS, ADD, ADD, PASS, PASS, PASS), RETRIEVE_4)
    assert played.stale_rate > 0
    assert played.memory.stale == 1
    better = await _played(WELL_KEPT)
    assert better.trajectory.total_reward > played.trajectory.total_reward


async def test_an_importance_decides_what_a_full_memory_keeps() -> None:
    # Seven turns, of which one changes an entry, and room for four entries.
    everything = (ADD, ADD_LESS, ADD, UPDATE, ADD_LESS, ADD_LESS, ADD_LESS)
    played = await _played(everything)
    assert played.memory.entries == EPISODE.capacity
    assert played.memory.held == 2


async def test_updates_and_deletes_act_on_entries_that_exist() -> None:
    trajectory = (await _played(WELL_KEPT)).trajectory
    by_operation = {o.operation: o for o in trajectory.outcomes if o is not None}
    assert by_operation[MemoryOperation.UPDATE].success
    assert by_operation[MemoryOperation.DELETE].success
    nothing_there = Scripted([PASS, PASS, PASS, UPDATE, PASS, PASS, DELETE])
    seen: list[Observation] = []

    class Watching:
        name = "watching"

        def decide(self, observation: Observation) -> Choice:
            seen.append(observation)
            choice = nothing_there.decide(observation)
            return choice if observation.allowed[choice.place] else Choice(PASS)

    await _collector().play(EPISODE, Watching())
    assert not any(o.allowed[UPDATE] or o.allowed[DELETE] for o in seen)


async def test_what_is_retrieved_is_relevant_only_if_the_question_needs_it() -> None:
    trajectory = (await _played((ADD, ADD, PASS, PASS, ADD, PASS, PASS))).trajectory
    fetched = [o for o in trajectory.outcomes if o and o.operation is MemoryOperation.RETRIEVE]
    assert fetched
    assert all(outcome.retrieved_count > 0 for outcome in fetched)
    assert all(outcome.relevant_count == 0 for outcome in fetched)


async def test_a_state_knows_nothing_of_the_choice_that_follows() -> None:
    one = (await _played(WELL_KEPT)).trajectory
    other = (await _played((PASS, *WELL_KEPT[1:3], PASS, *WELL_KEPT[4:6], PASS))).trajectory
    np.testing.assert_array_equal(one.states[0], other.states[0])
    np.testing.assert_array_equal(one.masks[0], other.masks[0])
    assert one.actions[0] != other.actions[0]


async def test_credit_is_given_by_what_is_left_at_the_end() -> None:
    kept = (await _played(WELL_KEPT)).trajectory.credit
    assert kept[:7].tolist() == [1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0]
    # The entry of the first turn was changed by the fourth; both are to thank for it.
    careless = (await _played((ADD, ADD, ADD, DELETE, ADD, ADD, PASS))).trajectory.credit
    assert careless[1] < 0  # chatter takes a place
    assert careless[6] < 0  # the visit stays, though it was taken back


async def test_a_decision_that_takes_what_is_needed_is_blamed() -> None:
    credit = (await _played((ADD, PASS, ADD, UPDATE, UPDATE, PASS, PASS))).trajectory.credit
    assert credit[4] <= -1.0


def _drawing() -> DeciderSource:
    return Drawing


def _config(stage_seed: int = 0, *, group_size: int = 6, parallel: int = 8) -> TrainingConfig:
    return TrainingConfig(
        seed=stage_seed,
        grpo_config=GrpoConfig(group_size=group_size),
        parallel_rollouts=parallel,
    )


async def _group(stage: TrainingStage, task: int = 0, **options: Any) -> list[Trajectory]:
    return await _collector(_config(**options)).group(stage, task, _drawing())


@pytest.mark.parametrize("stage", list(TrainingStage))
async def test_a_group_starts_from_one_state(stage: TrainingStage) -> None:
    for task in range(6):
        group = await _group(stage, task)
        assert len(group) == 6
        for trajectory in group[1:]:
            np.testing.assert_array_equal(trajectory.states[0], group[0].states[0])


@pytest.mark.parametrize("stage", list(TrainingStage))
async def test_rollouts_do_not_depend_on_how_many_run_at_once(stage: TrainingStage) -> None:
    one = await _group(stage, 3, parallel=1)
    many = await _group(stage, 3, parallel=6)
    for left, right in zip(one, many, strict=True):
        np.testing.assert_array_equal(left.states, right.states)
        np.testing.assert_array_equal(left.actions, right.actions)
        np.testing.assert_array_equal(left.rewards, right.rewards)


async def test_each_stage_practises_something_else() -> None:
    lengths: dict[TrainingStage, Counter[int]] = {}
    for stage in TrainingStage:
        groups = [await _group(stage, task) for task in range(20)]
        lengths[stage] = Counter(len(one.actions) for group in groups for one in group)
    assert set(lengths[TrainingStage.SINGLE_TOOL]) == {1}
    assert set(lengths[TrainingStage.MULTI_TOOL]) <= {2, 3, 4}
    assert len(lengths[TrainingStage.MULTI_TOOL]) > 1
    fewest = len(EPISODE.turns) + len(EPISODE.arrivals) + len(EPISODE.questions)
    assert min(lengths[TrainingStage.UNIFIED]) >= fewest


async def test_log_probabilities_are_those_the_action_was_drawn_by() -> None:
    (trajectory, *_) = await _group(TrainingStage.UNIFIED)
    expected = -np.log(trajectory.masks.sum(axis=1))
    np.testing.assert_allclose(trajectory.action_logprobs, expected, rtol=1e-5)
    assert trajectory.masks[np.arange(len(trajectory.actions)), trajectory.actions].all()


async def test_actions_are_the_deciders() -> None:
    class Never:
        name = "never"

        def __init__(self, draws: np.random.Generator) -> None:
            self._probabilities: NDArray[np.float32] = np.eye(len(ACTIONS), dtype=np.float32)[PASS]

        def decide(self, observation: Observation) -> Choice:
            return Choice(PASS, self._probabilities)

    group = await _collector(_config()).group(TrainingStage.UNIFIED, 0, Never)
    assert all((trajectory.actions == PASS).all() for trajectory in group)


class FailingStore(InMemoryStore):
    """A store whose writes fail after some time."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self._left = after

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        self._left -= 1
        if self._left < 0:
            raise ConnectionError("the disk is gone")
        return await super().abatch(ops)


async def test_a_store_that_fails_gives_failed_operations_and_training_goes_on() -> None:
    collector = _collector(_config(), store=lambda: FailingStore(40))
    group = await collector.group(TrainingStage.UNIFIED, 0, _drawing())
    outcomes = [o for trajectory in group for o in trajectory.outcomes if o is not None]
    failed = [outcome for outcome in outcomes if not outcome.success and "disk" in outcome.reason]
    assert failed or collector.failures
    assert all(np.isfinite(trajectory.rewards).all() for trajectory in group)


async def test_a_store_that_never_works_leaves_an_empty_group_and_says_why() -> None:
    collector = _collector(_config(), store=lambda: FailingStore(0))
    assert await collector.group(TrainingStage.UNIFIED, 0, _drawing()) == []
    assert len(collector.failures) == 6
    assert "the disk is gone" in collector.failures[0]


async def test_the_store_makes_no_difference(tmp_path: Any) -> None:
    async with MemoriStore.from_conn_string(str(tmp_path / "memory.db")) as memori:
        stored = await _played(WELL_KEPT, store=lambda: memori)
    in_memory = await _played(WELL_KEPT)
    np.testing.assert_array_equal(in_memory.trajectory.states, stored.trajectory.states)
    assert in_memory.answers == stored.answers
    assert in_memory.contexts == stored.contexts
    assert any(NEW_HOME in text for text in stored.contexts[0])


class FilterFirst(Scripted):
    """Makes room before it fetches."""

    def decide(self, observation: Observation) -> Choice:
        if observation.moment is Moment.QUESTION and observation.allowed[FILTER]:
            return Choice(FILTER)
        return super().decide(observation)


async def test_making_room_is_credited_with_what_is_fetched_into_it() -> None:
    crowded = replace(EPISODE, arrivals=EPISODE.arrivals[:1], questions=EPISODE.questions[:1])
    crowded = replace(crowded, budget=16)  # the scores alone leave no room for an entry
    played = await _collector().play(crowded, FilterFirst(WELL_KEPT))
    assert played.success == 1.0
    filtered, fetched, *_ = played.trajectory.credit[len(crowded.turns) + 1 :].tolist()
    assert filtered > 1.5
    assert fetched > 1.5
    left = await _collector().play(crowded, Scripted(WELL_KEPT))
    assert left.success == 0.0


async def test_a_context_that_overflows_is_blamed_for_what_falls_out() -> None:
    awaited, chatter = EPISODE.arrivals[1], EPISODE.arrivals[0]
    crowded = replace(EPISODE, arrivals=(awaited, chatter), budget=awaited_tokens(awaited.text))
    played = await _collector().play(crowded, Scripted([PASS] * 7))
    came, lost = played.trajectory.credit[len(crowded.turns) : len(crowded.turns) + 2].tolist()
    assert came > 0.5
    assert lost < -0.5


def awaited_tokens(text: str) -> int:
    return TextAnalyst(BuiltinEmbedder()).of(text).tokens
