"""Items as JSON Lines: how a line is written, and how a file of them is read and checked.

The first line names the format and its version, each following one is an item, and the last has
their number and the SHA-256 of all lines before it:

    {"format":"memori-items","version":1}
    {"namespace":["users","ada"],"key":"theme","value":{"color":"dark"},"created_at":1700000000000000,
     "updated_at":1700000000000000,"ttl":null,"expires_at":null,"index":["$"],
     "source":"agent:writer","run_id":"","verified":null}
    {"items":1,"sha256":"..."}

Times are microseconds since the epoch, `ttl` is microseconds; `index` lists the indexed paths of
the value, null for none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, NamedTuple, cast

import orjson

from infrastructure.memory.memori import arguments
from infrastructure.memory.memori.dialect import Row
from infrastructure.memory.memori.items import check_key, decode_namespace, encode_namespace
from infrastructure.memory.memori.provenance import Provenance
from infrastructure.memory.memori.values import MAX_BYTES, InvalidItem, encode, encode_object

FORMAT: Final = "memori-items"
VERSION: Final = 1
COLUMNS: Final = (
    "namespace", "key", "value", "created_at", "updated_at", "ttl", "expires_at", "paths",
    "source", "run_id", "verified",
)  # fmt: skip
"""Of the table of items, in the order in which rows are taken and given."""

_FIELDS: Final = tuple("index" if name == "paths" else name for name in COLUMNS)
# The value at its largest, and all the rest with every character escaped.
_MAX_LINE_BYTES: Final = MAX_BYTES + 1024 * 1024
_LATEST_US: Final = 2**62
_OTHER_LINES: Final = 2


@dataclass(frozen=True, slots=True)
class Exported:
    """What a file of items holds; `sha256` is of all its lines but the last."""

    items: int
    sha256: str


class NumberedItem(NamedTuple):
    """An item of a file: its line, counted from 1, and its row of COLUMNS."""

    line: int
    row: Row


class LineWriter:
    """Writes the lines of a file of items; `finish` makes it whole."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()
        self._items = 0
        self._line({"format": FORMAT, "version": VERSION})

    def add(self, row: Row) -> None:
        """Write a row of COLUMNS; its value stays as it is, to the byte."""
        item = dict(zip(_FIELDS, row, strict=True))
        item["namespace"] = decode_namespace(item["namespace"])
        item["value"] = orjson.Fragment(item["value"])
        item["index"] = None if item["index"] is None else orjson.Fragment(item["index"])
        item["verified"] = None if item["verified"] is None else bool(item["verified"])
        self._line(item)
        self._items += 1

    def finish(self) -> Exported:
        """Write the last line."""
        done = Exported(self._items, self._sha256.hexdigest())
        self._line({"items": done.items, "sha256": done.sha256})
        return done

    def _line(self, value: dict[str, Any]) -> None:
        line = orjson.dumps(value) + b"\n"
        self._sha256.update(line)
        self._file.write(line)


def read_items(file: BinaryIO) -> Iterator[NumberedItem]:
    """The items of a file, one at a time; the whole file is right only when this ends.

    Raises:
        InvalidItem: a line is wrong, or the file is cut short or was changed; names the line.
    """
    sha256 = hashlib.sha256()
    lines = _lines(file)
    number, line = next(lines, (1, b""))
    _check_header(_parsed(number, line))
    sha256.update(line)
    for number, line in lines:
        found = _parsed(number, line)
        if "sha256" in found:
            _check_end(number, found, number - _OTHER_LINES, sha256.hexdigest())
            if next(lines, None) is not None:
                raise InvalidItem(f"line {number + 1}: nothing may follow the last line")
            return
        yield NumberedItem(number, _row(number, found))
        sha256.update(line)
    raise InvalidItem(
        f"the file is cut short: it ends after line {number} without the line that says how many "
        "items it has"
    )


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := file.readline(_MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > _MAX_LINE_BYTES:
            raise InvalidItem(
                f"line {number} is longer than {_MAX_LINE_BYTES:,} bytes, the most an item can take"
            )
        yield number, line


def _parsed(number: int, line: bytes) -> dict[str, Any]:
    try:
        found: object = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        end = "" if line.endswith(b"\n") else " (the file ends within this line)"
        raise InvalidItem(f"line {number} is not JSON: {error}{end}") from error
    if not isinstance(found, dict):
        raise InvalidItem(f"line {number} is not a JSON object")
    return cast("dict[str, Any]", found)


def _check_header(found: dict[str, Any]) -> None:
    if found.get("format") != FORMAT:
        raise InvalidItem(
            f'line 1 does not say {{"format":"{FORMAT}"}}: this is no file of exported items'
        )
    if found.get("version") != VERSION:
        raise InvalidItem(
            f"line 1 says version {found.get('version')!r:.40}, and {VERSION} is known here; "
            "upgrade Genesis"
        )


def _check_end(number: int, found: dict[str, Any], items: int, sha256: str) -> None:
    if found.get("items") != items:
        raise InvalidItem(
            f"line {number} says that the file has {found.get('items')!r:.40} items, and it has "
            f"{items}: lines were lost or added"
        )
    if found.get("sha256") != sha256:
        raise InvalidItem(
            f"line {number}: the SHA-256 of the lines differs from what was written: the file was "
            "changed or damaged"
        )


def _row(number: int, found: dict[str, Any]) -> Row:
    if found.keys() != set(_FIELDS):
        wrong = sorted(found.keys() ^ set(_FIELDS))
        raise InvalidItem(f"line {number} lacks or adds {', '.join(wrong):.200}")
    try:
        provenance = Provenance(found["source"], found["run_id"], found["verified"])
        verified = provenance.verified
        return (
            encode_namespace(arguments.namespace(found["namespace"], required=True)),
            check_key(found["key"]),
            encode_object(found["value"]),
            _micros(found["created_at"], "created_at"),
            _micros(found["updated_at"], "updated_at"),
            *_life(found["ttl"], found["expires_at"]),
            None if found["index"] is None else encode(arguments.paths(found["index"])),
            provenance.source,
            provenance.run_id,
            None if verified is None else int(verified),
        )
    except ValueError as error:  # InvalidItem, or LangGraph's word on a namespace
        raise InvalidItem(f"line {number}: {error}") from error


def _life(ttl: object, expires_at: object) -> tuple[int | None, int | None]:
    if ttl is None and expires_at is None:
        return None, None
    return _micros(ttl, "ttl"), _micros(expires_at, "expires_at")


def _micros(value: object, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _LATEST_US:
        raise InvalidItem(f"{what} must be whole microseconds, not {value!r:.40}")
    return value
