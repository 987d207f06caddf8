"""Cursors: where a page of a search ended, as text that a caller keeps and gives back."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any, Final, cast

import orjson

from infrastructure.memory.memori import ordering
from infrastructure.memory.memori.ordering import Position
from infrastructure.memory.memori.search import Hit, Place, Search
from infrastructure.memory.memori.values import InvalidItem

_MARK_BYTES: Final = 8
_WRONG: Final = (
    "the cursor does not belong to this search; give one that the same search returned, or None"
)


def write(search: Search, last: Hit) -> str:
    """The cursor after a hit."""
    if search.query is not None:
        place: list[Any] = [last.rank, last.item.id]
    elif search.order is not None:
        place = list(ordering.position(search.order, last.item))
    else:
        place = [last.item.id]
    packed = orjson.dumps([_mark(search), place])
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def read(search: Search, cursor: object) -> Place | Position | None:
    """The place that a cursor names.

    Raises:
        InvalidItem: it is not one of this search.
    """
    if cursor is None:
        return None
    if not isinstance(cursor, str):
        raise InvalidItem(_WRONG)
    try:
        packed = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        mark, place = cast("tuple[str, list[Any]]", orjson.loads(packed))
    except (binascii.Error, ValueError, TypeError) as error:
        raise InvalidItem(_WRONG) from error
    if mark != _mark(search) or not isinstance(place, list):  # pyright: ignore[reportUnnecessaryIsInstance]  # anybody may have written it
        raise InvalidItem(_WRONG)
    return _place(search, place)


def _place(search: Search, place: list[Any]) -> Place | Position:
    if not all(map(_storable, place)):
        raise InvalidItem(_WRONG)
    match place:
        case [None | int() | float() as score, int() as id_] if search.query is not None:
            return Place(None if score is None else float(score), id_)
        case [int() as rank, int() | float() as number, str() as text, int() as id_] if (
            search.order is not None
        ):
            return Position(rank, number, text, id_)
        case [int() as id_] if search.query is None and search.order is None:
            return Place(None, id_)
        case _:
            raise InvalidItem(_WRONG)


def _storable(part: object) -> bool:
    """Whether a part of a place can be a parameter of a statement."""
    if isinstance(part, str):
        return "\x00" not in part
    return not isinstance(part, int) or -(2**63) <= part < 2**63


def _mark(search: Search) -> str:
    """What makes a search the same: all but how much of it is read."""
    same = (search.prefix, search.condition, search.query, search.ranking, search.order)
    return hashlib.sha256(repr(same).encode()).hexdigest()[: 2 * _MARK_BYTES]
