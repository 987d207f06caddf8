"""Trainings on real memories: what is configured reaches the rollouts, and chance does not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from bandit_world import small
from langgraph.store.base import BaseStore, Op, Result
from langgraph.store.memory import InMemoryStore

from infrastructure.embeddings.builtin import BuiltinEmbedder
from infrastructure.memory.agemem.actions import ACTIONS
from infrastructure.memory.agemem.actions import MemoryOperation as Operation
from infrastructure.memory.agemem.features import POLICY_FEATURES
from infrastructure.memory.agemem.policy_file import check_embedder, load_policy
from infrastructure.training.agemem.collect import Collector
from infrastructure.training.agemem.config import RewardConfig, TrainingConfig, TrainingStage
from infrastructure.training.agemem.reward import EpisodeOutcome, RewardFunction
from infrastructure.training.agemem.session import (
    Material,
    generated_material,
    open_training,
    write_outcome,
)
from infrastructure.training.agemem.trainer import AgeMemTrainer
from infrastructure.training.agemem.trajectory import OperationOutcome, Trajectory
from infrastructure.training.agemem.truth import Answer, MemoryJudgement
from tests.infrastructure.training.agemem.small_episode import EPISODE

QUICK: Final[dict[str, Any]] = {
    "stages": dict.fromkeys(TrainingStage, 2),
    "group_size": 4,
    "tasks_per_step": 2,
    "validation_episodes": 2,
}
MATERIAL: Final = Material("one episode", lambda _: EPISODE, lambda _: EPISODE)


def trainer_of(config: TrainingConfig, **given: Any) -> AgeMemTrainer:
    return open_training(
        config,
        given.pop("material", MATERIAL),
        created_at="2026-01-01T00:00:00+00:00",
        package_version="0",
        **given,
    )


async def learnt(config: TrainingConfig) -> dict[str, Any]:
    trainer = trainer_of(config)
    await trainer.train()
    return trainer.network.export()


async def test_one_seed_gives_one_policy_however_many_rollouts_run_at_once() -> None:
    alone, beside, other = [
        await learnt(small(**{**QUICK, **change}))
        for change in ({"parallel_rollouts": 1}, {"parallel_rollouts": 4}, {"seed": 5})
    ]
    assert all(np.array_equal(array, beside[name]) for name, array in alone.items())
    assert not np.array_equal(alone["action_weight"], other["action_weight"])


async def test_a_training_on_generated_episodes_leaves_a_policy_that_can_be_used(
    tmp_path: Path,
) -> None:
    config = small(
        stages={TrainingStage.SINGLE_TOOL: 2}, validation_episodes=2, statistics_episodes=1
    )
    records: list[dict[str, Any]] = []
    trainer = trainer_of(
        config, material=generated_material(0), folder=tmp_path, on_record=records.append
    )
    await trainer.train()
    policy, curves = write_outcome(tmp_path)
    loaded = load_policy(policy)
    check_embedder(loaded, BuiltinEmbedder())
    assert loaded.card.features == POLICY_FEATURES
    assert loaded.card.trained_on == "the episode generator"
    assert np.array_equal(loaded.weights.mean, trainer.network.export()["mean"])
    assert curves.exists()
    (tried,) = (record["operations"] for record in records if record["kind"] == "operations")
    assert {one["operation"]: one["success"] for one in tried} == dict.fromkeys(
        map(str, config.operations), True
    )
    assert all(one["latency_ms"] > 0 for one in tried)


def test_material_mixes_all_cells_and_its_halves_share_no_episode() -> None:
    material = generated_material(3)
    cells = [material.train(task).difficulty for task in range(32)]
    assert len(set(cells)) == 32
    assert cells[:8] != [material.train(task).difficulty for task in range(32, 40)]
    ours = {material.train(task).episode_id for task in range(20)}
    assert len(ours) == 20
    assert ours.isdisjoint(material.validation(task).episode_id for task in range(20))
    assert material.validation(7) == generated_material(4).validation(7)
    assert material.train(7) != generated_material(4).train(7)


async def test_operations_that_are_not_configured_are_never_done() -> None:
    config = small(**QUICK, ltm_operations=(Operation.ADD,), stm_operations=(Operation.RETRIEVE,))
    trainer: Any = trainer_of(config)
    group: list[Trajectory] = await trainer._collect_unified_trajectory()
    places: set[int] = set(np.concatenate([one.actions for one in group]).tolist())
    done = {ACTIONS[place].operation for place in places}
    assert done == {Operation.PASS, Operation.ADD, Operation.RETRIEVE}


class Failing(InMemoryStore):
    """A store that fails at some of its batches, counted from 1."""

    def __init__(self, at: range) -> None:
        super().__init__()
        self._at = at
        self._batches = 0

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        self._batches += 1
        if self._batches in self._at:
            raise OSError("the disk is full")
        return await super().abatch(ops)


@pytest.mark.parametrize("at", [range(20, 22), range(1, 1000)], ids=["a while", "for good"])
async def test_a_store_that_fails_in_the_middle_does_not_end_a_training(at: range) -> None:
    """It costs operations, which fail with their reason, or a whole rollout, which is left out."""
    config = small(**{**QUICK, "stages": {TrainingStage.UNIFIED: 1}, "tasks_per_step": 3})
    stores: list[BaseStore] = []

    def store() -> BaseStore:
        stores.append(Failing(at) if len(stores) == 1 else InMemoryStore())
        return stores[-1]

    trainer: Any = trainer_of(config)
    trainer.tasks = Collector(config, MATERIAL.train, store=store)
    groups: list[list[Trajectory]] = await trainer._collect_trajectories()
    lost = 4 - len(groups[1])
    assert [len(groups[0]), len(groups[2])] == [4, 4]
    assert len(trainer.tasks.failures) == lost
    outcomes = [outcome for one in groups[1] for outcome in one.outcomes if outcome is not None]
    failed = [one for one in outcomes if "the disk is full" in one.reason]
    assert not any(one.success for one in failed)
    assert 0 < lost + len(failed) <= len(at)
    assert (lost == 4) is (len(at) > 4)
    metrics = trainer.grpo.train_step(groups)
    assert (metrics.rollouts, metrics.dropped_empty) == (12 - lost, int(lost > 2))
    assert metrics.updates > 0


OUTCOME: Final = EpisodeOutcome(
    answers=(
        Answer(needs=1, met=1, stale=False, tokens=30, fits=True),
        Answer(needs=2, met=1, stale=False, tokens=30, fits=True),
    ),
    rounds=(4, 4),
    budget=100,
    overflows=1,
    memory=MemoryJudgement(entries=4, useful=2, stale=1, needed=4, held=2),
    gone=2,
    retrieved=4,
    relevant=2,
)
JUDGED: Final = (OUTCOME, OperationOutcome(Operation.ADD, success=False))


@pytest.mark.parametrize("name", [one.name for one in fields(RewardConfig)])
def test_every_value_of_the_reward_changes_it(name: str) -> None:
    usual = RewardConfig()
    value = getattr(usual, name)
    changed = replace(usual, **{name: type(value)(value / 2)})
    ours, other = RewardFunction(usual), RewardFunction(changed)
    assert [ours.compute(one) for one in JUDGED] != [other.compute(one) for one in JUDGED]
