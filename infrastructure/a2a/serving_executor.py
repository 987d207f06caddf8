"""An agent of ours as the SDK's executor."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, TypeAlias, cast

from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.types import a2a_pb2 as pb

from infrastructure.a2a.agent import Agent
from infrastructure.a2a.convert import (
    artifact_to_wire,
    message_from_wire,
    message_to_wire,
    status_to_wire,
)
from infrastructure.a2a.serving_callers import caller_of
from infrastructure.a2a.types import (
    EXTENSION,
    AgentEvent,
    Artifact,
    ArtifactUpdate,
    Message,
    Part,
    StatusUpdate,
    TaskState,
)
from infrastructure.callers import Caller
from infrastructure.jsonvalue import JsonObject

log = logging.getLogger("genesis.a2a")

AgentFor: TypeAlias = Callable[[Caller], Agent]
_WireUpdate: TypeAlias = pb.TaskStatusUpdateEvent | pb.TaskArtifactUpdateEvent

_CANCEL_S: Final = 10.0


class ServedExecutor(AgentExecutor):
    """Passes an agent's events to the SDK's queue, as many tasks at once as its card allows."""

    def __init__(self, agent_for: AgentFor, max_concurrency: int, max_waiting: int) -> None:
        self._agent_for = agent_for
        self._slots = asyncio.Semaphore(max_concurrency)
        self._waiting = 0
        self._max_waiting = max_waiting
        self._working: set[str] = set()
        self._canceled: set[str] = set()

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Work on one message."""
        if not self._slots.locked():
            async with self._slots:
                await self._work(context, event_queue, announced=context.current_task is not None)
            return
        # Clients see the task, and can cancel it, while it waits.
        if context.current_task is None:
            await event_queue.enqueue_event(new_task(context))
        if self._waiting >= self._max_waiting:
            await event_queue.enqueue_event(_busy(context))
            return
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        try:
            await self._work(context, event_queue, announced=True)
        finally:
            self._slots.release()

    async def _work(
        self, context: RequestContext, event_queue: EventQueue, *, announced: bool
    ) -> None:
        assert context.message is not None
        agent = self._agent_for(caller_of(context.call_context))
        task_id = context.task_id or ""
        self._working.add(task_id)
        # Agents may be any async iterator; those that are generators are closed with the task.
        stream = cast("Any", agent.send(message_from_wire(context.message)))
        try:
            await self._pass_on(stream, context, event_queue, announced=announced)
        finally:
            self._working.discard(task_id)
            self._canceled.discard(task_id)
            if hasattr(stream, "aclose"):
                await stream.aclose()

    async def _pass_on(
        self,
        stream: AsyncIterator[AgentEvent],
        context: RequestContext,
        event_queue: EventQueue,
        *,
        announced: bool,
    ) -> None:
        async for event in stream:
            if context.task_id in self._canceled:
                return
            if isinstance(event, Message):
                # The protocol has a message instead of a task, never both.
                updates = _as_task(event, context) if announced else _as_answer(event, context)
                for update in updates:
                    await event_queue.enqueue_event(update)
                return
            if not announced:
                await event_queue.enqueue_event(new_task(context))
                announced = True
            await event_queue.enqueue_event(_to_wire(event, context))

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Tell the agent, and the clients; the SDK cancels `execute` right after this."""
        assert context.task_id is not None
        if context.task_id in self._working:
            self._canceled.add(context.task_id)  # what the agent still says would come too late
        agent = self._agent_for(caller_of(context.call_context))
        try:
            async with asyncio.timeout(_CANCEL_S):
                await agent.cancel(context.task_id)
        except TimeoutError:
            log.warning("an agent did not stop task %s in %s s", context.task_id, _CANCEL_S)
        update = StatusUpdate("", "", TaskState.CANCELED)
        await event_queue.enqueue_event(_to_wire(update, context))


def new_task(context: RequestContext) -> pb.Task:
    """A task that a message begins."""
    task = pb.Task(
        id=context.task_id,
        context_id=context.context_id,
        status=pb.TaskStatus(state=pb.TASK_STATE_SUBMITTED),
    )
    task.status.timestamp.GetCurrentTime()
    if context.message is not None:
        task.history.append(context.message)
    return task


def _busy(context: RequestContext) -> _WireUpdate:
    said = Message("busy", "agent", (Part(text="too many tasks wait already; try later"),))
    again: JsonObject = {EXTENSION: {"retryable": True}}
    return _to_wire(StatusUpdate("", "", TaskState.REJECTED, said, again), context)


def _as_task(message: Message, context: RequestContext) -> tuple[_WireUpdate, ...]:
    artifact = Artifact(message.message_id, message.parts, metadata=message.metadata)
    ended = StatusUpdate("", "", TaskState.COMPLETED)
    return _to_wire(ArtifactUpdate("", "", artifact), context), _to_wire(ended, context)


def _as_answer(message: Message, context: RequestContext) -> tuple[pb.Message, ...]:
    wire = message_to_wire(message)
    wire.context_id = context.context_id or ""
    return (wire,)


def _to_wire(event: StatusUpdate | ArtifactUpdate, context: RequestContext) -> _WireUpdate:
    """An event under the server's names: an agent names its tasks as it likes."""
    wire = status_to_wire(event) if isinstance(event, StatusUpdate) else artifact_to_wire(event)
    wire.task_id, wire.context_id = context.task_id or "", context.context_id or ""
    return wire
