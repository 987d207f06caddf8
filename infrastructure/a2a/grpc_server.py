"""A2A over gRPC: the same request handler, with who calls found out before anything is read."""

from __future__ import annotations

import contextvars
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

import grpc
import grpc.aio
from a2a.server.context import ServerCallContext
from a2a.server.request_handlers import GrpcHandler, GrpcServerCallContextBuilder, RequestHandler
from a2a.types import a2a_pb2_grpc
from a2a.utils.errors import VersionNotSupportedError

from infrastructure.a2a.serving_callers import CallerUser, bearer_token, identify, wire_context
from infrastructure.a2a.serving_rate import Rates
from infrastructure.callers import Authenticate
from infrastructure.errors import ConfigError, GenesisError

log = logging.getLogger("genesis.a2a")

_Context: TypeAlias = Any  # grpc.aio.ServicerContext; grpcio has no types
_Unary: TypeAlias = Callable[[Any, _Context], Awaitable[Any]]
_Stream: TypeAlias = Callable[[Any, _Context], AsyncIterator[Any]]

_MAX_CALLS: Final = 1_000
_CALLER: contextvars.ContextVar[CallerUser] = contextvars.ContextVar("a2a_grpc_caller")


class GrpcServer:
    """A gRPC server for one request handler; `start` it inside the event loop that it lives on.

    Args:
        handler: the SDK's, shared with the other bindings.
        address: host and port ("127.0.0.1:50051"); port 0 takes a free one.
        authenticate, rates, max_body_bytes: as of `serving_http.Gate`.
        credentials: for TLS; None serves plain text, which belongs on loopback or behind a proxy.
    """

    def __init__(
        self,
        handler: RequestHandler,
        address: str,
        *,
        authenticate: Authenticate | None,
        rates: Rates,
        max_body_bytes: int,
        credentials: Any = None,
    ) -> None:
        self._handler = handler
        self._address = address
        self._guard = _Guard(authenticate, rates)
        self._max = max_body_bytes
        self._credentials = credentials
        self._server: Any = None

    async def start(self) -> int:
        """Listen; returns the port.

        Raises:
            ConfigError: the address cannot be listened on.
        """
        server: Any = grpc.aio.server(
            interceptors=[self._guard],
            maximum_concurrent_rpcs=_MAX_CALLS,
            options=[
                ("grpc.max_receive_message_length", self._max),
                ("grpc.max_send_message_length", -1),
                # Two servers on one port would share its calls, and neither would say so.
                ("grpc.so_reuseport", 0),
            ],
        )
        generated: Any = a2a_pb2_grpc
        servicer = GrpcHandler(self._handler, _Contexts())
        generated.add_A2AServiceServicer_to_server(servicer, server)
        try:
            if self._credentials is None:
                port = server.add_insecure_port(self._address)
            else:
                port = server.add_secure_port(self._address, self._credentials)
        except RuntimeError as error:
            raise ConfigError("gRPC", "address", f"cannot listen on {self._address}") from error
        await server.start()
        self._server = server
        return int(port)

    async def stop(self, grace_s: float = 5.0) -> None:
        """Take no more calls, and end those that go on after a while."""
        if self._server is not None:
            await self._server.stop(grace_s)
            self._server = None


class _Contexts(GrpcServerCallContextBuilder):
    def build(self, context: _Context) -> ServerCallContext:
        headers = _headers(context)
        version = headers.get("a2a-version", "")
        if version and version.partition(".")[0] != "1":
            raise VersionNotSupportedError(
                message=f"A2A version {version!r:.20} is not supported here; 1.0 is"
            )
        return wire_context(_CALLER.get(), headers)


class _Guard(grpc.aio.ServerInterceptor):
    """Lets in whom the token names, as often as anybody may ask; hides what goes wrong inside."""

    def __init__(self, authenticate: Authenticate | None, rates: Rates) -> None:
        self._authenticate = authenticate
        self._rates = rates

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._stream(handler.unary_stream),
                handler.request_deserializer,
                handler.response_serializer,
            )
        return grpc.unary_unary_rpc_method_handler(
            self._unary(handler.unary_unary),
            handler.request_deserializer,
            handler.response_serializer,
        )

    def _unary(self, call: _Unary) -> _Unary:
        async def guarded(request: Any, context: _Context) -> Any:
            await self._admit(context)
            try:
                return await call(request, context)
            except grpc.aio.AbortError:
                raise
            except Exception as error:  # noqa: BLE001 - gRPC would show any error's own text
                await _abort(context, error)

        return guarded

    def _stream(self, call: _Stream) -> _Stream:
        async def guarded(request: Any, context: _Context) -> AsyncIterator[Any]:
            await self._admit(context)
            try:
                async for item in call(request, context):
                    yield item
            except grpc.aio.AbortError:
                raise
            except Exception as error:  # noqa: BLE001 - gRPC would show any error's own text
                await _abort(context, error)

        return guarded

    async def _admit(self, context: _Context) -> None:
        peer = f"address {_host(context.peer())}"
        if self._rates.exhausted(peer):
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED, "too many requests without a valid token"
            )
        user = identify(self._authenticate, bearer_token(_headers(context)))
        if user is None:
            self._rates.take(peer)
            await context.abort(
                grpc.StatusCode.UNAUTHENTICATED, "this agent needs its bearer token"
            )
            return
        who = user.user_name if user.is_authenticated else f"{user.user_name} {peer}"
        if not self._rates.take(who):
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many requests; try later")
        _CALLER.set(user)


def _headers(context: _Context) -> Mapping[str, str]:
    metadata = context.invocation_metadata() or ()
    return {key.lower(): value for key, value in metadata if isinstance(value, str)}


def _host(peer: str) -> str:
    """The address in what gRPC says of a peer: "ipv4:127.0.0.1:4711"."""
    return peer.rpartition(":")[0]


async def _abort(context: _Context, error: Exception) -> None:
    if isinstance(error, GenesisError):
        await context.abort(grpc.StatusCode.INTERNAL, str(error))
    log.error("a gRPC call failed", exc_info=error)
    await context.abort(grpc.StatusCode.INTERNAL, "internal error")
