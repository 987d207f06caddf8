"""A trainer's stages: in their order, each a practice of its own, from failures too."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from bandit_world import CARD, LENGTHS, RIGHT, BanditWorld, observed, small

from infrastructure.errors import InputError, StoreError
from infrastructure.memory.agemem.actions import MemoryOperation
from infrastructure.training.agemem.config import TrainingConfig, TrainingStage
from infrastructure.training.agemem.trainer import AgeMemTrainer


def trainer_of(config: TrainingConfig, world: BanditWorld | None = None, **given: Any) -> Any:
    """Typed as anything: the collectors that the specification names are not public."""
    return AgeMemTrainer(config, world or BanditWorld(config), card=CARD, **given)


def always(_stage: TrainingStage, _task: int, _rollout: int) -> bool:
    return True


async def test_stages_follow_each_other_each_with_its_own_steps() -> None:
    steps = {
        TrainingStage.UNIFIED: 3,
        TrainingStage.SINGLE_TOOL: 2,
        TrainingStage.MULTI_TOOL: 1,
    }
    records: list[dict[str, Any]] = []
    trainer = trainer_of(small(stages=steps), on_record=records.append)
    result = await trainer.train()
    assert result.finished
    assert [(one.stage, one.steps) for one in result.progress.ended] == [
        (stage, steps[stage]) for stage in TrainingStage
    ]
    order = [record["stage"] for record in records if record["kind"] == "step"]
    assert order == ["single_tool"] * 2 + ["multi_tool"] + ["unified"] * 3
    assert trainer.card.stages == ("single_tool", "multi_tool", "unified")
    assert trainer.card.steps == 6


async def test_a_stage_can_be_left_out() -> None:
    trainer = trainer_of(small(stages={TrainingStage.UNIFIED: 2, TrainingStage.SINGLE_TOOL: 0}))
    result = await trainer.train()
    assert [one.stage for one in result.progress.ended] == [TrainingStage.UNIFIED]


async def test_each_stage_collects_what_it_is_named_for() -> None:
    config = small()
    trainer = trainer_of(config)
    collectors = {
        TrainingStage.SINGLE_TOOL: trainer._collect_single_tool_trajectory,
        TrainingStage.MULTI_TOOL: trainer._collect_multi_tool_trajectory,
        TrainingStage.UNIFIED: trainer._collect_unified_trajectory,
    }
    for stage, collect in collectors.items():
        group = await collect(3)
        assert [len(one.actions) for one in group] == [LENGTHS[stage]] * 8


async def test_no_task_comes_twice_in_a_stage() -> None:
    config = small(stages={TrainingStage.MULTI_TOOL: 5})
    world = BanditWorld(config)
    await trainer_of(config, world).train()
    practised = [task for stage, task in world.played if stage is TrainingStage.MULTI_TOOL]
    assert practised == list(range(5 * 4))


async def test_every_stage_rises_from_where_an_untrained_policy_is() -> None:
    for stage in TrainingStage:
        config = small(stages={stage: 30}, validation_every=30, validation_episodes=32)
        records: list[dict[str, Any]] = []
        validation = BanditWorld(small(seed=7))
        trainer = trainer_of(config, validation=validation, on_record=records.append)
        await trainer.train()
        first, last = (record["reward"] for record in records if record["kind"] == "validation")
        assert first < 0.5
        assert last > 0.9


async def test_a_stage_practised_by_itself_counts_as_ended() -> None:
    trainer = trainer_of(small(stages={TrainingStage.SINGLE_TOOL: 4, TrainingStage.UNIFIED: 2}))
    own = await trainer.train_stage(TrainingStage.SINGLE_TOOL, 3)
    assert (own.steps, own.finished) == (3, False)
    rest = await trainer.train()
    assert (rest.steps, rest.finished) == (2, True)


async def test_the_best_policy_of_a_stage_is_kept_not_the_last() -> None:
    scores = iter([0.2, 0.9, 0.1, 0.3])

    class Scripted(BanditWorld):
        """A validation at which the second policy is the best, whatever it does."""

        async def group(self, *given: Any, **named: Any) -> Any:
            (one,) = await super().group(*given, **named)
            one.rewards[:] = 0
            one.rewards[-1] = next(scores)
            return [one]

    config = small(stages={TrainingStage.UNIFIED: 6}, validation_episodes=1)
    trainer = trainer_of(config, validation=Scripted(config))
    seen: list[Any] = []
    trainer._on_record = lambda record: seen.append(  # pyright: ignore
        (record["kind"], trainer.grpo.averaged())
    )
    await trainer.train()
    validated = [arrays for kind, arrays in seen if kind == "validation"]
    kept = trainer.network.export()
    assert [
        all(np.array_equal(kept[name], arrays[name]) for name in kept) for arrays in validated
    ] == [False, True, False, False]
    assert trainer.progress.ended[0].best_step == 2


async def test_a_store_that_fails_in_the_middle_costs_its_rollout_alone() -> None:
    records: list[dict[str, Any]] = []
    config = small(stages={TrainingStage.UNIFIED: 30})
    world = BanditWorld(config, fails=lambda _, task, rollout: task % 4 == 1 and rollout < 3)
    trainer = trainer_of(config, world, on_record=records.append)
    result = await trainer.train()
    assert result.finished
    steps = [record for record in records if record["kind"] == "step"]
    assert {record["failed_rollouts"] for record in steps} == {3}
    assert {record["rollouts"] for record in steps} == {29}
    policy = trainer.policy()
    for sign, right in enumerate(RIGHT):
        assert policy.decide(observed(sign, np.random.default_rng(99))).place == right


async def test_a_task_that_cannot_be_played_is_told_and_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(BanditWorld):
        async def group(self, stage: TrainingStage, task: int, *given: Any, **named: Any) -> Any:
            if task == 2 and not named.get("rollouts"):
                raise StoreError("the disk is full")
            return await super().group(stage, task, *given, **named)

    records: list[dict[str, Any]] = []
    config = small(stages={TrainingStage.UNIFIED: 1})
    with caplog.at_level(logging.WARNING):
        await trainer_of(config, Broken(config), on_record=records.append).train()
    assert "task 2 of the stage unified failed: the disk is full" in caplog.text
    (step,) = (record for record in records if record["kind"] == "step")
    assert (step["failed_rollouts"], step["dropped_empty"], step["groups"]) == (8, 1, 4)


async def test_a_step_of_which_nothing_can_be_played_ends_the_training() -> None:
    config = small(stages={TrainingStage.MULTI_TOOL: 3})
    world = BanditWorld(
        config, fails=lambda stage, _task, _rollout: stage is TrainingStage.MULTI_TOOL
    )
    with pytest.raises(InputError, match="none of 32 rollouts of the stage multi_tool"):
        await trainer_of(config, world).train()
    world = BanditWorld(config, fails=always)
    with pytest.raises(InputError, match="none of 4 tasks of the stage unified could be played"):
        await trainer_of(config, world).train()


async def test_every_operation_is_tried_before_the_first_step() -> None:
    records: list[dict[str, Any]] = []
    config = small()
    trainer = trainer_of(config, on_record=records.append)
    await trainer.train(0)
    (tried,) = (record["operations"] for record in records if record["kind"] == "operations")
    assert [one["operation"] for one in tried] == [str(one) for one in config.operations]
    # This world allows adding and updating alone; what is not allowed anywhere is told.
    done = {one["operation"]: one["success"] for one in tried}
    assert (done["add"], done["update"], done["retrieve"]) == (True, True, False)
    assert "could not be carried out" in tried[-1]["reason"]


async def test_one_operation_is_carried_out_and_judged() -> None:
    trainer = trainer_of(small())
    outcome = await trainer._execute_operation(MemoryOperation.ADD)
    assert (outcome.operation, outcome.success) == (MemoryOperation.ADD, True)
    assert trainer.reward_fn.compute(outcome) == outcome.worth
    failing = trainer_of(small(), BanditWorld(small(), fails=always))
    outcome = await failing._execute_operation(MemoryOperation.ADD)
    assert not outcome.success
    assert failing.reward_fn.compute(outcome) == -failing.config.reward.failure_penalty
