"""What a planner is asked, what it answers, and the order in which planners are asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, TypeAlias

from genesis.errors import GenesisError, PlanningError
from genesis.tasks.dag import TaskDAG
from genesis.tasks.task import Task, TaskResult
from infrastructure.jsonvalue import JsonObject, JsonValue
from infrastructure.resilience.budget import Budget

PlanSource: TypeAlias = Literal["memory", "model", "template"]


@dataclass(frozen=True, slots=True)
class PastPlan:
    """A plan that served an earlier request.

    Attributes:
        run_id: the latest run that supports it.
        request: that run's request.
        task_type: that run's task type.
        given: names of the data that came with that request.
        plan: `TaskDAG.to_json()`.
        successes: runs in which every task was verified.
        failures: runs in which not.
        similarity: of its request to the present one, 0 to 1.
    """

    run_id: str
    request: str
    task_type: str
    given: tuple[str, ...]
    plan: JsonObject
    successes: int
    failures: int
    similarity: float


@dataclass(frozen=True, slots=True)
class Goal:
    """What is to be planned.

    Attributes:
        request: the user's request.
        task_type: inferred or given.
        given: named data that come with the request.
        past: plans of similar requests, most similar first.
        told: what earlier requests taught, as data.
        objections: why the last plan was sent back, one sentence each.
        finished: results that must be kept when a failed branch is planned again.
        failed: results of the tasks of the last plan that failed.
        abandoned: tasks that failed before and were replaced, with their results.
        last: the plan that was sent back or failed in part; None the first time.
        budget: pays for planning; the run's own.
        seconds_left: until the run's deadline; None without one.
        levels_left: how many levels of requests within requests may follow; None where unknown.
    """

    request: str
    task_type: str
    given: JsonObject = field(default_factory=dict[str, JsonValue])
    past: tuple[PastPlan, ...] = ()
    told: str = ""
    objections: tuple[str, ...] = ()
    finished: tuple[TaskResult, ...] = ()
    failed: tuple[TaskResult, ...] = ()
    abandoned: tuple[tuple[Task, TaskResult], ...] = ()
    last: TaskDAG | None = None
    budget: Budget = field(default_factory=Budget)
    seconds_left: float | None = None
    levels_left: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A valid DAG, where it came from, and why.

    Attributes:
        dag: the tasks.
        source: which planner made it.
        reason: why this plan, in words.
        changes: what was adapted or mended, one sentence each.
        run_id: the past run whose plan it is (memory only).
        cost_usd: what asking chat models for plans cost, also for plans that were refused.
    """

    dag: TaskDAG
    source: PlanSource
    reason: str
    changes: tuple[str, ...] = ()
    run_id: str = ""
    cost_usd: float = 0.0


class PlanRefused(PlanningError):
    """A planner paid for plans of which none could be used.

    Args:
        message: why.
        cost_usd: what they cost.
    """

    def __init__(self, message: str, cost_usd: float) -> None:
        self.cost_usd = cost_usd
        super().__init__(message)


class Planner(Protocol):
    """Turns a goal into a plan."""

    name: str

    async def plan(self, goal: Goal) -> Plan | None:
        """A plan, or None when this planner has none for the goal.

        Raises:
            GenesisError: it tried and failed; the message says why.
        """
        ...


async def first_plan(planners: Sequence[Planner], goal: Goal) -> tuple[Plan, tuple[str, ...]]:
    """The first plan that a planner makes, and why those asked before made none.

    Raises:
        PlanRefused: none made one; gives the reasons of those that tried, and what they cost.
    """
    reasons: list[str] = []
    tried: list[str] = []
    paid = 0.0
    for planner in planners:
        try:
            plan = await planner.plan(goal)
        except GenesisError as error:
            reasons.append(f"{planner.name}: {error}")
            tried.append(reasons[-1])
            paid += error.cost_usd if isinstance(error, PlanRefused) else 0.0
            continue
        if plan is not None:
            return replace(plan, cost_usd=plan.cost_usd + paid), tuple(reasons)
        reasons.append(f"{planner.name}: has no plan for this request")
    raise PlanRefused("; ".join(tried or reasons) or "no planner is set up", paid)
