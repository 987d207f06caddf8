"""A training's configuration: what is refused, what JSON tells, and that every value counts."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from bandit_world import CARD, BanditWorld, small
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.errors import ConfigError
from infrastructure.memory.agemem.actions import MemoryOperation as Op
from infrastructure.training.agemem.checkpoint import CHECKPOINT
from infrastructure.training.agemem.config import (
    GrpoConfig,
    NetworkConfig,
    RewardConfig,
    TrainingConfig,
    TrainingStage,
)
from infrastructure.training.agemem.trainer import AgeMemTrainer


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (
            lambda: GrpoConfig(group_size=1),
            "GrpoConfig: group_size: 1 is not a whole number from 2",
        ),
        (lambda: GrpoConfig(epochs=2.0), "epochs: 2.0 is not a whole number"),  # pyright: ignore
        (lambda: GrpoConfig(epochs=True), "epochs: True is not a whole number"),
        (lambda: GrpoConfig(learning_rate=float("nan")), "learning_rate: nan is not a number"),
        (lambda: GrpoConfig(clip_low=-0.1), "clip_low: -0.1 is not a number from 0 to 1"),
        (lambda: GrpoConfig(credit="half"), "credit: 'half' is none of terminal, local, both"),  # pyright: ignore
        (lambda: GrpoConfig(std_normalise=1), "std_normalise: 1 is neither true nor false"),  # pyright: ignore
        (lambda: RewardConfig(task=float("inf")), "RewardConfig: task: inf"),
        (lambda: NetworkConfig(hidden1=0), "NetworkConfig: hidden1: 0"),
        (lambda: TrainingConfig(seed=-1), "TrainingConfig: seed: -1"),
        (lambda: TrainingConfig(ltm_operations=(Op.FILTER,)), "is none of add, update, delete"),
        (
            lambda: TrainingConfig(stages={TrainingStage.UNIFIED: -1}),
            "stages.unified: -1 is no whole number",
        ),
        (lambda: TrainingConfig.from_json([]), "TrainingConfig: [] is no object"),
        (lambda: TrainingConfig.from_json({"sede": 1}), "sede: is unknown; there are seed"),
        (lambda: TrainingConfig.from_json({"reward": {"tusk": 1}}), "RewardConfig: tusk"),
        (lambda: TrainingConfig.from_json({"stages": {"twin": 1}}), "there are single_tool"),
        (lambda: TrainingConfig.from_json({"stages": 3}), "stages: 3 is no object"),
        (lambda: TrainingConfig.from_json({"ltm_operations": "add"}), "'add' is no list"),
        (lambda: TrainingConfig.from_json({"ltm_operations": ["ad"]}), "'ad' is not a valid"),
    ],
)
def test_what_is_not_allowed_is_refused_with_what_is(wrong: Any, named: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(named)):
        wrong()


@given(
    st.builds(
        TrainingConfig,
        seed=st.integers(0, 2**32 - 1),
        stages=st.dictionaries(st.sampled_from(TrainingStage), st.integers(0, 1000)),
        grpo_config=st.builds(
            GrpoConfig,
            learning_rate=st.floats(1e-6, 1.0),
            advantage_clip=st.none() | st.floats(0.1, 10),
            credit=st.sampled_from(("terminal", "local", "both")),
        ),
        ltm_operations=st.sets(st.sampled_from((Op.ADD, Op.UPDATE, Op.DELETE))).map(tuple),
    )
)
def test_json_tells_a_configuration_exactly(config: TrainingConfig) -> None:
    assert TrainingConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def weights(config: TrainingConfig) -> dict[str, Any]:
    trainer = AgeMemTrainer(config, BanditWorld(config), card=CARD)
    asyncio.run(trainer.train())
    return trainer.network.export()


def differ(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return any(
        one[name].shape != other[name].shape or not np.array_equal(one[name], other[name])
        for name in one
    )


OTHER_GRPO: Final[dict[str, Any]] = {
    "group_size": 6,
    "tasks_per_step": 3,
    "learning_rate": 0.01,
    "epochs": 3,
    "minibatch": 16,
    "clip_low": 0.01,
    "clip_high": 0.01,
    "kl_weight": 1.0,
    "reference_every": 1,
    "entropy_weight": 0.1,
    "std_normalise": False,
    "credit": "local",
    "local_weight": 3.0,
    "advantage_clip": 0.5,
    "max_grad_norm": 0.01,
    "weight_decay": 1.0,
    "sentence_weight_decay": 3.0,
    "dropout": 0.5,
    "averaging": 0.0,
    "eps": 0.5,
}
BASE: Final = {"stages": {TrainingStage.UNIFIED: 3}, "credit": "both", "kl_weight": 0.1}


@pytest.fixture(scope="module")
def usual() -> dict[str, Any]:
    return weights(small(**BASE))


@pytest.mark.parametrize("name", [one.name for one in fields(GrpoConfig)])
def test_every_value_of_grpo_changes_what_is_learnt(name: str, usual: dict[str, Any]) -> None:
    changed = weights(small(**{**BASE, name: OTHER_GRPO[name]}))
    assert differ(changed, usual)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"stages": {TrainingStage.UNIFIED: 2}},
        {"statistics_episodes": 2},
        {"network": NetworkConfig(sentence_width=8)},
        {"network": NetworkConfig(hidden1=8)},
        {"network": NetworkConfig(hidden2=8)},
    ],
    ids=str,
)
def test_values_of_the_training_change_what_is_learnt(
    change: dict[str, Any], usual: dict[str, Any]
) -> None:
    assert differ(weights(small(**{**BASE, **change})), usual)


async def validated(**changes: Any) -> tuple[AgeMemTrainer, BanditWorld]:
    config = small(**{"stages": {TrainingStage.UNIFIED: 8}, **changes})
    validation = BanditWorld(replace(config, seed=99))
    trainer = AgeMemTrainer(config, BanditWorld(config), card=CARD, validation=validation)
    await trainer.train()
    return trainer, validation


async def test_validations_are_made_as_configured() -> None:
    _, usual = await validated()
    _, seldom = await validated(validation_every=4)
    _, larger = await validated(validation_episodes=6)
    assert [len(world.played) for world in (usual, seldom, larger)] == [5 * 4, 3 * 4, 5 * 6]


async def test_patience_ends_a_stage_and_the_measure_says_what_is_better() -> None:
    config = small(stages={TrainingStage.UNIFIED: 50}, learning_rate=1e-7, patience=2)
    world = BanditWorld(config)
    validation = BanditWorld(replace(config, seed=99))
    trainer = AgeMemTrainer(config, world, card=CARD, validation=validation)
    result = await trainer.train()
    (ended,) = result.progress.ended
    # Nothing is learnt at this rate: the first validation stays the best, two more are waited for.
    assert (ended.stopped_early, ended.steps, ended.best_step) == (True, 4, 0)


async def test_the_measure_of_validation_counts() -> None:
    by_reward, _ = await validated()

    class Doubled(BanditWorld):
        async def group(self, *given: Any, **named: Any) -> Any:
            return [replace(one, success=2.0) for one in await super().group(*given, **named)]

    config = small(stages={TrainingStage.UNIFIED: 2}, validation_measure="success")
    trainer = AgeMemTrainer(config, BanditWorld(config), card=CARD, validation=Doubled(config))
    await trainer.train()
    assert trainer.progress.ended[0].best == 2.0
    assert (by_reward.progress.ended[0].best or 0) <= 1.0


async def test_rollouts_run_at_once_as_configured_with_the_same_outcome() -> None:
    learnt: list[dict[str, Any]] = []
    for count in (1, 3, 8):
        config = small(stages={TrainingStage.UNIFIED: 2}, parallel_rollouts=count)
        world = BanditWorld(config)
        trainer = AgeMemTrainer(config, world, card=CARD)
        await trainer.train()
        assert world.most_at_once == count
        learnt.append(trainer.network.export())
    assert not differ(learnt[0], learnt[1])
    assert not differ(learnt[0], learnt[2])


async def test_operations_that_are_not_configured_are_not_tried() -> None:
    records: list[dict[str, Any]] = []
    config = small(ltm_operations=(Op.ADD,), stm_operations=())
    trainer = AgeMemTrainer(config, BanditWorld(config), card=CARD, on_record=records.append)
    await trainer.train(0)
    assert [one["operation"] for one in records[0]["operations"]] == ["add"]


async def test_checkpoints_are_written_as_often_as_configured(tmp_path: Path) -> None:
    for every, saved in ((1, 4), (2, 2)):
        folder = tmp_path / str(every)
        times: set[int] = set()

        def note(_: object, folder: Path = folder, times: set[int] = times) -> None:
            place = folder / CHECKPOINT
            if place.exists():
                times.add(place.stat().st_mtime_ns)

        config = small(
            stages={TrainingStage.UNIFIED: 5}, checkpoint_every=every, validation_every=100
        )
        trainer = AgeMemTrainer(
            config, BanditWorld(config), card=CARD, folder=folder, on_record=note
        )
        await trainer.train()
        assert len(times) == saved  # each is seen by the record after it; none by the last
