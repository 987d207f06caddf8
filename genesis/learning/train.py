"""Train a routing policy on what happened.

In three steps: kernel ridge regression scores each option at each example without having seen
it; logistic regression on these makes them probabilities, corrected for options that were tried
at some examples only; how outcomes go together beyond these is learnt last. All of this is in
`genesis.learning.expectations`; prices are learnt here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from genesis.errors import InputError
from genesis.learning.calibration import calibration_error
from genesis.learning.examples import (
    Example,
    option_names,
    price_table,
    success_table,
    vectors,
)
from genesis.learning.expectations import RIDGES, Expectations, fit_expectations
from genesis.learning.kernel import Fit, fit_ridges, gaussian
from genesis.routing.features import form
from genesis.routing.policy import Card, RoutingPolicy, Scaling, Weights
from infrastructure.embeddings.embedder import Embedder

Floats = NDArray[np.float64]

MOST_EXAMPLES: Final = 2_000
# Of form and vector in a squared distance: the best on questions of many subjects, and flat there.
_FORM_WEIGHT: Final = 0.5
_VECTOR_WEIGHT: Final = 1.0
_SOFT_SHARE: Final = 0.1
_LEAST_USD: Final = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """A policy, and what it would have said of its own examples had it not seen them.

    Attributes:
        policy: trained on all examples.
        labelled: the examples that it was trained on.
        held_out: P(verified) where an option is tried, each example left out, [labelled, options].
        outcomes: 1, 0, or NaN for what was not tried, [labelled, options].
    """

    policy: RoutingPolicy
    labelled: tuple[Example, ...]
    held_out: Floats
    outcomes: Floats


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """The examples in numbers, all [n, ...]."""

    forms: Floats
    vectors: NDArray[np.float32]
    outcomes: Floats
    usd: Floats


@dataclass(frozen=True, slots=True, eq=False)
class _Prices:
    """Kernel ridge regression of log(usd + soft): dual weights, mean, and soft."""

    dual: Floats
    mean: Floats
    soft: Floats


def train_policy(
    examples: Sequence[Example], *, embedder: Embedder | None = None, seed: int = 0
) -> RoutingPolicy:
    """A calibrated policy; see `train`."""
    return train(examples, embedder=embedder, seed=seed).policy


def train(
    examples: Sequence[Example],
    *,
    embedder: Embedder | None = None,
    seed: int = 0,
    most: int = MOST_EXAMPLES,
) -> Training:
    """Train on examples, of which each may have tried any of the options.

    Args:
        examples: tasks and what came of them, the oldest first.
        embedder: gives the texts' vectors; None looks at their form only.
        seed: draws folds.
        most: how many of the last examples that tried anything are used, at least 2. Prediction
            takes time in proportion; 2,000 take about 0.3 ms.

    Raises:
        InputError: fewer than two examples tried anything.
        ModelError: the embedder is missing or failed.
    """
    labelled = tuple(example for example in examples if example.outcomes)[-most:]
    if most < 2:
        raise InputError(f"a policy needs at least 2 examples, so `most` cannot be {most}")
    if len(labelled) < 2:
        raise InputError(f"{len(labelled)} examples tried anything; a policy needs at least 2")
    options = option_names(labelled)
    table = _Table(
        np.stack([form(example.text) for example in labelled]),
        vectors(labelled, embedder),
        success_table(labelled, options),
        price_table(labelled, options),
    )
    scaling = _scaling(table.forms, table.vectors.shape[1])
    points = scaling.rows(table.forms, table.vectors)
    kernel = gaussian(points)
    # Outcomes and prices together: one decomposition of the kernel does for both.
    soft, logs = _log_prices(table.usd)
    fits = fit_ridges(kernel, np.hstack([table.outcomes, logs]), RIDGES)
    found = fit_expectations(
        kernel, table.outcomes, [fit.part(slice(len(options))) for fit in fits], seed=seed
    )
    prices = _prices([fit.part(slice(len(options), None)) for fit in fits], logs, soft)
    tried = ~np.isnan(table.outcomes)
    policy = RoutingPolicy(
        _card(options, embedder, table.outcomes, found.held_out),
        _weights(scaling, points, tried, found, prices),
        found.joint,
    )
    return Training(policy, labelled, found.held_out, table.outcomes)


def _scaling(forms: Floats, dimensions: int) -> Scaling:
    spread = forms.std(axis=0)
    weights = np.array([_FORM_WEIGHT, _VECTOR_WEIGHT if dimensions else 0.0])
    return Scaling(forms.mean(axis=0), np.where(spread > 0, spread, 1.0), weights)


def _log_prices(usd: Floats) -> tuple[Floats, Floats]:
    """What softens each option's prices, US dollars, and the logarithms of those softened."""
    soft = np.maximum(_SOFT_SHARE * np.nanmean(usd, axis=0), _LEAST_USD)
    return soft, np.log(usd + soft)


def _prices(fits: Sequence[Fit], logs: Floats, soft: Floats) -> _Prices:
    best = min(fits, key=lambda fit: float(np.nanmean(np.square(fit.unseen - logs))))
    # The mean of prices is more than exp of the mean of their logarithms (Duan, 1983).
    smear = np.log(np.nanmean(np.exp(logs - best.unseen), axis=0))
    return _Prices(best.dual, best.mean + smear, soft)


def _weights(
    scaling: Scaling,
    points: NDArray[np.float32],
    tried: NDArray[np.bool_],
    found: Expectations,
    prices: _Prices,
) -> Weights:
    scores, calibration = found.scores, found.calibration
    return Weights(
        form_mean=scaling.mean,
        form_spread=scaling.spread,
        block_weights=scaling.weights,
        points=points,
        tried=tried.astype(np.float32),
        success=scores.dual.astype(np.float32),
        success_mean=scores.mean,
        score_mean=calibration.mean,
        score_spread=calibration.spread,
        terms=calibration.terms,
        offset=calibration.offset,
        price=prices.dual.astype(np.float32),
        price_mean=prices.mean,
        price_soft=prices.soft,
    )


def _card(
    options: tuple[str, ...], embedder: Embedder | None, outcomes: Floats, held_out: Floats
) -> Card:
    known = ~np.isnan(outcomes)
    usual: Floats = np.nanmean(outcomes, axis=0)
    return Card(
        options=options,
        embedder=embedder.name if embedder else "",
        embedder_version=embedder.version if embedder else "",
        dimensions=embedder.dimensions if embedder else 0,
        examples=len(outcomes),
        observed=tuple(int(count) for count in known.sum(axis=0)),
        calibration_error=calibration_error(held_out[known], outcomes[known]),
        brier=float(np.mean(np.square(held_out - outcomes)[known])),
        base_brier=float(np.mean(np.square(usual - outcomes)[known])),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
