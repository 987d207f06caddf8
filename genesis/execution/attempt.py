"""One task to its verdict: ask, check, and climb to the next rung until a check says yes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from genesis.agents.registry import AgentRegistry
from genesis.execution.answer import AnswerNeeded
from genesis.execution.approvals import Approval, Approvals, why_rejected
from genesis.execution.climb import (
    Climb,
    Paused,
    attempt_by,
    note_of,
    open_rungs,
    why_failed,
)
from genesis.execution.delivery import Deliveries
from genesis.execution.events import AttemptEnded, AttemptStarted, TaskEnded, TaskStarted
from genesis.execution.hedge import Hedges, Lane
from genesis.execution.order import Bill, Order
from genesis.execution.scope import RunScope
from genesis.execution.statistics import ExecutionStatistics, RunnerStatistics
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
    Verdict,
)
from infrastructure.clock import Clock
from infrastructure.jsonvalue import JsonValue
from infrastructure.text import strip_control

__all__ = ["RunScope", "TaskRunner"]


class TaskRunner:
    """Takes tasks to their verdicts; shared by all runs.

    Args:
        registry: the agents and the acceptance checks.
        deliveries: puts one attempt to one agent.
        clock: times and deadlines.
        timeout_s: seconds that one attempt may take where its task does not say.
        check_timeout_s: seconds that one acceptance check may take.
        hedges: when the next rung is begun beside one that takes long; None for never.
    """

    def __init__(
        self,
        registry: AgentRegistry,
        deliveries: Deliveries,
        clock: Clock,
        *,
        timeout_s: float = 120.0,
        check_timeout_s: float = 120.0,
        hedges: Hedges | None = None,
    ) -> None:
        self._registry = registry
        self._deliveries = deliveries
        self._clock = clock
        self._timeout_s = timeout_s
        self._check_timeout_s = check_timeout_s
        self._hedges = hedges
        self._outcomes = dict.fromkeys(AttemptOutcome, 0)
        self._waited = 0

    @property
    def statistics(self) -> ExecutionStatistics:
        """What execution did and does, over all runs."""
        delivered = self._deliveries
        return ExecutionStatistics(
            RunnerStatistics(dict(self._outcomes), self._waited),
            self._hedges.statistics if self._hedges else None,
            delivered.statistics,
            delivered.loads,
            delivered.breakers,
        )

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
        climb = Climb(task, scope, notes, self._clock.monotonic())
        try:
            result = await self._climb(climb, ladder, upstream)
        except asyncio.CancelledError:
            self._emit_end(climb, self._result(climb, TaskStatus.CANCELED, "the run was cancelled"))
            raise
        climb.keep(result.status)
        if result.status is TaskStatus.WAITING:
            self._waited += 1
        else:
            self._emit_end(climb, result)
        return result

    async def _climb(
        self, climb: Climb, ladder: Ladder, upstream: Mapping[str, TaskResult]
    ) -> TaskResult:
        problem = self._prepare(climb, upstream) or self._unapproved(climb)
        if climb.waits_for:
            return self._result(climb, TaskStatus.WAITING, climb.waits_for)
        if problem:
            return self._result(climb, TaskStatus.FAILED, problem)
        rungs = open_rungs(climb, ladder, upstream)
        first = len(climb.attempts) + 1
        climb.take_over()
        for number, rung in enumerate(rungs, first):
            if number in climb.made:
                continue
            if climb.scope.stopping():
                return self._result(climb, TaskStatus.WAITING, "its process is to end")
            if self._seconds_left(climb.scope) <= 0:
                late = "the run's deadline has passed, so it was not asked"
                climb.not_made(number, rung, late)
                break
            await self._try(climb, number, rung, rungs[number - first + 1 :])
            if climb.waits_for:
                return self._result(climb, TaskStatus.WAITING, climb.waits_for)
            if climb.output is not None:
                return self._result(climb, TaskStatus.COMPLETED)
        return self._result(climb, TaskStatus.FAILED, why_failed(climb.attempts))

    def _unapproved(self, climb: Climb) -> str:
        """Why a person does not want it done; `waits_for` is set where nobody has decided."""
        approval = climb.scope.approvals.for_task(climb.task)
        if approval is None:
            return ""
        if approval.decision is None:
            climb.waits_for = approval.question
        elif approval.rejected:
            return why_rejected(approval)
        elif approval.decision.verb == "edit":
            said = strip_control(str(approval.decision.edit))
            climb.task = replace(climb.task, description=said)
        return ""

    def _prepare(self, climb: Climb, upstream: Mapping[str, TaskResult]) -> str:
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

    async def _try(self, climb: Climb, number: int, rung: Rung, after: tuple[Rung, ...]) -> None:
        """Make one attempt, and the next beside it where this one takes long."""
        if self._hedges is None or not self._may_hedge(climb, number, rung, after):
            paused = await self._attempt(climb, number, rung, Bill())
            if paused is not None:
                self._wait(climb, paused)
            return
        second = Lane(number + 1, after[0])

        def ready() -> bool:
            order = self._order(climb, second.number, second.rung, Bill())
            return not climb.scope.stopping() and self._deliveries.ready(order)

        async def attempt(lane: Lane, bill: Bill) -> Paused | None:
            climb.made.add(lane.number)
            return await self._attempt(climb, lane.number, lane.rung, bill)

        waiting = await self._hedges.race(
            Lane(number, rung), second, attempt, ready, lambda: climb.winner
        )
        if climb.output is None and waiting:
            self._wait(climb, waiting.pop(0))
        for paused in waiting:  # the others need no answer any more
            if paused.question is not None:
                await self._deliveries.abandon(paused.question)
            self._end_attempt(climb, replace(paused.attempt, reason=_outrun(climb)))
        # The one that decided is the last.
        climb.attempts.sort(key=lambda made: (made.outcome is AttemptOutcome.VERIFIED, made.number))

    def _may_hedge(self, climb: Climb, number: int, rung: Rung, after: tuple[Rung, ...]) -> bool:
        if climb.task.composite or not after or number + 1 in climb.made or rung.seconds <= 0:
            return False
        other = after[0]
        if (rung.agent, rung.model) == (other.agent, other.model):
            return False
        asked = climb.scope.approvals
        lanes = ((number, rung), (number + 1, other))
        orders = (self._order(climb, n, r, Bill()) for n, r in lanes)
        return not any(_last_question(asked, _question_id(order, 1)) for order in orders)

    def _wait(self, climb: Climb, paused: Paused) -> None:
        climb.waits_for = paused.reason
        if paused.question is not None:
            climb.scope.approvals.ask(paused.question)

    def _order(self, climb: Climb, number: int, rung: Rung, bill: Bill) -> Order:
        task, scope = climb.task, climb.scope
        label = f"{scope.round}+{number}" if scope.round else str(number)
        key = f"{scope.run_id}:{task.id}:{label}"
        # A task id may be "." or "..", so it never stands alone in a path.
        folder = scope.artifacts_dir / f"{task.id}-{label}"
        return Order(task, rung, scope, climb.inputs, climb.notes, number, key, folder, bill=bill)

    async def _attempt(self, climb: Climb, number: int, rung: Rung, bill: Bill) -> Paused | None:
        """Make one attempt; sets the climb's output when it is the first that is verified."""
        order = self._order(climb, number, rung, bill)
        base = attempt_by(rung, number, "the run was cancelled")
        answer = _last_question(climb.scope.approvals, _question_id(order, 1))
        if answer is None:
            return await self._make(climb, order, base)
        if answer.decision is None:
            return Paused(base, answer.question)
        if answer.rejected:
            await self._deliveries.abandon(answer)
            self._end_attempt(climb, replace(base, reason=why_rejected(answer)))
            return None
        return await self._make(climb, replace(order, answer=answer), base)

    async def _make(self, climb: Climb, order: Order, base: Attempt) -> Paused | None:
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
        made: Attempt | Paused | None = None
        try:
            made = await self._deliver_and_verify(climb, order, base)
        finally:
            if not isinstance(made, Paused):
                if made is None:
                    reason = base.reason if climb.output is None else _outrun(climb)
                    used = order.bill.used(order.reserved_usd)
                    made = replace(base, reason=reason, usage=used)
                lasted = round(self._clock.monotonic() - started, 6)
                self._end_attempt(climb, replace(made, duration_s=lasted))
        return made if isinstance(made, Paused) else None

    def _end_attempt(self, climb: Climb, attempt: Attempt) -> None:
        climb.attempts.append(attempt)
        self._outcomes[attempt.outcome] += 1
        scope = climb.scope
        scope.emit(AttemptEnded(scope.run_id, climb.task.id, self._now(), attempt))

    async def _deliver_and_verify(
        self, climb: Climb, order: Order, base: Attempt
    ) -> Attempt | Paused:
        limit = self._timeout_s if climb.task.timeout_s is None else climb.task.timeout_s
        delivered = await self._deliveries.deliver(order, limit)
        if delivered.waits:
            question = _question(order, delivered.asked) if delivered.asked else None
            return Paused(replace(base, usage=delivered.usage), delivered.reason, question)
        verdict = None
        if delivered.output is not None:
            verdict = await self._verify(climb, delivered.output)
        if climb.output is not None:  # another answer was verified meanwhile
            return replace(base, reason=_outrun(climb), usage=delivered.usage)
        climb.verdict = verdict
        if verdict is None:
            return replace(
                base, outcome=delivered.outcome, reason=delivered.reason, usage=delivered.usage
            )
        outcome = AttemptOutcome.VERIFIED if verdict.passed else AttemptOutcome.REJECTED
        attempt = replace(base, outcome=outcome, reason=verdict.reason, usage=delivered.usage)
        if verdict.passed:
            climb.output, climb.winner = delivered.output, order.number
        else:
            climb.notes = (*climb.notes, note_of(attempt))
        return attempt

    async def _verify(self, climb: Climb, output: TaskOutput) -> Verdict:
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

    def _result(self, climb: Climb, status: TaskStatus, error: str = "") -> TaskResult:
        return climb.result(status, self._clock.monotonic(), error)

    def _emit_end(self, climb: Climb, result: TaskResult) -> None:
        scope = climb.scope
        scope.emit(TaskEnded(scope.run_id, climb.task.id, self._now(), result))


def _outrun(climb: Climb) -> str:
    if climb.output is None:
        return "another attempt, made beside it, waits for an answer"
    return "the answer of an attempt made beside it was verified first"


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
