"""What a request returns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from genesis.context import RunBelow
from genesis.errors import PlanningError
from genesis.routing.ladder import Ladder
from genesis.state import RunState
from genesis.tasks.task import Task, TaskResult
from infrastructure.jsonvalue import JsonObject

StateName: TypeAlias = Literal[
    "completed", "failed", "canceled", "waiting", "interrupted", "running"
]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class VerdictReport(_Frozen):
    """What the acceptance check found."""

    passed: bool
    check: str
    reason: str


class AttemptReport(_Frozen):
    """One attempt at a task."""

    agent: str
    model: str = ""
    effort: str = ""
    outcome: str
    reason: str
    duration_s: float
    cost_usd: float


class TaskReport(_Frozen):
    """How one task ended.

    Attributes:
        status: "completed" only when its acceptance check passed.
        attempts: every attempt in order; the last decided.
        sub_requests: of a composite task, the runs that its attempts were. What they cost is in
            its own cost already.
    """

    id: str
    description: str
    task_type: str
    operation: str
    depends_on: list[str] = Field(default_factory=list[str])
    agent: str
    model: str = ""
    status: str
    attempts: list[AttemptReport] = Field(default_factory=list[AttemptReport])
    duration_s: float
    cost_usd: float
    verdict: VerdictReport | None = None
    error: str = ""
    sub_requests: list[SubRequestReport] = Field(default_factory=list["SubRequestReport"])


class SubRequestReport(_Frozen):
    """A request one level down; `explain` and `show` take its run's id as any other's."""

    run_id: str
    success: bool
    tasks: list[TaskReport]
    errors: list[str]
    cost_usd: float
    duration_s: float


class RecalledReport(_Frozen):
    """What memory brought, and what that changed in this run.

    Attributes:
        patterns: recalled patterns as "steps (successes of executions)".
        similar_runs: ids of similar past runs, most similar first.
        attempts_known: attempts by agents, at tasks of all kinds, that routing's beliefs rest on.
        changed: what would have been otherwise without memory; empty when nothing.
    """

    patterns: list[str] = Field(default_factory=list[str])
    similar_runs: list[str] = Field(default_factory=list[str])
    attempts_known: int = 0
    changed: list[str] = Field(default_factory=list[str])


class ValidationSummary(_Frozen):
    """The plan's validation.

    Attributes:
        quality: 0 to 1, the mean of `quality_parts`.
        findings: each finding in words.
    """

    accepted: bool
    quality: float
    quality_parts: dict[str, float] = Field(default_factory=dict[str, float])
    findings: list[str] = Field(default_factory=list[str])


class ApprovalReport(_Frozen):
    """What a person must decide before a run goes on.

    Attributes:
        run_id: the run that asks: the one that waits, or a part of it.
        id: names the question to `approve`.
        kind: "plan", "cost", "task", or "input" for an agent's own question.
    """

    run_id: str
    id: str
    kind: Literal["plan", "cost", "task", "input"]
    question: str
    task_id: str = ""


class OrchestrationResult(_Frozen):
    """The answer to a request.

    Attributes:
        run_id: names the run to `explain`, `show` and `feedback`.
        session_id: as given, or generated.
        version: "2.1", or "1.0" when the stateless fallback answered.
        state: "completed" (every task was verified), "failed", "canceled", or it stopped for now:
            "waiting" for approvals, or "interrupted" with its process; then it can be resumed.
            "running" only in what is said of a run that somebody works on.
        success: every task was verified by its acceptance check.
        approvals: what it waits for.
        output: the answer for people.
        artifacts: absolute paths of the files that were written.
        plan_source: where the plan came from; None when there was no plan.
        recorded: whether the run was stored in memory.
        cost_usd: US dollars, all attempts and planning.
        duration_s: seconds.
        errors: what went wrong, one sentence each; on success at most that it was not stored.
    """

    run_id: str
    session_id: str
    version: Literal["2.1", "1.0"]
    task_type: str
    state: StateName
    success: bool
    approvals: list[ApprovalReport] = Field(default_factory=list[ApprovalReport])
    output: str
    artifacts: list[str] = Field(default_factory=list[str])
    tasks: list[TaskReport] = Field(default_factory=list[TaskReport])
    plan_source: Literal["memory", "model", "template"] | None = None
    recalled: RecalledReport = Field(default_factory=RecalledReport)
    validation: ValidationSummary | None = None
    recorded: bool = False
    cost_usd: float = 0.0
    duration_s: float = 0.0
    errors: list[str] = Field(default_factory=list[str])


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The last event of a stream."""

    result: OrchestrationResult


@dataclass(frozen=True, slots=True)
class PlanPreview:
    """A plan that was made but not run.

    Attributes:
        task_type: as inferred.
        plan: `TaskDAG.to_json()`.
        source: "memory", "model" or "template".
        reason: why this plan.
        changes: what was adapted from a past plan.
        composites: ids of the tasks that will be planned as requests of their own.
        ladders: who would try each task, in which order.
        findings: what validation found, in words.
        changed_by_memory: what routing would have done otherwise without memory.
        notes: what was taken for granted about the files that the request means, in words.
    """

    task_type: str
    plan: JsonObject
    source: str
    reason: str
    changes: tuple[str, ...]
    composites: tuple[str, ...]
    ladders: tuple[Ladder, ...]
    findings: tuple[str, ...]
    changed_by_memory: tuple[str, ...]
    notes: tuple[str, ...]


def preview_of(state: RunState) -> PlanPreview:
    """The plan that a planned state holds.

    Raises:
        PlanningError: there is none; gives the reasons.
    """
    if state.plan is None or state.errors:
        raise PlanningError("; ".join(state.errors) or "no plan was made")
    return PlanPreview(
        task_type=state.task_type,
        plan=state.plan.dag.to_json(),
        source=state.plan.source,
        reason=state.plan.reason,
        changes=state.plan.changes,
        composites=tuple(task.id for task in state.plan.dag if task.composite),
        ladders=tuple(state.ladders.values()),
        findings=tuple(f.message for f in state.report.findings) if state.report else (),
        changed_by_memory=state.changed_by_memory,
        notes=state.given.notes,
    )


def task_report(task: Task, result: TaskResult, below: Iterable[RunBelow] = ()) -> TaskReport:
    """A task's result as it is returned and printed.

    Args:
        task: the task.
        result: its result.
        below: runs one level down; those that are its attempts are reported with it.
    """
    return TaskReport(
        id=task.id,
        description=task.description,
        task_type=task.task_type,
        operation=task.operation,
        depends_on=list(task.depends_on),
        agent=result.agent,
        model=result.model,
        status=result.status.value,
        attempts=[
            AttemptReport(
                agent=attempt.agent,
                model=attempt.model,
                effort=attempt.effort,
                outcome=attempt.outcome.value,
                reason=attempt.reason,
                duration_s=attempt.duration_s,
                cost_usd=attempt.usage.cost_usd,
            )
            for attempt in result.attempts
        ],
        duration_s=result.duration_s,
        cost_usd=result.cost_usd,
        verdict=(
            VerdictReport(
                passed=result.verdict.passed,
                check=result.verdict.check,
                reason=result.verdict.reason,
            )
            if result.verdict
            else None
        ),
        error=result.error,
        sub_requests=[_sub_report(run) for run in below if run.task_id == task.id],
    )


def _sub_report(below: RunBelow) -> SubRequestReport:
    return SubRequestReport(
        run_id=below.run_id,
        success=below.state.success,
        tasks=_task_reports(below.state, below.below),
        errors=list(below.state.errors),
        cost_usd=below.cost_usd,
        duration_s=below.duration_s,
    )


def _task_reports(state: RunState, below: Iterable[RunBelow]) -> list[TaskReport]:
    return [task_report(task, result, below) for task, result in state.finished]


def result_of(run: RunBelow, session_id: str, *, at_work: bool = False) -> OrchestrationResult:
    """The answer that a run holds.

    Args:
        run: it, as that of no task.
        session_id: its session.
        at_work: whether somebody works on it, so that it goes on.
    """
    state = run.state
    return OrchestrationResult(
        run_id=run.run_id,
        session_id=session_id,
        version="2.1",
        task_type=state.task_type,
        state=_state_name(run, at_work=at_work),
        approvals=[
            ApprovalReport(
                run_id=run_id,
                id=approval.id,
                kind=approval.kind,
                question=approval.question,
                task_id=approval.task_id,
            )
            for run_id, approval in run.asked
        ],
        success=state.success,
        output=state.output,
        artifacts=[
            path
            for _, result in state.finished
            if result.output is not None
            for path in result.output.artifacts
        ],
        tasks=_task_reports(state, run.below),
        plan_source=state.plan.source if state.plan else None,
        recalled=_recalled_report(state),
        validation=_validation(state),
        recorded=state.recorded,
        cost_usd=run.cost_usd,
        duration_s=run.duration_s,
        errors=[*state.errors, *([state.unstored] if state.unstored else [])],
    )


def _state_name(run: RunBelow, *, at_work: bool) -> StateName:
    state = run.state
    if state.over:
        if state.canceled:
            return "canceled"
        return "completed" if state.success else "failed"
    if at_work:
        return "running"
    return "waiting" if run.asked else "interrupted"


def _recalled_report(state: RunState) -> RecalledReport:
    changed = list(state.changed_by_memory)
    if state.plan is not None and state.plan.source == "memory":
        changed.insert(0, f"the plan: {state.plan.reason}")
    return RecalledReport(
        patterns=list(state.recalled.patterns),
        similar_runs=[past.run_id for past in state.recalled.past],
        attempts_known=state.recalled.attempts_known,
        changed=changed,
    )


def _validation(state: RunState) -> ValidationSummary | None:
    if state.report is None:
        return None
    return ValidationSummary(
        accepted=state.report.accepted,
        quality=state.report.quality,
        quality_parts=dict(state.report.quality_parts),
        findings=[finding.message for finding in state.report.findings],
    )
