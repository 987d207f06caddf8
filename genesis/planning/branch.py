"""Planning a failed branch again: what failed is replaced, what succeeded is kept.

A failed task is replaced by another that makes the same data, together with whatever that one
needs and nobody makes yet; the rest of the plan stays as it is. A composite task is replaced as
one task like any other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from genesis.errors import InvalidPlan, PlanningError
from genesis.planning.edges import derive_edges
from genesis.planning.planner import Goal, Plan, Planner, PlanRefused, first_plan
from genesis.tasks.dag import TaskDAG
from genesis.tasks.task import Task, TaskResult, TaskStatus

_NUMBERED = re.compile(r"\.\d+$")
_MAX_STEM = 74
_MAX_CHAIN = 10

Ways: TypeAlias = Callable[[str], Iterable[Task]]


async def plan_again(planners: Sequence[Planner], goal: Goal) -> tuple[Plan, tuple[str, ...]]:
    """The last plan with its failed branches made another way, and who could not make it.

    By the first planner that can replace all that failed; where none can, each failed task by the
    first that can replace this one.

    Args:
        planners: in the order in which they are asked.
        goal: with `last`, `failed` and `finished`.

    Raises:
        PlanRefused: a failed task can be replaced by none; says which and why.
    """
    failed = _to_replace(goal)
    try:
        return await first_plan(planners, goal)
    except PlanRefused as refused:
        if len(failed) < 2:
            raise
        paid, passed_over = refused.cost_usd, [str(refused)]
    plans: list[Plan] = []
    for result in failed:
        last = plans[-1].dag if plans else goal.last
        try:
            plan, reasons = await first_plan(planners, replace(goal, last=last, failed=(result,)))
        except PlanRefused as refused:
            raise PlanRefused(str(refused), paid + refused.cost_usd) from refused
        plans.append(plan)
        paid += plan.cost_usd
        passed_over += reasons
    joined = replace(
        plans[-1],
        reason="; ".join(dict.fromkeys(plan.reason for plan in plans)),
        changes=tuple(dict.fromkeys(change for plan in plans for change in plan.changes)),
        cost_usd=paid,
    )
    return joined, tuple(dict.fromkeys(passed_over))


def replace_failed(goal: Goal, ways: Ways) -> tuple[TaskDAG, tuple[str, ...]]:
    """The last plan with each failed task replaced by another way of making its data.

    Finished tasks keep their ids, so that their results still stand; tasks that waited for a
    failed one keep theirs and wait for its replacement. What failed earlier in the run is no other
    way, and its ids are not given again.

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
    gone = {task.id for task, _ in goal.abandoned}
    changes: list[str] = []
    for result in _to_replace(goal):
        failed = tasks[result.task_id]
        way, *helpers = _other_way(failed, goal, tasks, ways)
        new = _in_place_of(failed, way, gone | tasks.keys())
        tasks = _with(tasks, failed, new, helpers, gone)
        first = f", after {', '.join(repr(h.operation) for h in helpers)}" if helpers else ""
        changes.append(
            f"{failed.id!r} failed and is done by {new.operation!r} as {new.id!r} instead{first}"
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


def _to_replace(goal: Goal) -> list[TaskResult]:
    """What failed by itself; what was skipped has only waited and runs after the replacement."""
    return [
        result
        for result in goal.failed
        if result.status is not TaskStatus.SKIPPED
        and goal.last is not None
        and result.task_id in goal.last
    ]


def _other_way(failed: Task, goal: Goal, tasks: Mapping[str, Task], ways: Ways) -> tuple[Task, ...]:
    """The task that does it instead, and before it whatever else that one needs."""
    assert goal.last is not None
    waiting = goal.last.descendants(failed.id) | {failed.id}
    obtainable = goal.last.given.union(
        *(task.produces for task in tasks.values() if task.id not in waiting)
    )
    made = set(failed.produces)
    tried = [failed, *(task for task, _ in goal.abandoned if made & set(task.produces))]
    found: list[tuple[Task, ...]] = []
    for way in ways(failed.produces[0]) if failed.produces else ():
        if not set(way.produces) >= made or not all(_is_other(way, task) for task in tried):
            continue
        helpers = _helpers(way, obtainable, ways, failed)
        if helpers is not None:
            found.append((way, *helpers))
    if not found:
        asked = ", ".join(failed.produces) or "its answer"
        raise PlanningError(f"nothing else makes {asked}, so task {failed.id!r} stays failed")
    return min(found, key=len)


def _is_other(way: Task, failed: Task) -> bool:
    if way.composite and failed.composite:
        return way.description != failed.description
    return way.operation not in ("", failed.operation)


def _helpers(
    way: Task, obtainable: frozenset[str], ways: Ways, failed: Task
) -> tuple[Task, ...] | None:
    """Tasks that make what `way` needs and nobody makes; None when that cannot be made."""
    found: list[Task] = []
    pending = list(way.requires)
    while pending:
        name = pending.pop(0)
        if name in obtainable or any(name in task.produces for task in found):
            continue
        makers = (m for m in ways(name) if _is_other(m, failed) and m.operation != way.operation)
        maker = next(makers, None)
        if maker is None or len(found) == _MAX_CHAIN:
            return None
        found.append(maker)
        pending += maker.requires
    return tuple(found)


def _in_place_of(failed: Task, way: Task, taken: Collection[str]) -> Task:
    return replace(
        way,
        id=_fresh_id(failed.id, taken),
        produces=failed.produces,
        depends_on=(),
        acceptance=failed.acceptance or way.acceptance,
        request=failed.request,
        bindings=tuple(pair for pair in failed.bindings if pair[0] in way.requires),
    )


def _with(
    tasks: Mapping[str, Task],
    failed: Task,
    new: Task,
    helpers: Sequence[Task],
    gone: Collection[str],
) -> dict[str, Task]:
    changed: dict[str, Task] = {}
    for task in tasks.values():
        if task.id != failed.id:
            changed[task.id] = _rewired(task, failed.id, new.id)
            continue
        for helper in reversed(helpers):
            taken = {*tasks, *changed, *gone}
            free = helper.id if helper.id not in taken else _fresh_id(helper.id, taken)
            changed[free] = replace(helper, id=free, depends_on=())
        changed[new.id] = new
    return changed


def _fresh_id(task_id: str, taken: Collection[str]) -> str:
    """The task's id with the next free number: "load", "load.2", "load.3"."""
    stem = _NUMBERED.sub("", task_id)[:_MAX_STEM]
    number = 2
    while f"{stem}.{number}" in taken:
        number += 1
    return f"{stem}.{number}"


def _rewired(task: Task, old: str, new: str) -> Task:
    return replace(task, depends_on=tuple(new if d == old else d for d in task.depends_on))
