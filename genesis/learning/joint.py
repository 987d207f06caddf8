"""Learn how outcomes of different options go together, beyond what their expectations say."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from genesis.routing.joint import LatentTrait, with_marginal

Floats = NDArray[np.float64]

LEVELS: Final = 5
_LOADINGS: Final[Floats] = np.linspace(-1.0, 3.0, 17)
_OWN_SCALE: Final = 0.25  # standard deviation of an option's loading about the common one
_PASSES: Final = 10
_MOST_EXAMPLES: Final = 4_000
_NO_RECORD: Final = 0.5


def fit_joint(expected: Floats, outcomes: Floats, *, seed: int = 0) -> LatentTrait:
    """The loadings of greatest penalised likelihood, found by coordinate ascent on a grid.

    All options share one loading first; then each moves away from it as far as its outcomes
    outweigh a normal prior. What was not tried is left out of the likelihood.

    Args:
        expected: P(verified) of each option at each example, predicted without having seen the
            example, [examples, options].
        outcomes: 1, 0, or NaN for what was not tried, [examples, options].
        seed: draws the examples, if there are more than are needed.
    """
    rate = _rates(outcomes)
    telling = np.flatnonzero((~np.isnan(outcomes)).sum(axis=1) > 1)
    if len(telling) > _MOST_EXAMPLES:
        telling = np.random.default_rng(seed).choice(telling, _MOST_EXAMPLES, replace=False)
    levels, weights = np.polynomial.hermite_e.hermegauss(LEVELS)
    weights = weights / weights.sum()
    if not len(telling):
        return LatentTrait(np.zeros_like(rate), levels, weights, rate)
    table = np.stack(
        [_likelihoods(expected[telling], outcomes[telling], g * levels, weights) for g in _LOADINGS]
    )
    places = _best_places(table, weights)
    return LatentTrait(_LOADINGS[places], levels, weights, rate)


def _rates(outcomes: Floats) -> Floats:
    tried = (~np.isnan(outcomes)).sum(axis=0)
    return np.where(tried > 0, np.nansum(outcomes, axis=0) / np.maximum(tried, 1), _NO_RECORD)


def _likelihoods(expected: Floats, outcomes: Floats, slopes: Floats, weights: Floats) -> Floats:
    """Log P(outcome | level), 0 where there is none, [options, examples, levels]."""
    given = with_marginal(
        np.broadcast_to(slopes, (*expected.shape, len(slopes))), weights, expected
    )
    seen = outcomes[..., None]
    logs = np.where(np.isnan(seen), 0.0, np.log(np.where(seen > 0, given, 1 - given)))
    return logs.transpose(1, 0, 2)


def _best_places(table: Floats, weights: Floats) -> NDArray[np.intp]:
    """Each option's place in `_LOADINGS`; `table` is [loadings, options, examples, levels]."""
    options = table.shape[1]
    together = np.array([_total(logs, weights) for logs in table.sum(axis=1)])
    # The trait's sign is free, so the common loading may be taken as not negative.
    common = int(np.argmax(np.where(_LOADINGS >= 0, together, -np.inf)))
    places = np.full(options, common)
    for _ in range(_PASSES):
        before = places.copy()
        chosen = table[places, np.arange(options)].sum(axis=0)
        for option in range(options):
            others = chosen - table[places[option], option]
            off = (_LOADINGS - _LOADINGS[common]) / _OWN_SCALE
            scores = [_total(others + own, weights) for own in table[:, option]] - off**2 / 2
            places[option] = int(np.argmax(scores))
            chosen = others + table[places[option], option]
        if (places == before).all():
            break
    return places


def _total(logs: Floats, weights: Floats) -> float:
    """Log-likelihood of all examples; `logs` is [examples, levels]."""
    top = logs.max(axis=1, keepdims=True)
    return float((np.log(np.exp(logs - top) @ weights) + top[:, 0]).sum())
