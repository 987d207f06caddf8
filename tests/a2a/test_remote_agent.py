"""A real A2A server on loopback, driven through `RemoteAgent`."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import pytest
from a2a.client import ClientConfig, ClientFactory
from a2a.types import a2a_pb2 as pb

from genesis.agents.adapters import FunctionAgent
from genesis.agents.assignment import Assignment
from genesis.agents.registry import AgentRegistry
from genesis.errors import AgentError, AgentUnavailable, InputError, ModelError
from genesis.execution.attempt import RunScope, TaskRunner
from genesis.execution.delivery import Deliveries
from genesis.execution.slots import AgentSlots
from genesis.routing.ladder import Ladder, Rung
from genesis.tasks.task import AttemptOutcome, Task, TaskOutput, TaskResult, TaskStatus, Usage
from genesis.testing import FakeAgent, Hang
from infrastructure.a2a.agent import AgentCard, Skill
from infrastructure.a2a.remote import RemoteAgent
from infrastructure.a2a.serving import JSONRPC_PATH, REST_PATH, serve_agent
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
from infrastructure.clock import SystemClock
from infrastructure.net.addresses import names_private
from infrastructure.resilience.breaker import Breakers
from infrastructure.resilience.budget import Budget
from infrastructure.resilience.retry import RetryPolicy

App: TypeAlias = Callable[..., Awaitable[None]]
Serve: TypeAlias = Callable[[Callable[[str], App]], Awaitable[Any]]

SKILL = Skill(
    "count_rows", "Counts the rows of a CSV file.", ("data_analysis",), ("dataset",),
    ("rows", "share", "nested"), 0.25, 2.5, False,
)  # fmt: skip
CARD = AgentCard("counter", "Counts.", (SKILL,), "3.1.4", max_concurrency=7)


async def count_rows(assignment: Assignment) -> TaskOutput:
    dataset = Path(str(assignment.inputs["dataset"]))
    assert dataset.is_relative_to(assignment.workspace)
    rows = len(dataset.read_text().splitlines()) - 1
    report = assignment.artifacts_dir / "report.txt"
    report.write_text(f"{rows} rows for {assignment.request}")
    data = {"rows": rows, "share": 0.5, "nested": {"a": [1, None, True, "é"]}}
    return TaskOutput(f"{rows} rows", data, (str(report),), Usage(10, 20, 0.03))


_NUMBERS = itertools.count(1)


def _message(text: str = "count") -> Message:
    # Each its own: a server may answer a message that it has seen from memory.
    return Message(f"m{next(_NUMBERS)}", "user", (Part(text=text),))


async def _events(agent: RemoteAgent, message: Message | None = None) -> list[AgentEvent]:
    async with aclosing(agent.send(message or _message())) as stream:
        return [event async for event in stream]


async def _connect(url: str, token: str | None = None) -> RemoteAgent:
    return await RemoteAgent.connect(url, token=token, allow_private=True)


@pytest.fixture
async def connected(serve: Serve) -> AsyncIterator[RemoteAgent]:
    agent = FunctionAgent(CARD, count_rows)
    served = await serve(lambda url: serve_agent(agent, url=url))
    remote = await _connect(served.url)
    yield remote
    await remote.aclose()


class _Run:
    """One task through the runner, with agents elsewhere."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        clock = SystemClock()
        self.breakers = Breakers(clock)
        self.registry = AgentRegistry(self.breakers)
        deliveries = Deliveries(
            self.registry, self.breakers, AgentSlots(), clock, retry_policy=RetryPolicy(tries=1)
        )
        self.runner = TaskRunner(self.registry, deliveries, clock)

    async def __call__(self, task: Task, *agents: str, **given: str) -> TaskResult:
        rungs = tuple(Rung(a, task.operation, "", "medium", 0.5, 0.1, 1, "") for a in agents)
        artifacts = self.folder / "artifacts"
        scope = RunScope("run", "the request", given, self.folder, artifacts, Budget())
        return await self.runner.run(task, Ladder(task.id, rungs, 0.5, ""), {}, scope)


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[_Run]:
    runner = _Run(tmp_path)
    yield runner
    await runner.registry.aclose()


async def test_the_card_carries_what_skills_need_and_cost(connected: RemoteAgent) -> None:
    card = connected.card
    assert card.skills == (SKILL,)
    assert (card.name, card.version, card.max_concurrency) == ("counter", "3.1.4", 7)
    assert card.url.startswith("http://127.0.0.1:")


async def test_a_task_goes_out_with_its_files_and_comes_back_with_data_and_files(
    serve: Serve, run: _Run
) -> None:
    agent = FunctionAgent(CARD, count_rows)
    served = await serve(lambda url: serve_agent(agent, url=url, token="s3cret"))
    run.registry.register(served.url, token="s3cret")
    assert await run.registry.connect() == {}
    dataset = run.folder / "sales.csv"
    dataset.write_text("a,b\n1,2\n3,4\n")
    task = Task(
        "t", "count the rows", "data_analysis", "count_rows", SKILL.requires, SKILL.produces
    )
    result = await run(task, "counter", dataset=str(dataset))
    assert result.status is TaskStatus.COMPLETED, result.error
    assert result.output is not None
    assert result.output.text == "2 rows"
    assert result.output.data == {
        "rows": 2,
        "share": 0.5,
        "nested": {"a": [1, None, True, "é"]},
    }
    assert result.output.usage == Usage(10, 20, 0.03)
    (path,) = result.output.artifacts
    assert Path(path).parent == run.folder / "artifacts" / "t-1"
    assert Path(path).read_text() == "2 rows for the request"


@pytest.mark.parametrize(("binding", "path"), [("JSONRPC", JSONRPC_PATH), ("HTTP+JSON", REST_PATH)])
async def test_both_bindings_stream_the_same_events(serve: Serve, binding: str, path: str) -> None:
    paths: list[str] = []

    def watched(url: str) -> App:
        app = serve_agent(FakeAgent("a", {"rows": 3}), url=url)

        async def note(scope: Any, receive: Any, send: Any) -> None:
            paths.append(str(scope.get("path")))
            await app(scope, receive, send)

        return note

    served = await serve(watched)
    remote = await RemoteAgent.connect(served.url, allow_private=True, bindings=(binding,))
    events = await _events(remote)
    await remote.aclose()
    assert paths[-1].startswith(path)
    artifacts = [event for event in events if isinstance(event, ArtifactUpdate)]
    assert [part.data for part in artifacts[0].artifact.parts] == [{"rows": 3}]
    last = events[-1]
    assert isinstance(last, StatusUpdate)
    assert last.state is TaskState.COMPLETED


async def test_a_failure_arrives_with_its_cause_and_whether_to_try_again(
    serve: Serve, run: _Run
) -> None:
    async def limited(assignment: Assignment) -> str:
        raise ModelError("the model is overloaded", retryable=True)

    agent = FunctionAgent(CARD, limited)
    served = await serve(lambda url: serve_agent(agent, url=url))
    run.registry.register(served.url)
    await run.registry.connect()
    result = await run(Task("t", "count", "general"), "counter")
    assert result.attempts[0].outcome is AttemptOutcome.UNAVAILABLE
    assert result.attempts[0].reason == "the model is overloaded"


async def test_a_plain_text_message_of_any_client_is_served(serve: Serve) -> None:
    async def shout(assignment: Assignment) -> str:
        assert assignment.task.operation == "shout"
        return assignment.task.description.upper()

    card = AgentCard("shouter", "Shouts.", (Skill("shout", "Shouts."),))
    agent = FunctionAgent(card, shout)
    served = await serve(lambda url: serve_agent(agent, url=url))
    remote = await _connect(served.url)
    events = await _events(remote, _message("hello"))
    await remote.aclose()
    texts = [p.text for e in events if isinstance(e, ArtifactUpdate) for p in e.artifact.parts]
    assert texts == ["HELLO"]


async def test_closing_the_stream_cancels_the_work_over_there(serve: Serve) -> None:
    fake = FakeAgent("a", Hang())
    served = await serve(lambda url: serve_agent(fake, url=url))
    remote = await _connect(served.url)
    stream = remote.send(_message())
    async for event in stream:
        if isinstance(event, StatusUpdate) and event.state is TaskState.WORKING:
            break
    assert fake.active == 1
    await stream.aclose()
    await remote.aclose()
    async with asyncio.timeout(5):
        await fake.ended.wait()
    assert (fake.active, fake.canceled) == (0, 1)


async def test_a_run_that_is_cancelled_cancels_the_work_over_there(serve: Serve, run: _Run) -> None:
    fake = FakeAgent("a", Hang())
    served = await serve(lambda url: serve_agent(fake, url=url))
    run.registry.register(served.url)
    await run.registry.connect()
    running = asyncio.create_task(run(Task("t", "x", "general"), "a"))
    await fake.started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    async with asyncio.timeout(5):
        await fake.ended.wait()
    assert fake.canceled == 1


async def test_a_server_that_dies_in_mid_task_is_unavailable_at_once(
    serve: Serve, run: _Run
) -> None:
    fake = FakeAgent("a", Hang())
    served = await serve(lambda url: serve_agent(fake, url=url))
    run.registry.register(served.url)
    await run.registry.connect()
    run.registry.register(FakeAgent("fallback", "done"))
    running = asyncio.create_task(run(Task("t", "x", "general"), "a", "fallback"))
    await fake.started.wait()
    await served.kill()
    async with asyncio.timeout(5):
        result = await running
    outcomes = [attempt.outcome for attempt in result.attempts]
    assert outcomes == [AttemptOutcome.UNAVAILABLE, AttemptOutcome.VERIFIED]
    assert "cannot be reached" in result.attempts[0].reason


async def test_a_wrong_token_is_refused_and_said_so(serve: Serve) -> None:
    fake = FakeAgent("a")
    served = await serve(lambda url: serve_agent(fake, url=url, token="right"))
    for token in (None, "wrong"):
        remote = await _connect(served.url, token)
        with pytest.raises(AgentError, match="refuses the token"):
            await _events(remote)
        await remote.aclose()
    assert fake.calls == 0


async def test_nobody_there_is_unavailable() -> None:
    with pytest.raises(AgentUnavailable, match="cannot be reached"):
        await _connect("http://127.0.0.1:1")


async def test_private_addresses_need_to_be_allowed(serve: Serve) -> None:
    served = await serve(lambda url: serve_agent(FakeAgent("a"), url=url))
    by_name = served.url.replace("127.0.0.1", "localhost")
    for url in (served.url, by_name):
        with pytest.raises(AgentError, match="not a public address"):
            await RemoteAgent.connect(url, allow_private=False)
    # Whoever writes a private address, or this machine's name, means it.
    await (await RemoteAgent.connect(served.url)).aclose()
    assert names_private("localhost")
    assert not names_private("agents.example")


async def test_a_registered_url_that_is_away_is_tried_again(serve: Serve, run: _Run) -> None:
    run.registry.register("http://127.0.0.1:1")
    with pytest.raises(InputError, match="already registered"):
        run.registry.register("http://127.0.0.1:1")
    for _ in range(2):
        problems = await run.registry.connect()
        assert "cannot be reached" in problems["http://127.0.0.1:1"]
    assert run.registry.cards == ()


class _Streamed(FakeAgent):
    """Streams a text in pieces, then ends."""

    async def send(self, message: Message) -> AsyncGenerator[AgentEvent]:
        task, context = message.task_id, message.context_id
        yield StatusUpdate(task, context, TaskState.WORKING)
        for number, piece in enumerate(("Hel", "lo ", "you")):
            artifact = Artifact("text", (Part(text=piece),))
            yield ArtifactUpdate(task, context, artifact, number > 0, number == 2)
        yield StatusUpdate(task, context, TaskState.COMPLETED)


async def test_a_text_in_pieces_is_put_together(serve: Serve, run: _Run) -> None:
    served = await serve(lambda url: serve_agent(_Streamed("a"), url=url))
    run.registry.register(served.url)
    await run.registry.connect()
    result = await run(Task("t", "x", "general", produces=("greeting",)), "a")
    assert result.output is not None
    assert result.output.text == "Hello you"
    assert result.output.data == {"greeting": "Hello you"}


async def test_an_agent_may_answer_with_one_message(serve: Serve, run: _Run) -> None:
    class Direct(FakeAgent):
        async def send(self, message: Message) -> AsyncGenerator[AgentEvent]:
            yield Message("answer", "agent", (Part(text="42"), Part(data=[1, 2])))

    served = await serve(lambda url: serve_agent(Direct("a"), url=url))
    run.registry.register(served.url, name="oracle")
    await run.registry.connect()
    result = await run(Task("t", "x", "general", produces=("numbers",)), "oracle")
    assert result.output is not None
    assert (result.output.text, result.output.data) == ("42", {"numbers": [1, 2]})


async def test_the_sdks_own_client_is_served(serve: Serve) -> None:
    served = await serve(lambda url: serve_agent(FakeAgent("a", "hello"), url=url))
    part = pb.Part(text="hi")
    message = pb.Message(message_id="m", role=pb.ROLE_USER, parts=[part])
    async with httpx.AsyncClient() as http:
        client = await ClientFactory(ClientConfig(httpx_client=http)).create_from_url(served.url)
        responses = [r async for r in client.send_message(pb.SendMessageRequest(message=message))]
        await client.close()
    kinds = [response.WhichOneof("payload") for response in responses]
    assert kinds == ["task", "status_update", "artifact_update", "status_update"]
    assert responses[-1].status_update.status.state == pb.TASK_STATE_COMPLETED


async def test_a_served_agent_forgets_its_oldest_tasks(serve: Serve) -> None:
    fake = FakeAgent("a", "hello")
    served = await serve(lambda url: serve_agent(fake, url=url, max_kept_tasks=1))
    remote = await _connect(served.url)
    for _ in range(2):
        await _events(remote)
    await remote.aclose()
    oldest, latest = (message.task_id for message in fake.messages)
    async with httpx.AsyncClient(base_url=served.url + REST_PATH) as http:
        http.headers["A2A-Version"] = "1.0"
        assert (await http.get(f"/tasks/{latest}")).status_code == 200
        assert (await http.get(f"/tasks/{oldest}")).status_code == 404


async def test_a_served_agent_takes_no_more_than_it_says_and_refuses_a_flood(
    serve: Serve,
) -> None:
    fake = FakeAgent("a", Hang(), max_concurrency=1)
    served = await serve(lambda url: serve_agent(fake, url=url, max_waiting=1))
    remote = await _connect(served.url)
    busy = remote.send(_message())
    await anext(busy)
    await fake.started.wait()
    waiting = remote.send(_message())
    await anext(waiting)
    refused = (await _events(remote))[-1]
    assert isinstance(refused, StatusUpdate)
    assert refused.state is TaskState.REJECTED
    assert refused.metadata == {EXTENSION: {"retryable": True}}
    assert fake.calls == 1
    await busy.aclose()
    await waiting.aclose()
    await remote.aclose()
