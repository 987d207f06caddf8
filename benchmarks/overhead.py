"""What orchestrating costs: the same agent calls through Genesis with everything on, and by peers.

The job is six agents in a 1-2-2-1 diamond: agents that answer at once show the time and the CPU
time (of all threads) of a run, agents that take 50 ms show 200 runs at once as a multiple of the
200 ms of the longest path. A skewed DAG, one long task beside a chain of four, shows wall time
over its critical path. Each row runs in a process of its own, warmed; the rows take turns in
rounds, in an order drawn with the seed, one at a time, and figures are medians over the rounds.

genesis                  recall, plan, route, validate, price, journal, execute, check, record, on
                         a store of 1,000 workflows and 1,000 memories for each agent
asyncio                  the bare schedule: the floor
langgraph_in_node        one node that runs the DAG by asyncio; nothing is durable
langgraph_nodes          one node a task (a DAG that is known beforehand)
langgraph_send           `Send` for the tasks of a level (a DAG known at run time)
..._sqlite_sync, _async  the same with AsyncSqliteSaver and that durability
crewai, ...              other frameworks, where `make bench-peers` installed them
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from overhead_profile import profiled
from overhead_timing import AT_ONCE, Opener, Row, Way, measure, note_network
from overhead_work import Job, run_eagerly

HERE = Path(__file__).resolve().parent
PEERS = {
    "crewai": "crewai_flow",
    "pydantic-ai-slim": "pydantic_ai_agents",
    "agent-framework-core": "agent_framework_workflow",
    "openai-agents": "openai_agents_runs",
}
# What the makers document for switching off their telemetry and tracing.
SILENT = {
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_DISABLE_TRACKING": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "OTEL_SDK_DISABLED": "true",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
    "AGENT_FRAMEWORK_USER_AGENT_DISABLED": "true",
    "LANGSMITH_TRACING": "false",
}
COLUMNS = (
    ("p50_ms", "p50 ms", ".2f"),
    ("cpu_ms", "CPU ms", ".2f"),
    ("x_ideal_200", "200, x ideal", ".2f"),
    ("cpu_ms_200", "CPU ms of 200", ".2f"),
    ("x_critical_path", "x crit. path", ".3f"),
    ("bytes_per_run", "bytes/run", ",.0f"),
    ("journal_bytes", "journal", ",.0f"),
    ("peak_mb", "peak MB", ".0f"),
)


@asynccontextmanager
async def bare(job: Job, folder: Path) -> AsyncGenerator[Way]:
    """The jobs by asyncio alone."""

    async def run(number: int) -> None:
        await run_eagerly(job.shape, lambda task, _: job.agent(task))

    yield Way(run)


def opener_of(name: str) -> Opener:
    """The way that a row of this environment runs; only what it needs is imported."""
    if name == "asyncio":
        return bare
    if name == "genesis":
        import overhead_genesis

        return overhead_genesis.opened
    import overhead_langgraph

    return overhead_langgraph.ROWS[name]


ROWS = (
    "genesis",
    "asyncio",
    "langgraph_in_node",
    "langgraph_nodes",
    "langgraph_send",
    "langgraph_nodes_sqlite_sync",
    "langgraph_nodes_sqlite_async",
    "langgraph_send_sqlite_sync",
    "langgraph_send_sqlite_async",
)


def main() -> None:
    options = _options()
    if options.fill:
        import overhead_genesis

        asyncio.run(overhead_genesis.fill(options.fill, options.seed))
        return
    if options.row:
        print(json.dumps(_row_here(options.row, options)))
        return
    peers = [name for name in PEERS if _peer_python(name).exists()] if options.peers else []
    names = [options.only] if options.only else [*ROWS, *peers]
    with tempfile.TemporaryDirectory() as folder:
        filled = Path(folder) / "filled"
        if "genesis" in names:
            _fill(filled, options.seed)
        if options.profile:
            options.store = filled
            print(json.dumps(_row_here("genesis", options)))
            return
        rows = _in_turns(names, filled, options)
    if options.json:
        print(json.dumps({**_sizes(options), "rows": rows}))
    else:
        _show(rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=200, help="runs one after another, a round")
    parser.add_argument("--rounds", type=int, default=3, help="how often each row is measured")
    parser.add_argument("--seed", type=int, default=0, help="of the order and the store's past")
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")
    parser.add_argument("--peers", action="store_true", help="also the peers that are installed")
    parser.add_argument("--only", choices=(*ROWS, *PEERS), help="only this row")
    parser.add_argument(
        "--profile",
        type=Path,
        metavar="FILE",
        help="the row genesis in this process (for py-spy too): CPU by thread, cProfile into FILE",
    )
    parser.add_argument("--row", choices=ROWS, help=argparse.SUPPRESS)
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--fill", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.runs < 1 or options.rounds < 1:
        parser.error("--runs and --rounds must be at least 1")
    if options.only in PEERS and not _peer_python(options.only).exists():
        parser.error(f"{options.only} is not installed; run `make bench-peers`")
    return options


def _sizes(options: argparse.Namespace) -> Row:
    return {
        "runs": options.runs,
        "rounds": options.rounds,
        "seed": options.seed,
        "concurrent": AT_ONCE,
    }


def _row_here(name: str, options: argparse.Namespace) -> Row:
    """A row measured in this process."""
    sys.addaudithook(note_network)
    random.seed(options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if name == "genesis":
            shutil.copytree(options.store, folder, dirs_exist_ok=True)
        if options.profile:
            return asyncio.run(profiled(opener_of(name), options.runs, folder, options.profile))
        return asyncio.run(measure(name, opener_of(name), options.runs, folder))


def _fill(folder: Path, seed: int) -> None:
    """The store's past, made once and in a process of its own; every round works on a copy."""
    folder.mkdir()
    command = [sys.executable, __file__, "--fill", str(folder), "--seed", str(seed)]
    subprocess.run(command, check=True, stdout=sys.stderr)


def _in_turns(names: Sequence[str], filled: Path, options: argparse.Namespace) -> list[Row]:
    """All rows, round after round, one at a time."""
    order = random.Random(options.seed)
    measured: dict[str, list[Row]] = {name: [] for name in names}
    for number in range(options.rounds):
        for name in order.sample(names, k=len(names)):
            print(f"round {number + 1} of {options.rounds}: {name}", file=sys.stderr, flush=True)
            measured[name].append(_row_of(name, filled, options))
    return [_median(rows) for rows in measured.values()]


def _row_of(name: str, filled: Path, options: argparse.Namespace) -> Row:
    """A row measured in a fresh process, so that neither memory nor imports are shared."""
    sizes = ["--runs", str(options.runs), "--seed", str(options.seed)]
    if name in PEERS:
        command = [str(_peer_python(name)), "-m", f"peers.{PEERS[name]}", *sizes]
    else:
        command = [sys.executable, __file__, "--row", name, "--store", str(filled), *sizes]
    done = subprocess.run(
        command, cwd=HERE, env={**os.environ, **SILENT}, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        raise SystemExit(f"the row {name} failed; what it said is above")
    row = cast("Row", json.loads(done.stdout.splitlines()[-1]))
    if row["network"]:
        raise SystemExit(f"the row {name} asked for the network: {', '.join(row['network'])}")
    return {**row, "name": name}


def _peer_python(name: str) -> Path:
    return HERE.parent / ".venv-peers" / name / "bin" / "python"


def _median(rows: Sequence[Row]) -> Row:
    """The rounds of one row as one: medians, and the smallest and largest of each figure."""
    figures = dict(_figures(rows))
    medians = {name: statistics.median(values) for name, values in figures.items()}
    ranges = {name: [min(values), max(values)] for name, values in figures.items()}
    return {"name": rows[0]["name"], **medians, "range": ranges}


def _figures(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[float]]]:
    for name, value in rows[0].items():
        if isinstance(value, int | float):
            yield name, [row[name] for row in rows]


def _show(rows: Sequence[Row]) -> None:
    print(f"{'':29}" + "".join(f"{title:>14}" for _, title, _ in COLUMNS))
    for row in rows:
        cells = (f"{row[key]:{form}}" if key in row else "" for key, _, form in COLUMNS)
        print(f"{row['name']:29}" + "".join(f"{cell:>14}" for cell in cells))


if __name__ == "__main__":
    main()
