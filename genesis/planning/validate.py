"""AOP: whether a plan can be solved, is complete, and holds nothing superfluous."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from genesis.planning.planner import Goal
from genesis.planning.redundancy import dead_tasks, originals, without, without_duplicates
from genesis.tasks.capability import best_skill, skills_for, wanted
from genesis.tasks.dag import TaskDAG
from genesis.tasks.task import Task
from infrastructure.a2a.agent import AgentCard, Skill

FindingKind: TypeAlias = Literal["unsolvable", "incomplete", "duplicate", "dead", "limit"]
Severity: TypeAlias = Literal["error", "warning"]
_WEIGHTS = {"solvability": 0.35, "completeness": 0.35, "non_redundancy": 0.2, "limits": 0.1}
_SHOWN_AGENTS = 8


@dataclass(frozen=True, slots=True)
class Limits:
    """What a plan must keep to.

    Attributes:
        max_tasks: tasks.
        max_depth: tasks on the longest path.
        seconds: what is left until the deadline; None for none.
        usd: what is left of the budget, US dollars; None for no limit.
        has_model: whether any chat model is set.
    """

    max_tasks: int = 100
    max_depth: int = 20
    seconds: float | None = None
    usd: float | None = None
    has_model: bool = True


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a plan; `task_id` and `datum` are empty where none is meant."""

    kind: FindingKind
    severity: Severity
    task_id: str
    datum: str
    message: str


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """What AOP found.

    Attributes:
        solvable: some agent can do every task.
        complete: everything asked for is produced.
        non_redundant: no task repeats another or makes what nobody uses.
        quality: 0 to 1, the weighted mean of `quality_parts`.
        quality_parts: solvability, completeness, non_redundancy and limits, 0 to 1 each.
        findings: each with its task and datum.
    """

    solvable: bool
    complete: bool
    non_redundant: bool
    quality: float
    quality_parts: dict[str, float]
    findings: tuple[Finding, ...]

    @property
    def accepted(self) -> bool:
        """Whether the plan may be executed: nothing but warnings was found."""
        return not any(finding.severity == "error" for finding in self.findings)

    @property
    def objections(self) -> tuple[str, ...]:
        """Why the plan is sent back, one sentence each."""
        return tuple(f.message for f in self.findings if f.severity == "error")


def validate(
    dag: TaskDAG,
    goal: Goal,
    cards: Sequence[AgentCard],
    *,
    asked: Sequence[str],
    limits: Limits | None = None,
) -> ValidationReport:
    """Judge a plan.

    A TaskDAG has no cycle and a source for every required datum by construction; this adds who
    can do it, whether it makes what was asked for, what is superfluous, and its price and time.

    Args:
        dag: the plan.
        goal: what it is for; a task whose result is kept needs nobody any more.
        cards: the registered agents; with none of them nothing is solvable.
        asked: the data that the request asks for.
        limits: what the plan must keep to.
    """
    limits = limits or Limits()
    finished = {result.task_id for result in goal.finished}
    open_tasks = [task for task in dag if task.id not in finished]
    unsolvable = _unsolvable(open_tasks, cards, limits)
    incomplete = _incomplete(dag, asked)
    redundant = [*_duplicates(dag), *_dead(dag, asked)]
    redundant = [finding for finding in redundant if finding.task_id not in finished]
    over = _over_limits(dag, open_tasks, cards, limits)
    parts = {
        "solvability": 1 - len(unsolvable) / max(len(open_tasks), 1),
        "completeness": 1 - len(incomplete) / max(len(asked), 1),
        "non_redundancy": 1 - len({f.task_id for f in redundant}) / len(dag),
        "limits": 0.0 if over else 1.0,
    }
    return ValidationReport(
        solvable=not unsolvable,
        complete=not incomplete,
        non_redundant=not redundant,
        quality=round(sum(_WEIGHTS[name] * part for name, part in parts.items()), 4),
        quality_parts=parts,
        findings=(*unsolvable, *incomplete, *redundant, *over),
    )


def _unsolvable(tasks: Sequence[Task], cards: Sequence[AgentCard], limits: Limits) -> list[Finding]:
    findings: list[Finding] = []
    for task in tasks:
        if skills_for(task, cards, has_model=limits.has_model):
            continue
        message = f"no agent can do task {task.id!r}, which needs {wanted(task)}: "
        findings.append(
            Finding(
                "unsolvable", "error", task.id, "", message + _who_there_is(task, cards, limits)
            )
        )
    return findings


def _who_there_is(task: Task, cards: Sequence[AgentCard], limits: Limits) -> str:
    if not cards:
        return "no agent is registered"
    near = [
        card
        for card in cards
        if any(s.id == task.operation or set(s.produces) & set(task.produces) for s in card.skills)
    ]
    told = [
        f"{card.name}: {best_skill(task, card, has_model=limits.has_model)[1]}"
        for card in (near or cards)[:_SHOWN_AGENTS]
    ]
    return "; ".join(told)


def _incomplete(dag: TaskDAG, asked: Sequence[str]) -> list[Finding]:
    made = {name for task in dag for name in task.produces}
    # A final task that names nothing it makes hands in its text as the answer.
    speaks = any(not task.produces for task in _sinks(dag))
    return [
        Finding(
            "incomplete",
            "error",
            "",
            datum,
            f"the request asks for {datum!r}, which no task of the plan produces",
        )
        for datum in asked
        if datum not in made and not (speaks and datum == "answer")
    ]


def _sinks(dag: TaskDAG) -> list[Task]:
    needed = {d for task in dag for d in task.depends_on}
    return [task for task in dag if task.id not in needed]


def _duplicates(dag: TaskDAG) -> list[Finding]:
    return [
        Finding(
            "duplicate",
            "error",
            task_id,
            next(iter(dag[task_id].produces), ""),
            f"task {task_id!r} repeats task {first!r}: same operation on the same data",
        )
        for task_id, first in originals(dag).items()
        if first != task_id
    ]


def _dead(dag: TaskDAG, asked: Sequence[str]) -> list[Finding]:
    return [
        Finding(
            "dead",
            "error",
            task.id,
            task.produces[0],
            f"nothing uses what task {task.id!r} makes ({', '.join(task.produces)}), "
            "nor does the request ask for it",
        )
        for task in dead_tasks(without_duplicates(dag), asked)
    ]


def _over_limits(
    dag: TaskDAG, tasks: Sequence[Task], cards: Sequence[AgentCard], limits: Limits
) -> list[Finding]:
    skills = {task.id: skills_for(task, cards, has_model=limits.has_model) for task in tasks}
    seconds = _critical_path(dag, {i: _least(found, _seconds) for i, found in skills.items()})
    usd = sum(_least(found, _usd) for found in skills.values())
    messages: list[str] = []
    if len(dag) > limits.max_tasks:
        messages.append(f"the plan has {len(dag)} tasks and at most {limits.max_tasks} are allowed")
    if dag.depth > limits.max_depth:
        messages.append(
            f"its longest path has {dag.depth} tasks and at most {limits.max_depth} are allowed"
        )
    if limits.seconds is not None and seconds > limits.seconds:
        messages.append(
            f"it takes at least {seconds:.1f} s and {max(0.0, limits.seconds):.1f} s are left "
            "before the deadline"
        )
    if limits.usd is not None and usd > limits.usd:
        messages.append(f"it costs at least ${usd:.4f} and ${limits.usd:.4f} is left")
    return [Finding("limit", "error", "", "", message) for message in messages]


def _seconds(skill: Skill) -> float:
    return skill.seconds


def _usd(skill: Skill) -> float:
    return skill.cost_usd


def _least(found: Sequence[tuple[AgentCard, Skill]], of: Callable[[Skill], float]) -> float:
    return min((of(skill) for _, skill in found), default=0.0)


def _critical_path(dag: TaskDAG, seconds: dict[str, float]) -> float:
    ends: dict[str, float] = {}
    for task in dag:
        start = max((ends[d] for d in task.depends_on), default=0.0)
        ends[task.id] = start + seconds.get(task.id, 0.0)
    return max(ends.values())


def mend(dag: TaskDAG, report: ValidationReport) -> tuple[TaskDAG, tuple[str, ...]]:
    """The plan without its duplicate and dead tasks, and what was changed, one sentence each.

    What waited for a duplicate waits for the task it repeats. The plan itself is never changed.
    """
    first = originals(dag)
    duplicate = [f.task_id for f in report.findings if f.kind == "duplicate"]
    dead = [f.task_id for f in report.findings if f.kind == "dead"]
    mended = without(dag, {i: first[i] for i in duplicate} | dict.fromkeys(dead, ""))
    changes = [f"dropped {i!r}, which repeats {first[i]!r}" for i in duplicate]
    changes += [f"dropped {i!r}, whose result nobody uses or asks for" for i in dead]
    return mended, tuple(changes)
