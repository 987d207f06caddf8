"""`genesis show`: what a run was asked, did and answered, and what it waits for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from rich.console import Console

from genesis.cli.common import print_json, run_async
from genesis.cli.console import console
from genesis.cli.next_steps import next_steps
from genesis.cli.runs import known_run, open_memory, run_json, state_now
from genesis.errors import InputError
from genesis.past_run import read_journal
from infrastructure.jsonvalue import JsonObject
from infrastructure.memory.memori.runs import OPEN_STATES, RunRecord
from infrastructure.memory.workflow_memory import WorkflowMemory


@dataclass(frozen=True, slots=True)
class Asked:
    """What a run, or a part of it, asks a person."""

    run_id: str
    id: str
    kind: str
    question: str


@dataclass(frozen=True, slots=True)
class SeenRun:
    """A run with its journal.

    Attributes:
        record: what is stored of it.
        state: that, or "interrupted" where nobody works on a run that is not over.
        task_type: as inferred; empty before.
        events: its journal.
        asked: what it waits for.
    """

    record: RunRecord
    state: str
    task_type: str
    events: Sequence[JsonObject]
    asked: Sequence[Asked]


async def _seen(run_id: str) -> SeenRun:
    async with open_memory() as memory:
        record = await known_run(memory, run_id)
        events = await memory.events(run_id)
        inferred = [e["task_type"] for e in events if e["type"] == "TaskTypeInferred"]
        return SeenRun(
            record,
            await state_now(memory, record),
            record.task_type or str(inferred[-1] if inferred else ""),
            events,
            await _asked(memory, record),
        )


async def _asked(memory: WorkflowMemory, record: RunRecord) -> list[Asked]:
    """What nobody has decided yet, of the run and of its parts."""
    if record.state not in OPEN_STATES:
        return []
    asked: list[Asked] = []
    for run_id in (record.run_id, *await memory.parts(record.run_id)):
        events = await memory.events(run_id)
        pending = read_journal(run_id, events).pending if events else ()
        asked += [Asked(run_id, found.id, found.kind, found.question) for found in pending]
    return asked


def show_command(run_id: str, *, plan: bool, as_json: bool) -> None:
    """Print a run: request, tasks with attempts, answer, errors; or its plan alone."""
    if plan:
        print_json(run_async(_plan(run_id), as_json=as_json))
        return
    seen = run_async(_seen(run_id), as_json=as_json)
    if as_json:
        told = {**run_json(seen.record, seen.state), "task_type": seen.task_type}
        print_json({**told, "approvals": seen.asked, "events": seen.events})
    else:
        _show(console(soft_wrap=True), seen)


async def _plan(run_id: str) -> JsonObject:
    """The plan in force, as `genesis approve --edit @FILE` takes it.

    Raises:
        InputError: there is none yet.
    """
    async with open_memory() as memory:
        await known_run(memory, run_id)
        plan = read_journal(run_id, await memory.events(run_id)).state.plan
    if plan is None:
        raise InputError(f"run {run_id!r} has no plan yet")
    return plan.dag.to_json()


def _show(out: Console, seen: SeenRun) -> None:
    run = seen.record
    head = (run.run_id, seen.state, seen.task_type, f"session {run.session_id}")
    out.print("  ".join(filter(None, head)), markup=False)
    out.print(run.request, markup=False)
    for event in seen.events:
        if event["type"] == "SubRequestStarted":
            out.print(f"  {event['task_id']}: as run {event['sub_run_id']}", markup=False)
        if event["type"] == "TaskEnded":
            _show_task(out, cast("dict[str, Any]", event["result"]))
    result = cast("dict[str, Any]", run.result)
    steps = next_steps(seen.state, run.run_id, seen.asked)
    out.print()
    if result.get("output") or not steps:
        out.print(result.get("output") or "(no answer)", markup=False)
    for line in (*(f"failed: {error}" for error in result.get("errors", ())), *steps):
        out.print(line, markup=False)


def _show_task(out: Console, result: dict[str, Any]) -> None:
    head = f"  {result['task_id']}: {result['status']}, {result['duration_s']:.2f} s"
    out.print(head, markup=False)
    for attempt in result["attempts"]:
        who = f"    {attempt['number']}. {attempt['agent']} {attempt['outcome']}"
        out.print(": ".join(filter(None, (who, attempt["reason"]))), markup=False)
