"""Agents elsewhere that do harm: each is contained, in bounded memory, and explained."""

from __future__ import annotations

import asyncio
import gzip
import socket
import tracemalloc
from typing import Any

import httpx
import pytest
from remote_peers import EVENTS, JSON, Call, StartPeer, artifact, ask_once, status, task

from infrastructure.a2a.remote import RemoteAgent
from infrastructure.a2a.types import ArtifactUpdate, StatusUpdate, TaskState
from infrastructure.errors import AgentError, AgentMisbehaved, AgentUnavailable
from infrastructure.net.addresses import resolve
from infrastructure.net.http import Limits, guarded_client
from infrastructure.resilience.retry import is_retryable


async def _nothing(call: Call) -> None:
    await call.respond(b"", code=404)


async def _drip(call: Call, data: bytes) -> None:
    for byte in data:
        await call.raw(bytes([byte]))
        await asyncio.sleep(0.02)


async def test_headers_that_come_byte_by_byte_are_not_waited_for(peer: StartPeer) -> None:
    async def slow(call: Call) -> None:
        await _drip(call, b"HTTP/1.1 200 OK\r\n" + b"x-slow: 1\r\n" * 1000)

    as_card = await peer(_nothing, slow)
    as_answer = await peer(slow)
    async with asyncio.timeout(5):
        for one in (as_card, as_answer):
            with pytest.raises(AgentUnavailable, match="cannot be reached"):
                await ask_once(one.url, http_timeout_s=0.1)


async def test_progress_without_end_is_cut_off(peer: StartPeer) -> None:
    async def busy(call: Call) -> None:
        if call.method == "CancelTask":
            await call.result(task("CANCELED"))
            return
        await call.head(EVENTS)
        while True:
            await call.event(status("WORKING", text="nearly there"))

    one = await peer(busy)
    with pytest.raises(AgentMisbehaved, match="more than 300 events"):
        await ask_once(one.url, max_events=300)
    assert one.methods == ["SendStreamingMessage", "CancelTask"]


async def test_a_stream_of_a_million_tiny_chunks_is_cut_off(peer: StartPeer) -> None:
    async def tiny(call: Call) -> None:
        await call.head(EVENTS)
        while True:
            await call.raw(b"1\r\n:\r\n" * 500)

    one = await peer(tiny)
    with pytest.raises(AgentMisbehaved, match="larger than 50000 bytes"):
        await ask_once(one.url, max_response_bytes=50_000)


@pytest.mark.parametrize("announced", [True, False])
async def test_100_mb_are_not_read(peer: StartPeer, announced: bool) -> None:
    sent = 0
    block = b"x" * 65_536

    async def huge(call: Call) -> None:
        nonlocal sent
        if announced:
            await call.raw(b"HTTP/1.1 200 OK\r\ncontent-length: 104857600\r\n\r\n")
        else:
            await call.head(JSON)
        for _ in range(1600):
            await (call.raw if announced else call.chunk)(block)
            sent += len(block)

    as_answer, as_card = await peer(huge), await peer(_nothing, huge)
    tracemalloc.start()
    try:
        with pytest.raises(AgentMisbehaved, match="bytes"):
            await ask_once(as_answer.url, max_response_bytes=4_000_000)
        with pytest.raises(AgentMisbehaved, match=r"104857600 bytes|larger than 1048576 bytes"):
            await ask_once(as_card.url)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sent < 40_000_000
    assert peak < 40_000_000


async def test_few_bytes_that_would_be_many_objects_are_not_parsed(peer: StartPeer) -> None:
    async def bomb(call: Call) -> None:
        await call.respond(b'{"result": [' + b"[]," * 3_000_000 + b"[]]}")

    one = await peer(bomb)
    with pytest.raises(AgentMisbehaved, match="JSON values"):
        await ask_once(one.url)


@pytest.mark.parametrize(
    "body",
    [
        b'{"jsonrpc": "2.0", "id": 1, "result": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"jsonrpc": "2.0", "id": 1, "result": {"message": {"metadata": '
        + b'{"a":' * 200 + b"1" + b"}" * 200 + b"}}}",
        b'{"jsonrpc": "2.0", "result": {"task": {"id": 7}}}',
        b'{"jsonrpc": "2.0", "result": {"task": {"id": "t1", "status": {"state": "DREAMING"}}}}',
        b'{"jsonrpc": "2.0", "result": {"task": {"id": "t1\\u0007", "status": '
        b'{"state": "TASK_STATE_WORKING"}}}}',
        b"\xff\xfe\xfd",
        b'{"jsonrpc": "2.0", "result": {"message": {"parts": [{"raw": "not base64!"}]}}}',
        b'{"jsonrpc": "2.0", "result": {"message": {"parts": [{"data": 1e999}]}}}',
        b"{}",
    ],
)  # fmt: skip
async def test_what_is_no_answer_is_the_strangers_failure(peer: StartPeer, body: bytes) -> None:
    async def whole(call: Call) -> None:
        await call.respond(body)

    async def streamed(call: Call) -> None:
        await call.respond(b"data: " + body + b"\n\n", EVENTS)

    for answer in (whole, streamed):
        one = await peer(answer)
        with pytest.raises(AgentMisbehaved) as caught:
            await ask_once(one.url)
        assert not is_retryable(caught.value)
        assert len(str(caught.value)) < 1_000


async def test_an_event_of_another_task_is_refused(peer: StartPeer) -> None:
    async def confused(call: Call) -> None:
        await call.events({"task": task("WORKING")}, status("COMPLETED", task_id="t2"))

    one = await peer(confused)
    with pytest.raises(AgentMisbehaved, match="another task"):
        await ask_once(one.url)


async def test_what_comes_after_the_end_is_not_heard(peer: StartPeer) -> None:
    async def undecided(call: Call) -> None:
        await call.events(
            {"task": task("WORKING")},
            status("COMPLETED"),
            artifact({"text": "late"}),
            status("FAILED"),
            {"message": {"messageId": "x", "role": "ROLE_AGENT", "parts": [{"text": "?"}]}},
        )

    one = await peer(undecided)
    events = await ask_once(one.url)
    assert isinstance(events[-1], StatusUpdate)
    assert events[-1].state is TaskState.COMPLETED
    assert not any(isinstance(event, ArtifactUpdate) for event in events)


@pytest.mark.parametrize(
    "where",
    [
        "http://127.0.0.1:{port}/card.json",
        "http://169.254.169.254/latest/meta-data",
        "http://[::ffff:169.254.169.254]/",
        "//elsewhere.example/",
    ],
)
async def test_redirects_are_not_followed(peer: StartPeer, where: str) -> None:
    inner = await peer(_nothing)
    location = "location: " + where.format(port=inner.url.rpartition(":")[2])

    async def away(call: Call) -> None:
        await call.respond(b"", JSON, location, code=307)

    as_card, as_answer = await peer(_nothing, away), await peer(away)
    for one in (as_card, as_answer):
        with pytest.raises(AgentMisbehaved, match="redirects, which is not followed"):
            await ask_once(one.url, token="s3cret")
    assert inner.connections == 0


async def test_a_compressed_answer_is_refused_unread(peer: StartPeer) -> None:
    async def bomb(call: Call) -> None:
        await call.respond(gzip.compress(b"\0" * 10_000_000), JSON, "content-encoding: gzip")

    one = await peer(bomb)
    with pytest.raises(AgentMisbehaved, match="gzip-compressed"):
        await ask_once(one.url)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n",
        b"\x16\x03\x01\x00\xa5",
    ],
)
async def test_broken_http_is_contained(peer: StartPeer, head: bytes) -> None:
    async def broken(call: Call) -> None:
        await call.raw(head)
        call.writer.close()

    one = await peer(broken)
    with pytest.raises(AgentUnavailable):
        await ask_once(one.url)


CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"supportedInterfaces": []}, "speaks none"),
    ({"supportedInterfaces": [{"url": "https://elsewhere.example/rpc"}]}, "speaks none|elsewhere"),
    ({"name": "\u202e" * 10, "skills": []}, "no name or no skills"),
    ({"skills": [{"id": "s", "tags": "text"}]}, "not an A2A agent card"),
]


@pytest.mark.parametrize(("changes", "reason"), CHANGES)
async def test_a_card_that_leads_nowhere_is_refused(
    peer: StartPeer, changes: dict[str, Any], reason: str
) -> None:
    one = await peer(_nothing)
    one.card |= changes
    with pytest.raises(AgentError, match=reason):
        await RemoteAgent.connect(one.url)


async def test_a_card_cannot_send_the_token_elsewhere(peer: StartPeer) -> None:
    thief, one = await peer(_nothing), await peer(_nothing)
    one.card["supportedInterfaces"] = [
        {"url": f"{thief.url}/rpc", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
        {"url": "elsewhere.example:443", "protocolBinding": "GRPC", "protocolVersion": "1.0"},
    ]
    with pytest.raises(AgentError, match=r"points elsewhere .*elsewhere\.example"):
        await RemoteAgent.connect(one.url, token="s3cret")
    assert thief.connections == 0


async def test_a_name_that_leads_to_any_private_address_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name's owner may answer each look-up anew, with a private address among public ones."""
    answers = [["8.8.8.8", "::ffff:10.0.0.1"], ["169.254.169.254"], ["8.8.8.8"]]

    async def look_up(host: str, port: int, **kind: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in answers.pop(0)]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
    for private in ("::ffff:10.0.0.1", "169.254.169.254"):
        with pytest.raises(AgentError, match=f"leads to {private}, which is not a public"):
            await resolve("agents.example", 443, allow_private=False)
    assert await resolve("agents.example", 443, allow_private=False) == ("8.8.8.8",)


async def test_the_address_that_was_checked_is_the_one_that_is_called(
    peer: StartPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await peer(_nothing)
    looked_up: list[str] = []
    loop = asyncio.get_running_loop()
    real = loop.getaddrinfo

    async def look_up(host: str, port: int, **kind: Any) -> list[Any]:
        looked_up.append(host)
        if host == "agents.example":
            # Nobody listens at the first; both would be public ones.
            found = ["127.0.0.2", "127.0.0.1"]
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in found]
        return await real(host, port, **kind)

    monkeypatch.setattr(loop, "getaddrinfo", look_up)
    monkeypatch.setattr("infrastructure.net.addresses.is_public", bool)
    url = one.url.replace("127.0.0.1", "agents.example")
    async with guarded_client(url, limits=Limits()) as http:
        response = await http.get(f"{url}/x")
    assert response.status_code == httpx.codes.NOT_FOUND
    assert one.calls[0].headers["host"].startswith("agents.example:")
    assert looked_up.count("agents.example") == 1
