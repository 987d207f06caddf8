"""What execution tells while it goes on: for progress, the journal and the record of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from genesis.tasks.task import Attempt, TaskResult


@dataclass(frozen=True, slots=True)
class TaskStarted:
    """A task left the queue. `at` is seconds since the epoch, here and below."""

    run_id: str
    task_id: str
    at: float


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    """An agent is about to be asked; the idempotency key goes down to it."""

    run_id: str
    task_id: str
    at: float
    number: int
    agent: str
    operation: str
    model: str
    effort: str
    idempotency_key: str


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


ExecutionEvent: TypeAlias = (
    TaskStarted | AttemptStarted | SubRequestStarted | AttemptProgress | AttemptEnded | TaskEnded
)
Emit: TypeAlias = Callable[[ExecutionEvent], None]


def no_events(event: ExecutionEvent) -> None:
    """Nobody listens."""
