"""A learnt routing policy: what to expect of each option at a task, from its text.

A text is compared with those that the policy was trained on, by meaning and by form (a Gaussian
kernel); each option's score is the kernel ridge regression of its outcomes (Saunders et al.,
1998). The scores together give each option's probability: whether a weak option succeeds says
something about a strong one, too. Far from all that it has seen, a policy says what was usual.

A policy is a set of arrays and a card that says where they come from. It predicts by NumPy
alone; `genesis.learning.train` makes it, `genesis.routing.policy_file` keeps it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from genesis.errors import InputError
from genesis.routing.calibrate import TERMS, Calibration
from genesis.routing.features import FEATURES_VERSION, FORM_NAMES, form
from genesis.routing.joint import LatentTrait
from genesis.routing.outlook import Outlook

FORMAT: Final = 2
_FARTHEST: Final = 3.0  # standard deviations; a count beyond is taken as no farther

Floats = NDArray[np.float64]
Rows = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Card:
    """What a policy is and where it comes from.

    Attributes:
        options: what it knows, in the order of its arrays.
        embedder, embedder_version, dimensions: whose vectors it takes; "", "" and 0 for none.
        examples: how many it was trained on.
        observed: how often each option was tried among them.
        calibration_error: mean gap between what was expected and what happened, over groups of
            like expectation, on examples that were held out.
        brier, base_brier: mean squared error there, and that of always saying what is usual.
        created: ISO 8601, UTC.
        format, features: versions of the arrays and of the text's features.
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
class Scaling:
    """What makes a text's form and vector one row, whose distances the kernel sees.

    Attributes:
        mean, spread: of each count among the examples, float64 [forms].
        weights: of the form and of the vector in a squared distance, float64 [2].
    """

    mean: Floats
    spread: Floats
    weights: Floats

    def row(self, text: str, vector: NDArray[np.floating[Any]]) -> Rows:
        """One text's row, float32 [forms + dimensions]."""
        return self.rows(form(text)[None], vector[None])[0]

    def rows(self, forms: Floats, vectors: NDArray[np.floating[Any]]) -> Rows:
        """Rows of many, float32 [n, forms + dimensions]."""
        steps = np.clip((forms - self.mean) / self.spread, -_FARTHEST, _FARTHEST)
        scale = np.sqrt(self.weights / (len(self.mean), 1))
        return np.hstack([scale[0] * steps, scale[1] * vectors]).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """A policy's arrays; n examples, o options.

    Attributes:
        form_mean, form_spread, block_weights: see `Scaling`.
        points: the examples' rows, float32 [n, forms + dimensions].
        tried: 1 where an example tried an option, float32 [n, o].
        success: dual weights of the scores, float32 [n, o].
        success_mean: each option's share of successes, at all tasks, [o].
        score_mean, score_spread, terms, offset: see `Calibration`.
        price: dual weights of log(usd + soft), float32 [n, o].
        price_mean: its mean, [o].
        price_soft: soft, US dollars: keeps a free attempt's logarithm in bounds, [o].
    """

    form_mean: Floats
    form_spread: Floats
    block_weights: Floats
    points: Rows
    tried: Rows
    success: Rows
    success_mean: Floats
    score_mean: Floats
    score_spread: Floats
    terms: Floats
    offset: Floats
    price: Rows
    price_mean: Floats
    price_soft: Floats


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
        self.weights = weights
        self._scaling = Scaling(weights.form_mean, weights.form_spread, weights.block_weights)
        self._calibration = Calibration(
            weights.score_mean, weights.score_spread, weights.terms, weights.offset
        )
        self._squares = np.einsum("nd,nd->n", weights.points, weights.points)
        # One product for all, and each row of it in one piece of memory.
        together = np.hstack([weights.success, weights.price, weights.tried])
        self._sums = np.ascontiguousarray(together.T)

    @property
    def options(self) -> tuple[str, ...]:
        """The options that it knows."""
        return self.card.options

    def outlook(self, text: str, vector: NDArray[np.floating[Any]] | None = None) -> Outlook:
        """What to expect at a task.

        The support of an option counts the examples that tried it, each as much as it is alike.

        Args:
            text: the request.
            vector: its embedding by the card's embedder, [dimensions]; None for a policy that
                takes none.

        Raises:
            InputError: the vector is missing, or has another length, or is not finite.
        """
        weights = self.weights
        likeness = self._likeness(self._scaling.row(text, self._checked(vector)))
        sums: NDArray[np.float32] = np.einsum("kn,n->k", self._sums, likeness)
        score, log_usd, support = sums.astype(np.float64).reshape(3, len(self.options))
        marginal = self._calibration.apply((weights.success_mean + score)[None])[0]
        usd = np.maximum(np.exp(weights.price_mean + log_usd) - weights.price_soft, 0.0)
        success, states = marginal[:, None], np.ones(1)
        if self.joint is not None:
            success, states = self.joint.states(marginal)
        return Outlook(self.options, success, states, usd, support, weights.success_mean)

    def _likeness(self, row: Rows) -> Rows:
        """The kernel of one row with every example's, float32 [n]."""
        # einsum stays on this thread; BLAS would wake its workers for a product this small.
        products: Rows = np.einsum("nd,d->n", self.weights.points, row)
        return np.exp(-np.maximum(self._squares + row @ row - 2 * products, 0))

    def _checked(self, vector: NDArray[np.floating[Any]] | None) -> NDArray[np.floating[Any]]:
        dimensions = self.card.dimensions
        if dimensions == 0:
            return np.zeros(0)
        if vector is None or vector.shape != (dimensions,) or not np.isfinite(vector).all():
            given = "none" if vector is None else f"the shape {vector.shape}"
            raise InputError(
                f"this routing policy needs the text's vector by {self.card.embedder!r}, "
                f"{dimensions} finite numbers; it got {given}"
            )
        return vector


def _check(card: Card, weights: Weights) -> None:
    options, forms = len(card.options), len(FORM_NAMES)
    pairs = (card.examples, options)
    shapes = {
        "form_mean": (forms,),
        "form_spread": (forms,),
        "block_weights": (2,),
        "points": (card.examples, forms + card.dimensions),
        "tried": pairs,
        "success": pairs,
        "price": pairs,
        "terms": (options, TERMS),
    }
    kept_short = {"points", "tried", "success", "price"}
    for field in fields(Weights):
        array = cast("NDArray[np.generic]", getattr(weights, field.name))
        shape = shapes.get(field.name, (options,))
        dtype = np.float32 if field.name in kept_short else np.float64
        if array.dtype != dtype or array.shape != shape:
            raise InputError(
                f"{field.name!r} is {array.dtype} {array.shape}, not {np.dtype(dtype)} {shape}"
            )
        if not np.isfinite(array).all():
            raise InputError(f"{field.name!r} holds numbers that are not finite")
    for name in ("form_spread", "score_spread"):
        if (getattr(weights, name) <= 0).any():
            raise InputError(f"{name!r} holds a spread that is not above 0")
    if (weights.block_weights < 0).any():
        raise InputError("'block_weights' holds a weight below 0")
    if len(set(card.options)) != options or len(card.observed) != options:
        raise InputError("the card's options are not distinct, or not all counted")
