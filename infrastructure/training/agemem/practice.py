"""What a trainer asks of its tasks beside the groups it learns from: trials and validations."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from infrastructure.errors import GenesisError, InputError
from infrastructure.memory.agemem.actions import ACTIONS, PASS, MemoryOperation
from infrastructure.memory.agemem.decider import Choice, Decider, Observation
from infrastructure.training.agemem.config import TrainingStage
from infrastructure.training.agemem.step_metrics import mean
from infrastructure.training.agemem.trajectory import OperationOutcome, Trajectory

_TASKS_TRIED: Final = 200
_log: Final = logging.getLogger(__name__)

DeciderSource = Callable[[np.random.Generator], Decider]


class TaskSource(Protocol):
    """Plays tasks, as `collect.Collector` does."""

    async def group(
        self,
        stage: TrainingStage,
        task: int,
        decider: DeciderSource,
        *,
        rollouts: int | None = None,
    ) -> list[Trajectory]:
        """The rollouts of one task, without those that failed.

        Raises:
            GenesisError: the task cannot be played at all.
        """
        ...


@dataclass(frozen=True, slots=True)
class Validation:
    """What a policy reached on the tasks of a validation.

    Attributes:
        reward, success: means over the tasks that were played.
        episodes: how many those were.
    """

    reward: float
    success: float
    episodes: int


async def group_or_none(
    tasks: TaskSource,
    stage: TrainingStage,
    task: int,
    decider: DeciderSource,
    rollouts: int | None = None,
) -> list[Trajectory]:
    """The rollouts of a task, none where it fails: one task must not end a training.

    What is missing is counted by whoever knows how many there should be.
    """
    try:
        return await tasks.group(stage, task, decider, rollouts=rollouts)
    except GenesisError as error:
        _log.warning("task %d of the stage %s failed: %s", task, stage, error)
        return []


async def played_once(
    tasks: TaskSource, stage: TrainingStage, decider: DeciderSource, count: int
) -> list[Trajectory]:
    """One rollout of each of the first tasks.

    Raises:
        InputError: none of them could be played.
    """
    played: list[Trajectory] = []
    for task in range(count):
        played += await group_or_none(tasks, stage, task, decider, rollouts=1)
    if not any(len(one.actions) for one in played):
        raise InputError(f"none of {count} tasks of the stage {stage} could be played")
    return played


async def validate(
    tasks: TaskSource, stage: TrainingStage, decider: Decider, count: int
) -> Validation:
    """What a decider reaches on the first tasks.

    Raises:
        InputError: none of them could be played.
    """
    played = await played_once(tasks, stage, lambda _: decider, count)
    return Validation(
        mean([one.total_reward for one in played]),
        mean([one.success for one in played]),
        len(played),
    )


async def carry_out(tasks: TaskSource, operation: MemoryOperation) -> OperationOutcome:
    """Carry out an operation on the memory of the first task at which it is allowed.

    Returns:
        What it did; a failure with the reason where it could not be carried out.
    """
    wish = _Wish(operation)
    for task in range(_TASKS_TRIED):
        try:
            played = await tasks.group(TrainingStage.SINGLE_TOOL, task, lambda _: wish, rollouts=1)
        except GenesisError as error:
            return OperationOutcome(operation, success=False, reason=str(error))
        for outcome in (outcome for one in played for outcome in one.outcomes):
            if outcome is not None:
                return outcome
    reason = f"it could not be carried out at any of {_TASKS_TRIED} tasks"
    return OperationOutcome(operation, success=False, reason=reason)


class _Wish:
    """Does one operation wherever it may, and nothing else."""

    name = "wish"

    def __init__(self, operation: MemoryOperation) -> None:
        self._places = [
            place for place, action in enumerate(ACTIONS) if action.operation is operation
        ]

    def decide(self, observation: Observation) -> Choice:
        allowed = [place for place in self._places if observation.allowed[place]]
        return Choice(allowed[-1] if allowed else PASS)
