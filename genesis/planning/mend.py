"""AOP: what can be put right in a plan without making another one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from genesis.errors import InputError, InvalidPlan
from genesis.planning.catalogue import Catalogue, Offers, Operation
from genesis.planning.dataflow import PlanDraft, trace
from genesis.planning.edges import derive_edges
from genesis.planning.findings import ValidationReport
from genesis.planning.problem import Problem
from genesis.planning.rebuild import fresh_id
from genesis.planning.redundancy import without
from genesis.planning.selection import Wish, select
from genesis.tasks.dag import TaskDAG
from genesis.tasks.task import Task


def drop_superfluous(dag: TaskDAG, report: ValidationReport) -> tuple[TaskDAG, tuple[str, ...]]:
    """The plan without its duplicate and dead tasks, and what was changed, one sentence each.

    What waited for a duplicate waits for the task it repeats. The plan itself is never changed,
    and stays as it is where nothing of it is of use: the report says so.
    """
    duplicates = {f.task_id: f.other for f in report.of_kind("duplicate")}
    dead = [f.task_id for f in report.of_kind("dead")]
    gone = duplicates | dict.fromkeys(dead, "")
    if not gone or len(gone) == len(dag):
        return dag, ()
    mended = without(dag, gone)
    changes = [f"dropped {i!r}, which repeats {first!r}" for i, first in duplicates.items()]
    changes += [f"dropped {i!r}, whose result nobody uses or asks for" for i in dead]
    return mended, tuple(changes)


def fill_gaps(
    dag: TaskDAG, report: ValidationReport, catalogue: Catalogue
) -> tuple[TaskDAG, tuple[str, ...]]:
    """The plan with the cheapest operations that make what it lacks.

    Tasks that nobody can do are replaced; data that are asked for and not made get the tasks that
    make them. All other tasks, and the order in which they wait for each other, stay.

    Args:
        dag: the plan, which is not changed.
        report: what is wrong with it.
        catalogue: the operations.

    Returns:
        the plan and what was changed, one sentence each; unchanged where no operations make
        what it lacks.
    """
    lost = [dag[f.task_id] for f in report.of_kind("unsolvable", "unknown_operation")]
    asked = [f.datum for f in report.of_kind("incomplete")]
    if not lost and not asked:
        return dag, ()
    kept = [task for task in dag if task not in lost]
    needed = {name for task in kept for name in task.requires}
    wanted = [d for t in lost for d in t.produces if d in needed or not _remade(d, kept)]
    if not all(task.produces for task in lost):
        return dag, ()
    try:
        new = _cheapest(kept, dag.given, [*asked, *wanted], catalogue)
        return _with(dag, kept, lost, new)
    except (InvalidPlan, InputError):
        return dag, ()  # the report says what is wrong; nothing here makes it right


def _remade(datum: str, tasks: Iterable[Task]) -> bool:
    return any(datum in task.produces for task in tasks)


def _cheapest(
    kept: Sequence[Task], given: Collection[str], wanted: Sequence[str], catalogue: Catalogue
) -> list[Operation]:
    """The operations to add, in the order in which they can be done.

    Raises:
        InvalidPlan: none make what is wanted.
    """
    there = [
        Operation(f"task {task.id}", task.requires, task.produces, seconds=0)
        for task in kept
        if task.produces
    ]
    flow = trace(PlanDraft((), frozenset(given), tuple(dict.fromkeys(wanted))))
    problem = Problem(flow, (), Offers([*there, *catalogue.operations]))
    free = {n for n, operation in enumerate(problem.operations) if operation in there}
    steps = [replace(s, weight=0) if n in free else s for n, s in enumerate(problem.steps)]
    chosen = select(steps, problem.goals, Wish(soonest=False)).steps or ()
    order = problem.derivation(chosen).order
    return [problem.operations[n] for n in order if n not in free]


def _with(
    dag: TaskDAG, kept: Sequence[Task], lost: Sequence[Task], new: Sequence[Operation]
) -> tuple[TaskDAG, tuple[str, ...]]:
    tasks = {task.id: task for task in kept}
    taken, open_lost = set(tasks), list(lost)
    instead: dict[str, list[str]] = {task.id: [] for task in lost}
    changes: list[str] = []
    for operation in new:
        old = next((t for t in open_lost if set(t.produces) & set(operation.produces)), None)
        if old is not None:
            open_lost.remove(old)
            changes.append(f"{old.id!r} is done by {operation.name!r} instead of {old.operation!r}")
        else:
            made = ", ".join(operation.produces)
            changes.append(f"added {operation.name!r}, which makes {made}")
        task = _task(operation, old, kept[0] if kept else lost[0], taken)
        taken.add(task.id)
        tasks[task.id] = task
        for one in lost:
            if set(one.produces) & set(operation.produces):
                instead[one.id].append(task.id)
    changes += [f"dropped {task.id!r}, whose data others make" for task in open_lost]
    linked = [_relinked(task, instead) for task in tasks.values()]
    return TaskDAG(derive_edges(linked, settled=dag.given), dag.given), tuple(changes)


def _task(operation: Operation, old: Task | None, beside: Task, taken: Collection[str]) -> Task:
    if old is not None:
        return replace(
            old,
            operation=operation.name,
            requires=operation.requires,
            produces=tuple(dict.fromkeys((*old.produces, *operation.produces)))
            if set(old.produces) <= set(operation.produces)
            else operation.produces,
        )
    serves = not operation.task_types or beside.task_type in operation.task_types
    return Task(
        id=fresh_id(operation.name, taken),
        description=operation.description or operation.name,
        task_type=beside.task_type if serves else operation.task_types[0],
        operation=operation.name,
        requires=operation.requires,
        produces=operation.produces,
    )


def _relinked(task: Task, instead: Mapping[str, Sequence[str]]) -> Task:
    """The task waiting for those that make a lost task's data where it waited for that."""
    waits = [new for old in task.depends_on for new in instead.get(old, (old,))]
    return replace(task, depends_on=tuple(dict.fromkeys(n for n in waits if n != task.id)))
