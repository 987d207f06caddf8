"""The schema as an ordered list of small steps; the names of those applied are kept in a table."""

from __future__ import annotations

from infrastructure.errors import SchemaTooNew
from infrastructure.memory.memori import schema_workflows
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.migration import Migration


def _create_items(tx: Tx) -> None:
    # A put inserts a row anew, so `id` is also the order of writes: newest first is id descending.
    tx.execute(
        """
        CREATE TABLE items (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            tenant TEXT NOT NULL,
            namespace TEXT NOT NULL,
            key TEXT NOT NULL,
            value TEXT NOT NULL,
            version INTEGER NOT NULL,
            created_at INTEGER NOT NULL,
            updated_at INTEGER NOT NULL,
            ttl INTEGER,
            expires_at INTEGER,
            UNIQUE (tenant, namespace, key)
        ) STRICT
        """
    )
    tx.execute("CREATE INDEX items_expiry ON items (expires_at) WHERE expires_at IS NOT NULL")


def _create_item_texts(tx: Tx) -> None:
    tx.execute("CREATE VIRTUAL TABLE item_texts USING fts5(text, tokenize = 'porter unicode61')")


def _create_item_vectors(tx: Tx) -> None:
    # `embedder` names the model and its version: vectors of two embedders are never compared.
    tx.execute(
        """
        CREATE TABLE item_vectors (
            item INTEGER NOT NULL REFERENCES items (id) ON DELETE CASCADE,
            embedder TEXT NOT NULL,
            part INTEGER NOT NULL,
            vector BLOB NOT NULL,
            PRIMARY KEY (item, embedder, part)
        ) STRICT, WITHOUT ROWID
        """
    )


MIGRATIONS: tuple[Migration, ...] = (
    Migration("items", _create_items),
    Migration("item_texts", _create_item_texts),
    Migration("item_vectors", _create_item_vectors),
    *schema_workflows.MIGRATIONS,
)


def applied(tx: Tx) -> list[str]:
    """The names of the steps that this database has, oldest first; empty for a new one."""
    table = tx.execute(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'memori_migrations'"
    ).fetchone()
    if table is None:
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
    tx.execute(
        "CREATE TABLE IF NOT EXISTS memori_migrations"
        " (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT"
    )
    for migration in migrations:
        if migration.name not in done:
            migration.apply(tx)
            tx.execute("INSERT INTO memori_migrations (name) VALUES (?)", (migration.name,))
