"""A task of a plan, what proves it done, and what an agent hands in for it."""

from __future__ import annotations

from dataclasses import dataclass, field

from infrastructure.jsonvalue import JsonObject, JsonValue


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
        task_type: one of the nine types of `genesis.tasks.types`, or a custom one.
        operation: the skill wanted ("profile_data"); empty when any skill that makes
            `produces` will do.
        requires: named data it needs, given with the request or produced by a dependency.
        produces: named data it must make.
        depends_on: ids of tasks that must have succeeded before.
        parent: id of the composite task that it was expanded from; empty at the top.
        acceptance: checks that must all pass before the task counts as done.
        timeout_s: seconds that one attempt may take; None takes the setting's default.
    """

    id: str
    description: str
    task_type: str
    operation: str = ""
    requires: tuple[str, ...] = ()
    produces: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    parent: str = ""
    acceptance: tuple[Acceptance, ...] = ()
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer consumed: tokens of a chat model (0 without one) and US dollars."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0


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
