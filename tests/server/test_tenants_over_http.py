"""A token sees its own tenant: over every route, a run of another is as one that is not there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from http_world import World, all_events, world

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with world(tmp_path_factory.mktemp("tenants")) as made:
        yield made


ON_A_RUN: list[tuple[str, str, Any]] = [
    ("GET", "", None),
    ("GET", "/events", None),
    ("GET", "/explain", None),
    ("GET", "/files/0", None),
    ("POST", "/approve", {}),
    ("POST", "/cancel", {}),
    ("POST", "/resume", {}),
    ("POST", "/feedback", {"success": False}),
]


async def test_every_route_of_a_run_is_tried(served: World) -> None:
    document = served.served.app.openapi()
    routes = {
        (method.upper(), path.removeprefix("/v1/runs/{run_id}").replace("{number}", "0"))
        for path, item in document["paths"].items()
        for method in item
        if "{run_id}" in path
    }
    assert routes == {(method, path) for method, path, _ in ON_A_RUN}


async def _call(
    client: httpx.AsyncClient, run_id: str, method: str, path: str, body: Any
) -> httpx.Response:
    if method == "GET":
        return await client.get(f"/v1/runs/{run_id}{path}")
    return await client.post(f"/v1/runs/{run_id}{path}", json=body)


@pytest.mark.parametrize(("method", "path", "body"), ON_A_RUN)
@pytest.mark.parametrize("kind", ["finished", "waiting", "under way"])
async def test_a_run_of_another_tenant_is_not_there(
    served: World, kind: str, method: str, path: str, body: Any
) -> None:
    name = f"{kind}{method}{path}".replace(" ", "")
    if kind == "under way":
        run_id = (await served.ask(f"Tell me something slowly {name}", wait_s=0))["run_id"]
        await served.teller.began[name].wait()
    else:
        approve = ["plan"] if kind == "waiting" else []
        run_id = (await served.ask(approve=approve))["run_id"]
    before = (await served.ann.get(f"/v1/runs/{run_id}")).json()

    foreign = await _call(served.bob, run_id, method, path, body)
    unknown = await _call(served.bob, "no-such-run", method, path, body)
    nobody = await _call(served.anyone, run_id, method, path, body)
    assert (foreign.status_code, unknown.status_code, nobody.status_code) == (404, 404, 401)
    told, of_unknown = foreign.json(), unknown.json()
    assert told["detail"].replace(run_id, "X") == of_unknown["detail"].replace("no-such-run", "X")
    assert (await served.ann.get(f"/v1/runs/{run_id}")).json() == before

    if kind == "under way":
        served.teller.go[name].set()
        await all_events(served.ann, f"/v1/runs/{run_id}/events")
        assert (await served.ann.get(f"/v1/runs/{run_id}")).json()["state"] == "completed"


async def test_lists_and_figures_are_of_ones_own_tenant(served: World) -> None:
    run_id = (await served.ask(session_id="shared-name"))["run_id"]
    of_bob = await served.bob.post(
        "/v1/runs",
        json={"request": "Tell me something nice", "session_id": "shared-name"},
        headers={"prefer": "wait=20"},
    )
    bobs = of_bob.json()["run_id"]
    listed = (await served.bob.get("/v1/runs", params={"session_id": "shared-name"})).json()
    assert [run["run_id"] for run in listed["runs"]] == [bobs]
    learnt = (await served.bob.get("/v1/metrics/learning")).json()
    assert learnt["total_workflows_executed"] == 1
    told = (await served.bob.get(f"/v1/runs/{bobs}/explain")).json()["text"]
    assert run_id not in told


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/runs", None),
        ("POST", "/v1/runs", {"request": "x"}),
        ("POST", "/v1/plan", {"request": "x"}),
        ("GET", "/v1/agents", None),
        ("GET", "/v1/metrics/learning", None),
        ("GET", "/v1/nowhere", None),
    ],
)
async def test_nobody_without_a_token_gets_in(
    served: World, method: str, path: str, body: Any
) -> None:
    answer = await served.anyone.request(method, path, json=body)
    assert answer.status_code == 401
