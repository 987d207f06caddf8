"""The schema as an ordered list of small steps; the names of those applied are kept in a table."""

from __future__ import annotations

from typing import Final

from infrastructure.errors import SchemaTooNew
from infrastructure.memory.memori import (
    schema_checkpoints,
    schema_index,
    schema_items,
    schema_outcomes,
    schema_provenance,
    schema_retention,
    schema_runs,
    schema_workflows,
)
from infrastructure.memory.memori.dialect import Dialect, Tx
from infrastructure.memory.memori.migration import Migration, define

_HAS_TABLE: Final[dict[Dialect, str]] = {
    "sqlite": "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?",
    "postgres": "SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = ?",
}

MIGRATIONS: tuple[Migration, ...] = (
    *schema_items.MIGRATIONS,
    *schema_workflows.MIGRATIONS,
    *schema_items.LATER_MIGRATIONS,
    *schema_provenance.MIGRATIONS,
    *schema_items.LATEST_MIGRATIONS,
    *schema_index.MIGRATIONS,
    *schema_outcomes.MIGRATIONS,
    *schema_checkpoints.MIGRATIONS,
    *schema_runs.MIGRATIONS,
    *schema_retention.MIGRATIONS,
)


def applied(tx: Tx) -> list[str]:
    """The names of the steps that this database has, oldest first; empty for a new one."""
    if tx.execute(_HAS_TABLE[tx.dialect], ("memori_migrations",)).fetchone() is None:
        return []
    return [str(name) for (name,) in tx.execute("SELECT name FROM memori_migrations ORDER BY id")]


def refuse_newer(names: list[str], migrations: tuple[Migration, ...] = MIGRATIONS) -> None:
    """Raise SchemaTooNew when the database has a step that this version does not know."""
    known = {migration.name for migration in migrations}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SchemaTooNew(
            f"the memory store was written by a newer version of Genesis (it has {unknown[0]!r}, "
            "unknown here) and was left as it is; upgrade Genesis, or open another path"
        )


def migrate(tx: Tx, migrations: tuple[Migration, ...] = MIGRATIONS) -> None:
    """Apply, in order, the steps that the database lacks.

    Raises:
        SchemaTooNew: it has a step that this version does not know; nothing was changed.
    """
    done = applied(tx)
    refuse_newer(done, migrations)
    define(
        tx,
        "CREATE TABLE IF NOT EXISTS memori_migrations"
        " (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT",
    )
    for migration in migrations:
        if migration.name not in done:
            migration.apply(tx)
            tx.execute("INSERT INTO memori_migrations (name) VALUES (?)", (migration.name,))
