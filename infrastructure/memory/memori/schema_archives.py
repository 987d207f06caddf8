"""Tables of archives: what each compaction replaced, and the dictionaries that chunks name."""

from __future__ import annotations

from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.migration import Migration, define


def _create_archive_ledger(tx: Tx) -> None:
    define(
        tx,
        """
        CREATE TABLE archive_ledger (
            tenant TEXT NOT NULL,
            session_id TEXT NOT NULL,
            compaction INTEGER NOT NULL,
            chunk INTEGER NOT NULL,
            records INTEGER NOT NULL,
            sha256 TEXT NOT NULL,
            compacted_at REAL NOT NULL,
            PRIMARY KEY (tenant, session_id, compaction, chunk)
        ) STRICT, WITHOUT ROWID
        """,
    )


def _create_archive_dictionaries(tx: Tx) -> None:
    # `served_bytes` is what the tenant's archives took when it was trained; `lost` counts source
    # sessions of which something was forgotten since.
    define(
        tx,
        """
        CREATE TABLE archive_dictionaries (
            tenant TEXT NOT NULL,
            version INTEGER NOT NULL,
            sha256 TEXT NOT NULL,
            size INTEGER NOT NULL,
            served_bytes INTEGER NOT NULL,
            lost INTEGER NOT NULL,
            retired INTEGER NOT NULL,
            created_at REAL NOT NULL,
            body BLOB NOT NULL,
            PRIMARY KEY (tenant, version)
        ) STRICT
        """,
        """
        CREATE TABLE archive_dictionary_sources (
            tenant TEXT NOT NULL,
            session_id TEXT NOT NULL,
            version INTEGER NOT NULL,
            PRIMARY KEY (tenant, session_id, version)
        ) STRICT, WITHOUT ROWID
        """,
        "CREATE INDEX archives_by_dictionary ON archives (tenant, dictionary)",
    )


MIGRATIONS: tuple[Migration, ...] = (
    Migration("archive_ledger", _create_archive_ledger),
    Migration("archive_dictionaries", _create_archive_dictionaries),
)
