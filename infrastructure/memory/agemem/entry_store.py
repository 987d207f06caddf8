"""Entries and the journal of their changes, in a LangGraph BaseStore.

An entry and the change that made it what it is go in one `abatch`. What that means when something
fails in the middle is the store's own: MemoriStore makes it one transaction.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from infrastructure.errors import GenesisError, InputError, StoreError
from infrastructure.memory.agemem import checks
from infrastructure.memory.agemem.entries import Change, ChangeKind, MemoryEntry

if TYPE_CHECKING:
    from langgraph.store.base import BaseStore, Item, Op, Result, SearchItem

_PAGE: Final = 2_000
_SLACK: Final = 10
_TEXTS: Final = ("content", "memory_type", "source")

_logger = logging.getLogger(__name__)


class EntryStore:
    """The entries and changes of one namespace.

    Args:
        store: where they are.
        namespace: entries are under (*namespace, "entries"), changes under (*namespace, "changes").
        journal: changes that are kept at least, the newest; a tenth more before the oldest go.
            With 0 none is kept, and nothing can be undone.

    Raises:
        InputError: the store is no BaseStore.
    """

    def __init__(self, store: BaseStore, namespace: tuple[str, ...], journal: int) -> None:
        # LangGraph is imported by whoever has a store of its kind; without one nobody needs it.
        from langgraph.store.base import BaseStore, GetOp, PutOp, SearchOp

        if not isinstance(store, BaseStore):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers may be untyped
            raise InputError(
                f"AgeMem needs a LangGraph BaseStore, such as MemoriStore or InMemoryStore, not "
                f"{type(store).__name__}"
            )
        self.unreadable = 0
        self._get, self._put, self._search = GetOp, PutOp, SearchOp
        self._store = store
        self._entries = (*namespace, "entries")
        self._changes = (*namespace, "changes")
        self._journal = journal
        self._unchecked: int | None = None
        # A store in memory never waits in the middle of a batch, and a task costs more than it.
        self._direct = type(store).__module__ == "langgraph.store.memory"
        self._running: set[asyncio.Task[list[Result]]] = set()

    async def pages(self) -> AsyncIterator[list[MemoryEntry]]:
        """All entries, a page at a time; those that cannot be read are counted and left out."""
        self.unreadable = 0
        async for items in self._pages(self._entries):
            yield [entry for item in items if (entry := self._read(item)) is not None]

    async def get(self, known: Sequence[str]) -> list[MemoryEntry | None]:
        """The entries of these ids as they are now; None for what is not there."""
        items = await self._batch([self._get(self._entries, key, False) for key in known])
        found = cast("Sequence[Item | None]", items)
        return [None if item is None else self._read(item) for item in found]

    async def unchanged(self, known: Sequence[MemoryEntry]) -> list[MemoryEntry | None]:
        """The same, given how they were: who did not change is given back itself."""
        ops = [self._get(self._entries, entry.entry_id, False) for entry in known]
        found = cast("Sequence[Item | None]", await self._batch(ops))
        return [
            None if item is None else entry if _says(item.value, entry) else self._read(item)
            for entry, item in zip(known, found, strict=True)
        ]

    async def write(self, changes: Sequence[Change], *, journal: bool = True) -> None:
        """Carry out changes and, unless told otherwise, note them in the journal: in one batch.

        Raises:
            StoreError: the store failed; what it then holds is unknown.
        """
        ops: list[Op] = []
        for change in changes:
            before = None if change.before is None else _value(change.before)
            after = None if change.after is None else _value(change.after)
            ops.append(self._put(self._entries, change.entry_id, after, ["content"]))
            if journal and self._journal:
                noted = {
                    "kind": str(change.kind),
                    "entry_id": change.entry_id,
                    "before": before,
                    "after": after,
                    "at": change.at,
                    "source": change.source,
                    "reason": change.reason,
                }
                ops.append(self._put(self._changes, change.change_id, noted, False))
        await self._batch(ops)

    async def settle(self) -> None:
        """Wait for what was asked of the store by callers who gave up waiting."""
        loop = asyncio.get_running_loop()
        running = [task for task in self._running if task.get_loop() is loop]
        if running:
            await asyncio.wait(running)

    async def change(self, change_id: str) -> Change | None:
        """One line of the journal."""
        (item,) = await self._batch([self._get(self._changes, change_id, False)])
        return None if item is None else _change(cast("Item", item))

    async def changes(self, entry_id: str | None, limit: int) -> list[Change]:
        """The newest lines of the journal, the newest first, of one entry or of all."""
        filter_ = None if entry_id is None else {"entry_id": entry_id}
        newest: list[SearchItem] = []
        async for items in self._pages(self._changes, filter_):
            newest = heapq.nlargest(limit, [*newest, *items], key=lambda item: item.key)
        return [change for item in newest if (change := _change(item)) is not None]

    async def trim(self, written: int) -> None:
        """Keep the journal bounded; looks only now and then, after so many more were written."""
        if not self._journal:
            return
        slack = self._journal // _SLACK
        # The first time it looks at once: processes may end before they wrote as many.
        self._unchecked = slack if self._unchecked is None else self._unchecked + written
        if self._unchecked < slack:
            return
        probe = self._search(self._changes, limit=1, offset=self._journal + slack)
        (beyond,) = await self._batch([probe])
        if beyond:
            await self._drop_oldest()
        self._unchecked = 0

    async def _drop_oldest(self) -> None:
        keys: list[str] = []
        async for items in self._pages(self._changes):
            keys += [item.key for item in items]
        keys.sort()
        gone = keys[: max(0, len(keys) - self._journal)]
        for start in range(0, len(gone), _PAGE):
            page = gone[start : start + _PAGE]
            await self._batch([self._put(self._changes, key, None, False) for key in page])

    async def _pages(
        self, namespace: tuple[str, ...], filter_: dict[str, Any] | None = None
    ) -> AsyncIterator[list[SearchItem]]:
        offset = 0
        while True:
            search = self._search(namespace, filter_, _PAGE, offset, None, False)
            (page,) = cast("list[list[SearchItem]]", await self._batch([search]))
            # A search takes a prefix, and somebody's memory may lie beneath ours.
            yield [item for item in page if tuple(item.namespace) == namespace]
            if len(page) < _PAGE:
                return
            offset += _PAGE

    async def _batch(self, ops: Sequence[Op]) -> list[Any]:
        try:
            if self._direct:
                return cast("list[Any]", await self._store.abatch(ops))
            return cast("list[Any]", await self._to_the_end(ops))
        except GenesisError:
            raise
        except Exception as error:  # each store raises errors of its own
            raise StoreError(
                f"the memory's {type(self._store).__name__} failed: {error}; the working set is "
                "read again at the next call"
            ) from error

    async def _to_the_end(self, ops: Sequence[Op]) -> list[Result]:
        """Ask the store, and let it finish though the caller is cancelled.

        Some stores cannot be used any more when they are cancelled in the middle of a batch.
        """
        task = asyncio.ensure_future(self._store.abatch(ops))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    def _read(self, item: Item) -> MemoryEntry | None:
        entry = _entry(item.key, item.value)
        if entry is None:
            self.unreadable += 1
            _logger.warning(
                "entry %r of %s cannot be read, and is left out", item.key, item.namespace
            )
        return entry


def _value(entry: MemoryEntry) -> dict[str, Any]:
    return {
        "content": entry.content,
        "memory_type": entry.memory_type,
        "importance": entry.importance,
        "metadata": entry.metadata,
        "created_at": entry.created_at,
        "updated_at": entry.updated_at,
        "version": entry.version,
        "source": entry.source,
    }


def _says(value: Mapping[str, Any], entry: MemoryEntry) -> bool:
    return value == _value(entry)


def _entry(key: str, value: Mapping[str, Any]) -> MemoryEntry | None:
    """The entry that a stored value says; None if it says none."""
    texts = [value.get(name) for name in _TEXTS]
    times = [value.get("created_at"), value.get("updated_at")]
    version, metadata = value.get("version"), value.get("metadata")
    importance = value.get("importance")
    if (
        not all(isinstance(each, str) for each in texts)
        or not all(checks.is_number(each) for each in times)
        or not checks.is_share(importance)
        or not isinstance(version, int)
        or not isinstance(metadata, dict)
    ):
        return None
    return MemoryEntry(
        entry_id=key,
        content=value["content"],
        memory_type=value["memory_type"],
        importance=float(value["importance"]),
        metadata=cast("dict[str, Any]", metadata),
        created_at=float(value["created_at"]),
        updated_at=float(value["updated_at"]),
        version=version,
        source=value["source"],
    )


def _change(item: Item) -> Change | None:
    value = cast("Mapping[str, Any]", item.value)
    try:
        key = str(value["entry_id"])
        before, after = _side(key, value["before"]), _side(key, value["after"])
        return Change(
            change_id=item.key,
            kind=ChangeKind(value["kind"]),
            entry_id=key,
            before=before,
            after=after,
            at=float(value["at"]),
            source=str(value["source"]),
            reason=str(value["reason"]),
        )
    except (KeyError, TypeError, ValueError):
        _logger.warning("change %r of %s cannot be read, and is left out", item.key, item.namespace)
        return None


def _side(key: str, value: Mapping[str, Any] | None) -> MemoryEntry | None:
    entry = None if value is None else _entry(key, value)
    if value is not None and entry is None:
        raise ValueError("what it was about cannot be read")
    return entry
