"""Tables of workflows, outcomes, runs and archives."""

from __future__ import annotations

from infrastructure.memory.memori.migration import Migration

MIGRATIONS: tuple[Migration, ...] = ()
