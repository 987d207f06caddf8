"""The documents of an index as columns by ordinal: what is known of each but its text."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from typing import Any, Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from infrastructure.memory.memori.segments import DamagedIndex

_Number = TypeVar("_Number", bound="np.generic[Any]")
_FIRST_ROOM: Final = 1024
_NONE: Final = -1


class Column(Generic[_Number]):
    """An array that grows at its end in amortised constant time an element."""

    def __init__(self, kind: type[_Number]) -> None:
        self._room: NDArray[_Number] = np.empty(_FIRST_ROOM, dtype=kind)
        self._size = 0

    @property
    def values(self) -> NDArray[_Number]:
        """A view of the elements; one taken before `extend` may not see later changes."""
        return self._room[: self._size]

    def extend(self, values: NDArray[_Number]) -> None:
        """Append elements."""
        size = self._size + len(values)
        if size > len(self._room):
            room = np.empty(max(size, 2 * len(self._room)), dtype=self._room.dtype)
            room[: self._size] = self.values
            self._room = room
        self._room[self._size : size] = values
        self._size = size


class IndexedDocuments:
    """Documents by ordinal, the order in which they were written.

    A removed document keeps its ordinal and is dead. Documents of one namespace form a list, each
    linked to the one written before and after it; removing one links its neighbours to each
    other, so links never lead to a dead document.

    One thread at a time may change it, and none may read meanwhile; any number may read together.
    The arrays are views, to be read under the same lock and not written to.
    """

    def __init__(self) -> None:
        self._ids = Column(np.int64)
        self._written_at = Column(np.int64)
        self._lengths = Column(np.int32)
        self._alive = Column(np.bool_)
        self._namespace_codes = Column(np.int32)
        self._previous = Column(np.int32)
        self._following = Column(np.int32)
        self._last = Column(np.int32)  # by namespace: its last live document
        self._code_of: dict[str, int] = {}
        self._by_name: tuple[list[str], NDArray[np.int32]] = ([], np.empty(0, dtype=np.int32))
        self.live = 0
        """Documents that were not removed."""
        self.live_length = 0
        """Terms of all live documents."""

    def __len__(self) -> int:
        """The number of ordinals, dead ones included."""
        return len(self.ids)

    @property
    def ids(self) -> NDArray[np.int64]:
        """Item ids, int64[n], ascending."""
        return self._ids.values

    @property
    def written_at(self) -> NDArray[np.int64]:
        """Microseconds, int64[n]."""
        return self._written_at.values

    @property
    def lengths(self) -> NDArray[np.int32]:
        """Terms of each document, int32[n]."""
        return self._lengths.values

    @property
    def alive(self) -> NDArray[np.bool_]:
        """Which were not removed, bool[n]."""
        return self._alive.values

    @property
    def namespaces(self) -> list[str]:
        """The distinct encoded namespaces, in the order of their codes."""
        return list(self._code_of)

    @property
    def namespace_codes(self) -> NDArray[np.int32]:
        """Each document's place in `namespaces`, int32[n]."""
        return self._namespace_codes.values

    @property
    def previous(self) -> NDArray[np.int32]:
        """Ordinal of the live document written before it in its namespace, int32[n], -1 for none.

        Dead documents have none.
        """
        return self._previous.values

    @property
    def following(self) -> NDArray[np.int32]:
        """Ordinal of the live document written after it in its namespace; as `previous`."""
        return self._following.values

    def append(
        self,
        ids: NDArray[np.int64],
        written_at: NDArray[np.int64],
        lengths: NDArray[np.int32],
        namespaces: Sequence[str],
        namespace_codes: NDArray[np.int32],
    ) -> None:
        """Add live documents with ascending ids, all above those that are there.

        Args:
            namespace_codes: int32[n], each document's place in `namespaces`.

        Raises:
            DamagedIndex: the ids do not ascend; nothing was added.
        """
        known = self.ids[-1:]
        if not bool((np.diff(np.concatenate([known, ids])) > 0).all()):
            raise DamagedIndex(
                "segments of the search index overlap or are out of order; the index must be "
                "built anew from the stored items"
            )
        codes = self._codes(namespaces)[namespace_codes]
        self._link(codes)
        self._ids.extend(ids)
        self._written_at.extend(written_at)
        self._lengths.extend(lengths)
        self._alive.extend(np.ones(len(ids), dtype=np.bool_))
        self._namespace_codes.extend(codes)
        self.live += len(ids)
        self.live_length += int(lengths.sum(dtype=np.int64))

    def remove(self, ids: Collection[int]) -> None:
        """Mark documents dead; ids that are unknown or dead already are ignored."""
        wanted = np.unique(np.fromiter(ids, dtype=np.int64, count=len(ids)))
        ordinals = np.searchsorted(self.ids, wanted)
        inside = ordinals < len(self)
        wanted, ordinals = wanted[inside], ordinals[inside]
        dying = ordinals[(self.ids[ordinals] == wanted) & self.alive[ordinals]]
        self.alive[dying] = False
        self.live -= len(dying)
        self.live_length -= int(self.lengths[dying].sum(dtype=np.int64))
        for ordinal in dying.tolist():
            self._unlink(ordinal)

    def in_namespace(self, prefix: str) -> NDArray[np.bool_]:
        """Which documents are in a namespace or below it, bool[n], dead ones included.

        Args:
            prefix: an encoded namespace, every label ended by "."; "" for all.
        """
        if not prefix:
            return np.ones(len(self), dtype=np.bool_)
        names, codes = self._sorted_namespaces()
        first = bisect_left(names, prefix)
        end = bisect_right(names, prefix, key=lambda name: name[: len(prefix)])
        if end - first <= 1:
            code = codes[first] if end > first else _NONE
            return self.namespace_codes == code
        chosen = np.zeros(len(names), dtype=np.bool_)
        chosen[codes[first:end]] = True
        return chosen[self.namespace_codes]

    def _codes(self, namespaces: Sequence[str]) -> NDArray[np.int32]:
        """Codes of namespaces; new ones get the next."""
        code_of = self._code_of
        known = len(code_of)
        codes = [code_of.setdefault(name, len(code_of)) for name in namespaces]
        self._last.extend(np.full(len(code_of) - known, _NONE, dtype=np.int32))
        return np.array(codes, dtype=np.int32)

    def _sorted_namespaces(self) -> tuple[list[str], NDArray[np.int32]]:
        """The namespaces in order, in which those with a common start stand together."""
        if len(self._by_name[0]) != len(self._code_of):
            names = sorted(self._code_of)
            codes = np.array([self._code_of[name] for name in names], dtype=np.int32)
            self._by_name = names, codes
        return self._by_name

    def _link(self, codes: NDArray[np.int32]) -> None:
        """Link documents that are about to be added to their neighbours."""
        base = len(self)
        previous = np.full(len(codes), _NONE, dtype=np.int32)
        following = previous.copy()
        order = np.argsort(codes, kind="stable").astype(np.int32)
        same = codes[order[1:]] == codes[order[:-1]]
        previous[order[1:][same]] = order[:-1][same] + base
        following[order[:-1][same]] = order[1:][same] + base
        begins = np.ones(len(codes), dtype=np.bool_)
        begins[1:] = ~same
        ends = np.ones(len(codes), dtype=np.bool_)
        ends[:-1] = ~same
        firsts, lasts = order[begins], order[ends]
        before = self._last.values[codes[firsts]]
        previous[firsts] = before
        linked = before != _NONE
        self.following[before[linked]] = firsts[linked] + base
        self._last.values[codes[lasts]] = lasts + base
        self._previous.extend(previous)
        self._following.extend(following)

    def _unlink(self, ordinal: int) -> None:
        before, after = int(self.previous[ordinal]), int(self.following[ordinal])
        if before != _NONE:
            self.following[before] = after
        if after != _NONE:
            self.previous[after] = before
        else:
            self._last.values[self.namespace_codes[ordinal]] = before
        self.previous[ordinal] = self.following[ordinal] = _NONE
