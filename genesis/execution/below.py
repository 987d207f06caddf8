"""A composite task on its way one level down, where it is a request of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from genesis.tasks.task import Task, TaskOutput
from infrastructure.jsonvalue import JsonObject
from infrastructure.resilience.budget import Budget

_MAX_RUN_ID = 200


@dataclass(slots=True)
class Pause:
    """Whether a request one level down stopped before its end, and why; empty when it did not."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class SubRequest:
    """One attempt at a composite task.

    Attributes:
        task: what is to be done; its description is the request.
        number: of the attempt.
        run_id: of the run that it becomes.
        inputs: the named data that come with it.
        folder: for the files that its agents write.
        budget: a part of the run's: what is spent of it is spent there.
        deadline: on the clock's `monotonic()`.
        told: what earlier requests taught, as data for its agents.
        pause: says afterwards whether it waits, instead of having ended.
    """

    task: Task
    number: int
    run_id: str
    inputs: JsonObject
    folder: Path
    budget: Budget
    deadline: float
    told: str = ""
    pause: Pause = field(default_factory=Pause)


RunBelow: TypeAlias = Callable[[SubRequest], Awaitable[TaskOutput]]


def run_id_below(run_id: str, task_id: str, key: str) -> str:
    """The id of the run that an attempt at a composite task becomes, the same at every call.

    Args:
        run_id: of the run that the task belongs to.
        task_id: of the task; '~' can stand in none.
        key: the attempt's idempotency key.
    """
    attempt = key.rpartition(":")[2].replace("+", "-")
    below = f"{run_id}~{task_id}~{attempt}"
    if len(below) <= _MAX_RUN_ID:
        return below
    outermost = run_id.partition("~")[0]
    return f"{outermost}~{hashlib.sha256(below.encode()).hexdigest()[:32]}"
