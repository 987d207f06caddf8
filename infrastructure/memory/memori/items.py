"""Namespaced items: the rows behind the store, as plain functions of a transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from infrastructure.memory.memori.dialect import Row, Tx
from infrastructure.memory.memori.filter_sql import Sql
from infrastructure.memory.memori.values import check_text, decode

Namespace = tuple[str, ...]

_COLUMNS: Final = (
    "items.id, items.namespace, items.key, items.value, items.version,"
    " items.created_at, items.updated_at, items.ttl"
)


@dataclass(frozen=True, slots=True)
class StoredItem:
    """One stored item.

    Fields:
        id: the order of writes; a put gives the item a new one.
        version: 1 for a new item, one more with every put.
        created_at, updated_at: microseconds since the epoch.
        ttl: microseconds that the item lives after a put or a refreshing read; None for ever.
    """

    id: int
    namespace: Namespace
    key: str
    value: dict[str, Any]
    version: int
    created_at: int
    updated_at: int
    ttl: int | None


def encode_namespace(namespace: Sequence[str]) -> str:
    """Labels, each ended by a period, which no label contains: a prefix is then a range of text."""
    return "".join(check_text(label, "a namespace label") + "." for label in namespace)


def decode_namespace(text: str) -> Namespace:
    """The labels that `encode_namespace` joined."""
    return tuple(text.split(".")[:-1])


def scope(tx: Tx, prefix: Sequence[str], condition: Sql, unexpired_at: int | None) -> Sql:
    """The tenant's items under a namespace that meet a condition.

    Args:
        unexpired_at: leaves out what had expired by then (microseconds); None keeps all.
    """
    parts = [Sql("items.tenant = ?", (tx.tenant,))]
    start = encode_namespace(prefix)
    if start:
        # '/' is the character after '.', so this range is every namespace that begins so.
        parts.append(Sql("items.namespace >= ? AND items.namespace < ?", (start, start[:-1] + "/")))
    if unexpired_at is not None:
        parts.append(Sql("(items.expires_at IS NULL OR items.expires_at > ?)", (unexpired_at,)))
    parts.append(condition)
    return Sql(
        " AND ".join(part.text for part in parts),
        tuple(param for part in parts for param in part.params),
    )


def get(tx: Tx, namespace: Namespace, key: str, unexpired_at: int | None) -> StoredItem | None:
    """The item, or None."""
    row = tx.execute(
        f"SELECT {_COLUMNS} FROM items WHERE tenant = ? AND namespace = ? AND key = ?"  # noqa: S608 - fixed column names
        " AND (? IS NULL OR expires_at IS NULL OR expires_at > ?)",
        (tx.tenant, encode_namespace(namespace), key, unexpired_at, unexpired_at),
    ).fetchone()
    return None if row is None else _item(row)


def put(tx: Tx, namespace: Namespace, key: str, value: str, now: int, ttl: int | None) -> int:
    """Store a value (JSON text) under the key; an update keeps the time of creation.

    An item that has expired counts as gone, whether or not it was swept.

    Returns:
        The id of this write. What an index held of the write before is gone with it.
    """
    place = encode_namespace(namespace)
    created_at, version = _remove(tx, place, key, now) or (now, 0)
    row = tx.execute(
        "INSERT INTO items (tenant, namespace, key, value, version, created_at, updated_at,"
        " ttl, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
        (tx.tenant, place, key, value, version + 1, created_at, now, ttl,
         None if ttl is None else now + ttl),
    ).fetchone()  # fmt: skip
    assert row is not None
    return int(row[0])


def delete(tx: Tx, namespace: Namespace, key: str, now: int) -> bool:
    """Delete the item; False when there was none, or it had expired."""
    return _remove(tx, encode_namespace(namespace), key, now) is not None


def newest(tx: Tx, within: Sql, limit: int, offset: int) -> list[StoredItem]:
    """Items of a scope, the last written first."""
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM items WHERE {within.text}"  # noqa: S608 - text made of constants
        " ORDER BY items.id DESC LIMIT ? OFFSET ?",
        (*within.params, limit, offset),
    )
    return [_item(row) for row in rows]


def by_ids(tx: Tx, ids: Iterable[int]) -> dict[int, StoredItem]:
    """The items with these ids; ids that are gone are left out."""
    found: dict[int, StoredItem] = {}
    for item_id in ids:
        row = tx.execute(
            f"SELECT {_COLUMNS} FROM items WHERE tenant = ? AND id = ?",  # noqa: S608 - fixed column names
            (tx.tenant, item_id),
        ).fetchone()
        if row is not None:
            found[item_id] = _item(row)
    return found


def namespaces(tx: Tx, unexpired_at: int | None) -> list[Namespace]:
    """The distinct namespaces that hold items."""
    rows = tx.execute(
        "SELECT DISTINCT namespace FROM items WHERE tenant = ?"
        " AND (? IS NULL OR expires_at IS NULL OR expires_at > ?)",
        (tx.tenant, unexpired_at, unexpired_at),
    )
    return [decode_namespace(text) for (text,) in rows]


def refresh(tx: Tx, ids: Iterable[int], now: int) -> None:
    """Begin the life of these items anew."""
    for item_id in ids:
        tx.execute(
            "UPDATE items SET expires_at = ? + ttl WHERE tenant = ? AND id = ? AND ttl IS NOT NULL",
            (now, tx.tenant, item_id),
        )


def sweep(tx: Tx, now: int) -> int:
    """Delete the tenant's expired items; returns how many."""
    rows = tx.execute(
        "SELECT id FROM items WHERE tenant = ? AND expires_at <= ?", (tx.tenant, now)
    ).fetchall()
    for (item_id,) in rows:
        _drop(tx, item_id)
    return len(rows)


def _remove(tx: Tx, place: str, key: str, now: int) -> tuple[int, int] | None:
    """Delete the row; its time of creation and its version unless it had expired."""
    row = tx.execute(
        "SELECT id, created_at, version, expires_at <= ? FROM items"
        " WHERE tenant = ? AND namespace = ? AND key = ?",
        (now, tx.tenant, place, key),
    ).fetchone()
    if row is None:
        return None
    item_id, created_at, version, expired = row
    _drop(tx, item_id)
    return None if expired else (created_at, version)


def _drop(tx: Tx, item_id: int) -> None:
    # Vectors go with the row by their foreign key, which a full-text table cannot have.
    tx.execute("DELETE FROM item_texts WHERE rowid = ?", (item_id,))
    tx.execute("DELETE FROM items WHERE id = ?", (item_id,))


def _item(row: Row) -> StoredItem:
    item_id, namespace, key, value, version, created_at, updated_at, ttl = row
    return StoredItem(
        item_id, decode_namespace(namespace), key, decode(value), version,
        created_at, updated_at, ttl,
    )  # fmt: skip
