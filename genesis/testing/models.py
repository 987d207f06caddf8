"""A chat model for tests that answers what its script says, on the path of a real one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import BaseModel

from infrastructure.models.chat import ChatMessage, ChatModel
from infrastructure.models.prices import Prices
from infrastructure.models.usage import estimate_tokens

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel


@dataclass(frozen=True, slots=True)
class Said:
    """What a chat model answers.

    Attributes:
        text: its words; the JSON of a structured answer.
        input_tokens, output_tokens: as reported; None is guessed from the length.
        cut: whether it ended at the token limit.
    """

    text: str
    input_tokens: int | None = None
    output_tokens: int | None = None
    cut: bool = False


ModelOutcome: TypeAlias = str | Mapping[str, Any] | BaseModel | Said | Exception
Answering: TypeAlias = Callable[[Sequence[ChatMessage]], Awaitable[Said]]


class FakeModel(ChatModel):
    """A chat model that answers what its script says, call by call; the last entry repeats.

    It is a LangChain chat model inside (`llm`), and calls go the whole way of a real one:
    structured output is parsed and validated, tokens are priced, failures become ModelErrors.

    Args:
        outcomes: what each call comes to: a text, an object (written as JSON), `Said` for an
            answer with its tokens, or an exception to raise.
        name: "provider:name", under which it is chosen and priced.
        prices: what it costs; None reads the configuration.

    Attributes:
        asked: the conversations that it was sent, in order.
        llm: the LangChain model, for code that wants one.
    """

    def __init__(
        self, *outcomes: ModelOutcome, name: str = "fake:model", prices: Prices | None = None
    ) -> None:
        self._script = outcomes or ("done",)
        self.asked: list[Sequence[ChatMessage]] = []
        self.llm = answering_llm(self._answered)
        super().__init__(self.llm, name, prices or Prices.read())

    @property
    def calls(self) -> int:
        """How often it was asked."""
        return len(self.asked)

    async def _answered(self, messages: Sequence[ChatMessage]) -> Said:
        outcome = self._script[min(self.calls, len(self._script) - 1)]
        self.asked.append(list(messages))
        await asyncio.sleep(0)  # a real model lets others run before it answers
        if isinstance(outcome, Exception):
            raise outcome
        if isinstance(outcome, Said):
            return outcome
        if isinstance(outcome, BaseModel):
            return Said(outcome.model_dump_json())
        return Said(outcome if isinstance(outcome, str) else json.dumps(outcome))


def answering_llm(answer: Answering) -> BaseChatModel:
    """A LangChain chat model that answers what a function says."""
    from genesis.testing.llm import AnsweringLLM  # LangChain takes a third of a second to load

    return AnsweringLLM(answer=answer)


def tokens_of(said: Said, messages: Sequence[ChatMessage]) -> tuple[int, int]:
    """Tokens read and written, those that were not reported guessed."""
    read, written = said.input_tokens, said.output_tokens
    if read is None:
        read = sum(estimate_tokens(message.text) for message in messages)
    return read, estimate_tokens(said.text) if written is None else written
