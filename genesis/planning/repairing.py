"""AOP: the best plan that a catalogue allows, made of a plan that may be wrong in any way."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Literal, TypeAlias

from genesis.errors import InputError, InvalidPlan
from genesis.planning.catalogue import Catalogue, Operation
from genesis.planning.dataflow import PlanDraft, trace
from genesis.planning.makespan import Optimality, Schedule, schedule
from genesis.planning.problem import PER_SECOND, PER_USD, Problem
from genesis.planning.rebuild import Rebuilt, rebuild
from genesis.planning.redundancy import originals
from genesis.planning.selection import Selection, Wish, select
from genesis.planning.validation import Limits, validate
from genesis.tasks.dag import MAX_TASKS, TaskDAG

Objective: TypeAlias = Literal["time", "cost"]

_TOLERANCE = 1e-9


class Repaired(tuple[TaskDAG, tuple[str, ...]]):
    """A plan that validates, and what was changed: `dag, changes = repair(...)`.

    Attributes:
        schedule: when each task starts, and the makespan.
        usd: what its operations cost.
        optimality: "exact" when no plan of these operations is better by the objective,
            "heuristic" when that is not known.
    """

    schedule: Schedule
    usd: float
    optimality: Optimality

    @property
    def dag(self) -> TaskDAG:
        """The plan."""
        return self[0]

    @property
    def changes(self) -> tuple[str, ...]:
        """What differs from the plan that was given, one sentence each."""
        return self[1]


def repair(
    dag: TaskDAG | PlanDraft,
    catalogue: Catalogue | Iterable[Operation],
    objective: Objective = "time",
    *,
    asked: Iterable[str] | None = None,
    limits: Limits | None = None,
) -> Repaired:
    """The best valid plan for what a plan is meant to make, near to the plan itself.

    Whatever is wrong is put right: circles, unknown or repeated ids, unknown operations, missing
    tasks and edges, duplicates, dead tasks, edges over which nothing comes. Where other operations
    of the catalogue make the same sooner (or cheaper), they take over. Of equally good plans the
    one with the fewest tasks is taken, and of those the one that keeps the most operations.

    The makespan with any number of workers is exact. The least cost, and the least cost among
    the plans of the shortest makespan, are exact where the search ends within its bound, and the
    makespan with few workers up to 8 tasks; the result says which it is.

    Args:
        dag: the plan, which is not changed.
        catalogue: the operations that may be used.
        objective: "time": the shortest makespan, then the least cost; "cost": the least cost.
        asked: the data that the plan must make; None takes the draft's own, or else whatever the
            plan's last tasks make.
        limits: what the plan must keep to.

    Returns:
        the plan and the changes; no change when the plan was the best already.

    Raises:
        InvalidPlan: no plan does: says which datum no operation makes, or which limit is in the
            way.
        InputError: the objective or the catalogue is none.
    """
    if objective not in ("time", "cost"):
        raise InputError(f"the objective must be 'time' or 'cost', not {objective!r:.80}")
    if not isinstance(catalogue, Catalogue):
        catalogue = Catalogue(catalogue)
    limits = limits or Limits()
    plan = PlanDraft.of(dag, asked)
    if len(plan.tasks) > MAX_TASKS:
        raise InvalidPlan(f"a plan has at most {MAX_TASKS} tasks, this one has {len(plan.tasks)}")
    flow = trace(plan, catalogue)
    repeated = originals(flow)
    problem = Problem(flow, repeated, catalogue)
    if not problem.goals:
        raise InvalidPlan("the plan makes nothing, and nothing is asked for")
    chosen = _choose(problem, objective, limits)
    rebuilt = rebuild(flow, repeated, problem, problem.derivation(chosen.steps))
    if isinstance(dag, TaskDAG) and rebuilt.dag == dag:
        rebuilt = replace(rebuilt, dag=dag, changes=())
    report = validate(rebuilt.dag, catalogue, asked=flow.asked, limits=limits)
    if not report.accepted:
        raise InvalidPlan(f"the plan cannot be repaired: {'; '.join(report.objections)}")
    return _timed(rebuilt, problem, objective, limits, chosen)


def _choose(problem: Problem, objective: Objective, limits: Limits) -> Selection:
    """The steps to take.

    Raises:
        InvalidPlan: the limits allow no set of steps that makes all goals.
    """
    wish = Wish(
        soonest=objective == "time",
        deadline=None if limits.seconds is None else round(limits.seconds * PER_SECOND),
        budget=None if limits.usd is None else round(limits.usd * PER_USD),
        fits=lambda chosen: (
            len(chosen) <= limits.max_tasks and _depth(problem, chosen) <= limits.max_depth
        ),
        known=problem.known,
    )
    found = select(problem.steps, problem.goals, wish)
    if found.steps is None:
        found = _smallest(problem, wish)
    if found.steps is None:
        raise InvalidPlan(f"the plan cannot be repaired: {_too_much(problem, limits)}")
    return found


def _smallest(problem: Problem, wish: Wish) -> Selection:
    """A set of few or of shallow steps within the limits, for want of a better one."""
    few = [replace(step, weight=step.weight + 10**30) for step in problem.steps]
    found = select(few, problem.goals, replace(wish, soonest=False, budget=None))
    if found.steps is not None and not _over_budget(problem, found.steps, wish):
        return Selection(found.steps, proven=False)
    shallow = [replace(step, time=1) for step in problem.steps]
    found = select(shallow, problem.goals, replace(wish, soonest=True, deadline=None))
    late = (
        found.steps is not None
        and wish.deadline is not None
        and (problem.end(problem.derivation(found.steps)) > wish.deadline)
    )
    return Selection(None if late else found.steps, proven=False)


def _over_budget(problem: Problem, steps: Collection[int], wish: Wish) -> bool:
    return wish.budget is not None and problem.usd(steps) * PER_USD > wish.budget + 1


def _depth(problem: Problem, chosen: Collection[int]) -> int:
    """Tasks on the longest path, each datum being taken from where it is there first."""
    found = problem.derivation(chosen)
    level: dict[int, int] = {}
    for number in found.order:
        makers = [found.maker[datum] for datum in problem.steps[number].requires]
        level[number] = 1 + max((level[maker] for maker in makers), default=0)
    return max(level.values(), default=0)


def _too_much(problem: Problem, limits: Limits) -> str:
    """Which limits no plan keeps to, as far as each can be told by itself."""
    soonest = problem.derivation()
    cheapest = select(problem.steps, problem.goals, Wish(soonest=False))
    messages: list[str] = []
    seconds = problem.end(soonest) / PER_SECOND
    if limits.seconds is not None and seconds > limits.seconds:
        messages.append(
            f"the quickest plan takes {seconds:.3f} s and {limits.seconds:.3f} s are left"
        )
    usd = problem.usd(cheapest.steps or ())
    if limits.usd is not None and usd > limits.usd:
        known = "the cheapest plan" if cheapest.proven else "the cheapest plan found"
        messages.append(f"{known} costs ${usd:.4f} and ${limits.usd:.4f} is left")
    told = "; ".join(messages)
    return told or (
        "no plan was found that keeps to all limits at once: "
        f"{limits.max_tasks} tasks, {limits.max_depth} on the longest path, "
        f"{limits.seconds} s, ${limits.usd}"
    )


def _timed(
    rebuilt: Rebuilt, problem: Problem, objective: Objective, limits: Limits, chosen: Selection
) -> Repaired:
    seconds = {name: problem.operations[n].seconds for name, n in rebuilt.steps.items()}
    timetable = schedule(rebuilt.dag, seconds, limits.workers)
    if limits.seconds is not None and timetable.makespan > limits.seconds + _TOLERANCE:
        raise InvalidPlan(
            f"the plan cannot be repaired: with {limits.workers} workers the best schedule found "
            f"takes {timetable.makespan:.3f} s and {limits.seconds:.3f} s are left"
        )
    exact = chosen.proven
    if objective == "time":
        # No plan ends sooner than the soonest with a worker for every task.
        least = problem.end(problem.derivation()) / PER_SECOND
        reached = timetable.makespan <= least + _TOLERANCE * max(1.0, least)
        exact = reached or (chosen.proven and limits.workers is None)
    repaired = Repaired((rebuilt.dag, rebuilt.changes))
    repaired.schedule = timetable
    repaired.usd = problem.usd(rebuilt.steps.values())
    repaired.optimality = "exact" if exact else "heuristic"
    return repaired
