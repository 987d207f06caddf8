"""Cursors: where a page of a search ended, as text that a caller keeps and gives back."""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Sequence
from typing import Any, Final, cast

import orjson

from infrastructure.memory.memori import ordering
from infrastructure.memory.memori.ordering import Position
from infrastructure.memory.memori.search import Hit, Place, Search
from infrastructure.memory.memori.values import InvalidItem

_MARK: Final = 16
# Some 50,000 ids of matches; a search that was given more is better paged without a query.
_MAX_BYTES: Final = 512 * 1024
_WRONG: Final = (
    "the cursor does not belong to this search; give one that the same search returned, or None"
)


def write(search: Search, page: Sequence[Hit]) -> str:
    """The cursor after a page, which is not empty; the longer, the more matches were given."""
    last = page[-1]
    if search.order is not None:
        place: list[Any] = list(ordering.position(search.order, last.item))
    elif last.rank is None:
        place = [last.item.id]
    else:
        before = search.after.given if isinstance(search.after, Place) else frozenset[int]()
        place = [None, sorted(before | {hit.item.id for hit in page})]
    packed = zlib.compress(orjson.dumps(place))
    written = base64.urlsafe_b64encode(packed).decode().rstrip("=")
    if len(written) > _MAX_BYTES:
        raise InvalidItem(
            "a cursor cannot hold so much; page without a query, or by a shorter field"
        )
    return _mark(search) + written


def read(search: Search, cursor: object) -> Place | Position | None:
    """The place that a cursor names.

    Raises:
        InvalidItem: it is not one of this search.
    """
    if cursor is None:
        return None
    if not isinstance(cursor, str):
        raise InvalidItem(_WRONG)
    mark, packed = cursor[:_MARK], cursor[_MARK:]
    if mark != _mark(search) or len(packed) > _MAX_BYTES:
        raise InvalidItem(_WRONG)
    try:
        compressed = base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4))
        inflated = zlib.decompressobj()
        place: object = orjson.loads(inflated.decompress(compressed, _MAX_BYTES))
    except (binascii.Error, zlib.error, ValueError) as error:
        raise InvalidItem(_WRONG) from error
    if not isinstance(place, list):
        raise InvalidItem(_WRONG)
    return _place(search, cast("list[Any]", place))


def _place(search: Search, place: list[Any]) -> Place | Position:
    if not all(map(_storable, place)):
        raise InvalidItem(_WRONG)
    match place:
        case [int() as rank, int() | float() as number, str() as text, int() as id_] if (
            search.order is not None
        ):
            return Position(rank, number, text, id_)
        case [int() as id_] if search.order is None:
            return Place(below=id_)
        case [None, _] if search.query is not None:
            return Place(given=_ids(place[1]))
        case _:
            raise InvalidItem(_WRONG)


def _ids(given: object) -> frozenset[int]:
    if not isinstance(given, list):
        raise InvalidItem(_WRONG)
    ids = cast("list[object]", given)
    if not all(isinstance(id_, int) and 0 <= id_ < 2**63 for id_ in ids):
        raise InvalidItem(_WRONG)
    return frozenset(cast("list[int]", ids))


def _storable(part: object) -> bool:
    """Whether a part of a place can be a parameter of a statement."""
    if isinstance(part, str):
        return "\x00" not in part
    return not isinstance(part, int) or -(2**63) <= part < 2**63


def _mark(search: Search) -> str:
    """What makes a search the same: all but how much of it is read."""
    same = (
        search.prefix, search.condition, search.query, search.ranking, search.order, search.since,
        search.until,
    )  # fmt: skip
    return hashlib.sha256(repr(same).encode()).hexdigest()[:_MARK]
