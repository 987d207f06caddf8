"""The whole state of a training as one safetensors file, from which it goes on exactly.

Tensors are named arrays; configuration, progress and what the arrays were made for are the file's
card. Nothing is pickled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from infrastructure.card_file import CardFile
from infrastructure.errors import GenesisError, InputError
from infrastructure.memory.agemem.policy import PolicyCard
from infrastructure.training.agemem.config import TrainingConfig, TrainingStage
from infrastructure.training.agemem.early_stopping import EarlyStopping

Arrays = dict[str, NDArray[np.generic]]
T = TypeVar("T")

CHECKPOINT: Final = "checkpoint.safetensors"
"""How the file is called in the folder of a training."""

_FORMAT: Final = 1
_MOST_BYTES: Final = 256_000_000
_FILE: Final = CardFile("checkpoint", "genesis.agemem_checkpoint", _MOST_BYTES)
_PARTS: Final = ("policy", "best", "grpo")


@dataclass(frozen=True, slots=True)
class StageResult:
    """How a stage ended.

    Attributes:
        stage: which one.
        steps: that it took.
        best: the best validation score; None without validation.
        best_step: the step of the stage whose policy was kept.
        stopped_early: whether patience ended it.
    """

    stage: TrainingStage
    steps: int
    best: float | None
    best_step: int
    stopped_early: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training stands.

    Attributes:
        step: steps taken, all stages together.
        stage: the one under way; None between two.
        stage_step: steps taken in it.
        stopping: what its validations showed.
        ended: the stages before it.
        prepared: whether the features' sizes are known.
        records: lines of metrics that were written.
    """

    step: int = 0
    stage: TrainingStage | None = None
    stage_step: int = 0
    stopping: EarlyStopping = field(default_factory=lambda: EarlyStopping(0))
    ended: tuple[StageResult, ...] = ()
    prepared: bool = False
    records: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A training at one moment.

    Attributes:
        config: all of it.
        progress: where it stands.
        card: what the policy sees, and how it was made.
        policy: the policy's arrays.
        best: those of the best policy of this stage; empty before a validation.
        grpo: the reference, the optimizer's moments and the state of the random numbers.
    """

    config: TrainingConfig
    progress: Progress
    card: PolicyCard
    policy: Arrays
    best: Arrays
    grpo: Arrays


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint, whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    arrays = {
        f"{part}.{name}": array
        for part in _PARTS
        for name, array in cast("Arrays", getattr(checkpoint, part)).items()
    }
    card = {
        "format": _FORMAT,
        "config": checkpoint.config.to_json(),
        "progress": asdict(checkpoint.progress),
        "card": asdict(checkpoint.card),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _FILE.write(path, json.dumps(card), arrays)
    except OSError as error:
        raise InputError(f"the checkpoint {path} cannot be written: {error}") from error


def load_checkpoint(path: Path) -> Checkpoint:
    """Read what `save_checkpoint` wrote.

    Raises:
        InputError: there is no such file, or it is damaged, foreign or of another version.
    """
    said, arrays = _FILE.read(path)
    try:
        card = cast("Mapping[str, Any]", json.loads(said))
        if card["format"] != _FORMAT:
            raise InputError(
                f"it has the format {card['format']!r}, this Genesis reads {_FORMAT}: start anew"
            )
        return Checkpoint(
            TrainingConfig.from_json(card["config"]),
            _parsed(Progress, card["progress"]),
            _parsed(PolicyCard, card["card"]),
            *(_part(name, arrays) for name in _PARTS),
        )
    except (GenesisError, ValidationError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"the checkpoint {path} cannot be used: {error}") from error


def _parsed(kind: type[T], value: object) -> T:
    return TypeAdapter(kind).validate_json(json.dumps(value), strict=True)


def _part(name: str, arrays: Mapping[str, NDArray[np.generic]]) -> Arrays:
    prefix = f"{name}."
    return {
        key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)
    }
