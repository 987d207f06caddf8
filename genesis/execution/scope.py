"""What execution needs to know of the run that a task belongs to."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from genesis.execution.approvals import Approvals
from genesis.execution.below import RunBelow
from genesis.execution.events import Emit, no_events
from genesis.tasks.task import Attempt
from infrastructure.jsonvalue import JsonObject
from infrastructure.resilience.budget import Budget


async def nothing_to_flush() -> None:
    """Nothing is kept."""


@dataclass(frozen=True, slots=True)
class RunScope:
    """What an attempt needs to know of the run that it belongs to.

    Attributes:
        run_id: the run.
        request: the user's whole request.
        given: named data that came with it.
        workspace: the folder that bounds every path that agents may read.
        artifacts_dir: the run's own folder for files that agents write.
        budget: money that is left to the run.
        deadline: on the clock's `monotonic()`.
        round: how often the plan was made anew after a failure; a task that returns under its old
            id is another attempt with another idempotency key.
        emit: told what happens, as it happens.
        outermost_dir: the folder of the request that all this is a part of; None when that is
            `artifacts_dir`.
        run_below: does a composite task as a request one level down; None where that cannot be.
        approvals: what a person must decide first.
        flush: makes what was emitted durable.
        stopping: whether nothing new is to be begun, because the process is to end.
        made: attempts that ended before their task was begun again, by task id.
        sandboxed: whether code may run in the sandbox alone, because the caller is elsewhere.
        told: what earlier requests taught, as data for every agent; empty for nothing.
    """

    run_id: str
    request: str
    given: JsonObject
    workspace: Path
    artifacts_dir: Path
    budget: Budget
    deadline: float = math.inf
    round: int = 0
    emit: Emit = no_events
    outermost_dir: Path | None = None
    run_below: RunBelow | None = None
    approvals: Approvals = field(default_factory=Approvals)
    flush: Callable[[], Awaitable[None]] = nothing_to_flush
    stopping: Callable[[], bool] = bool
    made: dict[str, tuple[Attempt, ...]] = field(default_factory=dict[str, tuple[Attempt, ...]])
    sandboxed: bool = False
    told: str = ""

    @property
    def files_dir(self) -> Path:
        """The folder that holds every file that agents wrote for the outermost request."""
        return self.outermost_dir or self.artifacts_dir
