"""Prunes the journals of runs that are over: by age, by number, in small commits.

A journal is what `explain` reads, and by far the largest part of a run that is kept. Without it the
run is still listed with its request, state and answer, can be corrected by feedback and forgotten;
its workflow, outcomes, plan and every counter stay. A run that is running or waits keeps its
journal, and so do the runs that are parts of it, since it may need them when it is resumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

from infrastructure.errors import InputError
from infrastructure.memory.memori import run_sources
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.sql import marks

_TOGETHER: Final = 200
Place: TypeAlias = tuple[float, str]
"""Of a run in the order in which they ended: when, seconds since the epoch, and its id."""
BEGINNING: Final[Place] = (-1.0, "")
_LEFT: Final = "tenant = ? AND pruned = 0 AND finished_at IS NOT NULL"


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was pruned.

    Fields:
        journals: of so many runs.
        bytes: that they took, compressed.
    """

    journals: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Batch:
    """What one commit pruned, and after which run the next one begins; None when all is done."""

    pruned: Pruned
    last: Place | None


async def prune_journals(
    memori: Memori,
    *,
    older_than_s: float | None = None,
    keep: int | None = None,
    at_once: int = _TOGETHER,
) -> Pruned:
    """Delete journals of a tenant's finished runs; others' writes go on between the commits.

    Args:
        older_than_s: of runs that ended longer ago, in seconds.
        keep: of all but so many runs, those that ended last.
        at_once: journals that one commit deletes.

    Raises:
        InputError: neither age nor number was given, or it is below 0.
    """
    if older_than_s is None and keep is None:
        raise InputError("say which journals to prune: those older than an age, or beyond a number")
    for name, value in (("older_than_s", older_than_s), ("keep", keep)):
        if value is not None and not value >= 0:
            raise InputError(f"{name} must be 0 or more, not {value!r}")
    before = None if older_than_s is None else memori.clock.now() - older_than_s
    end = await memori.read(partial(_end, before=before, keep=keep))
    journals = size = 0
    last: Place | None = BEGINNING
    while end is not None and last is not None:
        (batch,) = await memori.commit(partial(_prune, after=last, end=end, limit=at_once))
        journals, size = journals + batch.pruned.journals, size + batch.pruned.bytes
        last = batch.last
    return Pruned(journals, size)


def prune_some(memori: Memori, older_than_s: float, after: Place) -> Place | None:
    """Delete some journals by one commit, for callers without an event loop.

    Args:
        memori: whose.
        older_than_s: of runs that ended longer ago, in seconds.
        after: of those behind this one.

    Returns:
        After which run to go on; None when all is done.
    """
    before = memori.clock.now() - older_than_s
    end = memori.read_sync(partial(_end, before=before, keep=None))
    if end is None or end <= after:
        return None
    (batch,) = memori.commit_sync(partial(_prune, after=after, end=end, limit=_TOGETHER))
    return batch.last


def is_pruned(tx: Tx, run_id: str) -> bool:
    """Whether a run is known, and its journal is no longer kept."""
    row = tx.execute(
        "SELECT pruned FROM runs WHERE tenant = ? AND run_id = ?", (tx.tenant, run_id)
    ).fetchone()
    return row is not None and bool(row[0])


def _end(tx: Tx, *, before: float | None, keep: int | None) -> Place | None:
    """The last run whose journal is to be pruned, by the time of its end; None for none."""
    asked: list[tuple[str, tuple[float, ...]]] = []
    if before is not None:
        asked.append(("AND finished_at < ? ORDER BY finished_at DESC, run_id DESC", (before, 0)))
    if keep is not None:
        asked.append(("ORDER BY finished_at DESC, run_id DESC", (keep,)))
    rows = [
        tx.execute(
            f"SELECT finished_at, run_id FROM runs WHERE {_LEFT} {which} LIMIT 1 OFFSET ?",  # noqa: S608 (constant text)
            (tx.tenant, *params),
        ).fetchone()
        for which, params in asked
    ]
    return max(((row[0], row[1]) for row in rows if row is not None), default=None)


def _prune(tx: Tx, *, after: Place, end: Place, limit: int) -> _Batch:
    found = tx.execute(
        f"SELECT finished_at, run_id FROM runs WHERE {_LEFT}"  # noqa: S608 (constant text)
        " AND (finished_at, run_id) > (?, ?) AND (finished_at, run_id) <= (?, ?)"
        " ORDER BY finished_at, run_id LIMIT ?",
        (tx.tenant, *after, *end, limit),
    ).fetchall()
    run_ids = [run_id for _, run_id in found if not _is_part_of_open_run(tx, run_id)]
    last = (found[-1][0], found[-1][1]) if len(found) == limit else None
    return _Batch(_prune_runs(tx, run_ids) if run_ids else Pruned(), last)


def _prune_runs(tx: Tx, run_ids: list[str]) -> Pruned:
    some = f"tenant = ? AND run_id IN {marks(1, len(run_ids))}"
    params = (tx.tenant, *run_ids)
    row = tx.execute(
        f"SELECT COALESCE(SUM(LENGTH(body)), 0) FROM run_journals WHERE {some}",  # noqa: S608 (marks only)
        params,
    ).fetchone()
    for table in ("run_journals", "run_events"):
        tx.execute(f"DELETE FROM {table} WHERE {some}", params)  # noqa: S608 (names above)
    tx.execute(f"UPDATE runs SET pruned = 1 WHERE {some}", params)  # noqa: S608 (marks only)
    return Pruned(len(run_ids), int(row[0]) if row else 0)


def _is_part_of_open_run(tx: Tx, run_id: str) -> bool:
    """Whether a run that this one is a part of, at any depth, is not over."""
    rows = tx.execute(
        "SELECT run_sources.source, runs.finished_at FROM run_sources"
        " JOIN runs ON runs.tenant = run_sources.tenant"
        " AND runs.run_id = SUBSTR(run_sources.source, ?)"
        " WHERE run_sources.tenant = ? AND run_sources.run_id = ? AND run_sources.source LIKE ?",
        (len(run_sources.PARENT) + 1, tx.tenant, run_id, f"{run_sources.PARENT}%"),
    ).fetchall()
    return any(
        finished_at is None or _is_part_of_open_run(tx, source.removeprefix(run_sources.PARENT))
        for source, finished_at in rows
    )
