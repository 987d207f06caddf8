"""The SDK's request handler with what it leaves open: tenants, repeated messages, restarts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Final, TypeAlias, cast

from a2a.server.agent_execution import RequestContext, SimpleRequestContextBuilder
from a2a.server.context import ServerCallContext
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import InvalidParamsError, TaskNotFoundError, UnsupportedOperationError
from a2a.utils.proto_utils import validate_proto_required_fields
from a2a.utils.task import apply_history_length

from infrastructure.a2a.push_configs import PushConfigs
from infrastructure.a2a.serving_callers import (
    RESUMED,
    caller_of,
    check_tenant,
    context_of,
    same_request,
)
from infrastructure.a2a.serving_tasks import ENDED, WAITING, ServedTasks
from infrastructure.a2a.structs import from_struct
from infrastructure.a2a.task_ids import MAX_TRIES, task_id_of
from infrastructure.a2a.types import EXTENSION
from infrastructure.callers import Caller

log = logging.getLogger("genesis.a2a")

_Event: TypeAlias = pb.Message | pb.Task | pb.TaskStatusUpdateEvent | pb.TaskArtifactUpdateEvent
_Events: TypeAlias = AsyncGenerator[_Event]

TASK_ID: Final = "genesis.task_id"

_POLL_S: Final = 0.5


class ServedHandler(DefaultRequestHandler):
    """Answers a repeated message from what the first led to, and never works on it twice.

    Built by `serving.A2AServer`, which gives the SDK's handler its parts.
    """

    tasks: ServedTasks
    configs: PushConfigs
    idempotent: bool = True

    def bind(self, tasks: ServedTasks, configs: PushConfigs, *, idempotent: bool) -> None:
        """Give it what the SDK's constructor has no place for; once, before the first request."""
        self.tasks, self.configs, self.idempotent = tasks, configs, idempotent
        self._claims: dict[str, asyncio.Event] = {}
        tasks.saved = self._saved

    # What changes

    async def on_message_send(
        self, params: pb.SendMessageRequest, context: ServerCallContext
    ) -> pb.Message | pb.Task:
        """Send a message and wait for the task's end, unless asked not to."""
        validate_proto_required_fields(params)
        check_tenant(context)
        await self._name_context(params.message, context)
        key, earlier = await self._claim(params, context)
        if earlier is not None:
            return await self._again(earlier, params, context)
        try:
            self._attach(params, context)
            asked = _copy(params.message)
            parent: Any = super()
            answer: pb.Message | pb.Task = await parent.on_message_send(params, context)
            await self._keep_answer(key, asked, answer, context)
            return answer
        finally:
            self._release(key, context)

    async def on_message_send_stream(
        self, params: pb.SendMessageRequest, context: ServerCallContext
    ) -> _Events:
        """Send a message and follow what comes of it."""
        validate_proto_required_fields(params)
        check_tenant(context)
        await self._name_context(params.message, context)
        key, earlier = await self._claim(params, context)
        if earlier is not None:
            async for event in self._follow_again(earlier, params, context):
                yield event
            return
        try:
            self._attach(params, context)
            asked = _copy(params.message)
            parent: Any = super()
            stream: _Events = parent.on_message_send_stream(params, context)
            async with aclosing(stream) as events:
                async for event in events:
                    await self._keep_answer(key, asked, event, context)
                    yield event
        finally:
            self._release(key, context)

    async def on_subscribe_to_task(
        self, params: pb.SubscribeToTaskRequest, context: ServerCallContext
    ) -> _Events:
        """Follow a task, here or at another server of the same store."""
        check_tenant(context)
        task = await self.tasks.get(params.id, context)
        here = await self._active_task_registry.get(params.id) is not None
        if task is not None and not here and task.status.state not in ENDED | WAITING:
            async for snapshot in self._watch(task, context):
                yield snapshot
            return
        parent: Any = super()
        stream: _Events = parent.on_subscribe_to_task(params, context)
        async with aclosing(stream) as events:
            async for event in events:
                yield event

    async def on_get_task(
        self, params: pb.GetTaskRequest, context: ServerCallContext
    ) -> pb.Task | None:
        """A task as it is now."""
        check_tenant(context)
        parent: Any = super()
        return cast("pb.Task | None", await parent.on_get_task(params, context))

    async def on_list_tasks(
        self, params: pb.ListTasksRequest, context: ServerCallContext
    ) -> pb.ListTasksResponse:
        """A page of the caller's tasks."""
        check_tenant(context)
        parent: Any = super()
        return cast("pb.ListTasksResponse", await parent.on_list_tasks(params, context))

    async def on_cancel_task(
        self, params: pb.CancelTaskRequest, context: ServerCallContext
    ) -> pb.Task | None:
        """Stop a task."""
        check_tenant(context)
        parent: Any = super()
        return cast("pb.Task | None", await parent.on_cancel_task(params, context))

    # What goes on after a restart

    async def resume(self, task: pb.Task, caller: Caller) -> None:
        """Give an agent its task again: the last message of the client, under the same task."""
        asked = [message for message in task.history if message.role == pb.ROLE_USER]
        if not asked:
            return
        context = context_of(caller)
        context.state[RESUMED] = True
        request = pb.SendMessageRequest(message=asked[-1])
        again = await self._request_context_builder.build(
            context, request, task_id=task.id, context_id=task.context_id
        )
        self.configs.attach(task.id, caller, new=False)
        active = await self._active_task_registry.get_or_create(
            task.id, call_context=context, context_id=task.context_id
        )
        await active.enqueue_request(again)

    async def _name_context(self, message: pb.Message, context: ServerCallContext) -> None:
        """A message that names a task alone is in its context; the SDK knows only live ones."""
        if message.task_id and not message.context_id:
            task = await self.tasks.get(message.task_id, context)
            message.context_id = "" if task is None else task.context_id

    # How a message is known again

    async def _claim(
        self, params: pb.SendMessageRequest, context: ServerCallContext
    ) -> tuple[str, pb.Task | None]:
        """A key held for a message to be worked on, or what an equal one led to."""
        if not self.idempotent:
            return "", None
        message = params.message
        for number in range(MAX_TRIES):
            key = task_id_of(caller_of(context), message.message_id, number)
            if message.task_id:
                key = f"{message.task_id}\n{message.message_id}"
            earlier = await self._known_or_claimed(key, message, context)
            if earlier is None and not message.task_id:
                self.tasks.begins(key, context)
            if earlier is None or message.task_id or not _may_begin_again(earlier):
                context.state[TASK_ID] = "" if message.task_id else key
                return key, earlier
        raise InvalidParamsError(message=f"this message failed {MAX_TRIES} times; send a new one")

    async def _known_or_claimed(
        self, key: str, message: pb.Message, context: ServerCallContext
    ) -> pb.Task | None:
        while True:
            earlier = await self._earlier(key, message, context)
            if earlier is not None:
                return earlier
            claim = self._claims.get(key)
            if claim is None:
                self._claims[key] = asyncio.Event()
                return None
            await claim.wait()

    async def _earlier(
        self, key: str, message: pb.Message, context: ServerCallContext
    ) -> pb.Task | None:
        task = await self.tasks.get(message.task_id or key, context)
        if task is None and not message.task_id:
            task = await self.tasks.answer(key, context)
        if task is None:
            return None
        for known in task.history:
            if known.role == pb.ROLE_USER and known.message_id == message.message_id:
                if same_request(known, message):
                    return task
                raise InvalidParamsError(
                    message=f"the messageId {message.message_id!r:.100} was used for another "
                    "message already; give each message an id of its own"
                )
        return None

    def _saved(self, task_id: str) -> None:
        claim = self._claims.get(task_id)
        if claim is not None:
            claim.set()

    def _release(self, key: str, context: ServerCallContext) -> None:
        self.tasks.begun(key, context)
        claim = self._claims.pop(key, None)
        if claim is not None:
            claim.set()

    async def _keep_answer(
        self, key: str, asked: pb.Message, answer: object, context: ServerCallContext
    ) -> None:
        if key and isinstance(answer, pb.Message):
            exchange = pb.Task(id=key, context_id=answer.context_id, history=[asked, answer])
            await self.tasks.keep_answer(exchange, context)

    def _attach(self, params: pb.SendMessageRequest, context: ServerCallContext) -> None:
        message, caller = params.message, caller_of(context)
        if message.task_id:
            self.configs.attach(message.task_id, caller, new=False)
        elif self.idempotent:
            self.configs.attach(str(context.state[TASK_ID]), caller, new=True)

    async def _again(
        self, earlier: pb.Task, params: pb.SendMessageRequest, context: ServerCallContext
    ) -> pb.Message | pb.Task:
        async with aclosing(self._follow_again(earlier, params, context)) as events:
            async for event in events:
                if isinstance(event, pb.Message):
                    return event
                if params.configuration.return_immediately:
                    break
        task = await self.tasks.get(earlier.id, context)
        if task is None:
            raise TaskNotFoundError
        return apply_history_length(task, params.configuration)

    async def _follow_again(
        self, earlier: pb.Task, params: pb.SendMessageRequest, context: ServerCallContext
    ) -> _Events:
        if earlier.status.state == pb.TASK_STATE_UNSPECIFIED:  # an exchange, see `_keep_answer`
            yield earlier.history[-1]
            return
        if earlier.status.state in ENDED | WAITING:
            yield apply_history_length(earlier, params.configuration)
            return
        request = pb.SubscribeToTaskRequest(id=earlier.id)
        try:
            async with aclosing(self.on_subscribe_to_task(request, context)) as events:
                async for event in events:
                    yield event
                    if _state(event) in ENDED | WAITING:
                        return
        except UnsupportedOperationError:  # it ended a moment ago
            task = await self.tasks.get(earlier.id, context)
            if task is not None:
                yield apply_history_length(task, params.configuration)

    async def _watch(self, task: pb.Task, context: ServerCallContext) -> AsyncGenerator[pb.Task]:
        """A task that another server works on, whenever it has changed."""
        yield task
        while task.status.state not in ENDED | WAITING:
            await asyncio.sleep(_POLL_S)
            now = await self.tasks.get(task.id, context)
            if now is None:
                return
            if now != task:
                yield now
            task = now


class TaskNamer(SimpleRequestContextBuilder):
    """Gives a new task the name that the handler claimed for its message."""

    async def build(
        self,
        context: ServerCallContext,
        params: pb.SendMessageRequest | None = None,
        task_id: str | None = None,
        context_id: str | None = None,
        task: pb.Task | None = None,
    ) -> RequestContext:
        """See the SDK's builder."""
        if params is not None and task_id is None:
            task_id = str(context.state[TASK_ID])
        return await super().build(context, params, task_id, context_id, task)


def _may_begin_again(task: pb.Task) -> bool:
    """Whether a task failed for the moment, or was cancelled: who asks again wants it done."""
    if task.status.state == pb.TASK_STATE_CANCELED:
        return True
    ours = from_struct(task.metadata).get(EXTENSION)
    retryable = isinstance(ours, Mapping) and ours.get("retryable") is True
    return retryable and task.status.state in (pb.TASK_STATE_FAILED, pb.TASK_STATE_REJECTED)


def _state(event: _Event) -> int:
    if isinstance(event, pb.Task | pb.TaskStatusUpdateEvent):
        return event.status.state
    return pb.TASK_STATE_UNSPECIFIED


def _copy(message: pb.Message) -> pb.Message:
    copy = pb.Message()
    copy.CopyFrom(message)
    return copy
