"""A learnt routing policy: what to expect of each option at a task, from its text.

A policy is a set of arrays and a card that says where they come from, in one safetensors file.
It predicts by NumPy alone; `genesis.learning.train` makes it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors import numpy as safetensors_numpy

from genesis.errors import InputError
from genesis.routing.features import FEATURES_VERSION, FORM_NAMES, HASHED, form, hashed_words
from genesis.routing.joint import LatentTrait
from genesis.routing.outlook import Outlook

FORMAT: Final = 1
_CARD: Final = "genesis.routing_policy"
_JOINT: Final = "joint."

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Card:
    """What a policy is and where it comes from.

    Attributes:
        options: what it knows, in the order of its arrays.
        embedder, embedder_version, dimensions: whose vectors it takes; "", "" and 0 for none.
        examples: labelled examples that it was trained on.
        observed: how often each option was tried among them.
        calibration_error: expected calibration error on predictions made out of fold.
        brier, base_brier: mean squared error of those predictions, and of each option's mean.
        created: ISO 8601, UTC.
        format, features: versions of the file's layout and of the text's features.
    """

    options: tuple[str, ...]
    embedder: str
    embedder_version: str
    dimensions: int
    examples: int
    observed: tuple[int, ...]
    calibration_error: float
    brier: float
    base_brier: float
    created: str
    format: int = FORMAT
    features: int = FEATURES_VERSION


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """A policy's arrays. A row of features is [vector, scaled form, hashed TF-IDF].

    Attributes:
        idf: rarity of each hashed word, [HASHED].
        form_mean, form_scale: what the form is standardised by, [forms].
        block_scale: what each of the three blocks is multiplied by, [3].
        success, success_bias: from a row to a raw score, [features, options] and [options].
        slope, offset: from a raw score to the logit of P(verified), [options].
        price, price_bias: from a row to the log of US dollars, [features, options], [options].
    """

    idf: Floats
    form_mean: Floats
    form_scale: Floats
    block_scale: Floats
    success: Floats
    success_bias: Floats
    slope: Floats
    offset: Floats
    price: Floats
    price_bias: Floats


class RoutingPolicy:
    """Predicts success and price of each option that it was trained on.

    Args:
        card: what it is.
        weights: its arrays.
        joint: how outcomes go together; None takes them as independent.

    Raises:
        InputError: the arrays do not fit the card, or are not finite.
    """

    def __init__(self, card: Card, weights: Weights, joint: LatentTrait | None = None) -> None:
        _check(card, weights)
        self.card = card
        self.joint = joint
        self._weights = weights

    @property
    def options(self) -> tuple[str, ...]:
        """The options that it knows."""
        return self.card.options

    def outlook(self, text: str, vector: NDArray[np.floating[Any]] | None = None) -> Outlook:
        """What to expect at a task.

        Args:
            text: the request.
            vector: its embedding by the card's embedder, [dimensions]; None for a policy that
                takes none.

        Raises:
            InputError: the vector is missing, or has another length, or is not finite.
        """
        weights = self._weights
        row = self.row(text, vector)
        raw = row @ weights.success + weights.success_bias
        marginal = 1 / (1 + np.exp(-(weights.slope * raw + weights.offset)))
        usd = np.exp(row @ weights.price + weights.price_bias)
        support = np.array(self.card.observed, dtype=np.float64)
        if self.joint is None:
            return Outlook(self.options, marginal[:, None], np.ones(1), usd, support)
        success, states = self.joint.states(marginal)
        return Outlook(self.options, success, states, usd, support)

    def row(self, text: str, vector: NDArray[np.floating[Any]] | None = None) -> Floats:
        """The features of a text, float64 [features].

        Raises:
            InputError: as `outlook`.
        """
        return feature_row(text, self._checked(vector), self._weights)

    def _checked(self, vector: NDArray[np.floating[Any]] | None) -> Floats:
        dimensions = self.card.dimensions
        if dimensions == 0:
            return np.zeros(0)
        if vector is None or vector.shape != (dimensions,) or not np.isfinite(vector).all():
            given = "none" if vector is None else f"the shape {vector.shape}"
            raise InputError(
                f"this routing policy needs the text's vector by {self.card.embedder!r}, "
                f"{dimensions} finite numbers; it got {given}"
            )
        return vector.astype(np.float64)

    def save(self, path: Path) -> None:
        """Write the policy to one safetensors file, whole or not at all.

        Raises:
            OSError: the file cannot be written.
        """
        arrays = {f.name: getattr(self._weights, f.name) for f in fields(Weights)}
        if self.joint is not None:
            arrays |= {f"{_JOINT}{name}": array for name, array in self.joint.arrays().items()}
        content = cast("Any", safetensors_numpy).save(
            {name: np.ascontiguousarray(array) for name, array in arrays.items()},
            metadata={_CARD: json.dumps(asdict(self.card))},
        )
        part = path.with_name(f"{path.name}.part")
        part.write_bytes(content)
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> RoutingPolicy:
        """Read what `save` wrote.

        Args:
            path: the file.

        Raises:
            InputError: there is no such file, or it is damaged, foreign or of another version.
        """
        card, arrays = _read(path)
        own = {name: array for name, array in arrays.items() if not name.startswith(_JOINT)}
        expected = {f.name for f in fields(Weights)}
        if set(own) != expected:
            odd = sorted(set(own) ^ expected)
            raise InputError(f"{path} is no routing policy: {odd[0]!r} is missing or unknown")
        joint_arrays = {
            name.removeprefix(_JOINT): array
            for name, array in arrays.items()
            if name.startswith(_JOINT)
        }
        try:
            joint = LatentTrait.of_arrays(joint_arrays, len(card.options)) if joint_arrays else None
            return cls(card, Weights(**cast("dict[str, Floats]", own)), joint)
        except InputError as error:
            raise InputError(f"the routing policy {path} is damaged: {error}") from error


def feature_row(text: str, vector: Floats, weights: Weights) -> Floats:
    """[vector, form, words] of one text, each block scaled, float64 [features]."""
    words = np.zeros(HASHED)
    places, counts = hashed_words(text)
    words[places] = counts * weights.idf[places]
    norm = float(np.sqrt(words @ words)) or 1.0
    scale = weights.block_scale
    shape = (form(text) - weights.form_mean) / weights.form_scale
    return np.concatenate([scale[0] * vector, scale[1] * shape, scale[2] / norm * words])


def _check(card: Card, weights: Weights) -> None:
    options, forms = len(card.options), len(FORM_NAMES)
    features = card.dimensions + forms + HASHED
    shapes = {
        "idf": (HASHED,),
        "form_mean": (forms,),
        "form_scale": (forms,),
        "block_scale": (3,),
        "success": (features, options),
        "price": (features, options),
    }
    for field in fields(Weights):
        array = cast("NDArray[np.generic]", getattr(weights, field.name))
        wanted = shapes.get(field.name, (options,))
        if array.dtype != np.float64 or array.shape != wanted:
            raise InputError(f"{field.name!r} is {array.dtype} {array.shape}, not float64 {wanted}")
        if not np.isfinite(array).all():
            raise InputError(f"{field.name!r} holds numbers that are not finite")
    if len(set(card.options)) != options or len(card.observed) != options:
        raise InputError("the card's options are not distinct, or not all counted")


def _read(path: Path) -> tuple[Card, dict[str, NDArray[np.generic]]]:
    try:
        with cast("Any", safe_open)(path, framework="numpy") as file:
            said = (file.metadata() or {}).get(_CARD)
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        raise InputError(f"the routing policy {path} cannot be read: {error}") from error
    if said is None:
        raise InputError(f"{path} is no routing policy: its card is missing")
    return _card(path, said), arrays


def _card(path: Path, said: str) -> Card:
    try:
        values = json.loads(said)
        if values["format"] != FORMAT or values["features"] != FEATURES_VERSION:
            raise InputError(
                f"the routing policy {path} has the format {values['format']}.{values['features']}"
                f", this Genesis reads {FORMAT}.{FEATURES_VERSION}: train it again"
            )
        values["options"] = tuple(map(str, values["options"]))
        values["observed"] = tuple(map(int, values["observed"]))
        return Card(**values)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no routing policy: its card is damaged: {error}") from error
