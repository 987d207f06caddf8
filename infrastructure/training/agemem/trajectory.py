"""What a rollout leaves behind: its decisions, what came of each, and what they were worth."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from infrastructure.memory.agemem.actions import ACTIONS, MemoryOperation
from infrastructure.memory.agemem.decider import Observation
from infrastructure.memory.agemem.text_analysis import MOST_SENTENCES

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class OperationOutcome:
    """What one operation did, measured and checked against the episode's truth.

    Attributes:
        operation: which one.
        success: whether it had its effect.
        latency_ms: of the operation alone, without what prepares it.
        retrieved_count: entries that `retrieve` gave.
        relevant_count: of them, those that the truth says are needed.
        input_length, output_length: tokens of what `summary` was given and of what it made.
        original_count, filtered_count: items that `filter` was given, and that it dropped.
        worth: what it did to memory and context by the episode's truth, about -2 to 2 (see
            `truth.memory_worth` and `truth.context_worth`): after it, less before it.
        reason: why it failed; "" if it did not.
    """

    operation: MemoryOperation
    success: bool
    latency_ms: float = 0.0
    retrieved_count: int = 0
    relevant_count: int = 0
    input_length: int = 0
    output_length: int = 0
    filtered_count: int = 0
    original_count: int = 0
    worth: float = 0.0
    reason: str = ""


def _no_masks() -> NDArray[np.bool_]:
    return np.ones((0, len(ACTIONS)), dtype=np.bool_)


def _no_credit() -> Floats:
    return np.zeros(0, dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """The decisions of one rollout, T of them.

    Attributes:
        states: float32[T, s]: each observation as `state_of` lays it out.
        actions: int64[T], places in ACTIONS.
        action_logprobs: float32[T], of each action by the policy that drew it.
        rewards: float32[T]; the return is their sum. A whole episode is rewarded at its end.
        masks: bool[T, len(ACTIONS)], what was allowed.
        credit: float32[T], what each decision by itself was worth, as the truth shows at the end;
            zeros where it says nothing.
        events: which event of the episode each decision was about; the same across a group.
        outcomes: what each operation did; None for doing nothing.
        episode_id: which episode was played.
        success: share of its questions that the final context answers.
    """

    states: Floats
    actions: NDArray[np.int64]
    action_logprobs: Floats
    rewards: Floats
    masks: NDArray[np.bool_] = field(default_factory=_no_masks)
    credit: Floats = field(default_factory=_no_credit)
    events: tuple[str, ...] = ()
    outcomes: tuple[OperationOutcome | None, ...] = ()
    episode_id: str = ""
    success: float = 0.0

    @property
    def total_reward(self) -> float:
        """The return: the sum of its rewards."""
        return float(np.sum(self.rewards, dtype=np.float64))


def state_of(observation: Observation, sentences: int = MOST_SENTENCES) -> Floats:
    """An observation as one row: its numbers, its relations, then its sentences.

    Sentences that it has not are zeros.
    """
    rows = observation.reading.sentences
    padded = np.zeros((sentences, rows.shape[1]), dtype=np.float32)
    padded[: len(rows)] = rows
    return np.concatenate((observation.numbers, observation.reading.relations, padded.ravel()))
