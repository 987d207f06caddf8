"""A task of a plan, what proves it done, and what an agent hands in for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from infrastructure.jsonvalue import JsonObject, JsonValue

SUB_REQUEST = "sub_request"
"""The operation of a composite task: a request of its own, planned when it is reached."""

COMPOSITE = "composite"
"""The task type of composite tasks: what they are for says their own request."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A check by name, with its parameters (see `genesis.tasks.checks`)."""

    check: str
    params: JsonObject = field(default_factory=dict[str, JsonValue])


@dataclass(frozen=True, slots=True)
class Task:
    """One unit of work for one agent.

    Attributes:
        id: unique within its plan: letters, digits, '_', '-' and '.'.
        description: what is to be done, in words, for the agent.
        task_type: one of the nine types of `genesis.tasks.types`, or a custom one; `COMPOSITE` of
            every composite task, whatever was given.
        operation: the skill wanted ("profile_data"); empty when any skill that makes
            `produces` will do.
        requires: named data it needs, given with the request or produced by a dependency.
        produces: named data it must make.
        depends_on: ids of tasks that must have succeeded before.
        acceptance: checks that must all pass before the task counts as done.
        timeout_s: seconds that one attempt may take; None takes the setting's default.
        request: the part of the request that it serves, where the request asks for several
            things; empty when it serves the whole.
        bindings: (name, datum) pairs: which datum of the plan is handed over under a required
            name, where the two differ ("dataset", "dataset_2").
    """

    id: str
    description: str
    task_type: str
    operation: str = ""
    requires: tuple[str, ...] = ()
    produces: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    acceptance: tuple[Acceptance, ...] = ()
    timeout_s: float | None = None
    request: str = ""
    bindings: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.composite and self.task_type != COMPOSITE:
            object.__setattr__(self, "task_type", COMPOSITE)

    @property
    def composite(self) -> bool:
        """Whether it is a request of its own, one level down."""
        return self.operation == SUB_REQUEST

    def datum(self, name: str) -> str:
        """The datum of the plan that is handed over under a required name."""
        return dict(self.bindings).get(name, name)


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer consumed: tokens of a chat model (0 without one) and US dollars.

    Sums with `+`.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cost_usd + other.cost_usd,
        )


@dataclass(frozen=True, slots=True)
class TaskOutput:
    """What an agent hands in for a task.

    Attributes:
        text: the answer for people.
        data: the named data it produced, by name; each value is plain JSON.
        artifacts: absolute paths of files that it wrote.
        usage: tokens and money spent.
    """

    text: str = ""
    data: JsonObject = field(default_factory=dict[str, JsonValue])
    artifacts: tuple[str, ...] = ()
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found. `reason` says what was compared and, if it failed, what differs."""

    passed: bool
    check: str
    reason: str


class TaskStatus(StrEnum):
    """How a task ended; `PENDING`, `RUNNING` and `WAITING` are seen only while a run goes on.

    One that is `WAITING` has not ended: a person must decide first, or its process is to end.
    """

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELED = "canceled"


class AttemptOutcome(StrEnum):
    """What became of one attempt."""

    VERIFIED = "verified"
    REJECTED = "rejected"
    FAILED = "failed"
    TIMEOUT = "timeout"
    UNAVAILABLE = "unavailable"
    OVER_BUDGET = "over_budget"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt by one agent; `reason` is the verdict's or the error's."""

    number: int
    agent: str
    outcome: AttemptOutcome
    reason: str
    operation: str = ""
    model: str = ""
    effort: str = ""
    duration_s: float = 0.0
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class TaskResult:
    """How one task ended.

    Attributes:
        task_id: the task.
        status: COMPLETED only when every acceptance check passed.
        attempts: in order; the last one decided.
        output: what was handed in and verified; None unless completed.
        verdict: the deciding check's verdict; None when no check was reached.
        error: why it failed or was skipped; empty when completed.
        duration_s: seconds from the task's start to its end, all attempts.
    """

    task_id: str
    status: TaskStatus
    attempts: tuple[Attempt, ...] = ()
    output: TaskOutput | None = None
    verdict: Verdict | None = None
    error: str = ""
    duration_s: float = 0.0

    @property
    def agent(self) -> str:
        """Who made the last attempt; empty when there was none."""
        return self.attempts[-1].agent if self.attempts else ""

    @property
    def model(self) -> str:
        """The chat model of the last attempt; empty when none was used."""
        return self.attempts[-1].model if self.attempts else ""

    @property
    def why_failed(self) -> str:
        """What is said of a task that failed."""
        return f"task {self.task_id!r} failed: {self.error}"

    @property
    def cost_usd(self) -> float:
        """Money of all attempts, US dollars."""
        return sum(attempt.usage.cost_usd for attempt in self.attempts)
