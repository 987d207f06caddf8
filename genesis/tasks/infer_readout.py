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
        # The penalties keep this system well-conditioned: single precision is exact enough.
        kernel = np.exp(-_EXAMPLE_GAMMA * _square_distances(rows))
        kernel[np.diag_indices_from(kernel)] += penalties.astype(np.float32)
        targets = np.eye(len(self.labels), dtype=np.float32)[places]
        self._rows = rows
        self._squares = np.einsum("nd,nd->n", rows, rows)
        self._weights = np.linalg.solve(kernel, targets)
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
        kernel = np.exp(-_CORRECTION_GAMMA * _square_distances(self._corrected))
        lacking = np.eye(len(self.labels))[places] - fitted
        ridge = _CORRECTION_RIDGE * np.eye(len(kernel))
        self._lacking = np.linalg.solve(kernel + ridge, lacking).astype(np.float32)

    def _fitted(self, row: Vectors) -> Vectors:
        # einsum stays on this thread; BLAS would wake its workers for a product this small.
        products = np.einsum("nd,d->n", self._rows, row)
        distances = self._squares + float(row @ row) - 2 * products
        return np.einsum("n,nk->k", np.exp(-_EXAMPLE_GAMMA * distances), self._weights)

    def _likeness(self, row: Vectors) -> Vectors:
        """How alike a row is to each correction, [m], 0 to 1."""
        return np.exp(-_CORRECTION_GAMMA * np.sum((self._corrected - row) ** 2, axis=1))


def _square_distances(rows: Vectors) -> Vectors:
    squares = np.einsum("nd,nd->n", rows, rows)
    return np.maximum(squares[:, None] + squares[None, :] - 2 * rows @ rows.T, 0)
