"""A linear readout that is fitted at once to examples and corrected one example at a time.

Ridge regression of one-hot targets. A correction is a recursive least-squares step (Plackett,
1950): afterwards the coefficients are what a new fit with that example added would give, at the
cost of one rank-one update.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float64]

_CORRECTION_WEIGHT = 4.0
_MAX_STEPS = 12
_MARGIN = 0.15


class RidgeReadout:
    """Scores of labels for feature rows; a score near 1 means the label, near 0 another one.

    Args:
        rows: features of the examples, [n, d].
        labels: their labels, n of them; each label counts the same however many it has.
        ridge: the penalty; larger is smoother.
    """

    def __init__(self, rows: Vectors, labels: Sequence[str], ridge: float) -> None:
        self.labels = list(dict.fromkeys(labels))
        places = np.array([self.labels.index(label) for label in labels])
        counts = np.bincount(places)
        self._rows = rows
        self._ridge = ridge
        self._penalties = ridge * len(self.labels) * counts[places] / len(labels)
        targets = np.eye(len(self.labels))[places]
        self._coefficients = rows.T @ np.linalg.solve(self._gram(), targets)
        self._covariance: Vectors | None = None

    def score(self, row: Vectors) -> dict[str, float]:
        """The score of each label for one row of features, [d]."""
        return dict(zip(self.labels, (row @ self._coefficients).tolist(), strict=True))

    def correct(self, row: Vectors, label: str) -> None:
        """Learn that `row` is `label`: one weighted step, and more until it comes out first."""
        if label not in self.labels:
            self.labels = [*self.labels, label]
            # No example had it, so zeros are the exact ridge solution for the new column.
            column = np.zeros((len(self._coefficients), 1))
            self._coefficients = np.hstack([self._coefficients, column])
        for _ in range(_MAX_STEPS):
            self._step(row, label)
            scores = self.score(row)
            others = [score for name, score in scores.items() if name != label]
            if scores[label] >= max(others, default=0.0) + _MARGIN:
                return

    def _gram(self) -> Vectors:
        """Penalised products of the examples, [n, n]: the dual form, as n is the smaller side."""
        return self._rows @ self._rows.T + np.diag(self._penalties)

    def _step(self, row: Vectors, label: str) -> None:
        covariance = self._precise()
        scaled = row * _CORRECTION_WEIGHT**0.5
        gain = covariance @ scaled
        gain /= 1 + scaled @ gain
        target = np.array([float(name == label) for name in self.labels])
        error = _CORRECTION_WEIGHT**0.5 * (target - row @ self._coefficients)
        self._coefficients = self._coefficients + np.outer(gain, error)
        self._covariance = covariance - np.outer(gain, scaled @ covariance)

    def _precise(self) -> Vectors:
        """The inverse of the penalised second moments, [d, d], made when first corrected."""
        if self._covariance is None:
            projected = self._rows.T @ np.linalg.solve(self._gram(), self._rows)
            self._covariance = (np.eye(len(projected)) - projected) / self._ridge
        return self._covariance
