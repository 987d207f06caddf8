"""MemoriStore: LangGraph's `BaseStore` over Memori.

One `batch` or `abatch` is one transaction: its reads see what was there before its writes, and if
one operation is wrong nothing of the call is stored. Results come in the order of the operations.
Values are plain JSON (see `values.encode`), filters those of `filters`; a search without a query
lists the last written first. Times are UTC with microseconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from copy import copy
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, Self, Unpack, cast

from langgraph.store.base import (
    NOT_PROVIDED,
    BaseStore,
    IndexConfig,
    NotProvided,
    Op,
    Result,
    SearchItem,
    TTLConfig,
    ensure_embeddings,
)

from infrastructure.embeddings.embedder import Embedder
from infrastructure.memory.memori import arguments, cursors, items, present, transfer
from infrastructure.memory.memori.copying import CopiedTable, copy_to
from infrastructure.memory.memori.embedding import Embedding, LangChainEmbedding, OwnEmbedding
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.forgetting import Forgotten, forget
from infrastructure.memory.memori.index_service import IndexService
from infrastructure.memory.memori.indexer import IndexProgress
from infrastructure.memory.memori.items import StoredItem
from infrastructure.memory.memori.operations import Operation
from infrastructure.memory.memori.present import MemoriItem, Page
from infrastructure.memory.memori.provenance import UNKNOWN, Provenance
from infrastructure.memory.memori.requests import (
    PAGE,
    PageOptions,
    Requests,
    SearchOptions,
    WriteConditions,
)
from infrastructure.memory.memori.runner import Runner
from infrastructure.memory.memori.sweeper import Sweeper
from infrastructure.memory.memori.transfer import Exported, Imported, OnConflict
from infrastructure.memory.memori.values import InvalidItem, encode

_SWEEP_MINUTES: Final = 5.0
_UNDO_S: Final = 86_400.0


class MemoriStore(BaseStore):
    """A LangGraph store on one tenant's handle.

    Async methods never block the event loop; sync ones block their thread, and refuse to block the
    loop that the store was opened on by `from_conn_string`.

    Args:
        memori: the open database; whoever opened it closes it.
        index: LangGraph's index config: an embedder with its `dims`, and the `fields` of a value
            that are indexed (the whole value unless given). Full text is indexed in any case.
        ttl: LangGraph's TTL config.
        embedder: an embedder of ours, in place of `index["embed"]`.
        provenance: kept with everything that is written through this store.
        undo_s: seconds that a deleted item can be brought back; 0 for never.

    Raises:
        InvalidItem: the configuration contradicts itself.
    """

    supports_ttl = True

    def __init__(
        self,
        memori: Memori,
        *,
        index: IndexConfig | None = None,
        ttl: TTLConfig | None = None,
        embedder: Embedder | None = None,
        provenance: Provenance = UNKNOWN,
        undo_s: float = _UNDO_S,
    ) -> None:
        if not isinstance(memori, Memori):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers may be untyped
            raise InvalidItem(
                f"a store needs an open Memori, not {type(memori).__name__}: Memori.open(place), "
                "or MemoriStore.from_conn_string(place)"
            )
        self.ttl_config = arguments.ttl_config(ttl)
        self.index_config = arguments.index_config(index)
        self.embeddings = (index or {}).get("embed")
        self._memori = memori
        self._paths = encode(arguments.indexed_paths(index))
        self._index = IndexService.of(memori, _embedding(index, embedder))
        self._provenance = arguments.provenance(provenance)
        self._undo_us = arguments.undo_us(undo_s)
        self._configure()
        self._sweeper = Sweeper(self.sweep_ttl)
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def memori(self) -> Memori:
        """The open database."""
        return self._memori

    @classmethod
    @asynccontextmanager
    async def from_conn_string(
        cls,
        conn_string: str,
        *,
        index: IndexConfig | None = None,
        ttl: TTLConfig | None = None,
        embedder: Embedder | None = None,
    ) -> AsyncGenerator[Self]:
        """A store on a path, `:memory:` or `postgresql://...`, closed when the context ends.

        Args:
            index, ttl, embedder: as of the store.

        Raises:
            InvalidItem: a config, or the place, is of no use.
            StoreError: another kind of URL, or the `postgres` extra is not installed.
        """
        memori = Memori.open(arguments.place(conn_string))
        try:
            store = cls(memori, index=index, ttl=ttl, embedder=embedder)
            store._loop = asyncio.get_running_loop()
            try:
                yield store
            finally:
                await store.stop_ttl_sweeper()
        finally:
            await memori.aclose()

    def with_provenance(self, provenance: Provenance) -> Self:
        """The same store, marking what is written through it with another origin."""
        bound = copy(self)
        bound._provenance = arguments.provenance(provenance)
        bound._configure()
        return bound

    async def setup(self) -> None:
        """Open the database and bring its schema up to date now, rather than at the first use.

        Raises:
            StoreUnavailable: it cannot be opened; the message says why and what to do.
            SchemaTooNew: a newer Genesis wrote it; nothing was changed.
        """
        await self._memori.read(lambda tx: None)

    # LangGraph's operations

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Run operations in one transaction.

        Raises:
            InvalidItem, InvalidNamespaceError: an operation is wrong; the message has its index.
            StoreUnavailable: the database cannot be used.
            asyncio.InvalidStateError: called on the event loop that the store was opened on.
        """
        self._refuse_to_block()
        found = self._runner.run(self._requests.operations(ops))
        return [present.result_of(each) for each in found]

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """`batch` for the event loop; what is put is durable when it returns."""
        found = await self._runner.arun(self._requests.operations(ops))
        return [present.result_of(each) for each in found]

    def get(
        self, namespace: tuple[str, ...], key: str, *, refresh_ttl: bool | None = None
    ) -> MemoriItem | None:
        """The item, or None; a read begins its life anew when asked to, or configured so."""
        return _item(self._run(self._requests.get(namespace, key, refresh_ttl)))

    async def aget(
        self, namespace: tuple[str, ...], key: str, *, refresh_ttl: bool | None = None
    ) -> MemoriItem | None:
        """`get` for the event loop."""
        return _item(await self._runner.arun([self._requests.get(namespace, key, refresh_ttl)]))

    def put(
        self,
        namespace: tuple[str, ...],
        key: str,
        value: Mapping[str, Any],
        index: Literal[False] | list[str] | None = None,
        *,
        ttl: float | NotProvided | None = NOT_PROVIDED,
    ) -> None:
        """Store a value under a key, in place of the one that was there.

        Args:
            value: a dict of plain JSON values; None deletes the item.
            index: the paths whose texts are searched; False for none, None for the configured.
            ttl: minutes that the item lives; None for ever.
        """
        if cast("object", value) is None:  # as LangGraph's stores take it
            self.delete(namespace, key)
            return
        self._refuse_to_block()
        self._runner.put(self._requests.put(namespace, key, value, index, ttl))

    async def aput(
        self,
        namespace: tuple[str, ...],
        key: str,
        value: Mapping[str, Any],
        index: Literal[False] | list[str] | None = None,
        *,
        ttl: float | NotProvided | None = NOT_PROVIDED,
    ) -> None:
        """`put` for the event loop; the item is durable when it returns."""
        if cast("object", value) is None:
            await self.adelete(namespace, key)
            return
        await self._runner.aput(self._requests.put(namespace, key, value, index, ttl))

    def delete(
        self, namespace: tuple[str, ...], key: str, *, expected_version: int | None = None
    ) -> None:
        """Delete an item, if it is there; `undelete` can bring it back for `undo_s` seconds.

        Raises:
            VersionConflict: the item has another version; nothing was deleted.
        """
        self._run(self._requests.delete(namespace, key, expected_version))

    async def adelete(
        self, namespace: tuple[str, ...], key: str, *, expected_version: int | None = None
    ) -> None:
        """`delete` for the event loop."""
        await self._runner.arun([self._requests.delete(namespace, key, expected_version)])

    def search(
        self, namespace_prefix: tuple[str, ...], /, **options: Unpack[SearchOptions]
    ) -> list[SearchItem]:
        """The items under a namespace prefix, at most `limit` of them after the first `offset`.

        With a query the best matches come first, then the rest with a score of None; without one
        they come in the order given, or the last written first. Scores are the ranking's; with
        LangGraph's `index["embed"]` they are the cosines, as in LangGraph's stores, though words
        count in the order there too.

        Args:
            options: what is asked for; see `requests.SearchOptions`.

        Raises:
            InvalidItem, InvalidNamespaceError: an argument is of no use.
            StoreUnavailable: the database cannot be used.
        """
        (hits,) = self._run(self._requests.search(namespace_prefix, **options))
        return cast("list[SearchItem]", present.search_items(hits))

    async def asearch(
        self, namespace_prefix: tuple[str, ...], /, **options: Unpack[SearchOptions]
    ) -> list[SearchItem]:
        """`search` for the event loop."""
        (hits,) = await self._runner.arun([self._requests.search(namespace_prefix, **options)])
        return cast("list[SearchItem]", present.search_items(hits))

    # More than LangGraph's

    async def apage(
        self,
        namespace_prefix: tuple[str, ...],
        /,
        *,
        limit: int = PAGE,
        cursor: str | None = None,
        **options: Unpack[PageOptions],
    ) -> Page:
        """One page of a search; what is written meanwhile neither repeats nor skips other items.

        Args:
            limit: items of a page, at least 1.
            cursor: of the page before, got with the same options; None for the first page.
            options: what is asked for; see `requests.PageOptions`.

        Raises:
            InvalidItem: the cursor belongs to another search.
        """
        size = arguments.page_size(limit)
        # One more than the page has tells whether there is a next one.
        search = self._requests.search(
            namespace_prefix, limit=size + 1, refresh_ttl=False, **options
        )
        search = search.following(cursors.read(search, cursor))
        (hits,) = await self._runner.arun([search])
        page = hits[:size]
        following = cursors.write(search, page) if len(hits) > size else None
        return Page(present.search_items(page), following)

    def write(
        self,
        namespace: tuple[str, ...],
        key: str,
        value: Mapping[str, Any],
        index: Literal[False] | list[str] | None = None,
        **conditions: Unpack[WriteConditions],
    ) -> int:
        """Put an item under conditions; returns its version.

        Args:
            conditions: see `requests.WriteConditions`.

        Raises:
            VersionConflict: the item has another version; nothing was stored.
            InvalidItem, InvalidNamespaceError: an argument is of no use; nothing was stored.
            StoreUnavailable: the database cannot be used; the message says if it is unknown
                whether the item was stored.
        """
        self._refuse_to_block()
        return self._runner.write(self._requests.write(namespace, key, value, index, **conditions))

    async def awrite(
        self,
        namespace: tuple[str, ...],
        key: str,
        value: Mapping[str, Any],
        index: Literal[False] | list[str] | None = None,
        **conditions: Unpack[WriteConditions],
    ) -> int:
        """`write` for the event loop; the item is durable when it returns."""
        draft = self._requests.write(namespace, key, value, index, **conditions)
        return await self._runner.awrite(draft)

    def undelete(self, namespace: tuple[str, ...], key: str) -> int | None:
        """Bring back what the last delete of a key took; returns its version, None if it is gone.

        Raises:
            VersionConflict: the key holds a newer value.
        """
        (version,) = self._run(self._requests.undelete(namespace, key))
        return cast("int | None", version)

    async def aundelete(self, namespace: tuple[str, ...], key: str) -> int | None:
        """`undelete` for the event loop."""
        (version,) = await self._runner.arun([self._requests.undelete(namespace, key)])
        return cast("int | None", version)

    async def aforget(self, *, source: str | None = None, run_id: str | None = None) -> Forgotten:
        """Remove for good all that a source or a run caused, wherever it is in the store.

        See `forgetting.forget` for what that covers and what it cannot.

        Raises:
            InvalidItem: neither or both are given.
            StoreError: the store failed; nothing was forgotten.
        """
        (forgotten,) = await self._memori.commit(
            lambda tx: forget(tx, source=source, run_id=run_id)
        )
        return cast("Forgotten", forgotten)

    async def export_jsonl(self, target: str | Path | BinaryIO) -> Exported:
        """Write all items of the tenant as JSON Lines; see `transfer.export_jsonl`."""
        return await transfer.export_jsonl(self._memori, target)

    async def import_jsonl(
        self, source: str | Path | BinaryIO, *, on_conflict: OnConflict = "error"
    ) -> Imported:
        """Store the items of an export; see `transfer.import_jsonl`."""
        imported = await transfer.import_jsonl(self._memori, source, on_conflict=on_conflict)
        await self._index.aadded(imported.indexed)
        return imported

    async def copy_to(self, target: MemoriStore) -> list[CopiedTable]:
        """Copy all that the tenant has into an empty tenant of another store, and compare it.

        See `copying.copy_to`: items and the workflow half, with counts and hashes of both sides.

        Raises:
            InputError: the target's tenant holds something already; nothing was changed.
            StoreError: either store failed, or both differ in the end; call it again.
        """
        copied = await copy_to(self._memori, target.memori)
        await target._index.aadded(1)
        return copied

    async def index_progress(self) -> list[IndexProgress]:
        """How far the search index is: full text, and the vectors of the embedder."""
        return await self._memori.read(self._index.progress)

    async def sweep_ttl(self) -> int:
        """Delete the expired items; returns how many."""
        now = round(self._memori.clock.now() * 1_000_000)
        (swept,) = await self._memori.commit(lambda tx: items.sweep(tx, now))
        return int(swept)

    async def start_ttl_sweeper(self, sweep_interval_minutes: float | None = None) -> object:
        """Sweep at an interval in the background, until `stop_ttl_sweeper`; returns the task.

        Raises:
            InvalidItem: the interval is of no use.
            StoreError: the store is closed, or cannot be opened; nothing was started.
        """
        given = sweep_interval_minutes
        if given is None:
            given = (self.ttl_config or {}).get("sweep_interval_minutes") or _SWEEP_MINUTES
        minutes = arguments.minutes(given, "sweep_interval_minutes")
        await self.setup()  # a task on a store that cannot be used would only fail, and for ever
        return self._sweeper.start(minutes * 60)

    async def stop_ttl_sweeper(self, timeout: float | None = None) -> bool:
        """Stop the sweeper; False if a sweep did not finish within the time-out in seconds."""
        return await self._sweeper.stop(timeout)

    def _run(self, operation: Operation) -> list[Any]:
        self._refuse_to_block()
        return self._runner.run([operation])

    @property
    def _requests(self) -> Requests:
        if self._read_under.ttl is not self.ttl_config:  # LangGraph's users change it at times
            self._configure()
        return self._read_under

    @property
    def _runner(self) -> Runner:
        if self._run_under.ttl is not self.ttl_config:
            self._configure()
        return self._run_under

    def _configure(self) -> None:
        ttl, shows_cosine = self.ttl_config, self.embeddings is not None
        self._read_under = Requests(self._paths, ttl, self._provenance)
        self._run_under = Runner(self._memori, self._index, shows_cosine, ttl, self._undo_us)

    def _refuse_to_block(self) -> None:
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            return
        if running is self._loop:
            raise asyncio.InvalidStateError(
                "a synchronous call would block the event loop of this store: await the method of "
                "the same name that begins with 'a', or call from another thread"
            )


def _item(found: Sequence[Any]) -> MemoriItem | None:
    (stored,) = found
    return present.item(stored) if isinstance(stored, StoredItem) else None


def _embedding(index: IndexConfig | None, embedder: Embedder | None) -> Embedding | None:
    embed = (index or {}).get("embed")
    if embed is None:
        return None if embedder is None else OwnEmbedding(arguments.embedder(embedder))
    if embedder is not None:
        raise InvalidItem("give an embedder or index['embed'], not both")
    return LangChainEmbedding(ensure_embeddings(embed), (index or {}).get("dims", 0))
