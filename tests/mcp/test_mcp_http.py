"""The memory over streamable HTTP: a real server on loopback, the SDK's client, raw requests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import httpx2
import mcp_types as types
import pytest
from langgraph.store.base import PutOp
from loopback import App, Serve
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import ResourceUpdated
from mcp.shared.exceptions import MCPError
from starlette.applications import Starlette
from starlette.routing import Route

from genesis.server.mcp import mcp_app
from genesis.server.mcp_auth import authenticated
from genesis.server.mcp_sessions import SharedSessions
from infrastructure.callers import Caller
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.store import MemoriStore

ADA, BEA, CARL = "token-of-ada", "token-of-bea", "token-of-carl"
CALLERS = {ADA: Caller("acme", "ada"), BEA: Caller("acme", "bea"), CARL: Caller("other", "carl")}
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "raw", "version": "1"},
    },
}
ACCEPT = {"Accept": "application/json, text/event-stream"}


@pytest.fixture
async def memori() -> AsyncIterator[Memori]:
    opened = Memori.open(":memory:")
    yield opened
    await opened.aclose()


def app(memori: Memori) -> App:
    """The memory at /mcp, for whoever has a token."""
    mounted = mcp_app(memori, lambda token: CALLERS.get(token or ""))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        async with mounted.lifespan():
            yield

    return Starlette(routes=[Route("/mcp", endpoint=mounted.endpoint)], lifespan=lifespan)


@pytest.fixture
async def url(memori: Memori, serve: Serve) -> str:
    return f"{(await serve(lambda _: app(memori))).url}/mcp"


@asynccontextmanager
async def connected(url: str, token: str, mode: str = "auto") -> AsyncGenerator[Client]:
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        yield client


async def done(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert result.structured_content is not None
    return result.structured_content


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_token_decides_whose_memory_it_is(url: str, mode: str) -> None:
    async with (
        connected(url, ADA, mode) as ada,
        connected(url, BEA, mode) as bea,
        connected(url, CARL, mode) as carl,
    ):
        await done(ada, "add", text="The code is 4711.", key="code")
        assert (await done(bea, "get", key="code"))["source"] == "mcp:ada"
        assert (await done(carl, "summary"))["count"] == 0
        await done(carl, "add", text="Carl's own.", key="code")
        assert (await done(ada, "get", key="code"))["text"] == "The code is 4711."


async def test_calls_at_once_of_several_callers_do_not_mix(url: str) -> None:
    async with connected(url, ADA) as ada, connected(url, CARL) as carl:

        async def work(client: Client, name: str, number: int) -> None:
            await done(client, "add", text=f"{name} {number}", key=str(number))
            assert (await done(client, "get", key=str(number)))["text"] == f"{name} {number}"

        await asyncio.gather(
            *(work(ada, "ada", n) for n in range(50)), *(work(carl, "carl", n) for n in range(50))
        )
        for client, name in ((ada, "ada"), (carl, "carl")):
            found = (await done(client, "filter", limit=100))["memories"]
            assert {memory["text"] for memory in found} == {f"{name} {n}" for n in range(50)}
            assert {memory["source"] for memory in found} == {f"mcp:{name}"}


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer nobody"}, {"Authorization": "Basic dG9rZW46"}],
    ids=["none", "unknown", "basic"],
)
async def test_without_a_known_token_nothing_is_answered(url: str, headers: dict[str, str]) -> None:
    async with httpx.AsyncClient() as http:
        answer = await http.post(url, json=INITIALIZE, headers={**ACCEPT, **headers})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert "nobody" not in answer.text


async def test_a_session_cannot_be_used_with_another_token(url: str) -> None:
    async with httpx.AsyncClient() as http:

        async def post(token: str, body: dict[str, Any], session: str = "") -> httpx.Response:
            headers = {**ACCEPT, "Authorization": f"Bearer {token}"}
            if session:
                headers["Mcp-Session-Id"] = session
            return await http.post(url, json=body, headers=headers)

        session = (await post(ADA, INITIALIZE)).headers["mcp-session-id"]
        ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
        assert (await post(ADA, ping, session)).status_code == 200
        assert (await post(BEA, ping, session)).status_code == 404
        assert (await post(CARL, ping, session)).status_code == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example.com"}, 421),
        ({"Origin": "https://evil.example.com"}, 403),
        ({"Content-Type": "text/plain"}, 400),
    ],
)
async def test_requests_of_other_hosts_and_sites_are_refused(
    url: str, headers: dict[str, str], status: int
) -> None:
    async with httpx.AsyncClient() as http:
        sent = {"Content-Type": "application/json", "Authorization": f"Bearer {ADA}", **ACCEPT}
        answer = await http.post(url, content=json.dumps(INITIALIZE), headers={**sent, **headers})
        assert answer.status_code == status


async def test_a_body_that_is_too_large_or_garbage_is_refused(url: str) -> None:
    async with httpx.AsyncClient() as http:
        sent = {"Content-Type": "application/json", "Authorization": f"Bearer {ADA}", **ACCEPT}
        large = await http.post(url, content=b"x" * 3_000_000, headers=sent)
        assert large.status_code == 413
        garbage = await http.post(url, content=b"\xff{", headers=sent)
        assert garbage.status_code == 400


async def test_listeners_hear_of_their_own_tenant_alone(url: str) -> None:
    async with connected(url, ADA) as ada, connected(url, BEA) as bea, connected(url, CARL) as carl:
        first = (await done(ada, "add", text="one", key="first"))["uri"]
        second = (await done(ada, "add", text="one", key="second"))["uri"]
        async with bea.listen(resource_subscriptions=[first, second]) as heard:
            stranger = await done(carl, "add", text="same place, other tenant", key="first")
            assert stranger["uri"] == first
            await done(ada, "update", key="second", text="two")
            async with asyncio.timeout(10):
                assert await anext(aiter(heard)) == ResourceUpdated(uri=second)


@pytest.mark.filterwarnings("ignore:resources/:UserWarning")
async def test_a_session_of_the_older_protocol_hears_of_what_it_watches(url: str) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def hear(message: Any) -> None:
        if isinstance(message, types.ResourceUpdatedNotification):
            await heard.put(str(message.params.uri))

    headers = {"Authorization": f"Bearer {BEA}"}
    async with connected(url, ADA) as ada, connected(url, CARL) as carl:
        warm, leak, left, last = [
            (await done(ada, "add", text="one", key=key))["uri"] for key in ("1", "2", "3", "4")
        ]
        async with (
            httpx2.AsyncClient(headers=headers, timeout=30) as http,
            Client(
                streamable_http_client(url, http_client=http), mode="legacy", message_handler=hear
            ) as bea,
        ):
            for uri in (warm, leak, left, last):
                await bea.session.subscribe_resource(uri)  # pyright: ignore[reportDeprecated]  # the older way is what is tested
            await bea.session.unsubscribe_resource(left)  # pyright: ignore[reportDeprecated]
            told: set[str] = set()
            async with asyncio.timeout(10):
                while heard.empty():  # the client opens its stream some time after the handshake
                    await done(ada, "update", key="1", text="two")
                assert (await done(carl, "add", text="other tenant", key="2"))["uri"] == leak
                await done(ada, "update", key="3", text="two")
                await done(ada, "update", key="4", text="two")
                while last not in told:
                    told.add(await heard.get())
            assert told == {warm, last}


async def test_ten_thousand_memories_are_searched_and_listed(memori: Memori, url: str) -> None:
    store = MemoriStore(memori.for_tenant("acme"))
    for start in range(0, 10_000, 2_000):
        await store.abatch(
            [
                PutOp(("big", f"n{n % 7}"), str(n), {"text": f"entry {n} about topic{n % 97}"})
                for n in range(start, start + 2_000)
            ]
        )
    async with connected(url, ADA) as ada:
        found = (await done(ada, "retrieve", query="topic42", limit=5))["memories"]
        assert all("topic42" in memory["text"] for memory in found)
        summary = await done(ada, "summary", namespace="big")
        assert (summary["count"], summary["counted_all"]) == (10_000, True)
        await done(ada, "add", text="one more", namespace="big")
        assert (await done(ada, "summary"))["counted_all"] is False
        page = (await done(ada, "filter", limit=100, namespace="big.n3"))["memories"]
        assert {memory["namespace"] for memory in page} == {"big.n3"}


async def test_a_server_that_ended_says_so(memori: Memori, serve: Serve) -> None:
    served = await serve(lambda _: app(memori))
    await served.stop()
    with pytest.raises((MCPError, httpx2.ConnectError, ExceptionGroup)):
        async with connected(f"{served.url}/mcp", ADA, "legacy") as client:
            await client.list_tools()


async def test_a_tenant_cannot_take_the_sessions_of_others(memori: Memori, serve: Serve) -> None:
    """Each has its share; ending one, or leaving it alone, makes room."""
    now = 0.0
    inner = mcp_app(memori, lambda token: CALLERS.get(token or ""))

    def counted(app: App) -> App:
        shared = SharedSessions(app, share=2, idle_s=60, now=lambda: now)
        return authenticated(shared, lambda token: CALLERS.get(token or ""))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        async with inner.lifespan():
            yield

    def made(_: str) -> App:
        return Starlette(
            routes=[Route("/mcp", endpoint=counted(inner.endpoint))], lifespan=lifespan
        )

    url = f"{(await serve(made)).url}/mcp"
    async with httpx.AsyncClient(headers=ACCEPT) as http:

        async def opened(token: str) -> httpx.Response:
            headers = {"Authorization": f"Bearer {token}"}
            return await http.post(url, json=INITIALIZE, headers=headers)

        first, second = await opened(ADA), await opened(BEA)
        assert (first.status_code, second.status_code) == (200, 200)
        refused = await opened(ADA)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")
        assert (await opened(CARL)).status_code == 200, "of another tenant"
        held = {"Authorization": f"Bearer {ADA}", "mcp-session-id": first.headers["mcp-session-id"]}
        assert (await http.delete(url, headers=held)).status_code == 200
        assert (await opened(ADA)).status_code == 200
        assert (await opened(ADA)).status_code == 429
        now = 61.0
        assert (await opened(ADA)).status_code == 200
