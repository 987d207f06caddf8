"""Stored items as LangGraph's items, with their version and where they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

from langgraph.store.base import Item, Result, SearchItem

from infrastructure.memory.memori.items import StoredItem
from infrastructure.memory.memori.operations import Found
from infrastructure.memory.memori.provenance import Provenance
from infrastructure.memory.memori.search import Hit

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class MemoriItem(Item):
    """An item as LangGraph's, and:

    Fields:
        version: for compare-and-set; larger with every write to the store.
        provenance: who wrote it, in what run, verified or not.
    """

    __slots__ = ("provenance", "version")

    version: int
    provenance: Provenance


class MemoriSearchItem(SearchItem):
    """A found item as LangGraph's, and `version` and `provenance` as `MemoriItem` has them.

    `score` is None where nothing matched the query, or there was none.
    """

    __slots__ = ("provenance", "version")

    version: int
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Page:
    """Some results of a search, and how to get those that follow.

    Fields:
        items: at most `limit` of them.
        cursor: to be given for the next page; None after the last one.
    """

    items: list[MemoriSearchItem]
    cursor: str | None


def result_of(found: Found) -> Result:
    """What an operation found, as LangGraph's operations return it."""
    if isinstance(found, StoredItem):
        return item(found)
    if found is None or isinstance(found, int):  # puts and deletes return nothing in a batch
        return None
    return cast("Result", [search_item(each) if isinstance(each, Hit) else each for each in found])


def item(stored: StoredItem) -> MemoriItem:
    """A stored item as LangGraph's."""
    shown = MemoriItem(
        namespace=stored.namespace,
        key=stored.key,
        value=stored.value,
        created_at=_time(stored.created_at),
        updated_at=_time(stored.updated_at),
    )
    shown.version, shown.provenance = stored.id, stored.provenance
    return shown


def search_item(hit: Hit) -> MemoriSearchItem:
    """A found item as LangGraph's."""
    stored = hit.item
    shown = MemoriSearchItem(
        stored.namespace,
        stored.key,
        stored.value,
        _time(stored.created_at),
        _time(stored.updated_at),
        hit.score,
    )
    shown.version, shown.provenance = stored.id, stored.provenance
    return shown


def search_items(found: Any) -> list[MemoriSearchItem]:
    """The hits of one search."""
    return [search_item(hit) for hit in cast("Sequence[Hit]", found)]


def _time(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
