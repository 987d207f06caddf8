"""A kernel classifier that is fitted at once to examples, with corrections laid over it.

Kernel ridge regression of one-hot targets (Saunders et al., 1998) under a Gaussian kernel. A
correction adds what the fit lacks at one place, under a narrower kernel: requests like it change,
others keep their answers, and the fit itself is never touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

_EXAMPLE_GAMMA = 0.15
_RIDGE = 0.5
_CORRECTION_GAMMA = 0.5
_CORRECTION_RIDGE = 0.05
_SAME_REQUEST = 0.98
_MAX_CORRECTIONS = 1000
_MAX_STEPS = 500
_EXACT = 1e-8  # of the squared targets, which are 0 or 1
_SELDOM = 0.5  # share of the examples that have a feature, below which most requests have it not
_TINY = np.float32(1e-30)


class KernelReadout:
    """Scores of labels for feature rows; a score near 1 means the label, near 0 another one.

    It keeps the last 1,000 corrections.

    Args:
        rows: features of the examples, [n, d].
        labels: their labels, n of them; each label counts the same however many it has.
    """

    def __init__(self, rows: Vectors, labels: Sequence[str]) -> None:
        self.labels = list(dict.fromkeys(labels))
        places = np.array([self.labels.index(label) for label in labels])
        counts = np.bincount(places)
        penalties = _RIDGE * len(self.labels) * counts[places] / len(labels)
        # The penalties keep this system well-conditioned: single precision is exact enough, and
        # a few dozen steps are. NumPy's solver would copy the kernel in double precision.
        kernel = _gaussian(rows, _EXAMPLE_GAMMA)
        kernel[np.diag_indices_from(kernel)] += penalties.astype(np.float32)
        targets = np.eye(len(self.labels), dtype=np.float32)[places]
        self._products = _Products(rows)
        self._squares = np.einsum("nd,nd->n", rows, rows)
        self._weights = _solved(kernel, targets)
        self._corrected = np.zeros((0, rows.shape[1]), dtype=np.float32)
        self._corrected_labels: list[str] = []
        self._lacking = np.zeros((0, len(self.labels)), dtype=np.float32)

    def copy(self) -> KernelReadout:
        """A readout that shares the fit; what either is corrected by later is its own."""
        twin = copy(self)
        twin.labels = list(self.labels)
        return twin

    def score(self, row: Vectors) -> dict[str, float]:
        """The score of each label for one row of features, [d]."""
        scores = self._fitted(row)
        if self._corrected_labels:
            scores = scores + self._likeness(row) @ self._lacking
        return dict(zip(self.labels, scores.tolist(), strict=True))

    def correct(self, row: Vectors, label: str) -> None:
        """Learn that `row` is `label`; an earlier correction of the same request is forgotten."""
        if label not in self.labels:
            self.labels.append(label)
            # No example has the new label, so the fit gives it nothing anywhere.
            self._weights = np.pad(self._weights, ((0, 0), (0, 1)))
        kept = np.flatnonzero(self._likeness(row) < _SAME_REQUEST)[1 - _MAX_CORRECTIONS :]
        self._corrected = np.vstack([self._corrected[kept], row])
        self._corrected_labels = [*(self._corrected_labels[place] for place in kept), label]
        places = [self.labels.index(known) for known in self._corrected_labels]
        fitted = np.stack([self._fitted(corrected) for corrected in self._corrected])
        kernel = _gaussian(self._corrected, _CORRECTION_GAMMA)
        lacking = np.eye(len(self.labels))[places] - fitted
        ridge = _CORRECTION_RIDGE * np.eye(len(kernel))
        self._lacking = np.linalg.solve(kernel + ridge, lacking).astype(np.float32)

    def _fitted(self, row: Vectors) -> Vectors:
        distances = self._squares + float(row @ row) - 2 * self._products.of(row)
        return np.einsum("n,nk->k", np.exp(-_EXAMPLE_GAMMA * distances), self._weights)

    def _likeness(self, row: Vectors) -> Vectors:
        """How alike a row is to each correction, [m], 0 to 1."""
        return np.exp(-_CORRECTION_GAMMA * np.sum((self._corrected - row) ** 2, axis=1))


class _Products:
    """Products of many rows with one: what most rows leave zero is read only where that one has it.

    A request has a few dozen of the hundreds of hashed words, and reading the examples' 10 MB from
    memory is what an inference takes its time for.

    Args:
        rows: [n, d].
    """

    def __init__(self, rows: Vectors) -> None:
        seldom = np.count_nonzero(rows, axis=0) < _SELDOM * len(rows)
        self._often, self._seldom = np.flatnonzero(~seldom), np.flatnonzero(seldom)
        self._dense = np.ascontiguousarray(rows[:, self._often])
        self._columns = np.ascontiguousarray(rows[:, self._seldom].T)

    def of(self, row: Vectors) -> Vectors:
        """The products with a row, [n]."""
        # einsum stays on this thread; BLAS would wake its workers for products this small.
        products = np.einsum("nd,d->n", self._dense, row[self._often])
        marks = row[self._seldom]
        there = np.flatnonzero(marks)
        return products + np.einsum("dn,d->n", self._columns[there], marks[there])


def _solved(kernel: Vectors, targets: Vectors) -> Vectors:
    """Weights [n, k] with `kernel @ weights = targets`, for a positive definite kernel [n, n].

    Conjugate gradients (Hestenes and Stiefel, 1952), one for each column.
    """
    weights = np.zeros_like(targets)
    rest, step = targets.copy(), targets.copy()
    size = np.sum(rest * rest, axis=0)
    for _ in range(_MAX_STEPS):
        turned = kernel @ step
        length = size / np.maximum(np.sum(step * turned, axis=0), _TINY)
        weights += length * step
        rest -= length * turned
        left = np.sum(rest * rest, axis=0)
        if np.all(left < _EXACT * np.sum(targets, axis=0)):
            break
        step = rest + left / np.maximum(size, _TINY) * step
        size = left
    return weights


def _gaussian(rows: Vectors, gamma: float) -> Vectors:
    """exp(-gamma d²) of every pair of rows, [n, n]; in place, as it is the largest thing here."""
    squares = np.einsum("nd,nd->n", rows, rows)
    kernel = rows @ rows.T
    kernel *= -2
    kernel += squares[:, None]
    kernel += squares[None, :]
    np.maximum(kernel, 0, out=kernel)
    kernel *= -gamma
    return np.exp(kernel, out=kernel)
