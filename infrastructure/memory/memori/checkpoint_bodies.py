"""How the bytes of checkpoints are packed: compressed, or as what differs from an earlier value.

A list that grows by one message a step is a new value each step, of which nearly all was stored
before. Compressed with the value before it as a prefix, it takes about the bytes of what is new. To
read it the values that it builds on are read too, so that a chain of them is bounded.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from backports import zstd

from infrastructure.errors import StoreError

RAW: Final = 0
COMPRESSED: Final = 1
DIFFERENCE: Final = 2

_COMPRESSION: Final[dict[int, int]] = {
    zstd.CompressionParameter.compression_level: 3,
    zstd.CompressionParameter.checksum_flag: 1,  # damage and a wrong base are noticed
}
_MIN_BYTES: Final = 150
# From here on the difference from an earlier value is looked for.
_MIN_DIFFERENCE_BYTES: Final = 600
# What is decompressed to read one value: its length times the values that it builds on.
_MAX_CHAIN: Final = 32
_MAX_CHAIN_BYTES: Final = 64 * 1024 * 1024
_REMEMBERED_BYTES: Final = 32 * 1024 * 1024
_LONG_BYTES: Final = 1024 * 1024
_MAX_WINDOW_LOG: Final = 27

Key: TypeAlias = tuple[str, ...]
"""Tenant, thread, namespace and channel."""


@dataclass(frozen=True, slots=True)
class Typed:
    """A serialised value: what its serialiser calls its type, and its bytes."""

    type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Body:
    """A value as it is stored.

    Fields:
        form: RAW, COMPRESSED or DIFFERENCE.
        base: the version from which it is the difference; empty for none.
        chain: values that must be read to read this one.
    """

    type: str
    form: int
    data: bytes
    base: str = ""
    chain: int = 0


@dataclass(frozen=True, slots=True)
class Earlier:
    """A stored value that others may build on."""

    version: str
    data: bytes
    chain: int


class EarlierValues:
    """The last stored value of each channel, as far as they fit; usable from any thread."""

    def __init__(self, max_bytes: int = _REMEMBERED_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._lock = threading.Lock()
        self._values: OrderedDict[Key, Earlier] = OrderedDict()

    def get(self, key: Key) -> Earlier | None:
        """What was last remembered of a channel."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def remember(self, key: Key, value: Earlier) -> None:
        """Keep a value that is stored; the least recently used ones give way."""
        with self._lock:
            self._drop(key)
            if len(value.data) > self._max_bytes or len(value.data) < _MIN_DIFFERENCE_BYTES // 2:
                return
            self._values[key] = value
            self._bytes += len(value.data)
            while self._bytes > self._max_bytes:
                self._drop(next(iter(self._values)))

    def _drop(self, key: Key) -> None:
        dropped = self._values.pop(key, None)
        if dropped is not None:
            self._bytes -= len(dropped.data)


def pack(value: Typed, earlier: Earlier | None = None) -> Body:
    """The value in the form that takes the fewest bytes for little work."""
    size = len(value.data)
    if size < _MIN_BYTES or "+" in value.type:  # encrypted: nothing in it repeats
        return Body(value.type, RAW, value.data)
    if earlier is not None and _worthwhile(size, earlier):
        difference = _difference(value.data, earlier.data)
        if len(difference) <= size // 4:
            return Body(value.type, DIFFERENCE, difference, earlier.version, earlier.chain + 1)
    compressed = zstd.compress(value.data, options=_COMPRESSION)
    if len(compressed) >= size:
        return Body(value.type, RAW, value.data)
    return Body(value.type, COMPRESSED, compressed)


def unpack(form: int, data: bytes, base: bytes = b"") -> bytes:
    """The bytes that `pack` was given.

    Raises:
        StoreError: they were damaged since.
    """
    try:
        if form == DIFFERENCE:
            return zstd.decompress(data, zstd_dict=_prefix(base))
        return zstd.decompress(data) if form == COMPRESSED else data
    except zstd.ZstdError as error:
        raise StoreError(
            f"a stored checkpoint is damaged ({error}); restore a backup, or go on from an "
            "earlier checkpoint of the thread"
        ) from error


def unpack_chain(rows: Mapping[str, Body], version: str) -> bytes:
    """The bytes of one version of a channel.

    Args:
        rows: by version, all that it builds on among them.

    Raises:
        StoreError: one of them is missing or damaged.
    """
    chain = [version]
    while base := rows[chain[-1]].base:
        if base not in rows or base in chain:
            raise StoreError(
                "a stored checkpoint is damaged: a value that it builds on is missing; restore a "
                "backup, or go on from an earlier checkpoint of the thread"
            )
        chain.append(base)
    data = b""
    for each in reversed(chain):
        data = unpack(rows[each].form, rows[each].data, data)
    return data


def _worthwhile(size: int, earlier: Earlier) -> bool:
    longest = min(_MAX_CHAIN, max(2, _MAX_CHAIN_BYTES // size))
    return size >= _MIN_DIFFERENCE_BYTES and earlier.chain + 1 < longest


def _difference(data: bytes, base: bytes) -> bytes:
    both = len(data) + len(base)
    window_log = min(_MAX_WINDOW_LOG, max(10, both.bit_length()))
    options = {**_COMPRESSION, zstd.CompressionParameter.window_log: window_log}
    if both > _LONG_BYTES:
        options[zstd.CompressionParameter.enable_long_distance_matching] = 1
    return zstd.compress(data, options=options, zstd_dict=_prefix(base))


def _prefix(base: bytes) -> tuple[zstd.ZstdDict, int]:
    return zstd.ZstdDict(base, is_raw=True).as_prefix
