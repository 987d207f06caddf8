"""Train a routing policy on what happened: one ridge head for each option's success and price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold

from genesis.errors import InputError
from genesis.learning.examples import (
    Example,
    option_names,
    price_table,
    success_table,
    vectors,
)
from genesis.learning.joint import fit_joint
from genesis.routing.features import FORM_NAMES, HASHED, form, hashed_words
from genesis.routing.policy import Card, RoutingPolicy, Weights
from infrastructure.embeddings.embedder import Embedder

Floats = NDArray[np.float64]

_RIDGE = 10.0
_FOLDS = 5
_LEAST_USD = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """A policy, and what it would have said of its own examples had it not seen them.

    Attributes:
        policy: trained on all examples.
        labelled: the examples with an outcome, in the order given.
        held_out: P(verified) out of fold, [labelled, options].
        outcomes: 1, 0, or NaN for what was not tried, [labelled, options].
    """

    policy: RoutingPolicy
    labelled: tuple[Example, ...]
    held_out: Floats
    outcomes: Floats


def train_policy(
    examples: Sequence[Example], *, embedder: Embedder | None = None, seed: int = 0
) -> RoutingPolicy:
    """A calibrated policy; see `train`."""
    return train(examples, embedder=embedder, seed=seed).policy


def train(
    examples: Sequence[Example], *, embedder: Embedder | None = None, seed: int = 0
) -> Training:
    """Train on examples, of which each may have tried any of the options.

    Args:
        examples: tasks and what came of them.
        embedder: gives the texts' vectors; None does without.
        seed: draws the folds.

    Raises:
        InputError: fewer than two examples tried anything.
        ModelError: the embedder is missing or failed.
    """
    labelled = tuple(example for example in examples if example.outcomes)
    if len(labelled) < 2:
        raise InputError(f"{len(labelled)} examples tried anything; a policy needs at least 2")
    options = option_names(labelled)
    outcomes, usd = success_table(labelled, options), price_table(labelled, options)
    rows, scaling = _features(labelled, vectors(labelled, embedder))
    held_out_raw = _held_out(rows, outcomes, seed)
    calibration = np.array(
        [_platt(held_out_raw[:, o], outcomes[:, o]) for o in range(len(options))]
    )
    slope, offset = calibration.T
    held_out = 1 / (1 + np.exp(-(slope * held_out_raw + offset)))
    success, success_bias = _heads(rows, outcomes)
    price, price_bias = _heads(rows, np.log(np.maximum(usd, _LEAST_USD)))
    weights = Weights(
        **scaling,
        success=success,
        success_bias=success_bias,
        slope=slope.copy(),
        offset=offset.copy(),
        price=price,
        price_bias=price_bias,
    )
    known = ~np.isnan(outcomes)
    base = np.nanmean(outcomes, axis=0)
    card = Card(
        options=options,
        embedder=embedder.name if embedder else "",
        embedder_version=embedder.version if embedder else "",
        dimensions=embedder.dimensions if embedder else 0,
        examples=len(labelled),
        observed=tuple(int(count) for count in known.sum(axis=0)),
        calibration_error=0.0,
        brier=float(np.mean((held_out - outcomes)[known] ** 2)),
        base_brier=float(np.mean((base - outcomes)[known] ** 2)),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    policy = RoutingPolicy(card, weights, fit_joint(held_out, outcomes, seed=seed))
    return Training(policy, labelled, held_out, outcomes)


def _features(
    examples: Sequence[Example], embedded: NDArray[np.float32]
) -> tuple[Floats, dict[str, Floats]]:
    forms = np.stack([form(example.text) for example in examples])
    words = np.zeros((len(examples), HASHED))
    for row, example in enumerate(examples):
        places, counts = hashed_words(example.text)
        words[row, places] = counts
    idf = np.log((1 + len(examples)) / (1 + np.count_nonzero(words, axis=0))) + 1
    words *= idf
    words /= np.maximum(np.linalg.norm(words, axis=1, keepdims=True), 1e-12)
    spread = forms.std(axis=0)
    scaling = {
        "idf": idf,
        "form_mean": forms.mean(axis=0),
        "form_scale": np.where(spread > 0, spread, 1.0),
        "block_scale": np.array([2.0, 1 / np.sqrt(len(FORM_NAMES)), 1.0]),
    }
    shape = (forms - scaling["form_mean"]) / scaling["form_scale"]
    scale = scaling["block_scale"]
    return np.hstack([scale[0] * embedded, scale[1] * shape, scale[2] * words]), scaling


def _heads(rows: Floats, targets: Floats) -> tuple[Floats, Floats]:
    weights = np.zeros((rows.shape[1], targets.shape[1]))
    bias = np.zeros(targets.shape[1])
    for option in range(targets.shape[1]):
        known = ~np.isnan(targets[:, option])
        if not known.any():
            continue
        head = Ridge(_RIDGE).fit(rows[known], targets[known, option])
        weights[:, option], bias[option] = head.coef_, head.intercept_
    return weights, bias


def _held_out(rows: Floats, outcomes: Floats, seed: int) -> Floats:
    said = np.zeros_like(outcomes)
    folds = min(_FOLDS, len(rows))
    for seen, unseen in KFold(folds, shuffle=True, random_state=seed).split(rows):
        weights, bias = _heads(rows[seen], outcomes[seen])
        said[unseen] = rows[unseen] @ weights + bias
    return said


def _platt(raw: Floats, outcome: Floats) -> tuple[float, float]:
    """Slope and offset of the logit (Platt, 1999)."""
    known = ~np.isnan(outcome)
    labels = outcome[known]
    if len(set(labels.tolist())) < 2:
        share = (labels.sum() + 0.5) / (len(labels) + 1)
        return 0.0, float(np.log(share / (1 - share)))
    fit = LogisticRegression(C=100.0).fit(raw[known, None], labels)
    return max(float(fit.coef_[0, 0]), 0.0), float(fit.intercept_[0])
