"""Sections of numbers and texts in one compressed block that shows any damage."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any, Final, cast

import numpy as np
import orjson
from backports import zstd
from numpy.typing import NDArray

from infrastructure.memory.memori.segments import DamagedIndex

MAX_BYTES: Final = 2**31
"""The most that a block may unpack to."""

_HEADER: Final = struct.Struct("<4sHHI")  # mark, version, number of sections, CRC-32 of the rest
_LEVEL: Final = 1  # on postings a higher one saves 3 % more and takes three times as long


def seal(mark: bytes, version: int, sections: Sequence[bytes]) -> bytes:
    """The sections as one block.

    Args:
        mark: four bytes that say what it holds.
        version: of the sections' meaning.
    """
    sizes = struct.pack(f"<{len(sections)}Q", *map(len, sections))
    rest = sizes + zstd.compress(b"".join(sections), level=_LEVEL)
    return _HEADER.pack(mark, version, len(sections), zlib.crc32(rest)) + rest


def unseal(mark: bytes, version: int, data: bytes) -> list[bytes]:
    """The sections of a block.

    Raises:
        DamagedIndex: it is damaged, or of another mark or version.
    """
    if len(data) < _HEADER.size:
        raise damaged("it is cut short")
    found_mark, found_version, count, checksum = _HEADER.unpack_from(data)
    if (found_mark, found_version) != (mark, version):
        raise damaged("it is of another format")
    rest = memoryview(data)[_HEADER.size :]
    if zlib.crc32(rest) != checksum or len(rest) < 8 * count:
        raise damaged("its checksum is wrong")
    sizes: tuple[int, ...] = struct.unpack_from(f"<{count}Q", rest)
    body = _decompressed(rest[8 * count :], sum(sizes))
    ends = [sum(sizes[: number + 1]) for number in range(count)]
    return [body[end - size : end] for size, end in zip(sizes, ends, strict=True)]


def differences(values: NDArray[np.integer[Any]]) -> bytes:
    """A section of numbers as steps from the one before: small where they ascend."""
    steps = values.copy()
    steps[1:] -= values[:-1]  # wraps round where they fall, and back again when summed
    return steps.tobytes()


def summed(section: bytes, kind: str) -> NDArray[np.integer[Any]]:
    """The numbers of which `differences` made a section.

    Args:
        kind: their NumPy type with its byte order.
    """
    return np.cumsum(numbers(section, kind), dtype=kind)


def numbers(section: bytes, kind: str) -> NDArray[np.integer[Any]]:
    """The numbers of a section.

    Raises:
        DamagedIndex: they end within a number.
    """
    try:
        return np.frombuffer(section, dtype=kind)
    except ValueError as error:
        raise damaged("a part is cut short") from error


def texts(section: bytes) -> tuple[str, ...]:
    """The texts of a section that is a JSON list.

    Raises:
        DamagedIndex: it is something else.
    """
    try:
        values: object = orjson.loads(section)
    except orjson.JSONDecodeError as error:
        raise damaged("its texts cannot be read") from error
    if not isinstance(values, list):
        raise damaged("its texts are no list")
    found = cast("list[object]", values)
    if not all(type(text) is str for text in found):
        raise damaged("one of its texts is none")
    return tuple(cast("list[str]", found))


def damaged(problem: str) -> DamagedIndex:
    """The error of a part of an index that cannot be used."""
    return DamagedIndex(
        f"a segment of the search index is damaged: {problem}; the index will be built anew from "
        "the stored items, none of which is affected"
    )


def _decompressed(packed: memoryview, size: int) -> bytes:
    if size > MAX_BYTES:
        raise damaged("it claims to be larger than a segment can be")
    unpacker = zstd.ZstdDecompressor()
    try:
        # One byte of room more shows a body that is longer than it claims.
        body = unpacker.decompress(packed, size + 1)
    except zstd.ZstdError as error:
        raise damaged(str(error)) from error
    if len(body) != size or not unpacker.eof or unpacker.unused_data:
        raise damaged("its size is wrong")
    return body
