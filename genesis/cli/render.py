"""How runs look in a terminal: the plan as a tree, tasks as they go, the receipt.

Everything here goes to stderr; answers and `--json` alone go to stdout. A state is always a glyph
and a word, never a colour alone; without a terminal the live table becomes plain lines.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, cast

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from genesis.cli.console import console
from genesis.events import (
    ContextRecalled,
    MemoryRecalled,
    PlanMade,
    PlanPriced,
    PlanSentBack,
    PlanValidated,
    RunAccepted,
    TaskTypeInferred,
)
from genesis.execution.events import (
    ApprovalRequested,
    AttemptEnded,
    AttemptStarted,
    TaskEnded,
    TaskStarted,
)
from genesis.result import OrchestrationResult, TaskReport
from genesis.routing.ladder import Ladder
from genesis.tasks.dag import TaskDAG
from genesis.tasks.task import SUB_REQUEST, AttemptOutcome, TaskStatus
from infrastructure.text import counted

GLYPHS: Mapping[str, str] = {
    "pending": "·",
    "running": "▸",
    "completed": "✓",
    "failed": "✗",
    "skipped": "○",
    "waiting": "?",
    "canceled": "■",
}
_TOLD_USD = 5e-5  # money below this is shown as nothing


def consoles() -> tuple[Console, Console]:
    """The console for results (stdout) and the one for everything else (stderr)."""
    return console(soft_wrap=True), console(stderr=True)


class RunView:
    """Shows a run from its events: the plan tree, then the tasks as they go.

    Args:
        console: where to draw; a live table on a terminal, plain lines elsewhere.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._tasks: dict[str, dict[str, str]] = {}
        self._plan: Mapping[str, Any] = {}
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> RunView:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None and self._live.is_started:
            self._live.stop()

    def show(self, event: object) -> None:
        """Draw what the event changes; events that change nothing to see are passed over."""
        if isinstance(event, RunAccepted):
            for note in () if event.parent_run_id else event.notes:
                self._say(f"note: {note}")
        elif isinstance(event, TaskTypeInferred):
            self._say(f"task type {event.task_type} ({event.reason})")
        elif isinstance(event, MemoryRecalled | ContextRecalled):
            self._say(_recalled(event))
        elif isinstance(event, PlanMade):
            self._plan = cast("Mapping[str, Any]", event.plan)
            self._say(f"plan from {event.source}: {event.reason}")
            for change in event.changes:
                self._say(f"  {change}")
        elif isinstance(event, PlanSentBack):
            self._say(f"plan sent back: {'; '.join(event.reasons)}")
        elif isinstance(event, PlanValidated):
            self._plan = self._plan if event.plan is None else event.plan
            self._say(_validated(event))
        elif isinstance(event, PlanPriced):
            self._begin(event)
        elif isinstance(event, TaskStarted | AttemptStarted | AttemptEnded | TaskEnded):
            self._progress(event)
        elif isinstance(event, ApprovalRequested):
            self._wait(event)

    def go_on(self, plan: TaskDAG | None, finished: Collection[str]) -> None:
        """Begin with what was planned and finished before."""
        if plan is None:
            return
        self._plan = plan.to_json()
        self._tasks = {
            task.id: {"state": state.value, "agent": "", "note": ""}
            for task in plan
            for state in [TaskStatus.COMPLETED if task.id in finished else TaskStatus.PENDING]
        }
        self._say(f"goes on: {len(finished)} of {counted(len(plan), 'task')} finished before")

    def _say(self, line: str) -> None:
        self._console.print(Text(line, style="dim"))

    def _begin(self, event: PlanPriced) -> None:
        self._console.print(plan_tree(self._plan, event.ladders), soft_wrap=False)
        for change in event.changed_by_memory:
            self._say(f"changed by memory: {change}")
        self._tasks = {
            str(task["id"]): {"state": TaskStatus.PENDING.value, "agent": "", "note": ""}
            for task in self._plan.get("tasks", ())
        }
        if self._live is not None and not self._live.is_started:
            self._live.start()

    def _wait(self, event: ApprovalRequested) -> None:
        name = _task_name(event.run_id, event.task_id)
        if name in self._tasks:
            self._tasks[name].update(state=TaskStatus.WAITING.value, note="for a person")
        self._draw(f"  {_state('waiting')} {event.approval.question}")

    def _progress(self, event: TaskStarted | AttemptStarted | AttemptEnded | TaskEnded) -> None:
        name = _task_name(event.run_id, event.task_id)
        row = self._tasks.setdefault(
            name, {"state": TaskStatus.PENDING.value, "agent": "", "note": ""}
        )
        line = ""
        if isinstance(event, TaskStarted):
            row["state"] = TaskStatus.RUNNING.value
        elif isinstance(event, AttemptStarted):
            row.update(agent=event.agent, note=f"attempt {event.number}")
        elif isinstance(event, AttemptEnded):
            attempt = event.attempt
            row["note"] = f"{attempt.outcome.value}: {attempt.reason}"
            if attempt.outcome is not AttemptOutcome.VERIFIED:
                line = f"  ! {name}: {attempt.agent} {row['note']}"
        else:
            result = event.result
            row["state"] = result.status.value
            row["note"] = (
                f"{result.duration_s:.2f} s  ${result.cost_usd:.4f}"
                if result.status is TaskStatus.COMPLETED
                else result.error
            )
            said = (
                row["note"] if result.status is TaskStatus.COMPLETED or not result.attempts else ""
            )
            line = f"  {_state(row['state'])} {name}  {row['agent']}  {said}".rstrip()
        self._draw(line)

    def _draw(self, line: str) -> None:
        if self._live is not None:
            if line.startswith("  !"):
                self._live.console.print(Text(line))
            self._live.update(self._table(), refresh=True)
        elif line:
            self._console.print(Text(line))

    def _table(self) -> RenderableType:
        table = Table(box=None, show_header=False, pad_edge=False)
        for name, row in self._tasks.items():
            table.add_row(
                _state(row["state"]), escape(name), escape(row["agent"]), Text(row["note"])
            )
        return Group(table)


def _task_name(run_id: str, task_id: str) -> str:
    """A task with the composite tasks that it is below: "research/fetch"."""
    return "/".join((*run_id.split("~")[1::2], task_id))


def _state(state: str) -> str:
    return f"{GLYPHS.get(state, '?')} {state}"


def _recalled(event: MemoryRecalled | ContextRecalled) -> str:
    if isinstance(event, ContextRecalled):
        told = counted(len(event.text.splitlines()[1:]), "note")
        return f"memory: {told} from earlier requests" if event.text else f"memory: {event.note}"
    if event.note:
        return f"memory: {event.note}"
    return (
        f"memory: {counted(len(event.patterns), 'pattern')}, "
        f"{counted(len(event.past), 'similar run')}, "
        f"{counted(event.attempts_known, 'attempt')} by agents"
    )


def _validated(event: PlanValidated) -> str:
    report = event.report
    word = "accepted" if event.accepted else "sent back"
    findings = "".join(f"\n  {finding.message}" for finding in report.findings)
    return f"plan {word}, quality {report.quality:.2f}{findings}"


def plan_tree(plan: Mapping[str, Any], ladders: Iterable[Ladder] = ()) -> Tree:
    """The plan by dependency: each task under the last task that it waits for."""
    chosen = {ladder.task_id: ladder for ladder in ladders}
    tree = Tree("[bold]plan[/bold]")
    nodes: dict[str, Tree] = {}
    for task in plan.get("tasks", ()):
        ladder = chosen.get(task["id"])
        who = _attempts(ladder) if ladder is not None else ""
        needs = task["depends_on"]
        also = f"  (also after {', '.join(needs[:-1])})" if len(needs) > 1 else ""
        parent = nodes[needs[-1]] if needs else tree
        sub = "  (a request of its own)" if task.get("operation") == SUB_REQUEST else ""
        label = (
            f"[bold]{escape(task['id'])}[/bold]{who}{also}{sub}\n  {escape(task['description'])}"
        )
        nodes[task["id"]] = parent.add(label)
    return tree


def _attempts(ladder: Ladder) -> str:
    """Who goes first, what all attempts are expected to come to, and what that saves."""
    rung, forecast = ladder.rungs[0], ladder.forecast
    model = f" with {rung.model}" if rung.model else ""
    seconds, usd = (forecast.seconds, forecast.usd) if forecast else (rung.seconds, rung.cost_usd)
    who = f"  [cyan]{escape(rung.agent + model)}[/cyan]  ~{seconds:.1f} s  ~${usd:.4f}"
    if forecast is None:
        return who
    more = len(ladder.rungs) - 1
    who += f"  ~{forecast.p_success:.0%} verified"
    if more:
        who += f" ({counted(more, 'attempt')} in reserve)"
    saved = forecast.saved_on_dearest_usd
    if saved >= _TOLD_USD:
        who += f"  saves ${saved:.4f} on {escape(forecast.dearest.who)} alone"
    return who


def critical_path_s(tasks: Iterable[TaskReport]) -> float:
    """Seconds of the longest chain of tasks: what no parallelism could have saved."""
    ends: dict[str, float] = {}
    for task in tasks:
        before = max((ends.get(need, 0.0) for need in task.depends_on), default=0.0)
        ends[task.id] = before + task.duration_s
    return max(ends.values(), default=0.0)


def receipt(result: OrchestrationResult, budget_usd: float | None = None) -> str:
    """One line: tasks, retries, time, money, run."""
    below = list(_below(result.tasks))
    retried = sum(len(task.attempts) > 1 for task in (*result.tasks, *below))
    within = f" and {len(below)} within {'them' if len(result.tasks) != 1 else 'it'}"
    parts = [counted(len(result.tasks), "task") + (within if below else "")]
    if retried:
        parts.append(f"{retried} retried")
    parts.append(f"{result.duration_s:.2f} s (critical path {critical_path_s(result.tasks):.2f} s)")
    limit = f" of ${budget_usd:.2f}" if budget_usd is not None else ""
    parts.append(f"${result.cost_usd:.4f}{limit}")
    if result.plan_source:
        parts.append(f"plan from {result.plan_source}")
    parts.append(f"run {result.run_id}")
    return ", ".join(parts)


def _below(tasks: Iterable[TaskReport]) -> Iterator[TaskReport]:
    """All tasks of requests within a request."""
    for task in tasks:
        for sub in task.sub_requests:
            yield from sub.tasks
            yield from _below(sub.tasks)


def failure_lines(result: OrchestrationResult) -> list[str]:
    """What went wrong, and the next command; a success may only lack its record."""
    if result.state in ("waiting", "interrupted"):
        return [f"warning: {error}" for error in result.errors]
    word = "warning" if result.success else "failed"
    lines = [f"{word}: {error}" for error in result.errors]
    if not result.success and result.version != "1.0":
        lines.append(f"why: genesis explain {result.run_id}")
    return lines
