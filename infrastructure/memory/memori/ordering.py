"""The order of a search without a query: by a time, the key, or a field of the value.

Values of any type have one order: missing and null first, then false, true, numbers, texts by code
point, lists and dicts. Numbers order as the nearest floats; lists are all alike, and so are dicts.
What is alike comes with the last written first, whichever way the order goes.

An item's place in an order is its position `(rank, number, text, id)`: the rank of its type, and
what orders it among its type. A page continues after the position of the last item of the page
before, even when that item has gone by then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias, cast

from infrastructure.memory.memori.filter_match import MISSING, field_of
from infrastructure.memory.memori.filters import MAX_NESTED
from infrastructure.memory.memori.values import InvalidItem, check_text

ItemField: TypeAlias = Literal["created_at", "updated_at", "key"]
_ITEM_FIELDS: Final[tuple[ItemField, ...]] = ("created_at", "updated_at", "key")
NUMBERS: Final = 3
TEXTS: Final = 4


@dataclass(frozen=True, slots=True)
class Order:
    """What items are ordered by.

    Fields:
        field: the item's own field, or the keys that lead to a field of its value.
        descending: whether the largest comes first.
    """

    field: ItemField | tuple[str, ...]
    descending: bool = False


class Position(NamedTuple):
    """An item's place in an order; `number` is a float, or microseconds as an integer."""

    rank: int
    number: float
    text: str
    id: int


class Orderable(Protocol):
    """What of an item can order it; times are microseconds since the epoch."""

    @property
    def id(self) -> int: ...
    @property
    def key(self) -> str: ...
    @property
    def value(self) -> dict[str, Any]: ...
    @property
    def created_at(self) -> int: ...
    @property
    def updated_at(self) -> int: ...


def parse(order_by: object, *, descending: bool = False) -> Order:
    """The order by "created_at", "updated_at" or "key", or by a field of the value.

    A field is named by its key, or by a list of keys when it is a nested one or shares its name
    with one of the three: `["created_at"]` is the value's.

    Raises:
        InvalidItem: it names no field.
    """
    for own in _ITEM_FIELDS:
        if order_by == own:
            return Order(own, descending)
    keys = [order_by] if isinstance(order_by, str) else order_by
    if not isinstance(keys, list | tuple) or not keys:
        raise InvalidItem(
            f"order_by must be a field's name or a list of nested names, not {order_by!r:.80}"
        )
    path = tuple(check_text(key, "a key of order_by") for key in cast("Sequence[object]", keys))
    if len(path) > MAX_NESTED:
        raise InvalidItem(f"order_by is nested more than {MAX_NESTED} deep")
    return Order(path, descending)


def position(order: Order, item: Orderable) -> Position:
    """Where the item stands in the order."""
    if order.field == "created_at":
        return Position(NUMBERS, item.created_at, "", item.id)
    if order.field == "updated_at":
        return Position(NUMBERS, item.updated_at, "", item.id)
    if order.field == "key":
        return Position(TEXTS, 0.0, item.key, item.id)
    return Position(*_rank(field_of(item.value, order.field)), item.id)


def _rank(found: Any) -> tuple[int, float, str]:
    if found is MISSING or found is None:
        return 0, 0.0, ""
    if isinstance(found, bool):
        return (2 if found else 1), 0.0, ""
    if isinstance(found, int | float):
        return NUMBERS, float(found), ""
    if isinstance(found, str):
        return TEXTS, 0.0, found
    return (5 if isinstance(found, list) else 6), 0.0, ""
