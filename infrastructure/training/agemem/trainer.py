"""Trains the memory policy: stage after stage, with validation, checkpoints and metrics.

A training is decided by its configuration alone. Task and rollout numbers seed all that is drawn
while playing, and the rest of its state is in the checkpoint: interrupted anywhere and gone on
with, it ends with the same weights as without the interruption.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from infrastructure.errors import InputError
from infrastructure.memory.agemem.actions import MemoryOperation
from infrastructure.memory.agemem.policy import (
    NumpyPolicy,
    PolicyCard,
    PolicyWeights,
    candidates_of,
)
from infrastructure.training.agemem.checkpoint import (
    CHECKPOINT,
    Arrays,
    Checkpoint,
    Progress,
    StageResult,
    save_checkpoint,
)
from infrastructure.training.agemem.config import TrainingConfig, TrainingStage
from infrastructure.training.agemem.early_stopping import EarlyStopping
from infrastructure.training.agemem.grpo import Grpo
from infrastructure.training.agemem.metrics_log import METRICS, MetricsLog, Record
from infrastructure.training.agemem.network import PolicyNetwork
from infrastructure.training.agemem.practice import (
    TaskSource,
    carry_out,
    group_or_none,
    played_once,
    validate,
)
from infrastructure.training.agemem.records import (
    operations_record,
    step_record,
    validation_record,
)
from infrastructure.training.agemem.reward import RewardFunction
from infrastructure.training.agemem.trajectory import OperationOutcome, Trajectory


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What a call of `train` left behind.

    Attributes:
        progress: where the training stands; its `ended` tells of the stages that are done.
        steps: taken by this call.
        finished: whether every stage of the configuration has ended.
    """

    progress: Progress
    steps: int
    finished: bool


class AgeMemTrainer:
    """Trains a policy by playing.

    Args:
        config: decides everything.
        tasks: what is practised on.
        card: what the policy sees; its steps, stages and seed are filled in.
        validation: other tasks of the same kind; None keeps the last policy of a stage and ends no
            stage early.
        folder: takes the checkpoint and the metrics; None writes nothing.
        checkpoint: go on from it; its configuration must be that of `config`, but for the
            stages, how many rollouts are played at once, and how often it is saved.
        on_record: is given every record of the metrics.

    Raises:
        InputError: the checkpoint does not fit, or the folder cannot be written.
    """

    def __init__(
        self,
        config: TrainingConfig,
        tasks: TaskSource,
        *,
        card: PolicyCard,
        validation: TaskSource | None = None,
        folder: Path | None = None,
        checkpoint: Checkpoint | None = None,
        on_record: Callable[[Record], None] | None = None,
    ) -> None:
        self.config = config
        self.tasks = tasks
        self.validation = validation
        self.reward_fn = RewardFunction(config.reward)
        self.network = PolicyNetwork(
            len(card.features),
            len(card.sentence_features) + card.dimensions,
            config.network,
            seed=config.seed,
            dropout=config.grpo_config.dropout,
            candidates=candidates_of(card.features),
        )
        self.grpo = Grpo(self.network, config.grpo_config, seed=config.seed)
        self.progress = Progress()
        self._card = card
        self._best: Arrays = {}
        self._folder = folder
        self._on_record = on_record
        if checkpoint is not None:
            self._restore(checkpoint)
        self._log = MetricsLog(folder / METRICS, keep=self.progress.records) if folder else None

    @property
    def card(self) -> PolicyCard:
        """What the policy is by now."""
        stages = [ended.stage for ended in self.progress.ended if ended.steps]
        if self.progress.stage is not None:
            stages.append(self.progress.stage)
        return replace(
            self._card,
            stages=tuple(map(str, stages)),
            steps=self.progress.step,
            seed=self.config.seed,
        )

    def policy(self) -> NumpyPolicy:
        """The policy as it is now, for use without torch."""
        return NumpyPolicy(self.card, PolicyWeights(**self.network.export()))

    def averaged_policy(self) -> NumpyPolicy:
        """The average of the stage's policies (see `GrpoConfig.averaging`), which is validated."""
        return NumpyPolicy(self.card, PolicyWeights(**self.grpo.averaged()))

    async def train(self, num_steps: int | None = None) -> TrainingResult:
        """Go through the configured stages, in their order.

        However it ends, by an error or a cancellation too, the checkpoint is written.

        Args:
            num_steps: at most so many steps now; None goes on to the end. Another call goes on
                where this one stopped.

        Raises:
            InputError: checkpoint or metrics cannot be written.
        """
        return await self._saved(self._train(num_steps))

    async def train_stage(self, stage: TrainingStage, num_steps: int) -> TrainingResult:
        """Practise one stage, whatever the configured stages are; it then counts as ended.

        Args:
            stage: what is practised.
            num_steps: at most; patience may end it before.
        """
        return await self._saved(self._train_stage(stage, num_steps))

    async def _saved(self, work: Coroutine[Any, Any, None]) -> TrainingResult:
        begun = self.progress.step
        try:
            await work
        finally:
            self._save()
        return TrainingResult(self.progress, self.progress.step - begun, self._next() is None)

    async def _train(self, num_steps: int | None) -> None:
        await self._prepare()
        last = None if num_steps is None else self.progress.step + num_steps
        while (stage := self._next()) is not None:
            if not await self._practise(stage, self.config.stages.get(stage, 0), last):
                return

    async def _train_stage(self, stage: TrainingStage, num_steps: int) -> None:
        await self._prepare()
        await self._practise(stage, num_steps, None)

    def _next(self) -> TrainingStage | None:
        """The stage to practise: the one under way, or the first that has not ended."""
        if self.progress.stage is not None:
            return self.progress.stage
        ended = {result.stage for result in self.progress.ended}
        for stage in TrainingStage:
            if stage not in ended and self.config.stages.get(stage, 0):
                return stage
        return None

    async def _practise(self, stage: TrainingStage, steps: int, last: int | None) -> bool:
        """Take steps of a stage; returns whether the stage ended.

        Args:
            stage: which.
            steps: of the stage, those already taken counted.
            last: the step of the whole training after which to stop; None for none.
        """
        if self.progress.stage is not stage:
            self._begin(stage)
        while True:
            every = self.config.validation_every
            over = self.progress.stage_step >= steps
            if over or self.progress.stage_step % every == 0:
                await self._validate(stage)
            if over or self.progress.stopping.stop:
                self._end(stage, stopped_early=not over)
                return True
            if last is not None and self.progress.step >= last:
                return False
            await self._step(stage)

    def _begin(self, stage: TrainingStage) -> None:
        self.grpo.begin_stage()
        self._best = {}
        self.progress = replace(
            self.progress,
            stage=stage,
            stage_step=0,
            stopping=EarlyStopping(self.config.patience),
        )

    def _end(self, stage: TrainingStage, *, stopped_early: bool) -> None:
        """Go on from the best policy of the stage, or from the last one if none was validated."""
        progress, stopping = self.progress, self.progress.stopping
        self.network.load(self._best or self.grpo.averaged())
        kept = stopping.best_step if self._best else progress.stage_step
        result = StageResult(stage, progress.stage_step, stopping.best, kept, stopped_early)
        self._best = {}
        self.progress = replace(progress, stage=None, stage_step=0, ended=(*progress.ended, result))
        self._save()

    async def _step(self, stage: TrainingStage) -> None:
        began = time.perf_counter()
        groups = await self._collect_trajectories()
        collected_s = time.perf_counter() - began
        if not any(groups):
            raise InputError(
                f"none of {self._wanted} rollouts of the stage {stage} could be played"
            )
        metrics = self.grpo.train_step(groups)
        # From here on nothing waits: a step is taken as a whole, or not at all.
        progress = self.progress
        self.progress = replace(
            progress, step=progress.step + 1, stage_step=progress.stage_step + 1
        )
        self._renew_reference()
        self._record(step_record(self.progress, metrics, self._wanted, collected_s))
        if self.progress.stage_step % self.config.checkpoint_every == 0:
            self._save()

    def _renew_reference(self) -> None:
        every = self.config.grpo_config.reference_every
        if every and self.progress.stage_step % every == 0:
            self.grpo.renew_reference()

    @property
    def _wanted(self) -> int:
        """Rollouts of a step when none fails."""
        return self.config.grpo_config.tasks_per_step * self.config.grpo_config.group_size

    async def _collect_trajectories(self) -> list[list[Trajectory]]:
        """Play the tasks of the next step with the policy of now, by groups."""
        stage = self.progress.stage or TrainingStage.UNIFIED
        collect = {
            TrainingStage.SINGLE_TOOL: self._collect_single_tool_trajectory,
            TrainingStage.MULTI_TOOL: self._collect_multi_tool_trajectory,
            TrainingStage.UNIFIED: self._collect_unified_trajectory,
        }[stage]
        policy = self.policy()
        count = self.config.grpo_config.tasks_per_step
        first = self.progress.stage_step * count
        return [await collect(first + number, policy) for number in range(count)]

    async def _collect_single_tool_trajectory(
        self, task: int = 0, policy: NumpyPolicy | None = None
    ) -> list[Trajectory]:
        """The rollouts of one task that is a single decision."""
        return await self._group(TrainingStage.SINGLE_TOOL, task, policy)

    async def _collect_multi_tool_trajectory(
        self, task: int = 0, policy: NumpyPolicy | None = None
    ) -> list[Trajectory]:
        """The rollouts of one task that is two to four decisions that belong together."""
        return await self._group(TrainingStage.MULTI_TOOL, task, policy)

    async def _collect_unified_trajectory(
        self, task: int = 0, policy: NumpyPolicy | None = None
    ) -> list[Trajectory]:
        """The rollouts of one whole episode."""
        return await self._group(TrainingStage.UNIFIED, task, policy)

    async def _group(
        self, stage: TrainingStage, task: int, policy: NumpyPolicy | None
    ) -> list[Trajectory]:
        """Rollouts whose every action is drawn from the policy."""
        return await group_or_none(self.tasks, stage, task, (policy or self.policy()).sampling)

    async def _validate(self, stage: TrainingStage) -> None:
        """Play the validation's tasks without drawing, and keep the policy if it is the best."""
        stopping, step = self.progress.stopping, self.progress.stage_step
        if self.validation is None or stopping.seen_at == step:
            return
        count = self.config.validation_episodes
        reached = await validate(self.validation, stage, self.averaged_policy(), count)
        by_reward = self.config.validation_measure == "reward"
        score = reached.reward if by_reward else reached.success
        if stopping.improved_by(score):
            self._best = cast("Arrays", self.grpo.averaged())
        stopping = stopping.after(score, step)
        self.progress = replace(self.progress, stopping=stopping)
        self._record(validation_record(self.progress, reached))

    async def _prepare(self) -> None:
        """Before the first step: try every operation, and see how large the features are."""
        if self.progress.prepared:
            return
        outcomes = [await self._execute_operation(one) for one in self.config.operations]
        played = await played_once(
            self.tasks,
            TrainingStage.UNIFIED,
            self.policy().sampling,
            self.config.statistics_episodes,
        )
        self.network.standardise(np.concatenate([one.states for one in played if len(one.actions)]))
        self.progress = replace(self.progress, prepared=True)
        self._record(operations_record(outcomes, self.reward_fn))

    async def _execute_operation(self, operation: MemoryOperation) -> OperationOutcome:
        """Carry out an operation on the real memory of a task; a failure says why."""
        return await carry_out(self.tasks, operation)

    def _record(self, record: Record) -> None:
        self.progress = replace(self.progress, records=self.progress.records + 1)
        if self._log is not None:
            self._log.add(record)
        if self._on_record is not None:
            self._on_record(record)

    def checkpoint(self) -> Checkpoint:
        """The whole state of the training."""
        return Checkpoint(
            self.config,
            self.progress,
            self.card,
            policy=cast("Arrays", self.network.export()),
            best=dict(self._best),
            grpo=self.grpo.export_state(),
        )

    def _save(self) -> None:
        if self._folder is not None:
            save_checkpoint(self.checkpoint(), self._folder / CHECKPOINT)

    def _restore(self, checkpoint: Checkpoint) -> None:
        for what, made, here in (
            ("features", checkpoint.card.features, self._card.features),
            (
                "features of a sentence",
                checkpoint.card.sentence_features,
                self._card.sentence_features,
            ),
            ("embedder", checkpoint.card.embedder_version, self._card.embedder_version),
            ("configuration", _deciding(checkpoint.config), _deciding(self.config)),
        ):
            if made != here:
                raise InputError(f"the checkpoint is of another {what}: start anew")
        self.network.load(checkpoint.policy)
        self.grpo.load_state(checkpoint.grpo)
        self._best = checkpoint.best
        self.progress = checkpoint.progress


def _deciding(config: TrainingConfig) -> TrainingConfig:
    """What of a configuration must stay the same when a training is gone on with."""
    return replace(config, stages={}, parallel_rollouts=1, checkpoint_every=1)
