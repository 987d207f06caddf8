"""Planning a failed branch again while everything that finished is kept."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace

from genesis.errors import InvalidPlan, PlanningError
from genesis.planning.edges import derive_edges
from genesis.planning.planner import Goal
from genesis.tasks.dag import TaskDAG
from genesis.tasks.task import Task, TaskStatus

_NUMBERED = re.compile(r"\.\d+$")
_MAX_STEM = 74


def replace_failed(
    goal: Goal, ways: Callable[[str], Iterable[Task]]
) -> tuple[TaskDAG, tuple[str, ...]]:
    """The last plan with each failed task replaced by another way of making its data.

    Finished tasks keep their ids, so that their results still stand; tasks that waited for a
    failed one keep theirs and wait for its replacement.

    Args:
        goal: with `last`, `failed` and `finished`.
        ways: tasks that make a datum; those of the operation that failed are passed over.

    Returns:
        the new plan, and what was changed, one sentence each.

    Raises:
        PlanningError: a failed task's data can be made no other way.
    """
    if goal.last is None:
        raise PlanningError("there is no last plan of which a branch could be planned again")
    tasks = {task.id: task for task in goal.last}
    changes: list[str] = []
    for result in goal.failed:
        failed = tasks.get(result.task_id)
        if failed is None or result.status is TaskStatus.SKIPPED:
            continue  # what was skipped has only waited; it runs after the replacement
        other = _other_way(failed, goal.last, ways)
        tasks = {
            (other.id if task_id == failed.id else task_id): (
                other if task_id == failed.id else _rewired(task, failed.id, other.id)
            )
            for task_id, task in tasks.items()
        }
        changes.append(
            f"{failed.id!r} failed and is done by {other.operation!r} as {other.id!r} instead"
        )
    if not changes:
        raise PlanningError("no failed task is left in the plan that could be done another way")
    kept = [result.task_id for result in goal.finished if result.task_id in tasks]
    if kept:
        changes.append(f"kept the results of {', '.join(kept)}")
    try:
        return TaskDAG(derive_edges(tasks.values()), goal.last.given), tuple(changes)
    except InvalidPlan as error:
        raise PlanningError(f"the failed branch cannot be replaced: {error}") from error


def _other_way(failed: Task, last: TaskDAG, ways: Callable[[str], Iterable[Task]]) -> Task:
    obtainable = set(last.given).union(
        *(t.produces for t in last if t.id != failed.id and t.id not in last.descendants(failed.id))
    )
    for name in failed.produces:
        for way in ways(name):
            if way.operation in ("", failed.operation):
                continue
            if set(way.produces) >= set(failed.produces) and set(way.requires) <= obtainable:
                return replace(
                    way,
                    id=_fresh_id(failed.id, last),
                    produces=failed.produces,
                    depends_on=(),
                    parent=failed.parent,
                    acceptance=failed.acceptance or way.acceptance,
                )
    made = ", ".join(failed.produces) or "its answer"
    raise PlanningError(f"nothing else makes {made}, so task {failed.id!r} stays failed")


def _fresh_id(task_id: str, last: TaskDAG) -> str:
    """The task's id with the next free number: "load", "load.2", "load.3"."""
    stem = _NUMBERED.sub("", task_id)[:_MAX_STEM]
    number = 2
    while f"{stem}.{number}" in last:
        number += 1
    return f"{stem}.{number}"


def _rewired(task: Task, old: str, new: str) -> Task:
    return replace(task, depends_on=tuple(new if d == old else d for d in task.depends_on))
