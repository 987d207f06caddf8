"""The search index as it lies in the database: segments by kind, and a log of deaths.

The index of a kind is complete up to its cursor, the largest item id that a segment covers. Deaths
are items whose entry in a segment no longer counts; a segment is stored without the items that
died while it was made. When too much of an index is dead it is rewritten without, its deaths are
struck off, and a new epoch tells other processes to read it from the start.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from infrastructure.errors import StoreError
from infrastructure.memory.memori.dialect import Tx


class DamagedIndex(StoreError):
    """A part of the search index cannot be used; the items are whole, and it is made anew.

    Fields:
        kind: the index that it is a part of; empty where that is not known.
    """

    kind: str = ""


@contextmanager
def reading(kind: str) -> Generator[None]:
    """Around what reads segments of a kind: damage is told with it."""
    try:
        yield
    except DamagedIndex as error:
        error.kind = kind
        raise


class Segment(NamedTuple):
    """What the items with ids in `first`..`last` add to an index."""

    first: int
    last: int
    entries: int
    body: bytes


class Extent(NamedTuple):
    """A segment without its body."""

    first: int
    last: int
    entries: int


def cursor(tx: Tx, kind: str) -> int:
    """The id up to which items are indexed; 0 for none."""
    row = tx.execute(
        "SELECT max(last) FROM index_segments WHERE tenant = ? AND kind = ?", (tx.tenant, kind)
    ).fetchone()
    return int(row[0] or 0) if row else 0


def waiting(tx: Tx, after: int, until: int) -> bool:
    """Whether an item with an id above one and up to another is to be indexed."""
    row = tx.execute(
        "SELECT 1 FROM items WHERE tenant = ? AND paths IS NOT NULL AND id > ? AND id <= ? LIMIT 1",
        (tx.tenant, after, until),
    ).fetchone()
    return row is not None


def after(tx: Tx, kind: str, last: int) -> list[Segment]:
    """The segments that reach beyond an id, in order."""
    rows = tx.execute(
        "SELECT first, last, entries, body FROM index_segments"
        " WHERE tenant = ? AND kind = ? AND last > ? ORDER BY last",
        (tx.tenant, kind, last),
    )
    return [Segment(*row) for row in rows.fetchall()]


def extents(tx: Tx, kind: str) -> list[Extent]:
    """All segments of a kind in order, without their bodies."""
    rows = tx.execute(
        "SELECT first, last, entries FROM index_segments WHERE tenant = ? AND kind = ?"
        " ORDER BY last",
        (tx.tenant, kind),
    )
    return [Extent(*row) for row in rows.fetchall()]


def stored(tx: Tx, kind: str, extent: Extent) -> Segment | None:
    """A segment with its body; None if there is none of this extent any more."""
    row = tx.execute(
        "SELECT first, last, entries, body FROM index_segments"
        " WHERE tenant = ? AND kind = ? AND last = ? AND first = ? AND entries = ?",
        (tx.tenant, kind, extent.last, extent.first, extent.entries),
    ).fetchone()
    return None if row is None else Segment(*row)


def kinds(tx: Tx) -> list[str]:
    """The kinds of index that the tenant has."""
    rows = tx.execute("SELECT DISTINCT kind FROM index_segments WHERE tenant = ?", (tx.tenant,))
    return [str(kind) for (kind,) in rows.fetchall()]


def append(tx: Tx, kind: str, segment: Segment) -> None:
    """Add a segment behind the others of its kind."""
    tx.execute(
        "INSERT INTO index_segments (tenant, kind, last, first, entries, body)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (tx.tenant, kind, segment.last, segment.first, segment.entries, segment.body),
    )


def replace(tx: Tx, kind: str, old: Sequence[Extent], new: Segment) -> bool:
    """Put one segment in the place of others; False, and nothing changes, if they are not there."""
    for extent in old:
        found = tx.execute(
            "SELECT entries FROM index_segments WHERE tenant = ? AND kind = ? AND last = ?"
            " AND first = ?",
            (tx.tenant, kind, extent.last, extent.first),
        ).fetchone()
        if found is None or found[0] != extent.entries:
            return False
    for extent in old:
        tx.execute(
            "DELETE FROM index_segments WHERE tenant = ? AND kind = ? AND last = ?",
            (tx.tenant, kind, extent.last),
        )
    append(tx, kind, new)
    return True


def drop(tx: Tx, kind: str) -> None:
    """Remove an index, to be made anew from the items; new epoch."""
    tx.execute("DELETE FROM index_segments WHERE tenant = ? AND kind = ?", (tx.tenant, kind))
    _begin_epoch(tx)


def bury(tx: Tx, item: int) -> None:
    """Log that an item's entries no longer count."""
    tx.execute("INSERT INTO item_deaths (tenant, item) VALUES (?, ?)", (tx.tenant, item))


def deaths(tx: Tx, seen: int) -> tuple[int, list[int]]:
    """The items that died after a place in the log, and the place that it has reached."""
    rows = tx.execute(
        "SELECT seq, item FROM item_deaths WHERE tenant = ? AND seq > ? ORDER BY seq",
        (tx.tenant, seen),
    ).fetchall()
    return (int(rows[-1][0]) if rows else seen), [int(item) for _, item in rows]


def death_count(tx: Tx) -> int:
    """How long the log of deaths is."""
    row = tx.execute("SELECT count(*) FROM item_deaths WHERE tenant = ?", (tx.tenant,)).fetchone()
    return 0 if row is None else int(row[0])


def strike_deaths(tx: Tx, until: int) -> None:
    """Remove the log up to a place, once no segment holds an entry of those items; new epoch."""
    tx.execute("DELETE FROM item_deaths WHERE tenant = ? AND seq <= ?", (tx.tenant, until))
    _begin_epoch(tx)


def epoch(tx: Tx) -> int:
    """Changes whenever the index was rewritten without its dead."""
    row = tx.execute("SELECT epoch FROM index_epochs WHERE tenant = ?", (tx.tenant,)).fetchone()
    return 0 if row is None else int(row[0])


def _begin_epoch(tx: Tx) -> None:
    tx.execute(
        "INSERT INTO index_epochs (tenant, epoch) VALUES (?, 1)"
        " ON CONFLICT (tenant) DO UPDATE SET epoch = index_epochs.epoch + 1",
        (tx.tenant,),
    )
