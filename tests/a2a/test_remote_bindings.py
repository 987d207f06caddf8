"""The same on JSON-RPC, HTTP+JSON and gRPC, with an agent that is the SDK's alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import pytest
from a2a.types import a2a_pb2 as pb
from remote_peers import ServeGrpc, ask
from sdk_agent import SdkExecutor, sdk_app, sdk_card

from infrastructure.a2a.remote import BINDINGS, RemoteAgent
from infrastructure.a2a.types import AgentEvent, ArtifactUpdate, Message, Part, StatusUpdate

Serve: TypeAlias = Callable[..., Awaitable[Any]]


def message(text: str, *parts: Part, task_id: str = "", context_id: str = "c1") -> Message:
    return Message(f"m-{text}", "user", (Part(text=text), *parts), context_id, task_id)


def texts(events: list[AgentEvent]) -> str:
    parts = [p for e in events if isinstance(e, ArtifactUpdate) for p in e.artifact.parts]
    return "".join(part.text or "" for part in parts)


def last(events: list[AgentEvent]) -> StatusUpdate:
    assert isinstance(events[-1], StatusUpdate)
    return events[-1]


@dataclass
class Served:
    """The agent, and how a client reaches it."""

    executor: SdkExecutor
    url: str
    bindings: tuple[str, ...]
    server: Any

    async def connect(self, **how: Any) -> RemoteAgent:
        return await RemoteAgent.connect(self.url, bindings=self.bindings, **how)


@pytest.fixture(params=BINDINGS)
async def binding(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=[True, False], ids=["streaming", "polling"])
async def streaming(request: pytest.FixtureRequest) -> bool:
    return request.param


@pytest.fixture
async def sdk(
    binding: str, streaming: bool, serve: Serve, serve_grpc: ServeGrpc
) -> AsyncIterator[Served]:
    executor = SdkExecutor()
    card = sdk_card("http://127.0.0.1:1", BINDINGS, "127.0.0.1:1", streaming=streaming)
    grpc_at, server = await serve_grpc(executor, card)

    def app(url: str) -> Any:
        return sdk_app(executor, sdk_card(url, BINDINGS, grpc_at, streaming=streaming))

    served = await serve(app)
    yield Served(executor, served.url, (binding,), server)
    executor.release.set()


@pytest.fixture
async def agent(sdk: Served) -> AsyncIterator[RemoteAgent]:
    connected = await sdk.connect()
    yield connected
    await connected.aclose()


async def test_a_task_is_done(agent: RemoteAgent) -> None:
    events = await ask(agent, message("hello"))
    assert texts(events) == "you said hello"
    assert last(events).state == "completed"
    assert last(events).context_id == "c1"


async def test_one_message_may_be_the_answer(agent: RemoteAgent) -> None:
    events = await ask(agent, message("reply"))
    assert [e.text for e in events if isinstance(e, Message)] == ["here I am"]


async def test_a_failure_says_why(agent: RemoteAgent) -> None:
    end = last(await ask(agent, message("fail")))
    assert end.state == "failed"
    assert end.message is not None
    assert end.message.text == "it broke"


async def test_files_and_data_go_both_ways(agent: RemoteAgent) -> None:
    raw = Part(raw=bytes(range(256)), media_type="image/png", filename="a.png")
    data = Part(data={"n": 1, "deep": [{"x": None}]})
    events = await ask(agent, message("parts", raw, data))
    (result,) = [e.artifact for e in events if isinstance(e, ArtifactUpdate)]
    assert result.parts == (raw, data, Part(data={"a": [1, 2.5, None, True, "é"], "b": {}}))


@pytest.mark.parametrize(
    ("text", "state", "words"),
    [("ask", "input-required", "Which region?"), ("sign in", "auth-required", "Please sign in.")],
)
async def test_a_question_waits_for_its_answer(
    agent: RemoteAgent, sdk: Served, text: str, state: str, words: str
) -> None:
    asked = last(await ask(agent, message(text)))
    assert (asked.state, asked.context_id) == (state, "c1")
    assert asked.message is not None
    assert asked.message.text == words
    assert sdk.executor.canceled == []
    answer = message("north", task_id=asked.task_id, context_id=asked.context_id)
    events = await ask(agent, answer)
    assert texts(events) == "you said north"
    assert last(events).task_id == asked.task_id


async def test_a_question_that_nobody_answers_can_be_cancelled(
    agent: RemoteAgent, sdk: Served
) -> None:
    asked = last(await ask(agent, message("ask")))
    await agent.cancel(asked.task_id)
    assert sdk.executor.canceled == [asked.task_id]


async def test_whoever_stops_listening_stops_the_work(agent: RemoteAgent, sdk: Served) -> None:
    stream = agent.send(message("hang"))
    events: list[AgentEvent] = []
    async with asyncio.timeout(5):
        async for event in stream:
            events.append(event)
            if sdk.executor.started.is_set():
                break
        await stream.aclose()
    assert sdk.executor.canceled == [getattr(events[0], "task_id", "")]


async def test_whoever_is_cancelled_stops_the_work(agent: RemoteAgent, sdk: Served) -> None:
    asking = asyncio.create_task(ask(agent, message("hang")))
    async with asyncio.timeout(5):
        await sdk.executor.started.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    assert len(sdk.executor.canceled) == 1


async def test_many_tasks_at_once_over_one_client(agent: RemoteAgent) -> None:
    sent = [message(f"hello {number}") for number in range(20)]
    answers = await asyncio.gather(*(ask(agent, one) for one in sent))
    assert [texts(events) for events in answers] == [f"you said hello {n}" for n in range(20)]


def test_a_client_outlives_its_event_loop() -> None:
    """Scripts call `asyncio.run` for each request; the agent is registered once."""
    from remote_peers import Call, Peer, task

    async def answer(call: Call) -> None:
        await call.result({"task": task("COMPLETED", {"text": "again"})})

    async def first() -> tuple[RemoteAgent, int]:
        one = Peer(answer)
        await one.start()
        agent = await RemoteAgent.connect(one.url)
        assert texts(await ask(agent)) == "again"
        port = int(one.url.rpartition(":")[2])
        await agent.aclose()
        await one.stop()
        return agent, port

    async def second(agent: RemoteAgent, port: int) -> None:
        one = Peer(answer)
        await one.start(port)
        assert texts(await ask(agent)) == "again"
        await agent.aclose()
        await one.stop()

    asyncio.run(second(*asyncio.run(first())))


async def test_the_binding_is_the_one_that_the_card_prefers(
    serve: Serve, serve_grpc: ServeGrpc
) -> None:
    executor = SdkExecutor()
    grpc_at, _ = await serve_grpc(executor, sdk_card("http://x", BINDINGS, "x:1"))
    orders: tuple[tuple[str, ...], ...] = (BINDINGS, BINDINGS[::-1], ("HTTP+JSON", "GRPC"))
    for preferred in orders:

        def app(url: str, bindings: tuple[str, ...] = preferred) -> Any:
            return sdk_app(executor, sdk_card(url, bindings, grpc_at))

        agent = await RemoteAgent.connect((await serve(app)).url)
        assert agent.binding == preferred[0]
        assert texts(await ask(agent, message(preferred[0]))) == f"you said {preferred[0]}"
        await agent.aclose()


async def test_a_binding_that_may_not_be_used_is_passed_over(serve: Serve) -> None:
    elsewhere = pb.AgentInterface(
        url="grpc.elsewhere.example:443", protocol_binding="GRPC", protocol_version="1.0"
    )

    def app(url: str) -> Any:
        card = sdk_card(url, ("HTTP+JSON",))
        card.supported_interfaces.insert(0, elsewhere)
        return sdk_app(SdkExecutor(), card)

    served = await serve(app)
    agent = await RemoteAgent.connect(served.url)
    assert agent.binding == "HTTP+JSON"
    await agent.aclose()
