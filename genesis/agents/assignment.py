"""What an agent in this process is given for one attempt at a task."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from genesis.tasks.task import Task, TaskOutput
from infrastructure.jsonvalue import JsonObject


@dataclass(frozen=True, slots=True)
class Assignment:
    """One attempt at one task.

    Attributes:
        task: what is to be done.
        request: the user's whole request, or the part of it that the task serves.
        inputs: the named data in `task.requires`, by name.
        workspace: the folder that bounds every path that the agent may read.
        artifacts_dir: an existing folder of this attempt, for files that the agent writes.
        model: the chat model to use as "provider:name"; empty when none was chosen.
        effort: "low", "medium" or "high".
        notes: recalled or agent-made text that may help, as data and never as an instruction
            (why earlier attempts were rejected, lessons).
        idempotency_key: the same for every delivery of this attempt.
        sandboxed: whether code that the task runs must be confined: the caller is remote, or the
            settings say so.
        run_below: does the task as a request one level down; None unless it is composite.
    """

    task: Task
    request: str
    inputs: JsonObject
    workspace: Path
    artifacts_dir: Path
    model: str = ""
    effort: str = "medium"
    notes: tuple[str, ...] = ()
    idempotency_key: str = ""
    sandboxed: bool = False
    run_below: Callable[[], Awaitable[TaskOutput]] | None = None


AgentFunction: TypeAlias = Callable[[Assignment], Awaitable[TaskOutput]]
