"""One attempt put to one agent: a free slot, a closed breaker, money reserved, time bounded."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from genesis.agents.adapters import STOP_GRACE_S
from genesis.agents.registry import AgentRegistry
from genesis.agents.wire import local_message, remote_message
from genesis.errors import AgentError, AgentUnavailable, BudgetExceeded, TaskTimeout
from genesis.execution.answer import Answer, AnswerFailed, AnswerNeeded, plain
from genesis.execution.approvals import Approval, why_rejected
from genesis.execution.below import SubRequest, run_id_below
from genesis.execution.events import AttemptProgress
from genesis.execution.order import Delivered, Order
from genesis.execution.slots import AgentLoad, AgentSlots
from genesis.tasks.task import AttemptOutcome, TaskOutput, Usage
from infrastructure.a2a.agent import Agent
from infrastructure.a2a.types import AgentEvent, Message, Part
from infrastructure.clock import Clock
from infrastructure.redaction import hide_secrets
from infrastructure.resilience.breaker import Breakers, BreakerStatistics, Permit
from infrastructure.resilience.retry import RetryPolicy, asked_pause_s, is_retryable, retry
from infrastructure.resilience.stoppable import stoppable
from infrastructure.text import strip_control

__all__ = ["Deliveries", "Order"]

log = logging.getLogger("genesis.execution")

_MAX_PROGRESS = 500
_BREATH = 64
_MAX_REASON = 2_000
# What a request one level down may take to end itself after its deadline.
_GRACE_BELOW_S = 20.0


@dataclass(frozen=True, slots=True)
class DeliveryStatistics:
    """What was put to agents since the process began, over all runs.

    Attributes:
        calls: attempts that reached an agent.
        retries: tries beyond the first of each.
        dropped: calls that did not stop when they were told to (functions of agents apart).
        spent_usd: what they cost, US dollars.
    """

    calls: int
    retries: int
    dropped: int
    spent_usd: float


class Deliveries:
    """Puts attempts to agents; breakers, slots and the retry policy are shared by all runs.

    Args:
        registry: the agents.
        breakers: one per agent.
        slots: bounds each agent's concurrency.
        clock: times and deadlines.
        retry_policy: for what another try may mend.
        rng: for the retries' jitter.
        sleep: pauses between retries.
    """

    def __init__(
        self,
        registry: AgentRegistry,
        breakers: Breakers,
        slots: AgentSlots,
        clock: Clock,
        *,
        retry_policy: RetryPolicy | None = None,
        rng: random.Random | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._registry = registry
        self._breakers = breakers
        self._slots = slots
        self._clock = clock
        self._retry_policy = retry_policy or RetryPolicy()
        self._rng = rng or random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._sleep = sleep
        self._calls = self._tries = self._dropped = 0
        self._spent_usd = 0.0

    @property
    def statistics(self) -> DeliveryStatistics:
        """Counts since the process began, over all runs."""
        tries, calls = self._tries, self._calls
        return DeliveryStatistics(calls, tries - calls, self._dropped, self._spent_usd)

    @property
    def loads(self) -> Mapping[str, AgentLoad]:
        """Calls under way and waiting, by agent."""
        return self._slots.statistics

    @property
    def breakers(self) -> Mapping[str, BreakerStatistics]:
        """Circuit breakers, by agent."""
        return self._breakers.statistics

    def ready(self, order: Order) -> bool:
        """Whether the agent could be asked at once: healthy, free, paid, and no person asked."""
        name, usd = order.rung.agent, order.reserved_usd
        if not self._registry.health(name).available:
            return False
        spent = order.scope.budget.outermost.statistics
        left_usd = order.scope.budget.statistics.left_usd
        return (
            self._slots.free(self._registry.get(name).card)
            and (left_usd is None or usd <= left_usd)
            and order.scope.approvals.may_pay(spent.spent_usd + spent.reserved_usd, usd)
        )

    async def abandon(self, question: Approval) -> None:
        """Tell an agent that its question will not be answered, so that its task can end."""
        detail = question.detail
        try:
            agent = self._registry.get(str(detail.get("agent")))
            async with asyncio.timeout(STOP_GRACE_S):
                await agent.cancel(str(detail.get("task_id")))
        except Exception as error:  # noqa: BLE001 - it is a courtesy: the agent may be gone
            log.warning("an agent could not be told to stop: %s", hide_secrets(repr(error)))

    async def deliver(self, order: Order, timeout_s: float) -> Delivered:
        """Ask the agent, within the time and the run's budget.

        Args:
            order: the attempt.
            timeout_s: seconds from the moment the agent is free to the end of its answer; less
                when the run's deadline is nearer. A composite task keeps its own deadline.
        """
        if order.task.composite:
            order, timeout_s = self._one_level_down(order)
        try:
            agent = self._registry.get(order.rung.agent)
            async with self._slots.use(agent.card, self._seconds_left(order)):
                return await self._priced(agent, order, timeout_s)
        except AgentUnavailable as error:
            return Delivered(None, Usage(), AttemptOutcome.UNAVAILABLE, str(error))
        except BudgetExceeded as error:
            return Delivered(None, Usage(), AttemptOutcome.OVER_BUDGET, str(error))
        except TimeoutError:
            # Nobody was asked, so it says nothing about the agent.
            reason = "the run's deadline passed before the agent was free"
            return Delivered(None, Usage(), AttemptOutcome.CANCELED, reason)

    def _one_level_down(self, order: Order) -> tuple[Order, float]:
        """The order as a request of its own, and the seconds that it may take in all."""
        scope, now = order.scope, self._clock.monotonic()
        own_limit_s = math.inf if order.task.timeout_s is None else order.task.timeout_s
        sub = SubRequest(
            task=order.task,
            number=order.number,
            run_id=run_id_below(scope.run_id, order.task.id, order.key),
            inputs=order.inputs,
            folder=order.folder,
            budget=scope.budget.child(),
            deadline=min(scope.deadline, now + own_limit_s),
            told=scope.told,
        )
        return replace(order, sub=sub), max(0.0, sub.deadline - now) + _GRACE_BELOW_S

    async def _priced(self, agent: Agent, order: Order, timeout_s: float) -> Delivered:
        budget = order.scope.budget
        spent = budget.outermost.statistics
        approval = order.scope.approvals.for_cost(
            order.task, spent.spent_usd + spent.reserved_usd, order.reserved_usd
        )
        if approval is not None and not approval.granted:
            return _not_approved(approval)
        permit = self._breakers.of(agent.card.name).enter()
        try:
            reservation = budget.reserve(order.reserved_usd)
        except BudgetExceeded:
            permit.abandoned()
            raise
        # Where an agent does not say what it consumed, the expectation counts as spent.
        used_usd = None
        order.bill.asked()
        try:
            delivered = await self._timed(agent, order, timeout_s, permit)
            used_usd = delivered.usage.cost_usd if order.sub is None else 0.0
            if order.sub is not None:  # what was spent below is spent here already
                below = Usage(cost_usd=order.sub.budget.statistics.spent_usd)
                paused = order.sub.pause.reason
                if paused:
                    return Delivered(None, below, AttemptOutcome.CANCELED, paused, waits=True)
                return replace(delivered, usage=below)
            return delivered
        finally:
            permit.abandoned()
            if used_usd is None:  # it was cut off
                used_usd = order.bill.used(order.reserved_usd).cost_usd
            budget.settle(reservation, used_usd)
            self._spent_usd += used_usd

    async def _timed(
        self, agent: Agent, order: Order, timeout_s: float, permit: Permit
    ) -> Delivered:
        expected = Usage(cost_usd=order.reserved_usd)
        failed_tries = order.bill.tries
        limit_s = timeout_s if order.sub else max(0.0, min(timeout_s, self._seconds_left(order)))
        try:
            output = await self._asked(agent, order, limit_s, permit)
        except TaskTimeout as error:
            # An agent cut short by the run's deadline was not too slow.
            if limit_s == timeout_s:
                permit.failed()
            used = order.bill.used(order.reserved_usd)
            return Delivered(None, used, AttemptOutcome.TIMEOUT, str(error))
        except AgentUnavailable as error:
            permit.failed()
            used = sum(failed_tries, Usage())
            return Delivered(None, used, AttemptOutcome.UNAVAILABLE, str(error))
        except AnswerNeeded as error:
            permit.succeeded()
            why = str(error)
            used = sum(failed_tries, Usage())  # what it took so far is in its last answer's usage
            return Delivered(None, used, AttemptOutcome.CANCELED, why, waits=True, asked=error)
        except AnswerFailed as error:
            used = sum(failed_tries, Usage()) if failed_tries else expected
            if not error.retryable:
                permit.succeeded()
                return Delivered(None, used, AttemptOutcome.FAILED, str(error))
            permit.failed()
            return Delivered(None, used, AttemptOutcome.UNAVAILABLE, str(error))
        except AgentError as error:
            permit.succeeded()
            used = sum(failed_tries, expected)
            return Delivered(None, used, AttemptOutcome.FAILED, str(error))
        permit.succeeded()
        last = output.usage
        if not last.cost_usd:  # tokens alone are no price
            last = replace(last, cost_usd=expected.cost_usd)
        output = replace(output, usage=sum(failed_tries, last))
        return Delivered(output, output.usage)

    async def _asked(
        self, agent: Agent, order: Order, timeout_s: float, permit: Permit
    ) -> TaskOutput:
        """The agent's output; what its tries consume is noted on the order's bill."""
        bill = order.bill
        self._calls += 1

        def refused_to_stop() -> None:
            permit.failed()
            self._dropped += 1
            log.warning("agent %s did not stop when it was told to: left standing", agent.card.name)

        async def try_once() -> TaskOutput:
            self._tries += 1
            bill.asking, bill.said = True, None
            work = self._once(agent, order)
            try:
                if order.sub is not None:  # a run stores its end, and must be let
                    return await work
                return await stoppable(work, STOP_GRACE_S, refused_to_stop)
            except AnswerFailed as error:
                bill.asking = False
                if error.usage is not None:
                    bill.tries.append(error.usage)
                raise
            except AgentError:
                bill.asking = False
                raise

        deadline = self._clock.monotonic() + timeout_s
        limit = asyncio.timeout(timeout_s)
        try:
            async with limit:
                return await retry(
                    try_once,
                    self._retry_policy,
                    clock=self._clock,
                    rng=self._rng,
                    deadline=deadline,
                    sleep=self._sleep,
                )
        except TimeoutError as error:
            raise TaskTimeout(
                f"agent {agent.card.name!r} did not end the task within {timeout_s:g} s"
            ) from error

    async def _once(self, agent: Agent, order: Order) -> TaskOutput:
        local = not agent.card.url
        answer = Answer(agent.card.name, lambda text: self._progress(order, text))
        try:
            message = await self._message(order, local)
            await _follow(agent, message, answer)
            if local:
                return answer.output(order.task, order.folder, local=True)
            # Received files are written, which may take a while.
            return await asyncio.to_thread(answer.output, order.task, order.folder, local=False)
        except AgentError:
            raise
        except asyncio.CancelledError:
            if _is_being_cancelled():
                order.bill.said = answer.usage
                raise
            raise AnswerFailed("the agent cancelled its own work") from None
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # a defect of an agent fails its attempt, not the run
            text = plain(hide_secrets(f"{type(error).__name__}: {error}"), _MAX_REASON)
            pause = asked_pause_s(error, self._clock.now()) or None
            raise AnswerFailed(text, is_retryable(error), answer.usage, pause) from error

    async def _message(self, order: Order, local: bool) -> Message:
        scope = order.scope
        if local:
            message: Message = local_message(order.assignment, scope.run_id)
            return _answered(message, order.answer) if order.answer else message
        if order.answer:
            return _answered(Message(order.key, "user", ()), order.answer)
        return await asyncio.to_thread(
            remote_message, order.assignment, scope.run_id, scope.files_dir
        )

    def _progress(self, order: Order, text: str) -> None:
        scope = order.scope
        scope.emit(
            AttemptProgress(
                scope.run_id,
                order.task.id,
                self._clock.now(),
                order.number,
                order.rung.agent,
                plain(text, _MAX_PROGRESS),
            )
        )

    def _seconds_left(self, order: Order) -> float:
        return order.scope.deadline - self._clock.monotonic()


def _not_approved(approval: Approval) -> Delivered:
    """Nobody was asked: a person must decide first, or decided against it."""
    if approval.rejected:
        return Delivered(None, Usage(), AttemptOutcome.OVER_BUDGET, why_rejected(approval))
    return Delivered(None, Usage(), AttemptOutcome.CANCELED, approval.question, waits=True)


def _answered(message: Message, answer: Approval) -> Message:
    """The message that goes on with the agent's own task, with what a person answered."""
    assert answer.decision is not None
    return replace(
        message,
        message_id=f"{message.message_id}:{answer.id.rpartition(':')[2]}",
        parts=(Part(text=strip_control(str(answer.decision.edit))),),
        task_id=str(answer.detail.get("task_id", "")),
        context_id=str(answer.detail.get("context_id", "")),
    )


async def _follow(agent: Agent, message: Message, answer: Answer) -> None:
    events = agent.send(message)
    heard = 0
    try:
        async for event in events:
            answer.take(event)
            if answer.done and not agent.card.url:
                break  # an agent elsewhere ends its stream, which keeps the connection
            heard += 1
            if not heard % _BREATH:
                await asyncio.sleep(0)  # an agent that never waits must not keep others waiting
    finally:
        if not answer.done:
            await _stop(agent, events, answer)
        elif isinstance(events, AsyncGenerator):
            await events.aclose()


async def _stop(agent: Agent, events: AsyncIterator[AgentEvent], answer: Answer) -> None:
    """Closing the stream is how work is cancelled; what waits, or has no end, is told so."""
    if isinstance(events, AsyncGenerator):
        await events.aclose()
        if answer.open_task:
            await agent.cancel(answer.open_task)
    elif answer.task_id:
        await agent.cancel(answer.task_id)


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
