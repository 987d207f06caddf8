"""The memory over MCP, really served: `python mcp_serving.py STORE [--mcp-test-mode]`.

Prints its port. Tokens: `token-of-ada` and `token-of-bea` are callers of the tenant `acme`,
`token-of-carl` of another; without a token nobody is let in, but for test mode.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

from genesis.server.mcp import mcp_app
from infrastructure.callers import Caller
from infrastructure.memory.memori.engine import Memori

CALLERS = {
    "token-of-ada": Caller("acme", "ada"),
    "token-of-bea": Caller("acme", "bea"),
    "token-of-carl": Caller("other", "carl"),
}


def by_token(token: str | None) -> Caller | None:
    """Who has this token."""
    return CALLERS.get(token or "")


def anyone(token: str | None) -> Caller | None:
    """A caller whatever the token is, as on an open loopback server."""
    return Caller("default", "local")


@asynccontextmanager
async def served(memori: Memori, *, test_mode: bool = False) -> AsyncGenerator[str]:
    """The server's URL while the context lasts."""
    mounted = mcp_app(memori, anyone if test_mode else by_token, test_mode=test_mode)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        async with mounted.lifespan():
            yield

    app = Starlette(routes=[Route("/mcp", endpoint=mounted.endpoint)], lifespan=lifespan)
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1, ws="none")
    )
    running = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        while not server.started:
            if running.done():
                running.result()
            await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"
    finally:
        server.should_exit = True
        await running
        listening.close()


async def _main(place: str, *, test_mode: bool) -> None:
    memori = Memori.open(place)
    try:
        async with served(memori, test_mode=test_mode) as url:
            print(url, flush=True)  # noqa: T201
            await asyncio.Event().wait()
    finally:
        await memori.aclose()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], test_mode="--mcp-test-mode" in sys.argv))
