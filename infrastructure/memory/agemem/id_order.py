"""Vectors in the order of their entries' ids, whatever the order in which the entries came."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Places = NDArray[np.intp]

_FIRST_SIZE = 32


class IdOrder:
    """The slots and vectors of entries, sorted by id; new entries mostly belong at the end."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._slots: Places = np.zeros(_FIRST_SIZE, dtype=np.intp)
        self._vectors: Floats = np.zeros((_FIRST_SIZE, 0), dtype=np.float32)

    @property
    def slots(self) -> Places:
        """Where each entry stands elsewhere, intp[n]; not to be changed."""
        return self._slots[: len(self._ids)]

    @property
    def vectors(self) -> Floats:
        """float32[n, d]; not to be changed."""
        return self._vectors[: len(self._ids)]

    def put(self, entry_id: str, slot: int, vector: Floats) -> None:
        """Add an entry whose id is not there."""
        count, place = len(self._ids), bisect_left(self._ids, entry_id)
        if not count:
            self._vectors = np.zeros((len(self._slots), len(vector)), dtype=np.float32)
        if count == len(self._slots):
            self._slots = np.concatenate([self._slots, np.zeros_like(self._slots)])
            self._vectors = np.concatenate([self._vectors, np.zeros_like(self._vectors)])
        self._ids.insert(place, entry_id)
        for array in (self._slots, self._vectors):
            array[place + 1 : count + 1] = array[place:count]
        self._slots[place] = slot
        self._vectors[place] = vector

    def remove(self, entry_id: str) -> None:
        """Take an entry out whose id is there."""
        count, place = len(self._ids), bisect_left(self._ids, entry_id)
        del self._ids[place]
        for array in (self._slots, self._vectors):
            array[place : count - 1] = array[place + 1 : count]
