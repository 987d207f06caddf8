"""Forgetting for good all that a source or a run caused.

What a source caused is the items that it wrote, and every run that it took part in (see
`run_sources`). What a run caused is the items written in it, its workflow, outcomes, plan, journal
and feedback, its share of every counter and pattern, and all of the runs that were parts of it.
Afterwards the store answers as if none of it had ever been there, with these exceptions, since they
were never kept:

- A value that was overwritten does not come back, and an item keeps the time of creation that a
  forgotten write gave it.
- A plan keeps its latest few requests; one that a forgotten request pushed out does not come back.
- What a later run did with what it had recalled is that run's own; `run:ID` as a source names the
  runs that took over the plan of run ID.
- The answer of a run keeps what a part of it handed in when the part alone is forgotten; forget the
  run.

The words and vectors of the items leave the stored search index in the same transaction, together
with all others that were replaced or deleted before; archives are packed anew without the
workflows, and a compression dictionary is given up when too few of its source sessions are left.
Indexes in the memory of open stores no longer find the items; each holds words and vectors of
theirs until its next search, which loads it anew from what is stored.

On the disk, SQLite overwrites what is deleted here with zeros; its write-ahead log holds the old
pages until the next checkpoint (at the latest when the store is closed), and free pages may hold
earlier values of an item, which `VACUUM` removes. PostgreSQL removes the bytes by its own vacuum,
and keeps its log as long as it is configured to. No backup is reached.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from infrastructure.memory.memori import (
    items,
    outcomes,
    plan_cases,
    run_sources,
    runs,
    workflows,
)
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.provenance import Provenance
from infrastructure.memory.memori.sql import Sql
from infrastructure.memory.memori.values import InvalidItem

AGEMEM: Final = ("agemem",)
"""The namespace of what runs taught: every entry there names its run, also where it is quoted."""

_Column: TypeAlias = Literal["source", "run_id"]


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was forgotten.

    Fields:
        items: also those that were deleted and could have been brought back.
        runs: of which a record, a workflow or a part in a plan or a counter was known.
        workflows: archived ones too.
    """

    items: int = 0
    runs: int = 0
    workflows: int = 0


def forget(tx: Tx, *, source: str | None = None, run_id: str | None = None) -> Forgotten:
    """Forget all that a source or a run caused, in one transaction; repeating it changes nothing.

    A run that is still going on is forgotten as far as it has come. It takes the time of rewriting
    what is affected: other writes wait meanwhile.

    Raises:
        InvalidItem: not exactly one of both was given, or it is empty or no text.
        StoreError: an archive that must be packed anew is damaged; nothing was forgotten.
    """
    # Only here: what reads segments takes long to import, and few forget.
    from infrastructure.memory.memori import erasing

    column, name = _named(source, run_id)
    known = _affected(tx, column, name)
    with _zeroed(tx):
        removed = _forget_items(tx, column, name)
        removed += sum(_forget_items(tx, "run_id", run) for run in known)
        removed += sum(_forget_quoted(tx, run) for run in known)
        done = [_forget_run(tx, run) for run in known]
        erasing.erase_dead(tx)
    return Forgotten(removed, sum(there for there, _ in done), sum(count for _, count in done))


def affected_runs(tx: Tx, *, source: str | None = None, run_id: str | None = None) -> list[str]:
    """The runs that `forget` would forget with these arguments."""
    column, name = _named(source, run_id)
    return _affected(tx, column, name)


def _affected(tx: Tx, column: _Column, name: str) -> list[str]:
    caused = run_sources.runs_of(tx, name) if column == "source" else [name]
    return run_sources.with_parts(tx, caused)


def _named(source: str | None, run_id: str | None) -> tuple[_Column, str]:
    if (source is None) == (run_id is None):
        raise InvalidItem("give what is to be forgotten: a source or a run_id, one of both")
    checked = Provenance("" if source is None else source, "" if run_id is None else run_id)
    if not (checked.source or checked.run_id):
        raise InvalidItem("an empty source or run_id names nothing that could be forgotten")
    return ("source", checked.source) if checked.source else ("run_id", checked.run_id)


def _forget_items(tx: Tx, column: _Column, name: str) -> int:
    tx.execute(
        "DELETE FROM applied_writes WHERE tenant = ? AND version IN"  # noqa: S608 (names above)
        f" (SELECT id FROM items WHERE tenant = ? AND {column} = ?)",
        (tx.tenant, tx.tenant, name),
    )
    undoable = tx.execute(
        f"DELETE FROM deleted_items WHERE tenant = ? AND {column} = ?",  # noqa: S608 (names above)
        (tx.tenant, name),
    )
    return items.remove_where(tx, Sql(f"{column} = ?", (name,))) + undoable.rowcount


def _forget_quoted(tx: Tx, run_id: str) -> int:
    """Lines of AgeMem's journal, written by later runs, that quote what a run had taught."""
    start = items.encode_namespace(AGEMEM)
    named = re.sub(r"([\\%_])", r"\\\1", run_id)
    quotes = Sql(
        "namespace >= ? AND namespace < ? AND value LIKE ? ESCAPE '\\'",
        (start, start[:-1] + "/", f"%{named}%"),
    )
    return items.remove_where(tx, quotes)


def _forget_run(tx: Tx, run_id: str) -> tuple[bool, int]:
    """Whether anything was known of a run, and how many workflows it had."""
    sources = run_sources.of_run(tx, run_id)
    forgotten = workflows.forget_workflows(tx, run_id)
    outcomes.forget_outcomes(tx, run_id)
    plan_cases.forget_plan(tx, run_id)
    run_sources.forget_run(tx, run_id)
    recorded = runs.forget_run_record(tx, run_id)
    return recorded or forgotten > 0 or bool(sources), forgotten


@contextmanager
def _zeroed(tx: Tx) -> Generator[None]:
    """Let SQLite overwrite what is deleted meanwhile."""
    if tx.dialect != "sqlite":
        yield
        return
    before = tx.execute("PRAGMA secure_delete").fetchone()
    tx.execute("PRAGMA secure_delete = ON")
    try:
        yield
    finally:
        tx.execute(f"PRAGMA secure_delete = {int(before[0]) if before else 0}")
