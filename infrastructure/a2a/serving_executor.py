"""An agent of ours as the SDK's executor."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
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
from infrastructure.a2a.serving_callers import RESUMED, caller_of
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
from infrastructure.errors import GenesisError
from infrastructure.jsonvalue import JsonObject
from infrastructure.resilience.retry import is_retryable

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
        talk = _Talk(context, event_queue)
        if not self._slots.locked():
            async with self._slots:
                await self._work(talk)
            return
        await talk.announce()  # clients see the task, and can cancel it, while it waits
        accepted = RESUMED in context.call_context.state  # before a restart, so it waits
        if self._waiting >= self._max_waiting and not accepted:
            await talk.say(_busy())
            return
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        try:
            await self._work(talk)
        finally:
            self._slots.release()

    async def _work(self, talk: _Talk) -> None:
        context = talk.context
        assert context.message is not None
        task_id = context.task_id or ""
        self._working.add(task_id)
        agent = self._agent_for(caller_of(context.call_context))
        # Agents may be any async iterator; those that are generators are closed with the task.
        stream = cast("Any", agent.send(message_from_wire(context.message)))
        try:
            async for event in stream:
                if task_id in self._canceled:
                    return
                await talk.say(event)
                if isinstance(event, Message):
                    return
        except Exception as error:  # noqa: BLE001 - the SDK would show any error's own text
            await talk.say(_broken(error))
        finally:
            self._working.discard(task_id)
            self._canceled.discard(task_id)
            if hasattr(stream, "aclose"):
                await stream.aclose()

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


class _Talk:
    """What is said of one task; its first event but a message is the task itself."""

    def __init__(self, context: RequestContext, queue: EventQueue) -> None:
        self.context = context
        self._queue = queue
        self._announced = context.current_task is not None

    async def announce(self) -> None:
        """Show the task, if it is new."""
        if not self._announced:
            await self._queue.enqueue_event(new_task(self.context))
            self._announced = True

    async def say(self, event: AgentEvent) -> None:
        """Pass an event on."""
        if not isinstance(event, Message):
            await self.announce()
            await self._queue.enqueue_event(_to_wire(event, self.context))
        elif self._announced:
            # The protocol has a message instead of a task, never both.
            artifact = Artifact(event.message_id, event.parts, metadata=event.metadata)
            await self.say(ArtifactUpdate("", "", artifact))
            await self.say(StatusUpdate("", "", TaskState.COMPLETED))
        else:
            wire = message_to_wire(event)
            wire.context_id = self.context.context_id or ""
            await self._queue.enqueue_event(wire)


def _busy() -> StatusUpdate:
    said = Message("busy", "agent", (Part(text="too many tasks wait already; try later"),))
    again: JsonObject = {EXTENSION: {"retryable": True}}
    return StatusUpdate("", "", TaskState.REJECTED, said, again)


def _broken(error: Exception) -> StatusUpdate:
    reason = str(error) if isinstance(error, GenesisError) else "internal error"
    if not isinstance(error, GenesisError):
        log.error("an agent broke while it was served", exc_info=error)
    said = Message("broken", "agent", (Part(text=reason),))
    again: JsonObject = {EXTENSION: {"retryable": is_retryable(error)}}
    return StatusUpdate("", "", TaskState.FAILED, said, again)


def _to_wire(event: StatusUpdate | ArtifactUpdate, context: RequestContext) -> _WireUpdate:
    """An event under the server's names: an agent names its tasks as it likes."""
    wire = status_to_wire(event) if isinstance(event, StatusUpdate) else artifact_to_wire(event)
    wire.task_id, wire.context_id = context.task_id or "", context.context_id or ""
    return wire
