"""The table that tells which search indexes are still followed: how far each was when looked at."""

from __future__ import annotations

from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.migration import Migration, define


def _create_index_cursors(tx: Tx) -> None:
    define(
        tx,
        """
        CREATE TABLE index_cursors (
            tenant TEXT NOT NULL,
            kind TEXT NOT NULL,
            reached INTEGER NOT NULL,
            noted_at INTEGER NOT NULL,
            PRIMARY KEY (tenant, kind)
        ) STRICT, WITHOUT ROWID
        """,
    )


MIGRATIONS: tuple[Migration, ...] = (Migration("index_cursors", _create_index_cursors),)
