"""Commands about runs that are over: `runs`, `show`, `explain`, `metrics`, `feedback`.

They read the store alone and import neither LangGraph nor agents, so they start at once.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any, cast

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from genesis.cli.common import cli_settings, fail, print_json, run_async
from genesis.cli.console import console
from genesis.errors import InputError, UnknownRun
from genesis.explain import explain
from genesis.tasks.types import TASK_TYPES
from infrastructure.clock import SystemClock
from infrastructure.jsonvalue import JsonValue
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.runs import RunRecord
from infrastructure.memory.workflow_memory import WorkflowMemory
from infrastructure.text import counted, one_line

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SPAN = re.compile(r"(\d{1,6})([smhdw])")


@asynccontextmanager
async def open_memory() -> AsyncGenerator[WorkflowMemory]:
    """The memory that the command line uses."""
    settings = cli_settings()
    memory = WorkflowMemory(Memori.open(settings.db_path, tenant=settings.tenant))
    try:
        yield memory
    finally:
        await memory.aclose()


def since_time(text: str | None, now: float) -> float | None:
    """The moment that a span before now means ("30m", "7d"), seconds since the epoch.

    Raises:
        InputError: it is no such span.
    """
    if text is None:
        return None
    match = _SPAN.fullmatch(text.strip())
    if match is None:
        raise InputError(f"--since {text!r} is no span of time: use 90s, 30m, 12h, 7d or 2w")
    return now - int(match[1]) * _UNITS[match[2]]


def runs_command(
    *, failed: bool, since: str | None, session: str | None, limit: int, as_json: bool
) -> None:
    """Print runs, newest first."""

    async def work() -> list[RunRecord]:
        start = since_time(since, SystemClock().now())
        async with open_memory() as memory:
            return await memory.runs(
                state="failed" if failed else None, since=start, session_id=session, limit=limit
            )

    found = run_async(work(), as_json=as_json)
    if as_json:
        print_json({"runs": [_run_json(run) for run in found]})
        return
    out = _console()
    if found:
        out.print(_runs_table(found, out.width), soft_wrap=False)
    else:
        filtered = failed or since is not None or session is not None
        out.print("no such runs" if filtered else 'no runs yet: try genesis run "..."')


def _runs_table(runs: list[RunRecord], width: int) -> Table:
    """One line per run. What is left out or cut in a narrow terminal is never the run's id."""
    shown = ("run", "when", "state", "request") if width < _WIDE else _RUN_COLUMNS
    table = Table(box=None, pad_edge=False)
    for column in shown:
        least = None if column == "request" else max(len(_run_cells(r)[column]) for r in runs)
        table.add_column(column, no_wrap=True, min_width=least)
    for run in runs:
        cells = _run_cells(run)
        table.add_row(*(Text(cells[column]) for column in shown))
    return table


_WIDE = 110
_GLYPHS = {"completed": "✓", "failed": "✗", "canceled": "■", "waiting": "?", "running": "▸"}
_RUN_COLUMNS = ("run", "when", "state", "type", "tasks", "time", "cost", "request")


def _run_cells(run: RunRecord) -> dict[str, str]:
    result = cast("dict[str, Any]", run.result)
    when = datetime.fromtimestamp(run.created_at, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
    return {
        "run": run.run_id,
        "when": when,
        "state": f"{_GLYPHS[run.state]} {run.state}",
        "type": run.task_type or "-",
        "tasks": str(result.get("tasks", "-")),
        "time": f"{result['duration_s']:.2f} s" if "duration_s" in result else "-",
        "cost": f"${result['cost_usd']:.4f}" if "cost_usd" in result else "-",
        "request": one_line(run.request, 80),
    }


def _run_json(run: RunRecord) -> dict[str, JsonValue]:
    return {
        "run_id": run.run_id,
        "session_id": run.session_id,
        "request": run.request,
        "task_type": run.task_type,
        "state": run.state,
        "version": run.version,
        "created_at": run.created_at,
        "finished_at": run.finished_at,
        **run.result,
    }


async def _run_and_events(run_id: str) -> tuple[RunRecord, list[dict[str, JsonValue]]]:
    async with open_memory() as memory:
        run = await memory.run(run_id)
        if run is None:
            raise UnknownRun(f"there is no run {run_id!r}: `genesis runs` lists them")
        return run, await memory.events(run_id)


def show_command(run_id: str, *, as_json: bool) -> None:
    """Print a run: request, tasks with attempts, answer, errors."""
    run, events = run_async(_run_and_events(run_id), as_json=as_json)
    if as_json:
        print_json({**_run_json(run), "events": events})
        return
    out = _console()
    head = f"{run.run_id}  {run.state}  {run.task_type}  session {run.session_id}"
    out.print(head, markup=False)
    out.print(run.request, markup=False)
    for event in events:
        if event["type"] == "SubRequestStarted":
            out.print(f"  {event['task_id']}: as run {event['sub_run_id']}", markup=False)
        if event["type"] == "TaskEnded":
            _show_task(out, cast("dict[str, Any]", event["result"]))
    result = cast("dict[str, Any]", run.result)
    out.print(f"\n{result.get('output') or '(no answer)'}", markup=False)
    for error in result.get("errors", ()):
        out.print(f"failed: {error}", markup=False)


def _show_task(out: Console, result: dict[str, Any]) -> None:
    head = f"  {result['task_id']}: {result['status']}, {result['duration_s']:.2f} s"
    out.print(head, markup=False)
    for attempt in result["attempts"]:
        who = f"    {attempt['number']}. {attempt['agent']} {attempt['outcome']}"
        out.print(": ".join(filter(None, (who, attempt["reason"]))), markup=False)


def explain_command(run_id: str, *, as_json: bool) -> None:
    """Print every decision of a run with its reasons."""
    _, events = run_async(_run_and_events(run_id), as_json=as_json)
    explanation = explain(run_id, events)
    if as_json:
        print_json({"run_id": run_id, "decisions": explanation.decisions})
    else:
        _console().print(str(explanation), markup=False)


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
        show_metrics(_console(), metrics)


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


def feedback_command(
    run_id: str,
    *,
    success: bool | None,
    task_type: str | None,
    comment: str | None,
    as_json: bool,
) -> None:
    """Correct what was learnt from a run."""
    if success is None and task_type is None and comment is None:
        fail(
            InputError("say what to correct: --success, --failure, --task-type or --comment"),
            as_json=as_json,
        )

    async def work() -> Any:
        async with open_memory() as memory:
            return await memory.feedback(run_id, success, task_type, comment)

    if task_type is not None and task_type not in TASK_TYPES:
        nearest = get_close_matches(task_type, TASK_TYPES, 1)
        hint = f"; did you mean {nearest[0]}?" if nearest else ""
        console(stderr=True).print(f"{task_type!r} is a task type of your own{hint}", markup=False)
    said = run_async(work(), as_json=as_json)
    if as_json:
        print_json({"feedback": said})
    else:
        noted = f"noted for run {run_id}; aggregates and patterns are corrected"
        _console().print(noted, markup=False)


def _console() -> Console:
    return console(soft_wrap=True)
