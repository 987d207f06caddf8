"""Judges of repaired plans that share no code with what repairs them.

The optimum is a mixed integer program for HiGHS (scipy): which operation makes each datum, when
each datum is there, and which operations are paid. Whether a plan is valid is checked by walking
its edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from genesis.planning import Limits, Operation
from genesis.tasks.task import Task

_solver: Any = import_module("scipy.optimize")  # its types are partly unknown
_TOLERANCE = 1e-6
_TIME_LIMIT_S = 30.0


@dataclass(frozen=True)
class Optimum:
    """What no plan can be better than; None where no plan keeps to the limits."""

    value: float | None
    proven: bool


def optimum(
    operations: Sequence[Operation],
    given: frozenset[str],
    asked: Sequence[str],
    objective: str,
    limits: Limits,
) -> Optimum:
    """The shortest makespan (seconds) or the least cost (US dollars) within the limits."""
    program = _Program(operations, given, asked)
    if not program.makeable:
        return Optimum(None, True)
    if limits.seconds is not None:
        program.at_most(program.end, limits.seconds)
    if limits.usd is not None:
        program.at_most(program.prices, limits.usd)
    goal = program.end if objective == "time" else program.prices
    found = _solver.milp(
        goal,
        constraints=program.constraints(),
        integrality=program.integral,
        bounds=_solver.Bounds(program.lower, program.upper),
        options={"time_limit": _TIME_LIMIT_S, "mip_rel_gap": 0.0},
    )
    if found.status == 0:
        return Optimum(float(found.fun), True)
    return Optimum(None, found.status == 2)


class _Program:
    """Variables: an operation is paid (x), an operation makes a datum (z), a datum is there (t),
    the end."""

    def __init__(
        self, operations: Sequence[Operation], given: frozenset[str], asked: Sequence[str]
    ) -> None:
        data = sorted({d for o in operations for d in o.produces} - given)
        there = set(given)
        while (
            new := {d for o in operations if set(o.requires) <= there for d in o.produces} - there
        ):
            there |= new
        self.makeable = set(asked) <= there
        usable = [o for o in operations if set(o.requires) <= there]
        data = [d for d in data if d in there]
        pairs = [(o, d) for o in range(len(usable)) for d in _new(usable[o]) if d in data]
        n_x, n_z, n_t = len(usable), len(pairs), len(data)
        self._size = n_x + n_z + n_t + 1
        time_of = {datum: n_x + n_z + i for i, datum in enumerate(data)}
        z_of = {pair: n_x + i for i, pair in enumerate(pairs)}
        longest = sum(o.seconds for o in usable) + 1.0  # no minimal plan takes longer
        self._rows: list[tuple[dict[int, float], float]] = []  # sum of terms <= bound
        needs: dict[str, list[int]] = {}
        for (o, datum), z in z_of.items():
            self._rows.append(({z: 1.0, o: -1.0}, 0.0))
            # The datum is there no sooner than its maker's needs and the maker's duration allow.
            slack = 2 * longest
            self._rows.append(({z: slack, time_of[datum]: -1.0}, slack - usable[o].seconds))
            for need in usable[o].requires:
                if need in time_of:
                    row = {z: slack, time_of[need]: 1.0, time_of[datum]: -1.0}
                    self._rows.append((row, slack - usable[o].seconds))
            needs.setdefault(datum, []).append(z)
        for o in range(n_x):
            for need in usable[o].requires:
                if need in time_of:
                    self._rows.append(({o: 1.0, **dict.fromkeys(needs[need], -1.0)}, 0.0))
        for datum in asked:
            if datum in time_of:
                self._rows.append((dict.fromkeys(needs[datum], -1.0), -1.0))
                self._rows.append(({time_of[datum]: 1.0, self._size - 1: -1.0}, 0.0))
        self.integral = np.array([1] * (n_x + n_z) + [0] * (n_t + 1))
        self.lower = np.zeros(self._size)
        self.upper = np.array([1.0] * (n_x + n_z) + [longest] * (n_t + 1))
        self.end = np.zeros(self._size)
        self.end[-1] = 1.0
        self.prices = np.zeros(self._size)
        self.prices[:n_x] = [o.cost_usd for o in usable]

    def at_most(self, terms: Any, bound: float) -> None:
        self._rows.append(({i: float(v) for i, v in enumerate(terms) if v}, bound))

    def constraints(self) -> Any:
        matrix = np.zeros((len(self._rows), self._size))
        for row, (terms, _) in enumerate(self._rows):
            for column, value in terms.items():
                matrix[row, column] = value
        return _solver.LinearConstraint(
            matrix, -np.inf, np.array([bound for _, bound in self._rows])
        )


def _new(operation: Operation) -> list[str]:
    """What it makes beside what it needs: nothing is there any sooner for being made of itself."""
    return [datum for datum in operation.produces if datum not in operation.requires]


@dataclass(frozen=True)
class Judged:
    """A plan judged from outside: why it is not valid, what it takes and costs."""

    problems: tuple[str, ...]
    seconds: float
    usd: float


def judge(
    tasks: Sequence[Task],
    operations: Sequence[Operation],
    given: frozenset[str],
    asked: Sequence[str],
    limits: Limits,
) -> Judged:
    """Whether a plan is valid by the definitions alone, and its makespan and cost."""
    known = {o.name: o for o in operations}
    by_id = {task.id: task for task in tasks}
    problems = [f"unknown operation {t.operation}" for t in tasks if t.operation not in known]
    problems += [f"{t.id} waits for {d}" for t in tasks for d in t.depends_on if d not in by_id]
    if len(by_id) < len(tasks) or not tasks or problems:
        return Judged((*problems, "ids repeat" if tasks else "empty"), 0.0, 0.0)
    ends: dict[str, float] = {}
    before: dict[str, set[str]] = {}
    for _ in tasks:
        for task in tasks:
            if task.id not in ends and all(d in ends for d in task.depends_on):
                start = max((ends[d] for d in task.depends_on), default=0.0)
                ends[task.id] = start + known[task.operation].seconds
                before[task.id] = set(task.depends_on).union(*(before[d] for d in task.depends_on))
    if len(ends) < len(tasks):
        return Judged(("a cycle",), 0.0, 0.0)
    problems += _flow_problems(tasks, by_id, before, known, given, asked)
    usd = sum(known[t.operation].cost_usd for t in tasks)
    seconds = max(ends.values())
    if limits.seconds is not None and seconds > limits.seconds + _TOLERANCE:
        problems.append("too slow")
    if limits.usd is not None and usd > limits.usd + _TOLERANCE:
        problems.append("too dear")
    return Judged(tuple(problems), seconds, usd)


def _flow_problems(
    tasks: Sequence[Task],
    by_id: dict[str, Task],
    before: dict[str, set[str]],
    known: dict[str, Operation],
    given: frozenset[str],
    asked: Sequence[str],
) -> list[str]:
    problems: list[str] = []
    used: set[str] = set()
    for task in tasks:
        operation = known[task.operation]
        if not set(task.produces) <= set(operation.produces):
            problems.append(f"{task.id} cannot make what it says")
        if not set(operation.requires) <= set(task.requires):
            problems.append(f"{task.id} is not given what it needs")
        for datum in task.requires:
            makers = [d for d in before[task.id] if datum in by_id[d].produces]
            used.update(makers)
            if not makers and datum not in given:
                problems.append(f"{task.id} lacks {datum}")
    made = {datum for task in tasks for datum in task.produces}
    problems += [f"nothing makes {datum}" for datum in asked if datum not in made]
    problems += [
        f"{task.id} is dead"
        for task in tasks
        if task.id not in used and not set(task.produces) & set(asked)
    ]
    works = [(t.operation, frozenset(t.depends_on)) for t in tasks]
    problems += [f"{w[0]} is done twice" for i, w in enumerate(works) if w in works[:i]]
    return problems
