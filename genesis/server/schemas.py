"""What the REST API takes and gives, as pydantic models: the OpenAPI document is made of them."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from genesis.execution.approvals import Verb
from genesis.result import ApprovalReport, OrchestrationResult, TaskReport
from genesis.routing.ladder import Rung


def _sendable(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError as error:
        raise ValueError("holds a number that JSON has not (NaN or Infinity)") from error
    return value


Named = Annotated[dict[str, JsonValue], AfterValidator(_sendable)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Strict(BaseModel):
    """What is asked: unknown names and other types are errors that say where they are."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class RunRequest(_Strict):
    """A request to do something.

    Attributes:
        request: plain English.
        session_id: groups runs; made up when it is left out.
        budget_usd: US dollars that the run may spend; the server's setting when left out.
        timeout_s: seconds that it may take; the server's setting when left out.
        context: named data beside the request.
        approve: when to ask a person: "plan", "cost:0.50", "task:deployment".
    """

    request: str = Field(min_length=1, max_length=100_000)
    session_id: str | None = Field(default=None, min_length=1, max_length=200)
    budget_usd: Amount | None = None
    timeout_s: Amount | None = None
    context: Named = Field(default_factory=dict[str, JsonValue])
    approve: list[str] = Field(default_factory=list[str], max_length=20)


class PlanRequest(_Strict):
    """A request of which only the plan is wanted."""

    request: str = Field(min_length=1, max_length=100_000)
    context: Named = Field(default_factory=dict[str, JsonValue])


class ApprovalAnswer(_Strict):
    """What a person decided.

    Attributes:
        decision: "edit" approves with a change.
        approval_id: which question; may be left out while there is only one.
        edit: the whole changed plan, the new description of the task, the new limit in US
            dollars, or the answer that an agent asked for.
        comment: why.
    """

    decision: Verb = "approve"
    approval_id: str | None = Field(default=None, max_length=300)
    edit: JsonValue = None
    comment: str = Field(default="", max_length=2_000)


class CancelRequest(_Strict):
    """Why a run is cancelled."""

    reason: str = Field(default="", max_length=2_000)


class ResumeRequest(_Strict):
    """New limits for the rest of a run; those it had stay where they are left out."""

    budget_usd: Amount | None = None
    timeout_s: Amount | None = None


class Feedback(_Strict):
    """What was wrong with what was learnt of a run; at least one of the three."""

    success: bool | None = None
    task_type: str | None = Field(default=None, min_length=1, max_length=200)
    comment: str | None = Field(default=None, max_length=10_000)


class Receipt(BaseModel):
    """A finished run in figures.

    Attributes:
        tasks: that were done.
        retried: of them, those that needed more than one attempt.
        duration_s: seconds.
        cost_usd: US dollars.
    """

    tasks: int
    retried: int
    duration_s: float
    cost_usd: float


State: TypeAlias = Literal["running", "waiting", "completed", "failed", "canceled"]


class RunHead(BaseModel):
    """A run in a list.

    Attributes:
        request: in a list, the beginning of a long one.
        state: "running" until it ends, also while it waits for its turn or for a process to go
            on with it; "waiting" while a person must decide.
        created_at, finished_at: seconds since the epoch, UTC.
    """

    run_id: str
    session_id: str
    request: str
    task_type: str
    state: State
    version: str
    created_at: float
    finished_at: float | None = None


class RunView(RunHead):
    """A run.

    Attributes:
        approvals: what it waits for.
        tasks: those that have ended, while it goes on; afterwards they are in the result.
        result: how it ended; None before.
        receipt: its figures; None before.
    """

    approvals: list[ApprovalReport] = Field(default_factory=list[ApprovalReport])
    tasks: list[TaskReport] = Field(default_factory=list[TaskReport])
    result: OrchestrationResult | None = None
    receipt: Receipt | None = None


class RunPage(BaseModel):
    """Runs, newest first; `next_cursor` asks for the next page, None after the last."""

    runs: list[RunHead]
    next_cursor: str | None = None


class DecisionView(BaseModel):
    """One decision of a run."""

    step: str
    subject: str
    choice: str
    reasons: list[str]


class ExplanationView(BaseModel):
    """Why a run went as it did; `text` says the same for people."""

    run_id: str
    decisions: list[DecisionView]
    text: str


class Canceled(BaseModel):
    """Whether there was something to cancel."""

    run_id: str
    canceled: bool


class LadderView(BaseModel):
    """Who would try a task, in which order, and why in this order."""

    task_id: str
    reason: str
    rungs: list[Rung]


class PlanView(BaseModel):
    """A plan that was made but not run.

    Attributes:
        plan: the tasks with their dependencies and named data.
        source: "memory", "model" or "template"; `reason` says why this plan.
        changes: what was adapted from a past plan.
        composites: ids of the tasks that will be planned as requests of their own.
        ladders: who would try each task.
        findings: what validation found.
        changed_by_memory: what routing would have done otherwise without memory.
        notes: what was taken for granted about the files that the request means.
    """

    task_type: str
    plan: dict[str, Any]
    source: str
    reason: str
    changes: list[str]
    composites: list[str]
    ladders: list[LadderView]
    findings: list[str]
    changed_by_memory: list[str]
    notes: list[str]


class SkillView(BaseModel):
    """An operation that an agent offers, with the data it requires and produces."""

    id: str
    description: str
    task_types: list[str]
    requires: list[str]
    produces: list[str]
    needs_model: bool


class AgentView(BaseModel):
    """An agent.

    Attributes:
        remote: whether it is reached over a wire.
        max_concurrency: calls at once.
        available: whether it may be asked now; `reason` says why not.
    """

    name: str
    description: str
    version: str
    remote: bool
    max_concurrency: int
    available: bool
    reason: str = ""
    skills: list[SkillView]


class AgentList(BaseModel):
    """The registered agents."""

    agents: list[AgentView]


def receipt_of(result: OrchestrationResult) -> Receipt:
    """The figures of a result."""
    return Receipt(
        tasks=len(result.tasks),
        retried=sum(len(task.attempts) > 1 for task in result.tasks),
        duration_s=result.duration_s,
        cost_usd=result.cost_usd,
    )
