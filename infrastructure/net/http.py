"""The outgoing HTTP client: one origin, public addresses unless allowed, no redirects, bounded."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator

import httpx

from infrastructure.errors import AgentError, AgentUnavailable, InputError

_DEFAULT_PORTS = {"http": 80, "https": 443}
_CONNECT_S = 10.0


def origin_of(url: httpx.URL | str) -> tuple[str, str, int]:
    """Scheme, host and port of a URL.

    Raises:
        InputError: it is not an absolute http or https URL, or holds credentials.
    """
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError) as error:
        raise InputError(f"{str(url)[:200]!r} is not a URL: {error}") from error
    if parsed.scheme not in _DEFAULT_PORTS or not parsed.host:
        raise InputError(f"{str(url)[:200]!r} is not a URL of the form http(s)://host[:port]/...")
    if parsed.userinfo:
        raise InputError(f"the URL of {parsed.host} holds credentials; pass them as token= instead")
    return parsed.scheme, parsed.host.lower(), parsed.port or _DEFAULT_PORTS[parsed.scheme]


def guarded_client(
    url: str,
    *,
    headers: dict[str, str] | None = None,
    allow_private: bool = False,
    timeout_s: float = 30.0,
    max_response_bytes: int = 64 * 1024 * 1024,
) -> httpx.AsyncClient:
    """A client that talks to the origin of `url` and to nobody else.

    Args:
        url: any URL of that origin.
        headers: sent with every request.
        allow_private: whether the origin may be loopback or in a private network.
        timeout_s: seconds without a byte before a response counts as lost.
        max_response_bytes: a response, streamed or not, is cut off beyond this.

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
        transport=_Guard(origin_of(url), allow_private, max_response_bytes),
    )


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet, tunnelled private ones seen through."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    inner = None
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in ipaddress.IPv6Network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
    return ip.is_global and not ip.is_multicast and (inner is None or is_public(str(inner)))


class _Guard(httpx.AsyncBaseTransport):
    def __init__(
        self, origin: tuple[str, str, int], allow_private: bool, max_response_bytes: int
    ) -> None:
        self._origin = origin
        self._allow_private = allow_private
        self._max = max_response_bytes
        self._inner = httpx.AsyncHTTPTransport(trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if origin_of(request.url) != self._origin:
            raise AgentError(f"a request to {request.url} was refused: it leaves its origin")
        if not self._allow_private:
            await self._pin_address(request)
        response = await self._inner.handle_async_request(request)
        length = response.headers.get("content-length", "")
        encoding = response.headers.get("content-encoding", "identity")
        if encoding != "identity" or (length.isdigit() and int(length) > self._max):
            await response.aclose()
            what = f"has {length} bytes" if encoding == "identity" else f"is {encoding}-compressed"
            raise AgentError(f"the answer of {request.url.host} was refused: it {what}")
        assert isinstance(response.stream, httpx.AsyncByteStream)
        return httpx.Response(
            response.status_code,
            headers=response.headers,
            stream=_Capped(response.stream, self._max),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _pin_address(self, request: httpx.Request) -> None:
        """Connect to the very address that was checked: a second lookup might give another."""
        _, host, port = self._origin
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                host, port, type=socket.SOCK_STREAM
            )
        except OSError as error:
            raise AgentUnavailable(f"the host {host!r} cannot be resolved: {error}") from error
        addresses = [str(info[4][0]) for info in found]
        for address in addresses:
            if not is_public(address):
                raise AgentError(
                    f"{host!r} leads to {address}, which is not a public address; register the "
                    "agent yourself, or allow private addresses for it"
                )
        request.extensions["sni_hostname"] = host
        request.url = request.url.copy_with(host=addresses[0])


class _Capped(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, limit: int) -> None:
        self._stream = stream
        self._limit = limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = 0
        async for chunk in self._stream:
            read += len(chunk)
            if read > self._limit:
                raise AgentError(f"the answer was cut off: it is larger than {self._limit} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
