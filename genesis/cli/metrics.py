"""`genesis metrics`: what was executed, and what memory gained."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from genesis.cli.common import print_json, run_async
from genesis.cli.console import console
from genesis.cli.runs import open_memory, since_time
from infrastructure.clock import SystemClock
from infrastructure.jsonvalue import JsonValue
from infrastructure.text import counted


def metrics_command(
    *, task_type: str | None, since: str | None, session: str | None, as_json: bool
) -> None:
    """Print the learning metrics."""

    async def work() -> dict[str, JsonValue]:
        start = since_time(since, SystemClock().now())
        async with open_memory() as memory:
            return await memory.learning_metrics(task_type, start, session)

    metrics = run_async(work(), as_json=as_json)
    if as_json:
        print_json(metrics)
    else:
        show_metrics(console(soft_wrap=True), metrics)


def show_metrics(out: Console, metrics: dict[str, Any]) -> None:
    """The learning metrics as a table and a few lines."""
    table = Table(box=None, pad_edge=False)
    for column in ("task type", "runs", "verified", "mean time", "mean cost"):
        table.add_column(column)
    for name, row in metrics["metrics_by_task_type"].items():
        table.add_row(
            escape(name),
            str(row["total_executions"]),
            f"{row['success_rate']:.0%}",
            f"{row['avg_duration']:.2f} s",
            f"${row['avg_cost']:.4f}",
        )
    out.print(table)
    total = metrics["total_workflows_executed"]
    out.print(f"{counted(total, 'run')}, {metrics['overall_success_rate']:.0%} verified")
    for name in _MEASURED:
        out.print(f"{name.replace('_', ' ')}: {_measured(name, metrics[name])}")


_MEASURED = (
    "memory_hit_rate",
    "success_rate_with_memory",
    "success_rate_without_memory",
    "saved_s",
    "saved_usd",
)


def _measured(name: str, figure: dict[str, Any]) -> str:
    value, interval = figure["value"], figure["interval"]
    if value is None:
        return f"not known yet (n = {figure['n']})"
    shown = "{:.0%}" if "rate" in name else "{:.3f}"
    text = shown.format(value)
    if interval is not None:
        text += f" ({shown.format(interval[0])} to {shown.format(interval[1])})"
    return f"{text}, n = {figure['n']}"
