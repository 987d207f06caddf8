"""What turns texts into vectors, for search and for the task-type classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Embedder(Protocol):
    """Texts to unit vectors. Vectors of different `name` or `version` must not be compared.

    Attributes:
        name: which model; stored beside every vector.
        version: changes whenever the same text would give another vector.
        dimensions: length of a vector.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def dimensions(self) -> int: ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One row per text, [n, dimensions], of length 1; a text without words gives zeros.

        It may block on work or on the network: call it from a thread in asynchronous code.

        Raises:
            ModelError: the model is missing or failed.
        """
        ...


def unit_rows(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """The rows of an [n, d] matrix scaled to length 1; rows of zeros stay as they are."""
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    return (matrix / np.where(lengths == 0, 1, lengths)).astype(np.float32)
