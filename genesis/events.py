"""What happens in a run, as typed events: streamed to the caller and kept in the run's journal.

Every decision carries its reason, so that `explain` needs nothing but the journal.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Literal, TypeAlias

import orjson

from genesis.execution.events import ExecutionEvent
from genesis.planning.findings import ValidationReport
from genesis.routing.ladder import Ladder, Route
from infrastructure.jsonvalue import JsonObject

if TYPE_CHECKING:  # NumPy comes with it, and whoever reads journals does without
    from infrastructure.memory.agemem.decider import Decision


@dataclass(frozen=True, slots=True)
class RunAccepted:
    """The request was understood enough to start; it is stored before anything is done.

    `parent_run_id` is the run that it is a part of; empty for a request of its own. The rest is
    what going on with the run later needs: its limits, whom to ask for approval and when (see
    `genesis.execution.approvals`), the folder that bounds its paths, and whether the caller is
    elsewhere.
    """

    run_id: str
    session_id: str
    request: str
    given: JsonObject
    notes: tuple[str, ...]
    version: str
    parent_run_id: str = ""
    budget_usd: float | None = None
    timeout_s: float | None = None
    approve: tuple[str, ...] = ()
    workspace: str = ""
    remote: bool = False


@dataclass(frozen=True, slots=True)
class RunResumed:
    """A process goes on with the run; limits that the caller gave anew replace the old ones.

    `at` is seconds since the epoch; `timeout_s` counts from there.
    """

    run_id: str
    at: float
    budget_usd: float | None = None
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class RunPaused:
    """The run stops here for now, with all that is finished: it can be gone on with.

    `state` is "waiting" where a person must decide first, "interrupted" where its process ended.
    """

    run_id: str
    state: Literal["waiting", "interrupted"]
    reason: str


@dataclass(frozen=True, slots=True)
class TaskTypeInferred:
    """Step 0: what kind of request this is, and why."""

    task_type: str
    confidence: float
    reason: str


@dataclass(frozen=True, slots=True)
class RecalledPattern:
    """A sequence of steps that served requests of this type before."""

    steps: tuple[str, ...]
    success_rate: float
    executions: int


@dataclass(frozen=True, slots=True)
class RecalledRun:
    """A similar past request."""

    run_id: str
    request: str
    similarity: float
    successes: int
    failures: int


@dataclass(frozen=True, slots=True)
class MemoryRecalled:
    """Step 0: what was found in memory; `note` says why nothing was looked for or found."""

    patterns: tuple[RecalledPattern, ...] = ()
    past: tuple[RecalledRun, ...] = ()
    attempts_known: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class MemoryDecision:
    """What was decided about memory and came of it; see `agemem.decider.Decision`."""

    moment: str
    about: str
    action: str
    decided_by: str
    reason: str
    probability: float | None
    alternatives: Mapping[str, float]
    features: Mapping[str, float]
    done: bool
    effect: str

    @classmethod
    def of(cls, decision: Decision) -> MemoryDecision:
        """The decision as an event tells it."""
        return cls(**{field.name: getattr(decision, field.name) for field in fields(cls)})


@dataclass(frozen=True, slots=True)
class ContextRecalled:
    """Step 0: what was decided to recall; planners and agents are given `text` as data.

    `note` says who decided, or why nothing was recalled.
    """

    decisions: tuple[MemoryDecision, ...]
    text: str
    note: str


@dataclass(frozen=True, slots=True)
class MemoryLearnt:
    """Step 6: what was decided to remember of the run; `note` as of `ContextRecalled`."""

    decisions: tuple[MemoryDecision, ...]
    note: str


@dataclass(frozen=True, slots=True)
class PlanMade:
    """Step 1: the plan, which planner made it, and why the planners before it did not."""

    plan: JsonObject
    source: str
    reason: str
    changes: tuple[str, ...]
    from_run: str
    passed_over: tuple[str, ...]
    cost_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class PlanSentBack:
    """Step 1: the plan may not be taken by a request at this level; it is made again."""

    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TasksRouted:
    """Step 2: for each task who could do it, best first, and who could not."""

    routes: tuple[Route, ...]


@dataclass(frozen=True, slots=True)
class PlanValidated:
    """Step 3: the findings and the quality score; a plan not accepted goes back to step 1.

    `plan` is the mended plan; None where nothing was mended.
    """

    accepted: bool
    report: ValidationReport
    mended: tuple[str, ...] = ()
    plan: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class PlanPriced:
    """Step 4: the order of attempts for each task; `changed_by_memory` says what learning did."""

    ladders: tuple[Ladder, ...]
    changed_by_memory: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunEnded:
    """Step 6: how the run ended; written in the same commit as all that it teaches."""

    run_id: str
    success: bool
    output: str
    errors: tuple[str, ...]
    duration_s: float
    cost_usd: float
    canceled: bool = False


RunEvent: TypeAlias = (
    RunAccepted
    | RunResumed
    | TaskTypeInferred
    | MemoryRecalled
    | ContextRecalled
    | MemoryLearnt
    | PlanMade
    | PlanSentBack
    | TasksRouted
    | PlanValidated
    | PlanPriced
    | ExecutionEvent
    | RunPaused
    | RunEnded
)


def event_line(event: RunEvent, at: float) -> str:
    """The event as one line of JSON, with its type's name and the time.

    Args:
        event: what happened.
        at: when, seconds since the epoch, for those that do not say so themselves.
    """
    head = f'{{"type":"{type(event).__name__}",'
    if not hasattr(event, "at"):
        head += f'"at":{at:.3f},'
    try:
        return head + orjson.dumps(event).decode()[1:]
    except TypeError:
        # Integers beyond 64 bits and lone surrogates are JSON too, but not orjson's.
        return head + json.dumps(asdict(event), separators=(",", ":"))[1:]
