"""Items as the search index takes them from the database."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from infrastructure.errors import StoreError
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.values import decode

_log = logging.getLogger(__name__)

TextsOf: TypeAlias = Callable[[dict[str, Any], list[str]], tuple[str, ...]]
"""The texts of a value at the paths that are indexed."""


@dataclass(frozen=True, slots=True)
class IndexedItem:
    """What of an item the index holds; `written_at` in microseconds."""

    id: int
    namespace: str
    written_at: int
    texts: tuple[str, ...]


def indexed_items(
    tx: Tx, texts_of: TextsOf, after: int, until: int, limit: int
) -> list[IndexedItem]:
    """The items to be indexed with ids above one and up to another, in their order."""
    rows = tx.execute(
        "SELECT id, namespace, updated_at, value, paths FROM items"
        " WHERE tenant = ? AND paths IS NOT NULL AND id > ? AND id <= ? ORDER BY id LIMIT ?",
        (tx.tenant, after, until, limit),
    )
    return [
        IndexedItem(id_, namespace, written_at, _texts(texts_of, id_, value, paths))
        for id_, namespace, written_at, value, paths in rows.fetchall()
    ]


def _texts(texts_of: TextsOf, id_: int, value: str, paths: str) -> tuple[str, ...]:
    try:
        return texts_of(decode(value), decode(paths))
    except StoreError as error:
        # Whoever reads the item is told; the items after it are searched all the same.
        _log.warning("item %d is not indexed: %s", id_, error)
        return ()


def ids_between(tx: Tx, after: int, until: int) -> set[int]:
    """The ids of items to be indexed above one and up to another."""
    rows = tx.execute(
        "SELECT id FROM items WHERE tenant = ? AND paths IS NOT NULL AND id > ? AND id <= ?",
        (tx.tenant, after, until),
    )
    return {id_ for (id_,) in rows.fetchall()}


def count_after(tx: Tx, after: int, most: int) -> int:
    """Items to be indexed with ids above one, counted up to a number."""
    row = tx.execute(
        "SELECT count(*) FROM (SELECT 1 FROM items WHERE tenant = ? AND paths IS NOT NULL"
        " AND id > ? LIMIT ?) AS found",
        (tx.tenant, after, most),
    ).fetchone()
    return 0 if row is None else int(row[0])


def last_indexed_id(tx: Tx) -> int:
    """The largest id of an item to be indexed; 0 if there is none."""
    row = tx.execute(
        "SELECT max(id) FROM items WHERE tenant = ? AND paths IS NOT NULL", (tx.tenant,)
    ).fetchone()
    return 0 if row is None else int(row[0] or 0)
