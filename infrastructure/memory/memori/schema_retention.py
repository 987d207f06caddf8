"""The column that tells whether a run's journal was pruned, and an index of those that are left."""

from __future__ import annotations

from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.migration import Migration, define


def _note_pruned_runs(tx: Tx) -> None:
    define(
        tx,
        "ALTER TABLE runs ADD COLUMN pruned INTEGER NOT NULL DEFAULT 0",
        "CREATE INDEX runs_with_journal ON runs (tenant, finished_at, run_id)"
        " WHERE pruned = 0 AND finished_at IS NOT NULL",
    )


MIGRATIONS: tuple[Migration, ...] = (Migration("pruned_runs", _note_pruned_runs),)
"""In order, after everything that makes or changes `runs`."""
