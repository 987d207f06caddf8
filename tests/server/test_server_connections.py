"""Connections that say nothing, or say it slowly: closed in time, and never more than fit."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from genesis.server.connections import bounded_connections, connections_that_fit
from genesis.server.process import Server

GET = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
PATIENCE_S = 10.0


@asynccontextmanager
async def listening(
    go: asyncio.Event, most: int = 100, head_s: float = 0.3
) -> AsyncGenerator[tuple[str, int]]:
    """A server whose one answer waits for `go`."""

    async def answer(request: Request) -> PlainTextResponse:
        await request.body()
        await go.wait()
        return PlainTextResponse("here")

    app = Starlette(routes=[Route("/", answer, methods=["GET", "POST"])])
    config = uvicorn.Config(
        app, log_config=None, lifespan="off", http=bounded_connections(most, head_s)
    )
    is_up = asyncio.Event()
    server = Server(config, is_up.set)
    with socket.create_server(("127.0.0.1", 0)) as bound:
        serving = asyncio.create_task(server.serve([bound]))
        await is_up.wait()
        try:
            yield "127.0.0.1", bound.getsockname()[1]
        finally:
            server.should_exit = True
            await serving


async def closed(reader: asyncio.StreamReader) -> bool:
    """Whether the server closes the connection in time; what it says before is read."""
    async with asyncio.timeout(PATIENCE_S):
        try:
            await reader.read()
        except ConnectionResetError:
            return True
        return reader.at_eof()


async def test_who_sends_no_request_or_half_of_one_is_closed() -> None:
    go = asyncio.Event()
    async with listening(go) as place:
        silent, writer = await asyncio.open_connection(*place)
        half, half_writer = await asyncio.open_connection(*place)
        half_writer.write(GET[:10])
        assert await closed(silent)
        assert await closed(half)
        writer.close()
        half_writer.close()


async def test_bytes_that_trickle_in_buy_no_time() -> None:
    async with listening(asyncio.Event()) as place:
        reader, writer = await asyncio.open_connection(*place)

        async def trickle() -> None:
            while not writer.is_closing():
                writer.write(b"X")
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(trickle())
        assert await closed(reader)
        writer.close()
        await dripping


async def test_an_answer_and_a_body_may_take_longer_than_a_head() -> None:
    go = asyncio.Event()
    async with listening(go, head_s=0.1) as place:
        reader, writer = await asyncio.open_connection(*place)
        writer.write(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\n")
        await asyncio.sleep(0.2)  # longer than the head may take: that is what is tried
        writer.write(b"ab")
        await asyncio.sleep(0.2)
        go.set()
        async with asyncio.timeout(PATIENCE_S):
            assert b"200 OK" in await reader.readuntil(b"here")
        assert await closed(reader), "after its answer it has as long for the next as for the first"
        writer.close()


async def test_a_kept_connection_serves_requests_one_after_another() -> None:
    go = asyncio.Event()
    go.set()
    async with listening(go) as place:
        reader, writer = await asyncio.open_connection(*place)
        for _ in range(3):
            writer.write(GET + GET)
            async with asyncio.timeout(PATIENCE_S):
                await reader.readuntil(b"\r\n\r\nhere")
                await reader.readuntil(b"\r\n\r\nhere")
        writer.close()


async def test_more_connections_than_fit_are_closed_at_once() -> None:
    go = asyncio.Event()
    go.set()
    async with listening(go, most=2, head_s=60) as place:
        held = [await asyncio.open_connection(*place) for _ in range(2)]
        for _, writer in held:
            writer.write(GET)
        for reader, _ in held:
            await reader.readuntil(b"here")
        beyond, extra = await asyncio.open_connection(*place)
        assert await closed(beyond)
        held[0][1].write(GET)
        async with asyncio.timeout(PATIENCE_S):
            await held[0][0].readuntil(b"here")
        for writer in (extra, *(writer for _, writer in held)):
            writer.close()


def test_there_are_files_for_all_connections() -> None:
    fitting = connections_that_fit()
    assert 0 < fitting < resource.getrlimit(resource.RLIMIT_NOFILE)[0]
