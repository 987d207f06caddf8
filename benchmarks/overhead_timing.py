"""Measures one way of running a job, in this process: the row that the overhead benchmark prints.

Only the standard library: frameworks in environments of their own import it too.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import ipaddress
import json
import random
import resource
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overhead_work import DIAMOND, SKEWED, Job

AT_ONCE = 200
_WARM_UP = 20
_WARM_AT_ONCE = 20
_SKEWED_RUNS = 3
_FAR = 1_000_000  # numbers of runs that are made at once, apart from those made in turn

Row = dict[str, Any]


async def _nothing() -> None:
    """For a way that leaves nothing to be done behind it."""


@dataclass(frozen=True)
class Way:
    """A way of running a job, open and ready.

    Attributes:
        run: does the job once; raises unless it went well. Every run has a number of its own.
        settle: waits for what runs have left to be done in the background.
        compact: makes what is stored as small as the way can.
        journals: how many journals of ended runs are stored, and their bytes.
    """

    run: Callable[[int], Awaitable[None]]
    settle: Callable[[], Awaitable[None]] = _nothing
    compact: Callable[[], Awaitable[None]] = _nothing
    journals: Callable[[], tuple[int, int]] | None = None


Opener = Callable[[Job, Path], AbstractAsyncContextManager[Way]]
"""Opens a way of running a job's shape, with a folder for all that it stores."""


async def measure(name: str, opened: Opener, runs: int, folder: Path) -> Row:
    """One row.

    Args:
        name: of the row.
        opened: opens the way, once for each shape.
        runs: how many, one after another.
        folder: where the way keeps its files; what lies there already is not counted.
    """
    job = Job(DIAMOND)
    async with opened(job, folder) as way:
        row = {"name": name, **await _diamond(job, way, runs, folder)}
    job = Job(SKEWED)
    async with opened(job, folder) as way:
        row["x_critical_path"] = await _skewed(job, way)
    row["peak_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    row["network"] = network_reached()
    return row


async def _diamond(job: Job, way: Way, runs: int, folder: Path) -> Row:
    """Agents that answer at once, run after run; then agents that take 50 ms, 200 runs at once."""
    await _warm(job, way)
    await way.compact()
    _settle_collector()
    stored, journals = stored_bytes(folder), way.journals() if way.journals else (0, 0)
    job.calls = 0
    durations: list[float] = []
    cpu = time.process_time()
    for number in range(_WARM_UP, _WARM_UP + runs):
        started = time.perf_counter()
        await way.run(number)
        durations.append(time.perf_counter() - started)
    await way.settle()
    cpu_ms = 1000 * (time.process_time() - cpu) / runs
    grown = stored_bytes(folder) - stored
    await way.compact()
    row: Row = {
        "p50_ms": round(1000 * statistics.median(durations), 3),
        "cpu_ms": round(cpu_ms, 3),
        **await _at_once(job, way),
        "bytes_per_run": round(grown / runs),
    }
    if way.journals:
        count, size = way.journals()
        row["journal_bytes"] = round((size - journals[1]) / (count - journals[0]))
    expected = len(DIAMOND.needs) * (runs + AT_ONCE)
    if job.calls != expected:
        raise RuntimeError(f"{job.calls} agent calls were made where {expected} are the job")
    return row


async def _warm(job: Job, way: Way) -> None:
    for number in range(_WARM_UP):
        await way.run(number)
    job.takes_time = True
    await asyncio.gather(*(way.run(2 * _FAR + number) for number in range(_WARM_AT_ONCE)))
    job.takes_time = False
    await way.settle()


def _settle_collector() -> None:
    """Set the garbage collector as a process does that serves for long, in every row alike.

    `genesis serve` does it by `infrastructure.collector`, which other environments have not.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


async def _at_once(job: Job, way: Way) -> Row:
    job.takes_time = True
    cpu, started = time.process_time(), time.perf_counter()
    await asyncio.gather(*(way.run(_FAR + number) for number in range(AT_ONCE)))
    took = time.perf_counter() - started
    await way.settle()
    cpu = time.process_time() - cpu
    job.takes_time = False
    return {
        "x_ideal_200": round(took / DIAMOND.critical_path, 2),
        "cpu_ms_200": round(1000 * cpu / AT_ONCE, 3),
    }


async def _skewed(job: Job, way: Way) -> float:
    """Wall time of a run over the longest path of the skewed DAG."""
    await way.run(4 * _FAR)
    job.takes_time = True
    durations: list[float] = []
    for number in range(_SKEWED_RUNS):
        started = time.perf_counter()
        await way.run(5 * _FAR + number)
        durations.append(time.perf_counter() - started)
    return round(statistics.median(durations) / SKEWED.critical_path, 4)


def stored_bytes(folder: Path) -> int:
    """What a way keeps on disk: the pages in use of its databases, and its other files."""
    total = 0
    for file in folder.rglob("*"):
        if file.suffix == ".db":
            total += _pages_in_use(file)
        elif file.is_file() and not file.name.endswith((".db-wal", ".db-shm")):
            total += file.stat().st_size
    return total


def _pages_in_use(database: Path) -> int:
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        # A transaction sees one state of the file, with what is in the write-ahead log.
        connection.execute("BEGIN")
        pages, free, size = (
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
    return int((pages - free) * size)


_reached: set[str] = set()


def note_network(event: str, args: tuple[Any, ...]) -> None:
    """An audit hook that notes every address outside this machine that the process asks for."""
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        address: Any = args[1] if event != "socket.getaddrinfo" else args[:2]
        if isinstance(address, str | bytes):
            return  # a socket in the file system
        host, port = str(address[0]), str(address[1])
        if not _is_loopback(host):
            _reached.add(f"{host}:{port}")


def network_reached() -> list[str]:
    """What `note_network` noted."""
    return sorted(_reached)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def row_main(name: str, opened: Opener) -> None:
    """The `main` of a script that prints one row as JSON."""
    sys.addaudithook(note_network)
    parser = argparse.ArgumentParser(description=f"the row {name} of overhead.py, as JSON")
    parser.add_argument("--runs", type=int, default=100, help="runs one after another")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    random.seed(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(asyncio.run(measure(name, opened, options.runs, Path(folder)))))
