"""Where a URL leads: its origin, and whether an address belongs to the public internet."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import TypeAlias

import httpx

from infrastructure.errors import AgentError, AgentUnavailable, InputError

Origin: TypeAlias = tuple[str, str, int]
"""Scheme, host in lower case, port."""

_DEFAULT_PORTS = {"http": 80, "https": 443}

# Not of the public internet either, though `ipaddress` takes them for it: protocol assignments
# (a cloud's metadata among them), relays of old tunnels, one cloud's own services, site-local and
# segment-routing addresses, documentation, and networks' own translation prefixes.
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32",
        "::/32", "64:ff9b:1::/48", "3fff::/20", "5f00::/16", "fec0::/10",
    )
)  # fmt: skip


def origin_of(url: httpx.URL | str) -> Origin:
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


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet, tunnelled private ones seen through."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    inner = None
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in ipaddress.IPv6Network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
    if inner is None and any(ip in network for network in _NOT_PUBLIC):
        return False
    return ip.is_global and not ip.is_multicast and (inner is None or is_public(str(inner)))


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its very name."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def names_private(host: str) -> bool:
    """Whether whoever wrote this host plainly meant a private one: its address, or this machine.

    A name that leads to a private address is another matter: its owner may let it lead anywhere.
    """
    try:
        return not is_public(host)
    except ValueError:
        return is_loopback(host)


async def resolve(host: str, port: int, *, allow_private: bool) -> tuple[str, ...]:
    """The addresses of a host; connect to these, since a second lookup might give others.

    Raises:
        AgentUnavailable: the name cannot be resolved now.
        AgentError: an address is private and that is not allowed.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise AgentUnavailable(f"the host {host!r} cannot be resolved: {error}") from error
    addresses = tuple(dict.fromkeys(str(info[4][0]) for info in found))
    for address in () if allow_private else addresses:
        if not is_public(address):
            raise AgentError(
                f"{host!r} leads to {address}, which is not a public address; where that is "
                "meant, allow private addresses for this agent (allow_private=True)"
            )
    return addresses
