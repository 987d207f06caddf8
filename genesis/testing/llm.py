"""The LangChain face of the models for tests; imported only where one is made."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool

from genesis.testing.models import Answering, Said, tokens_of
from infrastructure.models.chat import ChatMessage

_ROLES = {"human": "user", "ai": "assistant", "system": "system"}


class AnsweringLLM(BaseChatModel):
    """A LangChain chat model that answers what a function of the conversation says."""

    answer: Answering

    @property
    def _llm_type(self) -> str:
        return "genesis-testing"

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: str | None = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """The model with tools; an answer that is a JSON object calls the first of them."""
        named = [convert_to_openai_tool(tool) for tool in tools]
        return cast("Runnable[LanguageModelInput, AIMessage]", self.bind(tools=named))

    def with_structured_output(
        self, schema: Any, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[LanguageModelInput, Any]:
        """As LangChain has it; options of a provider (the longest answer) mean nothing here."""
        return super().with_structured_output(schema, include_raw=include_raw)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        turns = [_turn(message) for message in messages]
        said = await self.answer(turns)
        return ChatResult(generations=[ChatGeneration(message=_message(said, turns, kwargs))])

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return asyncio.run(self._agenerate(messages, stop, None, **kwargs))


def _turn(message: BaseMessage) -> ChatMessage:
    return ChatMessage(cast("Any", _ROLES.get(message.type, "user")), str(message.text))


def _message(said: Said, turns: Sequence[ChatMessage], options: dict[str, Any]) -> AIMessage:
    read, written = tokens_of(said, turns)
    usage = {"input_tokens": read, "output_tokens": written, "total_tokens": read + written}
    called = _called(said.text, options.get("tools") or [])
    return AIMessage(
        content="" if called else said.text,
        tool_calls=called,
        usage_metadata=cast("Any", usage),
        response_metadata={"finish_reason": "length" if said.cut else "stop"},
    )


def _called(text: str, tools: Sequence[Any]) -> list[Any]:
    """The call of the first tool, where the text is an object that may be its arguments."""
    if not tools:
        return []
    try:
        arguments = json.loads(text)
    except (ValueError, RecursionError):
        return []  # prose where a call was wanted: real models do that too
    if not isinstance(arguments, dict):
        return []
    name = tools[0]["function"]["name"]
    return [{"name": name, "args": arguments, "id": "call_1", "type": "tool_call"}]
