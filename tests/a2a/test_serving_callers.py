"""Who may call, what they see, and how much they may ask: the same over every binding."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from serving_wires import BINDINGS, WireError, message, send, state_of
from serving_world import World, Worlds

from genesis.server.test_mode import TestModeAgent
from genesis.testing import FakeAgent
from infrastructure.a2a.serving import (
    A2AServer,
    ServedAgent,
    ServingLimits,
)
from infrastructure.a2a.serving_rate import Rates
from infrastructure.a2a.types import AgentEvent, Message
from infrastructure.callers import Caller

TOKENS = {
    "ann-token": Caller("acme", "ann"),
    "bob-token": Caller("acme", "bob"),
    "eve-token": Caller("evil.example", "ann"),
}
REFUSED = {"JSONRPC": 401, "HTTP+JSON": 401, "GRPC": "UNAUTHENTICATED"}


def authenticate(token: str | None) -> Caller | None:
    return TOKENS.get(token or "")


@pytest.fixture
async def world(worlds: Worlds) -> World:
    def make(url: str, address: str) -> A2AServer:
        return A2AServer(TestModeAgent(), url=url, grpc_url=address, authenticate=authenticate)

    return await worlds(make)


@pytest.mark.parametrize("binding", BINDINGS)
@pytest.mark.parametrize("token", ["", "wrong", "ann-token "])
async def test_nobody_without_a_valid_token_gets_anywhere(
    world: World, binding: str, token: str
) -> None:
    wire = world.wire(binding, token)
    if token == "ann-token ":
        wire.headers["authorization"] = "Basic ann-token"
    for method, params in (
        ("SendMessage", {"message": message("x", "tck-complete-task-1")}),
        ("GetTask", {"id": "x"}),
        ("ListTasks", {}),
        ("GetExtendedAgentCard", {}),
    ):
        with pytest.raises(WireError) as caught:
            await wire.call(method, params)
        assert caught.value.native == REFUSED[binding]
    with pytest.raises(WireError) as caught:
        async for _ in wire.follow("SendStreamingMessage", {"message": message()}):
            pass
    assert caught.value.native == REFUSED[binding]


@pytest.mark.parametrize("binding", BINDINGS)
async def test_nobody_sees_or_touches_the_tasks_of_another(world: World, binding: str) -> None:
    ann = world.wire(binding, "ann-token")
    task = await send(ann, "tck-input-required-1")
    push = {"taskId": task["id"], "url": "https://8.8.8.8/hook"}
    await ann.call("CreateTaskPushNotificationConfig", push)
    for stranger in ("bob-token", "eve-token"):  # eve has ann's name in another tenant
        other = world.wire(binding, stranger)
        for method, params in (
            ("GetTask", {"id": task["id"]}),
            ("CancelTask", {"id": task["id"]}),
            ("SendMessage", {"message": message("x", "tck-complete-task-1", taskId=task["id"])}),
            ("CreateTaskPushNotificationConfig", push),
            ("ListTaskPushNotificationConfigs", {"taskId": task["id"]}),
            ("DeleteTaskPushNotificationConfig", {"taskId": task["id"], "id": task["id"]}),
        ):
            with pytest.raises(WireError) as caught:
                await other.call(method, params)
            assert caught.value.reason == "TASK_NOT_FOUND", method
        with pytest.raises(WireError):
            async for _ in other.follow("SubscribeToTask", {"id": task["id"]}):
                pass
        assert (await other.call("ListTasks", {})).get("tasks", []) == []
    assert state_of(await ann.call("GetTask", {"id": task["id"]})) == "INPUT_REQUIRED"
    assert (await ann.call("ListTasks", {}))["totalSize"] == 1


@pytest.mark.parametrize("binding", BINDINGS)
async def test_one_message_id_of_two_callers_is_two_tasks(world: World, binding: str) -> None:
    ids = {
        (await send(world.wire(binding, token), "tck-complete-task-1"))["id"] for token in TOKENS
    }
    assert len(ids) == len(TOKENS)


@pytest.mark.parametrize("binding", BINDINGS)
async def test_the_tenant_is_the_tokens_and_nothing_else_decides_it(
    world: World, binding: str
) -> None:
    wire = world.wire(binding, "ann-token")
    if binding == "HTTP+JSON":
        wire.url += "/evil.example"  # type: ignore[attr-defined]
        params: dict[str, Any] = {}
    else:
        params = {"tenant": "evil.example"}
    with pytest.raises(WireError, match="the tenant is that of the token") as caught:
        await wire.call("ListTasks", params)
    assert caught.value.reason == "INVALID_PARAMS"


async def test_the_card_is_for_everybody_and_the_extended_one_for_callers(world: World) -> None:
    card = (await world.http.get(world.url + "/.well-known/agent-card.json")).json()
    assert card["securitySchemes"]["bearer"]["httpAuthSecurityScheme"]["scheme"] == "bearer"
    assert card["securityRequirements"]
    assert card["capabilities"]["extendedAgentCard"] is True
    for binding in BINDINGS:
        extended = await world.wire(binding, "ann-token").call("GetExtendedAgentCard", {})
        uris = {e["uri"]: e for e in extended["capabilities"]["extensions"]}
        limits = uris["urn:genesis:a2a:limits:1"]["params"]
        assert limits["max_body_bytes"] == ServingLimits().max_body_bytes
    assert "limits:1" not in str(card)


@pytest.mark.parametrize("binding", BINDINGS)
async def test_what_is_too_large_is_refused_before_it_is_read(worlds: Worlds, binding: str) -> None:
    fake = FakeAgent("a")
    limits = ServingLimits(max_body_bytes=10_000)
    world = await worlds(
        lambda url, address: A2AServer(fake, url=url, grpc_url=address, limits=limits)
    )
    raw = base64.b64encode(b"x" * 20_000).decode()
    large = {**message(), "parts": [{"raw": raw}]}
    with pytest.raises(WireError) as caught:
        await world.wire(binding).call("SendMessage", {"message": large})
    assert caught.value.native in (413, "RESOURCE_EXHAUSTED")
    assert fake.calls == 0


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_caller_may_not_ask_without_end(worlds: Worlds, binding: str) -> None:
    limits = ServingLimits(requests_per_minute=5)
    served = ServedAgent(TestModeAgent())

    def make(url: str, address: str) -> A2AServer:
        return A2AServer(
            served, url=url, grpc_url=address, authenticate=authenticate, limits=limits
        )

    world = await worlds(make)
    ann, bob = world.wire(binding, "ann-token"), world.wire(binding, "bob-token")
    for _ in range(5):
        await ann.call("ListTasks", {})
    with pytest.raises(WireError) as caught:
        await ann.call("ListTasks", {})
    assert caught.value.native in (429, "RESOURCE_EXHAUSTED")
    await bob.call("ListTasks", {})  # who is quiet is not held up


@pytest.mark.parametrize("binding", BINDINGS)
async def test_tokens_cannot_be_guessed_at_without_end(worlds: Worlds, binding: str) -> None:
    limits = ServingLimits(requests_per_minute=5)

    def make(url: str, address: str) -> A2AServer:
        return A2AServer(
            TestModeAgent(), url=url, grpc_url=address, authenticate=authenticate, limits=limits
        )

    world = await worlds(make)
    seen: list[object] = []
    for number in range(7):
        with pytest.raises(WireError) as caught:
            await world.wire(binding, f"guess-{number}").call("ListTasks", {})
        seen.append(caught.value.native)
    last = {"GRPC": "RESOURCE_EXHAUSTED"}.get(binding, 429)
    assert seen == [REFUSED[binding]] * 5 + [last] * 2


def test_a_bucket_refills_with_time() -> None:
    now = [0.0]
    rates = Rates(60, lambda: now[0])
    assert [rates.take("a") for _ in range(61)] == [True] * 60 + [False]
    assert rates.exhausted("a")
    assert not rates.exhausted("b")
    now[0] += 2
    assert [rates.take("a") for _ in range(3)] == [True, True, False]


async def test_what_breaks_inside_is_not_shown(worlds: Worlds, caplog: Any) -> None:
    class Broken(FakeAgent):
        async def send(self, message: Message) -> AsyncGenerator[AgentEvent]:
            raise RuntimeError("secret s3cret")
            yield

    world = await worlds(lambda url, address: A2AServer(Broken("a"), url=url, grpc_url=address))
    for binding in BINDINGS:
        try:
            answer = str(await send(world.wire(binding), f"m-{binding}"))
        except WireError as error:
            answer = str(error)
        assert "s3cret" not in answer
        task = await world.wire(binding).call("ListTasks", {})
        assert state_of(task["tasks"][0]) == "FAILED"
    await world.stop()
