"""A run's journal as server-sent events, with ids to go on from and a sign of life in silence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Final

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from genesis.errors import GenesisError
from genesis.follow import JournalEntry
from infrastructure.jsonvalue import JsonObject

EVENT_STREAM: Final = "text/event-stream"
HEARTBEAT: Final = b": still there\n\n"


def frame(name: str, data: JsonObject, number: int | None = None) -> bytes:
    """One event of a stream."""
    head = b"" if number is None else f"id: {number}\n".encode()
    return head + f"event: {name}\n".encode() + b"data: " + json.dumps(data).encode() + b"\n\n"


async def event_frames(
    entries: AsyncGenerator[JournalEntry],
    state: Callable[[], Awaitable[str]],
    stopping: asyncio.Event,
    heartbeat_s: float,
) -> AsyncGenerator[bytes]:
    """The entries as they come, then how the run stands.

    The last event has no id, so that who asks again goes on after the last entry.

    Args:
        entries: closed in the end.
        state: how the run stands when there are no more.
        stopping: ends the stream between two events.
        heartbeat_s: seconds of silence after which a comment is sent.
    """
    stop = asyncio.ensure_future(stopping.wait())
    following = asyncio.ensure_future(anext(entries, None))
    try:
        while True:
            await asyncio.wait(
                {following, stop}, timeout=heartbeat_s, return_when=asyncio.FIRST_COMPLETED
            )
            if following.done():
                entry = following.result()
                if entry is None:
                    yield frame("end", {"state": await state()})
                    return
                yield frame(str(entry.event.get("type", "message")), entry.event, entry.seq)
                following = asyncio.ensure_future(anext(entries, None))
            elif stop.done():
                yield frame("stopping", {"retry": "the server restarts; connect again"})
                return
            else:
                yield HEARTBEAT
    except GenesisError as error:
        yield frame("error", {"code": type(error).__name__, "detail": str(error)})
    finally:
        stop.cancel()
        following.cancel()
        await asyncio.gather(stop, following, return_exceptions=True)
        await entries.aclose()


async def with_first(
    first: JournalEntry, rest: AsyncGenerator[JournalEntry]
) -> AsyncGenerator[JournalEntry]:
    """Entries of which the first was taken already."""
    try:
        yield first
        async for entry in rest:
            yield entry
    finally:
        await rest.aclose()


class EventResponse(StreamingResponse):
    """A stream that is closed, and says so, however the connection ends."""

    def __init__(self, frames: AsyncGenerator[bytes], closed: Callable[[], None]) -> None:
        self._frames = frames
        self._closed = closed
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        body: AsyncIterator[bytes] = frames
        super().__init__(body, media_type=EVENT_STREAM, headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._closed()
            with suppress(RuntimeError):  # it is being closed by the task that was cancelled
                await self._frames.aclose()
