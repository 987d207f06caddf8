"""Entries of long-term memory, and the changes that made them what they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from infrastructure.jsonvalue import JsonObject
from infrastructure.memory.agemem.context import ContextSnapshot
from infrastructure.memory.agemem.text_analysis import TextAnalysis

MEMORY_TYPES: Final = ("semantic", "episodic", "procedural")


class ChangeKind(StrEnum):
    """What happened to an entry."""

    ADDED = "added"
    UPDATED = "updated"
    DELETED = "deleted"
    EVICTED = "evicted"
    UNDONE = "undone"


@dataclass(frozen=True, slots=True)
class MemoryEntry:
    """Something remembered.

    Attributes:
        entry_id: unique in its namespace, sortable by when it was added.
        content: what it says.
        memory_type: one of MEMORY_TYPES, or another word of the caller's.
        importance: 0 to 1; under a capacity limit the least important, then the oldest, goes first.
        metadata: the caller's own; filters of `retrieve` look here.
        created_at, updated_at: seconds since the epoch, UTC.
        version: 1 when added, one more with each update.
        source: who wrote it.
    """

    entry_id: str
    content: str
    memory_type: str = "semantic"
    importance: float = 0.5
    metadata: JsonObject = field(default_factory=dict[str, str])
    created_at: float = 0.0
    updated_at: float = 0.0
    version: int = 1
    source: str = ""


@dataclass(frozen=True, slots=True)
class RetrievedEntry:
    """An entry with how relevant it is to what was asked, about 0 to 1."""

    entry: MemoryEntry
    score: float


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the journal of changes.

    Attributes:
        change_id: sortable by time.
        kind: what happened.
        entry_id: to which entry.
        before, after: the entry then; None where there was or is none.
        at: seconds since the epoch, UTC.
        source: who caused it.
        reason: why, in words.
    """

    change_id: str
    kind: ChangeKind
    entry_id: str
    before: MemoryEntry | None
    after: MemoryEntry | None
    at: float
    source: str
    reason: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class MemorySnapshot:
    """Long-term memory and working context at one moment (see `AgeMem.snapshot`).

    Attributes:
        entries: all that were held.
        context: the working context.
        analyses: of each entry's content.
        ids_given, times_asked: how far ids and clock had counted; None where they do not count.
    """

    entries: tuple[MemoryEntry, ...]
    context: ContextSnapshot
    analyses: tuple[TextAnalysis, ...]
    ids_given: int | None = None
    times_asked: int | None = None
