"""Records and clocks that the memory's tests share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from infrastructure.jsonvalue import JsonObject
from infrastructure.memory.finished_run import FinishedRun
from infrastructure.memory.memori.outcomes import OutcomeRecord
from infrastructure.memory.memori.workflows import Workflow

START = 1_700_000_000.0


class SetClock:
    """A clock that stands until a test moves it."""

    def __init__(self, now: float = START) -> None:
        self.time = now

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time


def workflow(name: str, **changes: Any) -> Workflow:
    values: dict[str, Any] = {
        "id": name,
        "run_id": name,
        "task_type": "testing",
        "steps": ("testing:tester:", "documentation:writer:small"),
        "success": True,
        "duration_s": 2.0,
        "cost_usd": 0.01,
        "session_id": "s",
        "created_at": START,
    }
    return Workflow(**{**values, **changes})


def attempt(success: bool, agent: str = "tester", task_id: str = "t1") -> OutcomeRecord:
    return OutcomeRecord(
        task_type="testing",
        operation="run_tests",
        agent=agent,
        model="",
        effort="low",
        success=success,
        seconds=1.5,
        usd=0.002,
        task_id=task_id,
    )


PLAN: JsonObject = {"tasks": [{"id": "t1", "operation": "run_tests"}]}


def finished(
    run_id: str, success: bool = True, outcomes: Sequence[OutcomeRecord] = (), **changes: Any
) -> FinishedRun:
    values: dict[str, Any] = {
        "run_id": run_id,
        "session_id": "s",
        "request": "run the tests of my project",
        "task_type": "testing",
        "success": success,
        "steps": ("testing:tester:",),
        "duration_s": 2.0,
        "cost_usd": 0.01,
        "finished_at": START,
        "given": ("project",),
        "plan": PLAN,
        "outcomes": tuple(outcomes) or (attempt(success),),
    }
    return FinishedRun(**{**values, **changes})
