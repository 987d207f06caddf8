"""Whether bytes are a whole PNG picture (ISO/IEC 15948): chunks, checksums and pixel data."""

from __future__ import annotations

import struct
import zlib

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
MAX_PIXELS = 50_000_000


def png_fault(data: bytes, min_side: int) -> str:
    """What is wrong with a picture; empty if it decodes and has sides of at least `min_side`."""
    if not data.startswith(_SIGNATURE):
        return "no PNG"
    header, packed, place = b"", bytearray(), len(_SIGNATURE)
    while place + 12 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, place)
        body = data[place + 8 : place + 8 + size]
        if len(body) < size or place + 12 + size > len(data):
            return "cut off"
        (checksum,) = struct.unpack_from(">I", data, place + 8 + size)
        if checksum != zlib.crc32(kind + body):
            return f"damaged in its {kind.decode('latin-1')} chunk"
        place += 12 + size
        if kind == b"IHDR":
            header = body
        elif kind == b"IDAT":
            packed += body
        elif kind == b"IEND":
            return _pixels_fault(header, bytes(packed), min_side)
    return "cut off"


def _pixels_fault(header: bytes, packed: bytes, min_side: int) -> str:
    if len(header) != 13:
        return "without a header"
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    if min(width, height) < min_side or width * height > MAX_PIXELS or colour not in _CHANNELS:
        return f"of a useless size: {width} x {height}"
    needed = height * (1 + (width * depth * _CHANNELS[colour] + 7) // 8)
    try:
        pixels = zlib.decompressobj().decompress(packed, needed + 1)
    except zlib.error:
        return "damaged in its pixels"
    if len(pixels) < needed and not interlaced:
        return "cut off in its pixels"
    return ""
