"""AOP: whether a plan can be solved, is complete, and holds nothing superfluous."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from genesis.planning.catalogue import Catalogue, Operation
from genesis.planning.dataflow import DataFlow, PlanDraft, trace
from genesis.planning.findings import WEIGHTS, Finding, FindingKind, ValidationReport
from genesis.planning.redundancy import dead_tasks, originals
from genesis.tasks.capability import wanted
from genesis.tasks.dag import MAX_TASKS, TaskDAG
from infrastructure.text import one_line

_TASK_ID = re.compile(r"[A-Za-z0-9_.-]{1,80}")
_NAME_CHARS = 80
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
    """

    max_tasks: int = MAX_TASKS
    max_depth: int = MAX_TASKS
    seconds: float | None = None
    usd: float | None = None
    workers: int | None = None


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
    """Judge a plan, whatever is wrong with it. Never changes it, never raises for it.

    Args:
        dag: a plan, or a draft that may be none.
        catalogue: what can be done; None leaves open who could do the tasks and what they cost.
        asked: the data that the plan must make. None takes the draft's own, or else whatever the
            plan's last tasks make, so that nothing is dead.
        limits: what the plan must keep to.
        finished: ids of tasks whose results are kept: they need nobody any more.
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
    wrong = _structure(flow, catalogue)
    unsolvable = [] if catalogue is None else _unsolvable(flow, catalogue, doing)
    incomplete = [*_no_producer(flow), *_incomplete(flow, catalogue)]
    dead = dead_tasks(flow, repeated, catalogue)
    redundant = [f for f in _redundant(flow, repeated, dead) if f.task_id not in finished]
    weighed = weigh(flow, doing, limits.workers)
    over = list(_over(len(plan.tasks), weighed, limits))
    wanted_data = len(flow.asked) + sum(
        name not in flow.given for names in flow.requires for name in names
    )
    count = len(plan.tasks)
    parts = {
        "structure": 1 - min(1.0, sum(f.severity == "error" for f in wrong) / count),
        "solvability": 1 - len(unsolvable) / max(len(doing), 1),
        "completeness": 1 - len(incomplete) / max(wanted_data, 1),
        "non_redundancy": 1 - len({f.task_id for f in redundant}) / count,
        "limits": 0.0 if over else 1.0,
    }
    return ValidationReport(
        solvable=not unsolvable,
        complete=not incomplete,
        non_redundant=not redundant,
        quality=_quality(parts),
        quality_parts=parts,
        findings=(*wrong, *unsolvable, *incomplete, *redundant, *over),
        seconds=weighed.seconds,
        usd=weighed.usd,
    )


def _quality(parts: Mapping[str, float]) -> float:
    return round(sum(weight * parts[name] for name, weight in WEIGHTS.items()), 4)


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


def shown(name: str) -> str:
    """A name that anybody may have written, quoted for a message."""
    return repr(one_line(name, _NAME_CHARS))


def _structure(flow: DataFlow, catalogue: Catalogue | None) -> list[Finding]:
    ids = [task.id for task in flow.tasks]
    found = [
        Finding(
            "malformed",
            "error",
            name,
            "",
            f"task id {shown(name)} is not made of 1 to 80 letters, digits, '_', '-' or '.'",
        )
        for name in ids
        if not _TASK_ID.fullmatch(name)
    ]
    found += [
        Finding(
            "repeated_id", "error", ids[p], "", f"task id {shown(ids[p])} is used more than once"
        )
        for p in flow.repeated
    ]
    found += [_cycle(flow, edges) for edges in flow.cut]
    # A task that waits for what is gone and lacks a datum has one fault, told as what it lacks.
    lacking = {place for place, _ in flow.missing}
    found += [
        Finding(
            "unknown_dependency",
            "error",
            ids[p],
            "",
            f"task {shown(ids[p])} depends on {shown(other)}, which is not a task",
            other,
        )
        for p, other in flow.unknown
        if p not in lacking
    ]
    found += [
        Finding(
            "missing_edge",
            "error",
            ids[p],
            datum,
            f"task {shown(ids[p])} requires {shown(datum)} and does not wait for "
            f"{shown(ids[maker])}, which makes it",
            ids[maker],
        )
        for p, datum, maker in flow.absent
    ]
    if catalogue is not None and catalogue.by_name:
        found += _needless(flow)
    return found


def _cycle(flow: DataFlow, edges: Sequence[tuple[int, int]]) -> Finding:
    user, maker = edges[0]
    name, other = flow.tasks[user].id, flow.tasks[maker].id
    if user == maker:
        message = f"task {shown(name)} depends on itself"
    else:
        message = f"task {shown(name)} waits for {shown(other)}, which needs it in turn: a cycle"
    datum = next((d for d in flow.requires[user] if d in flow.produces[maker]), "")
    return Finding("cycle", "error", name, datum, message, other)


def _needless(flow: DataFlow) -> Iterable[Finding]:
    """Edges over which nothing comes; one beside an edge that is missing is the same fault."""
    excused = {place for place, _, _ in flow.absent} | {place for place, _ in flow.missing}
    for place, task in enumerate(flow.tasks):
        if place in excused:
            continue
        taken = {s for found in flow.sources[place].values() for s in found}
        for need in flow.needs[place]:
            if need not in taken and set(flow.produces[need]).isdisjoint(flow.requires[place]):
                other = flow.tasks[need].id
                yield Finding(
                    "needless_edge",
                    "warning",
                    task.id,
                    "",
                    f"task {shown(task.id)} waits for {shown(other)} and takes nothing from it",
                    other,
                )


def _unsolvable(
    flow: DataFlow, catalogue: Catalogue, doing: Mapping[int, Sequence[Operation]]
) -> list[Finding]:
    found: list[Finding] = []
    for place, operations in doing.items():
        if operations:
            continue
        task = flow.tasks[place]
        kind, datum, reason = catalogue.inability(task)
        message = f"nobody can do task {shown(task.id)}, which needs {one_line(wanted(task))}"
        joint = ", " if catalogue.by_name else ": "
        found.append(Finding(kind, "error", task.id, datum, message + joint + reason))
    return found


def _no_producer(flow: DataFlow) -> Iterable[Finding]:
    for place, datum in flow.missing:
        name = flow.tasks[place].id
        makers = [flow.tasks[m].id for m in flow.makers.get(datum, ()) if m != place]
        why = (
            f"is made only by {shown(makers[0])}, which needs it in turn"
            if makers
            else "is neither given with the request nor made by any task"
        )
        message = f"task {shown(name)} requires {shown(datum)}, which {why}"
        yield Finding("no_producer", "error", name, datum, message)


def _incomplete(flow: DataFlow, catalogue: Catalogue | None) -> list[Finding]:
    said = flow.said(catalogue is not None and catalogue.by_name)
    lacking = [datum for datum in flow.asked if datum not in flow.makers and datum not in said]
    return [
        Finding(
            "incomplete",
            "error",
            "",
            datum,
            f"the request asks for {shown(datum)}, which no task of the plan produces",
        )
        for datum in lacking
    ]


def _redundant(
    flow: DataFlow, repeated: Mapping[int, int], dead: Sequence[int]
) -> Iterable[Finding]:
    for place, original in sorted(repeated.items()):
        name, first = flow.tasks[place].id, flow.tasks[original].id
        if name == first:
            continue  # told as an id used twice
        datum = next(iter(flow.produces[place]), "")
        message = f"task {shown(name)} repeats task {shown(first)}: same operation on the same data"
        yield Finding("duplicate", "error", name, datum, message, first)
    for place in dead:
        name, made = flow.tasks[place].id, flow.produces[place]
        listed = ", ".join(one_line(datum, _NAME_CHARS) for datum in made)
        message = (
            f"nothing uses what task {shown(name)} makes ({listed}), "
            "nor does the request ask for it"
        )
        yield Finding("dead", "error", name, made[0], message)


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
        messages.append(f"it costs at least ${weighed.usd:.4f} and ${limits.usd:.4f} is left")
    kind: FindingKind = "limit"
    return [Finding(kind, "error", "", "", message) for message in messages]
