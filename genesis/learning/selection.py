"""Undo what it does to expectations that an option is tried only where others had failed.

Whoever escalates sees its later options at hard tasks only, and takes them for worse than they
are. Which option was tried next hung on nothing but what had been seen, so the outcomes that are
missing are missing at random, and the likelihood of what was seen is all that is needed (Rubin,
1976): with one hidden trait of the task that all options share, maximised by expectation and
maximisation (Bock & Aitkin, 1981).

Whether a strong option would have succeeded where a weak one did was never seen, so an
escalation alone hardly tells how strongly options go together. There a prior decides: what one
finds hard, others do too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from genesis.learning.calibration import Fitted
from genesis.routing.calibrate import OWN_TERM, Calibration
from genesis.routing.joint import LOGISTIC, LatentTrait

Floats = NDArray[np.float64]

LOADINGS: Final[Floats] = np.linspace(0.0, 3.0, 13)
_USUAL: Final = 1.0  # of the loading: mean and standard deviation of its prior
_SPREAD: Final = 0.25
_LEVELS: Final = 5
_ROUNDS: Final = 8  # of each loading, starting where the last ended
_FARTHEST: Final = 2.0  # one Newton step in a coefficient at most
_SUREST: Final = 30.0
_UNPENALISED: Final = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Unselected:
    """What holds of all tasks.

    Attributes:
        calibration: P(verified) at any task.
        joint: how outcomes go together beyond this; one loading for all options.
        completed: the outcomes, and P(verified) in the light of an example's outcomes where an
            option was not tried, [n, options].
    """

    calibration: Calibration
    joint: LatentTrait
    completed: Floats


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """What the likelihood is of.

    Attributes:
        logits: what the calibration says, [n, options].
        terms: an option's own standardised score, and 1, [n, options, 2].
        outcomes: 1, 0, or NaN for what was not tried, [n, options].
        usual: the calibration's offsets, [options].
        slopes: its factors of an option's own score, [options].
        penalty: of the corrections, [2].
        levels, weights: of the trait, [levels].
    """

    logits: Floats
    terms: Floats
    outcomes: Floats
    usual: Floats
    slopes: Floats
    penalty: Floats
    levels: Floats
    weights: Floats


@dataclass(frozen=True, slots=True, eq=False)
class _Model:
    """Corrections of the logits, [options, 2], under a common loading."""

    corrections: Floats
    loading: float

    @property
    def gain(self) -> float:
        """By how much steeper a logistic curve is, given the trait, than averaged over it."""
        return float(np.sqrt(1 + LOGISTIC * self.loading**2))

    def success(self, seen: _Seen) -> Floats:
        """P(verified | level), [n, options, levels]."""
        shift = np.einsum("nok,ok->no", seen.terms, self.corrections)
        return _logistic((self.gain * seen.logits + shift)[..., None] + self.loading * seen.levels)


def unselected(scores: Floats, outcomes: Floats, fitted: Fitted) -> Unselected:
    """Correct a calibration that knows how options did where they were tried.

    Args:
        scores: raw, each example left out, [n, options].
        outcomes: 1, 0, or NaN for what was not tried, [n, options].
        fitted: on what was tried.
    """
    known = fitted.calibration
    seen = _seen(scores, outcomes, fitted)
    best, most = _Model(np.zeros((scores.shape[1], 2)), 0.0), -np.inf
    corrections = best.corrections
    for loading in cast("list[float]", LOADINGS.tolist()):
        model, likelihood = _maximised(seen, _Model(corrections, loading))
        corrections = model.corrections
        likelihood -= ((loading - _USUAL) / _SPREAD) ** 2 / 2
        if likelihood > most:
            best, most = model, likelihood
    slope, offset = (best.corrections / best.gain).T
    terms = known.terms.copy()
    terms[:, OWN_TERM] += slope
    calibration = Calibration(known.mean, known.spread, terms, known.offset + offset)
    posterior, _ = _expectation(seen, best)
    guessed = np.einsum("noz,nz->no", best.success(seen), posterior)
    return Unselected(
        calibration,
        LatentTrait(
            best.loading * np.ones(scores.shape[1]),
            seen.levels,
            seen.weights,
            np.nanmean(outcomes, axis=0),
        ),
        np.where(np.isnan(outcomes), guessed, outcomes),
    )


def _seen(scores: Floats, outcomes: Floats, fitted: Fitted) -> _Seen:
    known = fitted.calibration
    levels, weights = np.polynomial.hermite_e.hermegauss(_LEVELS)
    return _Seen(
        known.logits(scores),
        np.stack([(scores - known.mean) / known.spread, np.ones_like(scores)], axis=2),
        outcomes,
        known.offset,
        known.terms[:, OWN_TERM],
        np.array([1 / fitted.strength, _UNPENALISED]),
        levels,
        weights / weights.sum(),
    )


def _maximised(seen: _Seen, model: _Model) -> tuple[_Model, float]:
    """Corrections of greatest penalised likelihood under a loading, and its logarithm."""
    for _ in range(_ROUNDS):
        posterior, _ = _expectation(seen, model)
        options = range(len(model.corrections))
        model = _Model(
            np.stack([_maximisation(seen, option, posterior, model) for option in options]),
            model.loading,
        )
    _, likelihood = _expectation(seen, model)
    return model, likelihood - float((seen.penalty * model.corrections**2).sum()) / 2


def _expectation(seen: _Seen, model: _Model) -> tuple[Floats, float]:
    """P(level | what was seen of an example), [n, levels], and the log-likelihood."""
    success = model.success(seen)
    outcomes = seen.outcomes[..., None]
    each = np.where(np.isnan(outcomes), 1.0, np.where(outcomes > 0, success, 1 - success))
    logs = np.log(each).sum(axis=1) + np.log(seen.weights)
    top = logs.max(axis=1, keepdims=True)
    shares = np.exp(logs - top)
    total = shares.sum(axis=1, keepdims=True)
    return shares / total, float((np.log(total) + top).sum())


def _maximisation(seen: _Seen, option: int, posterior: Floats, model: _Model) -> Floats:
    """A Newton step of one option's logistic regression, each example at each level."""
    tried = ~np.isnan(seen.outcomes[:, option])
    # Half a success and half a failure more: what never failed is not held for sure.
    terms = np.vstack([seen.terms[tried, option], [0.0, 1.0]])
    logits = model.gain * np.append(seen.logits[tried, option], seen.usual[option])
    outcomes = np.append(seen.outcomes[tried, option], 0.5)[:, None]
    shares = np.vstack([posterior[tried], seen.weights])
    corrections = model.corrections[option]
    success = _logistic((logits + terms @ corrections)[:, None] + model.loading * seen.levels)
    slope = (shares * (outcomes - success)).sum(axis=1) @ terms - seen.penalty * corrections
    bend = (shares * success * (1 - success)).sum(axis=1)
    curvature = (terms * bend[:, None]).T @ terms + np.diag(seen.penalty)
    step = cast("Floats", np.linalg.solve(curvature, slope))
    corrections = corrections + np.clip(step, -_FARTHEST, _FARTHEST)
    # A better score never makes success less likely.
    level = -model.gain * seen.slopes[option]
    return np.array([max(corrections[0], level), corrections[1]])


def _logistic(logits: Floats) -> Floats:
    return 1 / (1 + np.exp(-np.clip(logits, -_SUREST, _SUREST)))
