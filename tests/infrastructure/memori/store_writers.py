"""Many writers on one store, in a process of their own that tells each write that was acknowledged.

python store_writers.py PLACE NAME WRITERS COUNT
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Final

from langgraph.store.base import PutOp

from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.store import MemoriStore

NAMESPACE: Final = ("writers",)
ROOT: Final = Path(__file__).parents[3]


def item(key: str, words: int = 0) -> PutOp:
    """An item that a search finds by the word that all have in common."""
    return PutOp(NAMESPACE, key, {"text": f"rain in {key}" + " and more" * words})


def found(store: MemoriStore) -> set[str]:
    """The keys of all such items; each must be found by a search."""
    hits = store.search(NAMESPACE, query="rain", limit=1_000_000)
    missed = [hit.key for hit in hits if hit.score is None]
    assert not missed, f"stored, and found by no search: {missed[:10]}"
    return {hit.key for hit in hits}


def start_writers(place: str, name: str, writers: int, count: int) -> subprocess.Popen[str]:
    """Start the writers; they print the key of each write once it was acknowledged."""
    return subprocess.Popen(
        [sys.executable, __file__, place, name, str(writers), str(count)],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(ROOT)},
    )


async def write(place: str, name: str, writers: int, count: int) -> None:
    memori = Memori.open(place)
    store = MemoriStore(memori)

    async def work(writer: int) -> None:
        for number in range(count):
            key = f"{name}-{writer}-{number}"
            await store.abatch([item(key)])
            sys.stdout.write(f"{key}\n")
            sys.stdout.flush()

    await asyncio.gather(*(work(writer) for writer in range(writers)))
    await memori.aclose()


if __name__ == "__main__":
    asyncio.run(write(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
