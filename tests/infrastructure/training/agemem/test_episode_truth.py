"""What an episode's truth says of memory and of a context."""

from __future__ import annotations

import pytest

from infrastructure.embeddings.builtin import BuiltinEmbedder
from infrastructure.memory.agemem.actions import MemoryOperation
from infrastructure.memory.agemem.context import WorkingContext
from infrastructure.memory.agemem.entries import MemoryEntry
from infrastructure.memory.agemem.text_analysis import TextAnalyst
from infrastructure.training.agemem.config import RewardConfig
from infrastructure.training.agemem.reward import EpisodeOutcome, RewardFunction
from infrastructure.training.agemem.trajectory import OperationOutcome
from infrastructure.training.agemem.truth import Answer, MemoryJudgement, Truth
from tests.infrastructure.training.agemem.small_episode import (
    ALLERGY,
    ALLERGY_AGAIN,
    EPISODE,
    NEW_HOME,
    OLD_HOME,
    SCORES,
    TRAIN,
    VISIT,
    WEATHER,
)


@pytest.fixture(scope="module")
def truth() -> Truth:
    return Truth(EPISODE)


def _entries(*texts: str, importance: float = 1.0) -> list[MemoryEntry]:
    return [
        MemoryEntry(f"{number:02d}", text, importance=importance)
        for number, text in enumerate(texts)
    ]


def _context(*texts: str) -> WorkingContext:
    analyst = TextAnalyst(BuiltinEmbedder())
    context = WorkingContext(EPISODE.budget)
    for text in texts:
        context.append(analyst.of(text))
    return context


def test_what_is_superseded_or_taken_back_is_not_needed(truth: Truth) -> None:
    assert truth.needed == {"home-2", "allergy"}
    assert truth.gone() == {"home-1", "visit"}
    assert truth.gone(after=3) == {"home-1"}
    assert truth.gone(after=0) == frozenset()


def test_a_fact_is_found_in_any_text_that_says_its_sentence(truth: Truth) -> None:
    assert truth.facts_in(f"In short: {ALLERGY} {NEW_HOME}") == {"allergy", "home-2"}
    assert truth.facts_in("Nora is allergic.") == frozenset()
    assert truth.facts_in("Forget the dentist, Tom.") == frozenset()


def test_memory_is_judged_entry_by_entry(truth: Truth) -> None:
    judged = truth.judge_memory(_entries(ALLERGY, ALLERGY_AGAIN, OLD_HOME, WEATHER))
    assert judged == MemoryJudgement(entries=4, useful=1, stale=1, needed=2, held=1)
    assert judged.quality == 0.25
    assert judged.coverage == 0.5


def test_an_empty_memory_is_of_no_quality_where_something_is_needed(truth: Truth) -> None:
    assert truth.judge_memory([]).quality == 0.0


def test_an_update_is_worth_more_than_storing_beside_what_is_gone(truth: Truth) -> None:
    beside = truth.memory_worth(_entries(OLD_HOME, NEW_HOME), after=3)
    in_place = truth.memory_worth(_entries(NEW_HOME), after=3)
    neither = truth.memory_worth(_entries(OLD_HOME), after=3)
    assert in_place > beside > neither


def test_a_fact_is_worth_storing_until_it_is_gone(truth: Truth) -> None:
    entries = _entries(OLD_HOME)
    assert truth.memory_worth(entries, after=2) > 0 > truth.memory_worth(entries, after=3)


def test_a_question_is_answered_by_what_is_current_alone(truth: Truth) -> None:
    home = EPISODE.questions[0]
    assert truth.answer(home, _context(NEW_HOME).items).success
    both = truth.answer(home, _context(NEW_HOME, OLD_HOME).items)
    assert (both.recall, both.stale, both.success) == (1.0, True, False)
    assert not truth.answer(home, _context(OLD_HOME).items).success
    assert not truth.answer(home, _context(VISIT).items).success


def test_all_that_a_question_needs_must_be_there(truth: Truth) -> None:
    train = EPISODE.questions[2]
    half = truth.answer(train, _context(f"Timetable: {TRAIN}").items)
    assert (half.recall, half.success) == (0.5, False)
    assert truth.answer(train, _context(TRAIN, NEW_HOME).items).success


def test_any_sentence_that_says_a_fact_answers(truth: Truth) -> None:
    assert truth.answer(EPISODE.questions[1], _context(ALLERGY_AGAIN).items).success


def test_a_context_above_its_budget_answers_nothing(truth: Truth) -> None:
    answer = truth.answer(EPISODE.questions[0], _context(NEW_HOME, SCORES * 10).items)
    assert (answer.success, answer.recall) == (False, 0.0)


def test_before_a_question_what_is_awaited_counts(truth: Truth) -> None:
    with_train = truth.context_worth(_context(f"Timetable: {TRAIN}").items, None)
    assert with_train > truth.context_worth(_context(SCORES).items, None)


GOOD = Answer(needs=1, met=1, stale=False, tokens=10, fits=True)
BAD = Answer(needs=1, met=0, stale=False, tokens=10, fits=True)
STALE = Answer(needs=1, met=1, stale=True, tokens=10, fits=True)


def _outcome(
    *answers: Answer,
    rounds: tuple[int, ...] = (1,),
    overflows: int = 0,
    memory: MemoryJudgement | None = None,
) -> EpisodeOutcome:
    return EpisodeOutcome(
        answers=answers,
        rounds=rounds,
        budget=100,
        overflows=overflows,
        memory=memory or MemoryJudgement(4, 2, 1, 4, 2),
        gone=1,
        retrieved=4,
        relevant=2,
    )


def test_the_reward_follows_the_task_before_all_else() -> None:
    reward = RewardFunction(RewardConfig())
    best, stale, worst = (reward.compute(_outcome(a)) for a in (GOOD, STALE, BAD))
    assert best > stale > worst
    full_of_junk = _outcome(GOOD, memory=MemoryJudgement(9, 1, 5, 4, 1))
    tidy_but_wrong = _outcome(BAD, memory=MemoryJudgement(4, 4, 0, 4, 4))
    assert reward.compute(full_of_junk) > reward.compute(tidy_but_wrong)


def test_rounds_and_overflows_cost() -> None:
    reward = RewardFunction(RewardConfig(free_rounds=2))
    assert reward.compute(_outcome(GOOD, rounds=(2,))) == reward.compute(_outcome(GOOD))
    assert reward.compute(_outcome(GOOD, rounds=(4,))) < reward.compute(_outcome(GOOD))
    assert reward.compute(_outcome(GOOD, overflows=1)) < reward.compute(_outcome(GOOD))


def test_an_empty_context_is_no_way_to_a_reward() -> None:
    reward = RewardFunction(RewardConfig(task=0, memory=0, context=1))
    nothing = Answer(needs=1, met=0, stale=False, tokens=0, fits=True)
    assert reward.compute(_outcome(nothing)) == 0


@pytest.mark.parametrize("latency_ms", [0.0, 5.0, 10_000.0])
def test_latency_is_no_part_of_a_reward(latency_ms: float) -> None:
    reward = RewardFunction(RewardConfig())
    outcome = OperationOutcome(MemoryOperation.ADD, True, latency_ms=latency_ms, worth=0.5)
    assert reward.compute(outcome) == 0.5


def test_a_failed_operation_costs() -> None:
    reward = RewardFunction(RewardConfig(failure_penalty=0.25))
    failed = OperationOutcome(MemoryOperation.UPDATE, False, worth=0.0, reason="it is gone")
    assert reward.compute(failed) == -0.25


def test_that_an_update_happened_is_worth_nothing_by_itself() -> None:
    reward = RewardFunction(RewardConfig())
    assert reward.compute(OperationOutcome(MemoryOperation.UPDATE, True, worth=0.0)) == 0
