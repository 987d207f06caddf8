"""Train a routing policy on what happened.

In three steps: kernel ridge regression scores each option at each example without having seen
it; logistic regression on all options' scores makes them probabilities; how outcomes go together
beyond these is learnt last (`genesis.learning.joint`). Bandwidths and penalty are those that
predict the examples best when each is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from genesis.errors import InputError
from genesis.learning.calibration import calibration_error, fit_calibration
from genesis.learning.examples import (
    Example,
    option_names,
    price_table,
    success_table,
    vectors,
)
from genesis.learning.joint import fit_joint
from genesis.learning.kernel import Fit, fit_ridge, fit_ridges, gaussian
from genesis.routing.calibrate import Calibration
from genesis.routing.features import form
from genesis.routing.policy import Card, RoutingPolicy, Scaling, Weights
from infrastructure.embeddings.embedder import Embedder

Floats = NDArray[np.float64]

MOST_EXAMPLES: Final = 2_000
_SAMPLE: Final = 1_000
_WEIGHTS: Final = (0.5, 1.0, 2.0)
_RIDGES: Final = (1.0, 3.0, 10.0, 30.0)
_SOFT_SHARE: Final = 0.1
_LEAST_USD: Final = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """A policy, and what it would have said of its own examples had it not seen them.

    Attributes:
        policy: trained on all examples.
        labelled: the examples that it was trained on.
        held_out: P(verified), each example left out, [labelled, options].
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
        seed: draws samples and folds.
        most: how many of the last examples that tried anything are used, at least 2. Prediction
            takes time in proportion; 2,000 take about 0.3 ms.

    Raises:
        InputError: fewer than two examples tried anything.
        ModelError: the embedder is missing or failed.
    """
    labelled = tuple(example for example in examples if example.outcomes)[-most:]
    if len(labelled) < 2:
        raise InputError(f"{len(labelled)} examples tried anything; a policy needs at least 2")
    options = option_names(labelled)
    table = _Table(
        np.stack([form(example.text) for example in labelled]),
        vectors(labelled, embedder),
        success_table(labelled, options),
        price_table(labelled, options),
    )
    scaling, ridge = _chosen(table, seed)
    points = scaling.rows(table.forms, table.vectors)
    kernel = gaussian(points)
    scores = fit_ridge(kernel, table.outcomes, ridge)
    calibration, held_out = fit_calibration(scores.unseen, table.outcomes, seed=seed)
    weights = _weights(scaling, points, scores, calibration, _prices(table.usd, kernel, ridge))
    policy = RoutingPolicy(
        _card(options, embedder, table.outcomes, held_out),
        weights,
        fit_joint(held_out, table.outcomes, seed=seed),
    )
    return Training(policy, labelled, held_out, table.outcomes)


def _chosen(table: _Table, seed: int) -> tuple[Scaling, float]:
    """The weights of form and vector and the penalty of the least error when left out."""
    spread = table.forms.std(axis=0)
    mean, spread = table.forms.mean(axis=0), np.where(spread > 0, spread, 1.0)
    count = len(table.forms)
    sample = np.random.default_rng(seed).permutation(count)[:_SAMPLE]
    sample = sample[~np.isnan(table.outcomes[sample]).all(axis=1)]
    outcomes = table.outcomes[sample]
    outcomes = outcomes[:, ~np.isnan(outcomes).all(axis=0)]
    of_vector = _WEIGHTS if table.vectors.shape[1] else (0.0,)
    best: tuple[float, Scaling, float] | None = None
    for pair in product(_WEIGHTS, of_vector):
        scaling = Scaling(mean, spread, np.array(pair))
        kernel = gaussian(scaling.rows(table.forms[sample], table.vectors[sample]))
        for fit, ridge in zip(fit_ridges(kernel, outcomes, _RIDGES), _RIDGES, strict=True):
            error = float(np.nanmean(np.square(fit.unseen - outcomes)))
            if best is None or error < best[0]:
                best = (error, scaling, ridge)
    assert best is not None
    return best[1], best[2]


@dataclass(frozen=True, slots=True, eq=False)
class _Prices:
    """Kernel ridge regression of log(usd + soft)."""

    dual: Floats
    mean: Floats
    soft: Floats
    tried: NDArray[np.bool_]


def _prices(usd: Floats, kernel: Floats, ridge: float) -> _Prices:
    soft = np.maximum(_SOFT_SHARE * np.nanmean(usd, axis=0), _LEAST_USD)
    logs = np.log(usd + soft)
    fit = fit_ridge(kernel, logs, ridge)
    # The mean of prices is more than exp of the mean of their logarithms (Duan, 1983).
    smear = np.log(np.nanmean(np.exp(logs - fit.unseen), axis=0))
    return _Prices(fit.dual, fit.mean + smear, soft, ~np.isnan(usd))


def _weights(
    scaling: Scaling,
    points: NDArray[np.float32],
    scores: Fit,
    calibration: Calibration,
    prices: _Prices,
) -> Weights:
    return Weights(
        form_mean=scaling.mean,
        form_spread=scaling.spread,
        block_weights=scaling.weights,
        points=points,
        tried=prices.tried.astype(np.float32),
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
