"""A2A and MCP in the same process, behind the same tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from http_world import NICE, World, world

from genesis.server.beside import BesideOptions, at

pytestmark = pytest.mark.asyncio(loop_scope="module")

MCP_HEADERS = {"accept": "application/json, text/event-stream"}
MCP_HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    options = BesideOptions(grpc_port=0)
    async with world(tmp_path_factory.mktemp("beside"), None, options) as made:
        yield made


async def _a2a(client: httpx.AsyncClient, method: str, params: dict[str, Any]) -> httpx.Response:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return await client.post("/a2a/jsonrpc", json=body, headers={"a2a-version": "1.0"})


def _message(message_id: str) -> dict[str, Any]:
    return {"message": {"messageId": message_id, "role": "ROLE_USER", "parts": [{"text": NICE}]}}


async def test_the_card_is_open_and_names_where_the_server_is(served: World) -> None:
    card = (await served.anyone.get("/.well-known/agent-card.json")).json()
    urls = {i["protocolBinding"]: i["url"] for i in card["supportedInterfaces"]}
    assert urls["JSONRPC"] == f"{served.url}/a2a/jsonrpc"
    assert urls["GRPC"].startswith("127.0.0.1:")
    assert card["signatures"]


async def test_a2a_asks_for_the_same_tokens_and_keeps_tenants_apart(served: World) -> None:
    refused = await _a2a(served.anyone, "SendMessage", _message("m1"))
    assert refused.status_code == 401
    done = (await _a2a(served.ann, "SendMessage", _message("m2"))).json()
    task = done["result"]["task"]
    assert task["status"]["state"] == "TASK_STATE_COMPLETED"
    own = (await _a2a(served.ann, "GetTask", {"id": task["id"]})).json()
    assert own["result"]["id"] == task["id"]
    run = (await served.ann.get(f"/v1/runs/{task['id']}")).json()
    assert (run["state"], run["request"]) == ("completed", NICE), "the task is the run"
    foreign = (await _a2a(served.bob, "GetTask", {"id": task["id"]})).json()
    assert foreign["error"]["code"] == -32001


async def test_mcp_asks_for_the_same_tokens(served: World) -> None:
    refused = await served.anyone.post("/mcp", json=MCP_HELLO, headers=MCP_HEADERS)
    assert refused.status_code == 401
    hello = await served.ann.post("/mcp", json=MCP_HELLO, headers=MCP_HEADERS)
    assert hello.status_code == 200
    assert "protocolVersion" in hello.text


async def test_the_conformance_kits_agent_is_served_only_when_asked_for(tmp_path: Path) -> None:
    options = BesideOptions(a2a_test_mode=True, mcp=False)
    async with world(tmp_path, None, options) as testing:
        done = (await _a2a(testing.ann, "SendMessage", _message("tck-complete-task-1"))).json()
        assert done["result"]["task"]["status"]["state"] == "TASK_STATE_COMPLETED"
        assert (await testing.ann.post("/mcp", json=MCP_HELLO)).status_code == 404
        listed = (await testing.ann.get("/v1/runs")).json()
        assert listed["runs"] == []


@pytest.mark.parametrize(
    ("host", "shown"),
    [("127.0.0.1", "127.0.0.1:80"), ("::1", "[::1]:80"), ("[::1]", "[::1]:80"), ("a.b", "a.b:80")],
)
async def test_a_host_stands_in_a_url_as_it_must(host: str, shown: str) -> None:
    assert at(host, 80) == shown


async def test_runs_are_served_beside_them(served: World) -> None:
    assert (await served.ask(NICE))["state"] == "completed"
    metrics = (await served.operator.get("/metrics")).text
    assert 'route="/a2a"' in metrics
