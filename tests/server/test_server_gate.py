"""What every request passes first, over a real server: ids, tokens, hosts, rates, sizes."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from loopback import Serve
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from genesis.server.auth import Callers
from genesis.server.gate import Gate
from genesis.server.limits import Limits, RateLimiter
from genesis.server.tokens import make_token
from genesis.testing import FakeClock
from infrastructure.observability.logs import FIELDS, REQUEST
from infrastructure.observability.serving_metrics import serving_metrics

LIMITS = Limits(requests_per_s=1, burst=5, body_bytes=1000, body_s=0.1)


async def _echo(request: Request) -> JSONResponse:
    caller = request.state.caller
    return JSONResponse(
        {
            "tenant": caller.tenant if caller else None,
            "bytes": len(await request.body()),
            "logged": dict(REQUEST.get()),
        }
    )


def _app(callers: Callers, registry: CollectorRegistry, clock: FakeClock) -> ASGIApp:
    routes = [
        Route(path, _echo, methods=["GET", "POST"]) for path in ("/v1/echo", "/healthz", "/other")
    ]
    return Gate(
        Starlette(routes=routes),
        callers,
        LIMITS,
        RateLimiter(clock, LIMITS),
        serving_metrics(registry),
        clock,
        ("/v1",),
    )


class Guarded:
    """A guarded server and what belongs to it."""

    def __init__(self, tmp_path: Path) -> None:
        self.clock = FakeClock()
        self.registry = CollectorRegistry()
        self.tokens = tmp_path / "tokens.yaml"
        self.client = httpx.AsyncClient()

    async def start(self, serve: Serve) -> None:
        app = _app(Callers(self.clock, self.tokens), self.registry, self.clock)
        served = await serve(lambda _: app)
        self.client.base_url = httpx.URL(served.url)


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Guarded]:
    made = Guarded(tmp_path)
    yield made
    await made.client.aclose()


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def test_without_a_token_the_answer_says_how_to_get_one(
    guarded: Guarded, serve: Serve
) -> None:
    token = make_token(guarded.tokens, "ann", "team-a").token
    await guarded.start(serve)
    for headers in ({}, _bearer("wrong"), {"authorization": token}):
        refused = await guarded.client.get("/v1/echo", headers=headers)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Bearer")
        assert refused.headers["content-type"] == "application/problem+json"
        assert "genesis serve token" in refused.json()["detail"]

    admitted = await guarded.client.get("/v1/echo", headers=_bearer(token))
    assert admitted.json()["tenant"] == "team-a"
    assert (await guarded.client.get("/healthz")).status_code == 200
    assert (await guarded.client.get("/other")).json()["tenant"] is None


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "localhost:1"}, 200),
        ({"host": "[::1]:8300"}, 200),
        ({"host": "rebound.example"}, 403),
        ({"host": "127.0.0.1.example"}, 403),
        ({"host": ""}, 403),
        ({"host": "[::1"}, 403),
        ({"host": "localhost:1", "origin": "http://localhost:1"}, 200),
        ({"host": "localhost:1", "origin": "http://localhost:2"}, 403),
        ({"host": "localhost:1", "origin": "https://elsewhere.example"}, 403),
        ({"host": "localhost:1", "origin": "null"}, 403),
        ({"host": "localhost:1", "x-forwarded-for": "203.0.113.9"}, 403),
        ({"host": "localhost:1", "forwarded": "for=203.0.113.9"}, 403),
    ],
)
async def test_without_tokens_only_this_machine_by_its_own_name_is_answered(
    guarded: Guarded, serve: Serve, headers: dict[str, str], status: int
) -> None:
    await guarded.start(serve)
    assert (await guarded.client.get("/v1/echo", headers=headers)).status_code == status


async def test_a_caller_that_asks_too_fast_is_told_when_to_ask_again(
    guarded: Guarded, serve: Serve
) -> None:
    ann = make_token(guarded.tokens, "ann", "t").token
    bob = make_token(guarded.tokens, "bob", "t").token
    await guarded.start(serve)
    for _ in range(LIMITS.burst):
        assert (await guarded.client.get("/v1/echo", headers=_bearer(ann))).status_code == 200
    refused = await guarded.client.get("/v1/echo", headers=_bearer(ann))
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert (await guarded.client.get("/v1/echo", headers=_bearer(bob))).status_code == 200
    assert (await guarded.client.get("/healthz")).status_code == 200

    guarded.clock.advance(1)
    assert (await guarded.client.get("/v1/echo", headers=_bearer(ann))).status_code == 200


async def test_a_body_above_the_cap_is_refused_with_and_without_its_length(
    guarded: Guarded, serve: Serve
) -> None:
    await guarded.start(serve)

    async def chunks(number: int) -> AsyncIterator[bytes]:
        for _ in range(number):
            yield b"x" * 100

    assert (await guarded.client.post("/v1/echo", content=b"x" * 1001)).status_code == 413
    assert (await guarded.client.post("/v1/echo", content=chunks(11))).status_code == 413
    allowed = await guarded.client.post("/v1/echo", content=chunks(10))
    assert allowed.json()["bytes"] == 1000


async def test_a_body_that_does_not_come_is_not_waited_for(guarded: Guarded, serve: Serve) -> None:
    await guarded.start(serve)
    host, port = guarded.client.base_url.host, guarded.client.base_url.port
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"POST /v1/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx")
    async with asyncio.timeout(10):
        assert b" 408 " in await reader.readline()
    writer.close()


async def test_what_is_mounted_beside_does_not_wait_for_a_body_either(
    guarded: Guarded, serve: Serve
) -> None:
    await guarded.start(serve)
    host, port = guarded.client.base_url.host, guarded.client.base_url.port
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"POST /other HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx")
    async with asyncio.timeout(10):
        assert b" 200 " not in await reader.readline()
    writer.close()
    answer = await guarded.client.post("/other", content=b"x" * 5_000)
    assert answer.json()["bytes"] == 5_000


async def test_probes_are_bounded_by_themselves(guarded: Guarded, serve: Serve) -> None:
    make_token(guarded.tokens, "ann", "t")
    await guarded.start(serve)
    for _ in range(LIMITS.burst):
        assert (await guarded.client.get("/v1/echo")).status_code == 401
    probes = [(await guarded.client.get("/healthz")).status_code for _ in range(LIMITS.burst + 1)]
    assert probes == [200] * LIMITS.burst + [429]


async def test_a_request_has_an_id_in_the_answer_and_in_the_log(
    guarded: Guarded, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    token = make_token(guarded.tokens, "ann", "team-a").token
    await guarded.start(serve)
    headers = {**_bearer(token), "x-request-id": "from-a-proxy"}
    with caplog.at_level(logging.INFO, "genesis.server.access"):
        answer = await guarded.client.get("/v1/echo?secret=1", headers=headers)
    assert answer.headers["x-request-id"] == "from-a-proxy"
    assert answer.json()["logged"] == {
        "request_id": "from-a-proxy",
        "tenant": "team-a",
        "caller": "ann",
    }
    (line,) = (r for r in caplog.records if r.name == "genesis.server.access")
    assert line.getMessage() == "GET /v1/echo"
    assert getattr(line, FIELDS)["status"] == 200
    assert token not in json.dumps(caplog.text)

    odd = await guarded.client.get("/healthz", headers={"x-request-id": "two words"})
    assert odd.headers["x-request-id"] != "two words"


async def test_requests_are_counted_by_route_and_not_by_path(
    guarded: Guarded, serve: Serve
) -> None:
    await guarded.start(serve)
    for path in ("/nowhere/1", "/nowhere/2", "/v1/echo"):
        await guarded.client.get(path)
    await guarded.client.request("BREW", "/v1/echo")

    def count(method: str, route: str, status: str) -> float | None:
        labels = {"method": method, "route": route, "status": status}
        return guarded.registry.get_sample_value("genesis_http_requests_total", labels)

    assert count("GET", "other", "404") == 2
    assert (
        sum(
            sample.value
            for family in guarded.registry.collect()
            for sample in family.samples
            if sample.name == "genesis_http_requests_total" and sample.labels["method"] == "other"
        )
        == 1
    )
