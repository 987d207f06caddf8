"""`genesis diff`: what two runs have not in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from rich.table import Table
from rich.text import Text

from genesis.cli.common import print_json, run_async
from genesis.cli.console import console
from genesis.cli.runs import known_run, open_memory, state_now
from genesis.past_run import PastRun, read_journal
from genesis.tasks.task import Task, TaskResult
from infrastructure.memory.memori.runs import RunRecord
from infrastructure.text import one_line


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is told of both runs, and not alike; None where a run has nothing of it."""

    what: str
    first: str | None
    second: str | None


def diff_command(first: str, second: str, *, as_json: bool) -> None:
    """Print what differs between two runs."""

    async def work() -> list[Difference]:
        return _differences(await _facts(first), await _facts(second))

    found = run_async(work(), as_json=as_json)
    if as_json:
        print_json({"first": first, "second": second, "differences": found})
        return
    out = console()
    if not found:
        out.print("no difference", markup=False)
        return
    table = Table(box=None, pad_edge=False)
    for column in ("", first, second):
        table.add_column(Text(column))
    for difference in found:
        sides = (difference.first, difference.second)
        table.add_row(Text(difference.what), *(Text(side or "-") for side in sides))
    out.print(table)


async def _facts(run_id: str) -> dict[str, str]:
    async with open_memory() as memory:
        record = await known_run(memory, run_id)
        past = read_journal(run_id, await memory.events(run_id))
        state = await state_now(memory, record)
    return dict(chain(_of_the_run(record, past, state), _of_tasks(past)))


def _differences(first: Mapping[str, str], second: Mapping[str, str]) -> list[Difference]:
    names = dict.fromkeys((*first, *second))
    both = (Difference(name, first.get(name), second.get(name)) for name in names)
    return [found for found in both if found.first != found.second]


def _of_the_run(record: RunRecord, past: PastRun, state: str) -> Iterator[tuple[str, str]]:
    result, plan = record.result, past.state.plan
    yield "request", one_line(record.request, 200)
    yield "state", state
    yield "task type", past.state.task_type
    if plan is not None:
        yield "plan", ", ".join(task.id for task in plan.dag)
        yield "plan from", f"{plan.source} ({plan.run_id})" if plan.run_id else plan.source
    yield "cost", f"${past.spent_usd:.4f}"
    yield "time", f"{past.worked_s:.2f} s"
    yield "answer", one_line(str(result.get("output", "")), 200)
    yield "errors", "; ".join(past.state.errors)


def _of_tasks(past: PastRun) -> Iterator[tuple[str, str]]:
    if past.state.plan is None:
        return
    for task in past.state.plan.dag:
        yield f"{task.id}: task", _task(task)
        ladder, result = past.state.ladders.get(task.id), past.state.results.get(task.id)
        if ladder is not None:
            order = ", ".join(" ".join(filter(None, (r.agent, r.model))) for r in ladder.rungs)
            yield f"{task.id}: order", order
        if result is not None:
            yield from _of_result(task.id, result)


def _task(task: Task) -> str:
    after = f", after {', '.join(task.depends_on)}" if task.depends_on else ""
    return one_line(f"{task.operation}: {task.description}{after}", 200)


def _of_result(name: str, result: TaskResult) -> Iterator[tuple[str, str]]:
    attempts = (f"{a.agent} {a.outcome.value}" for a in result.attempts)
    yield f"{name}: state", result.status.value
    yield f"{name}: attempts", ", ".join(attempts)
    yield f"{name}: cost", f"${result.cost_usd:.4f}"
    yield f"{name}: time", f"{result.duration_s:.2f} s"
