"""Tasks on Memori: one message is one task, also after a restart, and none is left at work."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from serving_wires import BINDINGS, Wire, WireError, message, send, state_of, streamed
from serving_world import World, Worlds

from genesis.server.test_mode import TestModeAgent
from genesis.testing import FakeAgent, Hang
from infrastructure.a2a.agent import Agent
from infrastructure.a2a.serving import A2AServer, PushPolicy, ServedAgent, ServingLimits
from infrastructure.a2a.serving_callers import context_of
from infrastructure.a2a.serving_lease import Lease
from infrastructure.a2a.task_store import MemoriTaskStore
from infrastructure.a2a.types import (
    EXTENSION,
    AgentEvent,
    Message,
    Part,
    StatusUpdate,
    TaskState,
)
from infrastructure.callers import Caller
from infrastructure.jsonvalue import JsonObject
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.store import MemoriStore


class Counting(FakeAgent):
    """Counts what it was asked, and goes on with a task that it is given again."""

    def __init__(self, *, hold: bool = False) -> None:
        super().__init__("counting")
        self.asked: list[str] = []
        self.hold = hold
        self.reached = asyncio.Event()

    async def send(self, message: Message) -> AsyncGenerator[AgentEvent]:
        self.asked.append(message.message_id)
        if message.text == "just say":
            yield Message("said", "agent", (Part(text="said"),))
            return
        yield StatusUpdate("", "", TaskState.WORKING)
        self.reached.set()
        if self.hold:
            await asyncio.Event().wait()
        state = TaskState.INPUT_REQUIRED if message.text == "ask me" else TaskState.COMPLETED
        yield StatusUpdate("", "", state)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[MemoriStore]:
    memori = Memori.open(tmp_path / "a2a.db")
    yield MemoriStore(memori)
    await memori.aclose()


async def _open(
    worlds: Worlds, agent: Agent | ServedAgent, store: MemoriStore | None, **options: Any
) -> World:
    return await worlds(
        lambda url, address: A2AServer(agent, url=url, grpc_url=address, store=store, **options),
    )


# One message, one task


@pytest.mark.parametrize("binding", BINDINGS)
@pytest.mark.parametrize("kept", [True, False])
async def test_a_repeated_message_is_answered_and_not_worked_on_again(
    worlds: Worlds, store: MemoriStore, binding: str, kept: bool
) -> None:
    agent = Counting()
    world = await _open(worlds, agent, store if kept else None)
    wire = world.wire(binding)
    first = await send(wire, "same", "do it")
    again = await send(wire, "same", "do it")
    events = await streamed(
        wire, "SendStreamingMessage", {"message": message("do it", "same", metadata={"try": 2})}
    )
    assert again == first
    assert [state_of(event["task"]) for event in events] == ["COMPLETED"]
    assert events[0]["task"]["id"] == first["id"]
    said = [await send(wire, "quick", "just say") for _ in range(2)]
    assert said[0] == said[1]
    assert said[0]["parts"] == [{"text": "said"}]
    assert agent.asked == ["same", "quick"]


@pytest.mark.parametrize("binding", BINDINGS)
async def test_an_id_that_was_used_for_something_else_is_refused(
    worlds: Worlds, store: MemoriStore, binding: str
) -> None:
    agent = Counting()
    world = await _open(worlds, agent, store)
    wire = world.wire(binding)
    await send(wire, "same", "do it")
    with pytest.raises(WireError, match="an id of its own") as caught:
        await send(wire, "same", "do something else")
    assert caught.value.reason == "INVALID_PARAMS"
    assert agent.asked == ["same"]


async def test_many_equal_messages_at_once_are_one_task(worlds: Worlds, store: MemoriStore) -> None:
    agent = Counting()
    world = await _open(worlds, agent, store)
    wires = [world.wire(binding) for binding in BINDINGS] * 4
    async with asyncio.timeout(20):
        tasks = await asyncio.gather(*(send(wire, "same", "do it") for wire in wires))
    assert len({task["id"] for task in tasks}) == 1
    assert {state_of(task) for task in tasks} == {"COMPLETED"}
    assert agent.asked == ["same"]


async def test_a_repeated_message_joins_the_work_under_way(
    worlds: Worlds, store: MemoriStore
) -> None:
    agent = Counting(hold=True)
    world = await _open(worlds, agent, store)
    wire = world.wire("JSONRPC")
    first = asyncio.create_task(send(wire, "same", "do it"))
    await agent.reached.wait()
    stream = wire.follow("SendStreamingMessage", {"message": message("do it", "same")})
    joined = await anext(stream)
    assert state_of(joined["task"]) == "WORKING"
    now = await send(wire, "same", "do it", configuration={"returnImmediately": True})
    assert (now["id"], state_of(now)) == (joined["task"]["id"], "WORKING")
    await wire.call("CancelTask", {"id": now["id"]})
    rest = [event async for event in stream]
    assert state_of(rest[-1]["statusUpdate"]) == "CANCELED"
    assert state_of(await first) == "CANCELED"
    assert agent.asked == ["same"]


async def test_a_repeated_follow_up_is_known_too(worlds: Worlds, store: MemoriStore) -> None:
    agent = Counting()
    world = await _open(worlds, agent, store)
    wire = world.wire("HTTP+JSON")
    task = await send(wire, "first", "ask me")
    for _ in range(2):
        answered = await send(wire, "second", "my answer", taskId=task["id"])
        assert state_of(answered) == "COMPLETED"
    assert agent.asked == ["first", "second"]


async def _until_ended(wire: Wire, task: dict[str, Any]) -> AsyncGenerator[dict[str, Any]]:
    """What is still told of a task; nothing when it has ended already."""
    with contextlib.suppress(WireError):
        async for event in wire.follow("SubscribeToTask", {"id": task["id"]}):
            yield event


class Moody(FakeAgent):
    """Fails for the moment, then works."""

    async def send(self, message: Message) -> AsyncGenerator[AgentEvent]:
        self.messages.append(message)
        retryable = message.text == "hard"
        if len(self.messages) < 3:
            said = Message("sorry", "agent", (Part(text="not now"),))
            ours: JsonObject = {EXTENSION: {"retryable": retryable}}
            yield StatusUpdate("", "", TaskState.FAILED, said, ours)
        else:
            yield StatusUpdate("", "", TaskState.COMPLETED)


@pytest.mark.parametrize("kept", [True, False])
async def test_what_failed_for_the_moment_is_tried_again_and_what_failed_for_good_is_not(
    worlds: Worlds, store: MemoriStore, kept: bool
) -> None:
    agent = Moody("moody")
    world = await _open(worlds, agent, store if kept else None)
    wire = world.wire("JSONRPC")
    tried = [await send(wire, "m", "hard") for _ in range(4)]
    assert [state_of(task) for task in tried] == ["FAILED", "FAILED", "COMPLETED", "COMPLETED"]
    assert len({task["id"] for task in tried}) == 3
    assert agent.calls == 3
    agent.messages.clear()
    tried = [await send(wire, "n", "soft") for _ in range(2)]
    assert [state_of(task) for task in tried] == ["FAILED", "FAILED"]
    assert agent.calls == 1


async def test_what_was_cancelled_can_be_asked_for_again(
    worlds: Worlds, store: MemoriStore
) -> None:
    agent = Counting(hold=True)
    world = await _open(worlds, agent, store)
    wire = world.wire("GRPC")
    asked = {"configuration": {"returnImmediately": True}}
    first = await send(wire, "same", "do it", **asked)
    await agent.reached.wait()
    await wire.call("CancelTask", {"id": first["id"]})
    agent.hold = False
    again = await send(wire, "same", "do it")
    assert state_of(again) == "COMPLETED"
    assert again["id"] != first["id"]


# Restarts


async def test_what_ended_is_there_after_a_restart(worlds: Worlds, tmp_path: Path) -> None:
    agent = Counting()
    answers: list[dict[str, Any]] = []
    for _ in range(2):
        memori = Memori.open(tmp_path / "a2a.db")
        world = await _open(worlds, agent, MemoriStore(memori))
        wire = world.wire("GRPC")
        answers.append(await send(wire, "same", "do it"))
        answers.append(await send(wire, "quick", "just say"))
        found = await wire.call("ListTasks", {})
        assert [task["id"] for task in found["tasks"]] == [answers[0]["id"]]
        await world.stop()
        await memori.aclose()
    assert answers[:2] == answers[2:]
    assert agent.asked == ["same", "quick"]


async def test_a_task_that_waits_is_gone_on_with_after_a_restart(
    worlds: Worlds, store: MemoriStore
) -> None:
    agent = Counting()
    world = await _open(worlds, agent, store)
    task = await send(world.wire("JSONRPC"), "first", "ask me")
    await world.stop()
    world = await _open(worlds, agent, store)
    wire = world.wire("JSONRPC")
    assert state_of(await wire.call("GetTask", {"id": task["id"]})) == "INPUT_REQUIRED"
    done = await send(wire, "second", "my answer", taskId=task["id"])
    assert state_of(done) == "COMPLETED"


async def test_push_configs_are_there_after_a_restart(worlds: Worlds, store: MemoriStore) -> None:
    for round_ in range(2):
        world = await _open(worlds, Counting(), store, push=PushPolicy())
        wire = world.wire("JSONRPC")
        task = await send(wire, "first", "ask me")
        config = {"taskId": task["id"], "id": "mine", "url": "https://example.com/"}
        if round_ == 0:
            await wire.call("CreateTaskPushNotificationConfig", config)
        listed = await wire.call("ListTaskPushNotificationConfigs", {"taskId": task["id"]})
        assert [c["id"] for c in listed["configs"]] == ["mine"]


async def test_a_server_that_stops_fails_what_cannot_go_on(
    worlds: Worlds, store: MemoriStore
) -> None:
    agent = Counting(hold=True)
    world = await _open(worlds, agent, store)
    asked = {"configuration": {"returnImmediately": True}}
    task = await send(world.wire("JSONRPC"), "same", "do it", **asked)
    await agent.reached.wait()
    await world.stop()
    world = await _open(worlds, agent, store)
    found = await world.wire("JSONRPC").call("GetTask", {"id": task["id"]})
    assert state_of(found) == "FAILED"
    assert "stopped" in found["status"]["message"]["parts"][0]["text"]


async def test_a_durable_agent_is_given_its_task_again(worlds: Worlds, store: MemoriStore) -> None:
    agent = Counting(hold=True)
    served = ServedAgent(agent, durable=True)
    world = await _open(worlds, served, store)
    asked = {"configuration": {"returnImmediately": True}}
    task = await send(world.wire("JSONRPC"), "same", "do it", **asked)
    await agent.reached.wait()
    await world.stop()
    agent.hold = False
    world = await _open(worlds, served, store)
    wire = world.wire("JSONRPC")
    async with asyncio.timeout(10):
        again = await send(wire, "same", "do it")
    assert (again["id"], state_of(again)) == (task["id"], "COMPLETED")
    assert agent.asked == ["same", "same"]
    history = (await wire.call("GetTask", {"id": task["id"]}))["history"]
    assert [turn["messageId"] for turn in history] == ["same"]


def _acme(token: str | None) -> Caller | None:
    return Caller("acme", "anonymous") if token == "t" else None


_KILLED = """
import asyncio, sys
from infrastructure.a2a.serving_callers import context_of
from infrastructure.a2a.serving_lease import Lease
from infrastructure.a2a.task_store import MemoriTaskStore
from infrastructure.callers import Caller
from infrastructure.jsonvalue import JsonObject
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.store import MemoriStore
from a2a.types import a2a_pb2 as pb

async def main():
    store = MemoriStore(Memori.open(sys.argv[1]))
    lease = Lease(store)
    await lease.start()
    tasks = MemoriTaskStore(store, lease, kept_tasks=10, retention_s=3600)
    for tenant in ("default", "acme"):
        task = pb.Task(id=f"at-work-{tenant}", context_id="c")
        task.status.state = pb.TASK_STATE_WORKING
        task.history.add(message_id="m", role=pb.ROLE_USER).parts.add(text="do it")
        await tasks.save(task, context_of(Caller(tenant, "anonymous")))
    print("ready", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.fixture
async def left_behind(tmp_path: Path) -> Path:
    """A database whose server was killed while it worked."""
    path = tmp_path / "killed.db"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _KILLED, str(path), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    return path


async def test_a_task_of_a_killed_server_is_failed_at_start(
    worlds: Worlds, left_behind: Path
) -> None:
    memori = Memori.open(left_behind)
    store = MemoriStore(memori)
    world = await _open(worlds, TestModeAgent(), store)
    heads = await store.asearch(("a2a", "heads"), filter={"open": True})
    assert heads == []  # before anybody asks
    found = await world.wire("JSONRPC").call("GetTask", {"id": "at-work-default"})
    assert state_of(found) == "FAILED"
    assert "died" in found["status"]["message"]["parts"][0]["text"]
    await world.stop()
    await memori.aclose()


async def test_a_killed_servers_task_of_another_tenant_fails_when_it_is_read(
    worlds: Worlds, left_behind: Path
) -> None:
    memori = Memori.open(left_behind)
    world = await _open(worlds, TestModeAgent(), MemoriStore(memori), authenticate=_acme)
    listed = await world.wire("GRPC", "t").call("ListTasks", {})
    assert [state_of(task) for task in listed["tasks"]] == ["FAILED"]
    await world.stop()
    await memori.aclose()


async def test_a_durable_agent_goes_on_with_what_a_killed_server_left(
    worlds: Worlds, left_behind: Path
) -> None:
    memori = Memori.open(left_behind)
    agent = Counting()
    world = await _open(worlds, ServedAgent(agent, durable=True), MemoriStore(memori))
    wire = world.wire("JSONRPC")
    async with asyncio.timeout(10):
        await agent.reached.wait()
        task = await wire.call("GetTask", {"id": "at-work-default"})
        async for _ in _until_ended(wire, task):
            pass
    task = await wire.call("GetTask", {"id": "at-work-default"})
    assert state_of(task) == "COMPLETED"
    assert agent.asked == ["m"]
    await world.stop()
    await memori.aclose()


async def test_what_another_server_works_on_is_left_to_it_and_can_be_followed(
    worlds: Worlds, store: MemoriStore
) -> None:
    agent = Counting(hold=True)
    here = await _open(worlds, agent, store)
    other = await _open(worlds, Counting(), store)
    asked = {"configuration": {"returnImmediately": True}}
    task = await send(here.wire("JSONRPC"), "same", "do it", **asked)
    await agent.reached.wait()
    wire = other.wire("HTTP+JSON")
    stream = wire.follow("SubscribeToTask", {"id": task["id"]})
    assert state_of((await anext(stream))["task"]) in ("SUBMITTED", "WORKING")
    await here.wire("GRPC").call("CancelTask", {"id": task["id"]})
    async with asyncio.timeout(10):
        rest = [event async for event in stream]
    assert state_of(rest[-1]["task"]) == "CANCELED"
    await here.stop()
    await other.stop()


# The store by itself


async def test_progress_costs_no_writes_and_what_is_kept_is_bounded(
    worlds: Worlds, store: MemoriStore
) -> None:
    class Chatty(FakeAgent):
        async def send(self, message: Message) -> AsyncGenerator[AgentEvent]:
            for number in range(50):
                said = Message(str(number), "agent", (Part(text="still at it"),))
                yield StatusUpdate("", "", TaskState.WORKING, said)
            yield StatusUpdate("", "", TaskState.COMPLETED)

    world = await _open(worlds, Chatty("a"), store, limits=ServingLimits(max_kept_tasks=3))
    wire = world.wire("JSONRPC")
    before = store.memori.statistics.commits
    ids = [(await send(wire, f"m{number}"))["id"] for number in range(6)]
    assert (store.memori.statistics.commits - before) / 6 <= 4
    listed = await wire.call("ListTasks", {})
    assert [task["id"] for task in listed["tasks"]] == ids[:2:-1]
    with pytest.raises(WireError):
        await wire.call("GetTask", {"id": ids[0]})


async def test_files_that_are_too_large_to_keep_are_named_instead(store: MemoriStore) -> None:
    from a2a.types import a2a_pb2 as pb

    lease = Lease(store)
    tasks = MemoriTaskStore(store, lease, kept_tasks=10, retention_s=3600)
    context = context_of(Caller("default", "ann"))
    task = pb.Task(id="t", context_id="c")
    task.status.state = pb.TASK_STATE_COMPLETED
    artifact = task.artifacts.add(artifact_id="a")
    artifact.parts.add(raw=b"x" * (17 * 1024 * 1024), filename="large.bin")
    artifact.parts.add(raw=b"small", filename="small.bin")
    await tasks.save(task, context)
    kept = await tasks.get("t", context)
    assert kept is not None
    large, small = kept.artifacts[0].parts
    assert "large.bin" in large.text
    assert small.raw == b"small"


async def test_hanging_agents_do_not_hold_up_the_end_of_a_server(worlds: Worlds) -> None:
    fake = FakeAgent("a", Hang())
    world = await _open(worlds, fake, None)
    sent = asyncio.create_task(send(world.wire("JSONRPC"), "x"))
    await fake.started.wait()
    async with asyncio.timeout(10):
        await world.stop()
    await asyncio.gather(sent, return_exceptions=True)
    assert fake.active == 0
