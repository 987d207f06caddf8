"""What execution tells while it goes on: for progress, the journal and the record of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from genesis.execution.approvals import Approval, Decision
from genesis.tasks.task import Attempt, TaskResult


@dataclass(frozen=True, slots=True)
class TaskStarted:
    """A task left the queue. `at` is seconds since the epoch, here and below."""

    run_id: str
    task_id: str
    at: float


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    """An agent is about to be asked; the idempotency key goes down to it.

    `reserved_usd` is what it is expected to cost; so much counts as spent where nobody lives to
    tell what it did.
    """

    run_id: str
    task_id: str
    at: float
    number: int
    agent: str
    operation: str
    model: str
    effort: str
    idempotency_key: str
    reserved_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class SubRequestStarted:
    """An attempt at a composite task goes one level down, as the run `sub_run_id`."""

    run_id: str
    task_id: str
    at: float
    number: int
    sub_run_id: str


@dataclass(frozen=True, slots=True)
class AttemptProgress:
    """What an agent said while it worked: agent-made text, at most 500 characters."""

    run_id: str
    task_id: str
    at: float
    number: int
    agent: str
    text: str


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """An attempt has its outcome."""

    run_id: str
    task_id: str
    at: float
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class TaskEnded:
    """A task has its result."""

    run_id: str
    task_id: str
    at: float
    result: TaskResult


@dataclass(frozen=True, slots=True)
class ApprovalRequested:
    """A person must decide before the run goes on; see `genesis.execution.approvals.Approval`."""

    run_id: str
    task_id: str
    at: float
    approval: Approval


@dataclass(frozen=True, slots=True)
class ApprovalDecided:
    """A person decided."""

    run_id: str
    task_id: str
    at: float
    approval_id: str
    decision: Decision


ExecutionEvent: TypeAlias = (
    TaskStarted
    | AttemptStarted
    | SubRequestStarted
    | AttemptProgress
    | AttemptEnded
    | TaskEnded
    | ApprovalRequested
    | ApprovalDecided
)
Emit: TypeAlias = Callable[[ExecutionEvent], None]


def no_events(event: ExecutionEvent) -> None:
    """Nobody listens."""
