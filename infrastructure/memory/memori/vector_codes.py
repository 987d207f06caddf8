"""Short codes of vectors: a quick first look at more rows than are compared exactly in time."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from infrastructure.memory.memori.embedding import Vectors

_LEAST_BITS: Final = 512
_SAMPLE: Final = 16_384
_BLOCK: Final = 65_536
_WORD_BITS: Final = 64


class VectorCodes:
    """Thermometer codes of vectors, in row order.

    A coordinate has one bit for each of its thresholds, set above it. The thresholds are quantiles
    of the coordinate in a sample of the rows, so that every bit divides the rows evenly wherever
    the vectors lie. Two codes differ in as many bits as there are thresholds between the vectors,
    summed over the coordinates: the Manhattan distance of the vectors so rounded. From 512
    dimensions on there is one threshold, the median; with fewer there are as many as make 512 bits.
    """

    def __init__(self, vectors: Vectors) -> None:
        """Choose the thresholds by the vectors [n, d], n at least 1, and encode them all."""
        levels = -(-_LEAST_BITS // vectors.shape[1])
        sample = vectors[:: -(-len(vectors) // _SAMPLE)]
        shares = np.linspace(0, 1, levels + 2)[1:-1]
        self._thresholds = np.quantile(sample, shares, axis=0).astype(np.float32)
        self._words = -(-self._thresholds.size // _WORD_BITS)
        # A block is [words, rows]: the same word of all its rows is compared in one go.
        self._blocks: list[NDArray[np.uint64]] = []
        self._rows = 0
        self.extend(vectors)

    def __len__(self) -> int:
        return self._rows

    def extend(self, vectors: Vectors) -> None:
        """Encode further rows [n, d]."""
        done = 0
        while done < len(vectors):
            start = self._rows % _BLOCK
            if start == 0:
                self._blocks.append(np.zeros((self._words, _BLOCK), dtype=np.uint64))
            part = vectors[done : done + _BLOCK - start]
            self._blocks[-1][:, start : start + len(part)] = self._encoded(part)
            self._rows += len(part)
            done += len(part)

    def distances(self, query: Vectors) -> NDArray[np.uint16]:
        """In how many bits each row's code differs from the query's, [rows]."""
        code = self._encoded(query[np.newaxis])
        distances = np.empty(self._rows, dtype=np.uint16)
        for number, block in enumerate(self._blocks):
            part = distances[number * _BLOCK : (number + 1) * _BLOCK]
            differing = np.bitwise_count(block[:, : len(part)] ^ code)
            differing.sum(axis=0, dtype=np.uint16, out=part)
        return distances

    def _encoded(self, vectors: Vectors) -> NDArray[np.uint64]:
        """The codes of vectors [n, d], [words, n]."""
        octets = np.zeros((len(vectors), self._words * _WORD_BITS // 8), dtype=np.uint8)
        width = vectors.shape[1]
        above = np.empty((len(vectors), self._thresholds.size), dtype=np.bool_)
        for level, thresholds in enumerate(self._thresholds):
            np.greater(vectors, thresholds, out=above[:, level * width : (level + 1) * width])
        packed = np.packbits(above, axis=1)
        octets[:, : packed.shape[1]] = packed
        return octets.view(np.uint64).T
