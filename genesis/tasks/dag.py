"""TaskDAG: a plan that is valid when built and never changes afterwards."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import islice
from typing import cast

from genesis.errors import InvalidPlan
from genesis.tasks.task import Acceptance, Task
from infrastructure.jsonvalue import JsonObject, JsonValue

_TASK_ID = re.compile(r"[A-Za-z0-9_.-]{1,80}")
_SHOWN_IDS = 8
MAX_TASKS = 500


class TaskDAG:
    """Tasks and their dependencies.

    Built once and immutable: a changed plan is a new TaskDAG, so a rejected change cannot leave
    traces in the plan it was made from. Valid means: ids are well formed and unique, dependencies
    are known and do not go round in a circle, and whatever a task requires is given or produced
    upstream.

    Args:
        tasks: at least one, at most `MAX_TASKS`.
        given: names of the data that come with the request.

    Raises:
        InvalidPlan: says which task breaks which rule.
    """

    __slots__ = ("_by_id", "_order", "given")

    def __init__(self, tasks: Iterable[Task], given: Iterable[str] = ()) -> None:
        # One more than may be shows that there are too many, however many there are.
        listed = list(islice(tasks, MAX_TASKS + 1))
        self.given = frozenset(given)
        self._by_id = _by_id(listed)
        self._order = _topological(self._by_id)
        self._check_data()

    def _check_data(self) -> None:
        # Sets of tasks as bits of an integer: a plan of many edges is checked in no time.
        bits = {task_id: 1 << place for place, task_id in enumerate(self._order)}
        upstream: dict[str, int] = {}
        makers: dict[str, int] = {}
        for task in self:
            before = 0
            for dependency in task.depends_on:
                before |= upstream[dependency] | bits[dependency]
            upstream[task.id] = before
            # Whoever makes a datum upstream comes earlier in the order, so it is known by now.
            for name in map(task.datum, task.requires):
                if name not in self.given and not makers.get(name, 0) & before:
                    raise InvalidPlan(
                        f"task {task.id!r} requires {name!r}, which is neither given with the "
                        "request nor produced by a task it depends on"
                    )
            for name in task.produces:
                makers[name] = makers.get(name, 0) | bits[task.id]

    def __iter__(self) -> Iterator[Task]:
        """Tasks in topological order; ties keep the order in which they were given."""
        return (self._by_id[task_id] for task_id in self._order)

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, task_id: object) -> bool:
        return task_id in self._by_id

    def __getitem__(self, task_id: str) -> Task:
        return self._by_id[task_id]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TaskDAG):
            return NotImplemented
        return self._by_id == other._by_id and self.given == other.given

    def __hash__(self) -> int:
        return hash((self.given, self._order))

    def __repr__(self) -> str:
        return f"TaskDAG({', '.join(self._order)})"

    def descendants(self, task_id: str) -> frozenset[str]:
        """Ids of all tasks that need `task_id`, directly or not."""
        found: set[str] = set()
        for task in self:
            if task.id != task_id and (found | {task_id}) & set(task.depends_on):
                found.add(task.id)
        return frozenset(found)

    @property
    def depth(self) -> int:
        """Tasks on the longest path."""
        level: dict[str, int] = {}
        for task in self:
            level[task.id] = 1 + max((level[d] for d in task.depends_on), default=0)
        return max(level.values())

    def to_json(self) -> JsonObject:
        """Plain JSON that `from_json` reads back to an equal plan."""
        return {"given": sorted(self.given), "tasks": [_task_to_json(task) for task in self]}

    @classmethod
    def from_json(cls, value: JsonObject) -> TaskDAG:
        """Read what `to_json` wrote.

        Raises:
            InvalidPlan: it is not a plan, or not a valid one.
        """
        try:
            listed = cast("list[JsonObject]", value["tasks"])
            tasks = [_task_from_json(task) for task in islice(listed, MAX_TASKS + 1)]
            given = [str(name) for name in cast("list[JsonValue]", value.get("given", []))]
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise InvalidPlan(f"not a stored plan: {error!r}") from error
        return cls(tasks, given)


def _by_id(tasks: Sequence[Task]) -> dict[str, Task]:
    if not tasks:
        raise InvalidPlan("a plan needs at least one task")
    if len(tasks) > MAX_TASKS:
        raise InvalidPlan(f"a plan has at most {MAX_TASKS} tasks, this one has more")
    found: dict[str, Task] = {}
    for task in tasks:
        if not _TASK_ID.fullmatch(task.id):
            raise InvalidPlan(
                f"task id {task.id[:80]!r} is not made of 1 to 80 letters, digits, '_', '-' or '.'"
            )
        if task.id in found:
            raise InvalidPlan(f"task id {task.id!r} is used more than once")
        found[task.id] = task
    for task in tasks:
        for dependency in task.depends_on:
            if dependency not in found:
                raise InvalidPlan(
                    f"task {task.id!r} depends on {dependency[:80]!r}, which is not a task"
                )
            if dependency == task.id:
                raise InvalidPlan(f"task {task.id!r} depends on itself")
    return found


def _topological(tasks: Mapping[str, Task]) -> tuple[str, ...]:
    sorter = TopologicalSorter({task.id: task.depends_on for task in tasks.values()})
    try:
        return tuple(sorter.static_order())
    except CycleError as error:
        cycle = cast("list[str]", error.args[1])
        raise InvalidPlan(f"the plan has a cycle: {_shown(cycle)}") from error


def _shown(ids: Sequence[str]) -> str:
    """A line of ids; its middle is left out when it is long."""
    if len(ids) > _SHOWN_IDS:
        ids = [*ids[: _SHOWN_IDS // 2], "...", *ids[-_SHOWN_IDS // 2 :]]
    return " -> ".join(ids)


def _task_to_json(task: Task) -> JsonObject:
    return {
        "id": task.id,
        "description": task.description,
        "task_type": task.task_type,
        "operation": task.operation,
        "requires": list(task.requires),
        "produces": list(task.produces),
        "depends_on": list(task.depends_on),
        "acceptance": [{"check": a.check, "params": a.params} for a in task.acceptance],
        "timeout_s": task.timeout_s,
        **({"request": task.request} if task.request else {}),
        **({"bindings": dict(task.bindings)} if task.bindings else {}),
    }


def _names(value: JsonObject, key: str) -> tuple[str, ...]:
    listed = value.get(key, [])
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        raise ValueError(f"{key!r} must be a list of names")
    return tuple(cast("list[str]", listed))


def _bindings(value: JsonObject) -> tuple[tuple[str, str], ...]:
    pairs = value.get("bindings") or {}
    if not isinstance(pairs, Mapping) or not all(isinstance(d, str) for d in pairs.values()):
        raise ValueError("'bindings' must map names to names")
    return tuple((name, str(datum)) for name, datum in pairs.items())


def _task_from_json(value: JsonObject) -> Task:
    timeout = value.get("timeout_s")
    acceptance = cast("list[JsonObject]", value.get("acceptance") or [])
    return Task(
        id=str(value["id"]),
        description=str(value["description"]),
        task_type=str(value["task_type"]),
        operation=str(value.get("operation") or ""),
        requires=_names(value, "requires"),
        produces=_names(value, "produces"),
        depends_on=_names(value, "depends_on"),
        acceptance=tuple(
            Acceptance(str(a["check"]), cast("JsonObject", a.get("params") or {}))
            for a in acceptance
        ),
        timeout_s=None if timeout is None else float(cast("float", timeout)),
        request=str(value.get("request") or ""),
        bindings=_bindings(value),
    )
