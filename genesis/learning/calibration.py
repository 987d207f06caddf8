"""Raw scores to probabilities, and how far probabilities are from what happens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from genesis.routing.calibrate import OWN_TERM, TERMS, Calibration, score_terms

Floats = NDArray[np.float64]

STRENGTHS: Final = (0.003, 0.03, 0.3, 3.0)  # inverse penalties, scikit-learn's C
_OTHERS_SCALE: Final = 0.3
_ERRORS: Final = 0.5  # standard errors by which a richer fit must be better
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


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """What was fitted.

    Attributes:
        calibration: on all examples.
        held_out: the probabilities that it gives out of fold, [n, options].
        strength: inverse of the penalty, scikit-learn's C.
    """

    calibration: Calibration
    held_out: Floats
    strength: float


def fit_calibration(scores: Floats, outcomes: Floats, *, seed: int) -> Fitted:
    """Fit on scores that have not seen their outcomes.

    The penalty is that of the least log loss out of fold. The other options' scores count only
    where that loss says that they help, and are held back then, too: few examples mislead.

    Args:
        scores: raw, [n, options].
        outcomes: 1, 0, or NaN for what was not tried, [n, options].
        seed: draws the folds.
    """
    order = np.random.default_rng(seed).permutation(len(scores))
    folds = np.array_split(order, min(_FOLDS, len(order)))
    alone, among = (_best(scores, outcomes, folds, scale) for scale in (0.0, _OTHERS_SCALE))
    gains = _losses(alone.held_out, outcomes) - _losses(among.held_out, outcomes)
    helps = gains.mean() > _ERRORS * gains.std() / np.sqrt(len(gains))
    return among if helps else alone


def _best(
    scores: Floats, outcomes: Floats, folds: Sequence[NDArray[np.intp]], others: float
) -> Fitted:
    tried = [_out_of_fold(scores, outcomes, folds, strength, others) for strength in STRENGTHS]
    best = int(np.argmin([_losses(said, outcomes).mean() for said in tried]))
    calibration = _fitted(scores, outcomes, STRENGTHS[best], others)
    return Fitted(calibration, tried[best], STRENGTHS[best])


def _out_of_fold(
    scores: Floats,
    outcomes: Floats,
    folds: Sequence[NDArray[np.intp]],
    strength: float,
    others: float,
) -> Floats:
    said = np.zeros_like(scores)
    for unseen in folds:
        seen = np.setdiff1d(np.arange(len(scores)), unseen)
        said[unseen] = _fitted(scores[seen], outcomes[seen], strength, others).apply(scores[unseen])
    return said


def _losses(said: Floats, outcomes: Floats) -> Floats:
    """Log loss of each outcome that is known, [known]."""
    sure = np.clip(np.where(outcomes > 0, said, 1 - said), _SUREST, 1)
    return -np.log(sure)[~np.isnan(outcomes)]


def _fitted(scores: Floats, outcomes: Floats, strength: float, others: float) -> Calibration:
    """With the terms of other options scaled down: the smaller, the dearer under the penalty."""
    mean, spread = scores.mean(axis=0), scores.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    scale = np.where(np.arange(TERMS) == OWN_TERM, 1.0, others)
    made = score_terms((scores - mean) / spread) * scale
    fits = [_logistic(made[:, o], outcomes[:, o], strength) for o in range(scores.shape[1])]
    factors = np.array([of_terms for of_terms, _ in fits]) * scale
    return Calibration(mean, spread, factors, np.array([offset for _, offset in fits]))


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
    # A score without its example leans away from the outcome, a little. Where texts tell nothing,
    # that is all there is to it, and a falling curve would be learnt from it.
    if model.coef_[0][OWN_TERM] < 0:
        return np.zeros(TERMS), float(np.log(share / (1 - share)))
    return np.asarray(model.coef_[0], dtype=np.float64), float(model.intercept_[0])
