"""What a store holds of a memory, read past AgeMem."""

from __future__ import annotations

from collections.abc import Callable

from langgraph.store.base import BaseStore

from infrastructure.memory.agemem.operations import AgeMem

OpenMemory = Callable[..., AgeMem]
FIELDS = ("content", "memory_type", "importance", "metadata", "created_at", "updated_at", "version")


async def in_store(
    store: BaseStore, namespace: tuple[str, ...] = ("agemem",)
) -> dict[str, tuple[object, ...]]:
    """The entries by id."""
    found = await store.asearch((*namespace, "entries"), limit=10_000)
    return {item.key: tuple(item.value[name] for name in FIELDS) for item in found}


def in_memory(memory: AgeMem) -> dict[str, tuple[object, ...]]:
    """The entries of the working set by id, in the same shape."""
    return {
        entry.entry_id: tuple(getattr(entry, name) for name in FIELDS)
        for entry in memory.index.entries()
    }


async def agree(memory: AgeMem, store: BaseStore) -> bool:
    """Whether the working set is what the store holds."""
    await memory.ready()
    return in_memory(memory) == await in_store(store, memory.namespace)


def contents(memory: AgeMem) -> set[str]:
    """What the entries say."""
    return {entry.content for entry in memory.index.entries()}
