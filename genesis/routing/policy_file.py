"""A routing policy as one safetensors file: its arrays, and its card as the file's metadata."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Final, cast

from genesis.errors import InputError
from genesis.routing.features import FEATURES_VERSION
from genesis.routing.joint import LatentTrait
from genesis.routing.policy import FORMAT, Card, RoutingPolicy, Weights
from infrastructure.card_file import Arrays, CardFile

_FILE: Final = CardFile("routing policy", "genesis.routing_policy", most_bytes=256_000_000)
_JOINT: Final = "joint."


def save_policy(policy: RoutingPolicy, path: Path) -> None:
    """Write a policy, whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    arrays: Arrays = {f.name: getattr(policy.weights, f.name) for f in fields(Weights)}
    if policy.joint is not None:
        arrays |= {f"{_JOINT}{name}": array for name, array in policy.joint.arrays().items()}
    _FILE.write(path, json.dumps(asdict(policy.card)), arrays)


def load_policy(path: Path) -> RoutingPolicy:
    """Read what `save_policy` wrote.

    Raises:
        InputError: there is no such file, or it is damaged, foreign or of another version.
    """
    said, arrays = _FILE.read(path)
    card = _card(path, said)
    joint = {
        name.removeprefix(_JOINT): array
        for name, array in arrays.items()
        if name.startswith(_JOINT)
    }
    own = {name: array for name, array in arrays.items() if not name.startswith(_JOINT)}
    odd = sorted(set(own) ^ {field.name for field in fields(Weights)})
    if odd:
        raise InputError(f"{path} is no routing policy: {odd[0]!r} is missing or unknown")
    try:
        return RoutingPolicy(
            card,
            Weights(**cast("Any", own)),
            LatentTrait.of_arrays(joint, len(card.options)) if joint else None,
        )
    except InputError as error:
        raise InputError(f"the routing policy {path} is damaged: {error}") from error


def _card(path: Path, said: str) -> Card:
    try:
        values = json.loads(said)
        versions = (values["format"], values["features"])
        if versions != (FORMAT, FEATURES_VERSION):
            raise InputError(
                f"the routing policy {path} has the version {versions}, this Genesis reads "
                f"{(FORMAT, FEATURES_VERSION)}: train it again"
            )
        card = Card(
            **values
            | {
                "options": tuple(map(str, values["options"])),
                "observed": tuple(map(int, values["observed"])),
            }
        )
        _check_types(card)
        return card
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no routing policy: its card is damaged: {error}") from error


def _check_types(card: Card) -> None:
    for name in ("dimensions", "examples"):
        value = getattr(card, name)
        if type(value) is not int or value < 0:
            raise ValueError(f"{name} is {value!r}, not a count")
    for name in ("calibration_error", "brier", "base_brier"):
        value = getattr(card, name)
        if not isinstance(value, float | int) or not math.isfinite(value):
            raise ValueError(f"{name} is {value!r}, not a number")
    for name in ("embedder", "embedder_version", "created"):
        if not isinstance(getattr(card, name), str):
            raise TypeError(f"{name} is not a text")
