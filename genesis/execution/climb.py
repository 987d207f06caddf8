"""One task on its way up its ladder: what was tried, what came of it, who may still be asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from genesis.execution.answer import plain
from genesis.execution.approvals import Approval
from genesis.execution.scope import RunScope
from genesis.routing.ladder import Ladder, Rung
from genesis.tasks.task import (
    Attempt,
    AttemptOutcome,
    Task,
    TaskOutput,
    TaskResult,
    TaskStatus,
    Verdict,
)
from infrastructure.jsonvalue import JsonObject, JsonValue

_MAX_NOTE = 1_000


@dataclass(frozen=True, slots=True)
class Paused:
    """An attempt that has not ended, because a person must decide first.

    Attributes:
        attempt: it, as far as it came.
        reason: what it waits for.
        question: what the agent asks, if it is the agent who asks.
    """

    attempt: Attempt
    reason: str
    question: Approval | None = None


@dataclass(slots=True)
class Climb:
    """One task on its way up the ladder.

    Attributes:
        task: what is to be done.
        scope: its run.
        notes: text for the agents, as data.
        started: monotonic seconds.
        inputs: the named data that it requires.
        attempts: in order; the one that was verified is the last.
        made: numbers of the attempts that have ended.
        verdict: the last check's.
        output: what was verified first; None until then.
        winner: number of that attempt; 0 until then.
        waits_for: what it waits for; empty while it goes on.
    """

    task: Task
    scope: RunScope
    notes: tuple[str, ...]
    started: float
    inputs: JsonObject = field(default_factory=dict[str, JsonValue])
    attempts: list[Attempt] = field(default_factory=list[Attempt])
    made: set[int] = field(default_factory=set[int])
    verdict: Verdict | None = None
    output: TaskOutput | None = None
    winner: int = 0
    waits_for: str = ""

    def result(self, status: TaskStatus, now: float, error: str = "") -> TaskResult:
        """How it ended, or stopped, at this monotonic time."""
        return TaskResult(
            self.task.id,
            status,
            tuple(self.attempts),
            self.output,
            self.verdict,
            error,
            round(now - self.started, 6),
        )

    def take_over(self) -> None:
        """Take over the attempts that ended before it was begun again."""
        made = sorted(self.scope.made.get(self.task.id, ()), key=lambda attempt: attempt.number)
        self.attempts += made
        self.made.update(attempt.number for attempt in made)
        rejected = (note_of(a) for a in made if a.outcome is AttemptOutcome.REJECTED)
        self.notes = (*self.notes, *rejected)

    def keep(self, status: TaskStatus) -> None:
        """Leave what was tried to whoever begins it again; nothing once it has ended."""
        self.scope.made.pop(self.task.id, None)
        if status is TaskStatus.WAITING:
            ended = (a for a in self.attempts if a.outcome is not AttemptOutcome.CANCELED)
            self.scope.made[self.task.id] = tuple(ended)

    def not_made(self, number: int, rung: Rung, reason: str) -> None:
        """Note an attempt for which nobody was asked."""
        self.attempts.append(attempt_by(rung, number, reason))


def attempt_by(rung: Rung, number: int, reason: str) -> Attempt:
    """An attempt of which nothing has come yet."""
    return Attempt(
        number, rung.agent, AttemptOutcome.CANCELED, reason, rung.operation, rung.model, rung.effort
    )


def note_of(attempt: Attempt) -> str:
    """What the next agent is told of an answer that was rejected."""
    said = f"an answer of agent {attempt.agent!r} was rejected by its check: {attempt.reason}"
    return plain(said, _MAX_NOTE)


def open_rungs(
    climb: Climb, ladder: Ladder, upstream: Mapping[str, TaskResult]
) -> tuple[Rung, ...]:
    """Whom no rule keeps from the task for what they did before; the others are noted once."""
    barred: dict[str, Rung] = {}
    for rung in ladder.rungs:
        why = "" if rung.agent in barred else _barred(rung, ladder, upstream)
        if why:
            barred[rung.agent] = rung
            climb.not_made(len(climb.attempts) + 1, rung, why)
    if not barred:
        return ladder.rungs
    return tuple(r for r in ladder.rungs if r.agent not in barred) + tuple(
        r for r in ladder.spare if not _barred(r, ladder, upstream)
    )


def _barred(rung: Rung, ladder: Ladder, upstream: Mapping[str, TaskResult]) -> str:
    """Why a rule keeps the agent from this task: it did another one; empty when none does."""
    for apart in ladder.apart:
        done = upstream.get(apart.task_id)
        if done is not None and apart.bars(rung.agent, done.agent):
            who = "it" if rung.agent == done.agent else f"{done.agent!r}, the same person,"
            return f"not asked: {who} did task {apart.task_id!r}; {apart.why}"
    return ""


def why_failed(attempts: list[Attempt]) -> str:
    """What became of each attempt, in words."""
    return "; ".join(
        f"attempt {attempt.number} by {attempt.agent} {attempt.outcome.value.replace('_', ' ')}: "
        f"{attempt.reason}"
        for attempt in attempts
    )
