"""Functions, LangChain Runnables and LangGraph graphs as agents with A2A's task semantics."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import tempfile
import time
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeAlias, cast

from genesis.agents.asked import Conversations
from genesis.agents.assignment import Assignment
from genesis.agents.wire import (
    AssignedMessage,
    local_artifact,
    read_assignment,
    remote_artifact,
    require_plain,
    usage_json,
)
from genesis.errors import AgentError, GenesisError, InputRequired, ModelNotConfigured
from genesis.tasks.task import Task, TaskOutput, Usage
from infrastructure.a2a.agent import AgentCard
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
from infrastructure.jsonvalue import JsonObject, JsonValue
from infrastructure.redaction import hide_secrets
from infrastructure.resilience.retry import asked_pause_s, is_retryable
from infrastructure.resilience.stoppable import stoppable
from infrastructure.text import DATA_RULE, cut, fence, strip_control

log = logging.getLogger("genesis.agents")

Answered: TypeAlias = TaskOutput | str | Mapping[str, Any]
AnyAgentFunction: TypeAlias = Callable[[Assignment], Awaitable[Answered] | Answered]

_MAX_REQUEST_CHARS = 4_000
_MAX_CHARS = 20_000
STOP_GRACE_S = 3.0
"""Seconds that a function has to clean up once it is cancelled; then it is dropped."""


class SupportsInvoke(Protocol):
    """A LangChain Runnable, which a compiled LangGraph graph is too."""

    async def ainvoke(self, input: Any, config: Any = None, /, **kwargs: Any) -> Any:  # noqa: A002 - LangChain's name
        """Run it on one input."""
        ...


class FunctionAgent:
    """A function of an `Assignment` as an agent.

    What it raises fails its task with the cause; it never reaches the orchestrator. A function
    that is not async runs in a thread, which cannot be stopped: it is left behind when cancelled.

    Args:
        card: who it is.
        function: answers a `TaskOutput`, a text, or named data.
    """

    def __init__(self, card: AgentCard, function: AnyAgentFunction) -> None:
        self._card = card
        self._function = function
        self._is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - an object with an async __call__
        )
        self._running: dict[str, asyncio.Task[TaskOutput]] = {}
        self._asked = Conversations()

    @property
    def card(self) -> AgentCard:
        """Name and skills."""
        return self._card

    async def send(self, message: Message) -> AsyncGenerator[AgentEvent]:
        """See `Agent.send`; a message with an `Assignment` costs no serialisation."""
        task_id, context_id = message.task_id or message.message_id, message.context_id
        yield StatusUpdate(task_id, context_id, TaskState.SUBMITTED)
        yield StatusUpdate(task_id, context_id, TaskState.WORKING)
        try:
            artifact = await self._artifact(task_id, message)
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            yield StatusUpdate(task_id, context_id, TaskState.CANCELED)
            return
        except InputRequired as asked:
            self._asked.keep(task_id, message, asked.question)
            yield _question(task_id, context_id, asked)
            return
        except Exception as error:  # noqa: BLE001 - whatever breaks an agent fails its task only
            self._asked.forget(task_id)
            yield _failed(task_id, context_id, error)
            return
        self._asked.forget(task_id)
        yield ArtifactUpdate(task_id, context_id, artifact)
        yield StatusUpdate(task_id, context_id, TaskState.COMPLETED)

    async def cancel(self, task_id: str) -> None:
        """Stop a task; waits until it has stopped."""
        running = self._running.get(task_id)
        if running is not None:
            running.cancel()
            await asyncio.wait([running])

    async def _artifact(self, task_id: str, message: Message) -> Artifact:
        first, notes = self._asked.told(message)
        if isinstance(message, AssignedMessage):
            output = await self._work(task_id, _with_notes(message.assignment, notes))
            return local_artifact(task_id, output)
        with tempfile.TemporaryDirectory(prefix="genesis-agent-") as name:
            folder = Path(name).resolve()
            assignment = await asyncio.to_thread(read_assignment, first, folder)
            assignment = self._with_skill(_with_notes(assignment, notes))
            output = await self._work(task_id, assignment)
            return await asyncio.to_thread(remote_artifact, task_id, output)

    async def _work(self, task_id: str, assignment: Assignment) -> TaskOutput:
        if task_id in self._running:
            raise AgentError(f"task {task_id!r} is already being worked on")
        # A task of its own, so that `cancel` stops the work and not whoever waits for it.
        work = asyncio.create_task(self._bounded(assignment), name=f"{self._card.name}: {task_id}")
        self._running[task_id] = work
        try:
            return await work
        finally:
            del self._running[task_id]

    async def _bounded(self, assignment: Assignment) -> TaskOutput:
        """The call, which ends soon after it is cancelled, and never the process."""
        call = self._call(assignment)
        try:
            if assignment.run_below is not None:  # a run stores its end, and must be let
                return await call
            return await stoppable(call, STOP_GRACE_S, self._refused)
        except SystemExit as error:
            raise AgentError(f"the agent called sys.exit({error.code!r})") from error

    def _refused(self) -> None:
        log.warning("agent %s did not stop when it was told to: left standing", self._card.name)

    async def _call(self, assignment: Assignment) -> TaskOutput:
        if self._is_async:
            answered = self._function(assignment)
        else:
            answered = await asyncio.to_thread(self._function, assignment)
        if inspect.isawaitable(answered):
            answered = await answered
        return as_output(answered, assignment.task)

    def _with_skill(self, assignment: Assignment) -> Assignment:
        """A stranger names no operation: where there is only one, it is meant."""
        task = assignment.task
        if task.operation or len(self._card.skills) != 1:
            return assignment
        skill = self._card.skills[0]
        meant = replace(task, operation=skill.id, produces=task.produces or skill.produces)
        return replace(assignment, task=meant)


class RunnableAgent(FunctionAgent):
    """A LangChain Runnable or a compiled LangGraph graph as an agent.

    A graph whose state has `messages` is given one message; any other graph gets `request`,
    `task` and the inputs by name; a Runnable gets one text.

    Args:
        card: who it is.
        runnable: what is invoked.
        prepare: makes the Runnable's input from an `Assignment`, where that does not fit.
    """

    def __init__(
        self,
        card: AgentCard,
        runnable: SupportsInvoke,
        prepare: Callable[[Assignment], Any] | None = None,
    ) -> None:
        super().__init__(card, self._invoke)
        self._runnable = runnable
        self._prepare = prepare or _preparation(runnable)

    async def _invoke(self, assignment: Assignment) -> TaskOutput:
        # A graph with a checkpointer asks for a thread; one per attempt keeps tasks apart.
        config = {"configurable": {"thread_id": assignment.idempotency_key}}
        answered = await self._runnable.ainvoke(self._prepare(assignment), config)
        return _from_runnable(answered, assignment.task)


def as_output(answered: object, task: Task) -> TaskOutput:
    """What a function answered, as an output.

    Raises:
        AgentError: it is none of the types that an agent may answer, or not plain JSON.
    """
    if isinstance(answered, TaskOutput):
        output = answered
    elif isinstance(answered, str):
        data: JsonObject = {task.produces[0]: answered} if len(task.produces) == 1 else {}
        output = TaskOutput(text=answered, data=data)
    elif isinstance(answered, Mapping):
        named = cast("JsonObject", answered)
        text = _said(named, task)
        output = TaskOutput(text=text, data=dict(named))
    else:
        raise AgentError(
            f"the agent answered a {type(answered).__name__}; it must answer a TaskOutput, a text "
            "or a dict of named data"
        )
    require_plain(output.data, "the data of the answer")
    return output


def _said(named: JsonObject, task: Task) -> str:
    """What people are shown of named data: the text that was asked for, if it is one."""
    if not task.produces:
        return _json(named, "the answer")
    asked = named.get(task.produces[0]) if len(task.produces) == 1 else None
    return asked if isinstance(asked, str) else ""


def assignment_text(assignment: Assignment) -> str:
    """An assignment in words, for whatever takes only text; inputs and notes are fenced as data."""
    said = [assignment.task.description]
    if assignment.request and assignment.request != assignment.task.description:
        request = cut(strip_control(assignment.request), _MAX_REQUEST_CHARS)
        said.append(f"It is part of this request:\n{request}")
    data = [
        fence(f"input {name}", value if isinstance(value, str) else _json(value, name), _MAX_CHARS)
        for name, value in assignment.inputs.items()
    ]
    data += [fence("note", note) for note in assignment.notes]
    if data:
        said += [DATA_RULE, *data]
    return "\n\n".join(said)


def _json(value: JsonValue, what: str) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise AgentError(f"{what} must be plain JSON: {error}") from error


def _failed(task_id: str, context_id: str, error: Exception) -> StatusUpdate:
    known = isinstance(error, GenesisError)
    if not known:
        told = "".join(traceback.format_exception(error))
        log.warning("an agent failed at task %s\n%s", task_id, hide_secrets(told))
    text = str(error) if known and str(error) else f"{type(error).__name__}: {error}"
    text = hide_secrets(text)
    ours: dict[str, JsonValue] = {"error": type(error).__name__, "retryable": is_retryable(error)}
    pause = asked_pause_s(error, time.time())
    if pause:
        ours["retry_after_s"] = pause
    used = getattr(error, "usage", None)
    if isinstance(error, ModelNotConfigured):
        used = Usage()
    if isinstance(used, Usage):
        ours["usage"] = usage_json(used)
    message = Message(f"{task_id}:failed", "agent", (Part(text=text),), context_id, task_id)
    return StatusUpdate(task_id, context_id, TaskState.FAILED, message, {EXTENSION: ours})


def _with_notes(assignment: Assignment, notes: tuple[str, ...]) -> Assignment:
    return replace(assignment, notes=(*assignment.notes, *notes)) if notes else assignment


def _question(task_id: str, context_id: str, asked: InputRequired) -> StatusUpdate:
    said = Message(
        f"{task_id}:asks", "agent", (Part(text=hide_secrets(asked.question)),), context_id, task_id
    )
    state = TaskState.AUTH_REQUIRED if asked.sign_in else TaskState.INPUT_REQUIRED
    return StatusUpdate(task_id, context_id, state, said)


def _preparation(runnable: SupportsInvoke) -> Callable[[Assignment], Any]:
    channels = getattr(runnable, "channels", None)  # a compiled graph's state, by field
    if not isinstance(channels, Mapping):
        return assignment_text
    if "messages" in channels:
        return lambda a: {"messages": [{"role": "user", "content": assignment_text(a)}]}
    return lambda a: {**a.inputs, "request": a.request, "task": a.task.description}


def _from_runnable(answered: Any, task: Task) -> TaskOutput:
    if isinstance(answered, Mapping):
        state = cast("Mapping[str, Any]", answered)
        messages = state.get("messages")
        data = {name: state[name] for name in task.produces if name in state}
        if isinstance(messages, Sequence) and messages:
            said = _message_output(messages[-1], task)
            usage = _usage(cast("Sequence[Any]", messages))
            return TaskOutput(said.text, {**said.data, **data}, usage=usage)
        return as_output(data or state, task)
    if hasattr(answered, "content"):
        return replace(_message_output(answered, task), usage=_usage([answered]))
    if hasattr(answered, "model_dump"):  # pydantic, from a model's structured output
        return as_output(answered.model_dump(mode="json"), task)
    return as_output(answered, task)


def _message_output(message: Any, task: Task) -> TaskOutput:
    said = getattr(message, "text", None) or getattr(message, "content", "")
    return as_output(str(said), task)


def _usage(messages: Sequence[Any]) -> Usage:
    said = [cast("dict[str, Any]", getattr(m, "usage_metadata", None) or {}) for m in messages]
    return Usage(
        sum(int(one.get("input_tokens", 0)) for one in said),
        sum(int(one.get("output_tokens", 0)) for one in said),
    )
