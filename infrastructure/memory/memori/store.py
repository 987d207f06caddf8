"""MemoriStore: LangGraph's `BaseStore` over Memori.

One `batch` or `abatch` is one transaction: its reads see what was there before its writes, and if
one operation is wrong nothing of the call is stored. Results come in the order of the operations.
Values are plain JSON (see `values.encode`), filters those of `filters`; a search without a query
lists the last written first. Times are UTC with microseconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from copy import copy
from typing import Any, Final, Literal, Self, cast

from langgraph.store.base import (
    NOT_PROVIDED,
    BaseStore,
    GetOp,
    IndexConfig,
    InvalidNamespaceError,
    ListNamespacesOp,
    NotProvided,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    TTLConfig,
    ensure_embeddings,
)

from infrastructure.embeddings.embedder import Embedder
from infrastructure.memory.memori import arguments, cursors, filters, items, ordering, present
from infrastructure.memory.memori.embedding import Embedding, LangChainEmbedding, OwnEmbedding
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.index_service import IndexService
from infrastructure.memory.memori.indexer import IndexProgress
from infrastructure.memory.memori.items import Draft, StoredItem
from infrastructure.memory.memori.operations import (
    Batch,
    Delete,
    Get,
    ListNamespaces,
    NamespaceMatch,
    Operation,
    Outcome,
    Put,
    Undelete,
)
from infrastructure.memory.memori.ordering import Order
from infrastructure.memory.memori.present import MemoriItem, Page
from infrastructure.memory.memori.provenance import UNKNOWN, Provenance
from infrastructure.memory.memori.ranking import Ranking
from infrastructure.memory.memori.search import Search, Searcher
from infrastructure.memory.memori.segments import DamagedIndex
from infrastructure.memory.memori.sweeper import Sweeper
from infrastructure.memory.memori.values import InvalidItem, encode, encode_object

_SWEEP_MINUTES: Final = 5.0
_UNDO_S: Final = 86_400.0
_LIMIT: Final = 10
_RESERVED_ROOT: Final = "langgraph"


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
        self._shows_cosine = self.embeddings is not None
        self._provenance = arguments.provenance(provenance)
        self._undo_us = arguments.undo_us(undo_s)
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
    ) -> AsyncGenerator[Self]:
        """A store on a path, `:memory:` or `postgresql://...`, closed when the context ends.

        Args:
            index, ttl: LangGraph's configs, as of the store.

        Raises:
            InvalidItem: a config, or the place, is of no use.
            StoreError: another kind of URL, or the `postgres` extra is not installed.
        """
        memori = Memori.open(arguments.place(conn_string))
        try:
            store = cls(memori, index=index, ttl=ttl)
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
        return [present.result_of(found) for found in self._run(self._prepare(ops))]

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """`batch` for the event loop; what is put is durable when it returns."""
        return [present.result_of(found) for found in await self._arun(self._prepare(ops))]

    def get(
        self, namespace: tuple[str, ...], key: str, *, refresh_ttl: bool | None = None
    ) -> MemoriItem | None:
        """The item, or None; a read begins its life anew when asked to, or configured so."""
        return _item(self._run([self._get(namespace, key, self._refreshes(refresh_ttl))])[0])

    async def aget(
        self, namespace: tuple[str, ...], key: str, *, refresh_ttl: bool | None = None
    ) -> MemoriItem | None:
        """`get` for the event loop."""
        found = await self._arun([self._get(namespace, key, self._refreshes(refresh_ttl))])
        return _item(found[0])

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
            value: a dict of plain JSON values.
            index: the paths whose texts are searched; False for none, None for the configured.
            ttl: minutes that the item lives; None for ever.
        """
        self._refuse_to_block()
        draft = self._new(namespace, key, value, index, ttl)
        self._memori.commit_sync(lambda tx: items.put(tx, draft, self._now()))
        self._index.added(draft.paths is not None)

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
        await self._write(self._new(namespace, key, value, index, ttl))

    def search(
        self,
        namespace_prefix: tuple[str, ...],
        /,
        *,
        query: str | None = None,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's name
        limit: int = _LIMIT,
        offset: int = 0,
        refresh_ttl: bool | None = None,
        ranking: Ranking | None = None,
        order_by: str | Sequence[str] | None = None,
        descending: bool = False,
    ) -> list[SearchItem]:
        """The items under a namespace prefix that a filter accepts.

        With a query the best matches come first, then the rest with a score of None; without one
        they come in the order given, or the last written first. Scores are the ranking's; with
        LangGraph's `index["embed"]` they are the cosines, as in LangGraph's stores, though words
        count in the order there too.

        Args:
            ranking: how matches are weighed.
            order_by: "created_at", "updated_at", "key", or a field of the value (its key, or the
                keys that lead to it); not together with a query.

        Raises:
            InvalidItem, InvalidNamespaceError: an argument is of no use.
            StoreUnavailable: the database cannot be used.
        """
        search = self._search(
            namespace_prefix, query, filter, limit, offset, refresh_ttl, ranking, order_by,
            descending,
        )  # fmt: skip
        return cast("list[SearchItem]", present.search_items(self._run([search])[0]))

    async def asearch(
        self,
        namespace_prefix: tuple[str, ...],
        /,
        *,
        query: str | None = None,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's name
        limit: int = _LIMIT,
        offset: int = 0,
        refresh_ttl: bool | None = None,
        ranking: Ranking | None = None,
        order_by: str | Sequence[str] | None = None,
        descending: bool = False,
    ) -> list[SearchItem]:
        """`search` for the event loop."""
        search = self._search(
            namespace_prefix, query, filter, limit, offset, refresh_ttl, ranking, order_by,
            descending,
        )  # fmt: skip
        return cast("list[SearchItem]", present.search_items((await self._arun([search]))[0]))

    # More than LangGraph's

    async def apage(
        self,
        namespace_prefix: tuple[str, ...],
        /,
        *,
        query: str | None = None,
        filter: dict[str, Any] | None = None,  # noqa: A002 - as in `search`
        limit: int = _LIMIT,
        cursor: str | None = None,
        ranking: Ranking | None = None,
        order_by: str | Sequence[str] | None = None,
        descending: bool = False,
    ) -> Page:
        """One page of a search; what is written meanwhile neither repeats nor skips other items.

        Args:
            cursor: of the page before, got with the same arguments; None for the first page.

        Raises:
            InvalidItem: the cursor belongs to another search.
        """
        size = arguments.page_size(limit)
        # One more than the page has tells whether there is a next one.
        search = self._search(
            namespace_prefix, query, filter, size + 1, 0, False, ranking, order_by, descending
        )
        search = search.following(cursors.read(search, cursor))
        hits = (await self._arun([search]))[0]
        page = hits[:size]
        following = cursors.write(search, page) if len(hits) > size else None
        return Page(present.search_items(page), following)

    async def awrite(
        self,
        namespace: tuple[str, ...],
        key: str,
        value: Mapping[str, Any],
        index: Literal[False] | list[str] | None = None,
        *,
        ttl: float | NotProvided | None = NOT_PROVIDED,
        expected_version: int | None = None,
        write_id: str | None = None,
        provenance: Provenance | None = None,
    ) -> int:
        """Put an item under conditions; returns its version.

        Args:
            ttl: minutes that the item lives; None for ever.
            expected_version: stored only if the item has this version now; 0: if there is none.
            write_id: the caller's id of this write, remembered for a week: when an error leaves
                it unknown whether it was stored, the same call under the same id stores it once.
            provenance: instead of the store's own.

        Raises:
            VersionConflict: the item has another version; nothing was stored.
            InvalidItem, InvalidNamespaceError: an argument is of no use; nothing was stored.
            StoreUnavailable: the database cannot be used; the message says if it is unknown
                whether the item was stored.
        """
        draft = self._draft(
            namespace, key, value, index, self._default_ttl(ttl),
            self._provenance if provenance is None else arguments.provenance(provenance),
            arguments.version(expected_version),
            arguments.write_id(write_id),
        )  # fmt: skip
        return await self._write(draft)

    async def adelete(
        self, namespace: tuple[str, ...], key: str, *, expected_version: int | None = None
    ) -> None:
        """Delete an item, if it is there; `aundelete` can bring it back for `undo_s` seconds.

        Raises:
            VersionConflict: the item has another version; nothing was deleted.
        """
        expected = arguments.version(expected_version)
        await self._arun([Delete(arguments.namespace(namespace), items.check_key(key), expected)])

    async def aundelete(self, namespace: tuple[str, ...], key: str) -> int | None:
        """Bring back what the last delete of a key took; returns its version, None if it is gone.

        Raises:
            VersionConflict: the key holds a newer value.
        """
        undelete = Undelete(arguments.namespace(namespace), items.check_key(key))
        return cast("int | None", (await self._arun([undelete]))[0])

    async def index_progress(self) -> list[IndexProgress]:
        """How far the search index is: full text, and the vectors of the embedder."""
        return await self._memori.read(self._index.indexer.progress)

    async def sweep_ttl(self) -> int:
        """Delete the expired items; returns how many."""
        (swept,) = await self._memori.commit(lambda tx: items.sweep(tx, self._now()))
        return int(swept)

    async def start_ttl_sweeper(self, sweep_interval_minutes: float | None = None) -> object:
        """Sweep at an interval in the background, until `stop_ttl_sweeper`; returns the task."""
        given = sweep_interval_minutes
        if given is None:
            given = (self.ttl_config or {}).get("sweep_interval_minutes") or _SWEEP_MINUTES
        minutes = arguments.minutes(given, "sweep_interval_minutes")
        return self._sweeper.start(minutes * 60)

    async def stop_ttl_sweeper(self, timeout: float | None = None) -> bool:
        """Stop the sweeper; False if a sweep did not finish within the time-out in seconds."""
        return await self._sweeper.stop(timeout)

    # How operations run

    async def _write(self, draft: Draft) -> int:
        (version,) = await self._memori.commit(lambda tx: items.put(tx, draft, self._now()))
        if draft.paths is not None:
            await self._index.aadded(1)
        return int(version)

    def _run(self, operations: Sequence[Operation]) -> list[Any]:
        self._refuse_to_block()
        try:
            return self._run_once(operations)
        except DamagedIndex as error:
            self._index.rebuild(error)
            return self._run_once(operations)

    async def _arun(self, operations: Sequence[Operation]) -> list[Any]:
        try:
            return await self._arun_once(operations)
        except DamagedIndex as error:
            await asyncio.to_thread(self._index.rebuild, error)
            return await self._arun_once(operations)

    def _run_once(self, operations: Sequence[Operation]) -> list[Any]:
        batch = self._batch(
            operations, self._index.searcher(_queries(operations), self._shows_cosine)
        )
        if batch.writes:
            with self._rolled_back(operations):
                (outcome,) = self._memori.commit_sync(lambda tx: batch.run(tx, self._now()))
            self._index.added(batch.indexed)
        else:
            outcome = self._memori.read_sync(lambda tx: batch.read(tx, self._now()))
            if outcome.refreshed:
                self._memori.commit_sync(lambda tx: self._refresh(outcome, tx))
        return outcome.found

    async def _arun_once(self, operations: Sequence[Operation]) -> list[Any]:
        batch = self._batch(
            operations, await self._index.asearcher(_queries(operations), self._shows_cosine)
        )
        if batch.writes:
            with self._rolled_back(operations):
                (outcome,) = await self._memori.commit(lambda tx: batch.run(tx, self._now()))
            await self._index.aadded(batch.indexed)
        else:
            outcome = await self._memori.read(lambda tx: batch.read(tx, self._now()))
            if outcome.refreshed:
                await self._memori.commit(lambda tx: self._refresh(outcome, tx))
        return outcome.found

    def _batch(self, operations: Sequence[Operation], searcher: Searcher) -> Batch:
        omit_expired = bool((self.ttl_config or {}).get("omit_expired", False))
        return Batch(operations, searcher, omit_expired, self._undo_us)

    def _refresh(self, outcome: Outcome, tx: Any) -> None:
        items.refresh(tx, outcome.refreshed, self._now())

    @contextmanager
    def _rolled_back(self, operations: Sequence[Operation]) -> Generator[None]:
        """Around a commit: a search in it saw writes that may not be stored in the end."""
        try:
            yield
        except BaseException:
            if _queries(operations):
                self._index.distrust()
            raise

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

    def _now(self) -> int:
        return round(self._memori.clock.now() * 1_000_000)

    # How operations are read

    def _prepare(self, ops: Iterable[Op]) -> list[Operation]:
        operations: list[Operation] = []
        for index, op in enumerate(ops):
            try:
                operations.append(self._operation(op))
            except InvalidNamespaceError as error:
                raise InvalidNamespaceError(f"operation {index}: {error}") from error
            except InvalidItem as error:
                raise InvalidItem(f"operation {index}: {error}") from error
        return operations

    def _operation(self, op: Op) -> Operation:
        match op:
            case GetOp():
                return self._get(op.namespace, op.key, op.refresh_ttl and self._refreshes(None))
            case SearchOp():
                return self._search(
                    op.namespace_prefix, op.query, op.filter, op.limit, op.offset,
                    op.refresh_ttl and self._refreshes(None),
                )  # fmt: skip
            case PutOp() if op.value is None:
                return Delete(arguments.namespace(op.namespace), items.check_key(op.key))
            case PutOp():
                draft = self._draft(
                    op.namespace, op.key, op.value, op.index, op.ttl, self._provenance
                )
                return Put(draft)
            case ListNamespacesOp():
                return _list_namespaces(op)
            case _:
                raise InvalidItem(f"{type(op).__name__} is not an operation of a store")

    def _refreshes(self, asked: bool | None) -> bool:
        """Whether a read begins an item's life anew: as asked, else as configured, else not."""
        if asked is not None:
            return arguments.flag(asked, "refresh_ttl")
        return bool((self.ttl_config or {}).get("refresh_on_read", False))

    def _default_ttl(self, ttl: float | NotProvided | None) -> float | None:
        if isinstance(ttl, NotProvided):
            return (self.ttl_config or {}).get("default_ttl")
        return ttl

    def _get(self, namespace: object, key: object, refresh: bool) -> Get:
        return Get(arguments.namespace(namespace), items.check_key(key), refresh)

    def _new(self, namespace: object, key: object, value: object, index: object, ttl: Any) -> Draft:
        place = arguments.namespace(namespace, required=True)
        if place[0] == _RESERVED_ROOT:
            raise InvalidNamespaceError(f"a namespace must not begin with {_RESERVED_ROOT!r}")
        return self._draft(place, key, value, index, self._default_ttl(ttl), self._provenance)

    def _draft(
        self,
        namespace: object,
        key: object,
        value: object,
        index: object,
        ttl: object,
        provenance: Provenance,
        expected: int | None = None,
        write_id: str | None = None,
    ) -> Draft:
        if index is None:
            paths: str | None = self._paths
        else:
            paths = None if index is False else encode(arguments.paths(index))
        return Draft(
            arguments.namespace(namespace, required=True),
            items.check_key(key),
            encode_object(value),
            arguments.ttl(ttl),
            paths,
            provenance,
            expected,
            write_id,
        )

    def _search(
        self,
        prefix: object,
        query: object,
        filter_: object,
        limit: object,
        offset: object,
        refresh: bool | None,
        ranking: Ranking | None = None,
        order_by: object = None,
        descending: bool = False,
    ) -> Search:
        text = arguments.query(query)
        if text and order_by is not None:
            raise InvalidItem("a query orders by match: give order_by or query, not both")
        return Search(
            arguments.namespace(prefix),
            filters.parse(filter_),
            arguments.count(limit, "limit"),
            arguments.count(offset, "offset"),
            self._refreshes(refresh),
            text,
            arguments.ranking(ranking),
            _order(order_by, arguments.flag(descending, "descending")),
        )


def _order(order_by: object, descending: bool) -> Order | None:
    if order_by is not None:
        return ordering.parse(order_by, descending=descending)
    if descending:
        raise InvalidItem("descending needs order_by: what is it to be ordered by?")
    return None


def _queries(operations: Sequence[Operation]) -> list[str]:
    found = [op.query for op in operations if isinstance(op, Search) and op.query is not None]
    return list(dict.fromkeys(found))


def _item(found: Any) -> MemoriItem | None:
    return present.item(found) if isinstance(found, StoredItem) else None


def _embedding(index: IndexConfig | None, embedder: Embedder | None) -> Embedding | None:
    embed = (index or {}).get("embed")
    if embed is None:
        return None if embedder is None else OwnEmbedding(embedder)
    if embedder is not None:
        raise InvalidItem("give an embedder or index['embed'], not both")
    return LangChainEmbedding(ensure_embeddings(embed), (index or {}).get("dims", 0))


def _labels(path: object) -> tuple[str, ...]:
    """The labels of a match condition; a text by itself is one label."""
    return arguments.namespace((path,) if isinstance(path, str) else path)


def _list_namespaces(op: ListNamespacesOp) -> ListNamespaces:
    conditions: list[NamespaceMatch] = []
    for condition in arguments.match_conditions(op.match_conditions):
        conditions.append(NamespaceMatch(condition.match_type, _labels(condition.path)))
    depth = op.max_depth
    if depth is not None and arguments.count(depth, "max_depth") == 0:
        raise InvalidItem("max_depth must be at least 1")
    return ListNamespaces(
        tuple(conditions),
        depth,
        arguments.count(op.limit, "limit"),
        arguments.count(op.offset, "offset"),
    )
