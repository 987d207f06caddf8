"""What an outcome is worth: the task first, then the context, the memory, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass

from infrastructure.training.agemem.config import RewardConfig
from infrastructure.training.agemem.trajectory import OperationOutcome
from infrastructure.training.agemem.truth import Answer, MemoryJudgement


@dataclass(frozen=True, slots=True)
class EpisodeOutcome:
    """What came of a whole episode.

    Attributes:
        answers: one for each question.
        rounds: decisions taken about each question.
        budget: tokens that the context may hold.
        overflows: how often the context held more, so that its oldest items fell out.
        memory: what long-term memory held when it had heard everything.
        gone: facts that were superseded or taken back.
        retrieved, relevant: entries that were fetched, and those of them that were needed.
    """

    answers: tuple[Answer, ...]
    rounds: tuple[int, ...]
    budget: int
    overflows: int
    memory: MemoryJudgement
    gone: int
    retrieved: int
    relevant: int


class RewardFunction:
    """R = task + context + memory - penalties, each with its weight.

    Time never counts: it says more of the machine than of the decision.
    """

    def __init__(self, config: RewardConfig) -> None:
        self.config = config

    def compute(self, outcome: EpisodeOutcome | OperationOutcome) -> float:
        """The reward of an episode, or of one operation by itself (its worth by the truth)."""
        if isinstance(outcome, OperationOutcome):
            return outcome.worth if outcome.success else -self.config.failure_penalty
        config = self.config
        return (
            config.task * task_reward(outcome, config.partial)
            + config.context * context_reward(outcome)
            + config.memory * memory_reward(outcome)
            - config.rounds_penalty
            * sum(max(0, rounds - config.free_rounds) for rounds in outcome.rounds)
            - config.overflow_penalty * outcome.overflows
        )


def task_reward(outcome: EpisodeOutcome, partial: float) -> float:
    """0 to 1: the share of questions that are answered, `partial` of it for parts of an answer."""
    if not outcome.answers:
        return 0.0
    parts = sum(answer.recall * (1 - 0.5 * answer.stale) for answer in outcome.answers)
    whole = sum(answer.success for answer in outcome.answers)
    return ((1 - partial) * whole + partial * parts) / len(outcome.answers)


def context_reward(outcome: EpisodeOutcome) -> float:
    """0 to 1: the share of the budget that answered questions left free.

    An answer that fails earns nothing here, or an empty context would be the best.
    """
    if not outcome.answers:
        return 0.0
    free = (
        max(0.0, 1 - answer.tokens / outcome.budget) for answer in outcome.answers if answer.success
    )
    return sum(free) / len(outcome.answers)


def memory_reward(outcome: EpisodeOutcome) -> float:
    """0 to 1: how exactly memory holds what is needed, is free of what is gone, and is fetched."""
    memory = outcome.memory
    exact = memory.quality + memory.coverage
    f1 = 2 * memory.quality * memory.coverage / exact if exact else 0.0
    clean = 1 - min(1.0, memory.stale / outcome.gone) if outcome.gone else 1.0
    fetched = outcome.relevant / outcome.retrieved if outcome.retrieved else 0.0
    return 0.6 * f1 + 0.25 * clean * memory.coverage + 0.15 * fetched
