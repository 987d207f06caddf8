"""Chat models: any LangChain model by name or instance, with usage kept whatever the answer is.

Every call is one request: retries belong to the caller, who knows the budget and the deadline.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, cast

from pydantic import BaseModel, SecretStr, ValidationError
from typing_extensions import TypeVar  # with defaults, which typing has from 3.13 on

from infrastructure.errors import ModelError, ModelNotConfigured
from infrastructure.models.failures import UnusableAnswer, as_model_error, cut_answer
from infrastructure.models.prices import Prices
from infrastructure.models.providers import OTHER, PROVIDERS, load_chat_model, provider_of
from infrastructure.models.usage import MAX_TOKENS, ModelUsage, estimate_tokens
from infrastructure.text import one_line

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage

Schema = TypeVar("Schema", bound=BaseModel, default=BaseModel)

HOW_TO_SET = (
    "set GENESIS_MODEL=provider:name (such as GENESIS_MODEL=openai:gpt-4.1-mini), or pass "
    "GenesisOrchestrator(model=...)"
)
_FENCE = "```"
_CUT = frozenset({"length", "max_tokens", "MAX_TOKENS"})


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class ChatAnswer(Generic[Schema]):
    """What a chat model answered.

    Attributes:
        text: what it wrote; for a structured answer, its JSON.
        parsed: the validated object, where a schema was asked for.
        usage: tokens and money.
        model: who answered, as "provider:name".
        cut: whether the answer ended at the token limit.
    """

    text: str
    parsed: Schema | None
    usage: ModelUsage
    model: str
    cut: bool = False

    @property
    def value(self) -> Schema:
        """The validated object of a call with a schema."""
        if self.parsed is None:
            raise ValueError("this answer was not asked for with a schema")
        return self.parsed


class ChatModel:
    """One chat model.

    Args:
        llm: the LangChain model.
        name: "provider:name", under which it is priced.
        prices: what it costs.
    """

    def __init__(self, llm: BaseChatModel, name: str, prices: Prices) -> None:
        self._llm = llm
        self.name = name
        self._prices = prices
        self._limit = PROVIDERS.get(name.partition(":")[0], OTHER).limit_argument

    async def complete(
        self,
        messages: Sequence[ChatMessage],
        *,
        schema: type[Schema] | None = None,
        max_output_tokens: int | None = None,
        timeout_s: float | None = None,
    ) -> ChatAnswer[Schema]:
        """Ask once.

        Args:
            messages: the conversation so far.
            schema: a pydantic model that the answer must fit; `parsed` then holds it.
            max_output_tokens: where the answer is cut; None leaves it to the provider.
            timeout_s: seconds to wait; None waits as long as the client does.

        Raises:
            UnusableAnswer: the answer is empty or does not fit the schema; its usage is kept.
            ModelError: the call failed; `retryable` says whether the same call may succeed later.
        """
        turns = [(message.role, message.text) for message in messages]
        options = {} if max_output_tokens is None else {self._limit: max_output_tokens}
        try:
            async with asyncio.timeout(timeout_s):
                raw = await self._invoke(turns, schema, options)
        except Exception as error:  # noqa: BLE001 - each provider raises errors of its own
            # Without the cause: its text, and what a log would show of it, may hold the key.
            raise self._failure(error) from None
        return self._answer(turns, raw, schema)

    def estimate_usd(self, messages: Sequence[ChatMessage], output_tokens: int) -> float:
        """About what a call costs that is answered in so many tokens, US dollars."""
        read = sum(estimate_tokens(message.text) for message in messages)
        return self._prices.estimate(self.name, read, output_tokens)

    async def _invoke(
        self, turns: list[tuple[str, str]], schema: type[Schema] | None, options: dict[str, int]
    ) -> AIMessage:
        llm = cast("Any", self._llm)
        if schema is None:
            return await llm.ainvoke(turns, **options)
        # As plain JSON schema: given the class, a client validates (and fails) before it reports
        # the usage.
        structured = llm.with_structured_output(
            schema.model_json_schema(), include_raw=True, **options
        )
        # Of LangChain's `{raw: model} | parser` only the model: for an answer that is not JSON
        # that parser takes time quadratic in its length (a minute for 100,000 characters).
        return await structured.first.steps__["raw"].ainvoke(turns)

    def _failure(self, error: Exception) -> ModelError:
        if isinstance(error, ModelError):  # by a model that is made for Genesis
            return error
        if isinstance(error, NotImplementedError):
            return ModelError(f"the chat model {self.name!r} offers no structured output")
        answer = cut_answer(error)
        if answer is None:
            return as_model_error(error, self.name, self._secrets())
        text, read, written = answer
        return self._unusable("was cut at the token limit", text, self._priced(read, written))

    def _answer(
        self,
        turns: list[tuple[str, str]],
        raw: AIMessage,
        schema: type[Schema] | None,
    ) -> ChatAnswer[Schema]:
        text = _text_of(raw)
        usage = self._usage(turns, raw, text)
        cut = _finish_reason(raw) in _CUT
        if schema is not None:
            return ChatAnswer(
                text, self._validated(schema, text, usage, cut), usage, self.name, cut
            )
        if not text.strip():
            raise self._unusable("is empty", text, usage)
        return ChatAnswer(text, None, usage, self.name, cut)

    def _validated(self, schema: type[Schema], text: str, usage: ModelUsage, cut: bool) -> Schema:
        try:
            return schema.model_validate(json.loads(_unfenced(text)))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the answer"
            problem = f"does not fit: {where}: {first['msg']}"
        except (ValueError, RecursionError):
            problem = "was cut at the token limit" if cut else "is not the JSON that was asked for"
        raise self._unusable(problem, text, usage)

    def _unusable(self, problem: str, text: str, usage: ModelUsage) -> UnusableAnswer:
        message = f"the answer of the chat model {self.name!r} {problem}; it begins: "
        return UnusableAnswer(message + repr(one_line(text)), text, usage)

    def _usage(self, turns: list[tuple[str, str]], raw: AIMessage, text: str) -> ModelUsage:
        reported = raw.usage_metadata
        if reported is not None:
            counts = reported["input_tokens"], reported["output_tokens"]
            if min(counts) >= 0 and max(counts) <= MAX_TOKENS:
                return self._priced(*counts)
        read = sum(estimate_tokens(content) for _, content in turns)
        usage = self._priced(read, estimate_tokens(text))
        return usage + ModelUsage(estimated=True)

    def _priced(self, read: int, written: int) -> ModelUsage:
        cost = self._prices.estimate(self.name, read, written)
        return ModelUsage(read, written, cost, estimated=not self._prices.knows(self.name))

    def _secrets(self) -> tuple[str, ...]:
        values = (cast("object", value) for value in vars(self._llm).values())
        secrets = (v.get_secret_value() for v in values if isinstance(v, SecretStr))
        return tuple(secret for secret in secrets if secret)


def _unfenced(text: str) -> str:
    """A text without the code fence around all of it.

    No regular expression: an answer may be a hundred thousand line breaks, and backtracking over
    them takes quadratic time.
    """
    inner = text.strip()
    if not (inner.startswith(_FENCE) and inner.endswith(_FENCE)):
        return text
    language, _, body = inner.removeprefix(_FENCE).removesuffix(_FENCE).partition("\n")
    return body if language.strip() in ("", "json") else text


def _text_of(raw: AIMessage) -> str:
    """What the model wrote: the arguments of the tool it called, or its text."""
    if raw.tool_calls:
        return json.dumps(raw.tool_calls[0]["args"])
    if raw.invalid_tool_calls:
        return raw.invalid_tool_calls[0]["args"] or ""
    return str(raw.text)


def _finish_reason(raw: AIMessage) -> str:
    metadata = cast("Mapping[str, object]", raw.response_metadata)
    return str(metadata.get("finish_reason") or metadata.get("stop_reason") or "")


Chosen: TypeAlias = "str | BaseChatModel | ChatModel"


@dataclass
class ChatModels:
    """The chat models that may be used, the default first; each is set up when first asked for.

    Only the models listed here can be got: a name that comes from data opens no connection.

    Args:
        chosen: names "provider:name", LangChain instances, or ready models; none at all is
            allowed, and then whoever needs a model is told which setting to make.
        prices: what they cost; None reads the configuration.
    """

    chosen: Sequence[Chosen] = ()
    prices: Prices | None = None
    _ready: dict[str, ChatModel] = field(default_factory=dict[str, ChatModel], init=False)
    names: tuple[str, ...] = field(default=(), init=False)

    def __post_init__(self) -> None:
        names: list[str] = []
        for model in self.chosen:
            if isinstance(model, str):
                names.append(model)
                continue
            ready = model if isinstance(model, ChatModel) else self._wrapped(model)
            self._ready[ready.name] = ready
            names.append(ready.name)
        self.names = tuple(dict.fromkeys(names))

    @property
    def configured(self) -> bool:
        """Whether there is any model."""
        return bool(self.names)

    @property
    def default(self) -> ChatModel | None:
        """The first model; None when there is none."""
        return self.require() if self.names else None

    def get(self, name: str = "") -> ChatModel:
        """A model by name; the default one for an empty name.

        Raises:
            ModelNotConfigured: there is no model, it is not among those listed, or its package
                or key is missing.
        """
        wanted = name or (self.names[0] if self.names else "")
        if not wanted:
            raise ModelNotConfigured(f"this needs a chat model and none is set: {HOW_TO_SET}")
        if wanted not in self.names:
            raise ModelNotConfigured(
                f"the chat model {wanted!r} is not among those set "
                f"({', '.join(self.names) or 'none'}): {HOW_TO_SET}"
            )
        if wanted not in self._ready:
            self._ready[wanted] = ChatModel(load_chat_model(wanted), wanted, self._prices())
        return self._ready[wanted]

    def require(self) -> ChatModel:
        """The default model; raises as `get` does."""
        return self.get()

    def _prices(self) -> Prices:
        if self.prices is None:
            self.prices = Prices.read()
        return self.prices

    def _wrapped(self, llm: BaseChatModel) -> ChatModel:
        provider, _ = provider_of(llm)
        named = cast("object", getattr(llm, "model_name", None) or getattr(llm, "model", None))
        return ChatModel(llm, f"{provider}:{named or 'instance'}", self._prices())
