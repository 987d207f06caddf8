"""Servers that are no A2A agents, or bad ones: contained and explained."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeAlias

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from genesis.errors import AgentError, AgentMisbehaved, AgentUnavailable, InputError
from genesis.testing import FakeAgent
from infrastructure.a2a.remote import RemoteAgent
from infrastructure.a2a.serving import JSONRPC_PATH, serve_agent
from infrastructure.a2a.types import AgentEvent, Message, Part
from infrastructure.net.addresses import is_public, origin_of
from infrastructure.net.http import guarded_client
from infrastructure.resilience.retry import is_retryable

App: TypeAlias = Callable[..., Awaitable[None]]
Serve: TypeAlias = Callable[[Callable[[str], App]], Awaitable[Any]]
MESSAGE = Message("m", "user", (Part(text="hello"),))


def _card(url: str, **changes: object) -> dict[str, object]:
    return {
        "name": "stranger",
        "description": "d",
        "version": "1",
        "supportedInterfaces": [
            {"url": f"{url}/rpc", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
        ],
        "capabilities": {"streaming": True},
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
        "skills": [{"id": "s", "name": "s", "description": "d", "tags": ["testing"]}],
        **changes,
    }


def _server(
    answer: Callable[[Request], Awaitable[Response]],
    card: Callable[[str], object] = _card,
) -> Callable[[str], App]:
    def make(url: str) -> App:
        async def show(request: Request) -> Response:
            shown = card(url)
            return shown if isinstance(shown, Response) else JSONResponse(shown)

        return Starlette(
            routes=[
                Route("/.well-known/agent-card.json", show),
                Route("/rpc", answer, methods=["POST"]),
            ]
        )

    return make


async def _nothing(request: Request) -> Response:
    return Response(status_code=404)


async def _ask(url: str, **limits: Any) -> list[AgentEvent]:
    remote = await RemoteAgent.connect(url, allow_private=True, **limits)
    try:
        async with aclosing(remote.send(MESSAGE)) as stream:
            return [event async for event in stream]
    finally:
        await remote.aclose()


def _sse(*events: object) -> Response:
    async def body() -> AsyncGenerator[bytes]:
        for event in events:
            answer = {"jsonrpc": "2.0", "id": 1, "result": event}
            yield f"data: {json.dumps(answer)}\n\n".encode()

    return StreamingResponse(body(), media_type="text/event-stream")


async def test_a_strangers_tags_are_task_types(serve: Serve) -> None:
    served = await serve(_server(_nothing))
    remote = await RemoteAgent.connect(served.url, allow_private=True)
    assert remote.card.skills[0].task_types == ("testing",)
    assert remote.card.skills[0].produces == ()
    await remote.aclose()


CardOf: TypeAlias = Callable[[str], object]
BAD_CARDS: list[tuple[CardOf, str]] = [
    (lambda url: Response("<html>hello</html>"), "not an A2A agent card"),
    (lambda url: ["a", "list"], "not an A2A agent card"),
    (lambda url: {"name": 7}, "not an A2A agent card"),
    (lambda url: _card(url, skills=[]), "no name or no skills"),
    (lambda url: _card("https://elsewhere.example"), "points elsewhere"),
    (lambda url: _card(url.replace("http:", "https:")), "points elsewhere"),
    (lambda url: _card(url, supportedInterfaces=[]), "speaks none"),
    (lambda url: RedirectResponse("http://169.254.169.254/"), "redirects"),
    (lambda url: Response(status_code=403), "token"),
    (lambda url: Response(b"x" * 2_000_000), "larger than"),
]


@pytest.mark.parametrize(("card", "reason"), BAD_CARDS)
async def test_what_is_no_usable_card_is_refused(
    serve: Serve, card: Callable[[str], object], reason: str
) -> None:
    served = await serve(_server(_nothing, card))
    with pytest.raises(AgentError, match=reason):
        await RemoteAgent.connect(served.url, allow_private=True)


async def test_a_server_that_fails_may_be_asked_again(serve: Serve) -> None:
    served = await serve(_server(_nothing, lambda url: Response(status_code=503)))
    with pytest.raises(AgentUnavailable, match="503"):
        await RemoteAgent.connect(served.url, allow_private=True)


@pytest.mark.parametrize(
    "answer",
    [
        Response("garbage", media_type="text/event-stream"),
        Response("data: garbage\n\n", media_type="text/event-stream"),
        Response("garbage", media_type="application/json"),
        Response('"text"', media_type="application/json"),
        Response(b"\xff\xfe\x00", media_type="text/event-stream"),
        Response('data: {"jsonrpc":"2.0","id":1,"result":[1]}\n\n', media_type="text/event-stream"),
        Response('data: {"jsonrpc":"2.0","id":1,"result":{}}\n\n', media_type="text/event-stream"),
        Response("", media_type="text/event-stream"),
        RedirectResponse("http://169.254.169.254/latest/meta-data", 307),
    ],
)
async def test_garbage_is_the_strangers_failure(serve: Serve, answer: Response) -> None:
    async def always(request: Request) -> Response:
        return answer

    served = await serve(_server(always))
    with pytest.raises(AgentMisbehaved):
        await _ask(served.url)


async def test_an_error_inside_the_agent_may_have_passed_at_the_next_try(serve: Serve) -> None:
    async def broken(request: Request) -> Response:
        error = {"code": -32603, "message": "broken"}
        return JSONResponse({"jsonrpc": "2.0", "id": 1, "error": error})

    served = await serve(_server(broken))
    with pytest.raises(AgentUnavailable, match="failed inside: broken") as caught:
        await _ask(served.url)
    assert is_retryable(caught.value)


async def test_a_server_that_does_not_answer_is_unavailable(serve: Serve) -> None:
    async def silent(request: Request) -> Response:
        await asyncio.Event().wait()
        return Response()

    served = await serve(_server(silent))
    with pytest.raises(AgentUnavailable):
        await _ask(served.url, http_timeout_s=0.2)


async def test_an_endless_answer_is_cut_off(serve: Serve) -> None:
    async def endless(request: Request) -> Response:
        async def body() -> AsyncGenerator[bytes]:
            while True:
                yield b": keep alive\n\n" * 1000
                await asyncio.sleep(0)  # lets the client read

        return StreamingResponse(body(), media_type="text/event-stream")

    served = await serve(_server(endless))
    with pytest.raises(AgentError, match="cut off"):
        await _ask(served.url, max_response_bytes=100_000)


async def test_a_huge_answer_is_not_read(serve: Serve) -> None:
    async def huge(request: Request) -> Response:
        return Response(b"x" * 200_000, media_type="application/json")

    served = await serve(_server(huge))
    with pytest.raises(AgentError, match="200000 bytes"):
        await _ask(served.url, max_response_bytes=100_000)


async def test_a_compressed_answer_is_refused(serve: Serve) -> None:
    async def bomb(request: Request) -> Response:
        return Response(b"x", headers={"content-encoding": "gzip"})

    served = await serve(_server(bomb))
    with pytest.raises(AgentError, match="gzip"):
        await _ask(served.url)


async def test_a_task_whose_stream_ends_early_is_polled_to_its_end(serve: Serve) -> None:
    asked: list[str] = []

    async def answer(request: Request) -> Response:
        call = json.loads(await request.body())
        asked.append(call["method"])
        working = {"id": "t1", "contextId": "c", "status": {"state": "TASK_STATE_WORKING"}}
        if call["method"] != "GetTask":
            return _sse({"task": working})
        done = {"state": "TASK_STATE_COMPLETED"}
        artifact = {"artifactId": "a", "parts": [{"text": "late"}]}
        result = {**working, "status": done, "artifacts": [artifact]}
        return JSONResponse({"jsonrpc": "2.0", "id": call["id"], "result": result})

    served = await serve(_server(answer))
    events = await _ask(served.url)
    assert asked == ["SendStreamingMessage", "SubscribeToTask", "GetTask"]
    states = [getattr(event, "state", None) for event in events]
    assert states == ["working", "working", None, "completed"]


async def test_an_agent_that_cannot_stream_is_asked_and_polled(serve: Serve) -> None:
    asked: list[str] = []

    async def answer(request: Request) -> Response:
        call = json.loads(await request.body())
        asked.append(call["method"])
        task = {"id": "t1", "contextId": "c", "status": {"state": "TASK_STATE_WORKING"}}
        result: object = {"task": task}
        if call["method"] == "GetTask":
            result = {**task, "status": {"state": "TASK_STATE_COMPLETED"}}
        return JSONResponse({"jsonrpc": "2.0", "id": call["id"], "result": result})

    def plain(url: str) -> object:
        return _card(url, capabilities={"streaming": False})

    served = await serve(_server(answer, plain))
    events = await _ask(served.url)
    assert asked == ["SendMessage", "GetTask"]
    assert getattr(events[-1], "state", None) == "completed"


async def test_a_served_agent_refuses_what_is_too_large_or_no_json(serve: Serve) -> None:
    fake = FakeAgent("a")
    served = await serve(lambda url: serve_agent(fake, url=url, max_body_bytes=1000))
    async with httpx.AsyncClient(base_url=served.url) as http:
        large = await http.post(JSONRPC_PATH, json={"x": "y" * 2000})
        chunked = await http.post(
            JSONRPC_PATH, content=_chunks(), headers={"content-type": "application/json"}
        )
        form = await http.post(JSONRPC_PATH, data={"a": "b"})
    assert [large.status_code, chunked.status_code] == [413, 413]
    assert form.json()["error"]["code"] == -32005  # as A2A 1.0 wants it of JSON-RPC
    assert fake.calls == 0


async def _chunks() -> AsyncGenerator[bytes]:
    for _ in range(20):
        yield b"x" * 100


async def test_a_served_agent_asks_for_its_token_but_shows_its_card(serve: Serve) -> None:
    served = await serve(lambda url: serve_agent(FakeAgent("a"), url=url, token="right"))
    async with httpx.AsyncClient(base_url=served.url) as http:
        refused = await http.post(JSONRPC_PATH, json={})
        card = await http.get("/.well-known/agent-card.json")
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    assert card.json()["securitySchemes"]
    assert "right" not in card.text


async def test_a_guarded_client_stays_at_its_origin() -> None:
    async with guarded_client("http://127.0.0.1:1", allow_private=True) as http:
        with pytest.raises(AgentError, match="leaves its origin"):
            await http.get("http://127.0.0.1:2/")


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("0.0.0.0", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("192.0.0.192", False),
        ("192.88.99.1", False),
        ("168.63.129.16", False),
        ("::7f00:1", False),
        ("::ffff:0:a00:1", False),
        ("64:ff9b:1::a00:1", False),
        ("fec0::1", False),
        ("5f00::1", False),
        ("3fff::1", False),
        ("64:ff9b::808:808", True),
    ],
)
def test_public_addresses(address: str, public: bool) -> None:
    assert is_public(address) is public


@pytest.mark.parametrize("url", ["ftp://a.example", "a.example", "http://", "http://[::1"])
def test_what_has_no_origin_is_refused(url: str) -> None:
    with pytest.raises(InputError):
        origin_of(url)


@pytest.mark.parametrize("token", ["s3cret\n", "s3cr\u00e9t", ""])
async def test_a_token_that_cannot_be_sent_is_not_shown(token: str) -> None:
    with pytest.raises(InputError, match="printable ASCII") as caught:
        await RemoteAgent.connect("http://127.0.0.1:1", token=token, allow_private=True)
    assert "s3cr" not in str(caught.value)


def test_credentials_in_a_url_are_refused_and_not_shown() -> None:
    with pytest.raises(InputError, match="credentials") as caught:
        origin_of("https://user:s3cret@agents.example/a")
    assert "s3cret" not in str(caught.value)
