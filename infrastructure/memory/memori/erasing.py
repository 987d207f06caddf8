"""Takes the words and vectors of what died out of the search index as it is stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from infrastructure.memory.memori import segments, vector_block
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.postings import Postings
from infrastructure.memory.memori.segments import Segment
from infrastructure.memory.memori.vector_block import VectorBlock


def erase_dead(tx: Tx) -> None:
    """Rewrite the segments that hold entries of dead items, in this transaction.

    The deaths stay in the log, where they are numbers, so that indexes in memory follow as ever.
    It reads every segment that may hold one: about 0.1 s for each 30,000 items. A damaged index is
    thrown away, to be made anew from the items that are left.
    """
    _, dead = segments.deaths(tx, 0)
    gone = np.unique(np.array(dead, dtype=np.int64))
    kinds = segments.kinds(tx)
    try:
        for kind in kinds:
            _rewrite(tx, kind, gone)
    except segments.DamagedIndex:
        for kind in kinds:  # all, since they belong together
            segments.drop(tx, kind)


def _rewrite(tx: Tx, kind: str, dead: NDArray[np.int64]) -> None:
    without = _WITHOUT[kind.partition(":")[0]]
    for extent in segments.extents(tx, kind):
        within = dead[(dead >= extent.first) & (dead <= extent.last)]
        if len(within) == 0:
            continue
        new = without(segments.stored(tx, kind, extent), within)
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
