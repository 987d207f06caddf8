"""What a plan could do without: tasks that repeat others, and tasks of which nothing is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from genesis.tasks.dag import TaskDAG
from genesis.tasks.task import Task


def originals(dag: TaskDAG) -> dict[str, str]:
    """For each task the first one that does the same work: itself unless it is a duplicate."""
    first_of: dict[tuple[object, ...], str] = {}
    found: dict[str, str] = {}
    upstream = _upstream(dag)
    for task in dag:
        # Two questions in words may well differ, so tasks without any name repeat nothing.
        named = task.operation or task.produces
        work = _work(task, dag, upstream[task.id], found) if named else (task.id,)
        found[task.id] = first_of.setdefault(work, task.id)
    return found


def _upstream(dag: TaskDAG) -> dict[str, frozenset[str]]:
    """All that each task waits for, directly or not."""
    found: dict[str, frozenset[str]] = {}
    for task in dag:
        found[task.id] = frozenset(task.depends_on).union(*(found[d] for d in task.depends_on))
    return found


def _work(
    task: Task, dag: TaskDAG, upstream: frozenset[str], found: Mapping[str, str]
) -> tuple[object, ...]:
    """What makes two tasks the same work: operation, and the very data that go in and come out."""
    sources = {found[u] for u in upstream if not set(dag[u].produces).isdisjoint(task.requires)}
    # Operations without declared data differ by their words.
    words = "" if task.requires or task.produces else task.description
    return (
        task.operation,
        task.task_type,
        frozenset(task.requires),
        frozenset(task.produces),
        frozenset(sources),
        words,
        task.request,
        task.bindings,
        repr(task.acceptance),
    )


def without_duplicates(dag: TaskDAG) -> TaskDAG:
    """The plan in which each work is done once."""
    return without(dag, {i: first for i, first in originals(dag).items() if i != first})


def without(dag: TaskDAG, gone: Mapping[str, str]) -> TaskDAG:
    """The plan less some tasks, each with the task that stands in for it (empty for none).

    What waited for a task that is gone waits for its stand-in, and for what that task itself
    waited for, so that all data stay upstream of those who need them.
    """
    tasks = {task.id: task for task in dag}
    for task_id, stand_in in gone.items():
        left = tasks.pop(task_id)
        instead = (stand_in, *left.depends_on) if stand_in else left.depends_on
        tasks = {i: _waiting_for(task, task_id, instead) for i, task in tasks.items()}
    return TaskDAG(tasks.values(), dag.given)


def _waiting_for(task: Task, gone: str, instead: Sequence[str]) -> Task:
    if gone not in task.depends_on:
        return task
    kept = [d for d in task.depends_on if d != gone]
    return replace(task, depends_on=tuple(dict.fromkeys((*kept, *instead))))


def dead_tasks(dag: TaskDAG, asked: Sequence[str]) -> list[Task]:
    """Tasks of which nothing is used or asked for; those that only feed such tasks as well.

    A plan that makes nothing of what is asked for misses its goal altogether: no part of it can
    be told to be dead.
    """
    if not any(name in asked for task in dag for name in task.produces):
        return []
    upstream = _upstream(dag)
    useful: list[Task] = []
    for task in reversed(list(dag)):
        needed = not task.produces or not set(task.produces).isdisjoint(asked)
        if needed or any(task.id in upstream[u.id] and _uses(u, task) for u in useful):
            useful.append(task)
    kept = {task.id for task in useful}
    return [task for task in dag if task.id not in kept]


def _uses(user: Task, maker: Task) -> bool:
    # A task that requires no data by name may use whatever those just before it made.
    if not user.requires:
        return maker.id in user.depends_on
    return not set(user.requires).isdisjoint(maker.produces)
