"""MCP's HTTP through our guarded client: the address policy, the one origin, the size limits."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import httpx2

from infrastructure.errors import AgentUnavailable, GenesisError
from infrastructure.net.http import Limits, guarded_client

_MAX_RESPONSE = 16 * 1024 * 1024


class GuardedTransport(httpx2.AsyncBaseTransport):
    """A transport for the MCP SDK's HTTP client that sends through `guarded_client`.

    The SDK reports a failed request as a closed connection; `refusal` keeps the cause.

    Args:
        url: any URL of the one origin.
        allow_private: whether it may be loopback or in a private network.
        timeout_s: seconds without a byte before a response counts as lost.
    """

    def __init__(self, url: str, *, allow_private: bool, timeout_s: float) -> None:
        self._client = guarded_client(
            url,
            allow_private=allow_private,
            timeout_s=timeout_s,
            limits=Limits(response_bytes=_MAX_RESPONSE),
        )
        self.refusal: GenesisError | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request; its answer is streamed."""
        headers = [pair for pair in request.headers.raw if pair[0].lower() != b"accept-encoding"]
        sent = self._client.build_request(
            request.method,
            str(request.url),
            headers=[*headers, (b"accept-encoding", b"identity")],
            content=await request.aread(),
        )
        try:
            answer = await self._client.send(sent, stream=True)
        except httpx.HTTPError as error:
            where = request.url.host
            self.refusal = AgentUnavailable(f"the MCP server at {where} cannot be reached: {error}")
            raise httpx2.ConnectError(str(error), request=request) from error
        except GenesisError as error:
            self.refusal = error
            raise httpx2.ConnectError(str(error), request=request) from error
        return httpx2.Response(
            answer.status_code, headers=answer.headers.raw, stream=_Relayed(self, answer)
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()


class _Relayed(httpx2.AsyncByteStream):
    def __init__(self, transport: GuardedTransport, answer: httpx.Response) -> None:
        self._transport = transport
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._answer.aiter_raw():
                yield chunk
        except httpx.HTTPError as error:
            raise httpx2.ReadError(str(error)) from error
        except GenesisError as error:
            self._transport.refusal = error
            raise httpx2.ReadError(str(error)) from error

    async def aclose(self) -> None:
        await self._answer.aclose()
