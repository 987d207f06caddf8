"""Recorded answers go the whole way of real ones: recorded, loaded, replayed."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_openai import ChatOpenAI
from loopback import Serve
from openai_server import Failure, OpenAIServer, Reply
from pydantic import BaseModel, SecretStr

from genesis import Assignment, GenesisOrchestrator, OrchestrationResult, Skill, TaskOutput
from genesis.agents.adapters import FunctionAgent
from genesis.agents.registry import AgentSource
from genesis.agents.wire import local_message
from genesis.errors import AgentError, AgentUnavailable, InputError, ModelError
from genesis.tasks.checks import Submission
from genesis.tasks.task import Task, Usage, Verdict
from genesis.testing import (
    Fail,
    FakeAgent,
    FakeClock,
    Hang,
    RecordedAnswer,
    RecordedChat,
    Recorder,
    Recording,
    RecordingAgent,
    RecordingModel,
    ReplayAgent,
    ReplayModel,
)
from genesis.testing.recording import Question, entry_line
from infrastructure.a2a.agent import AgentCard
from infrastructure.a2a.remote import RemoteAgent
from infrastructure.a2a.serving import serve_agent
from infrastructure.config import load_flags, load_settings
from infrastructure.models.chat import ChatMessage, ChatModel
from infrastructure.models.failures import UnusableAnswer
from infrastructure.models.prices import Price, Prices

REQUEST = "Tell me something nice"
SKILL = Skill("tell", "Tells something.", produces=("news",), cost_usd=0.5)
CHEAP, DEAR = (AgentCard(name, "Tells.", (SKILL,)) for name in ("cheap", "dear"))
PRICES = Prices(Price(input=1_000_000, output=1_000_000), {})


async def run(
    tmp_path: Path,
    agents: Sequence[AgentSource],
    request: str = REQUEST,
    model: ChatModel | None = None,
    **given: Any,
) -> OrchestrationResult:
    settings = load_settings(
        {}, workspace=tmp_path, data_dir=tmp_path / "data", db_path=str(tmp_path / "memory.db")
    )
    async with GenesisOrchestrator(
        settings=settings, flags=load_flags({}), agents=[], model=model
    ) as orchestrator:
        for agent in agents:
            orchestrator.register_agent(agent, checks={"news": good_news})
        return await orchestrator.execute_orchestrated_request(request, **given)


async def good_news(submission: Submission) -> Verdict:
    told = submission.output.data.get("news")
    return Verdict(told == "good", "news", f"the news is {told!r}")


def answer(agent: str, **values: Any) -> RecordedAnswer:
    return RecordedAnswer(request=REQUEST, agent=agent, **values)


async def test_recorded_answers_are_checked_escalated_and_paid_as_real_ones(
    tmp_path: Path,
) -> None:
    recording = Recording(
        [
            answer("cheap", data={"news": "bad"}, usd=0.25, seconds=9.0),
            answer("dear", text="Good!", data={"news": "good"}, usd=2.0, input_tokens=7),
        ]
    )
    rules = [CHEAP, DEAR]
    result = await run(tmp_path, [ReplayAgent(card, recording) for card in rules])
    assert result.success, result.errors
    (task,) = result.tasks
    assert [(a.agent, a.outcome, a.cost_usd) for a in task.attempts] == [
        ("cheap", "rejected", 0.25),
        ("dear", "verified", 2.0),
    ]
    assert result.cost_usd == 2.25
    assert result.output == "Good!"


async def test_a_recorded_failure_fails_and_is_paid(tmp_path: Path) -> None:
    recording = Recording(
        [answer("cheap", failure="gave up", usd=0.25), answer("dear", data={"news": "good"}, usd=1)]
    )
    result = await run(tmp_path, [ReplayAgent(card, recording) for card in (CHEAP, DEAR)])
    failed = result.tasks[0].attempts[0]
    assert (failed.outcome, failed.reason, failed.cost_usd) == ("failed", "gave up", 0.25)
    assert result.success


async def test_what_was_not_recorded_fails_and_says_so(tmp_path: Path) -> None:
    recording = Recording([answer("cheap", data={"news": "good"})])
    result = await run(tmp_path, [ReplayAgent(CHEAP, recording)], request="Tell me more news")
    assert not result.success
    assert "no answer of agent 'cheap' to the request 'Tell me more news' is in" in str(result)


async def test_recorded_seconds_pass_on_a_fake_clock_at_once(tmp_path: Path) -> None:
    clock = FakeClock()
    recording = Recording([answer("cheap", data={"news": "good"}, seconds=3600.0)])
    agent = ReplayAgent(CHEAP, recording, sleep=clock.sleep)
    settings = load_settings(
        {}, workspace=tmp_path, data_dir=tmp_path, db_path=str(tmp_path / "memory.db"),
        run_timeout_s=7200.0, task_timeout_s=7200.0,
    )  # fmt: skip
    async with GenesisOrchestrator(
        settings=settings, flags=load_flags({}), agents=[agent], clock=clock
    ) as orchestrator:
        result = await orchestrator.execute_orchestrated_request(REQUEST)
    assert result.success
    assert result.tasks[0].attempts[0].duration_s == 3600.0
    assert result.duration_s == 3600.0


def test_the_most_exact_entry_answers_and_repeats_come_in_order() -> None:
    recording = Recording(
        [
            answer("a", text="any"),
            answer("a", text="first", model="m:x"),
            answer("a", text="second", model="m:x"),
            answer("a", text="hard", model="m:x", effort="high"),
        ]
    )

    def said(**asked: str) -> str:
        return recording.answer(Question(REQUEST, "a", **asked)).text

    assert said() == "any"
    assert said(model="m:y", effort="low") == "any"
    assert [said(model="m:x", effort="low") for _ in range(3)] == ["first", "second", "second"]
    assert said(model="m:x", effort="high") == "hard"
    with pytest.raises(AgentError, match="agent 'b' to the request"):
        recording.answer(Question(REQUEST, "b"))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "line 2: "),
        ("[]", "line 2: "),
        ("NaN", "NaN is no JSON value"),
        ('{"agent": "a", "request": "r"}', "'kind' is missing"),
        ('{"kind": "other"}', "line 2: .*'answer', 'chat'"),
        ('{"kind": "answer", "agent": "a"}', "line 2: request: Field required"),
        ('{"kind": "answer", "agent": "a", "request": "r", "usd": -1}', "line 2: usd: "),
        ('{"kind": "answer", "agent": "a", "request": "r", "usd": "1"}', "line 2: usd: "),
        ('{"kind": "answer", "agent": "a", "request": "r", "cost": 1}', "line 2: cost: Extra"),
        ('{"kind": "answer", "agent": "a", "request": "r", "seconds": NaN}', "NaN is no JSON"),
        ('{"kind": "chat", "model": "m:x", "messages": [["user"]]}', "line 2: messages.0: "),
        ('{"kind": "chat", "model": "m:x", "messages": [], "x": ' + "[" * 9999, "line 2: "),
        ("\x80", "line 2: "),
    ],
)
def test_a_line_that_is_no_entry_is_named(tmp_path: Path, line: str, problem: str) -> None:
    path = tmp_path / "answers.jsonl"
    good = entry_line(answer("a", text="fine"))
    path.write_bytes(f"{good}\n{line}\n".encode("latin-1"))
    with pytest.raises(InputError, match=problem) as refused:
        Recording.load(path)
    assert str(path) in str(refused.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.jsonl cannot be read"):
        Recording.load(tmp_path / "missing.jsonl")
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b"{}")[:-9])
    with pytest.raises(InputError, match=r"cut\.jsonl\.gz cannot be read"):
        Recording.load(tmp_path / "cut.jsonl.gz")


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
ANSWERS = st.builds(
    RecordedAnswer,
    request=st.text(),
    agent=st.text(),
    text=st.text(),
    data=st.dictionaries(st.text(), PLAIN, max_size=3),
    usd=st.floats(0, 1e4),
    seconds=st.floats(0, 1e9),
    failure=st.text(),
)
CHATS = st.builds(
    RecordedChat,
    model=st.text(),
    messages=st.lists(st.lists(st.text(), min_size=2, max_size=2)),
    text=st.text(),
    cut=st.booleans(),
)


@given(st.lists(ANSWERS | CHATS, max_size=5))
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, entries: list[RecordedAnswer | RecordedChat]
) -> None:
    path = tmp_path_factory.mktemp("recordings") / "all.jsonl.gz"
    text = "\n\n".join(map(entry_line, entries))
    path.write_bytes(gzip.compress(text.encode()))
    assert Recording.load(path).entries == tuple(entries)


async def test_a_run_that_was_recorded_is_replayed_elsewhere(tmp_path: Path) -> None:
    """Failures, files, paths, costs: the second machine sees what the first one saw."""
    path = tmp_path / "answers.jsonl"

    async def write(assignment: Assignment) -> TaskOutput:
        file = assignment.artifacts_dir / "news.txt"
        file.write_text("all is well")
        data = {"news": "good", "file": str(file), "of": [str(assignment.workspace / "x.csv")]}
        return TaskOutput("see " + str(file), data, (str(file),), Usage(3, 4, 0.75))

    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    recorder = Recorder(path)
    real = [FakeAgent("cheap", Fail("no"), skills=[SKILL]), FunctionAgent(DEAR, write)]
    before = await run(first, [RecordingAgent(agent, recorder) for agent in real])
    assert before.success, before.errors

    recording = Recording.load(path)
    after = await run(second, [ReplayAgent(card, recording) for card in (CHEAP, DEAR)])
    assert after.success, after.errors
    assert [(a.outcome, a.reason, a.cost_usd) for a in after.tasks[0].attempts] == [
        (a.outcome, a.reason, a.cost_usd) for a in before.tasks[0].attempts
    ]
    (file,) = after.artifacts
    assert str(second) in file
    assert Path(file).read_text() == "all is well"
    assert after.output == f"see {file}"
    assert str(first) not in path.read_text()


async def test_an_agent_elsewhere_is_recorded_and_replayed_here(
    tmp_path: Path, serve: Serve
) -> None:
    async def write(assignment: Assignment) -> TaskOutput:
        file = assignment.artifacts_dir / "news.txt"
        file.write_text("all is well")
        return TaskOutput("written", {"news": "good"}, (str(file),), Usage(cost_usd=0.75))

    path = tmp_path / "answers.jsonl"
    served = await serve(lambda url: serve_agent(FunctionAgent(DEAR, write), url=url))
    remote = await RemoteAgent.connect(served.url, allow_private=True)
    before = await run(tmp_path, [RecordingAgent(remote, Recorder(path))])
    assert before.success, before.errors
    assert remote.card.url

    after = await run(tmp_path, [ReplayAgent(remote.card, Recording.load(path))])
    assert after.success, after.errors
    assert after.cost_usd == before.cost_usd == 0.75
    assert Path(after.artifacts[0]).read_text() == "all is well"


@pytest.mark.parametrize(
    ("outcome", "failure", "retryable"),
    [(AgentUnavailable("away"), "away", True), (Fail("no"), "no", False)],
)
async def test_it_is_recorded_whether_another_try_might_have_mended_a_failure(
    tmp_path: Path, outcome: Fail | Exception, failure: str, retryable: bool
) -> None:
    path = tmp_path / "answers.jsonl"
    agent = RecordingAgent(FakeAgent("cheap", outcome), Recorder(path))
    task = Task("a", "say it", "general")
    message = local_message(Assignment(task, REQUEST, {}, tmp_path, tmp_path), "run")
    with suppress(AgentUnavailable):
        async for _ in agent.send(message):
            pass
    (entry,) = Recording.load(path).entries
    assert isinstance(entry, RecordedAnswer)
    assert (entry.failure, entry.retryable, entry.usd) == (failure, retryable, None)


async def test_what_is_cancelled_is_not_recorded(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    agent = RecordingAgent(FakeAgent("cheap", Hang(), skills=[SKILL]), Recorder(path))
    result = await run(tmp_path, [agent], timeout_s=0.2)
    assert not result.success
    assert path.read_text() == ""


async def test_no_secret_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "open-sesame")
    path = tmp_path / "answers.jsonl"
    request = f"{REQUEST} with open-sesame"
    agent = FakeAgent("cheap", {"news": "good", "log": ["used open-sesame"]}, skills=[SKILL])
    await run(tmp_path, [RecordingAgent(agent, Recorder(path))], request=request)
    assert "open-sesame" not in path.read_text()
    assert "***" in path.read_text()
    replayed = await run(tmp_path, [ReplayAgent(CHEAP, Recording.load(path))], request=request)
    assert replayed.success, replayed.errors


class City(BaseModel):
    name: str


ASKED = [ChatMessage("system", "Be brief."), ChatMessage("user", "Which city?")]


async def test_a_recorded_conversation_is_replayed_at_its_price(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    script = [Reply("Oslo", 10, 2), {"name": "Oslo"}, "no city", Failure.RATE_LIMIT]
    with OpenAIServer(script) as server:
        llm = ChatOpenAI(
            model="scripted", base_url=server.url, api_key=SecretStr("sk-secret"), max_retries=0
        )
        real = RecordingModel(llm, Recorder(path))
        assert (await real.complete(ASKED)).text == "Oslo"
        assert (await real.complete(ASKED, schema=City)).value == City(name="Oslo")
        with pytest.raises(UnusableAnswer):
            await real.complete(ASKED, schema=City)
        with pytest.raises(ModelError):
            await real.complete(ASKED)
    assert "sk-secret" not in path.read_text()

    replayed = ReplayModel("openai:scripted", Recording.load(path), prices=PRICES)
    first = await replayed.complete(ASKED)
    assert (first.text, first.usage.cost_usd) == ("Oslo", 12.0)
    assert (await replayed.complete(ASKED, schema=City, max_output_tokens=9)).value.name == "Oslo"
    with pytest.raises(UnusableAnswer, match="no city") as unusable:
        await replayed.complete(ASKED, schema=City)
    assert unusable.value.usage.cost_usd == 120.0
    with pytest.raises(ModelError, match="rate limit") as limited:
        await replayed.complete(ASKED)
    assert limited.value.retryable
    with pytest.raises(ModelError, match="not in the recording; it ends: 'Why"):
        await replayed.complete([ChatMessage("user", "Why?")])


async def test_a_recorded_plan_is_made_again_by_the_real_planner(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    plan = {"tasks": [{"id": "a", "description": "say it", "operation": "tell"}]}
    agent = FakeAgent("cheap", {"news": "good"}, skills=[SKILL])
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    with OpenAIServer([plan]) as server:
        llm = ChatOpenAI(model="scripted", base_url=server.url, api_key=SecretStr("any"))
        model = RecordingModel(llm, Recorder(path))
        before = await run(first, [agent], model=model, timeout_s=60)
    assert before.plan_source == "model", before.errors
    replay = ReplayModel("openai:scripted", Recording.load(path))
    after = await run(second, [agent], model=replay, timeout_s=60)
    assert after.plan_source == "model", after.errors
    assert after.cost_usd == before.cost_usd


def test_entries_are_one_line_each_and_short(tmp_path: Path) -> None:
    line = entry_line(answer("a", text="two\nlines"))
    assert json.loads(line) == {
        "kind": "answer", "request": REQUEST, "agent": "a", "text": "two\nlines"
    }  # fmt: skip
    assert "\n" not in line
    with pytest.raises(InputError, match="compress it afterwards"):
        Recorder(tmp_path / "x.jsonl.gz")
    with pytest.raises(InputError, match="cannot be written"):
        Recorder(tmp_path)
