"""How the agents that need a chat model talk to it: bounded, fenced, and with the bill kept."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import Self

from pydantic import BaseModel
from typing_extensions import TypeVar

from genesis.agents.assignment import Assignment
from genesis.agents.input_text import input_text
from genesis.tasks.task import Usage
from infrastructure.errors import AgentError, GenesisError
from infrastructure.models.chat import ChatAnswer, ChatMessage, ChatModel, ChatModels
from infrastructure.models.failures import UnusableAnswer
from infrastructure.models.usage import ModelUsage
from infrastructure.text import DATA_RULE, cut, fence, strip_control

MAX_OUTPUT_TOKENS = {"low": 4_000, "medium": 8_000, "high": 16_000}
DEFAULT_TIMEOUT_S = 120.0
_REQUEST_CHARS = 20_000
_INPUT_CHARS = 8_000
_NOTE_CHARS = 1_500
_MAX_NOTES = 10

Schema = TypeVar("Schema", bound=BaseModel, default=BaseModel)


class FailedAfterSpending(AgentError):
    """An agent failed after its model was paid.

    Args:
        message: why it failed.
        usage: what it spent until then.
        retryable: whether the same attempt may succeed later.
    """

    def __init__(self, message: str, usage: Usage, *, retryable: bool = False) -> None:
        self.usage = usage
        self.retryable = retryable
        super().__init__(message)


class Conversation:
    """One assignment's talk with a chat model; every turn stays in it.

    Args:
        model: who answers.
        assignment: sets the effort, and with it the longest answer, and the time limit of a call.
        instructions: what the agent is, for the model.
    """

    def __init__(self, model: ChatModel, assignment: Assignment, instructions: str) -> None:
        self._model = model
        self._limit = MAX_OUTPUT_TOKENS.get(assignment.effort, MAX_OUTPUT_TOKENS["medium"])
        self._timeout_s = assignment.task.timeout_s or DEFAULT_TIMEOUT_S
        self._turns = [ChatMessage("system", f"{instructions}\n\n{DATA_RULE}")]
        self._spent = ModelUsage()

    @classmethod
    async def begin(cls, models: ChatModels, assignment: Assignment, instructions: str) -> Self:
        """A conversation with the model that the assignment names.

        Raises:
            ModelNotConfigured: there is no such model; says which setting to make.
        """
        # In a thread: a provider's package takes about a second to import.
        model = await asyncio.to_thread(models.get, assignment.model)
        return cls(model, assignment, instructions)

    @property
    def usage(self) -> Usage:
        """What all calls so far have cost."""
        spent = self._spent
        return Usage(spent.input_tokens, spent.output_tokens, spent.cost_usd)

    async def ask(self, text: str, schema: type[Schema] | None = None) -> ChatAnswer[Schema]:
        """Say `text` and wait for the answer; raises as `ChatModel.complete` does."""
        self._turns.append(ChatMessage("user", text))
        try:
            answer = await self._model.complete(
                self._turns,
                schema=schema,
                max_output_tokens=self._limit,
                timeout_s=self._timeout_s,
            )
        except UnusableAnswer as error:
            self._heard(error.text, error.usage)
            raise
        self._heard(answer.text, answer.usage)
        return answer

    @contextmanager
    def charged(self) -> Generator[None]:
        """Errors raised inside carry what was spent, once anything was."""
        try:
            yield
        except GenesisError as error:
            if self._spent == ModelUsage():
                raise
            retryable = bool(getattr(error, "retryable", False))
            raise FailedAfterSpending(str(error), self.usage, retryable=retryable) from error

    def _heard(self, text: str, usage: ModelUsage) -> None:
        self._turns.append(ChatMessage("assistant", text or "(nothing)"))
        self._spent += usage


async def opening(assignment: Assignment) -> str:
    """The first turn: the task, the request that it belongs to, then data in fences.

    Raises:
        WorkspaceError: an input that is a path leads outside the workspace, or does not exist.
    """
    task = cut(strip_control(assignment.task.description), _REQUEST_CHARS)
    request = cut(strip_control(assignment.request), _REQUEST_CHARS)
    parts = [f"Task: {task}"]
    if request.strip() and request != task:
        parts.append(f"It belongs to this request:\n{request}")
    for name in assignment.inputs:
        text = await asyncio.to_thread(input_text, assignment, name, _INPUT_CHARS)
        parts.append(fence(f"input {name}", text, _INPUT_CHARS))
    if assignment.notes:
        parts.append("Notes on earlier attempts and similar tasks:")
    for number, note in enumerate(assignment.notes[:_MAX_NOTES], start=1):
        parts.append(fence(f"note {number}", note, _NOTE_CHARS))
    return "\n\n".join(parts)
