"""Raw scores to probabilities, and how far probabilities are from what happens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from genesis.routing.calibrate import TERMS, Calibration, score_terms

Floats = NDArray[np.float64]

STRENGTHS: Final = (0.003, 0.03, 0.3, 3.0)  # inverse penalties, scikit-learn's C
_FOLDS: Final = 5
_SUREST: Final = 1e-6
_STEPS: Final = 1000
_GROUPS: Final = 10


@dataclass(frozen=True, slots=True)
class Group:
    """Predictions of like height: what was expected of them on average, and what happened."""

    expected: float
    happened: float
    count: int


def fit_calibration(scores: Floats, outcomes: Floats, *, seed: int) -> tuple[Calibration, Floats]:
    """Fit on scores that have not seen their outcomes.

    Args:
        scores: raw, [n, options].
        outcomes: 1, 0, or NaN for what was not tried, [n, options].
        seed: draws the folds.

    Returns:
        The calibration, with the penalty of the least log loss out of fold; and the
        probabilities that it gives out of fold, [n, options].
    """
    order = np.random.default_rng(seed).permutation(len(scores))
    folds = np.array_split(order, min(_FOLDS, len(order)))
    tried = [_out_of_fold(scores, outcomes, folds, strength) for strength in STRENGTHS]
    best = int(np.argmin([_log_loss(said, outcomes) for said in tried]))
    return _fitted(scores, outcomes, STRENGTHS[best]), tried[best]


def _out_of_fold(
    scores: Floats, outcomes: Floats, folds: Sequence[NDArray[np.intp]], strength: float
) -> Floats:
    said = np.zeros_like(scores)
    for unseen in folds:
        seen = np.setdiff1d(np.arange(len(scores)), unseen)
        said[unseen] = _fitted(scores[seen], outcomes[seen], strength).apply(scores[unseen])
    return said


def _log_loss(said: Floats, outcomes: Floats) -> float:
    sure = np.clip(np.where(outcomes > 0, said, 1 - said), _SUREST, 1)
    return -float(np.log(sure)[~np.isnan(outcomes)].mean())


def _fitted(scores: Floats, outcomes: Floats, strength: float) -> Calibration:
    mean, spread = scores.mean(axis=0), scores.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    made = score_terms((scores - mean) / spread)
    fits = [_logistic(made[:, o], outcomes[:, o], strength) for o in range(scores.shape[1])]
    return Calibration(
        mean, spread, np.array([terms for terms, _ in fits]), np.array([at for _, at in fits])
    )


def groups(expected: Floats, happened: Floats) -> list[Group]:
    """Ten groups of equally many predictions, lowest first; both float64 [n]."""
    order = np.argsort(expected, kind="stable")
    return [
        Group(float(expected[part].mean()), float(happened[part].mean()), len(part))
        for part in np.array_split(order, _GROUPS)
        if len(part)
    ]


def calibration_error(expected: Floats, happened: Floats) -> float:
    """Mean gap of the groups, each counting as many as it holds (Naeini et al., 2015)."""
    found = groups(expected, happened)
    total = sum(group.count for group in found)
    return sum(abs(g.expected - g.happened) * g.count for g in found) / max(total, 1)


def _logistic(terms: Floats, outcome: Floats, strength: float) -> tuple[Floats, float]:
    known = ~np.isnan(outcome)
    labels = outcome[known]
    share = (labels.sum() + 0.5) / (len(labels) + 1)
    if not 0 < labels.sum() < len(labels):
        return np.zeros(TERMS), float(np.log(share / (1 - share)))
    model: Any = LogisticRegression(C=strength, max_iter=_STEPS)
    model.fit(terms[known], labels)
    return np.asarray(model.coef_[0], dtype=np.float64), float(model.intercept_[0])
