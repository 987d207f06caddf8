"""Search in an index too large to compare every vector: what may be found is chosen first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from langgraph.store.base import PutOp
from numpy.typing import NDArray

from infrastructure.memory.memori.embedding import OwnEmbedding
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.index_service import IndexService
from infrastructure.memory.memori.store import MemoriStore

OTHERS = 6_000
DIMENSIONS = 16


class Numbers:
    """Vectors of the numbers in texts `n<number>`: far from each other unless they are alike."""

    name, version, dimensions = "numbers", "1", DIMENSIONS

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        angles = np.array([float(text.split("n")[-1]) for text in texts]) / 10_000
        rows = np.zeros((len(texts), DIMENSIONS), dtype=np.float32)
        rows[:, 0], rows[:, 1] = np.cos(angles), np.sin(angles)
        return rows


async def test_meaning_finds_what_a_prefix_or_a_filter_leaves(tmp_path: Path) -> None:
    memori = Memori.open(tmp_path / "memori.db")
    embedder = Numbers()
    store = MemoriStore(memori, embedder=embedder)
    service = IndexService.of(memori, OwnEmbedding(embedder))
    # Half of the others are nearer to the query than the few that are asked for, half are far.
    for start in range(0, OTHERS, 1_000):
        await store.abatch(
            [
                PutOp(("all", "others"), str(n), {"text": f"a{n} n{n}", "mine": False})
                for n in range(start, start + 500)
            ]
            + [
                PutOp(("all", "others"), str(n), {"text": f"a{n} n{n}", "mine": False})
                for n in range(20_000 + start, 20_500 + start)
            ]
        )
    await store.abatch(
        [
            PutOp(("all", "mine"), str(n), {"text": f"b{n} n{n}", "mine": True})
            for n in (6_600, 6_700, 6_800)
        ]
    )
    service.index.exact_rows = 500
    by_prefix = await store.asearch(("all", "mine"), query="q n1", limit=1)
    assert [hit.key for hit in by_prefix] == ["6600"]
    by_filter = await store.asearch(("all",), query="q n1", filter={"mine": True}, limit=1)
    assert [hit.key for hit in by_filter] == ["6600"]
    assert service.index.vectors is not None
    assert not service.index.vectors.exact
    await memori.aclose()
