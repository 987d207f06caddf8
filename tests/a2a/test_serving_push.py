"""Push notifications: configured over every binding, told in order, never to private places."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from serving_wires import BINDINGS, Wire, WireError, message, send
from serving_world import Serve, World, Worlds
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from genesis.server.test_mode import TestModeAgent
from infrastructure.a2a.serving import A2AServer, PushPolicy

POLICY = PushPolicy(allowed_hosts=("127.0.0.1",), tries=3, wait_s=0.01, timeout_s=1)


class Hook:
    """A webhook that notes what it is told."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[tuple[dict[str, str], dict[str, Any]]] = asyncio.Queue()
        self.answers: list[Response] = []
        self.calls = 0

    async def take(self, request: Request) -> Response:
        self.calls += 1
        if self.answers:
            return self.answers.pop(0)
        await self.told.put((dict(request.headers), json.loads(await request.body())))
        return Response()

    async def next(self) -> tuple[dict[str, str], dict[str, Any]]:
        async with asyncio.timeout(5):
            return await self.told.get()


@pytest.fixture
async def world(worlds: Worlds) -> World:
    return await worlds(
        lambda url, address: A2AServer(TestModeAgent(), url=url, grpc_url=address, push=POLICY),
    )


@pytest.fixture
async def hook(serve: Serve) -> Hook:
    made = Hook()
    served = await serve(
        lambda url: Starlette(routes=[Route("/hook", made.take, methods=["POST", "GET"])])
    )
    made.url = served.url + "/hook"  # type: ignore[attr-defined]
    return made


@pytest.fixture(params=BINDINGS)
def wire(world: World, request: pytest.FixtureRequest) -> Wire:
    return world.wire(request.param)


async def test_configs_are_made_read_listed_and_deleted(wire: Wire) -> None:
    task = await send(wire, "tck-complete-task-1")
    here = {"taskId": task["id"]}
    config = {**here, "id": "mine", "url": "https://example.com/hook", "token": "t"}
    made = await wire.call("CreateTaskPushNotificationConfig", config)
    assert (made["id"], made["taskId"], made["url"]) == ("mine", task["id"], config["url"])
    got = await wire.call("GetTaskPushNotificationConfig", {**here, "id": "mine"})
    assert got == made
    other = await wire.call(
        "CreateTaskPushNotificationConfig", {**here, "url": "https://example.com/b"}
    )
    listed = await wire.call("ListTaskPushNotificationConfigs", here)
    assert [c["id"] for c in listed["configs"]] == ["mine", other["id"]]
    for _ in range(2):  # twice is no error
        await wire.call("DeleteTaskPushNotificationConfig", {**here, "id": "mine"})
    with pytest.raises(WireError):
        await wire.call("GetTaskPushNotificationConfig", {**here, "id": "mine"})
    with pytest.raises(WireError) as caught:
        await wire.call("ListTaskPushNotificationConfigs", {"taskId": "no-such-task"})
    assert caught.value.reason == "TASK_NOT_FOUND"


async def test_a_config_is_replaced_under_its_id_and_their_number_is_bounded(wire: Wire) -> None:
    task = await send(wire, "tck-input-required-1")
    here = {"taskId": task["id"]}
    for path in ("a", "b"):
        config = {**here, "id": "same", "url": f"https://example.com/{path}"}
        await wire.call("CreateTaskPushNotificationConfig", config)
    listed = (await wire.call("ListTaskPushNotificationConfigs", here))["configs"]
    assert [c["url"] for c in listed] == ["https://example.com/b"]
    for number in range(POLICY.max_configs - 1):
        config = {**here, "id": str(number), "url": "https://example.com/"}
        await wire.call("CreateTaskPushNotificationConfig", config)
    with pytest.raises(WireError, match="at most"):
        await wire.call("CreateTaskPushNotificationConfig", {**config, "id": "one too many"})


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.1/hook",
        "http://localhost/hook",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/hook",
        "http://[::ffff:127.0.0.1]/hook",
        "ftp://example.com/hook",
        "https://user:pass@example.com/hook",
        "nonsense",
        "",
    ],
)
async def test_private_or_strange_places_are_refused(wire: Wire, url: str) -> None:
    task = await send(wire, "tck-input-required-1")
    with pytest.raises(WireError) as caught:
        await wire.call("CreateTaskPushNotificationConfig", {"taskId": task["id"], "url": url})
    assert caught.value.reason == "INVALID_PARAMS"
    asked = {
        "message": message("x", "tck-complete-task-2"),
        "configuration": {"taskPushNotificationConfig": {"url": url}},
    }
    if url:
        with pytest.raises(WireError) as caught:
            await wire.call("SendMessage", asked)
        assert caught.value.reason == "INVALID_PARAMS"


async def test_every_event_is_told_in_order_with_token_and_credentials(
    wire: Wire, hook: Any
) -> None:
    config = {
        "url": hook.url,
        "token": "tok",
        "authentication": {"scheme": "Bearer", "credentials": "cred"},
    }
    task = await send(
        wire, "tck-input-required-1", configuration={"taskPushNotificationConfig": config}
    )
    await send(wire, "tck-stream-003-1", taskId=task["id"])
    told = [await hook.next() for _ in range(5)]
    kinds = [next(iter(body)) for _, body in told]
    assert kinds == ["task", "statusUpdate", "statusUpdate", "artifactUpdate", "statusUpdate"]
    assert told[-1][1]["statusUpdate"]["status"]["state"] == "TASK_STATE_COMPLETED"
    for headers, body in told:
        assert headers["authorization"] == "Bearer cred"
        assert headers["x-a2a-notification-token"] == "tok"
        assert len(body) == 1
        assert task["id"] in json.dumps(body)


async def test_what_fails_for_now_is_tried_again_and_what_fails_for_good_is_not(
    world: World, hook: Any
) -> None:
    wire = world.wire("JSONRPC")
    hook.answers = [Response(status_code=503), Response(status_code=429)]
    config = {"taskPushNotificationConfig": {"url": hook.url}}
    await send(wire, "tck-complete-task-1", configuration=config)
    assert "task" in (await hook.next())[1]
    assert "statusUpdate" in (await hook.next())[1]
    assert hook.calls == 4
    hook.answers = [Response(status_code=404)]
    await send(wire, "tck-complete-task-2", configuration=config)
    assert "statusUpdate" in (await hook.next())[1]  # the task itself is given up at once
    assert hook.calls == 6


async def test_redirects_are_not_followed(world: World, hook: Any) -> None:
    hook.answers = [RedirectResponse(hook.url + "?again", 307)]
    config = {"taskPushNotificationConfig": {"url": hook.url}}
    await send(world.wire("JSONRPC"), "tck-complete-task-1", configuration=config)
    assert "statusUpdate" in (await hook.next())[1]
    assert hook.calls == 2


async def test_a_hook_that_hangs_holds_up_no_task(world: World, serve: Serve) -> None:
    asked = asyncio.Event()
    release = asyncio.Event()

    async def hang(request: Request) -> Response:
        asked.set()
        await release.wait()
        return Response()

    served = await serve(lambda url: Starlette(routes=[Route("/", hang, methods=["POST"])]))
    config = {"taskPushNotificationConfig": {"url": served.url + "/"}}
    async with asyncio.timeout(3):
        task = await send(world.wire("JSONRPC"), "tck-complete-task-1", configuration=config)
        await asked.wait()
    assert task["status"]["state"] == "TASK_STATE_COMPLETED"
    release.set()


@pytest.mark.parametrize("token", ["a\r\nX-Evil: 1", "é", "x" * 9000])
async def test_what_would_break_a_header_is_refused(wire: Wire, token: str) -> None:
    task = await send(wire, "tck-input-required-1")
    config = {"taskId": task["id"], "url": "https://example.com/", "token": token}
    with pytest.raises(WireError, match="printable ASCII"):
        await wire.call("CreateTaskPushNotificationConfig", config)


async def test_a_name_that_turns_private_after_it_was_registered_gets_nothing(
    worlds: Worlds, hook: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    real = loop.getaddrinfo
    leads_to = ["8.8.8.8"]

    async def rebinding(host: Any, port: Any, **more: Any) -> Any:
        if host == "hook.example":
            return await real(leads_to[0], port, **more)
        return await real(host, port, **more)

    monkeypatch.setattr(loop, "getaddrinfo", rebinding)
    policy = PushPolicy(tries=1, timeout_s=1)
    world = await worlds(
        lambda url, address: A2AServer(TestModeAgent(), url=url, grpc_url=address, push=policy),
    )
    wire = world.wire("JSONRPC")
    task = await send(wire, "tck-input-required-1")
    port = hook.url.split(":")[2].split("/")[0]
    config = {"taskId": task["id"], "url": f"http://hook.example:{port}/hook"}
    await wire.call("CreateTaskPushNotificationConfig", config)
    leads_to[0] = "127.0.0.1"
    await send(wire, "tck-complete-task-1", taskId=task["id"])
    await world.stop()  # which delivers what waits
    assert hook.calls == 0
