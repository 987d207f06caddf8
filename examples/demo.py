"""The main job on real data: what the first request teaches, the second one uses.

    make demo

1. A question about real weather records. A quick agent is tried first, its answer fails the
   acceptance check, and another agent takes over.
2. The documentation of a real Python package.
3. A similar question about another file. Its plan comes from memory, and so does the knowledge
   that the quick agent is not to be asked: fewer attempts, less time.
4. The same pair with memory turned off: nothing gets better.

Ends with what was learnt. Leaves with 1 when anything of this does not happen.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from quick_look import SKILLS, quick_look
from rich.console import Console
from rich.table import Table

from genesis import GenesisOrchestrator, OrchestrationResult
from genesis.cli.metrics import show_metrics
from genesis.cli.render import RunView, failure_lines, receipt
from genesis.result import RunFinished
from infrastructure.config import load_flags, load_settings

WEATHER = (
    "Analyse seattle-weather.csv: how many rows are there, "
    "and which month has the highest mean temp_max?"
)
SOURCES = "Document the public API of the package vega_datasets"
TEMPERATURES = (
    "Analyse sf-temps.csv: how many rows are there, and which month has the highest mean temp?"
)
PAIR = (WEATHER, TEMPERATURES)

console = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class Measured:
    """A run of the pair, as the comparison shows it."""

    label: str
    result: OrchestrationResult

    @property
    def attempts(self) -> int:
        return sum(len(task.attempts) for task in self.result.tasks)


def prepare(workspace: Path) -> None:
    """Copy real files from an installed package: two data sets and the package's own sources."""
    spec = find_spec("vega_datasets")
    if spec is None or spec.origin is None:
        raise SystemExit("the demo needs the package vega_datasets: run `make setup`")
    package = Path(spec.origin).parent
    for name in ("seattle-weather.csv", "sf-temps.csv"):
        shutil.copy(package / "_data" / name, workspace / name)
    ignore = shutil.ignore_patterns("_data", "__pycache__", "tests")
    shutil.copytree(package, workspace / "vega_datasets", ignore=ignore)


def orchestrator_for(workspace: Path, name: str, *, memory: bool) -> GenesisOrchestrator:
    """An orchestrator with a memory of its own, the agents that ship, and the quick one."""
    settings = load_settings(
        workspace=workspace, data_dir=workspace / name, db_path=str(workspace / f"{name}.db")
    )
    flags = load_flags().model_copy(update={"memory_enabled": memory})
    orchestrator = GenesisOrchestrator(settings=settings, flags=flags)
    orchestrator.register_agent(quick_look, name="quick_look", skills=SKILLS)
    return orchestrator


async def show_run(orchestrator: GenesisOrchestrator, request: str) -> OrchestrationResult:
    """Run a request and show it as `genesis run` does."""
    console.rule(style="dim")
    console.print(f"[bold]> {request}[/bold]\n")
    result = None
    with RunView(console) as view:
        async for event in orchestrator.stream(request, session_id="demo"):
            if isinstance(event, RunFinished):
                result = event.result
            else:
                view.show(event)
    assert result is not None
    console.print(f"\n{result.output}\n", markup=False)
    for artifact in result.artifacts:
        console.print(f"wrote {Path(artifact).name}", markup=False)
    for line in failure_lines(result):
        console.print(line, markup=False)
    console.print(receipt(result), style="dim")
    return result


async def with_memory(workspace: Path) -> tuple[list[Measured], dict[str, Any]]:
    """The three requests, shown, and the metrics they left."""
    async with orchestrator_for(workspace, "learning", memory=True) as orchestrator:
        first = await show_run(orchestrator, WEATHER)
        sources = await show_run(orchestrator, SOURCES)
        second = await show_run(orchestrator, TEMPERATURES)
        require(sources.success, "the package was not documented")
        metrics = await orchestrator.get_workflow_learning_metrics()
    return [Measured("first, with memory", first), Measured("second, with memory", second)], metrics


async def without_memory(workspace: Path) -> list[Measured]:
    """The same pair, unable to learn."""
    async with orchestrator_for(workspace, "forgetful", memory=False) as orchestrator:
        results = [await orchestrator.execute_orchestrated_request(text) for text in PAIR]
    return [
        Measured("first, without memory", results[0]),
        Measured("second, without memory", results[1]),
    ]


def compare(rows: list[Measured]) -> None:
    """Print the four runs side by side."""
    table = Table(box=None, pad_edge=False)
    for column in ("run", "verified", "plan from", "attempts", "time"):
        table.add_column(column)
    for row in rows:
        table.add_row(
            row.label,
            "yes" if row.result.success else "no",
            row.result.plan_source or "-",
            str(row.attempts),
            f"{row.result.duration_s:.2f} s",
        )
    console.rule("what memory changed", style="dim")
    console.print(table)


def require(condition: bool, complaint: str) -> None:
    """Leave with 1 when the demo does not show what it says."""
    if not condition:
        sys.exit(f"the demo failed: {complaint}")


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="genesis-demo-") as folder:
        workspace = Path(folder).resolve()
        prepare(workspace)
        learnt, metrics = await with_memory(workspace)
        forgetful = await without_memory(workspace)
    compare(learnt + forgetful)
    console.rule("learning metrics", style="dim")
    show_metrics(console, metrics)
    for row in learnt + forgetful:
        require(row.result.success, f"the run {row.label!r} was not verified: {row.result.errors}")
    first, second = learnt
    require(second.result.plan_source == "memory", "the second plan did not come from memory")
    require(second.attempts < first.attempts, "the second run needed no fewer attempts")
    require(forgetful[1].attempts >= first.attempts, "without memory something was learnt")


if __name__ == "__main__":
    asyncio.run(main())
