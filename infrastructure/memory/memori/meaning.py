"""How near items are in meaning to a query: cosines against what is usual for the query."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from infrastructure.memory.memori.embedding import Vectors
from infrastructure.memory.memori.nearest import VectorIndex

Floats = NDArray[np.float32]

_SAMPLE: Final = 1_024
_SPAN: Final = 8.0
"""So many standard deviations above the usual cosine are as near as counts."""

# A small store says little of what is usual: it begins with a belief worth so many rows.
_PRIOR_ROWS: Final = 20.0
_PRIOR_MEAN: Final = 0.25
_PRIOR_DEVIATION: Final = 0.12


def nearness(cosines: Floats, sample: Floats) -> Floats:
    """Cosines on a scale from 0, what is usual for the query, to 1; -inf stays below 0 as 0.

    Embedders differ in which cosines they give to unrelated texts; measured in standard deviations
    above the mean of the query's cosines with everything, they do not.

    Args:
        cosines: float32[n]; -inf for what has no vector.
        sample: cosines of the query with the store at large.
    """
    n = len(sample)
    mean = float(sample.mean()) if n else 0.0
    variance = float(sample.var()) if n else 0.0
    rows = n + _PRIOR_ROWS
    usual = (n * mean + _PRIOR_ROWS * _PRIOR_MEAN) / rows
    deviation = math.sqrt((n * variance + _PRIOR_ROWS * _PRIOR_DEVIATION**2) / rows)
    return np.clip((cosines - np.float32(usual)) / np.float32(_SPAN * deviation), 0, 1)


def sampled(vectors: VectorIndex, query: Vectors) -> Floats:
    """The query's cosines with a fixed sample of the items, where all are too many."""
    step = max(1, vectors.rows // _SAMPLE)
    cosines = vectors.cosines_of(query, np.unique(vectors.items[::step]))
    return cosines[cosines > -np.inf]
