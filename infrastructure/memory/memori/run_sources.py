"""Who and what took part in a run, so that all that it caused can be found again.

A source is named as in an item's provenance: `agent:NAME`, `session:ID`, `run:ID` for the past run
whose plan was used, `parent:ID` for the run that it was a part of, or whatever a caller names,
such as a document's URL. With it every record
answers where it comes from: workflows, outcomes, plan runs and exemplars name their run, a pattern
its latest successful ones in `supporting_runs`; whether a run was verified stands in the run.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.provenance import Provenance
from infrastructure.memory.memori.sql import marks

AGENT: Final = "agent:"
SESSION: Final = "session:"
RUN: Final = "run:"
PARENT: Final = "parent:"

_TOGETHER: Final = 100


def add(tx: Tx, run_id: str, sources: Iterable[str]) -> None:
    """Note who took part in a run; what is noted already stays.

    Raises:
        InvalidItem: a source is not a text of at most 500 bytes.
    """
    noted = [Provenance(source).source for source in dict.fromkeys(sources)]
    for start in range(0, len(noted), _TOGETHER):
        some = noted[start : start + _TOGETHER]
        tx.execute(
            f"INSERT INTO run_sources (tenant, source, run_id) VALUES {marks(len(some), 3)}"  # noqa: S608 (marks only)
            " ON CONFLICT DO NOTHING",
            [value for source in some for value in (tx.tenant, source, run_id)],
        )


def of_run(tx: Tx, run_id: str) -> list[str]:
    """All that is known to have taken part in a run, in order; empty for an unknown one."""
    rows = tx.execute(
        "SELECT source FROM run_sources WHERE tenant = ? AND run_id = ?"
        " UNION SELECT CAST(? AS TEXT) || session_id FROM runs WHERE tenant = ? AND run_id = ?"
        " UNION SELECT CAST(? AS TEXT) || session_id FROM executions"
        " WHERE tenant = ? AND run_id = ?"
        " UNION SELECT source FROM items WHERE tenant = ? AND run_id = ? AND source <> ''",
        (
            *(tx.tenant, run_id),
            *(SESSION, tx.tenant, run_id),
            *(SESSION, tx.tenant, run_id),
            *(tx.tenant, run_id),
        ),
    )
    return sorted(source for (source,) in rows.fetchall())


def runs_of(tx: Tx, source: str) -> list[str]:
    """The runs that a source took part in, or wrote an item in."""
    found = {
        run_id
        for table in ("run_sources", "items", "deleted_items")
        for (run_id,) in tx.execute(
            f"SELECT DISTINCT run_id FROM {table} WHERE tenant = ? AND source = ?"  # noqa: S608 (names above)
            " AND run_id <> ''",
            (tx.tenant, source),
        ).fetchall()
    }
    if source.startswith(SESSION):
        session_id = source.removeprefix(SESSION)
        for table in ("runs", "executions"):
            rows = tx.execute(
                f"SELECT run_id FROM {table} WHERE tenant = ? AND session_id = ?",  # noqa: S608 (names above)
                (tx.tenant, session_id),
            )
            found.update(run_id for (run_id,) in rows.fetchall())
    return sorted(found)


def with_parts(tx: Tx, run_ids: Iterable[str]) -> list[str]:
    """The runs and all that are parts of them, or parts of those, each once."""
    found: dict[str, None] = {}
    pending = list(run_ids)
    while pending:
        run_id = pending.pop()
        if run_id not in found:
            found[run_id] = None
            pending += runs_of(tx, PARENT + run_id)
    return sorted(found)


def forget_run(tx: Tx, run_id: str) -> None:
    """Delete who took part in a run."""
    tx.execute("DELETE FROM run_sources WHERE tenant = ? AND run_id = ?", (tx.tenant, run_id))
