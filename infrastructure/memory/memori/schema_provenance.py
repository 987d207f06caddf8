"""Tables of where records come from: who took part in a run, and copies that are under way.

The session of a run stands in the run itself; `run_sources` holds what no other row tells.
"""

from __future__ import annotations

from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.migration import Migration, define


def _create_run_sources(tx: Tx) -> None:
    define(
        tx,
        """
        CREATE TABLE run_sources (
            tenant TEXT NOT NULL,
            source TEXT NOT NULL,
            run_id TEXT NOT NULL,
            PRIMARY KEY (tenant, source, run_id)
        ) STRICT, WITHOUT ROWID
        """,
        "CREATE INDEX run_sources_by_run ON run_sources (tenant, run_id)",
        "INSERT INTO run_sources (tenant, source, run_id)"
        " SELECT DISTINCT tenant, 'agent:' || agent, run_id FROM outcomes WHERE agent <> ''",
        "CREATE INDEX deleted_items_by_source ON deleted_items (tenant, source) WHERE source <> ''",
        "CREATE INDEX deleted_items_by_run ON deleted_items (tenant, run_id) WHERE run_id <> ''",
    )


def _create_copies(tx: Tx) -> None:
    define(
        tx,
        """
        CREATE TABLE copies_under_way (
            tenant TEXT NOT NULL PRIMARY KEY,
            origin TEXT NOT NULL,
            begun_at REAL NOT NULL
        ) STRICT, WITHOUT ROWID
        """,
    )


MIGRATIONS: tuple[Migration, ...] = (
    Migration("run_sources", _create_run_sources),
    Migration("copies_under_way", _create_copies),
)
