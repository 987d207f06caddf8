"""Lets go of indexes that nobody follows any more: of embedders and tokenisers of before."""

from __future__ import annotations

from typing import Final

from infrastructure.memory.memori import segments
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.engine import Memori

PATIENCE_US: Final = 86_400_000_000
"""An index that was not brought any further for so long, in microseconds, is abandoned."""

_NO_LIMIT: Final = 2**62


def drop_abandoned(memori: Memori, kind: str) -> list[str]:
    """Drop the indexes that one has replaced: those of its family (text, or vectors) left behind.

    It is called by whoever follows `kind`, now and then. While `kind` is not complete nothing is
    dropped. Others may be followed by another process: text is dropped when it was not brought any
    further for a day, and vectors when they lack items besides, as vectors that lack none may be
    asked again by whoever goes back to their embedder, and are dear to make.

    Returns:
        The kinds that were dropped.
    """
    now = round(memori.clock.now() * 1_000_000)
    moved, abandoned = memori.read_sync(lambda tx: _judged(tx, kind, now))
    if not moved and not abandoned:
        return []
    (dropped,) = memori.commit_sync(lambda tx: _settle(tx, kind, now))
    return list(dropped)


def _judged(tx: Tx, kind: str, now: int) -> tuple[dict[str, int], list[str]]:
    """Cursors to be noted, and what is to be dropped, of the kinds not looked at for a day."""
    rows = tx.execute(
        "SELECT kind, max(last) FROM index_segments WHERE tenant = ? GROUP BY kind", (tx.tenant,)
    ).fetchall()
    family = kind.partition(":")[0]
    others = {name: last for name, last in rows if name.partition(":")[0] == family}
    others.pop(kind, None)
    if not others or segments.waiting(tx, segments.cursor(tx, kind), _NO_LIMIT):
        return {}, []
    seen = tx.execute(
        "SELECT kind, reached, noted_at FROM index_cursors WHERE tenant = ?", (tx.tenant,)
    )
    known = {name: (reached, noted_at) for name, reached, noted_at in seen.fetchall()}
    moved: dict[str, int] = {}
    abandoned: list[str] = []
    for other, cursor in others.items():
        reached, noted_at = known.get(other, (-1, now - PATIENCE_US))
        if now - noted_at < PATIENCE_US:
            continue
        if cursor != reached:
            moved[other] = cursor
        elif family == "text" or segments.waiting(tx, cursor, _NO_LIMIT):
            abandoned.append(other)
    return moved, abandoned


def _settle(tx: Tx, kind: str, now: int) -> list[str]:
    moved, abandoned = _judged(tx, kind, now)
    for other in abandoned:
        segments.drop(tx, other)
        tx.execute("DELETE FROM index_cursors WHERE tenant = ? AND kind = ?", (tx.tenant, other))
    for other, cursor in moved.items():
        tx.execute(
            "INSERT INTO index_cursors (tenant, kind, reached, noted_at) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (tenant, kind) DO UPDATE SET reached = excluded.reached,"
            " noted_at = excluded.noted_at",
            (tx.tenant, other, cursor, now),
        )
    return abandoned
