"""What every store of the store benchmark is asked to do, and how it is timed."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from store_data import TASK_TYPES, Executed, Note, Texts, workflows

WRITERS = 32
PAGE = 4096
SINGLE_PUTS = 200
CALLS = 300
FEWEST_CALLS = 5
CALLS_S = 15.0
RECALL_QUERIES = 100
WRITING_S = 60.0
TOP = 10
MARKER = "quokkaberry"

Row = dict[str, Any]


class Putting(Protocol):
    """An open store that takes items without any search index."""

    async def put(self, note: Note) -> None:
        """Store one item durably."""
        ...


class Recalling(Protocol):
    """An open store that remembers workflows."""

    async def add_workflows(self, executed: Sequence[Executed]) -> None:
        """Store many workflows, quickly."""
        ...

    async def patterns(self, task_type: str) -> Sequence[object]:
        """The ten best step lists of a type with a success rate of at least 0.7."""
        ...

    async def metrics(self, task_type: str) -> tuple[int, int]:
        """Executions of a type, and successes."""
        ...


class Searchable(Protocol):
    """An open store with its search index on."""

    async def put(self, note: Note) -> None:
        """Store one item durably; a search that begins afterwards finds it."""
        ...

    async def add_notes(self, notes: Sequence[Note]) -> None:
        """Store many items, quickly."""
        ...

    async def search(self, query: str) -> list[str]:
        """The keys of the ten best matches."""
        ...


OpenPutting = Callable[[str], AbstractAsyncContextManager[Putting]]
OpenRecalling = Callable[[str], AbstractAsyncContextManager[Recalling]]
OpenSearchable = Callable[[str], AbstractAsyncContextManager[Searchable]]
Places = Callable[[str], str]
"""A new, empty database by a name: a path or a URL."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    n: int
    seed: int


async def measure_puts(open_store: OpenPutting, places: Places, sizes: Sizes, folder: Path) -> Row:
    """Single durable puts beside bare flushes, then 32 writers at once."""
    notes = Texts(sizes.seed).stream(sizes.n)
    async with open_store(places("puts")) as store:
        flushes, puts = await _single_puts(store.put, sizes, folder)
        written, seconds, latencies = await write_at_once(store.put, notes)
    return {
        "flush_p50_ms": milliseconds(flushes, 0.5),
        "put_p50_ms": milliseconds(puts, 0.5),
        "puts_32": written,
        "puts_per_s_32": round(written / seconds),
        "put_p99_ms_32": milliseconds(latencies, 0.99),
    }


async def measure_recall(open_store: OpenRecalling, places: Places, sizes: Sizes) -> Row:
    """The pattern and the metrics query over `n` stored workflows."""
    async with open_store(places("workflows")) as store:
        started = time.perf_counter()
        for chunk in workflows(sizes.n, sizes.seed):
            await store.add_workflows(chunk)
        loading = time.perf_counter() - started
        patterns = await time_calls(store.patterns, TASK_TYPES)
        metrics = await time_calls(store.metrics, TASK_TYPES)
    return {
        "workflows_loaded_s": round(loading, 1),
        "pattern_p50_ms": milliseconds(patterns, 0.5),
        "pattern_p99_ms": milliseconds(patterns, 0.99),
        "metrics_p50_ms": milliseconds(metrics, 0.5),
        "metrics_p99_ms": milliseconds(metrics, 0.99),
    }


async def measure_indexed_puts(open_store: OpenSearchable, places: Places, sizes: Sizes) -> Row:
    """32 writers with the search index on, until a search sees the last item."""
    notes = Texts(sizes.seed).stream(sizes.n)
    last = Note("last", {"text": f"the last one: {MARKER}", "number": -1})
    async with open_store(places("indexed")) as store:
        await store.put(Note("first", {"text": "the first one", "number": -2}))
        await store.search("first")  # the embedder is loaded now
        started = time.perf_counter()
        written, acknowledged, latencies = await write_at_once(store.put, notes)
        await store.put(last)
        if last.key not in await store.search(MARKER):
            raise RuntimeError("a search does not see the item that was stored last")
        searchable = time.perf_counter() - started
    return {
        "indexed_puts_32": written,
        "put_acknowledged_per_s": round(written / acknowledged),
        "put_acknowledged_p99_ms": milliseconds(latencies, 0.99),
        "put_searchable_per_s": round(written / searchable),
    }


async def measure_search(
    open_store: OpenSearchable, places: Places, sizes: Sizes
) -> tuple[Row, dict[str, list[str]]]:
    """Top-10 queries over `n` texts; also what each of them found."""
    texts = Texts(sizes.seed)
    queries = texts.queries(CALLS)
    found: dict[str, list[str]] = {}
    async with open_store(places("texts")) as store:
        started = time.perf_counter()
        for chunk in texts.notes(sizes.n):
            await store.add_notes(chunk)
        await store.search(queries[0])
        loading = time.perf_counter() - started

        async def search(query: str) -> None:
            found[query] = await store.search(query)

        times = await time_calls(search, queries)
    row: Row = {
        "texts_searchable_s": round(loading, 1),
        "hybrid_p50_ms": milliseconds(times, 0.5),
        "hybrid_p99_ms": milliseconds(times, 0.99),
    }
    return row, found


def recall(found: Mapping[str, Sequence[str]], best: Mapping[str, Sequence[str]]) -> float:
    """The share of the best that was found, over the queries that both have."""
    shares = [
        len(set(found[query]) & set(best[query])) / len(best[query])
        for query in best
        if best[query]
    ]
    return round(sum(shares) / len(shares), 4)


async def _single_puts(
    put: Callable[[Note], Awaitable[None]], sizes: Sizes, folder: Path
) -> tuple[list[float], list[float]]:
    """Flushes and puts in turn, so that both meet the same disk."""
    flushes: list[float] = []
    puts: list[float] = []
    flusher = flush_times(folder / "flushed")
    for number in range(SINGLE_PUTS):
        flushes.append(next(flusher))
        note = Note(f"single-{number}", {"text": "one item stored by itself", "number": number})
        started = time.perf_counter()
        await put(note)
        puts.append(time.perf_counter() - started)
    flusher.close()
    return flushes, puts


def flush_times(path: Path) -> Generator[float]:
    """Seconds that writing one page at a file's end and flushing it takes."""
    page = os.urandom(PAGE)
    with path.open("wb", buffering=0) as file:
        while True:
            started = time.perf_counter()
            file.write(page)
            os.fsync(file.fileno())
            yield time.perf_counter() - started


async def write_at_once(
    put: Callable[[Note], Awaitable[None]], notes: Iterator[Note]
) -> tuple[int, float, list[float]]:
    """32 writers, each with one put at a time; returns puts, seconds, and each put's seconds.

    It ends after a minute at the latest: a slow store is measured on what it did by then.
    """
    latencies: list[float] = []
    started = time.perf_counter()

    async def write() -> None:
        for note in notes:
            before = time.perf_counter()
            await put(note)
            after = time.perf_counter()
            latencies.append(after - before)
            if after - started > WRITING_S:
                return

    await asyncio.gather(*(write() for _ in range(WRITERS)))
    return len(latencies), time.perf_counter() - started, latencies


async def time_calls(
    call: Callable[[str], Awaitable[object]], arguments: Sequence[str]
) -> list[float]:
    """Seconds of calls one after another, the arguments in turn; at least 5, at most 15 seconds."""
    await call(arguments[0])
    times: list[float] = []
    begun = time.perf_counter()
    for number in range(CALLS):
        if number >= FEWEST_CALLS and time.perf_counter() - begun > CALLS_S:
            break
        started = time.perf_counter()
        await call(arguments[number % len(arguments)])
        times.append(time.perf_counter() - started)
    return times


def milliseconds(seconds: Sequence[float], share: float) -> float:
    """A quantile, by the nearest rank."""
    ordered = sorted(seconds)
    return round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 4)
