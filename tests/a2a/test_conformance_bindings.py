"""What the A2A conformance kit expects of every binding, and that the bindings agree.

Messages are those of test mode: the beginning of their id asks for a course of events.
"""

from __future__ import annotations

import asyncio
import base64
from contextlib import aclosing
from typing import Any

import pytest
from serving_wires import (
    BINDINGS,
    NATIVE,
    Wire,
    WireError,
    message,
    send,
    state_of,
    streamed,
)
from serving_world import World, Worlds

from genesis.server.test_mode import INPUT_MODES, PUSH_HOSTS, TestModeAgent
from infrastructure.a2a.serving import A2AServer, PushPolicy, ServedAgent


@pytest.fixture
async def world(worlds: Worlds) -> World:
    served = ServedAgent(TestModeAgent(), idempotent=False, input_modes=INPUT_MODES)
    policy = PushPolicy(allowed_hosts=PUSH_HOSTS)
    return await worlds(
        lambda url, address: A2AServer(served, url=url, grpc_url=address, push=policy)
    )


@pytest.fixture(params=BINDINGS)
def wire(world: World, request: pytest.FixtureRequest) -> Wire:
    return world.wire(request.param)


async def _refused(wire: Wire, reason: str, method: str, params: dict[str, Any]) -> WireError:
    with pytest.raises(WireError) as caught:
        await wire.call(method, params)
    assert caught.value.reason == reason
    assert caught.value.native == NATIVE[reason][wire.binding]
    assert caught.value.message
    return caught.value


# Sending


async def test_a_message_becomes_a_task_with_an_id_and_a_context(wire: Wire) -> None:
    one = await send(wire, "tck-complete-task-1")
    other = await send(wire, "tck-complete-task-1")
    assert state_of(one) == "COMPLETED"
    assert one["status"]["message"]["parts"] == [{"text": "Hello from TCK"}]
    assert one["status"]["timestamp"].endswith("Z")
    assert one["contextId"]
    assert one["id"] != other["id"]  # test mode: the kit repeats its ids
    kept = await send(wire, "tck-complete-task-2", contextId="mine")
    assert kept["contextId"] == "mine"


async def test_a_message_may_be_answered_by_a_message(wire: Wire) -> None:
    answer = await wire.call("SendMessage", {"message": message("x", "tck-message-response-1")})
    assert list(answer) == ["message"]
    assert answer["message"]["role"] == "ROLE_AGENT"
    assert answer["message"]["parts"] == [{"text": "Direct message response"}]
    assert answer["message"]["contextId"]
    events = await streamed(
        wire, "SendStreamingMessage", {"message": message("x", "tck-message-response-2")}
    )
    assert [list(event) for event in events] == [["message"]]


@pytest.mark.parametrize(
    ("prefix", "part"),
    [
        ("tck-artifact-text", {"text": "Generated text content"}),
        (
            "tck-artifact-file",
            {
                "raw": base64.b64encode(b"tck").decode(),
                "filename": "output.txt",
                "mediaType": "text/plain",
            },
        ),
        (
            "tck-artifact-file-url",
            {
                "url": "https://example.com/output.txt",
                "filename": "output.txt",
                "mediaType": "text/plain",
            },
        ),
        ("tck-artifact-data", {"data": {"key": "value", "count": 42}}),
    ],
)
async def test_artifacts_of_every_kind(wire: Wire, prefix: str, part: dict[str, Any]) -> None:
    task = await send(wire, f"{prefix}-1")
    assert state_of(task) == "COMPLETED"
    (artifact,) = task["artifacts"]
    assert artifact["artifactId"]
    assert artifact["parts"] == [part]


@pytest.mark.parametrize(
    ("prefix", "state"),
    [
        ("tck-input-required", "INPUT_REQUIRED"),
        ("tck-auth-required", "AUTH_REQUIRED"),
        ("tck-reject-task", "REJECTED"),
    ],
)
async def test_a_blocking_send_stops_at_states_that_wait_or_end(
    wire: Wire, prefix: str, state: str
) -> None:
    task = await send(wire, f"{prefix}-1")
    assert state_of(task) == state
    found = await wire.call("GetTask", {"id": task["id"]})
    assert state_of(found) == state


async def test_blocking_waits_for_the_end_and_non_blocking_does_not(wire: Wire) -> None:
    async with asyncio.timeout(10):
        at_once, waited = await asyncio.gather(
            send(wire, "tck-delayed-complete-1", configuration={"returnImmediately": True}),
            send(wire, "tck-delayed-complete-2", configuration={"returnImmediately": False}),
        )
    assert state_of(at_once) in ("SUBMITTED", "WORKING")
    assert state_of(waited) == "COMPLETED"


async def test_a_media_type_that_the_card_does_not_name_is_refused(wire: Wire) -> None:
    part = {"raw": "dGNr", "mediaType": "application/x-unsupported-tck-type"}
    asked = {**message("", "tck-send-003"), "parts": [part]}
    await _refused(wire, "CONTENT_TYPE_NOT_SUPPORTED", "SendMessage", {"message": asked})


@pytest.mark.parametrize("broken", [{}, {"message": {}}, {"message": {"messageId": "x"}}])
async def test_a_message_without_its_required_fields_is_refused(
    wire: Wire, broken: dict[str, Any]
) -> None:
    await _refused(wire, "INVALID_PARAMS", "SendMessage", broken)


# Several turns


async def test_a_follow_up_continues_the_task_in_its_context(wire: Wire) -> None:
    first = await send(wire, "tck-input-required-1")
    second = await send(wire, "tck-complete-task-1", "Second", taskId=first["id"])
    assert (second["id"], second["contextId"]) == (first["id"], first["contextId"])
    assert state_of(second) == "COMPLETED"
    found = await wire.call("GetTask", {"id": first["id"]})
    said = [turn["messageId"] for turn in found["history"] if turn["role"] == "ROLE_USER"]
    assert said == ["tck-input-required-1", "tck-complete-task-1"]


async def test_a_follow_up_must_fit_its_task(wire: Wire) -> None:
    ended = await send(wire, "tck-complete-task-1")
    waiting = await send(wire, "tck-input-required-1")
    nobody = {"message": message("x", "tck-multi-004", taskId="no-such-task")}
    await _refused(wire, "TASK_NOT_FOUND", "SendMessage", nobody)
    late = {"message": message("x", "tck-terminal", taskId=ended["id"])}
    await _refused(wire, "UNSUPPORTED_OPERATION", "SendMessage", late)
    strange = message("x", "tck-mismatch", taskId=waiting["id"], contextId="other")
    await _refused(wire, "INVALID_PARAMS", "SendMessage", {"message": strange})


# Streams


async def test_a_stream_begins_with_the_task_and_ends_with_its_end(wire: Wire) -> None:
    events = await streamed(
        wire, "SendStreamingMessage", {"message": message("x", "tck-stream-003-1")}
    )
    kinds = [next(iter(event)) for event in events]
    assert kinds == ["task", "statusUpdate", "artifactUpdate", "statusUpdate"]
    assert state_of(events[0]["task"]) == "SUBMITTED"
    assert state_of(events[1]["statusUpdate"]) == "WORKING"
    assert state_of(events[3]["statusUpdate"]) == "COMPLETED"
    task_ids = {next(iter(e.values())).get("taskId", events[0]["task"]["id"]) for e in events}
    assert task_ids == {events[0]["task"]["id"]}


async def test_an_artifact_in_chunks_is_appended_to(wire: Wire) -> None:
    asked = {"message": message("x", "tck-stream-artifact-chunked-1")}
    events = await streamed(wire, "SendStreamingMessage", asked)
    chunks = [event["artifactUpdate"] for event in events if "artifactUpdate" in event]
    assert [chunk["artifact"]["parts"][0]["text"] for chunk in chunks] == ["chunk-1 ", "chunk-2"]
    assert [chunk.get("append", False) for chunk in chunks] == [False, True]
    assert [chunk.get("lastChunk", False) for chunk in chunks] == [False, True]
    task = await wire.call("GetTask", {"id": chunks[0]["taskId"]})
    assert [part["text"] for part in task["artifacts"][0]["parts"]] == ["chunk-1 ", "chunk-2"]


async def test_every_subscriber_hears_the_same_in_the_same_order(wire: Wire) -> None:
    task = await send(wire, "tck-input-required-1")
    begun = [asyncio.Event(), asyncio.Event()]

    async def listen(number: int) -> list[dict[str, Any]]:
        heard: list[dict[str, Any]] = []
        async with aclosing(wire.follow("SubscribeToTask", {"id": task["id"]})) as events:
            async for event in events:
                heard.append(event)
                begun[number].set()
        return heard

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        first, second = group.create_task(listen(0)), group.create_task(listen(1))
        leaver = wire.follow("SubscribeToTask", {"id": task["id"]})
        await anext(leaver)
        await leaver.aclose()  # who leaves takes nobody along
        for event in begun:
            await event.wait()
        await send(wire, "tck-complete-task-1", taskId=task["id"])
    assert first.result() == second.result()
    heard = first.result()
    assert state_of(heard[0]["task"]) == "INPUT_REQUIRED"
    assert state_of(heard[-1]["statusUpdate"]) == "COMPLETED"


async def test_only_what_goes_on_can_be_subscribed_to(wire: Wire) -> None:
    ended = await send(wire, "tck-complete-task-1")
    for task_id, reason in ((ended["id"], "UNSUPPORTED_OPERATION"), ("none", "TASK_NOT_FOUND")):
        with pytest.raises(WireError) as caught:
            await streamed(wire, "SubscribeToTask", {"id": task_id})
        assert caught.value.reason == reason
        assert caught.value.native == NATIVE[reason][wire.binding]


# Asking about tasks, and stopping them


async def test_what_is_not_there_is_not_found(wire: Wire) -> None:
    for method in ("GetTask", "CancelTask"):
        await _refused(wire, "TASK_NOT_FOUND", method, {"id": "no-such-task"})


async def test_a_task_is_cancelled_once(wire: Wire) -> None:
    for prefix in ("tck-input-required", "test-resubscribe-message-id"):
        task = await send(wire, f"{prefix}-1", configuration={"returnImmediately": True})
        cancelled = await wire.call("CancelTask", {"id": task["id"]})
        assert (cancelled["id"], state_of(cancelled)) == (task["id"], "CANCELED")
        await _refused(wire, "TASK_NOT_CANCELABLE", "CancelTask", {"id": task["id"]})
    done = await send(wire, "tck-complete-task-1")
    await _refused(wire, "TASK_NOT_CANCELABLE", "CancelTask", {"id": done["id"]})


async def test_history_is_as_long_as_asked_for(wire: Wire) -> None:
    task = await send(wire, "tck-input-required-1")
    await send(wire, "tck-complete-task-1", taskId=task["id"])
    whole = await wire.call("GetTask", {"id": task["id"]})
    last = await wire.call("GetTask", {"id": task["id"], "historyLength": 1})
    none = await wire.call("GetTask", {"id": task["id"], "historyLength": 0})
    assert len(whole["history"]) >= 2
    assert last["history"] == whole["history"][-1:]
    assert not none.get("history")
    sent = await send(wire, "tck-complete-task-2", configuration={"historyLength": 0})
    assert not sent.get("history")


async def test_tasks_are_listed_in_pages_the_last_changed_first(wire: Wire) -> None:
    made = [(await send(wire, f"tck-artifact-text-{n}", contextId="c"))["id"] for n in range(5)]
    await send(wire, "tck-complete-task-other", contextId="d")
    found: list[dict[str, Any]] = []
    token = ""
    for expected in (2, 2, 1):
        asked: dict[str, Any] = {"contextId": "c", "pageSize": 2}
        page = await wire.call("ListTasks", {**asked, "pageToken": token} if token else asked)
        assert (len(page["tasks"]), page["totalSize"]) == (expected, 5)
        found += page["tasks"]
        token = page.get("nextPageToken", "")
    assert token == ""
    assert [task["id"] for task in found] == made[::-1]
    assert all("artifacts" not in task for task in found)
    full = await wire.call("ListTasks", {"contextId": "c", "includeArtifacts": True})
    assert all(task["artifacts"] for task in full["tasks"])
    state = await wire.call("ListTasks", {"status": "TASK_STATE_FAILED"})
    assert state.get("tasks", []) == []


@pytest.mark.parametrize("wrong", [{"pageSize": 0}, {"pageSize": 101}, {"pageToken": "?"}])
async def test_a_page_that_cannot_be_is_refused(wire: Wire, wrong: dict[str, Any]) -> None:
    await _refused(wire, "INVALID_PARAMS", "ListTasks", wrong)


# Negotiation


async def test_only_version_1_is_spoken(wire: Wire) -> None:
    wire.headers["a2a-version"] = "99.0"
    await _refused(
        wire, "VERSION_NOT_SUPPORTED", "SendMessage", {"message": message("x", "tck-ver-1")}
    )


async def test_unknown_extensions_are_ignored(wire: Wire) -> None:
    wire.headers["a2a-extensions"] = "https://example.com/a,https://example.com/b"
    assert state_of(await send(wire, "tck-complete-task-1")) == "COMPLETED"


async def test_without_a_token_there_is_no_extended_card(wire: Wire) -> None:
    await _refused(wire, "UNSUPPORTED_OPERATION", "GetExtendedAgentCard", {})


async def test_a_task_begun_over_one_binding_goes_on_over_another(world: World) -> None:
    rpc, rest, grpc = (world.wire(binding) for binding in BINDINGS)
    task = await send(rpc, "tck-input-required-1")
    assert await rest.call("GetTask", {"id": task["id"]}) == await grpc.call(
        "GetTask", {"id": task["id"]}
    )
    done = await send(grpc, "tck-complete-task-1", taskId=task["id"])
    assert state_of(done) == "COMPLETED"
    assert await rpc.call("GetTask", {"id": task["id"]}) == await rest.call(
        "GetTask", {"id": task["id"]}
    )


@pytest.mark.parametrize("prefix", ["tck-complete-task", "tck-artifact-data", "tck-reject-task"])
async def test_the_bindings_answer_alike(world: World, prefix: str) -> None:
    answers = [_without_names(await send(world.wire(b), f"{prefix}-1")) for b in BINDINGS]
    assert answers[0] == answers[1] == answers[2]


def _without_names(task: dict[str, Any]) -> dict[str, Any]:
    """A task without what differs from one to the next."""
    status = {k: v for k, v in task["status"].items() if k != "timestamp"}
    said: list[dict[str, Any]] = [*task.get("history", []), status.get("message") or {}]
    for turn in said:
        for name in ("taskId", "contextId", "messageId"):
            turn.pop(name, None)
    return {**{k: v for k, v in task.items() if k not in ("id", "contextId")}, "status": status}
