"""Tables of items and of their search index.

A put deletes the row of its key and inserts another, so `items.id` is the order of writes and the
version of an item at once. The search index is kept as segments: what the items from `first` to
`last` add to an index of a `kind`, so that the index is complete up to the largest `last`. A death
is an item whose entry in a segment no longer counts.
"""

from __future__ import annotations

from typing import Final

from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.migration import Migration, define


def _create_items(tx: Tx) -> None:
    define(
        tx,
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
        """,
        "CREATE INDEX items_expiry ON items (expires_at) WHERE expires_at IS NOT NULL",
    )


def _create_item_texts(tx: Tx) -> None:
    if tx.dialect == "sqlite":  # gone again before PostgreSQL came
        define(tx, "CREATE VIRTUAL TABLE item_texts USING fts5(text, tokenize='porter unicode61')")


def _create_item_vectors(tx: Tx) -> None:
    if tx.dialect == "sqlite":
        define(
            tx,
            """
            CREATE TABLE item_vectors (
                item INTEGER NOT NULL REFERENCES items (id) ON DELETE CASCADE,
                embedder TEXT NOT NULL,
                part INTEGER NOT NULL,
                vector BLOB NOT NULL,
                PRIMARY KEY (item, embedder, part)
            ) STRICT, WITHOUT ROWID
            """,
        )


def _create_segments(tx: Tx) -> None:
    if tx.dialect == "sqlite":
        define(tx, "DROP TABLE item_texts", "DROP TABLE item_vectors")
    define(
        tx,
        "ALTER TABLE items DROP COLUMN version",
        "ALTER TABLE items ADD COLUMN paths TEXT",
        "UPDATE items SET paths = '[\"$\"]'",
        "CREATE INDEX items_by_order ON items (tenant, id)",
        "CREATE INDEX items_to_index ON items (tenant, id) WHERE paths IS NOT NULL",
        """
        CREATE TABLE index_segments (
            tenant TEXT NOT NULL,
            kind TEXT NOT NULL,
            last INTEGER NOT NULL,
            first INTEGER NOT NULL,
            entries INTEGER NOT NULL,
            body BLOB NOT NULL,
            PRIMARY KEY (tenant, kind, last)
        ) STRICT
        """,
        """
        CREATE TABLE item_deaths (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            tenant TEXT NOT NULL,
            item INTEGER NOT NULL
        ) STRICT
        """,
        "CREATE INDEX item_deaths_by_order ON item_deaths (tenant, seq)",
        """
        CREATE TABLE index_epochs (
            tenant TEXT NOT NULL PRIMARY KEY,
            epoch INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID
        """,
    )


def _create_provenance(tx: Tx) -> None:
    define(
        tx,
        "ALTER TABLE items ADD COLUMN source TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE items ADD COLUMN run_id TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE items ADD COLUMN verified INTEGER",
        "CREATE INDEX items_by_source ON items (tenant, source) WHERE source <> ''",
        "CREATE INDEX items_by_run ON items (tenant, run_id) WHERE run_id <> ''",
    )


def _create_deleted_items(tx: Tx) -> None:
    define(
        tx,
        """
        CREATE TABLE deleted_items (
            tenant TEXT NOT NULL,
            namespace TEXT NOT NULL,
            key TEXT NOT NULL,
            value TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            updated_at INTEGER NOT NULL,
            ttl INTEGER,
            paths TEXT,
            source TEXT NOT NULL,
            run_id TEXT NOT NULL,
            verified INTEGER,
            deleted_at INTEGER NOT NULL,
            PRIMARY KEY (tenant, namespace, key)
        ) STRICT
        """,
        "CREATE INDEX deleted_items_by_time ON deleted_items (tenant, deleted_at)",
        """
        CREATE TABLE applied_writes (
            tenant TEXT NOT NULL,
            write_id TEXT NOT NULL,
            version INTEGER NOT NULL,
            applied_at INTEGER NOT NULL,
            PRIMARY KEY (tenant, write_id)
        ) STRICT, WITHOUT ROWID
        """,
        "CREATE INDEX applied_writes_by_time ON applied_writes (tenant, applied_at)",
    )


_KEPT_BEFORE_US: Final = 86_400_000_000


def _create_deleted_items_term(tx: Tx) -> None:
    define(
        tx,
        "ALTER TABLE deleted_items RENAME COLUMN deleted_at TO kept_until",
        f"UPDATE deleted_items SET kept_until = kept_until + {_KEPT_BEFORE_US}",  # noqa: S608 (a constant)
    )


def _tell_writes_apart(tx: Tx) -> None:
    define(tx, "ALTER TABLE applied_writes ADD COLUMN digest TEXT NOT NULL DEFAULT ''")


MIGRATIONS: tuple[Migration, ...] = (
    Migration("items", _create_items),
    Migration("item_texts", _create_item_texts),
    Migration("item_vectors", _create_item_vectors),
)

LATER_MIGRATIONS: tuple[Migration, ...] = (
    Migration("search_segments", _create_segments),
    Migration("item_provenance", _create_provenance),
    Migration("deleted_items", _create_deleted_items),
)
"""Those that came after the first ones of workflows."""

LATEST_MIGRATIONS: tuple[Migration, ...] = (
    Migration("deleted_items_term", _create_deleted_items_term),
    Migration("applied_write_digests", _tell_writes_apart),
)
"""Those that came after provenance."""
