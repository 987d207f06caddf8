"""What A2A 1.0 wants of HTTP itself: types, headers, error bodies, the card and its caching."""

from __future__ import annotations

import json
from typing import Any

import pytest
from serving_wires import JSON, message
from serving_world import World, Worlds

from genesis.server.test_mode import INPUT_MODES, TestModeAgent
from infrastructure.a2a.serving import JSONRPC_PATH, REST_PATH, A2AServer, ServedAgent
from infrastructure.a2a.types import EXTENSION

CARD_PATH = "/.well-known/agent-card.json"


@pytest.fixture
async def world(worlds: Worlds) -> World:
    served = ServedAgent(TestModeAgent(), idempotent=False, input_modes=INPUT_MODES)
    return await worlds(lambda url, address: A2AServer(served, url=url, grpc_url=address))


def _rpc(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


async def test_the_card_says_where_and_how_to_call(world: World) -> None:
    card = (await world.http.get(world.url + CARD_PATH)).json()
    ways = [(i["protocolBinding"], i["url"]) for i in card["supportedInterfaces"]]
    assert ways == [
        ("JSONRPC", world.url + JSONRPC_PATH),
        ("HTTP+JSON", world.url + REST_PATH),
        ("GRPC", world.grpc_address),
    ]
    assert {i["protocolVersion"] for i in card["supportedInterfaces"]} == {"1.0"}
    for field in ("name", "description", "version", "skills", "defaultInputModes"):
        assert card[field]
    assert card["defaultOutputModes"]
    assert card["capabilities"]["streaming"] is True
    assert card["capabilities"]["pushNotifications"] is True
    assert not card["capabilities"].get("extendedAgentCard")
    assert not card.get("securitySchemes")
    for skill in card["skills"]:
        assert all(skill[field] for field in ("id", "name", "description", "tags"))


async def test_the_card_is_cached_until_it_changes(world: World) -> None:
    first = await world.http.get(world.url + CARD_PATH)
    assert "max-age=" in first.headers["cache-control"]
    for known in (
        {"if-none-match": first.headers["etag"]},
        {"if-none-match": f'"else", {first.headers["etag"]}'},
        {"if-modified-since": first.headers["last-modified"]},
    ):
        again = await world.http.get(world.url + CARD_PATH, headers=known)
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
    for stale in ({"if-none-match": '"else"'}, {"if-modified-since": "no date"}):
        assert (await world.http.get(world.url + CARD_PATH, headers=stale)).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "", "application/jsonp"])
async def test_json_rpc_refuses_other_types_as_its_own_error(world: World, kind: str) -> None:
    headers = {"content-type": kind, "a2a-version": "1.0"}
    for body in (json.dumps(_rpc("SendMessage", message=message())), "{'no': json}"):
        answer = await world.http.post(world.url + JSONRPC_PATH, content=body, headers=headers)
        assert answer.status_code == 200
        assert answer.json()["error"]["code"] == -32005
        assert answer.json()["error"]["data"][0]["reason"] == "CONTENT_TYPE_NOT_SUPPORTED"


async def test_rest_refuses_other_types_with_an_error_body(world: World) -> None:
    headers = {"content-type": "text/plain", "a2a-version": "1.0"}
    body = json.dumps({"message": message()})
    answer = await world.http.post(
        world.url + REST_PATH + "/message:send", content=body, headers=headers
    )
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["status"]) == (400, 400, "INVALID_ARGUMENT")
    assert answer.headers["content-type"].startswith("application/json")
    assert error["details"][0]["reason"] == "CONTENT_TYPE_NOT_SUPPORTED"
    assert error["details"][0]["domain"] == "a2a-protocol.org"


@pytest.mark.parametrize("kind", ["application/json", "application/a2a+json; charset=utf-8"])
async def test_both_json_types_are_taken_and_answers_have_theirs(world: World, kind: str) -> None:
    headers = {"content-type": kind, "a2a-version": "1.0"}
    body = json.dumps({"message": message("x", "tck-complete-task-1")})
    rest = await world.http.post(
        world.url + REST_PATH + "/message:send", content=body, headers=headers
    )
    assert rest.status_code == 200
    assert rest.headers["content-type"].startswith("application/a2a+json")
    asked = json.dumps(_rpc("SendMessage", message=message("x", "tck-complete-task-1")))
    rpc = await world.http.post(world.url + JSONRPC_PATH, content=asked, headers=headers)
    assert rpc.headers["content-type"].startswith("application/json")
    assert rpc.json()["result"]["task"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("{", -32700),
        ("[]", -32600),
        ('{"jsonrpc": "1.0", "id": 1, "method": "GetTask"}', -32600),
        ('{"jsonrpc": "2.0", "id": 1}', -32600),
        ('{"jsonrpc": "2.0", "id": 1, "method": "NoSuchMethod"}', -32601),
        ('{"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": {"id": 5}}', -32602),
        ('{"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": {}}', -32602),
    ],
)
async def test_what_is_no_request_is_refused_by_its_code(
    world: World, body: str, code: int
) -> None:
    answer = await world.http.post(world.url + JSONRPC_PATH, content=body, headers=JSON)
    assert answer.status_code == 200
    error = answer.json()["error"]
    assert error["code"] == code
    assert error["message"]


@pytest.mark.parametrize("body", ["{", "[]", '{"message": 5}', "{}"])
async def test_what_is_no_rest_body_is_refused(world: World, body: str) -> None:
    answer = await world.http.post(
        world.url + REST_PATH + "/message:send", content=body, headers=JSON
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"


@pytest.mark.parametrize(("version", "works"), [("1.0", True), ("1.0.3", True), ("", False)])
async def test_the_version_header_is_looked_at(world: World, version: str, works: bool) -> None:
    headers = {"content-type": "application/json", "a2a-version": version}
    answer = await world.http.post(
        world.url + JSONRPC_PATH,
        json=_rpc("SendMessage", message=message("x", "tck-complete-task-1")),
        headers=headers,
    )
    # An empty header means 0.3, which is not spoken here.
    assert ("result" in answer.json()) is works
    if not works:
        assert answer.json()["error"]["code"] == -32009


async def test_fields_of_the_future_are_ignored(world: World) -> None:
    later = {**message("x", "tck-complete-task-1"), "fromTheFuture": {"a": 1}}
    answer = await world.http.post(
        world.url + JSONRPC_PATH, json=_rpc("SendMessage", message=later, more=42), headers=JSON
    )
    assert answer.json()["result"]["task"]


async def test_an_extension_that_is_used_is_named_in_the_answer(world: World) -> None:
    for asked, named in ((EXTENSION, EXTENSION), ("https://example.com/x", None)):
        answer = await world.http.post(
            world.url + JSONRPC_PATH,
            json=_rpc("SendMessage", message=message("x", "tck-complete-task-1")),
            headers={**JSON, "a2a-extensions": asked},
        )
        assert answer.headers.get("a2a-extensions") == named


async def test_streams_are_server_sent_events(world: World) -> None:
    for path, body in (
        (JSONRPC_PATH, _rpc("SendStreamingMessage", message=message("x", "tck-stream-001-1"))),
        (REST_PATH + "/message:stream", {"message": message("x", "tck-stream-001-2")}),
    ):
        answer = await world.http.post(world.url + path, json=body, headers=JSON)
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = [
            json.loads(line.removeprefix("data:"))
            for line in answer.text.splitlines()
            if line.startswith("data:")
        ]
        if path == JSONRPC_PATH:
            assert {(event["jsonrpc"], event["id"]) for event in events} == {("2.0", 1)}
            events = [event["result"] for event in events]
        assert all(len(event) == 1 for event in events)
        assert "task" in events[0]


async def test_json_is_camel_case_with_enums_by_name(world: World) -> None:
    answer = await world.http.post(
        world.url + REST_PATH + "/message:send",
        json={"message": message("x", "tck-input-required-1")},
        headers=JSON,
    )
    task = answer.json()["task"]
    assert set(task) == {"id", "contextId", "status", "history"}
    assert task["status"]["state"] == "TASK_STATE_INPUT_REQUIRED"
    assert task["history"][0]["role"] == "ROLE_USER"
    assert "messageId" in task["history"][0]


async def test_the_tenant_of_a_path_must_be_the_callers(world: World) -> None:
    for tenant, status in (("default", 200), ("other", 400)):
        answer = await world.http.get(f"{world.url}{REST_PATH}/{tenant}/tasks", headers=JSON)
        assert answer.status_code == status


async def test_what_is_elsewhere_is_not_found(world: World) -> None:
    assert (await world.http.get(world.url + "/a2a/nothing")).status_code == 404
    assert (await world.http.get(world.url + JSONRPC_PATH)).status_code == 405
