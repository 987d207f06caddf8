"""Commands about stored runs: `runs`, `explain`, `feedback`.

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
from rich.table import Table
from rich.text import Text

from genesis.cli.common import cli_settings, fail, print_json, run_async
from genesis.cli.console import console
from genesis.errors import InputError, UnknownRun
from genesis.explain import explain
from genesis.tasks.types import TASK_TYPES
from infrastructure.clock import SystemClock
from infrastructure.config import load_flags
from infrastructure.jsonvalue import JsonValue
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.runs import (
    CANCELED,
    COMPLETED,
    FAILED,
    RUNNING,
    STATES,
    WAITING,
    RunRecord,
)
from infrastructure.memory.workflow_memory import WorkflowMemory
from infrastructure.processes import is_dead
from infrastructure.text import one_line

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SPAN = re.compile(r"(\d{1,6})([smhdw])")
_MOST_OPEN = 10_000

INTERRUPTED = "interrupted"
SHOWN_STATES = (*STATES, INTERRUPTED)


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
    *,
    failed: bool,
    state: str | None,
    since: str | None,
    session: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """Print runs, newest first."""

    async def work() -> list[tuple[RunRecord, str]]:
        wanted = _state_asked_for(state, failed=failed)
        start = since_time(since, SystemClock().now())
        async with open_memory() as memory:
            return await _runs(memory, wanted, start, session, limit)

    found = run_async(work(), as_json=as_json)
    if as_json:
        print_json({"runs": [run_json(run, now) for run, now in found]})
        return
    out = _console()
    if found:
        out.print(_runs_table(found, out.width), soft_wrap=False)
    else:
        filtered = failed or not (state is None and since is None and session is None)
        out.print("no such runs" if filtered else 'no runs yet: try genesis run "..."')


def _state_asked_for(state: str | None, *, failed: bool) -> str | None:
    if failed and state not in (None, FAILED):
        raise InputError(f"--failed and --state {state} exclude each other: leave one out")
    if state is not None and state not in SHOWN_STATES:
        raise InputError(f"--state {state!r} is no state: use {', '.join(SHOWN_STATES)}")
    return FAILED if failed else state


async def _runs(
    memory: WorkflowMemory,
    state: str | None,
    since: float | None,
    session: str | None,
    limit: int,
) -> list[tuple[RunRecord, str]]:
    """Runs with the state that they are shown in."""
    running = state in (RUNNING, INTERRUPTED)
    listed = await memory.runs(
        state=RUNNING if running else state,
        since=since,
        session_id=session,
        # Which of them are worked on is not known to the query.
        limit=_MOST_OPEN if running else limit,
    )
    found = [(run, await state_now(memory, run)) for run in listed]
    return [(run, now) for run, now in found if not running or now == state][:limit]


async def state_now(memory: WorkflowMemory, run: RunRecord) -> str:
    """The state of a run, which is "interrupted" where it is not over and nobody works on it."""
    if run.state != RUNNING:
        return run.state
    held = await memory.holder(run.run_id)
    if held is None or (held.works(SystemClock().now()) and not is_dead(held.owner)):
        return RUNNING
    return INTERRUPTED if held.state == RUNNING else held.state


def _runs_table(runs: list[tuple[RunRecord, str]], width: int) -> Table:
    """One line per run. What is left out or cut in a narrow terminal is never the run's id."""
    shown = ("run", "when", "state", "request") if width < _WIDE else _RUN_COLUMNS
    rows = [_run_cells(run, state) for run, state in runs]
    table = Table(box=None, pad_edge=False)
    for column in shown:
        least = None if column == "request" else max(len(cells[column]) for cells in rows)
        table.add_column(column, no_wrap=True, min_width=least)
    for cells in rows:
        table.add_row(*(Text(cells[column]) for column in shown))
    return table


_WIDE = 110
_GLYPHS = {
    COMPLETED: "✓",
    FAILED: "✗",
    CANCELED: "■",
    WAITING: "?",
    RUNNING: "▸",
    INTERRUPTED: "‖",
}
_RUN_COLUMNS = ("run", "when", "state", "type", "tasks", "time", "cost", "request")


def _run_cells(run: RunRecord, state: str) -> dict[str, str]:
    result = cast("dict[str, Any]", run.result)
    when = datetime.fromtimestamp(run.created_at, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
    return {
        "run": run.run_id,
        "when": when,
        "state": f"{_GLYPHS[state]} {state}",
        "type": run.task_type or "-",
        "tasks": str(result.get("tasks", "-")),
        "time": f"{result['duration_s']:.2f} s" if "duration_s" in result else "-",
        "cost": f"${result['cost_usd']:.4f}" if "cost_usd" in result else "-",
        "request": one_line(run.request, 80),
    }


def run_json(run: RunRecord, state: str) -> dict[str, JsonValue]:
    """A run as `--json` tells it, with the state that it is shown in."""
    return {
        "run_id": run.run_id,
        "session_id": run.session_id,
        "request": run.request,
        "task_type": run.task_type,
        "state": state,
        "version": run.version,
        "created_at": run.created_at,
        "finished_at": run.finished_at,
        **run.result,
    }


async def known_run(memory: WorkflowMemory, run_id: str) -> RunRecord:
    """What is stored of a run.

    Raises:
        UnknownRun: there is none of this id.
    """
    run = await memory.run(run_id)
    if run is None:
        raise UnknownRun(f"there is no run {run_id!r}: `genesis runs` lists them")
    return run


def explain_command(run_id: str, *, as_json: bool) -> None:
    """Print every decision of a run with its reasons."""

    async def work() -> list[dict[str, JsonValue]]:
        async with open_memory() as memory:
            await known_run(memory, run_id)
            return await memory.events(run_id)

    explanation = explain(run_id, run_async(work(), as_json=as_json))
    if as_json:
        print_json({"run_id": run_id, "decisions": explanation.decisions})
    else:
        _console().print(str(explanation), markup=False)


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
            said = await memory.feedback(run_id, success, task_type, comment)
            if success is False:
                await _withdraw(run_id, memory)
            return said

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


async def _withdraw(run_id: str, memory: WorkflowMemory) -> None:
    """Take back what a run taught; only who calls one wrong waits for LangGraph."""
    from genesis.assembly import remembering_for
    from infrastructure.embeddings.builtin import BuiltinEmbedder

    settings, flags = cli_settings(), load_flags()
    found = remembering_for(memory, settings, flags, BuiltinEmbedder(), SystemClock())
    if found is not None:
        await found.withdraw(run_id)


def _console() -> Console:
    return console(soft_wrap=True)
