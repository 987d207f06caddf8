"""What the sandbox costs a command: start to end of /bin/true and of an empty Python program.

Rows: a plain subprocess within the same bounds of time and output, the sandbox, the sandbox with a
private copy of a workspace of --files files of 4 kB, and with an artifacts folder. They take turns,
so that a busy machine slows all of them alike.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from infrastructure.sandbox.process import Completed, GroupKeeper, Invocation, supervise
from infrastructure.sandbox.runner import run_sandboxed, why_unavailable

Row = Callable[[Sequence[str]], Awaitable[Completed]]
COMMANDS = {"true": ["/bin/true"], "python": [sys.executable, "-I", "-c", "pass"]}


def rows_in(folder: Path, files: int) -> dict[str, Row]:
    """The rows, by name; makes the folders that they need."""
    empty, workspace, artifacts = (folder / name for name in ("empty", "workspace", "artifacts"))
    for made in (empty, workspace, artifacts):
        made.mkdir()
    for number in range(files):
        (workspace / f"{number}.txt").write_text("x" * 4096)

    def plain(command: Sequence[str]) -> Awaitable[Completed]:
        return supervise(Invocation(command, empty, {}), GroupKeeper(), timeout_s=60)

    def sandbox(command: Sequence[str]) -> Awaitable[Completed]:
        return run_sandboxed(command, cwd=Path("/tmp"))  # noqa: S108 - the sandbox's own

    def with_copy(command: Sequence[str]) -> Awaitable[Completed]:
        return run_sandboxed(command, cwd=workspace, workspace=workspace)

    def with_artifacts(command: Sequence[str]) -> Awaitable[Completed]:
        return run_sandboxed(command, cwd=empty, workspace=empty, artifacts=artifacts)

    return {
        "subprocess": plain,
        "sandbox": sandbox,
        f"sandbox, copy of {files} files": with_copy,
        "sandbox, artifacts": with_artifacts,
    }


async def measure(runs: int, files: int) -> list[dict[str, object]]:
    """Milliseconds of each row and command: median, and nine of ten are below the second figure."""
    with tempfile.TemporaryDirectory() as name:
        rows = rows_in(Path(name).resolve(), files)
        times: dict[tuple[str, str], list[float]] = {}
        for turn in range(runs + 1):
            for row, run in rows.items():
                for what, command in COMMANDS.items():
                    started = time.perf_counter()
                    done = await run(command)
                    if done.returncode:
                        raise SystemExit(f"{row}: {done}")
                    if turn:  # the first warms up
                        passed = 1e3 * (time.perf_counter() - started)
                        times.setdefault((row, what), []).append(passed)
    return [
        {
            "row": row,
            "command": what,
            "p50_ms": round(statistics.median(found), 1),
            "p90_ms": round(statistics.quantiles(found, n=10)[-1], 1),
        }
        for (row, what), found in times.items()
    ]


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    problem = await why_unavailable()
    if problem:
        raise SystemExit(problem)
    found = await measure(arguments.runs, arguments.files)
    if arguments.json:
        print(json.dumps({"rows": found}))
        return
    print(f"{'row':32} {'command':8} {'p50 ms':>8} {'p90 ms':>8}")
    for row in found:
        print(f"{row['row']:32} {row['command']:8} {row['p50_ms']:8} {row['p90_ms']:8}")


if __name__ == "__main__":
    asyncio.run(main())
