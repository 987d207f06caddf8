"""Columns of short strings that are mostly made of numbers: ids, hashes, times, counters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from infrastructure.memory.memori.packed_numbers import NumberReader, NumberWriter

HOLE: Final = "\x02"
"""Stands in a template for a character that differs."""

_LONGEST: Final = 256
_SHORTEST: Final = 6
_LARGEST_ALPHABET: Final = 64
_DIGITS: Final = frozenset("0123456789")
_DIGITS_NEEDED: Final = 0.2
_HEX: Final = re.compile(r"[0-9a-f]{4,}(?:-?[0-9a-f]{4,})*")
_COUNTER: Final = re.compile(r"0|[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True)
class Template:
    """Strings of one length: what they share, and the characters that the rest is made of."""

    text: str
    alphabet: str

    def write(self, values: Sequence[str], numbers: NumberWriter) -> None:
        rank = {character: index for index, character in enumerate(self.alphabet)}
        holes = [index for index, character in enumerate(self.text) if character == HOLE]
        digits = [rank[value[hole]] for value in values for hole in holes]
        numbers.digits(digits, len(self.alphabet))

    def read(self, count: int, numbers: NumberReader) -> list[str]:
        pieces = self.text.split(HOLE)
        holes = len(pieces) - 1
        digits = numbers.digits(count * holes, len(self.alphabet))
        found: list[str] = []
        for start in range(0, count * holes, holes):
            filled = [pieces[0]]
            for digit, piece in zip(digits[start : start + holes], pieces[1:], strict=True):
                filled += (self.alphabet[digit], piece)
            found.append("".join(filled))
        return found


def template_of(values: Sequence[str]) -> Template | None:
    """The template of distinct strings, where packing them by it saves space."""
    length = len(values[0])
    if not _SHORTEST <= length <= _LONGEST or set(map(len, values)) != {length}:
        return None
    if len(values) == 1:
        return _hex_template(values[0])
    columns = list(map(set, zip(*values, strict=True)))
    text = "".join([values[0][i] if len(column) == 1 else HOLE for i, column in enumerate(columns)])
    varying = [column for column in columns if len(column) > 1]
    if text.count(HOLE) > len(varying):
        return None
    alphabet = set[str]().union(*varying)
    digits = sum([not column.isdisjoint(_DIGITS) for column in varying])
    if len(alphabet) > _LARGEST_ALPHABET or digits < _DIGITS_NEEDED * len(varying):
        return None
    return Template(text, "".join(sorted(alphabet)))


def counter_of(values: Sequence[str]) -> tuple[str, str, list[int]] | None:
    """What distinct strings begin and end with, and the number between; None without one."""
    if len(values) < 2:
        return None
    prefix = _shared_start(values).rstrip("0123456789")
    suffix = _shared_start([value[len(prefix) :][::-1] for value in values])[::-1]
    suffix = suffix.lstrip("0123456789")
    middles = [value[len(prefix) : len(value) - len(suffix)] for value in values]
    if any(_COUNTER.fullmatch(middle) is None for middle in middles):
        return None
    return prefix, suffix, [int(middle) for middle in middles]


def _hex_template(value: str) -> Template | None:
    if _HEX.fullmatch(value) is None or not any("0" <= character <= "9" for character in value):
        return None
    text = "".join("-" if character == "-" else HOLE for character in value)
    return Template(text, "0123456789abcdef")


def _shared_start(values: Sequence[str]) -> str:
    first, last = min(values), max(values)
    for index, (left, right) in enumerate(zip(first, last, strict=False)):
        if left != right:
            return first[:index]
    return first
