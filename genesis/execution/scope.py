"""What execution needs to know of the run that a task belongs to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from genesis.execution.below import RunBelow
from genesis.execution.events import Emit, no_events
from infrastructure.jsonvalue import JsonObject
from infrastructure.resilience.budget import Budget


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

    @property
    def files_dir(self) -> Path:
        """The folder that holds every file that agents wrote for the outermost request."""
        return self.outermost_dir or self.artifacts_dir
