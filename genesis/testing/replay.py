"""Agents and chat models that answer what was recorded: whole requests with no model at hand.

    recording = Recording.load("answers.jsonl")
    orchestrator = GenesisOrchestrator(
        agents=[ReplayAgent(card, recording) for card in cards],
        model=ReplayModel("openai:gpt-4.1-mini", recording),
    )

Planning, routing, choice, verification and escalation are the real ones. What was not recorded
fails and says so; nothing is made up.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias, cast

from genesis.agents.adapters import FunctionAgent
from genesis.agents.assignment import Assignment
from genesis.agents.wire import safe_name
from genesis.errors import AgentError, InputError, ModelError
from genesis.tasks.task import TaskOutput, Usage
from genesis.testing.models import Said, answering_llm
from genesis.testing.recording import Question, RecordedAnswer, Recording
from infrastructure.a2a.agent import AgentCard
from infrastructure.models.chat import ChatMessage, ChatModel
from infrastructure.models.prices import Prices
from infrastructure.text import one_line

WORKSPACE = "<workspace>"
ARTIFACTS = "<artifacts>"

Sleep: TypeAlias = Callable[[float], Awaitable[None]]


class RecordedFailure(AgentError):
    """The agent failed when it was recorded.

    Args:
        message: why.
        usage: what it spent; None where it did not say.
        retryable: whether another try might have mended it.
    """

    def __init__(self, message: str, usage: Usage | None, *, retryable: bool) -> None:
        self.usage = usage
        self.retryable = retryable
        super().__init__(message)


class ReplayAgent(FunctionAgent):
    """An agent that gives its recorded answers, with what they cost.

    Args:
        card: who it is; the name is the recording's `agent`. A card from elsewhere is taken as
            one of this process.
        recording: what it answered.
        sleep: lets the recorded seconds pass: `asyncio.sleep`, or the `sleep` of the `FakeClock`
            that the orchestrator was given. None takes no time.
    """

    def __init__(
        self, card: AgentCard, recording: Recording, *, sleep: Sleep | None = None
    ) -> None:
        super().__init__(replace(card, url=""), self._replayed)
        self._recording = recording
        self._sleep = sleep

    async def _replayed(self, assignment: Assignment) -> TaskOutput:
        entry = self._recording.answer(question_of(assignment, self.card.name))
        if self._sleep is not None:
            await self._sleep(entry.seconds)
        usage = Usage(entry.input_tokens, entry.output_tokens, entry.usd or 0.0)
        if entry.failure:
            paid = None if entry.usd is None else usage
            raise RecordedFailure(entry.failure, paid, retryable=entry.retryable)
        folders = _folders(assignment, entry)
        return TaskOutput(
            text=_placed(entry.text, folders),
            data=_placed(entry.data, folders),
            artifacts=tuple(_written(assignment, entry)),
            usage=usage,
        )


class ReplayModel(ChatModel):
    """A chat model that gives its recorded answers, priced as the real one.

    Args:
        name: "provider:name", the recording's `model`.
        recording: what it answered.
        prices: what it costs; None reads the configuration.
        sleep: as for `ReplayAgent`.
    """

    def __init__(
        self,
        name: str,
        recording: Recording,
        *,
        prices: Prices | None = None,
        sleep: Sleep | None = None,
    ) -> None:
        self._recording = recording
        self._sleep = sleep
        super().__init__(answering_llm(self._replayed), name, prices or Prices.read())

    async def _replayed(self, messages: Sequence[ChatMessage]) -> Said:
        entry = self._recording.chat(self.name, messages)
        if entry is None:
            last = one_line(messages[-1].text) if messages else "nothing"
            raise ModelError(
                f"this conversation with {self.name!r} is not in the recording; it ends: {last!r}"
            )
        if self._sleep is not None:
            await self._sleep(entry.seconds)
        if entry.failure:
            raise ModelError(entry.failure, retryable=entry.retryable)
        return Said(entry.text, entry.input_tokens, entry.output_tokens, entry.cut)


def question_of(assignment: Assignment, agent: str) -> Question:
    """What tells the recorded answer to this assignment from others."""
    task = assignment.task
    return Question(
        request=assignment.request,
        agent=agent,
        description=task.description,
        operation=task.operation,
        model=assignment.model,
        effort=assignment.effort if assignment.model else "",
    )


def _folders(assignment: Assignment, entry: RecordedAnswer) -> dict[str, str]:
    folders = {WORKSPACE: str(assignment.workspace)}
    if entry.files:  # looking at the folder of an attempt makes it
        folders[ARTIFACTS] = str(assignment.artifacts_dir)
    return folders


def _placed(value: Any, folders: dict[str, str]) -> Any:
    """A JSON value with the folders of this replay where their marks stand."""
    if isinstance(value, str):
        for mark, folder in folders.items():
            value = value.replace(mark, folder)
        return value
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return {key: _placed(one, folders) for key, one in items}
    if isinstance(value, list):
        return [_placed(one, folders) for one in cast("list[Any]", value)]
    return value


def _written(assignment: Assignment, entry: RecordedAnswer) -> list[str]:
    paths: list[str] = []
    for name, content in entry.files.items():
        path = Path(assignment.artifacts_dir) / safe_name(name)
        try:
            path.write_bytes(base64.b64decode(content, validate=True))
        except ValueError as error:
            raise InputError(f"the recorded file {name!r} is not base64: {error}") from error
        paths.append(str(path))
    return paths
