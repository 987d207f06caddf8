"""AOP: whether a plan can be solved, is complete, and holds nothing superfluous."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from genesis.errors import InputError
from genesis.planning.catalogue import Catalogue, Operation
from genesis.planning.dataflow import DataFlow, PlanDraft, trace
from genesis.planning.faults import incomplete, no_producer, redundant, structure, unsolvable
from genesis.planning.findings import WEIGHTS, Finding, Principle, ValidationReport
from genesis.planning.redundancy import dead_tasks, originals
from genesis.tasks.dag import MAX_TASKS, TaskDAG

_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Limits:
    """What a plan must keep to.

    Attributes:
        max_tasks: tasks; no plan has more than 500.
        max_depth: tasks on the longest path.
        seconds: what is left until the deadline; None for none.
        usd: what is left of the budget, US dollars; None for no limit.
        workers: tasks that can run at once; None for any number.

    Raises:
        InputError: a limit is no number; infinity is no limit.
    """

    max_tasks: int = MAX_TASKS
    max_depth: int = MAX_TASKS
    seconds: float | None = None
    usd: float | None = None
    workers: int | None = None

    def __post_init__(self) -> None:
        for key, least in (("max_tasks", 0), ("max_depth", 0), ("workers", 1)):
            count = getattr(self, key)
            if key == "workers" and count is None:
                continue
            if not isinstance(count, int) or count < least:
                raise InputError(
                    f"limit {key} must be a whole number from {least} up, not {count!r:.80}"
                )
        for key in ("seconds", "usd"):
            amount = getattr(self, key)
            if amount == math.inf:
                object.__setattr__(self, key, None)
            elif amount is not None and not (
                isinstance(amount, int | float) and not math.isnan(amount)
            ):
                raise InputError(f"limit {key} must be a number or None, not {amount!r:.80}")


@dataclass(frozen=True, slots=True)
class Weighed:
    """What a plan takes.

    Attributes:
        seconds: on its longest path, or by all its workers together if that is more.
        usd: US dollars.
        depth: tasks on the longest path.
    """

    seconds: float
    usd: float
    depth: int


def validate(
    dag: TaskDAG | PlanDraft,
    catalogue: Catalogue | Iterable[Operation] | None = None,
    *,
    asked: Iterable[str] | None = None,
    limits: Limits | None = None,
    finished: Collection[str] = (),
) -> ValidationReport:
    """Judge a plan, whatever is wrong with it. Never changes it, never refuses one.

    Args:
        dag: a plan, or a draft that may be none.
        catalogue: what can be done; None leaves open who could do the tasks and what they cost.
        asked: the data that the plan must make. None takes the draft's own, or else whatever the
            plan's last tasks make, so that nothing is dead.
        limits: what the plan must keep to.
        finished: ids of tasks whose results are kept: they need nobody any more.

    Raises:
        InputError: what was given is no plan, no catalogue, or no list of names.
    """
    if catalogue is not None and not isinstance(catalogue, Catalogue):
        catalogue = Catalogue(catalogue)
    limits = limits or Limits()
    plan = PlanDraft.of(dag, asked)
    if not 0 < len(plan.tasks) <= MAX_TASKS:
        return _refused(plan, limits)
    flow = trace(plan, catalogue)
    doing = {} if catalogue is None else _doing(flow, catalogue, finished)
    repeated = originals(flow)
    dead = dead_tasks(flow, repeated, catalogue)
    weighed = weigh(flow, doing, limits.workers)
    findings = [
        *structure(flow, catalogue),
        *(() if catalogue is None else unsolvable(flow, catalogue, doing)),
        *no_producer(flow),
        *incomplete(flow, catalogue),
        *(f for f in redundant(flow, repeated, dead) if f.task_id not in finished),
        *_over(len(plan.tasks), weighed, limits),
    ]
    return _report(flow, findings, weighed, open_tasks=len(doing))


def _report(
    flow: DataFlow, findings: Sequence[Finding], weighed: Weighed, *, open_tasks: int
) -> ValidationReport:
    count: Counter[Principle] = Counter(f.principle for f in findings if f.severity == "error")
    needed = sum(name not in flow.given for names in flow.requires for name in names)
    parts: dict[str, float] = {
        "structure": 1 - min(1.0, count["structure"] / len(flow.tasks)),
        "solvability": 1 - count["solvability"] / max(open_tasks, 1),
        "completeness": 1 - count["completeness"] / max(len(flow.asked) + needed, 1),
        "non_redundancy": 1 - count["non_redundancy"] / len(flow.tasks),
        "limits": 0.0 if count["limits"] else 1.0,
    }
    return ValidationReport(
        solvable=not count["solvability"],
        complete=not count["completeness"],
        non_redundant=not count["non_redundancy"],
        quality=round(sum(weight * parts[name] for name, weight in WEIGHTS.items()), 4),
        quality_parts=parts,
        findings=tuple(findings),
        seconds=weighed.seconds,
        usd=weighed.usd,
    )


def _refused(plan: PlanDraft, limits: Limits) -> ValidationReport:
    """The report on a plan that is empty, or too large to be looked at task by task."""
    if plan.tasks:
        most = min(limits.max_tasks, MAX_TASKS)
        message = f"the plan has {len(plan.tasks)} tasks and at most {most} are allowed"
        finding = Finding("limit", "error", "", "", message)
    else:
        finding = Finding("malformed", "error", "", "", "a plan needs at least one task")
    parts: dict[str, float] = dict.fromkeys(WEIGHTS, 0.0)
    return ValidationReport(False, False, False, 0.0, parts, (finding,))


def _doing(
    flow: DataFlow, catalogue: Catalogue, finished: Collection[str]
) -> dict[int, Sequence[Operation]]:
    return {
        place: catalogue.doing(task)
        for place, task in enumerate(flow.tasks)
        if task.id not in finished
    }


def weigh(
    flow: DataFlow, doing: Mapping[int, Sequence[Operation]], workers: int | None = None
) -> Weighed:
    """What a plan takes at the least, each task done by the quickest or cheapest that can."""
    seconds = {place: _least(found, _seconds) for place, found in doing.items()}
    ends: dict[int, float] = {}
    level: dict[int, int] = {}
    for place in flow.order:
        needs = flow.needs[place]
        ends[place] = max((ends[n] for n in needs), default=0.0) + seconds.get(place, 0.0)
        level[place] = max((level[n] for n in needs), default=0) + 1
    longest = max(ends.values(), default=0.0)
    if workers is not None:
        longest = max(longest, sum(seconds.values()) / workers)
    usd = sum(_least(found, _usd) for found in doing.values())
    return Weighed(longest, usd, max(level.values(), default=0))


def _seconds(operation: Operation) -> float:
    return operation.seconds


def _usd(operation: Operation) -> float:
    return operation.cost_usd


def _least(found: Sequence[Operation], of: Callable[[Operation], float]) -> float:
    return min(map(of, found), default=0.0)


def _over(count: int, weighed: Weighed, limits: Limits) -> Iterable[Finding]:
    messages: list[str] = []
    if count > limits.max_tasks:
        messages.append(f"the plan has {count} tasks and at most {limits.max_tasks} are allowed")
    if weighed.depth > limits.max_depth:
        messages.append(
            f"its longest path has {weighed.depth} tasks and at most {limits.max_depth} are allowed"
        )
    if limits.seconds is not None and weighed.seconds > limits.seconds + _TOLERANCE:
        messages.append(
            f"it takes at least {weighed.seconds:.1f} s and {max(0.0, limits.seconds):.1f} s are "
            "left before the deadline"
        )
    if limits.usd is not None and weighed.usd > limits.usd + _TOLERANCE:
        messages.append(
            f"it costs at least ${weighed.usd:.4f} and ${limits.usd:.4f} is left of the budget; "
            "raise it, or ask for less"
        )
    return [Finding("limit", "error", "", "", message) for message in messages]
