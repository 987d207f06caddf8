"""What `summary` and `filter` take: strings, items of a context, messages, entries, dicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

from infrastructure.errors import InputError
from infrastructure.memory.agemem.context import ContextItem, WorkingContext
from infrastructure.memory.agemem.entries import MemoryEntry, RetrievedEntry

MOST_CHARACTERS: Final = 2_000_000
"""Of all items together."""

_TEXTS: Final = ("content", "text")


def texts_of(context: object) -> list[str]:
    """The texts of a context, in their order.

    Args:
        context: a WorkingContext, or what `text_of` takes, or a sequence of that.

    Raises:
        InputError: it is none of these, or longer than MOST_CHARACTERS.
    """
    texts = [text_of(item) for item in items_of(context)]
    total = sum(map(len, texts))
    if total > MOST_CHARACTERS:
        raise InputError(
            f"the context has {total:,} characters, and at most {MOST_CHARACTERS:,} are taken; "
            "give it in parts"
        )
    return texts


def items_of(context: object) -> Sequence[Any]:
    """The items of a context; one alone counts as a sequence of one.

    Raises:
        InputError: it is no sequence.
    """
    if isinstance(context, WorkingContext):
        return context.items
    if isinstance(context, str | ContextItem | Mapping | MemoryEntry | RetrievedEntry):
        return [context]
    if isinstance(context, Iterable) and not isinstance(context, bytes):
        return list(cast("Iterable[Any]", context))
    raise InputError(
        f"a context is a text, or a sequence of items with texts, not {type(context).__name__}"
    )


def text_of(item: object) -> str:
    """What an item says: a str itself, its `text` or `content`, or a dict's.

    Raises:
        InputError: it has no text.
    """
    if isinstance(item, str):
        return item
    if isinstance(item, ContextItem):
        return item.text
    if isinstance(item, RetrievedEntry):
        return item.entry.content
    for name in _TEXTS:
        found = _field(item, name)
        if isinstance(found, str):
            return found
    raise InputError(
        f"an item of a context must be a str, or have a text as its content, not "
        f"{type(item).__name__}"
    )


def fields_of(item: object) -> dict[str, Any]:
    """What criteria in a dict look at: a dict itself with its metadata, or an item's metadata."""
    if isinstance(item, RetrievedEntry):
        return fields_of(item.entry)
    if isinstance(item, MemoryEntry):
        named = {"entry_id": item.entry_id, "memory_type": item.memory_type}
        return {**named, "importance": item.importance, **item.metadata}
    if isinstance(item, ContextItem):
        return {"number": item.number, "kind": str(item.kind), "entry_id": item.entry_id}
    if isinstance(item, Mapping):
        fields = dict(cast("Mapping[str, Any]", item))
        inner = fields.get("metadata")
        return {**fields, **cast("dict[str, Any]", inner)} if isinstance(inner, dict) else fields
    inner = cast("object", getattr(item, "metadata", None))
    return cast("dict[str, Any]", inner) if isinstance(inner, dict) else {}


def known_relevance(item: object) -> float | None:
    """How relevant an item was found to be before, if it says so."""
    if isinstance(item, RetrievedEntry):
        return item.score
    found = _field(item, "relevance")
    if isinstance(found, int | float) and not isinstance(found, bool):
        return float(found)
    return None


def _field(item: object, name: str) -> object:
    if isinstance(item, Mapping):
        return cast("Mapping[str, object]", item).get(name)
    return getattr(item, name, None)
