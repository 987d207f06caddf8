"""The fakes that users test with behave as what they stand for."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage
from pydantic import BaseModel

from genesis import Assignment, GenesisOrchestrator, Skill
from genesis.agents.adapters import FunctionAgent
from genesis.errors import ModelError
from genesis.testing import FakeClock, FakeModel, Said
from infrastructure.a2a.agent import AgentCard
from infrastructure.config import load_flags, load_settings
from infrastructure.models.chat import ChatMessage
from infrastructure.models.failures import UnusableAnswer
from infrastructure.models.prices import Price, Prices

ASKED = [ChatMessage("system", "Be brief."), ChatMessage("user", "Which city?")]
PRICES = Prices(Price(input=500_000, output=1_000_000), {})


class City(BaseModel):
    name: str


async def test_a_model_says_its_script_and_then_its_last_line() -> None:
    model = FakeModel("one", Said("two", 3, 4), name="openai:x", prices=PRICES)
    answers = [await model.complete(ASKED) for _ in range(3)]
    assert [answer.text for answer in answers] == ["one", "two", "two"]
    assert (answers[1].usage.input_tokens, answers[1].usage.cost_usd) == (3, 5.5)
    assert answers[0].usage.output_tokens == 1
    assert answers[0].model == "openai:x"
    assert (model.calls, model.asked[0]) == (3, ASKED)


async def test_structured_answers_are_parsed_and_held_to_the_schema() -> None:
    model = FakeModel({"name": "Oslo"}, City(name="Rome"), "no idea", {"nom": "Oslo"})
    assert (await model.complete(ASKED, schema=City, max_output_tokens=5)).value.name == "Oslo"
    assert (await model.complete(ASKED, schema=City)).value.name == "Rome"
    with pytest.raises(UnusableAnswer, match="no idea"):
        await model.complete(ASKED, schema=City)
    with pytest.raises(UnusableAnswer, match="name: Field required"):
        await model.complete(ASKED, schema=City)


async def test_exceptions_become_what_a_provider_failure_becomes() -> None:
    model = FakeModel(
        TimeoutError(), ModelError("over quota", retryable=True), ValueError("sk-12345")
    )
    with pytest.raises(ModelError, match="did not answer in time") as late:
        await model.complete(ASKED)
    with pytest.raises(ModelError, match=r"^over quota$"):
        await model.complete(ASKED)
    with pytest.raises(ModelError) as wrong:
        await model.complete(ASKED)
    assert late.value.retryable
    assert "12345" not in str(wrong.value)


async def test_the_langchain_face_works_by_itself() -> None:
    model = FakeModel("hello", {"name": "Oslo"})
    assert isinstance(await model.llm.ainvoke("hi"), AIMessage)
    structured = model.llm.with_structured_output(City)
    assert await structured.ainvoke("which?") == City(name="Oslo")
    assert model.asked[0] == [ChatMessage("user", "hi")]


def test_the_langchain_face_works_without_an_event_loop() -> None:
    assert FakeModel("hello").llm.invoke("hi").text == "hello"


async def test_several_models_are_escalated_by_price_in_one_request(tmp_path: Path) -> None:
    settings = load_settings(
        {}, workspace=tmp_path, data_dir=tmp_path, db_path=str(tmp_path / "memory.db")
    )
    cheap = FakeModel("", name="openai:gpt-5-nano")
    dear = FakeModel("The capital is Oslo.", name="openai:gpt-5")
    async with GenesisOrchestrator(
        settings=settings, flags=load_flags({}), model=[cheap, dear]
    ) as orchestrator:
        result = await orchestrator.execute_orchestrated_request("What is the capital of Norway?")
    assert result.success, result.errors
    assert result.output == "The capital is Oslo."
    models = [attempt.model for attempt in result.tasks[-1].attempts]
    assert models[0] == "openai:gpt-5-nano"
    assert models[-1] == "openai:gpt-5"
    assert 0 < result.cost_usd < 0.1


async def test_a_fake_clock_rules_durations_and_deadlines(tmp_path: Path) -> None:
    clock = FakeClock(start=1_000.0)

    async def slow(assignment: Assignment) -> str:
        await clock.sleep(50)
        return "It rains."

    card = AgentCard("slow", "Tells.", (Skill("tell", "Tells.", produces=("news",)),))
    settings = load_settings(
        {}, workspace=tmp_path, data_dir=tmp_path, db_path=str(tmp_path / "memory.db")
    )
    async with GenesisOrchestrator(
        settings=settings, flags=load_flags({}), agents=[FunctionAgent(card, slow)], clock=clock
    ) as orchestrator:
        done = await orchestrator.execute_orchestrated_request("Tell me the news")
        late = await orchestrator.execute_orchestrated_request("Tell me the news", timeout_s=0.5)
    assert (done.success, done.duration_s) == (True, 50.0)
    assert not late.success


async def test_time_passes_only_when_told_and_never_back() -> None:
    clock = FakeClock(start=10.0)
    await asyncio.sleep(0.01)
    assert (clock.now(), clock.monotonic()) == (10.0, 0.0)
    await clock.sleep(2.5)
    assert (clock.now(), clock.monotonic()) == (12.5, 2.5)
    with pytest.raises(ValueError, match="cannot go back"):
        clock.advance(-1)


def test_importing_the_fakes_loads_no_heavy_package() -> None:
    code = (
        "import sys, genesis.testing; "
        "print({'langchain_core', 'langgraph', 'torch', 'sklearn', 'a2a'} & "
        "{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
