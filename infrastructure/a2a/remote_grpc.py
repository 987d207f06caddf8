"""gRPC to one checked address: TLS unless it is this machine, no proxy, no name looked up twice."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any

import httpx

from infrastructure.errors import InputError
from infrastructure.net.addresses import is_loopback, resolve

_PLAIN = frozenset({"http", "grpc"})
_SECURE = frozenset({"https", "grpcs"})
# gRPC has no cap on a stream, so one message may hold what a whole answer may hold of files.
_MAX_MESSAGE_BYTES = 24 * 1024 * 1024
_MAX_HEADER_BYTES = 64 * 1024


def grpc_is_installed() -> bool:
    """Whether the gRPC binding can be used (extra `a2a`)."""
    return importlib.util.find_spec("grpc") is not None


@dataclass(frozen=True, slots=True)
class GrpcPlace:
    """Where a gRPC server is.

    Attributes:
        host: as its card names it.
        port: 1 to 65535.
        secure: whether TLS is used.
        addresses: what the host led to when it was checked.
        allow_private: whether they may be private ones.
    """

    host: str
    port: int
    secure: bool
    addresses: tuple[str, ...] = ()
    allow_private: bool = False

    @classmethod
    def parse(cls, url: str) -> GrpcPlace:
        """The place that a card names: "host:port", or a URL (http, https, grpc, grpcs).

        Raises:
            InputError: it is neither, or plain text is asked for to another machine.
        """
        scheme, separator, rest = url.partition("://")
        if not separator:
            scheme, rest = "", url
        try:
            parsed = httpx.URL(f"https://{rest}")
            host, port, told = parsed.host.lower(), parsed.port or 443, parsed.userinfo
        except (httpx.InvalidURL, TypeError, ValueError) as error:
            raise InputError(f"{url[:200]!r} is no address of a gRPC server: {error}") from error
        if not host or told or scheme not in _PLAIN | _SECURE | {""}:
            raise InputError(f"{url[:200]!r} is no address of a gRPC server: use host:port")
        if scheme in _PLAIN and not is_loopback(host):
            raise InputError(f"the gRPC server {host!r} must be reached by TLS (grpcs://)")
        return cls(host, port, secure=scheme in _SECURE or not is_loopback(host))

    @classmethod
    async def find(cls, url: str, *, allow_private: bool) -> GrpcPlace:
        """The place with its addresses, which are checked.

        Raises:
            AgentUnavailable: the host cannot be resolved now.
            AgentError: an address is private and that is not allowed.
        """
        place = cls.parse(url)
        found = await resolve(place.host, place.port, allow_private=allow_private)
        return cls(place.host, place.port, place.secure, found, allow_private)

    async def has_moved(self) -> bool:
        """Whether the host leads to none of the addresses any more.

        Raises:
            AgentUnavailable: it cannot be resolved now.
            AgentError: an address is private and that is not allowed.
        """
        found = await resolve(self.host, self.port, allow_private=self.allow_private)
        return not set(found) & set(self.addresses)

    @property
    def target(self) -> str:
        """gRPC's name for the addresses; there is no name left for it to look up."""
        old = [a for a in self.addresses if ":" not in a]
        if old:  # it takes one kind only, and who has both answers at this one
            return "ipv4:" + ",".join(f"{a}:{self.port}" for a in old)
        return "ipv6:" + ",".join(f"[{a}]:{self.port}" for a in self.addresses)


def open_channel(place: GrpcPlace, max_bytes: int) -> Any:
    """A channel to the checked addresses of a place.

    Args:
        place: from `GrpcPlace.find`.
        max_bytes: no message may be larger, nor larger than 24 MiB.
    """
    import grpc  # only where it is used: it is an extra

    most = min(max_bytes, _MAX_MESSAGE_BYTES)
    options = [
        ("grpc.max_receive_message_length", most),
        ("grpc.max_send_message_length", 2 * _MAX_MESSAGE_BYTES),
        ("grpc.max_metadata_size", _MAX_HEADER_BYTES),
        ("grpc.default_authority", f"{place.host}:{place.port}"),
        # A compressed message is unfolded before its size is checked: 1 is "identity" alone.
        ("grpc.compression_enabled_algorithms_bitset", 1),
        # A proxy or a service config would lead where nothing was checked.
        ("grpc.enable_http_proxy", 0),
        ("grpc.service_config_disable_resolution", 1),
        # Our own retries know what may be repeated.
        ("grpc.enable_retries", 0),
        # Servers shut out who pings more often than every five minutes; a stream that is silent
        # for long is noticed above.
        ("grpc.keepalive_time_ms", 300_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 1_000),
        ("grpc.max_reconnect_backoff_ms", 10_000),
    ]
    if not place.secure:
        return grpc.aio.insecure_channel(place.target, options=options)
    # The certificate must be the host's, although the connection goes to an address.
    options.append(("grpc.ssl_target_name_override", place.host))
    return grpc.aio.secure_channel(place.target, grpc.ssl_channel_credentials(), options=options)
