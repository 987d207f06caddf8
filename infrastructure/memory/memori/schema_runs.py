"""Who works on a run, so that no two do, and one that died is followed by another."""

from __future__ import annotations

from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.migration import Migration, define


def _add_leases(tx: Tx) -> None:
    define(
        tx,
        "ALTER TABLE runs ADD COLUMN owner TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE runs ADD COLUMN fence INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE runs ADD COLUMN lease_until REAL NOT NULL DEFAULT 0",
        "ALTER TABLE runs ADD COLUMN cancel_reason TEXT",
    )


MIGRATIONS: tuple[Migration, ...] = (Migration("run_leases", _add_leases),)
