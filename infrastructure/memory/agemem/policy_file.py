"""A memory policy as one safetensors file: its arrays, and its card as the file's metadata."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, cast

from pydantic import TypeAdapter, ValidationError

from infrastructure.card_file import Arrays, CardFile
from infrastructure.embeddings.embedder import Embedder
from infrastructure.errors import InputError, PolicyRefused
from infrastructure.memory.agemem.actions import ACTIONS_VERSION
from infrastructure.memory.agemem.features import (
    FEATURES_VERSION,
    POLICY_FEATURES,
    SENTENCE_FEATURES,
)
from infrastructure.memory.agemem.policy import (
    FORMAT,
    WEIGHT_NAMES,
    NumpyPolicy,
    PolicyCard,
    PolicyWeights,
)

MOST_BYTES: Final = 2_000_000
SHIPPED: Final = Path(__file__).parent / "data" / "agemem_policy.safetensors"
"""The policy of the package."""

_FILE: Final = CardFile("memory policy", "genesis.agemem_policy", MOST_BYTES)
_AGAIN: Final = "train it again"


def save_policy(policy: NumpyPolicy, path: Path) -> None:
    """Write a policy, whole or not at all.

    Raises:
        InputError: it would be larger than can be loaded again.
        OSError: the file cannot be written.
    """
    arrays: Arrays = {name: getattr(policy.weights, name) for name in WEIGHT_NAMES}
    card = json.dumps(asdict(policy.card))
    size = sum(array.nbytes for array in arrays.values()) + len(card)
    if size > MOST_BYTES * 0.99:  # the rest is the file's own header
        raise InputError(f"a memory policy has at most {MOST_BYTES:,} bytes, this one {size:,}")
    _FILE.write(path, card, arrays)


def load_policy(path: Path) -> NumpyPolicy:
    """Read what `save_policy` wrote; whose vectors it takes is for `check_embedder`.

    Raises:
        PolicyRefused: there is no such file, or it is damaged, or made for another version or
            other features; the message says which.
    """
    try:
        said, arrays = _FILE.read(path)
    except InputError as error:
        raise PolicyRefused(str(error)) from error
    try:
        card = _card(said)
        _check_features(card)
        odd = sorted(set(arrays) ^ set(WEIGHT_NAMES))
        if odd:
            raise PolicyRefused(f"its array {odd[0]!r} is missing or unknown")
        return NumpyPolicy(card, PolicyWeights(**cast("Any", arrays)))
    except PolicyRefused as error:
        raise PolicyRefused(f"the memory policy {path} is refused: {error}") from error


@lru_cache(maxsize=1)
def default_policy() -> NumpyPolicy:
    """The policy that ships with the package, read once.

    Raises:
        PolicyRefused: the file is missing or cannot be used.
    """
    if not SHIPPED.is_file():
        raise PolicyRefused("this installation brings no memory policy")
    return load_policy(SHIPPED)


def check_embedder(policy: NumpyPolicy, embedder: Embedder) -> None:
    """Whether a policy understands an embedder's vectors.

    Raises:
        PolicyRefused: it was trained with another embedder, or another version of it.
        ModelError: the embedder's package is not installed.
    """
    card = policy.card
    made_for = (card.embedder, card.embedder_version, card.dimensions)
    here = (embedder.name, embedder.version, embedder.dimensions)
    if made_for != here:
        raise PolicyRefused(
            f"the memory policy takes vectors by {_vectors(*made_for)}, those made here are by "
            f"{_vectors(*here)}: {_AGAIN}"
        )


def _card(said: str) -> PolicyCard:
    try:
        values = cast("object", json.loads(said))
        if not isinstance(values, Mapping):
            raise PolicyRefused("its card is damaged: it is no object")
        # First of all: a card of another version may be made of other entries.
        _check_versions(cast("Mapping[str, object]", values))
        card = TypeAdapter(PolicyCard).validate_json(said, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        entry = ".".join(map(str, first["loc"]))
        raise PolicyRefused(f"its card is damaged: {entry}: {first['msg']}") from error
    except ValueError as error:
        raise PolicyRefused(f"its card is damaged: {error}") from error
    for score in card.scores:
        if not all(map(math.isfinite, (score.mean, score.low, score.high))):
            raise PolicyRefused(f"its card is damaged: {score} holds what is no number")
    return card


def _check_versions(card: Mapping[str, object]) -> None:
    """Whether this package computes what the policy was trained to see and to do."""
    for entry, what, here in (
        ("format", "format", FORMAT),
        ("actions", "table of actions", ACTIONS_VERSION),
        ("features_version", "features", FEATURES_VERSION),
    ):
        if card.get(entry) != here:
            raise PolicyRefused(
                f"it is made for version {card.get(entry)} of the {what}, this Genesis has {here}: "
                f"{_AGAIN}"
            )


def _check_features(card: PolicyCard) -> None:
    for what, names, known in (
        ("feature", card.features, POLICY_FEATURES),
        ("feature of a sentence", card.sentence_features, SENTENCE_FEATURES),
    ):
        for place in range(max(len(names), len(known))):
            made_for, here = _at(names, place), _at(known, place)
            if made_for != here:
                raise PolicyRefused(
                    f"its {what} {place} is {made_for}, here it is {here} "
                    f"({len(names)} features, here {len(known)}): {_AGAIN}"
                )


def _at(names: Sequence[str], place: int) -> str:
    return repr(names[place]) if place < len(names) else "none"


def _vectors(name: str, version: str, dimensions: int) -> str:
    return f"{name} {version} ({dimensions} dimensions)"
