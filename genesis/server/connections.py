"""Connections that are bounded: in number, and in the time that a request's head may take."""

from __future__ import annotations

import asyncio
import resource
from contextlib import suppress
from typing import Final

from uvicorn.protocols.http.h11_impl import H11Protocol

_MOST: Final = 10_000
_WANTED_FILES: Final = 16_384
# For the store, running programs, agents elsewhere and what is listened on.
_OWN_FILES: Final = 256
_HEAD_S: Final = 10.0


class BoundedConnection(H11Protocol):
    """uvicorn's connection, which by itself waits for ever for a request that never comes.

    Whoever connects, or has had an answer, has `head_s` seconds until the head of a request is
    there, however slowly its bytes come; else a few thousand silent connections, which need no
    token, would take all file descriptors of the process. Beyond `most` connections new ones are
    closed at once.
    """

    most: int
    head_s: float
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.abort()
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._answering():
            self._stop_timer()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._answering():  # the next request was there already
            self._stop_timer()
        elif not self.transport.is_closing():
            self._await_head()

    def _answering(self) -> bool:
        cycle = self.cycle
        return cycle is not None and not cycle.response_complete  # pyright: ignore[reportUnnecessaryComparison] - None at first

    def _await_head(self) -> None:
        self._stop_timer()
        self._head_timer = self.loop.call_later(self.head_s, self._too_slow)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _too_slow(self) -> None:
        if not self._answering():
            self.transport.close()


def bounded_connections(most: int, head_s: float = _HEAD_S) -> type[BoundedConnection]:
    """uvicorn's `http`: connections with these bounds.

    Args:
        most: at once.
        head_s: seconds that a request's head may take.
    """
    return type("Bounded", (BoundedConnection,), {"most": most, "head_s": head_s})


def connections_that_fit() -> int:
    """How many connections the process has file descriptors for; raises its own limit to that end.

    Many systems start a process with 1,024, of which it may have more when it asks.
    """
    own, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED_FILES if most == resource.RLIM_INFINITY else min(_WANTED_FILES, most)
    if own != resource.RLIM_INFINITY and own < wanted:
        with suppress(OSError, ValueError):  # what it has must do
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files == resource.RLIM_INFINITY:
        return _MOST
    return max(1, min(_MOST, files - _OWN_FILES))
