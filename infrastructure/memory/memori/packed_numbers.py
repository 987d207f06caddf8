"""Columns of numbers in as few bits as their range needs, without loss.

A column of whole numbers is its smallest one, the span to its largest, and all of them as digits of
one number in base span + 1. Decimal fractions are whole numbers of their last digit; other floats
are the whole numbers that their 64 bits spell.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Final

PLAIN: Final = 0
"""Numbers as they are; any other mode holds each one's distance from the one before."""
STEPS: Final = 1

_MAX_DECIMALS: Final = 17
# Dividing a number of n digits n times takes n squared steps, so that long columns are cut.
_BLOCK: Final = 64


class NumberWriter:
    """Collects numbers into bytes that do not get smaller by compressing them."""

    def __init__(self) -> None:
        self.body = bytearray()

    def whole(self, value: int) -> None:
        """One whole number, small ones in one byte."""
        left = value * 2 if value >= 0 else -2 * value - 1
        while left > 0x7F:
            self.body.append(left & 0x7F | 0x80)
            left >>= 7
        self.body.append(left)

    def digits(self, values: Sequence[int], base: int) -> None:
        """Whole numbers from 0 to below a base that the reader knows."""
        for start in range(0, len(values), _BLOCK):
            block = values[start : start + _BLOCK]
            packed = 0
            for value in reversed(block):
                packed = packed * base + value
            self.body += packed.to_bytes(_block_bytes(len(block), base), "little")

    def column(self, values: Sequence[int]) -> None:
        """Whole numbers of any size; at least one."""
        span = max(values) - min(values)
        steps = [later - earlier for earlier, later in pairwise(values)] if span else []
        if steps and max(steps) - min(steps) < span:
            self.whole(STEPS)
            self.whole(values[0])
            self._plain(steps)
        else:
            self.whole(PLAIN)
            self._plain(values)

    def _plain(self, values: Sequence[int]) -> None:
        low = min(values)
        span = max(values) - low
        self.whole(low)
        self.whole(span)
        if span:
            self.digits([value - low for value in values], span + 1)


class NumberReader:
    """Reads, in the same order, what a NumberWriter wrote."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.position = 0

    def whole(self) -> int:
        value, shift = 0, 0
        while True:
            byte = self._body[self.position]
            self.position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return -(value + 1) // 2 if value & 1 else value // 2
            shift += 7

    def digits(self, count: int, base: int) -> list[int]:
        values: list[int] = []
        for start in range(0, count, _BLOCK):
            values += self._block(min(_BLOCK, count - start), base)
        return values

    def column(self, count: int) -> list[int]:
        if self.whole() == PLAIN:
            return self._plain(count)
        first = self.whole()
        return list(accumulate(self._plain(count - 1), initial=first))

    def _block(self, count: int, base: int) -> list[int]:
        size = _block_bytes(count, base)
        packed = int.from_bytes(self._body[self.position : self.position + size], "little")
        self.position += size
        values = [0] * count
        for index in range(count):
            packed, values[index] = divmod(packed, base)
        return values

    def _plain(self, count: int) -> list[int]:
        low, span = self.whole(), self.whole()
        if not span:
            return [low] * count
        return [low + digit for digit in self.digits(count, span + 1)]


def as_decimals(values: Sequence[float]) -> tuple[int, list[int]] | None:
    """Digits after the point and the values in units of the last one; None if that is not exact."""
    texts = list(map(repr, values))
    together = " ".join(texts)
    if "e" in together or "n" in together or "-0.0" in texts:
        return None
    places = max([len(text) - text.index(".") for text in texts]) - 1
    if places > _MAX_DECIMALS:
        return None
    scale = 10**places
    units = [round(value * scale) for value in values]
    # A product of many digits may be rounded to units that tell of the value's neighbour.
    return (places, units) if from_decimals(places, units) == list(values) else None


def from_decimals(places: int, units: Sequence[int]) -> list[float]:
    """The floats that `as_decimals` took apart: dividing whole numbers rounds correctly."""
    scale = 10**places
    return [unit / scale for unit in units]


def as_patterns(values: Sequence[float]) -> list[int]:
    """The 64 bits of each float as a whole number."""
    count = len(values)
    return list(struct.unpack(f"<{count}q", struct.pack(f"<{count}d", *values)))


def from_patterns(patterns: Sequence[int]) -> list[float]:
    """The floats that `as_patterns` spelt."""
    count = len(patterns)
    return list(struct.unpack(f"<{count}d", struct.pack(f"<{count}q", *patterns)))


def _block_bytes(count: int, base: int) -> int:
    return ((base**count - 1).bit_length() + 7) // 8
