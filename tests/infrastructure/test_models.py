from __future__ import annotations

import asyncio
import logging
import math
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_openai import ChatOpenAI
from openai_server import ChatRequest, Failure, OpenAIServer, Reply, Scripted
from pydantic import BaseModel, Field

from infrastructure.config import ConfigFile
from infrastructure.errors import ConfigError, ModelError, ModelNotConfigured
from infrastructure.jsonvalue import JsonValue
from infrastructure.models.chat import ChatMessage, ChatModel, ChatModels
from infrastructure.models.failures import UnusableAnswer, redact
from infrastructure.models.prices import Price, Prices
from infrastructure.models.providers import load_chat_model
from infrastructure.models.usage import ModelUsage, estimate_tokens

KEY = "sk-test-THISKEYISSECRET0123456789"
NAME = "openai:scripted"
PRICES = Prices(Price(input=10, output=20), {NAME: Price(input=1, output=4)})
ASK = [ChatMessage("system", "Be brief."), ChatMessage("user", "Where?")]


class City(BaseModel):
    """A place."""

    name: str
    people: int = Field(ge=0)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction] - pytest finds it
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Scripted]]:
    """A list that a test fills with the answers of the server behind `openai:scripted`."""
    script: list[Scripted] = []
    with OpenAIServer(lambda _: script.pop(0)) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        yield script


def model() -> ChatModel:
    return ChatModels([NAME], PRICES).require()


async def test_a_model_by_name_answers_with_usage_and_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    async with OpenAIServer([Reply("Oslo", 1_000_000, 500_000)]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        answer = await model().complete(ASK, max_output_tokens=77)
    assert answer.text == "Oslo"
    assert answer.model == NAME
    assert answer.usage == ModelUsage(1_000_000, 500_000, 3.0)
    (request,) = server.requests
    assert request.messages == [("system", "Be brief."), ("user", "Where?")]
    assert request.body["model"] == "scripted"
    assert request.body["max_completion_tokens"] == 77


async def test_a_given_instance_is_named_and_used(scripted: list[Scripted]) -> None:
    models = ChatModels([load_chat_model(NAME)], PRICES)
    scripted.append("Oslo")
    assert models.names == (NAME,)
    assert (await models.get(NAME).complete(ASK)).text == "Oslo"


async def test_an_instance_without_usage_is_estimated() -> None:
    models = ChatModels([FakeListChatModel(responses=["twelve chars"])], PRICES)
    answer = await models.require().complete([ChatMessage("user", "x" * 40)])
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (10, 3)
    assert answer.usage.estimated


@pytest.mark.parametrize("tokens", [(-1, 20), (100, -1), (10**9, 20), (100, 10**15)])
async def test_usage_that_cannot_be_is_estimated(
    scripted: list[Scripted], tokens: tuple[int, int]
) -> None:
    scripted.append(Reply("twelve chars", *tokens))
    usage = (await ChatModels([NAME], PRICES).require().complete(ASK)).usage
    assert usage.output_tokens == 3
    assert usage.estimated


async def test_structured_output_is_parsed_and_the_schema_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with OpenAIServer([{"name": "Oslo", "people": 700_000}]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        answer = await model().complete(ASK, schema=City)
    assert answer.value == City(name="Oslo", people=700_000)
    assert server.requests[0].schema is not None
    assert set(server.requests[0].schema["properties"]) == {"name", "people"}


@pytest.mark.filterwarnings("ignore:Cannot use method='json_schema'")
async def test_arguments_of_a_tool_call_are_the_structured_answer(
    scripted: list[Scripted],
) -> None:
    """What providers without JSON-schema output send, and OpenAI's older models."""
    scripted.append({"name": "Oslo", "people": 1})
    answer = (
        await ChatModels([ChatOpenAI(model="gpt-4-0613")], PRICES)
        .require()
        .complete(ASK, schema=City)
    )
    assert answer.value == City(name="Oslo", people=1)


async def test_json_in_a_code_block_is_read(scripted: list[Scripted]) -> None:
    scripted.append('```json\n{"name": "Oslo", "people": 1}\n```')
    assert (await model().complete(ASK, schema=City)).value.name == "Oslo"


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Reply("Oslo, I think", 50, 5), "is not the JSON"),
        (Reply({"name": "Oslo", "people": -1}, 50, 5), "people"),
        (Reply({"name": "Oslo"}, 50, 5), "people: Field required"),
        (Reply('{"name": "Os', 50, 5, "length"), "cut at the token limit"),
        (Reply("", 50, 5), "is not the JSON"),
        (Reply("[" * 100_000, 50, 5), "is not the JSON"),
        (Reply("[1]", 50, 5), "does not fit"),
    ],
)
async def test_an_answer_that_does_not_fit_keeps_its_usage(
    scripted: list[Scripted], reply: Reply, says: str
) -> None:
    scripted.append(reply)
    with pytest.raises(UnusableAnswer, match=says) as caught:
        await model().complete(ASK, schema=City)
    assert caught.value.usage == ModelUsage(50, 5, pytest.approx(70 / 1e6))  # pyright: ignore[reportArgumentType] - approx compares as a float
    assert not caught.value.retryable


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", ["```" + "\n" * 300_000 + "x", "```json\n" + "\n```" * 100_000])
async def test_an_answer_of_line_breaks_without_end_is_read_at_once(
    scripted: list[Scripted], text: str
) -> None:
    scripted.append(text)
    with pytest.raises(UnusableAnswer, match="not the JSON"):
        await model().complete(ASK, schema=City)


async def test_an_unusable_answer_is_quoted_within_bounds(scripted: list[Scripted]) -> None:
    scripted.append("no \x1b[31mJSON " * 10_000)
    with pytest.raises(UnusableAnswer) as caught:
        await model().complete(ASK, schema=City)
    assert len(str(caught.value)) < 500
    assert "\x1b" not in str(caught.value)
    assert len(caught.value.text) > 50_000


async def test_an_empty_answer_is_unusable_and_a_cut_one_says_so(scripted: list[Scripted]) -> None:
    scripted.extend([" ", Reply("half an ans", finish_reason="length")])
    with pytest.raises(UnusableAnswer, match="is empty"):
        await model().complete(ASK)
    assert (await model().complete(ASK)).cut


@pytest.mark.parametrize(
    ("failure", "says", "retryable"),
    [
        (Failure.BAD_REQUEST, "HTTP 400", False),
        (Failure.UNAUTHORIZED, "refused the key", False),
        (Failure.NOT_FOUND, "check the name", False),
        (Failure.RATE_LIMIT, "rate limit", True),
        (Failure.SERVER_ERROR, "HTTP 500", True),
        (Failure.HANG, "did not answer in time", True),
        (Failure.CLOSE, "broke off", True),
        (Failure.GARBAGE, "not its protocol", False),
    ],
)
@pytest.mark.parametrize("schema", [None, City])
async def test_each_failure_is_one_clear_error_without_the_key(
    scripted: list[Scripted],
    failure: Failure,
    says: str,
    retryable: bool,
    schema: type[City] | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    scripted.append(failure)
    timeout_s = 0.2 if failure is Failure.HANG else 20
    with caplog.at_level(logging.DEBUG), pytest.raises(ModelError, match=says) as caught:
        await model().complete(ASK, schema=schema, timeout_s=timeout_s)
    assert caught.value.retryable is retryable
    assert NAME in str(caught.value)
    assert not scripted, "the call was repeated"
    assert KEY not in str(caught.value) + caplog.text
    assert caught.value.__suppress_context__, "a log of the traceback would show the cause's text"


async def test_an_unreachable_server_is_retryable(monkeypatch: pytest.MonkeyPatch) -> None:
    with OpenAIServer([]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    with pytest.raises(ModelError, match="could not be reached") as caught:
        await model().complete(ASK)
    assert caught.value.retryable


async def test_a_cancelled_call_stays_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    arrived = threading.Event()

    def hang(_: ChatRequest) -> Scripted:
        arrived.set()
        return Failure.HANG

    with OpenAIServer(hang) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        call = asyncio.ensure_future(model().complete(ASK))
        await asyncio.to_thread(arrived.wait, 20)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


def test_one_model_serves_two_event_loops(scripted: list[Scripted]) -> None:
    scripted.extend(["one", "two"])
    shared = model()
    answers = [asyncio.run(shared.complete(ASK)).text for _ in range(2)]
    assert answers == ["one", "two"]


def test_without_a_model_the_setting_is_named() -> None:
    models = ChatModels()
    assert not models.configured
    assert models.default is None
    with pytest.raises(ModelNotConfigured, match="GENESIS_MODEL=provider:name") as caught:
        models.require()
    assert "GenesisOrchestrator(model=...)" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("gpt-4o", "provider:name"),
        ("openai:", "provider:name"),
        ("anthropic:claude", "pip install langchain-anthropic"),
        ("ollama:llama", "pip install langchain-ollama"),
        ("nobody:x", "pip install langchain"),
    ],
)
def test_a_model_that_cannot_be_loaded_says_what_to_do(name: str, says: str) -> None:
    with pytest.raises(ModelNotConfigured, match=says):
        ChatModels([name], PRICES).require()


def test_a_missing_key_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ModelNotConfigured, match="is OPENAI_API_KEY set"):
        model()


def test_other_providers_are_left_to_langchain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "langchain"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "chat_models.py").write_text(
        "from langchain_core.language_models.fake_chat_models import FakeListChatModel\n"
        "def init_chat_model(model, model_provider):\n"
        "    return FakeListChatModel(responses=[f'{model_provider}/{model}'])\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    loaded = load_chat_model("nobody:x")
    for name in ("langchain", "langchain.chat_models"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert isinstance(loaded, BaseChatModel)
    assert loaded.invoke("hello").text == "nobody/x"


def test_only_listed_models_can_be_got() -> None:
    with pytest.raises(ModelNotConfigured, match="not among those set"):
        ChatModels([NAME], PRICES).get("openai:other")


@pytest.mark.parametrize(
    "text",
    [f"key {KEY} refused", f"Authorization: Bearer {KEY[3:]}", "you sent sk-proj-abc_DEF-123456"],
)
def test_keys_are_taken_out_of_messages(text: str) -> None:
    clean = redact(text)
    assert "SECRET" not in clean
    assert "abc_DEF" not in clean
    assert "***" in clean


# --- prices and usage


def read(data: JsonValue) -> Prices:
    return Prices.from_config(ConfigFile("prices.yaml", data))


def test_the_shipped_prices_are_valid() -> None:
    prices = Prices.read()
    assert prices.knows("openai:gpt-4.1-mini")
    assert prices.estimate("ollama:anything", 10**6, 10**6) == 0


def test_prices_are_found_by_name_by_undated_name_and_by_provider() -> None:
    prices = read(
        {
            "default": {"input": 9, "output": 9},
            "models": {
                "openai:gpt-4o": {"input": 2.5, "output": 10},
                "local:*": {"input": 0, "output": 0},
            },
        }
    )
    assert prices.estimate("openai:gpt-4o", 1_000_000, 100_000) == pytest.approx(3.5)
    assert prices.price("openai:gpt-4o-2024-08-06") == Price(input=2.5, output=10)
    assert prices.knows("local:x")
    assert not prices.knows("openai:gpt-4o-mini")
    assert prices.estimate("openai:gpt-4o-mini", 1_000_000, 0) == 9


@pytest.mark.parametrize(
    ("data", "key"),
    [
        (None, ""),
        ([], ""),
        ({}, "default"),
        ({"default": {"input": 1}}, "default.output"),
        ({"default": {"input": 1, "output": -1}}, "default.output"),
        ({"default": {"input": math.nan, "output": 1}}, "default.input"),
        ({"default": {"input": 1e7, "output": 1}}, "default.input"),
        ({"default": {"input": math.inf, "output": 1}}, "default.input"),
        ({"default": {"input": "1", "output": 1}}, "default.input"),
        ({"default": {"input": True, "output": 1}}, "default.input"),
        ({"default": {"input": 1, "output": 1, "ouptut": 1}}, "default.ouptut"),
        ({"default": {"input": 1, "output": 1}, "model": {}}, "model"),
        ({"default": {"input": 1, "output": 1}, "models": []}, "models"),
        ({"default": {"input": 1, "output": 1}, "models": {"a:b": 3}}, "models.a:b"),
        (
            {"default": {"input": 1, "output": 1}, "models": {"x": {"input": 1, "output": 1}}},
            "models.x",
        ),
    ],
)
def test_wrong_prices_name_file_key_and_remedy(data: JsonValue, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(data)
    assert caught.value.source == "prices.yaml"
    assert caught.value.key.startswith(key)
    assert caught.value.problem


def test_an_unknown_key_lists_what_is_allowed() -> None:
    with pytest.raises(ConfigError, match="input, output"):
        read({"default": {"input": 1, "output": 1, "cached": 1}})


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), max_size=8))
def test_usages_add_up(calls: list[tuple[int, int]]) -> None:
    total = ModelUsage()
    for read_tokens, written in calls:
        cost = PRICES.estimate(NAME, read_tokens, written)
        total += ModelUsage(read_tokens, written, cost)
    assert total.input_tokens == sum(call[0] for call in calls)
    assert total.cost_usd == pytest.approx(
        PRICES.estimate(NAME, total.input_tokens, total.output_tokens)
    )


async def test_an_unpriced_model_is_marked_as_an_estimate(scripted: list[Scripted]) -> None:
    scripted.append(Reply("x", 1_000_000, 0))
    answer = await ChatModels([NAME], Prices(Price(input=7, output=7), {})).require().complete(ASK)
    assert answer.usage == ModelUsage(1_000_000, 0, 7.0, estimated=True)


@given(st.text(max_size=50), st.text(max_size=50))
def test_more_text_never_has_fewer_tokens(one: str, two: str) -> None:
    assert estimate_tokens(one) <= estimate_tokens(one + two)
    assert (estimate_tokens(one) == 0) == (one == "")
