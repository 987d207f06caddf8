"""What each part of the training is worth: trainings that differ in one thing, on the generator.

Each variant is trained with every seed for the same number of steps, and played on the same
held-out episodes. Differences are to `as shipped`, with intervals over seeds and their episodes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agemem_rows import Job, each, play_all
from agemem_statistics import of_clusters

from infrastructure.memory.agemem.policy_file import save_policy
from infrastructure.training.agemem.config import GrpoConfig, TrainingConfig, TrainingStage
from infrastructure.training.agemem.generator import GRID, Split
from infrastructure.training.agemem.session import generated_material, open_training

Shares = Mapping[TrainingStage, float]

AS_SHIPPED = "as shipped"


@dataclass(frozen=True)
class Variant:
    """A training that differs: by its credit, and by which stages take which share of its steps."""

    grpo: GrpoConfig
    shares: Shares

    def config(self, seed: int, steps: int) -> TrainingConfig:
        stages = {stage: round(share * steps) for stage, share in self.shares.items()}
        return TrainingConfig(seed=seed, grpo_config=self.grpo, stages=stages)


@dataclass(frozen=True)
class Training:
    """A variant to be trained with a seed, and the file that takes its policy."""

    name: str
    seed: int
    steps: int
    file: Path


def variants() -> dict[str, Variant]:
    """All trainings that are compared; the first is the one that ships."""
    usual = TrainingConfig()
    total = sum(usual.stages.values())
    shares = {stage: steps / total for stage, steps in usual.stages.items()}
    grpo = usual.grpo_config
    found = {AS_SHIPPED: Variant(grpo, shares)}
    for name, changed in (
        ("terminal credit", replace(grpo, credit="terminal")),
        ("step-local credit", replace(grpo, credit="local")),
        ("both credits", replace(grpo, credit="both")),
        ("with std", replace(grpo, std_normalise=True)),
        ("without std", replace(grpo, std_normalise=False)),
    ):
        if changed != grpo:
            found[name] = Variant(changed, shares)
    for stage in TrainingStage:
        left = {one: share for one, share in shares.items() if one is not stage}
        found[f"without {stage}"] = Variant(grpo, _whole(left))
    found["unified alone"] = Variant(grpo, {TrainingStage.UNIFIED: 1.0})
    return found


def _whole(shares: Shares) -> Shares:
    total = sum(shares.values()) or 1.0
    return {stage: share / total for stage, share in shares.items()}


def trained(training: Training) -> None:
    """Train a variant and write its policy."""
    import torch

    torch.set_num_threads(1)
    config = variants()[training.name].config(training.seed, training.steps)
    material = generated_material(training.seed)
    trainer = open_training(config, material, created_at="", package_version="")
    asyncio.run(trainer.train())
    save_policy(trainer.policy(), training.file)


def ablated(
    folder: Path,
    *,
    steps: int,
    seeds: int,
    episodes: int,
    split: Split,
    pool: Executor | None,
    seed: int,
) -> dict[str, Any]:
    """Train and play all variants; the rows tell their success and the difference.

    Args:
        folder: takes the policies.
        steps: of each training, all stages together.
        seeds: trainings of each variant.
        episodes: of each cell for each training.
        split: of the generator, held out.
        pool: processes that do it; None for this one.
        seed: of the resampling.
    """
    names = list(variants())
    trainings = [
        Training(name, number, steps, folder / f"{place}-{number}.safetensors")
        for place, name in enumerate(names)
        for number in range(seeds)
    ]
    each(trained, trainings, pool)
    jobs = [
        Job("policy", training.file, split, cell, _numbers(training.seed, episodes))
        for training in trainings
        for cell in range(len(GRID))
    ]
    success: dict[str, list[float]] = {name: [] for name in names}
    owners = [training for training in trainings for _ in GRID]
    for training, played in zip(owners, play_all(jobs, pool), strict=True):
        success[training.name] += [one.task_success for one in played]
    clusters = [number for number in range(seeds) for _ in range(len(GRID) * episodes)]
    return {"steps": steps, "rows": _rows(success, clusters, seed)}


def _numbers(seed: int, episodes: int) -> tuple[int, ...]:
    return tuple(range(seed * episodes, (seed + 1) * episodes))


def _rows(
    success: Mapping[str, Sequence[float]], clusters: Sequence[int], seed: int
) -> list[dict[str, Any]]:
    draws = of_clusters(clusters, seed)
    rows: list[dict[str, Any]] = []
    for name, values in success.items():
        reached, gain = draws.mean(values), draws.gain(values, success[AS_SHIPPED])
        rows.append(
            {
                "name": name,
                "task_success": round(reached.mean, 4),
                "ci": reached.ends,
                "difference": round(gain.mean, 4),
                "difference_ci": gain.ends,
            }
        )
    return rows
