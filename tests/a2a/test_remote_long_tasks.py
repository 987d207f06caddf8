"""Tasks that outlast their stream: subscribed again, then polled; a forgotten one is asked anew."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeAlias

import pytest
from a2a.types import a2a_pb2 as pb
from a2a.types import a2a_pb2_grpc
from remote_peers import EVENTS, Call, ServeGrpc, StartPeer, artifact, ask, ask_once, status, task
from sdk_agent import SdkExecutor, sdk_app, sdk_card

from infrastructure.a2a.remote import RemoteAgent
from infrastructure.a2a.types import AgentEvent, ArtifactUpdate, Message, Part, StatusUpdate
from infrastructure.errors import AgentError, AgentMisbehaved, AgentUnavailable
from infrastructure.resilience.retry import is_retryable

Serve: TypeAlias = Callable[..., Awaitable[Any]]


def _states(events: list[AgentEvent]) -> list[str]:
    return [e.state.value for e in events if isinstance(e, StatusUpdate)]


def _text(events: list[AgentEvent]) -> str:
    """What is handed in: chunks that continue each other, or a whole that replaces them."""
    text = ""
    for event in events:
        if isinstance(event, ArtifactUpdate):
            said = "".join(part.text or "" for part in event.artifact.parts)
            text = text + said if event.append else said
    return text


async def test_a_cut_stream_is_subscribed_again(peer: StartPeer) -> None:
    async def answer(call: Call) -> None:
        await call.head(EVENTS)
        if call.method == "SendStreamingMessage":
            await call.event({"task": task("WORKING")})
            await call.event(artifact({"text": "one "}, append=False))
            call.drop()
            return
        assert call.params["id"] == "t1"
        await call.event({"task": task("WORKING", {"text": "one "})})
        await call.event(artifact({"text": "two"}, append=True))
        await call.event(status("COMPLETED"))
        await call.end()

    one = await peer(answer)
    events = await ask_once(one.url)
    assert one.methods == ["SendStreamingMessage", "SubscribeToTask"]
    assert _text(events) == "one two"
    assert _states(events)[-1] == "completed"


async def test_a_connection_that_comes_back_is_used_again(peer: StartPeer) -> None:
    async def answer(call: Call) -> None:
        if call.method == "SendStreamingMessage":
            await call.head(EVENTS)
            await call.event({"task": task("WORKING")})
            call.drop()
        elif len(one.methods) < 4:
            call.drop()
        else:
            await call.events({"task": task("COMPLETED", {"text": "there"})})

    one = await peer(answer)
    events = await ask_once(one.url)
    assert one.methods == ["SendStreamingMessage", *["SubscribeToTask"] * 3]
    assert _text(events) == "there"


async def test_who_does_not_come_back_is_gone(peer: StartPeer) -> None:
    async def answer(call: Call) -> None:
        if call.method == "SendStreamingMessage":
            await call.head(EVENTS)
            await call.event({"task": task("WORKING")})
            await one.stop()
        call.drop()

    one = await peer(answer)
    async with asyncio.timeout(10):
        with pytest.raises(AgentUnavailable, match="cannot be reached") as caught:
            await ask_once(one.url)
    assert is_retryable(caught.value)


@pytest.mark.parametrize("how", ["http 404", "unsupported", "unknown method", "no task first"])
async def test_who_cannot_subscribe_is_polled(peer: StartPeer, how: str) -> None:
    polls = 0

    async def answer(call: Call) -> None:
        nonlocal polls
        if call.method == "SendStreamingMessage":
            await call.events({"task": task("WORKING")})
        elif call.method == "GetTask":
            polls += 1
            assert call.params.get("historyLength", 0) == 0
            await call.result(task("WORKING") if polls < 3 else task("COMPLETED", {"text": "x"}))
        elif how == "http 404":
            await call.respond(b"", code=404)
        elif how == "no task first":
            await call.events(artifact({"text": "the end only"}, append=True), status("COMPLETED"))
        else:
            await call.error(-32004 if how == "unsupported" else -32601, "no")

    one = await peer(answer)
    events = await ask_once(one.url)
    assert one.methods == ["SendStreamingMessage", "SubscribeToTask", *["GetTask"] * 3]
    assert _text(events) == "x"
    assert _states(events) == ["working", "working", "completed"]


@pytest.mark.parametrize("subscribing", [True, False])
async def test_a_forgotten_task_may_be_asked_for_again(peer: StartPeer, subscribing: bool) -> None:
    async def answer(call: Call) -> None:
        if call.method == "SendStreamingMessage":
            await call.events({"task": task("WORKING")})
        elif subscribing or call.method == "GetTask":
            await call.error(-32001, "never heard of it")
        elif call.method == "SubscribeToTask":
            await call.error(-32004, "no")

    one = await peer(answer)
    with pytest.raises(AgentUnavailable, match="has forgotten task 't1'") as caught:
        await ask_once(one.url)
    assert is_retryable(caught.value)


async def test_an_answer_to_a_task_that_is_gone_is_refused(peer: StartPeer) -> None:
    async def answer(call: Call) -> None:
        await call.error(-32001, "never heard of it")

    one = await peer(answer)
    answered = Message("m2", "user", (Part(text="north"),), "c", "t9")
    with pytest.raises(AgentError, match="knows no such task") as caught:
        await ask_once(one.url, answered)
    assert not isinstance(caught.value, AgentUnavailable)


async def test_how_a_task_stood_when_it_was_answered_is_no_new_question(peer: StartPeer) -> None:
    """Some agents begin every stream with the task as they have it stored."""

    async def answer(call: Call) -> None:
        before, new = {"task": task("INPUT_REQUIRED")}, status("INPUT_REQUIRED", text="And when?")
        if "now" in call.body.decode():
            await call.events(before, status("COMPLETED"))
        else:
            await call.events(before, new)

    one = await peer(answer)
    said = Message("m2", "user", (Part(text="north"),), "c", "t1")
    assert _states(await ask_once(one.url, said)) == ["input-required"]
    assert _states(await ask_once(one.url, replace(said, parts=(Part(text="now"),)))) == [
        "completed"
    ]


async def test_a_poll_of_another_task_is_refused(peer: StartPeer) -> None:
    async def answer(call: Call) -> None:
        if call.method == "SendStreamingMessage":
            await call.events({"task": task("WORKING")})
        elif call.method == "GetTask":
            await call.result(task("COMPLETED", task_id="t2"))
        else:
            await call.error(-32004, "no")

    one = await peer(answer)
    with pytest.raises(AgentMisbehaved, match="another task"):
        await ask_once(one.url)


async def test_progress_of_a_polled_task_is_heard_once(peer: StartPeer) -> None:
    said = {"messageId": "x", "role": "ROLE_AGENT", "parts": [{"text": "half way"}]}
    working = {**task("WORKING"), "status": {"state": "TASK_STATE_WORKING", "message": said}}
    polls = 0

    async def answer(call: Call) -> None:
        nonlocal polls
        polls += 1
        if call.method == "SendMessage":
            assert call.params["configuration"]["returnImmediately"] is True
            await call.result({"task": task("SUBMITTED")})
        else:
            await call.result(working if polls < 4 else task("COMPLETED"))

    one = await peer(answer)
    one.card["capabilities"] = {}
    events = await ask_once(one.url)
    assert _states(events) == ["submitted", "working", "completed"]
    assert one.methods == ["SendMessage", "GetTask", "GetTask", "GetTask"]


@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
async def test_the_sdks_own_streams_are_taken_up_again(serve: Serve, binding: str) -> None:
    executor, asked = SdkExecutor(), asyncio.Semaphore(0)

    def app(url: str) -> Any:
        inner = sdk_app(executor, sdk_card(url, (binding,)))

        async def counted(scope: Any, receive: Any, send: Any) -> None:
            if scope.get("method") == "POST":
                asked.release()
            await inner(scope, receive, send)

        return counted

    served = await serve(app)
    agent = await RemoteAgent.connect(served.url, http_timeout_s=0.3)  # silence is a lost stream
    asking = asyncio.create_task(ask(agent, Message("m", "user", (Part(text="wait"),))))
    async with asyncio.timeout(10):
        await asked.acquire()
        await asked.acquire()  # the message, and the subscription after the silence
        executor.release.set()
        events = await asking
    await agent.aclose()
    assert _text(events) == "first second"
    assert len(executor.messages) == 1


class _Silent(a2a_pb2_grpc.A2AServiceServicer):
    """Goes silent in its first stream; tells the rest to who asks again."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.tokens: list[str] = []

    def _note(self, name: str, context: Any) -> None:
        self.calls.append(name)
        self.tokens.append(dict(context.invocation_metadata()).get("authorization", ""))

    async def SendStreamingMessage(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._note("send", context)
        working = pb.TaskStatus(state=pb.TASK_STATE_WORKING)
        yield pb.StreamResponse(task=pb.Task(id="t1", context_id="c", status=working))
        await asyncio.Event().wait()

    async def SubscribeToTask(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._note(f"subscribe {request.id}", context)
        done = pb.TaskStatus(state=pb.TASK_STATE_COMPLETED)
        yield pb.StreamResponse(task=pb.Task(id="t1", context_id="c", status=done))


async def test_a_silent_grpc_stream_counts_as_lost(peer: StartPeer, serve_grpc: ServeGrpc) -> None:
    servicer = _Silent()
    at, _ = await serve_grpc(servicer)

    async def nothing(call: Call) -> None:
        raise AssertionError("no HTTP was to be spoken")

    one = await peer(nothing)
    one.card["supportedInterfaces"] = [
        {"url": at, "protocolBinding": "GRPC", "protocolVersion": "1.0"}
    ]
    events = await ask_once(one.url, http_timeout_s=0.3, token="s3cret")
    assert servicer.calls == ["send", "subscribe t1"]
    assert servicer.tokens == ["Bearer s3cret"] * 2
    assert _states(events) == ["working", "completed"]
