"""Answers of real agents and chat models written into a recording, to be replayed later.

    recorder = Recorder("answers.jsonl")
    orchestrator = GenesisOrchestrator(
        agents=[RecordingAgent(agent, recorder)], model=RecordingModel(model, recorder)
    )

Keys and tokens are taken out of all that is written, as they are out of logs and memory.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from genesis.agents.assignment import Assignment
from genesis.agents.wire import MAX_FILE_BYTES, AssignedMessage, read_assignment
from genesis.errors import GenesisError, InputError, ModelError
from genesis.execution.answer import Answer, AnswerFailed
from genesis.tasks.task import TaskOutput, Usage
from genesis.testing.recording import Recorded, RecordedAnswer, RecordedChat, entry_line
from genesis.testing.replay import ARTIFACTS, WORKSPACE, question_of
from infrastructure.a2a.agent import Agent, AgentCard
from infrastructure.a2a.types import AgentEvent, Message
from infrastructure.clock import Clock, SystemClock
from infrastructure.models.chat import ChatAnswer, ChatMessage, ChatModel, ChatModels, Schema
from infrastructure.models.failures import UnusableAnswer
from infrastructure.models.usage import ModelUsage
from infrastructure.resilience.retry import is_retryable

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

log = logging.getLogger("genesis.testing")


class Recorder:
    """Adds entries to a recording.

    Args:
        path: a `.jsonl` file; made when it is not there, added to when it is.
        clock: measures how long answers take.

    Raises:
        InputError: the file cannot be written.
    """

    def __init__(self, path: str | Path, clock: Clock | None = None) -> None:
        self.path = Path(path)
        self.clock = clock or SystemClock()
        if self.path.suffix == ".gz":
            raise InputError(f"{self.path}: record into a .jsonl file and compress it afterwards")
        self._append("")

    def add(self, entry: Recorded) -> None:
        """Write one entry; it is in the file when this returns.

        Raises:
            InputError: the file cannot be written.
        """
        self._append(entry_line(entry) + "\n")

    def _append(self, text: str) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise InputError(f"the recording {self.path} cannot be written: {error}") from error


class RecordingAgent:
    """An agent whose answers and failures are recorded; it is otherwise the agent it wraps.

    A call that is cancelled before its end leaves no entry.

    Args:
        agent: any agent; a function becomes one by `FunctionAgent(card, function)`.
        recorder: takes its answers.
    """

    def __init__(self, agent: Agent, recorder: Recorder) -> None:
        self._agent = agent
        self._recorder = recorder

    @property
    def card(self) -> AgentCard:
        """The wrapped agent's card."""
        return self._agent.card

    async def send(self, message: Message) -> AsyncGenerator[AgentEvent]:
        """See `Agent.send`."""
        answer = Answer(self.card.name, lambda _: None)
        clock = self._recorder.clock
        started = clock.monotonic()
        failed: Exception | None = None
        try:
            async for event in self._agent.send(message):
                if failed is None:
                    failed = _taken(answer, event)
                yield event
        except GenesisError as error:
            failed = error
            raise
        finally:
            if failed is not None or answer.done:
                seconds = clock.monotonic() - started
                await asyncio.to_thread(self._record, message, answer, failed, seconds)

    async def cancel(self, task_id: str) -> None:
        """Stop a task of the wrapped agent."""
        await self._agent.cancel(task_id)

    async def aclose(self) -> None:
        """Close the wrapped agent's connection, where it has one."""
        close = getattr(self._agent, "aclose", None)
        if close is not None:
            await close()

    def _record(
        self, message: Message, answer: Answer, failed: Exception | None, seconds: float
    ) -> None:
        with tempfile.TemporaryDirectory(prefix="genesis-recording-") as name:
            folder = Path(name).resolve()
            try:
                assignment = _assignment(message, folder)
                entry = self._entry(assignment, answer, failed, seconds, folder)
            except (GenesisError, OSError) as error:
                log.warning("an answer of %s was not recorded: %s", self.card.name, error)
                return
        self._recorder.add(entry)

    def _entry(
        self,
        assignment: Assignment,
        answer: Answer,
        failed: Exception | None,
        seconds: float,
        folder: Path,
    ) -> RecordedAnswer:
        asked = asdict(question_of(assignment, self.card.name))
        if failed is not None:
            used = getattr(failed, "usage", None)
            usage = used if isinstance(used, Usage) else None
            return RecordedAnswer(
                **asked,
                **_paid(usage, seconds),
                failure=str(failed) or type(failed).__name__,
                retryable=is_retryable(failed),
            )
        output = answer.output(assignment.task, folder, local=not self.card.url)
        return RecordedAnswer(
            **asked,
            **_paid(output.usage, seconds),
            text=_marked(output.text, assignment, output),
            data=_marked(dict(output.data), assignment, output),
            files={Path(path).name: _content(Path(path)) for path in output.artifacts},
        )


class RecordingModel(ChatModel):
    """A chat model whose answers are recorded; it is otherwise the model it wraps.

    Args:
        model: a chat model of Genesis, or a LangChain one.
        recorder: takes its answers.
    """

    def __init__(self, model: ChatModel | BaseChatModel, recorder: Recorder) -> None:
        # Everything is the wrapped model's, so nothing is set up a second time.
        self._model = model if isinstance(model, ChatModel) else ChatModels([model]).require()
        self._recorder = recorder
        self.name = self._model.name

    async def complete(
        self,
        messages: Sequence[ChatMessage],
        *,
        schema: type[Schema] | None = None,
        max_output_tokens: int | None = None,
        timeout_s: float | None = None,
    ) -> ChatAnswer[Schema]:
        """See `ChatModel.complete`."""
        clock = self._recorder.clock
        started = clock.monotonic()
        said: dict[str, Any] = {}
        try:
            answer = await self._model.complete(
                messages, schema=schema, max_output_tokens=max_output_tokens, timeout_s=timeout_s
            )
            said = {"text": answer.text, "cut": answer.cut, **_tokens(answer.usage)}
            return answer
        except UnusableAnswer as error:
            said = {"text": error.text, **_tokens(error.usage)}
            raise
        except ModelError as error:
            said = {"failure": str(error), "retryable": error.retryable}
            raise
        finally:
            if said:
                entry = RecordedChat(
                    model=self.name,
                    messages=[[message.role, message.text] for message in messages],
                    seconds=clock.monotonic() - started,
                    **said,
                )
                await asyncio.to_thread(self._recorder.add, entry)

    def estimate_usd(self, messages: Sequence[ChatMessage], output_tokens: int) -> float:
        """See `ChatModel.estimate_usd`."""
        return self._model.estimate_usd(messages, output_tokens)


def _taken(answer: Answer, event: AgentEvent) -> AnswerFailed | None:
    try:
        answer.take(event)
    except AnswerFailed as error:
        return error
    return None


def _assignment(message: Message, folder: Path) -> Assignment:
    if isinstance(message, AssignedMessage):
        return message.assignment
    return read_assignment(message, folder)


def _paid(usage: Usage | None, seconds: float) -> dict[str, Any]:
    if usage is None:
        return {"seconds": seconds}
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "usd": usage.cost_usd,
        "seconds": seconds,
    }


def _tokens(usage: ModelUsage) -> dict[str, Any]:
    return {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}


def _marked(value: Any, assignment: Assignment, output: TaskOutput) -> Any:
    """A JSON value with marks where the folders of this run stand."""
    if isinstance(value, str):
        if output.artifacts:
            value = value.replace(str(Path(output.artifacts[0]).parent), ARTIFACTS)
        workspace = str(assignment.workspace)
        return value.replace(workspace, WORKSPACE) if len(workspace) > 1 else value
    if isinstance(value, Mapping):
        items = cast("Mapping[str, Any]", value).items()
        return {key: _marked(one, assignment, output) for key, one in items}
    if isinstance(value, list | tuple):
        listed = cast("Sequence[Any]", value)
        return [_marked(one, assignment, output) for one in listed]
    return value


def _content(path: Path) -> str:
    if path.stat().st_size > MAX_FILE_BYTES:
        raise InputError(f"{path.name!r} is larger than the {MAX_FILE_BYTES} bytes of a recording")
    return base64.b64encode(path.read_bytes()).decode()
