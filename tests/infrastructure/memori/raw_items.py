"""The least that can be written to a store and read from it, for tests of the engine."""

from __future__ import annotations

from collections.abc import Callable

from infrastructure.memory.memori.dialect import Tx


def put(key: str, value: str = "{}") -> Callable[[Tx], str]:
    """A write that adds a row, and fails when the key is there."""

    def write(tx: Tx) -> str:
        tx.execute(
            "INSERT INTO items (tenant, namespace, key, value, created_at, updated_at)"
            " VALUES (?, 'n.', ?, ?, 0, 0)",
            (tx.tenant, key, value),
        )
        return key

    return write


def keys(tx: Tx) -> set[str]:
    """The keys of a tenant's rows."""
    rows = tx.execute("SELECT key FROM items WHERE tenant = ?", (tx.tenant,))
    return {str(key) for (key,) in rows}
