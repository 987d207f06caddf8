"""How soon operations can make data, and how soon a few workers can do a plan's tasks."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from genesis.tasks.dag import TaskDAG

Optimality: TypeAlias = Literal["exact", "heuristic"]

_EXACT_TASKS = 8
_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Step:
    """An operation by numbers, so that sums are exact.

    Attributes:
        requires: numbers of the data it needs that are not given.
        produces: numbers of the data it makes.
        time: its duration, nanoseconds.
        weight: its price, with ties broken in the last digits.
    """

    requires: tuple[int, ...]
    produces: tuple[int, ...]
    time: int
    weight: int


@dataclass(frozen=True, slots=True)
class Derivation:
    """A way of making data, each by the best operation.

    Attributes:
        value: of each datum that can be made.
        maker: the step that makes it.
        order: the steps that can be taken, each after those whose data it needs.
    """

    value: Mapping[int, int]
    maker: Mapping[int, int]
    order: Sequence[int]

    def steps_for(self, goals: Sequence[int], steps: Sequence[Step]) -> set[int]:
        """The steps by which the goals are made."""
        found: set[int] = set()
        pending = list(goals)
        while pending:
            step = self.maker[pending.pop()]
            if step not in found:
                found.add(step)
                pending.extend(steps[step].requires)
        return found


def derive(
    steps: Sequence[Step],
    usable: Collection[int],
    cost: Callable[[int], int],
    joined: Callable[[Sequence[int]], int] = max,
) -> Derivation:
    """The least value of every datum, where a step's is its cost plus the joined ones it needs.

    Knuth's generalisation of Dijkstra's algorithm (1977). Joined by `max`, with durations as
    costs, it gives how soon each datum can be there when any number of steps go on at once:
    exactly, in time O(m log m) for m requirements. Joined by `sum`, with prices, it gives upper
    bounds only, for what two steps share is counted twice.

    Args:
        steps: the operations.
        usable: numbers of those that may be used.
        cost: of a step, by number; not negative.
        joined: of a list of values that is not empty.
    """
    waiting: dict[int, int] = {}
    needed_by: dict[int, list[int]] = {}
    heap: list[tuple[int, int]] = []
    for number in usable:
        requires = steps[number].requires
        if requires:
            waiting[number] = len(requires)
            for datum in requires:
                needed_by.setdefault(datum, []).append(number)
        else:
            heap.append((cost(number), number))
    heapq.heapify(heap)
    value: dict[int, int] = {}
    maker: dict[int, int] = {}
    order: list[int] = []
    while heap:
        reached, number = heapq.heappop(heap)
        order.append(number)
        for datum in steps[number].produces:
            if datum in value:
                continue
            value[datum], maker[datum] = reached, number
            for user in needed_by.get(datum, ()):
                waiting[user] -= 1
                if not waiting[user]:
                    before = joined([value[d] for d in steps[user].requires])
                    heapq.heappush(heap, (before + cost(user), user))
    return Derivation(value, maker, order)


@dataclass(frozen=True, slots=True)
class Schedule:
    """When each task starts.

    Attributes:
        starts: seconds from the start of the plan, by task id.
        makespan: seconds until the last task ends.
        optimality: "exact" when no schedule of these tasks ends sooner, "heuristic" when that
            is not known.
        at_least: seconds that any schedule takes.
    """

    starts: Mapping[str, float]
    makespan: float
    optimality: Optimality
    at_least: float


def schedule(dag: TaskDAG, seconds: Mapping[str, float], workers: int | None = None) -> Schedule:
    """The shortest schedule of a plan.

    With a worker for every task each starts when the last that it waits for ends, which is
    optimal. With fewer, up to 8 tasks are tried in every order that can matter; more are taken
    by the longest path behind them (list scheduling, at most 2 - 1 / workers times the optimum:
    Graham, 1969), which is exact whenever it reaches the lower bound.

    Args:
        dag: the plan.
        seconds: of each task, by id.
        workers: tasks that can run at once; None for any number.
    """
    longest = _free(dag, seconds)
    bound = max((longest[task.id] + seconds[task.id] for task in dag), default=0.0)
    if workers is None or workers >= len(dag):
        return Schedule(longest, bound, "exact", bound)
    bound = max(bound, sum(seconds[task.id] for task in dag) / workers)
    tails = _tails(dag, seconds)
    order = sorted((task.id for task in dag), key=lambda name: -tails[name])
    starts = _by_list(dag, seconds, workers, order)
    if len(dag) <= _EXACT_TASKS and _end(starts, seconds) > bound + _TOLERANCE:
        starts = _OrderSearch(dag, seconds, workers, tails, starts).best()
        bound = _end(starts, seconds)
    end = _end(starts, seconds)
    return Schedule(starts, end, "exact" if end <= bound + _TOLERANCE else "heuristic", bound)


def _end(starts: Mapping[str, float], seconds: Mapping[str, float]) -> float:
    return max((start + seconds[name] for name, start in starts.items()), default=0.0)


def _free(dag: TaskDAG, seconds: Mapping[str, float]) -> dict[str, float]:
    starts: dict[str, float] = {}
    for task in dag:
        starts[task.id] = max((starts[d] + seconds[d] for d in task.depends_on), default=0.0)
    return starts


def _tails(dag: TaskDAG, seconds: Mapping[str, float]) -> dict[str, float]:
    """Seconds from each task's start to the end of the longest path behind it."""
    behind: dict[str, float] = {}
    for task in reversed(list(dag)):
        behind[task.id] = behind.get(task.id, 0.0) + seconds[task.id]
        for need in task.depends_on:
            behind[need] = max(behind.get(need, 0.0), behind[task.id])
    return behind


def _by_list(
    dag: TaskDAG, seconds: Mapping[str, float], workers: int, order: Sequence[str]
) -> dict[str, float]:
    """Whenever a worker is free it takes the first task of the list that is ready."""
    rank = {name: n for n, name in enumerate(order)}
    waiting = {task.id: len(set(task.depends_on)) for task in dag}
    users: dict[str, list[str]] = {}
    for task in dag:
        for need in set(task.depends_on):
            users.setdefault(need, []).append(task.id)
    ready = [rank[name] for name, count in waiting.items() if not count]
    heapq.heapify(ready)
    running: list[tuple[float, str]] = []
    starts: dict[str, float] = {}
    now = 0.0
    while ready or running:
        while ready and len(running) < workers:
            name = order[heapq.heappop(ready)]
            starts[name] = now
            heapq.heappush(running, (now + seconds[name], name))
        now, done = heapq.heappop(running)
        for user in users.get(done, ()):
            waiting[user] -= 1
            if not waiting[user]:
                heapq.heappush(ready, rank[user])
    return starts


class _OrderSearch:
    """Branch and bound over the orders in which tasks are given to the first free worker."""

    def __init__(
        self,
        dag: TaskDAG,
        seconds: Mapping[str, float],
        workers: int,
        tails: Mapping[str, float],
        known: dict[str, float],
    ) -> None:
        self._dag = dag
        self._seconds = seconds
        self._workers = workers
        self._tails = tails
        self._best = known
        self._end = _end(known, seconds)

    def best(self) -> dict[str, float]:
        """Starts of the shortest schedule."""
        self._extend({}, (0.0,) * self._workers)
        return self._best

    def _extend(self, starts: dict[str, float], free: tuple[float, ...]) -> None:
        if len(starts) == len(self._dag):
            end = _end(starts, self._seconds)
            if end < self._end - _TOLERANCE:
                self._best, self._end = starts, end
            return
        for task in self._dag:
            if task.id in starts or any(need not in starts for need in task.depends_on):
                continue
            ready = max((starts[d] + self._seconds[d] for d in task.depends_on), default=0.0)
            start = max(ready, free[0])
            if start + self._tails[task.id] < self._end - _TOLERANCE:
                later = tuple(sorted((*free[1:], start + self._seconds[task.id])))
                self._extend({**starts, task.id: start}, later)
