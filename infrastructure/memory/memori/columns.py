"""JSON values of many records, taken apart by column: like stands beside like, and numbers pack.

Values of one place in their records form a column. Objects with the same keys become a column a
key, lists a column of all their elements, equal values are kept once; numbers, ids and times are
packed by their range, all other text stays text for a general compressor. Every step is exact: what
is read is equal, type by type and bit by bit, to what was written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, TypeVar, cast

from infrastructure.memory.memori import packed_numbers, packed_texts
from infrastructure.memory.memori.packed_numbers import NumberReader, NumberWriter
from infrastructure.memory.memori.packed_texts import Template

DEEPEST: Final = 16
"""Values nested deeper stay JSON text, so that neither side runs out of stack."""

_END: Final = "\x00"
_ESCAPE: Final = "\x01"
_BITS_PER_REPEAT: Final = 24

T = TypeVar("T")

_to_json = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), allow_nan=False, check_circular=False
).encode


def compact_json(value: Any) -> str:
    """The value as `dump_json` writes it, for values known to be plain."""
    return _to_json(value)


class ColumnWriter:
    """Takes columns apart into text and numbers."""

    def __init__(self) -> None:
        self._tags: list[str] = []
        self._texts: list[str] = []
        self._numbers = NumberWriter()
        self._known: dict[tuple[str, ...], int] = {}

    @property
    def text(self) -> bytes:
        """The shape of the columns and their strings, to be compressed."""
        parts = ["".join(self._tags), *self._texts]
        joined = _END.join(parts)
        if _ESCAPE in joined or joined.count(_END) >= len(parts):
            joined = _END.join(_escaped(part) for part in parts)
        return joined.encode("utf-8", "surrogatepass")

    @property
    def numbers(self) -> bytes:
        """What was packed; compressing it gains nothing."""
        return bytes(self._numbers.body)

    def column(
        self, values: Sequence[Any], depth: int = 0, texts: Sequence[str] | None = None
    ) -> None:
        """Take one column apart.

        Args:
            values: plain JSON; the reader must know how many there are.
            texts: the values as `compact_json` gives them, where that is known.
        """
        if not values:
            return
        kinds = list(map(type, values))
        order = {kind: index for index, kind in enumerate(dict.fromkeys(kinds))}
        if len(order) == 1:
            self._of_kind(kinds[0], values, depth, texts)
            return
        self._tag("m")
        self._numbers.whole(len(order))
        self._numbers.digits([order[kind] for kind in kinds], len(order))
        for kind in order:
            group = [value for value, its in zip(values, kinds, strict=True) if its is kind]
            self._of_kind(kind, group, depth)

    def _of_kind(
        self, kind: type, values: Sequence[Any], depth: int, texts: Sequence[str] | None = None
    ) -> None:
        if kind is str:
            self._strings(values)
        elif kind is dict or kind is list:
            self._containers(kind, values, depth, texts or [_to_json(value) for value in values])
        elif kind is int:
            self._tag("i")
            self._numbers.column(values)
        elif kind is float:
            self._floats(values)
        elif kind is bool:
            self._tag("b")
            self._numbers.column([int(value) for value in values])
        else:
            self._tag("z")

    def _floats(self, values: Sequence[float]) -> None:
        patterns = packed_numbers.as_patterns(values)
        decimals = packed_numbers.as_decimals(values)
        if decimals is not None and _span(decimals[1]) < _span(patterns):
            self._tag("f")
            self._numbers.whole(decimals[0])
            self._numbers.column(decimals[1])
        else:
            self._tag("F")
            self._numbers.column(patterns)

    def _strings(self, values: Sequence[str]) -> None:
        key = tuple(values)
        if key in self._known:
            self._tag("=")
            self._numbers.whole(self._known[key])
            return
        self._known[key] = len(self._known)
        distinct = dict.fromkeys(values)
        index_bits = len(values) * (len(distinct) - 1).bit_length()
        if (len(values) - len(distinct)) * _BITS_PER_REPEAT > index_bits:
            self._repeats("r", values, list(distinct))
            values = list(distinct)
        self._spelt(values)

    def _spelt(self, values: Sequence[str]) -> None:
        counter = packed_texts.counter_of(values)
        template = None if counter else packed_texts.template_of(values)
        if counter is not None:
            prefix, suffix, middles = counter
            self._tag("n")
            self._texts += (prefix, suffix)
            self._numbers.column(middles)
        elif template is not None:
            self._tag("x")
            self._texts += (template.text, template.alphabet)
            template.write(values, self._numbers)
        else:
            self._tag("s")
            self._texts += values

    def _containers(
        self, kind: type, values: Sequence[Any], depth: int, texts: Sequence[str]
    ) -> None:
        if depth >= DEEPEST:
            self._tag("J")
            self._strings(texts)
            return
        distinct = dict(zip(texts, values, strict=True))
        if len(distinct) < len(values):
            self._repeats("d", texts, list(distinct))
            values = list(distinct.values())
        if kind is dict:
            self._objects(values, depth + 1)
        else:
            self._tag("a")
            self._numbers.column([len(value) for value in values])
            self.column([element for value in values for element in value], depth + 1)

    def _objects(self, values: Sequence[dict[str, Any]], depth: int) -> None:
        self._tag("o")
        shapes = {shape: i for i, shape in enumerate(dict.fromkeys(tuple(v) for v in values))}
        self._numbers.whole(len(shapes))
        self._numbers.digits([shapes[tuple(value)] for value in values], len(shapes))
        self._texts += [_to_json(shape) for shape in shapes]
        for key in dict.fromkeys(key for shape in shapes for key in shape):
            self.column([value[key] for value in values if key in value], depth)

    def _repeats(self, tag: str, values: Sequence[str], distinct: Sequence[str]) -> None:
        self._tag(tag)
        order = {value: index for index, value in enumerate(distinct)}
        self._numbers.whole(len(order))
        self._numbers.digits([order[value] for value in values], len(order))

    def _tag(self, tag: str) -> None:
        self._tags.append(tag)


class ColumnReader:
    """Puts together, in the same order, the columns that a ColumnWriter took apart."""

    def __init__(self, text: bytes, numbers: bytes) -> None:
        parts = text.decode("utf-8", "surrogatepass").split(_END)
        if _ESCAPE in parts[0] or any(_ESCAPE in part for part in parts):
            parts = [_unescaped(part) for part in parts]
        self._tags = iter(parts[0])
        self._texts = iter(parts[1:])
        self._numbers = NumberReader(numbers)
        self._known: list[list[str]] = []

    def column(self, count: int) -> list[Any]:
        """The next column, of as many values as were written."""
        if not count:
            return []
        tag = next(self._tags)
        if tag != "m":
            return self._of_kind(tag, count)
        kinds = self._numbers.whole()
        order = self._numbers.digits(count, kinds)
        groups = [iter(self._of_kind(next(self._tags), order.count(kind))) for kind in range(kinds)]
        return [next(groups[kind]) for kind in order]

    def _of_kind(self, tag: str, count: int) -> list[Any]:
        match tag:
            case "i":
                return self._numbers.column(count)
            case "b":
                return [bool(value) for value in self._numbers.column(count)]
            case "z":
                return [None] * count
            case "f":
                places = self._numbers.whole()
                return packed_numbers.from_decimals(places, self._numbers.column(count))
            case "F":
                return packed_numbers.from_patterns(self._numbers.column(count))
            case "J":
                return [json.loads(text) for text in self._strings(next(self._tags), count)]
            case "d":
                return self._repeats(count, lambda few: self._of_kind(next(self._tags), few))
            case "o":
                return self._objects(count)
            case "a":
                lengths = self._numbers.column(count)
                elements = iter(self.column(sum(lengths)))
                return [list(islice(elements, length)) for length in lengths]
            case _:
                return self._strings(tag, count)

    def _strings(self, tag: str, count: int) -> list[str]:
        if tag == "=":
            return self._known[self._numbers.whole()]
        if tag == "r":
            found = self._repeats(count, lambda few: self._spelt(next(self._tags), few))
        else:
            found = self._spelt(tag, count)
        self._known.append(found)
        return found

    def _spelt(self, tag: str, count: int) -> list[str]:
        if tag == "n":
            prefix, suffix = next(self._texts), next(self._texts)
            return [f"{prefix}{middle}{suffix}" for middle in self._numbers.column(count)]
        if tag == "x":
            return Template(next(self._texts), next(self._texts)).read(count, self._numbers)
        return list(islice(self._texts, count))

    def _objects(self, count: int) -> list[dict[str, Any]]:
        kinds = self._numbers.whole()
        order = self._numbers.digits(count, kinds)
        shapes = [cast("list[str]", json.loads(text)) for text in islice(self._texts, kinds)]
        columns: dict[str, Iterator[Any]] = {}
        for key in dict.fromkeys(key for shape in shapes for key in shape):
            holders = [key in shape for shape in shapes]
            columns[key] = iter(self.column(sum(holders[kind] for kind in order)))
        return [{key: next(columns[key]) for key in shapes[kind]} for kind in order]

    def _repeats(self, count: int, read: Callable[[int], list[T]]) -> list[T]:
        few = self._numbers.whole()
        order = self._numbers.digits(count, few)
        values = read(few)
        return [values[index] for index in order]


def _span(values: Sequence[int]) -> int:
    return max(values) - min(values)


def _escaped(text: str) -> str:
    return text.replace(_ESCAPE, _ESCAPE + "1").replace(_END, _ESCAPE + "0")


def _unescaped(text: str) -> str:
    return text.replace(_ESCAPE + "0", _END).replace(_ESCAPE + "1", _ESCAPE)
