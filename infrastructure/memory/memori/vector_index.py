"""Vectors of items as float32 rows, compared exactly."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.embedding import Vectors
from infrastructure.memory.memori.filter_sql import Sql


def add(tx: Tx, item: int, embedder: str, vectors: Iterable[Vectors]) -> None:
    """Store an item's vectors, one for each of its indexed texts."""
    for part, vector in enumerate(vectors):
        tx.execute(
            "INSERT INTO item_vectors (item, embedder, part, vector) VALUES (?, ?, ?, ?)",
            (item, embedder, part, vector.tobytes()),
        )


def scores(tx: Tx, embedder: str, query: Vectors, within: Sql) -> dict[int, float]:
    """Cosine of the query with every item of the scope; an item counts by its nearest text."""
    rows = tx.execute(
        "SELECT items.id, item_vectors.vector FROM items"  # noqa: S608 - text made of constants
        " JOIN item_vectors ON item_vectors.item = items.id"
        f" WHERE item_vectors.embedder = ? AND {within.text}",
        (embedder, *within.params),
    ).fetchall()
    if not rows:
        return {}
    matrix = np.frombuffer(b"".join(vector for _, vector in rows), dtype=np.float32)
    cosines = matrix.reshape(len(rows), -1) @ query
    best: dict[int, float] = {}
    for (item, _), cosine in zip(rows, cosines.tolist(), strict=True):
        best[item] = max(cosine, best.get(item, cosine))
    return best
