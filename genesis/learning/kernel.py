"""Kernel ridge regression of many targets, of which each knows only some of the examples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """What was fitted.

    Attributes:
        dual: weights of the examples, 0 where a target is not known, [n, targets].
        mean: of each target, [targets].
        unseen: for each example what a fit without it says of it, [n, targets].
    """

    dual: Floats
    mean: Floats
    unseen: Floats

    def part(self, targets: slice) -> Fit:
        """What was fitted for some of the targets."""
        return Fit(self.dual[:, targets], self.mean[targets], self.unseen[:, targets])


def gaussian(rows: NDArray[np.float32]) -> Floats:
    """exp(-d²) of every pair of rows, [n, n]."""
    squares = np.einsum("nd,nd->n", rows, rows)
    distances = squares[:, None] + squares - 2 * (rows @ rows.T)
    return np.exp(-np.maximum(distances, 0)).astype(np.float64)


def fit_ridges(kernel: Floats, targets: Floats, ridges: Sequence[float]) -> list[Fit]:
    """Fit every target on the examples that know it, once with each penalty.

    Args:
        kernel: of every pair of examples, [n, n].
        targets: NaN where not known; known somewhere, [n, targets].
        ridges: the penalties; several cost little more than one.
    """
    mean = np.nanmean(targets, axis=0)
    fits = [Fit(np.zeros_like(targets), mean, np.zeros_like(targets)) for _ in ridges]
    for known, columns in _groups(~np.isnan(targets)):
        values, vectors = np.linalg.eigh(kernel[np.ix_(known, known)])
        values = np.maximum(values, 0)
        rest = targets[np.ix_(known, columns)] - mean[columns]
        turned = vectors.T @ rest
        for fit, ridge in zip(fits, ridges, strict=True):
            dual = vectors @ (turned / (values + ridge)[:, None])
            # The closed form of leaving each example out in turn (Craven and Wahba, 1979).
            inverse = np.square(vectors) @ (1 / (values + ridge))
            fit.dual[np.ix_(known, columns)] = dual
            fit.unseen[:, columns] = kernel[:, known] @ dual + mean[columns]
            fit.unseen[np.ix_(known, columns)] = rest + mean[columns] - dual / inverse[:, None]
    return fits


def _groups(known: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Examples and those targets that know exactly them."""
    columns: dict[bytes, list[int]] = {}
    for column in range(known.shape[1]):
        columns.setdefault(known[:, column].tobytes(), []).append(column)
    for members in columns.values():
        yield np.flatnonzero(known[:, members[0]]), np.array(members)
