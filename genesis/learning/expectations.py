"""Expectations of success: scores by kernel ridge regression, calibrated, for all tasks.

Where not every option was tried at every example, those of an option say how it did where it was
tried. What it would have done elsewhere is then estimated from what is known of each example
(`genesis.learning.selection`), and the scores are fitted anew to outcomes completed like that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from genesis.learning.calibration import fit_calibration
from genesis.learning.joint import fit_joint
from genesis.learning.kernel import Fit, fit_ridges
from genesis.learning.selection import unselected
from genesis.routing.calibrate import Calibration
from genesis.routing.joint import LatentTrait

Floats = NDArray[np.float64]

RIDGES: Final = (0.3, 1.0, 3.0, 10.0, 30.0)  # growing
_ROUNDS: Final = 3


@dataclass(frozen=True, slots=True, eq=False)
class Expectations:
    """What was learnt of success.

    Attributes:
        scores: of each option at each example.
        calibration: makes them P(verified) at any task.
        joint: how outcomes go together beyond this.
        held_out: P(verified) where an option is tried, each example left out, [n, options].
    """

    scores: Fit
    calibration: Calibration
    joint: LatentTrait
    held_out: Floats


def fit_expectations(
    kernel: Floats, outcomes: Floats, fits: Sequence[Fit], *, seed: int
) -> Expectations:
    """Learn from what was tried.

    Args:
        kernel: of every pair of examples, [n, n].
        outcomes: 1, 0, or NaN for what was not tried, [n, options].
        fits: of the outcomes to the kernel, one for each of `RIDGES`.
        seed: draws folds.
    """
    scores = _chosen(fits, outcomes)
    fitted = fit_calibration(scores.unseen, outcomes, seed=seed)
    if not np.isnan(outcomes).any():
        joint = fit_joint(fitted.held_out, outcomes, seed=seed)
        return Expectations(scores, fitted.calibration, joint, fitted.held_out)
    tried = fitted
    found = unselected(scores.unseen, outcomes, fitted)
    for _ in range(_ROUNDS - 1):
        scores = _chosen(fit_ridges(kernel, found.completed, RIDGES), outcomes)
        fitted = fit_calibration(scores.unseen, outcomes, seed=seed)
        found = unselected(scores.unseen, outcomes, fitted)
    return Expectations(scores, found.calibration, found.joint, tried.held_out)


def _chosen(fits: Sequence[Fit], outcomes: Floats) -> Fit:
    """With the penalty that tells options apart, or, where that is hardly seen, that errs least."""
    compared = np.logical_not(np.isnan(outcomes).any(axis=1))
    if 2 * compared.sum() > len(outcomes):
        return _smoothest(fits, outcomes, compared)
    return min(fits, key=lambda fit: float(np.nanmean(np.square(fit.unseen - outcomes))))


def _smoothest(fits: Sequence[Fit], outcomes: Floats, compared: NDArray[np.bool_]) -> Fit:
    """With the greatest penalty that is not clearly worse than the best.

    Clearly: by more than one standard error of the difference (Breiman et al., 1984, whose rule
    this is). What counts is how far apart the options are predicted: a router compares them.
    """
    errors = np.array([_errors((fit.unseen - outcomes)[compared]) for fit in fits])
    off = errors - errors[errors.mean(axis=1).argmin()]
    good = off.mean(axis=1) <= off.std(axis=1) / np.sqrt(off.shape[1])
    return fits[int(np.flatnonzero(good)[-1])]


def _errors(gaps: Floats) -> Floats:
    """Each example's squared error, what all its options share left out, [n]."""
    common = gaps.mean(axis=1, keepdims=True) if gaps.shape[1] > 1 else 0.0
    return np.square(gaps - common).sum(axis=1)
