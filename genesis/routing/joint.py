"""How outcomes of different options at one task go together: what one finds hard, others do too.

A task has one hidden trait, its hardness; given that, outcomes are independent. This is the
one-factor model of item response theory (Bock & Lieberman, 1970) with a few discrete levels of
the trait, put on top of each option's own expectation for the task, which it leaves as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from genesis.errors import InputError
from genesis.routing.outlook import Outlook

Floats = NDArray[np.float64]

_SURELY: Final = 1e-4  # no expectation is surer than this
_STEPS: Final = 30
_EXACT: Final = 1e-9
LOGISTIC: Final = np.pi / 8  # how a spread of the trait flattens a logistic curve, about


@dataclass(frozen=True, slots=True, eq=False)
class LatentTrait:
    """The one-factor model.

    Attributes:
        loading: how strongly each option depends on the trait, in logits, [options].
        levels: the values that the trait takes, [states].
        weights: P(level), [states], sum 1.
        rate: share of verified successes of each option where it was learnt from, [options].

    Raises:
        InputError: an array has a wrong shape, or numbers that cannot be.
    """

    loading: Floats
    levels: Floats
    weights: Floats
    rate: Floats

    def __post_init__(self) -> None:
        shapes = {"levels": self.weights.shape, "rate": self.loading.shape}
        for field in fields(self):
            array = cast("Floats", getattr(self, field.name))
            wanted = shapes.get(field.name, array.shape)
            if array.dtype != np.float64 or array.ndim != 1 or array.shape != wanted:
                raise InputError(
                    f"'joint.{field.name}' is {array.dtype} {array.shape}, not float64 {wanted}"
                )
            if not np.isfinite(array).all():
                raise InputError(f"'joint.{field.name}' holds numbers that are not finite")
        if (self.weights < 0).any() or abs(self.weights.sum() - 1) > 1e-6:
            raise InputError("'joint.weights' is no distribution: its numbers do not add up to 1")
        if (self.rate < 0).any() or (self.rate > 1).any():
            raise InputError("'joint.rate' holds numbers outside of 0 to 1")

    def states(self, marginal: Floats) -> tuple[Floats, Floats]:
        """P(verified | state), [options, states], and P(state), [states].

        Args:
            marginal: P(verified) of each option by itself, [options]; kept by what is returned.
        """
        slopes = self.loading[:, None] * self.levels
        return with_marginal(slopes, self.weights, marginal), self.weights

    def arrays(self) -> dict[str, Floats]:
        """All that it consists of, by name, for a file."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[np.generic]], options: int) -> LatentTrait:
        """What `arrays` gave, for so many options.

        Raises:
            InputError: an array is missing, unknown, or does not fit.
        """
        names = {field.name for field in fields(cls)}
        if set(arrays) != names:
            odd = sorted(set(arrays) ^ names)
            raise InputError(f"'joint.{odd[0]}' is missing or unknown")
        found = cls(**{name: cast("Floats", array) for name, array in arrays.items()})
        if len(found.loading) != options:
            raise InputError(f"'joint.loading' is of {len(found.loading)} options, not {options}")
        return found


def with_marginal(slopes: Floats, weights: Floats, marginal: Floats) -> Floats:
    """Probabilities whose logits are `slopes` but for one offset each, and that have a marginal.

    Args:
        slopes: logits up to an offset, [..., states].
        weights: P(state), [states], sum 1.
        marginal: what the probabilities are to be on average, [...].

    Returns:
        [..., states], by Newton steps from the closed form for a normal trait (MacKay, 1992).
    """
    wanted = np.clip(marginal, _SURELY, 1 - _SURELY)
    centred = slopes - (slopes @ weights)[..., None]
    spread = np.square(centred) @ weights
    offset = np.log(wanted / (1 - wanted)) * np.sqrt(1 + LOGISTIC * spread)
    found = _logistic(centred + offset[..., None])
    for _ in range(_STEPS):
        gap = found @ weights - wanted
        if np.abs(gap).max(initial=0.0) < _EXACT:
            break
        slope = np.maximum((found * (1 - found)) @ weights, _SURELY / 10)
        offset = offset - np.clip(gap / slope, -2.0, 2.0)
        found = _logistic(centred + offset[..., None])
    return found


def adapted(outlook: Outlook, places: NDArray[np.intp], marginal: Floats) -> tuple[Floats, Floats]:
    """An outlook's states for other options and other expectations.

    An option that the outlook does not know goes together with the others as these do on average.

    Args:
        outlook: what a policy says.
        places: for each option wanted, its place in the outlook, -1 for one that is not there.
        marginal: P(verified) of each option wanted, kept by what is returned.

    Returns:
        P(verified | state), [options wanted, states], and P(state), [states].
    """
    if len(outlook.weights) == 1:
        return marginal[:, None], outlook.weights
    sure = np.clip(outlook.success, _SURELY, 1 - _SURELY)
    logits = np.log(sure / (1 - sure))
    slopes = np.vstack([logits, logits.mean(axis=0)])[places]
    return with_marginal(slopes, outlook.weights, marginal), outlook.weights


def _logistic(logits: Floats) -> Floats:
    return 1 / (1 + np.exp(-logits))
