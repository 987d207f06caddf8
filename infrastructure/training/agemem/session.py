"""One training put together: what is practised on, the policy's card, and what is left behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import numpy as np

from infrastructure.embeddings.builtin import BuiltinEmbedder
from infrastructure.errors import InputError
from infrastructure.memory.agemem.decider import Floats
from infrastructure.memory.agemem.features import (
    FEATURES_VERSION,
    POLICY_FEATURES,
    SENTENCE_FEATURES,
)
from infrastructure.memory.agemem.policy import NumpyPolicy, PolicyCard, PolicyWeights
from infrastructure.memory.agemem.policy_file import save_policy
from infrastructure.memory.agemem.text_analysis import TextAnalyst
from infrastructure.training.agemem.checkpoint import CHECKPOINT, Checkpoint, load_checkpoint
from infrastructure.training.agemem.collect import Collector, EpisodeSource
from infrastructure.training.agemem.config import TrainingConfig
from infrastructure.training.agemem.curves import draw_curves
from infrastructure.training.agemem.episodes import DIFFICULTY_VERSION, Episode
from infrastructure.training.agemem.generator import GRID, Split, generate
from infrastructure.training.agemem.metrics_log import METRICS, STEP, Record, read_metrics
from infrastructure.training.agemem.trainer import AgeMemTrainer

POLICY: Final = "policy.safetensors"
CURVES: Final = "curves.png"
_VALIDATION_SEED: Final = 0


@dataclass(frozen=True, slots=True)
class Material:
    """What is practised on.

    Attributes:
        name: in words, for the policy's card.
        train, validation: the episode of a task's number; no episode is in both.
    """

    name: str
    train: EpisodeSource
    validation: EpisodeSource


def generated_material(seed: int) -> Material:
    """Episodes of the generator. Every training is validated on the same ones."""
    return Material(
        "the episode generator",
        _generated(seed, "train"),
        _generated(_VALIDATION_SEED, "validation"),
    )


def _generated(seed: int, split: Split) -> EpisodeSource:
    """Every cell of the grid once in as many tasks as it has cells, in an order that is drawn."""

    def episode(task: int) -> Episode:
        block, place = divmod(task, len(GRID))
        order = np.random.default_rng((seed, block)).permutation(len(GRID))
        own = int(np.random.SeedSequence((seed, task)).generate_state(1)[0])
        return generate(own, GRID[int(order[place])], split=split)

    return episode


def open_training(
    config: TrainingConfig,
    material: Material,
    *,
    created_at: str,
    package_version: str,
    folder: Path | None = None,
    checkpoint: Checkpoint | None = None,
    on_record: Callable[[Record], None] | None = None,
) -> AgeMemTrainer:
    """A trainer on real memories.

    Args:
        config: the training's.
        material: what is practised on.
        created_at: ISO 8601, UTC; for the card, as the version of the package.
        package_version: which trains.
        folder, checkpoint, on_record: see `AgeMemTrainer`.

    Raises:
        InputError: the checkpoint does not fit, or the folder cannot be written.
    """
    embedder = BuiltinEmbedder()
    analyst = TextAnalyst(embedder)
    card = PolicyCard(
        features=POLICY_FEATURES,
        sentence_features=SENTENCE_FEATURES,
        features_version=FEATURES_VERSION,
        embedder=embedder.name,
        embedder_version=embedder.version,
        dimensions=embedder.dimensions,
        stages=(),
        steps=0,
        seed=config.seed,
        grid_version=DIFFICULTY_VERSION,
        trained_on=material.name,
        scores=(),
        created_at=created_at,
        package_version=package_version,
        licence="MIT",
    )
    return AgeMemTrainer(
        config,
        Collector(config, material.train, analyst=analyst, word_dropout=config.word_dropout),
        card=card,
        validation=Collector(config, material.validation, analyst=analyst),
        folder=folder,
        checkpoint=checkpoint,
        on_record=on_record,
    )


def write_outcome(folder: Path) -> tuple[Path, ...]:
    """Make the policy and the curves of the checkpoint and the metrics in a folder.

    Returns:
        The files; no curves where no step was taken.

    Raises:
        InputError: a file cannot be read or written, or matplotlib is missing.
    """
    checkpoint = load_checkpoint(folder / CHECKPOINT)
    arrays = cast("dict[str, Floats]", checkpoint.policy)
    policy = folder / POLICY
    try:
        save_policy(NumpyPolicy(checkpoint.card, PolicyWeights(**arrays)), policy)
    except OSError as error:
        raise InputError(f"the policy {policy} cannot be written: {error}") from error
    records = read_metrics(folder / METRICS)
    if not any(record["kind"] == STEP for record in records):
        return (policy,)
    curves = folder / CURVES
    draw_curves(records, curves)
    return policy, curves
