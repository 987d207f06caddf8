"""One batch of vectors as it is kept in the database: item ids and the vectors of their texts."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from infrastructure.memory.memori.embedding import Vectors
from infrastructure.memory.memori.segments import DamagedIndex

# Magic and version, dimensions, rows, CRC-32 of what follows; its size keeps the ids aligned.
_HEADER: Final = struct.Struct("<8sIQI")
_MAGIC: Final = b"GENVEC\x00\x01"
_ID: Final = np.dtype("<i8")
_COMPONENT: Final = np.dtype("<f4")


@dataclass(frozen=True, eq=False)
class VectorBlock:
    """Vectors of items, a row for each indexed text.

    Fields:
        items: ids of the rows' items, int64 [n], ascending; an item's rows follow each other.
        vectors: float32 [n, d] of unit length, or zeros where a text has nothing to compare.

    Raises:
        ValueError: the ids do not ascend, or the shapes do not fit.
    """

    items: NDArray[np.int64]
    vectors: Vectors

    def __post_init__(self) -> None:
        if self.items.ndim != 1 or self.vectors.ndim != 2:
            raise ValueError(
                f"a block takes ids [n] and vectors [n, d], not shapes {self.items.shape} and "
                f"{self.vectors.shape}"
            )
        if len(self.items) != len(self.vectors):
            raise ValueError(f"{len(self.items)} ids for {len(self.vectors)} vectors")
        if (self.items[1:] < self.items[:-1]).any():
            raise ValueError("the ids of a block must ascend")

    @property
    def dimensions(self) -> int:
        return self.vectors.shape[1]

    def to_bytes(self) -> bytes:
        """The block as bytes, 24 + n (8 + 4 d) of them, the same on every machine."""
        ids = np.ascontiguousarray(self.items, dtype=_ID).tobytes()
        vectors = np.ascontiguousarray(self.vectors, dtype=_COMPONENT).tobytes()
        checksum = zlib.crc32(vectors, zlib.crc32(ids))
        return _HEADER.pack(_MAGIC, self.dimensions, len(self.items), checksum) + ids + vectors

    @classmethod
    def from_bytes(cls, data: bytes) -> VectorBlock:
        """The block that `to_bytes` wrote; its arrays are read-only views of the bytes.

        Raises:
            DamagedIndex: the bytes are cut short, changed, or not of this version.
        """
        if len(data) < _HEADER.size:
            raise _damaged(f"{len(data)} bytes are too few")
        magic, dimensions, rows, checksum = _HEADER.unpack_from(data)
        if magic != _MAGIC:
            raise _damaged(f"it begins with {magic!r}")
        ids_end = _HEADER.size + rows * _ID.itemsize
        expected = ids_end + rows * dimensions * _COMPONENT.itemsize
        if len(data) != expected:
            raise _damaged(f"it has {len(data)} bytes where {expected} are announced")
        if zlib.crc32(memoryview(data)[_HEADER.size :]) != checksum:
            raise _damaged("its checksum differs")
        items = np.frombuffer(data, _ID, rows, _HEADER.size).astype(np.int64, copy=False)
        vectors = np.frombuffer(data, _COMPONENT, rows * dimensions, ids_end)
        try:
            return cls(items, vectors.astype(np.float32, copy=False).reshape(rows, dimensions))
        except ValueError as error:
            raise _damaged(str(error)) from error


def merged(blocks: Sequence[VectorBlock], dead: Collection[int]) -> VectorBlock:
    """One block of the rows of several, without those of dead items.

    Raises:
        ValueError: there is no block, or the blocks differ in dimensions.
    """
    items = np.concatenate([block.items for block in blocks])
    vectors = np.concatenate([block.vectors for block in blocks])
    kept = np.flatnonzero(~np.isin(items, np.fromiter(dead, np.int64, len(dead))))
    order = kept[np.argsort(items[kept], kind="stable")]
    return VectorBlock(items[order], vectors[order])


def _damaged(why: str) -> DamagedIndex:
    return DamagedIndex(f"a block of the vector index is damaged: {why}; rebuild the index")
