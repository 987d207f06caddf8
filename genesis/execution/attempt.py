"""One task to its verdict: ask, check, and climb to the next rung until a check says yes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from genesis.agents.registry import AgentRegistry
from genesis.execution.answer import AnswerNeeded, plain
from genesis.execution.approvals import Approval, Approvals, why_rejected
from genesis.execution.delivery import Deliveries, Order
from genesis.execution.events import AttemptEnded, AttemptStarted, TaskEnded, TaskStarted
from genesis.execution.scope import RunScope
from genesis.execution.verify import verify
from genesis.routing.ladder import Ladder, Rung
from genesis.tasks.checks import Submission, checks_for
from genesis.tasks.task import (
    Attempt,
    AttemptOutcome,
    Task,
    TaskOutput,
    TaskResult,
    TaskStatus,
    Usage,
    Verdict,
)
from infrastructure.clock import Clock
from infrastructure.jsonvalue import JsonObject, JsonValue

__all__ = ["RunScope", "TaskRunner"]

_MAX_NOTE = 1_000


@dataclass(slots=True)
class _Climb:
    """One task on its way up the ladder."""

    task: Task
    scope: RunScope
    inputs: JsonObject
    notes: tuple[str, ...]
    started: float
    attempts: list[Attempt] = field(default_factory=list[Attempt])
    verdict: Verdict | None = None
    output: TaskOutput | None = None
    waits_for: str = ""

    def result(self, status: TaskStatus, now: float, error: str = "") -> TaskResult:
        return TaskResult(
            self.task.id,
            status,
            tuple(self.attempts),
            self.output,
            self.verdict,
            error,
            round(now - self.started, 6),
        )


class TaskRunner:
    """Takes tasks to their verdicts; shared by all runs.

    Args:
        registry: the agents and the acceptance checks.
        deliveries: puts one attempt to one agent.
        clock: times and deadlines.
        timeout_s: seconds that one attempt may take where its task does not say.
        check_timeout_s: seconds that one acceptance check may take.
    """

    def __init__(
        self,
        registry: AgentRegistry,
        deliveries: Deliveries,
        clock: Clock,
        *,
        timeout_s: float = 120.0,
        check_timeout_s: float = 120.0,
    ) -> None:
        self._registry = registry
        self._deliveries = deliveries
        self._clock = clock
        self._timeout_s = timeout_s
        self._check_timeout_s = check_timeout_s

    async def run(
        self,
        task: Task,
        ladder: Ladder,
        upstream: Mapping[str, TaskResult],
        scope: RunScope,
        notes: tuple[str, ...] = (),
    ) -> TaskResult:
        """Climb the ladder until an answer passes every acceptance check of the task.

        Never raises for what an agent or a check does: that is in the result. One that is
        `WAITING` has not ended: run it again once a person has decided, or in the next process.

        Args:
            task: what is to be done.
            ladder: whom to ask, in order.
            upstream: results of the tasks that it depends on, directly or not.
            scope: its run.
            notes: text for the agents, as data (lessons).

        Raises:
            asyncio.CancelledError: the run was cancelled; the agent was told to stop.
        """
        scope.emit(TaskStarted(scope.run_id, task.id, self._now()))
        climb = _Climb(task, scope, {}, notes, self._clock.monotonic())
        try:
            result = await self._climb(climb, ladder, upstream)
        except asyncio.CancelledError:
            self._emit_end(climb, self._result(climb, TaskStatus.CANCELED, "the run was cancelled"))
            raise
        if result.status is not TaskStatus.WAITING:
            self._emit_end(climb, result)
        return result

    async def _climb(
        self, climb: _Climb, ladder: Ladder, upstream: Mapping[str, TaskResult]
    ) -> TaskResult:
        problem = self._prepare(climb, upstream) or self._unapproved(climb)
        if climb.waits_for:
            return self._result(climb, TaskStatus.WAITING, climb.waits_for)
        if problem:
            return self._result(climb, TaskStatus.FAILED, problem)
        rungs = _open_rungs(climb, ladder, upstream)
        for rung in rungs[_go_on(climb) :]:
            if climb.scope.stopping():
                return self._result(climb, TaskStatus.WAITING, "its process is to end")
            if self._seconds_left(climb.scope) <= 0:
                late = "the run's deadline has passed, so it was not asked"
                climb.attempts.append(_not_made(climb, rung, late))
                break
            await self._attempt(climb, rung)
            if climb.waits_for:
                return self._result(climb, TaskStatus.WAITING, climb.waits_for)
            if climb.output is not None:
                return self._result(climb, TaskStatus.COMPLETED)
        return self._result(climb, TaskStatus.FAILED, _why(climb.attempts))

    def _unapproved(self, climb: _Climb) -> str:
        """Why a person does not want it done; `waits_for` is set where nobody has decided."""
        approval = climb.scope.approvals.for_task(climb.task)
        if approval is None:
            return ""
        if approval.decision is None:
            climb.waits_for = approval.question
        elif approval.rejected:
            return why_rejected(approval)
        elif approval.decision.verb == "edit":
            climb.task = replace(climb.task, description=str(approval.decision.edit))
        return ""

    def _prepare(self, climb: _Climb, upstream: Mapping[str, TaskResult]) -> str:
        """Gather the inputs; what is missing, before anybody is asked and paid."""
        available = dict(climb.scope.given)
        for result in upstream.values():
            if result.output is not None:
                available |= result.output.data
        inputs: dict[str, JsonValue] = {}
        for name in climb.task.requires:
            datum = climb.task.datum(name)
            if datum not in available:
                return f"it requires {datum!r}, which no task before it has produced"
            inputs[name] = available[datum]
        climb.inputs = inputs
        for acceptance in checks_for(climb.task, self._registry.checks_of_data):
            if acceptance.check not in self._registry.checks:
                return f"its acceptance check {acceptance.check!r} is not registered"
        return ""

    async def _attempt(self, climb: _Climb, rung: Rung) -> None:
        """Make one attempt; sets the climb's output when it is verified."""
        task, scope, number = climb.task, climb.scope, len(climb.attempts) + 1
        label = f"{scope.round}+{number}" if scope.round else str(number)
        key = f"{scope.run_id}:{task.id}:{label}"
        # A task id may be "." or "..", so it never stands alone in a path.
        folder = scope.artifacts_dir / f"{task.id}-{label}"
        order = Order(task, rung, scope, climb.inputs, climb.notes, number, key, folder)
        base = Attempt(
            number, rung.agent, AttemptOutcome.CANCELED, "the run was cancelled",
            rung.operation, rung.model, rung.effort,
        )  # fmt: skip
        answer = _last_question(scope.approvals, _question_id(order, 1))
        if answer is not None and answer.decision is None:
            climb.waits_for = answer.question
            return
        if answer is not None and answer.rejected:
            await self._deliveries.abandon(answer)
            self._end_attempt(climb, replace(base, reason=why_rejected(answer)))
            return
        await self._make(climb, replace(order, answer=answer), base)

    async def _make(self, climb: _Climb, order: Order, base: Attempt) -> None:
        scope, rung = climb.scope, order.rung
        scope.emit(
            AttemptStarted(
                scope.run_id,
                climb.task.id,
                self._now(),
                order.number,
                rung.agent,
                rung.operation,
                rung.model,
                rung.effort,
                order.key,
                order.reserved_usd,
            )
        )
        if order.reserved_usd:
            await scope.flush()  # money is spent only after the intent to spend it is durable
        started = self._clock.monotonic()
        attempt, output, ended = base, None, False
        try:
            attempt, output = await self._deliver_and_verify(climb, order, base)
            ended = True
        finally:
            attempt = replace(attempt, duration_s=round(self._clock.monotonic() - started, 6))
            if not ended:
                attempt = replace(attempt, usage=Usage(cost_usd=rung.cost_usd))
            if not climb.waits_for:
                self._end_attempt(climb, attempt)
        climb.output = output

    def _end_attempt(self, climb: _Climb, attempt: Attempt) -> None:
        climb.attempts.append(attempt)
        scope = climb.scope
        scope.emit(AttemptEnded(scope.run_id, climb.task.id, self._now(), attempt))

    async def _deliver_and_verify(
        self, climb: _Climb, order: Order, base: Attempt
    ) -> tuple[Attempt, TaskOutput | None]:
        limit = self._timeout_s if climb.task.timeout_s is None else climb.task.timeout_s
        delivered = await self._deliveries.deliver(order, limit)
        if delivered.waits:
            climb.waits_for = delivered.reason
            if delivered.asked is not None:
                climb.scope.approvals.ask(_question(order, delivered.asked))
            return base, None
        if delivered.output is None:
            climb.verdict = None
            failed = replace(
                base,
                outcome=delivered.outcome,
                reason=delivered.reason,
                usage=delivered.usage,
            )
            return failed, None
        verdict = await self._verify(climb, delivered.output)
        climb.verdict = verdict
        outcome = AttemptOutcome.VERIFIED if verdict.passed else AttemptOutcome.REJECTED
        attempt = replace(base, outcome=outcome, reason=verdict.reason, usage=delivered.usage)
        if verdict.passed:
            return attempt, delivered.output
        climb.notes = (*climb.notes, _note(attempt))
        return attempt, None

    async def _verify(self, climb: _Climb, output: TaskOutput) -> Verdict:
        scope = climb.scope
        asked = climb.task.request or scope.request
        submission = Submission(
            climb.task,
            asked,
            climb.inputs,
            output,
            {},
            scope.workspace,
            scope.artifacts_dir,
            scope.sandboxed,
        )
        acceptances = checks_for(climb.task, self._registry.checks_of_data)
        limit = max(0.0, min(self._check_timeout_s, self._seconds_left(scope)))
        return await verify(submission, acceptances, self._registry.checks, limit)

    def _now(self) -> float:
        """When something happens, seconds since the epoch: whole milliseconds, for journals."""
        return round(self._clock.now(), 3)

    def _seconds_left(self, scope: RunScope) -> float:
        return scope.deadline - self._clock.monotonic()

    def _result(self, climb: _Climb, status: TaskStatus, error: str = "") -> TaskResult:
        return climb.result(status, self._clock.monotonic(), error)

    def _emit_end(self, climb: _Climb, result: TaskResult) -> None:
        scope = climb.scope
        scope.emit(TaskEnded(scope.run_id, climb.task.id, self._now(), result))


def _go_on(climb: _Climb) -> int:
    """Take over the attempts that ended in an earlier process; returns how many there were."""
    made = climb.scope.made.get(climb.task.id, ())
    climb.attempts += made
    rejected = (_note(a) for a in made if a.outcome is AttemptOutcome.REJECTED)
    climb.notes = (*climb.notes, *rejected)
    return len(made)


def _note(attempt: Attempt) -> str:
    said = f"an answer of agent {attempt.agent!r} was rejected by its check: {attempt.reason}"
    return plain(said, _MAX_NOTE)


def _question_id(order: Order, number: int) -> str:
    return f"input:{order.key.partition(':')[2]}:{number}"


def _last_question(approvals: Approvals, first_id: str) -> Approval | None:
    """What the agent asked last in this attempt; None where it asked nothing."""
    stem, number, found = first_id.rpartition(":")[0], 1, None
    while (asked := approvals.get(f"{stem}:{number}")) is not None:
        found, number = asked, number + 1
    return found


def _question(order: Order, asked: AnswerNeeded) -> Approval:
    number = int(order.answer.id.rpartition(":")[2]) + 1 if order.answer else 1
    return Approval(
        _question_id(order, number),
        "input",
        f"agent {order.rung.agent!r} asks: {asked}",
        order.task.id,
        {"task_id": asked.task_id, "context_id": asked.context_id, "agent": order.rung.agent},
    )


def _open_rungs(
    climb: _Climb, ladder: Ladder, upstream: Mapping[str, TaskResult]
) -> tuple[Rung, ...]:
    """Whom no rule keeps from the task for what they did before; the others are noted once."""
    barred: dict[str, Rung] = {}
    for rung in ladder.rungs:
        why = "" if rung.agent in barred else _barred(rung, ladder, upstream)
        if why:
            barred[rung.agent] = rung
            climb.attempts.append(_not_made(climb, rung, why))
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


def _not_made(climb: _Climb, rung: Rung, reason: str) -> Attempt:
    return Attempt(
        len(climb.attempts) + 1, rung.agent, AttemptOutcome.CANCELED, reason,
        rung.operation, rung.model, rung.effort,
    )  # fmt: skip


def _why(attempts: list[Attempt]) -> str:
    return "; ".join(
        f"attempt {attempt.number} by {attempt.agent} {attempt.outcome.value.replace('_', ' ')}: "
        f"{attempt.reason}"
        for attempt in attempts
    )
