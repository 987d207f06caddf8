"""The latest outcomes of each kind, beside their counters, so that a change can be seen."""

from __future__ import annotations

from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.migration import Migration, define
from infrastructure.memory.memori.outcomes import fill_latest


def _keep_latest_outcomes(tx: Tx) -> None:
    nothing = "x''" if tx.dialect == "sqlite" else "''"
    define(
        tx,
        f"ALTER TABLE outcome_counts ADD COLUMN latest BLOB NOT NULL DEFAULT {nothing}",
        # In the order in which they are kept, so that the latest are read from the index alone.
        "DROP INDEX outcomes_by_key",
        "CREATE INDEX outcomes_by_key ON outcomes"
        " (tenant, task_type, operation, agent, model, effort, created_at, run_id, attempt)",
    )
    fill_latest(tx)


MIGRATIONS: tuple[Migration, ...] = (Migration("latest_outcomes", _keep_latest_outcomes),)
