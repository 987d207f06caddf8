"""What a memory has done since it was opened, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from infrastructure.memory.agemem.actions import MemoryOperation


@dataclass(frozen=True, slots=True)
class AgeMemStatistics:
    """The state of a memory, and what it has done since it was opened.

    Fields:
        entries: in the working set now.
        capacity: entries at most.
        beyond_capacity: entries that the store was found to hold besides.
        unreadable: items of the store that are no entries.
        tokens: of all entries' contents.
        context_tokens, context_budget: of the working context.
        operations: calls of each operation, failed ones included.
        failures: of them, those that raised.
        refusals: entries not stored because memory was full of what is more important.
        evictions: entries that went to make room.
        retrieved: entries that `retrieve` gave.
        summarised_tokens, summary_tokens: what `summary` was given, and what it made of it.
        model_summaries: summaries by the chat model.
        model_failures: summaries that the chat model should have made and did not.
        filtered_items, dropped_items: what `filter` was given, and what it left out.
        undone: changes that were undone.
    """

    entries: int
    capacity: int
    beyond_capacity: int
    unreadable: int
    tokens: int
    context_tokens: int
    context_budget: int
    operations: Mapping[MemoryOperation, int]
    failures: Mapping[MemoryOperation, int]
    refusals: int
    evictions: int
    retrieved: int
    summarised_tokens: int
    summary_tokens: int
    model_summaries: int
    model_failures: int
    filtered_items: int
    dropped_items: int
    undone: int


@dataclass(slots=True)
class Tally:
    """The counters behind the statistics."""

    operations: Counter[MemoryOperation] = field(default_factory=Counter[MemoryOperation])
    failures: Counter[MemoryOperation] = field(default_factory=Counter[MemoryOperation])
    retrieved: int = 0
    summarised_tokens: int = 0
    summary_tokens: int = 0
    model_summaries: int = 0
    model_failures: int = 0
    filtered_items: int = 0
    dropped_items: int = 0
    undone: int = 0


def read_only(counts: Counter[MemoryOperation]) -> Mapping[MemoryOperation, int]:
    """Counts as they are now, which nobody can change."""
    return MappingProxyType(dict(counts))
