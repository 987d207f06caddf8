"""The outgoing HTTP client: one origin, public addresses unless allowed, no redirects, bounded."""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import cast

import httpx

from infrastructure.errors import AgentError, AgentMisbehaved
from infrastructure.net.addresses import Origin, is_public, origin_of, resolve

__all__ = ["Limits", "guarded_client", "is_public", "origin_of"]

_CONNECT_S = 10.0
_MARKS = (b"[", b"{", b",")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a stranger may answer.

    Attributes:
        response_bytes: a response, streamed or not, is cut off beyond this.
        json_values: values that a response may hold if it is JSON, about: a few bytes of it
            take hundreds once they are read. None for files.
    """

    response_bytes: int = 64 * 1024 * 1024
    json_values: int | None = 2_000_000


def guarded_client(
    url: str,
    *,
    headers: dict[str, str] | None = None,
    allow_private: bool = False,
    timeout_s: float = 30.0,
    limits: Limits | None = None,
) -> httpx.AsyncClient:
    """A client that talks to the origin of `url` and to nobody else.

    Args:
        url: any URL of that origin.
        headers: sent with every request.
        allow_private: whether the origin may be loopback or in a private network.
        timeout_s: seconds without a byte before a response counts as lost, and seconds in all
            for its headers.
        limits: how much it may answer.

    Raises:
        InputError: the URL is not an absolute http or https URL.
    """
    timeout = httpx.Timeout(timeout_s, connect=min(_CONNECT_S, timeout_s))
    return httpx.AsyncClient(
        # Compressed answers could unfold beyond every bound.
        headers={**(headers or {}), "Accept-Encoding": "identity"},
        timeout=timeout,
        follow_redirects=False,
        # A proxy would resolve the name again, out of reach of the address policy.
        trust_env=False,
        transport=_Guard(origin_of(url), allow_private, limits or Limits()),
    )


@functools.cache
def _tls() -> ssl.SSLContext:
    """Made once: reading the authorities' certificates takes tens of milliseconds."""
    return httpx.create_ssl_context(trust_env=False)


class _Guard(httpx.AsyncBaseTransport):
    def __init__(self, origin: Origin, allow_private: bool, limits: Limits) -> None:
        self._origin = origin
        self._allow_private = allow_private
        self._limits = limits
        self._inner = httpx.AsyncHTTPTransport(verify=_tls(), trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if origin_of(request.url) != self._origin:
            raise AgentError(f"a request to {request.url} was refused: it leaves its origin")
        response = await self._connected(request)
        length = response.headers.get("content-length", "")
        encoding = response.headers.get("content-encoding", "identity")
        too_long = length.isdigit() and int(length) > self._limits.response_bytes
        if encoding != "identity" or too_long:
            await response.aclose()
            what = f"has {length} bytes" if encoding == "identity" else f"is {encoding}-compressed"
            raise AgentMisbehaved(f"the answer of {self._origin[1]} was refused: it {what}")
        assert isinstance(response.stream, httpx.AsyncByteStream)
        return httpx.Response(
            response.status_code,
            headers=response.headers,
            stream=_Capped(response.stream, self._limits),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _headers(self, request: httpx.Request) -> httpx.Response:
        """The response up to its body; headers that come byte by byte are not waited for."""
        allowed = cast("dict[str, float | None]", request.extensions.get("timeout", {}))
        seconds = [s for s in allowed.values() if s is not None]
        try:
            async with asyncio.timeout(sum(seconds) if seconds else None):
                return await self._inner.handle_async_request(request)
        except TimeoutError as error:
            raise httpx.ReadTimeout("the headers did not come in time", request=request) from error

    async def _connected(self, request: httpx.Request) -> httpx.Response:
        """Connect to the very addresses that were checked: a second lookup might give others."""
        if self._allow_private:
            return await self._headers(request)
        _, host, port = self._origin
        addresses = await resolve(host, port, allow_private=False)
        request.extensions["sni_hostname"] = host
        for address in addresses[:-1]:
            request.url = request.url.copy_with(host=address)
            try:
                return await self._headers(request)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        request.url = request.url.copy_with(host=addresses[-1])
        return await self._headers(request)


class _Capped(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, limits: Limits) -> None:
        self._stream = stream
        self._limits = limits

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = values = 0
        most = self._limits.json_values
        async for chunk in self._stream:
            read += len(chunk)
            if read > self._limits.response_bytes:
                limit = self._limits.response_bytes
                raise AgentMisbehaved(f"the answer was cut off: it is larger than {limit} bytes")
            if most is not None:
                values += sum(chunk.count(mark) for mark in _MARKS)
                if values > most:
                    raise AgentMisbehaved(
                        f"the answer was cut off: it holds more than {most} JSON values; "
                        "large data is sent as a file"
                    )
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
