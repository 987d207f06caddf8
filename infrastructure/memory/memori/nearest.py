"""Vectors of items in memory, and which items are nearest to a query."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from infrastructure.memory.memori.embedding import Vectors
from infrastructure.memory.memori.vector_block import VectorBlock
from infrastructure.memory.memori.vector_codes import VectorCodes

Ids = NDArray[np.int64]
Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]
_Scalar = TypeVar("_Scalar", bound=np.generic)

EXACT_ROWS: Final = 150_000
_LEAST_CAPACITY: Final = 256

# How many rows the codes let through to the exact comparison: the larger, the fewer are missed.
_LEAST_CANDIDATES: Final = 4_000
_CANDIDATES_EACH: Final = 40
_ROWS_A_CANDIDATE: Final = 250

# A product over all rows streams through memory; gathering rows pays while they are fewer.
_GATHERED_SHARE: Final = 8


class Nearest(NamedTuple):
    """Items and their cosines, best first; among equal ones the newer (larger id) first.

    Fields:
        items: int64 [k], each item once.
        cosines: float32 [k], of the item's nearest row.
    """

    items: Ids
    cosines: Vectors


class VectorIndex:
    """The vectors of one embedder, a row each, numbered as appended; an item may have several.

    Up to `exact_rows` rows, `nearest` compares all of them. Above, short codes of the vectors
    choose candidates, which are then compared exactly: the cosines are exact at any size, and a
    true neighbour may be missed. A removed item's rows never come back. Not for several threads at
    once: its owner holds a lock.
    """

    def __init__(self, dimensions: int, exact_rows: int = EXACT_ROWS) -> None:
        self.dimensions = dimensions
        self._exact_rows = exact_rows
        self._rows = 0
        self._dead = 0
        self._items = np.empty(0, dtype=np.int64)
        self._alive = np.empty(0, dtype=np.bool_)
        self._vectors = np.empty((0, dimensions), dtype=np.float32)
        self._codes: VectorCodes | None = None

    @property
    def rows(self) -> int:
        """How many rows there are, dead ones too."""
        return self._rows

    @property
    def exact(self) -> bool:
        """Whether `nearest` compares all rows."""
        return self._rows <= self._exact_rows

    @property
    def items(self) -> Ids:
        """The item of each row, int64 [rows]; to be read only."""
        return _read_only(self._items[: self._rows])

    @property
    def alive(self) -> Mask:
        """Which rows' items have not been removed, bool [rows]; to be read only."""
        return _read_only(self._alive[: self._rows])

    def append(self, block: VectorBlock) -> None:
        """Add a block's rows after those that are there, in amortised constant time a row.

        Raises:
            ValueError: it has another number of dimensions, or its ids do not come after those
                that are there (so a block cannot be added twice).
        """
        if block.dimensions != self.dimensions:
            raise ValueError(
                f"a block of {block.dimensions} dimensions in an index of {self.dimensions}"
            )
        start, end = self._rows, self._rows + len(block.items)
        if start < end and start > 0 and block.items[0] <= self._items[start - 1]:
            raise ValueError(
                f"a block from id {block.items[0]} cannot follow id {self._items[start - 1]}"
            )
        if end > len(self._items):
            self._resize(max(end, 2 * start, _LEAST_CAPACITY))
        self._items[start:end] = block.items
        self._alive[start:end] = True
        self._vectors[start:end] = block.vectors
        self._rows = end

    def remove(self, items: Collection[int]) -> None:
        """Let the items never come back; unknown and removed ones are passed over."""
        rows, _ = self._rows_of(np.fromiter(items, np.int64, len(items)))
        self._alive[rows] = False
        self._dead = self._rows - int(np.count_nonzero(self._alive[: self._rows]))

    def cosines(self, query: Vectors) -> Vectors:
        """The cosine of every row with the unit query [d], float32 [rows]; -inf for dead rows."""
        cosines = _products(self._vectors[: self._rows], self._checked(query))
        if self._dead:
            cosines[~self._alive[: self._rows]] = -np.inf
        return cosines

    def cosines_of(self, query: Vectors, items: Ids) -> Vectors:
        """The cosine of each item's nearest row, float32 [len(items)]; -inf if it has none."""
        rows, counts = self._rows_of(items)
        cosines = self._compared(self._checked(query), rows)
        cosines[~self._alive[rows]] = -np.inf
        best = np.full(len(items), -np.inf, dtype=np.float32)
        found = counts > 0
        if found.any():
            starts = (np.cumsum(counts) - counts)[found]
            best[found] = np.maximum.reduceat(cosines, starts)
        return best

    def nearest(self, query: Vectors, k: int, allowed: Mask | None = None) -> Nearest:
        """The k live items nearest to the unit query [d]; fewer only where there are no more.

        Args:
            allowed: bool [rows], the rows that may count; it is applied before the limit.

        Raises:
            ValueError: the query or the mask has another shape, or k is negative.
        """
        self._checked(query)
        if k < 0:
            raise ValueError(f"cannot return {k} items")
        eligible = self._eligible(allowed)
        there = int(np.count_nonzero(eligible))
        count = self._candidate_count(k, there)
        while True:
            rows = self._candidates(query, count, eligible)
            found = self._best_items(rows, self._compared(query, rows), k)
            if len(found.items) == k or len(rows) == there:
                return found
            count = min(4 * count, there)  # few items have many rows each

    def _eligible(self, allowed: Mask | None) -> Mask:
        alive = self._alive[: self._rows]
        if allowed is None:
            return alive
        if allowed.shape != alive.shape:
            raise ValueError(f"a mask of shape {allowed.shape} over {self._rows} rows")
        return alive & allowed

    def _candidate_count(self, k: int, there: int) -> int:
        """How many of the rows that are there to compare exactly."""
        if self.exact or there <= self._exact_rows // _GATHERED_SHARE:
            return there
        count = max(_LEAST_CANDIDATES, _CANDIDATES_EACH * k, self._rows // _ROWS_A_CANDIDATE)
        return min(count, there)

    def _candidates(self, query: Vectors, count: int, eligible: Mask) -> Rows:
        """The `count` eligible rows with the nearest codes, the newer of equal ones; ascending."""
        if count == np.count_nonzero(eligible):
            return np.flatnonzero(eligible)
        distances = self._brought_up_to_date().distances(query)
        distances[~eligible] = np.iinfo(distances.dtype).max
        cut = np.partition(distances, count - 1)[count - 1]
        nearer = np.flatnonzero(distances < cut)
        equal = np.flatnonzero(distances == cut)[len(nearer) - count :]
        return np.sort(np.concatenate((nearer, equal)))

    def _brought_up_to_date(self) -> VectorCodes:
        if self._codes is None:
            self._codes = VectorCodes(self._vectors[: self._rows])
        self._codes.extend(self._vectors[len(self._codes) : self._rows])
        return self._codes

    def _best_items(self, rows: Rows, cosines: Vectors, k: int) -> Nearest:
        """The k items whose best of these rows are best."""
        wanted = k
        while True:
            head = _largest(cosines, wanted)
            items = self._items[rows[head]]
            order = np.lexsort((-items, -cosines[head]))
            _, first = np.unique(items[order], return_index=True)
            if len(first) >= k or len(head) == len(rows):
                chosen = order[np.sort(first)[:k]]
                return Nearest(items[chosen], cosines[head[chosen]])
            wanted *= 4

    def _compared(self, query: Vectors, rows: Rows) -> Vectors:
        if len(rows) * _GATHERED_SHARE > self._rows:
            return _products(self._vectors[: self._rows], query)[rows]
        return _products(self._vectors[rows], query)

    def _rows_of(self, items: Ids) -> tuple[Rows, NDArray[np.int64]]:
        """The rows of the items, one item's after the other's, and how many each has."""
        present = self._items[: self._rows]
        starts = np.searchsorted(present, items, side="left")
        counts = np.searchsorted(present, items, side="right") - starts
        before = np.cumsum(counts) - counts
        places: Rows = np.arange(int(counts.sum()))
        return places + np.repeat(starts - before, counts), counts

    def _checked(self, query: Vectors) -> Vectors:
        if query.shape != (self.dimensions,):
            raise ValueError(f"a query of shape {query.shape} in {self.dimensions} dimensions")
        return query

    def _resize(self, capacity: int) -> None:
        self._items = _resized(self._items, self._rows, capacity)
        self._alive = _resized(self._alive, self._rows, capacity)
        self._vectors = _resized(self._vectors, self._rows, capacity)


def _products(vectors: Vectors, query: Vectors) -> Vectors:
    """The dot product of each row [n, d] with the query [d], [n].

    BLAS's product of a matrix and a vector gives equal rows results that differ in the last bit,
    by their place, and as many threads as processors; one product a row is as quick.
    """
    return np.vecdot(vectors, query)


def _largest(values: Vectors, count: int) -> Rows:
    """Where the `count` largest values are, and those equal to the least of them; unordered."""
    if count >= len(values):
        return np.arange(len(values))
    if count == 0:
        return np.arange(0)
    at = len(values) - count
    return np.flatnonzero(values >= np.partition(values, at)[at])


def _resized(array: NDArray[_Scalar], used: int, capacity: int) -> NDArray[_Scalar]:
    resized = np.empty((capacity, *array.shape[1:]), dtype=array.dtype)
    resized[:used] = array[:used]
    return resized


def _read_only(array: NDArray[_Scalar]) -> NDArray[_Scalar]:
    view = array.view()
    view.flags.writeable = False
    return view
