"""The tasks of a request in parts: those of each part, and what has to wait for what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from genesis.planning.edges import derive_edges
from genesis.planning.parts import Part
from genesis.planning.planner import Goal
from genesis.tasks.task import Task
from infrastructure.text import one_line

_SHOWN_CHARS = 60


def plan_parts(
    goal: Goal, parts: Sequence[Part], tasks_of: Callable[[Goal, Part], Sequence[Task]]
) -> tuple[Task, ...]:
    """The tasks of all parts with their edges.

    Parts are independent, and so at work at once, unless one uses what another makes: because its
    words refer back to it, or because they put it later ("then") and it works on what the other
    makes. "Then" between parts that share nothing orders nothing.

    Args:
        goal: the whole request.
        parts: what it asks for; a single one is planned with the goal as it is.
        tasks_of: the tasks for one part, from a goal of its words, type and data.
    """
    if len(parts) == 1:
        return derive_edges(tasks_of(replace(goal, task_type=parts[0].task_type), parts[0]))
    planned: list[tuple[Task, ...]] = []
    taken: set[str] = set()
    for part in parts:
        own = replace(
            goal, request=part.words, task_type=part.task_type, given=part.given(goal.given)
        )
        tasks = _renamed(derive_edges(tasks_of(own, part)), taken)
        taken.update(task.id for task in tasks)
        planned.append(tuple(tasks))
    ready = [bound(part, tasks, planned) for part, tasks in zip(parts, planned, strict=True)]
    return tuple(task for n, tasks in enumerate(ready) for task in _ordered(tasks, parts, n, ready))


def told(parts: Sequence[Part]) -> str:
    """The parts in words."""
    listed = "; ".join(
        f"{one_line(part.words, _SHOWN_CHARS)!r} asks for {', '.join(part.asked)}" for part in parts
    )
    return f"the request has {len(parts)} parts: {listed}"


def _renamed(tasks: Sequence[Task], taken: Iterable[str]) -> list[Task]:
    """The tasks under ids that no other part has: "profile", "profile-2"."""
    used = set(taken)
    names: dict[str, str] = {}
    for task in tasks:
        number, name = 1, task.id
        while name in used:
            number += 1
            name = f"{task.id}-{number}"
        used.add(name)
        names[task.id] = name
    return [
        replace(task, id=names[task.id], depends_on=tuple(names[d] for d in task.depends_on))
        for task in tasks
    ]


def bound(part: Part, tasks: Sequence[Task], planned: Sequence[Sequence[Task]]) -> tuple[Task, ...]:
    """The tasks of a part with its words, and with the given data that they take.

    It is said which datum is meant wherever the name alone does not tell it.

    Args:
        part: what the tasks are for.
        tasks: its tasks.
        planned: the tasks of all parts.
    """
    own = {name for task in tasks for name in task.produces}
    made = {name for others in planned for task in others for name in task.produces} - own

    def pairs(task: Task) -> tuple[tuple[str, str], ...]:
        taken = ((name, part.data[name]) for name in task.requires if name in part.data)
        return tuple((n, datum) for n, datum in taken if n not in own and (datum != n or n in made))

    return tuple(replace(task, request=part.words, bindings=pairs(task)) for task in tasks)


def _ordered(
    tasks: Sequence[Task], parts: Sequence[Part], number: int, planned: Sequence[Sequence[Task]]
) -> list[Task]:
    """The tasks of a part, waiting for the parts before it whose work they build on."""
    part = parts[number]
    before: list[str] = []
    used: list[str] = []
    times = Counter(name for other in planned for task in other for name in task.produces)
    for other, its_tasks in zip(parts[:number], planned[:number], strict=True):
        made = {name for task in its_tasks for name in task.produces}
        needed = {name for task in tasks for name in task.requires}
        refers = part.back and not needed & set(part.data)
        if refers:
            used += [name for name in other.asked if times[name] == 1]
        if refers or (part.later and not made.isdisjoint(needed)):
            before += _last(its_tasks)
    if not before:
        return list(tasks)
    ids = {task.id for task in tasks}
    return [
        task
        if ids.intersection(task.depends_on)
        else replace(
            task,
            requires=tuple(dict.fromkeys((*task.requires, *used))),
            depends_on=tuple(dict.fromkeys((*task.depends_on, *before))),
        )
        for task in tasks
    ]


def _last(tasks: Sequence[Task]) -> list[str]:
    """Those that no other of them waits for."""
    awaited = {name for task in tasks for name in task.depends_on}
    return [task.id for task in tasks if task.id not in awaited]
