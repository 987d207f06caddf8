"""A small world to learn in: what is right is one of the numbers that are seen.

Each decision shows one of three signs; one action is right at each. It yields trajectories exactly
as episodes do, in milliseconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np

from infrastructure.errors import StoreError
from infrastructure.memory.agemem.actions import ACTIONS, PASS, Moment, place_of
from infrastructure.memory.agemem.actions import MemoryOperation as Op
from infrastructure.memory.agemem.decider import Choice, Decider, Observation, Reading
from infrastructure.memory.agemem.policy import PolicyCard, candidates_of
from infrastructure.training.agemem.config import GrpoConfig, TrainingConfig, TrainingStage
from infrastructure.training.agemem.trajectory import OperationOutcome, Trajectory, state_of

SIGNS: Final = 3
NUMBERS: Final = 5
DIMENSIONS: Final = 8
RIGHT: Final = (PASS, place_of(Op.ADD, 1.0), place_of(Op.UPDATE, 0))
LENGTHS: Final = {
    TrainingStage.SINGLE_TOOL: 1,
    TrainingStage.MULTI_TOOL: 3,
    TrainingStage.UNIFIED: 6,
}

PLAIN: Final[dict[str, Any]] = {
    "group_size": 8,
    "epochs": 2,
    "minibatch": 2048,
    "clip_high": 0.2,
    "kl_weight": 0.01,
    "entropy_weight": 0.003,
    "credit": "terminal",
    "local_weight": 1.0,
    "dropout": 0.1,
    "averaging": 0.9,
}
"""GRPO without what helps on episodes: simple to follow, and the same whatever the defaults are."""

CARD: Final = PolicyCard(
    features=("number1", "number2", "number3", "near1.number", "near2.number"),
    sentence_features=(),
    features_version=1,
    embedder="none",
    embedder_version="1",
    dimensions=DIMENSIONS,
    stages=(),
    steps=0,
    seed=0,
    grid_version=1,
    trained_on="three signs",
    scores=(),
    created_at="2026-01-01T00:00:00+00:00",
    package_version="0",
    licence="MIT",
)

Draws = np.random.Generator


class BanditWorld:
    """Tasks of this world.

    Args:
        config: its seed draws the tasks; its parallel_rollouts bounds those that run at once.
        fails: whether the store fails in the middle of a rollout (stage, task, rollout).
    """

    def __init__(
        self,
        config: TrainingConfig,
        *,
        fails: Callable[[TrainingStage, int, int], bool] | None = None,
    ) -> None:
        self.config = config
        self.fails = fails
        self.played: list[tuple[TrainingStage, int]] = []
        self.most_at_once = 0
        self._at_once = 0

    async def group(
        self,
        stage: TrainingStage,
        task: int,
        decider: Callable[[Draws], Decider],
        *,
        rollouts: int | None = None,
    ) -> list[Trajectory]:
        """The rollouts of one task, without those whose store failed."""
        self.played.append((stage, task))
        key = (self.config.seed, tuple(TrainingStage).index(stage), task)
        signs = np.random.default_rng(key).integers(SIGNS, size=LENGTHS[stage])
        turns = asyncio.Semaphore(self.config.parallel_rollouts)

        async def rollout(number: int) -> Trajectory | None:
            async with turns:
                self._at_once += 1
                self.most_at_once = max(self.most_at_once, self._at_once)
                try:
                    draws = np.random.default_rng((*key, number))
                    return await self._rollout(stage, task, number, signs.tolist(), decider(draws))
                except StoreError:
                    return None
                finally:
                    self._at_once -= 1

        count = self.config.grpo_config.group_size if rollouts is None else rollouts
        played = await asyncio.gather(*(rollout(number) for number in range(count)))
        return [one for one in played if one is not None]

    async def _rollout(
        self, stage: TrainingStage, task: int, number: int, signs: list[int], decider: Decider
    ) -> Trajectory:
        seen = [
            observed(sign, np.random.default_rng((task, place))) for place, sign in enumerate(signs)
        ]
        choices: list[Choice] = []
        for place, observation in enumerate(seen):
            await asyncio.sleep(0)  # others take their turns here, as they do at a store
            if place == len(seen) // 2 and self.fails and self.fails(stage, task, number):
                raise StoreError("the disk is full")
            choices.append(decider.decide(observation))
        right = [choice.place == RIGHT[sign] for choice, sign in zip(choices, signs, strict=True)]
        return trajectory(
            seen,
            [choice.place for choice in choices],
            [
                0.0
                if choice.probabilities is None
                else float(np.log(choice.probabilities[choice.place]))
                for choice in choices
            ],
            credit=[float(one) for one in right],
            reward=float(np.mean(right)),
        )


CANDIDATES: Final = candidates_of(CARD.features)


def observed(sign: int, draws: Draws) -> Observation:
    """What is seen at a sign, with numbers and a sentence that say nothing beside it."""
    numbers = draws.normal(size=NUMBERS).astype(np.float32)
    numbers[:SIGNS] = np.eye(SIGNS, dtype=np.float32)[sign]
    vector = draws.normal(size=DIMENSIONS)
    vector = (vector / np.linalg.norm(vector)).astype(np.float32)
    allowed = np.zeros(len(ACTIONS), dtype=np.bool_)
    allowed[:7] = True
    return Observation(Moment.ARRIVAL, numbers, lambda: Reading(numbers[:0], vector[None]), allowed)


def trajectory(
    seen: list[Observation],
    actions: list[int],
    logprobs: list[float],
    *,
    credit: list[float],
    reward: float,
) -> Trajectory:
    """A rollout of this world."""
    rewards = np.zeros(len(actions), dtype=np.float32)
    rewards[-1:] = reward
    return Trajectory(
        states=np.stack([state_of(one, 1) for one in seen]),
        actions=np.array(actions, dtype=np.int64),
        action_logprobs=np.array(logprobs, dtype=np.float32),
        rewards=rewards,
        masks=np.stack([one.allowed for one in seen]),
        credit=np.array(credit, dtype=np.float32),
        events=tuple(f"sign:{place}" for place in range(len(actions))),
        outcomes=tuple(
            None if action == PASS else OperationOutcome(ACTIONS[action].operation, success=True)
            for action in actions
        ),
        success=reward,
    )


def drawn_group(
    decider: Callable[[Draws], Decider], *, seed: int = 0, size: int = 8, length: int = 6
) -> list[Trajectory]:
    """A group of rollouts that a policy drew."""
    config = replace(small(), seed=seed)
    world = BanditWorld(config)
    stage = {length: stage for stage, length in LENGTHS.items()}[length]
    return asyncio.run(world.group(stage, seed, decider, rollouts=size))


def small(**changes: Any) -> TrainingConfig:
    """A configuration that trains in a second; changes of GRPO by their own names."""
    own = {name: changes.pop(name) for name in list(changes) if hasattr(GrpoConfig, name)}
    grpo: dict[str, Any] = {**PLAIN, "tasks_per_step": 4, "learning_rate": 0.02, **own}
    given: dict[str, Any] = {
        "stages": dict.fromkeys(TrainingStage, 6),
        "statistics_episodes": 4,
        "validation_every": 2,
        "validation_episodes": 4,
        "patience": 0,
        "checkpoint_every": 2,
        "grpo_config": GrpoConfig(**grpo),
    }
    return TrainingConfig(**{**given, **changes})
