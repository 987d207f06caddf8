"""Takes the words and vectors of what died out of the search index as it is stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from infrastructure.memory.memori import segments, vector_block
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.postings import Postings
from infrastructure.memory.memori.segments import Extent, Segment
from infrastructure.memory.memori.vector_block import VectorBlock


def erase_dead(tx: Tx) -> None:
    """Rewrite the segments that hold entries of dead items, in this transaction; new epoch.

    It reads every segment that may hold one: about 0.1 s for each 30,000 items. A damaged index is
    thrown away, to be made anew from the items that are left.
    """
    reached, logged = segments.deaths(tx, 0)
    if not logged:
        return
    dead = np.unique(np.array(logged, dtype=np.int64))
    kinds = segments.kinds(tx)
    try:
        for kind in kinds:
            _rewrite(tx, kind, dead)
    except segments.DamagedIndex:
        for kind in kinds:  # all, since they belong together
            segments.drop(tx, kind)
    segments.strike_deaths(tx, reached)


def may_hold(extent: Extent, items: NDArray[np.int64]) -> bool:
    """Whether a segment may hold entries of any of these items, which are in ascending order."""
    first, beyond = np.searchsorted(items, (extent.first, extent.last + 1))
    return bool(first < beyond)


def without(segment: Segment, kind: str, dead: NDArray[np.int64]) -> Segment:
    """A segment of any kind of index without the entries of some items.

    Raises:
        DamagedIndex: the segment cannot be read.
    """
    with segments.reading(kind):
        return _WITHOUT[kind.partition(":")[0]](segment, dead)


def _rewrite(tx: Tx, kind: str, dead: NDArray[np.int64]) -> None:
    for extent in segments.extents(tx, kind):
        if not may_hold(extent, dead):
            continue
        old = segments.stored(tx, kind, extent)
        assert old is not None, "an extent read in this transaction has its segment"
        new = without(old, kind, dead)
        if new.entries != extent.entries:
            segments.replace(tx, kind, (extent,), new)


def _text_without(segment: Segment, dead: NDArray[np.int64]) -> Segment:
    kept = Postings.from_bytes(segment.body).without(dead)
    return segment._replace(entries=len(kept), body=kept.to_bytes())


def _vectors_without(segment: Segment, dead: NDArray[np.int64]) -> Segment:
    kept = vector_block.merged([VectorBlock.from_bytes(segment.body)], dead.tolist())
    return segment._replace(entries=len(kept.items), body=kept.to_bytes())


_WITHOUT: Final[dict[str, Callable[[Segment, NDArray[np.int64]], Segment]]] = {
    "text": _text_without,
    "vectors": _vectors_without,
}
