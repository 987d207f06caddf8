"""What orchestrating costs: six agents in a 1-2-2-1 diamond, everything on, beside plain peers.

Each row runs in a process of its own, on the same job, with agents that answer at once (p50 and
CPU time of one run after another) and with agents that take 50 ms (200 runs at once, as a multiple
of the 200 ms that the longest path takes). The rows:

genesis                    recall, plan, route, validate, price, journal, execute, check, record
langgraph_sqlite_async     one node a task, AsyncSqliteSaver, its default durability
langgraph_sqlite_exit      the same, saving once at the end
langgraph                  the same without a checkpointer: nothing is durable
asyncio                    the bare schedule: the floor
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, TypedDict, cast

from genesis.tasks.types import TASK_TYPES

DIAMOND: dict[str, tuple[str, ...]] = {
    "gather": (),
    "left": ("gather",),
    "right": ("gather",),
    "left_check": ("left",),
    "right_check": ("right",),
    "join": ("left_check", "right_check"),
}
LEVELS = 4
AGENT_S = 0.05
CONCURRENT = 200
WARM_UP = 5

RunOnce = Callable[[int], Awaitable[None]]


class Job:
    """A way of running the diamond; `seconds` is what each agent takes."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.calls = 0

    async def agent(self) -> str:
        self.calls += 1
        if self.seconds:
            await asyncio.sleep(self.seconds)
        return "done"


async def bare(job: Job) -> RunOnce:
    async def run(number: int) -> None:
        await job.agent()
        await asyncio.gather(job.agent(), job.agent())
        await asyncio.gather(job.agent(), job.agent())
        await job.agent()

    return run


def merge(left: dict[str, str], right: dict[str, str]) -> dict[str, str]:
    """The reducer of the peers' state: results by task."""
    return {**left, **right}


class Results(TypedDict):
    """The peers' state."""

    done: Annotated[dict[str, str], merge]


def langgraph_builder(job: Job) -> Any:
    from langgraph.graph import END, START, StateGraph

    builder = cast("Any", StateGraph(Results))
    for name in DIAMOND:

        async def node(state: Results, name: str = name) -> Results:
            return {"done": {name: await job.agent()}}

        builder.add_node(name, node)
    for name, needs in DIAMOND.items():
        builder.add_edge(list(needs) if needs else START, name)
    builder.add_edge("join", END)
    return builder


def langgraph_runner(graph: Any, durability: str | None) -> RunOnce:
    async def run(number: int) -> None:
        extra = {"durability": durability} if durability else {}
        config = {"configurable": {"thread_id": f"run-{number}"}}
        await graph.ainvoke({"done": {}}, config, **extra)

    return run


GIVEN = """
given: {}
deliverables:
  join_made: {phrases: [diamond]}
asked:
"""
TEMPLATES = """
templates:
  - name: diamond
    asks: [join_made]
    tasks:
"""


def diamond_config(folder: Path) -> Path:
    """A configuration folder whose only plan is the diamond."""
    tasks = "".join(
        f"      - {{id: {name}, operation: {name}, produces: [{name}_made], "
        f"requires: [{', '.join(f'{need}_made' for need in needs)}], "
        f"description: {name.replace('_', ' ')}}}\n"
        for name, needs in DIAMOND.items()
    )
    asked = "".join(f"  {name}: {{principal: [join_made]}}\n" for name in TASK_TYPES)
    config = folder / "config"
    config.mkdir()
    (config / "plan_templates.yaml").write_text(GIVEN + asked + TEMPLATES + tasks, encoding="utf-8")
    return config


REQUEST = "Please take all the steps of the diamond, number {number}"


async def genesis_runner(job: Job, folder: Path) -> tuple[RunOnce, Any]:
    import os

    os.environ["GENESIS_CONFIG_DIR"] = str(diamond_config(folder))
    from genesis import GenesisOrchestrator
    from infrastructure.a2a.agent import Skill
    from infrastructure.config import load_settings

    settings = load_settings(
        db_path=str(folder / "runs.db"),
        data_dir=folder / "data",
        workspace=folder,
        max_concurrent_runs=CONCURRENT,
    )
    orchestrator = GenesisOrchestrator(agents=[], settings=settings)
    for name, needs in DIAMOND.items():

        async def answer(assignment: Any, name: str = name) -> dict[str, str]:
            return {f"{name}_made": await job.agent()}

        skill = Skill(
            id=name,
            description=name,
            requires=tuple(f"{need}_made" for need in needs),
            produces=(f"{name}_made",),
            seconds=AGENT_S,
        )
        orchestrator.register_agent(
            answer, name=f"{name}_agent", skills=[skill], max_concurrency=CONCURRENT
        )

    async def run(number: int) -> None:
        result = await orchestrator.execute_orchestrated_request(
            REQUEST.format(number=number), context={}
        )
        if not result.success or not result.recorded:
            raise RuntimeError(f"the run failed: {result.errors}")

    return run, orchestrator


async def measure(name: str, runs: int) -> dict[str, Any]:
    """One row, in this process."""
    job = Job()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if name == "asyncio":
            return await timed(name, job, await bare(job), runs, folder)
        if name == "langgraph":
            graph = langgraph_builder(job).compile()
            return await timed(name, job, langgraph_runner(graph, None), runs, folder)
        if name.startswith("langgraph_sqlite"):
            from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

            async with AsyncSqliteSaver.from_conn_string(str(folder / "runs.db")) as saver:
                graph = langgraph_builder(job).compile(checkpointer=saver)
                run = langgraph_runner(graph, name.rpartition("_")[2])
                return await timed(name, job, run, runs, folder)
        run, orchestrator = await genesis_runner(job, folder)
        async with orchestrator:
            return await timed(name, job, run, runs, folder, orchestrator.drain)


async def timed(
    name: str,
    job: Job,
    run: RunOnce,
    runs: int,
    folder: Path,
    drain: Callable[[], Awaitable[None]] | None = None,
) -> dict[str, Any]:
    """Runs one after another, then 200 at once."""
    for number in range(WARM_UP):
        await run(number)
    before = stored_bytes(folder)
    durations: list[float] = []
    cpu = time.process_time()
    for number in range(WARM_UP, WARM_UP + runs):
        started = time.perf_counter()
        await run(number)
        durations.append(time.perf_counter() - started)
    if drain is not None:
        await drain()
    cpu_ms = 1000 * (time.process_time() - cpu) / runs
    grown = stored_bytes(folder) - before
    job.seconds = AGENT_S
    started = time.perf_counter()
    await asyncio.gather(*(run(1_000_000 + number) for number in range(CONCURRENT)))
    at_once = time.perf_counter() - started
    if job.calls != len(DIAMOND) * (WARM_UP + runs + CONCURRENT):
        raise RuntimeError(f"{name} made {job.calls} agent calls")
    return {
        "name": name,
        "p50_ms": round(1000 * statistics.median(durations), 3),
        "cpu_ms": round(cpu_ms, 3),
        "x_ideal_200": round(at_once / (LEVELS * AGENT_S), 2),
        "bytes_per_run": round(grown / runs),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def stored_bytes(folder: Path) -> int:
    """What the job keeps on disk, once the write-ahead log is merged into its database."""
    for database in folder.glob("*.db"):
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    kept = (f for f in folder.rglob("*") if f.is_file() and f.suffix not in (".db-wal", ".db-shm"))
    return sum(file.stat().st_size for file in kept)


ROWS = ("genesis", "langgraph_sqlite_async", "langgraph_sqlite_exit", "langgraph", "asyncio")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=200, help="runs one after another a row")
    parser.add_argument(
        "--seed", type=int, default=0, help="accepted for uniformity; nothing is random"
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object and nothing else"
    )
    parser.add_argument("--only", choices=ROWS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.runs < 1:
        parser.error("--runs must be at least 1")
    if options.only:
        print(json.dumps(asyncio.run(measure(options.only, options.runs))))
        return
    rows = [row_of(name, options.runs) for name in ROWS]
    if options.json:
        print(json.dumps({"runs": options.runs, "concurrent": CONCURRENT, "rows": rows}))
        return
    print(f"{'':26}{'p50 ms':>9}{'CPU ms':>9}{'200 at once':>13}{'bytes/run':>11}{'peak MB':>9}")
    for row in rows:
        print(
            f"{row['name']:26}{row['p50_ms']:9.2f}{row['cpu_ms']:9.2f}"
            f"{row['x_ideal_200']:11.2f} x{row['bytes_per_run']:11}{row['peak_mb']:9}"
        )


def row_of(name: str, runs: int) -> dict[str, Any]:
    """A row measured in a fresh process, so that neither memory nor imports are shared."""
    command = [sys.executable, __file__, "--only", name, "--runs", str(runs)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return cast("dict[str, Any]", json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    main()
