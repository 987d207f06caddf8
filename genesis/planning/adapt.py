"""Fits a past plan to a new request: its words and data change, its tasks and their order stay."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from genesis.errors import PlanningError
from genesis.planning.data_names import kinds_of
from genesis.planning.part_plan import bound
from genesis.planning.parts import Part
from genesis.planning.planner import Goal, PastPlan
from genesis.tasks.capability import skills_for, wanted
from genesis.tasks.dag import TaskDAG
from genesis.tasks.phrases import words_of
from genesis.tasks.task import Task
from infrastructure.a2a.agent import AgentCard
from infrastructure.text import counted, one_line

_REQUEST_CHARS = 500
_MIN_WORD = 4
_FILE = re.compile(r"[\w./-]*\w\.(\w{1,8})\b")


@dataclass(frozen=True, slots=True)
class Declared:
    """What the configuration says of operations.

    Attributes:
        descriptions: by operation.
        optional: data that are handed over when they are at hand, by task id and operation.
    """

    descriptions: Mapping[str, str] = field(default_factory=dict[str, str])
    optional: Mapping[tuple[str, str], tuple[str, ...]] = field(
        default_factory=dict[tuple[str, str], tuple[str, ...]]
    )

    def optional_of(self, task: Task) -> tuple[str, ...]:
        """The optional data of a task; a second of its kind ("write-2") has the same."""
        return self.optional.get((re.sub(r"-\d+$", "", task.id), task.operation), ())


@dataclass(frozen=True, slots=True)
class Adaptation:
    """A plan to be fitted: where it comes from, and to what."""

    old: TaskDAG
    past: PastPlan
    goal: Goal
    parts: Sequence[Part]
    cards: Sequence[AgentCard]
    declared: Declared


@dataclass(frozen=True, slots=True)
class Adapted:
    """A fitted plan, and what was kept and changed, one sentence each."""

    dag: TaskDAG
    changes: tuple[str, ...]


def parts_of(dag: TaskDAG) -> dict[str, list[Task]]:
    """The tasks of a plan by the passage that they serve; one empty passage for a whole."""
    found: dict[str, list[Task]] = {}
    for task in dag:
        found.setdefault(task.request, []).append(task)
    return found


def adapt(given: Adaptation) -> Adapted:
    """The past plan for the new request.

    Raises:
        PlanningError: nobody offers an operation any more, or its parts do not match.
        InvalidPlan: it needs data that are not at hand.
    """
    served = _served(given)
    groups = [
        [_fitted(task, given, part, words) for task in tasks] for part, words, tasks in served
    ]
    if len(given.parts) > 1:
        groups = [
            list(bound(part, tasks, groups))
            for (part, _, _), tasks in zip(served, groups, strict=True)
        ]
    by_id = {task.id: task for tasks in groups for task in tasks}
    tasks = [by_id[task.id] for task in given.old]
    dag = TaskDAG(tasks, given.goal.given)
    for task in dag:
        if not skills_for(task, given.cards):
            raise PlanningError(f"no agent offers {wanted(task)} any more")
    return Adapted(dag, tuple(_told(given, tasks)))


def _served(given: Adaptation) -> list[tuple[Part, str, list[Task]]]:
    """Each part of the new request with the passage and the tasks that served the like of it."""
    groups = parts_of(given.old)
    if len(given.parts) == 1 and len(groups) == 1:
        ((words, tasks),) = groups.items()
        return [(given.parts[0], words or given.past.request, tasks)]
    found: list[tuple[Part, str, list[Task]]] = []
    for part in given.parts:
        match = next(
            (words for words, tasks in groups.items() if words and _makes(tasks, part)), None
        )
        if match is None:
            raise PlanningError(f"no part of its own makes {', '.join(part.asked)}")
        found.append((part, match, groups.pop(match)))
    if groups:
        raise PlanningError(f"it had {len(parts_of(given.old))} parts, this has {len(found)}")
    _same_order(given.old, found)
    return found


def _makes(tasks: Sequence[Task], part: Part) -> bool:
    return {name for task in tasks for name in task.produces}.issuperset(part.asked)


def _same_order(old: TaskDAG, served: Sequence[tuple[Part, str, Sequence[Task]]]) -> None:
    """A part that refers to what others make waited for them before, and no other did."""
    group = {task.id: number for number, (_, _, tasks) in enumerate(served) for task in tasks}
    for number, (part, _, tasks) in enumerate(served):
        before = {group[d] for task in tasks for d in task.depends_on} - {number}
        if any(other > number for other in before) or bool(before) > (part.back or part.later):
            raise PlanningError("its parts waited for each other in another way")
        if part.back and not before and number and not _from_data(tasks, part):
            raise PlanningError("its parts did not use what other parts made, this one's do")


def _from_data(tasks: Sequence[Task], part: Part) -> bool:
    return any(name in part.data for task in tasks for name in task.requires)


def _fitted(task: Task, given: Adaptation, part: Part, before: str) -> Task:
    """One task with the data and words of the new request."""
    at_hand = kinds_of(part.data)
    optional = given.declared.optional_of(task)
    made = {name for other in given.old for name in other.produces} - set(task.produces)
    kept = [name for name in task.requires if name not in optional or name in at_hand | made]
    added = [name for name in optional if name in at_hand and name not in kept]
    task = replace(task, requires=(*kept, *added), bindings=())
    words = part.words or given.goal.request
    task = replace(task, description=_described(task, before, words, given.declared.descriptions))
    if task.task_type == given.past.task_type != part.task_type:
        of_now = replace(task, task_type=part.task_type)
        task = of_now if skills_for(of_now, given.cards) else task
    return task


def _described(task: Task, before: str, now: str, declared: Mapping[str, str]) -> str:
    """The task in words that fit the new request."""
    if task.operation in declared:
        return declared[task.operation] if task.operation else task.description
    text = _refilled(task.description.replace(before, now), before, now)
    stale = _content(before) - _content(now)
    if stale & _content(text):
        name = task.operation.replace("_", " ") or "work"
        return f"Do the {name} of this request: {one_line(now, _REQUEST_CHARS)}"
    return text


def _content(text: str) -> set[str]:
    return {word for word in words_of(text) if len(word) >= _MIN_WORD}


def _refilled(text: str, before: str, now: str) -> str:
    """A description with the file names of the old request replaced by those of the new one."""
    new = list(_FILE.finditer(now))
    for old in _FILE.finditer(before):
        same_kind = next((m for m in new if m.group(1) == old.group(1)), None)
        if same_kind is not None:
            text = text.replace(old.group(), same_kind.group())
    return text


def _told(given: Adaptation, tasks: Sequence[Task]) -> list[str]:
    """What was kept and what was changed."""
    old = given.old
    listed = ", ".join(task.id for task in tasks)
    changes = [f"kept the {counted(len(tasks), 'task')} {listed} and their order"]
    described = [task.id for task in tasks if task.description != old[task.id].description]
    if described:
        changes.append(f"described {', '.join(described)} anew for this request")
    for task in tasks:
        more = [name for name in task.requires if name not in old[task.id].requires]
        less = [name for name in old[task.id].requires if name not in task.requires]
        changes += [f"{task.id} is given {', '.join(more)} as well"] if more else []
        changes += [f"{task.id} goes without {', '.join(less)}"] if less else []
        pairs = [f"{datum} as {name}" for name, datum in task.bindings if name != datum]
        changes += [f"{task.id} takes {', '.join(pairs)}"] if pairs else []
    if given.goal.given:
        changes.append(f"{', '.join(sorted(given.goal.given))} taken from this request")
    return changes
