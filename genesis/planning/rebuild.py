"""A chosen set of operations as tasks: those of the plan where they fit, new ones where not."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from genesis.planning.catalogue import Operation
from genesis.planning.dataflow import DataFlow
from genesis.planning.findings import shown
from genesis.planning.makespan import Derivation
from genesis.planning.problem import Problem
from genesis.tasks.dag import TaskDAG
from genesis.tasks.task import Task
from genesis.tasks.types import TaskType

_NO_ID = re.compile(r"[^A-Za-z0-9_.-]+")
_MAX_STEM = 74


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A plan made anew.

    Attributes:
        dag: the plan.
        changes: what differs from the old one, one sentence each.
        steps: what each task does, by id.
    """

    dag: TaskDAG
    changes: tuple[str, ...]
    steps: Mapping[str, int]


def rebuild(
    flow: DataFlow, repeated: Mapping[int, int], problem: Problem, found: Derivation
) -> Rebuilt:
    """The plan of the steps of a derivation.

    A task whose operation was chosen stays; one whose data another operation makes now keeps its
    id and words and is done by that; what is left over is dropped.

    Args:
        flow: the old plan's data flow.
        repeated: tasks that repeat others, with those.
        problem: what the steps are.
        found: the chosen steps, and which makes what.
    """
    places = _assigned(flow, repeated, problem, found.order)
    names = _named(flow, problem, found.order, places)
    kind = Counter(task.task_type for task in flow.tasks).most_common(1)
    tasks = [
        _task(step, flow, problem, found, places.get(step), names, kind[0][0] if kind else "")
        for step in found.order
    ]
    dag = TaskDAG(tasks, flow.given)
    changes = _changes(flow, repeated, places, {step: dag[names[step]] for step in found.order})
    return Rebuilt(dag, tuple(changes), {name: step for step, name in names.items()})


def _assigned(
    flow: DataFlow, repeated: Mapping[int, int], problem: Problem, order: Sequence[int]
) -> dict[int, int]:
    """The task that each step goes on with, by place."""
    places = {step: place for step, place in problem.places.items() if step in set(order)}
    free = [p for p in range(len(flow.tasks)) if p not in repeated and p not in places.values()]
    for step in (step for step in order if step not in places):
        operation = problem.operations[step]
        same = [
            place
            for place in free
            if flow.tasks[place].operation == operation.name
            and set(flow.produces[place]) <= set(operation.produces)
        ]
        if same:
            places[step] = same[0]
            free.remove(same[0])
    for step in (step for step in order if step not in places):
        made = set(problem.operations[step].produces)
        shared = {place: len(made & set(flow.produces[place])) for place in free}
        best = max(free, key=lambda place: shared[place], default=None)
        if best is not None and shared[best]:
            places[step] = best
            free.remove(best)
    return places


def _named(
    flow: DataFlow, problem: Problem, order: Sequence[int], places: Mapping[int, int]
) -> dict[int, str]:
    """An id for every step: its task's own unless that is no id or taken."""
    taken: set[str] = set()
    names: dict[int, str] = {}
    for step in sorted(order, key=lambda step: (step not in places, places.get(step, step))):
        place = places.get(step)
        wish = problem.operations[step].name if place is None else flow.tasks[place].id
        names[step] = fresh_id(wish, taken)
        taken.add(names[step])
    return names


def fresh_id(wish: str, taken: Collection[str]) -> str:
    """The name as an id that is not taken: "load", "load.2", "load.3"."""
    name = _NO_ID.sub("_", wish)[:80] or "task"
    number = 2
    while name in taken:
        name = f"{_NO_ID.sub('_', wish)[:_MAX_STEM]}.{number}"
        number += 1
    return name


def _task(
    step: int,
    flow: DataFlow,
    problem: Problem,
    found: Derivation,
    place: int | None,
    names: Mapping[int, str],
    kind: str,
) -> Task:
    operation = problem.operations[step]
    own = step in problem.places
    if place is None:
        task = Task(names[step], operation.description or operation.name, "", operation.name)
        requires, produces = operation.requires, operation.produces
    else:
        task = flow.tasks[place]
        # Data that come with the request are handed over even where they are not needed.
        extra = {d for d in flow.requires[place] if d in flow.given and (own or d in task.requires)}
        requires = _in_order(flow.requires[place], {*operation.requires, *extra})
        kept = set(flow.produces[place]) & set(operation.produces)
        produces = _in_order(flow.produces[place], kept | _used(step, operation, problem, found))
    makers = [problem.maker(found, datum) for datum in requires if datum not in flow.given]
    needs = {names[maker] for maker in makers if maker is not None}
    serves = not operation.task_types or (task.task_type or kind) in operation.task_types
    return replace(
        task,
        id=names[step],
        task_type=(task.task_type or kind or TaskType.GENERAL.value)
        if serves
        else operation.task_types[0],
        operation=task.operation if _does(task, operation) else operation.name,
        requires=tuple(n for d in requires for n in (_called(d, task) if own else [d])),
        produces=produces,
        depends_on=_in_order(task.depends_on, needs),
        bindings=task.bindings if own else (),
    )


def _called(datum: str, task: Task) -> list[str]:
    """The names under which a task is handed a datum."""
    return [name for name in task.requires if task.datum(name) == datum] or [datum]


def _does(task: Task, operation: Operation) -> bool:
    return task.operation == operation.name or not operation.produces


def _in_order(known: Sequence[str], wanted: set[str]) -> tuple[str, ...]:
    """The wanted names: in the order in which they were listed, new ones after them."""
    return (*dict.fromkeys(n for n in known if n in wanted), *sorted(wanted.difference(known)))


def _used(step: int, operation: Operation, problem: Problem, found: Derivation) -> set[str]:
    """The data of a step that the plan takes from it."""
    return {
        datum
        for datum in operation.produces
        if problem.maker(found, datum) == step and problem.is_used(found, datum)
    }


def _changes(
    flow: DataFlow,
    repeated: Mapping[int, int],
    places: Mapping[int, int],
    tasks: Mapping[int, Task],
) -> list[str]:
    found: list[str] = []
    step_of = {place: step for step, place in places.items()}
    taken_over = {datum: task.operation for task in tasks.values() for datum in task.produces}
    for place, old in enumerate(flow.tasks):
        if place in step_of:
            found += _altered(old, tasks[step_of[place]], flow, place)
        elif place in repeated:
            found.append(f"dropped {shown(old.id)}, which repeats {_id(flow, repeated[place])}")
        else:
            by = next((taken_over[d] for d in flow.produces[place] if d in taken_over), "")
            why = f"whose data {shown(by)} makes" if by else "whose result nobody needs"
            found.append(f"dropped {shown(old.id)}, {why}")
    for step, task in tasks.items():
        if step not in places:
            found.append(
                f"added {shown(task.id)}: {shown(task.operation)} makes "
                f"{', '.join(shown(datum) for datum in task.produces)}"
            )
    return found


def _id(flow: DataFlow, place: int) -> str:
    return shown(flow.tasks[place].id)


def _altered(old: Task, new: Task, flow: DataFlow, place: int) -> list[str]:
    found: list[str] = []
    name = shown(new.id)
    if old.id != new.id:
        found.append(f"renamed {shown(old.id)} to {name}")
    if old.operation != new.operation:
        found.append(f"{name} is done by {shown(new.operation)} instead of {shown(old.operation)}")
    for word, before, after in (
        ("requires", flow.requires[place], tuple(map(new.datum, new.requires))),
        ("makes", flow.produces[place], new.produces),
        ("waits for", old.depends_on, new.depends_on),
    ):
        if set(before) != set(after):
            found.append(f"{name} {word} {_listed(after)} instead of {_listed(before)}")
    if old.task_type != new.task_type:
        types = f"{shown(new.task_type)} instead of {shown(old.task_type)}"
        found.append(f"{name} has the task type {types}")
    if not found and old != new:
        found.append(f"{name} declares what its operation requires and makes")
    return found


def _listed(names: Sequence[str]) -> str:
    return ", ".join(shown(name) for name in dict.fromkeys(names)) or "nothing"
