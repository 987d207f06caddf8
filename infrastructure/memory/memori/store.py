"""MemoriStore: LangGraph's `BaseStore` over Memori.

One `batch` or `abatch` is one transaction: its reads see what was there before its writes, and if
one operation is wrong nothing of the call is stored. Results come in the order of the operations.
Values are plain JSON (see `values.encode`), filters those of `filters`; a search without a query
lists the last written first. Times are UTC with microseconds.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self, cast

from langgraph.store.base import (
    BaseStore,
    GetOp,
    IndexConfig,
    InvalidNamespaceError,
    Item,
    ListNamespacesOp,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    TTLConfig,
    ensure_embeddings,
    get_text_at_path,
)

from infrastructure.embeddings.embedder import Embedder
from infrastructure.errors import StoreError
from infrastructure.memory.memori import filter_sql, filters, items
from infrastructure.memory.memori.embedding import (
    Embedding,
    LangChainEmbedding,
    OwnEmbedding,
    Vectors,
)
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.items import Namespace, StoredItem
from infrastructure.memory.memori.operations import (
    Batch,
    Embedded,
    Found,
    Get,
    Hit,
    ListNamespaces,
    NamespaceMatch,
    Operation,
    Put,
    Search,
)
from infrastructure.memory.memori.sweeper import Sweeper
from infrastructure.memory.memori.text_index import leaves
from infrastructure.memory.memori.values import InvalidItem, check_text, decode, encode_object

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_US_PER_MINUTE: Final = 60_000_000
_MAX_TTL_MINUTES: Final = 1e9
_MAX_COUNT: Final = 2**62
_SWEEP_MINUTES: Final = 5.0
_RESERVED_ROOT: Final = "langgraph"
_WHOLE: Final = "$"


class MemoriStore(BaseStore):
    """A LangGraph store on one tenant's handle.

    Async methods never block the event loop; sync ones block their thread, also where a loop runs.

    Args:
        memori: the open database; whoever opened it closes it.
        index: LangGraph's index config: an embedder with its `dims`, and the `fields` of a value
            that are indexed (the whole value unless given). Full text is indexed in any case.
        ttl: LangGraph's TTL config.
        embedder: an embedder of ours, in place of `index["embed"]`.

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
    ) -> None:
        self.ttl_config = ttl
        self.index_config = index
        self._memori = memori
        self._embedding = _embedding(index, embedder)
        self._fields = _fields(index)
        self._omit_expired = bool((ttl or {}).get("omit_expired", False))
        self._sweeper = Sweeper(self.sweep_ttl)

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
        """A store on a path or `:memory:`, closed when the context ends."""
        if "://" in conn_string:
            raise StoreError("only SQLite is supported here: give the path of a file, or :memory:")
        memori = Memori.open(conn_string)
        try:
            store = cls(memori, index=index, ttl=ttl)
            try:
                yield store
            finally:
                await store.stop_ttl_sweeper()
        finally:
            await memori.aclose()

    async def setup(self) -> None:
        """Open the database and bring its schema up to date now, rather than at the first use."""
        await self._memori.read(lambda tx: None)

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Run operations in one transaction.

        Raises:
            InvalidItem, InvalidNamespaceError: an operation is wrong; the message has its index.
            StoreUnavailable: the database cannot be used.
        """
        operations = self._prepare(ops)
        batch = Batch(operations, self._embed(operations), self._omit_expired)
        if batch.writes:
            (outcome,) = self._memori.commit_sync(lambda tx: batch.run(tx, self._now()))
        else:
            outcome = self._memori.read_sync(lambda tx: batch.read(tx, self._now()))
            if outcome.refreshed:
                self._memori.commit_sync(
                    lambda tx: items.refresh(tx, outcome.refreshed, self._now())
                )
        return [_present(found) for found in outcome.found]

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """`batch` for the event loop; what is put is durable when it returns."""
        operations = self._prepare(ops)
        batch = Batch(operations, await self._aembed(operations), self._omit_expired)
        if batch.writes:
            (outcome,) = await self._memori.commit(lambda tx: batch.run(tx, self._now()))
        else:
            outcome = await self._memori.read(lambda tx: batch.read(tx, self._now()))
            if outcome.refreshed:
                await self._memori.commit(
                    lambda tx: items.refresh(tx, outcome.refreshed, self._now())
                )
        return [_present(found) for found in outcome.found]

    async def sweep_ttl(self) -> int:
        """Delete the expired items; returns how many."""
        (swept,) = await self._memori.commit(lambda tx: items.sweep(tx, self._now()))
        return int(swept)

    async def start_ttl_sweeper(self, sweep_interval_minutes: float | None = None) -> object:
        """Sweep at an interval in the background, until `stop_ttl_sweeper`; returns the task."""
        minutes = sweep_interval_minutes or (self.ttl_config or {}).get("sweep_interval_minutes")
        return self._sweeper.start((minutes or _SWEEP_MINUTES) * 60)

    async def stop_ttl_sweeper(self, timeout: float | None = None) -> bool:
        """Stop the sweeper; False if a sweep did not finish within the time-out in seconds."""
        return await self._sweeper.stop(timeout)

    def _now(self) -> int:
        return round(self._memori.clock.now() * 1_000_000)

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
                return Get(_namespace(op.namespace), check_text(op.key, "key"), op.refresh_ttl)
            case SearchOp():
                return _search(op)
            case PutOp():
                return self._put(op)
            case ListNamespacesOp():
                return _list_namespaces(op)
            case _:
                raise InvalidItem(f"{type(op).__name__} is not an operation of a store")

    def _put(self, op: PutOp) -> Put:
        namespace = _namespace(op.namespace)
        if not namespace or namespace[0] == _RESERVED_ROOT:
            raise InvalidNamespaceError(
                f"items need a namespace, and one that does not begin with {_RESERVED_ROOT!r}"
            )
        key = check_text(op.key, "key")
        if op.value is None:
            return Put(namespace, key, None, None, ())
        value = encode_object(op.value)
        return Put(namespace, key, value, _ttl(op.ttl), self._texts(decode(value), op.index))

    def _texts(self, value: dict[str, Any], index: object) -> tuple[str, ...]:
        """The texts of a value that are indexed."""
        if index is False:
            return ()
        paths = self._fields if index is None else index
        if not isinstance(paths, list):
            raise InvalidItem("index must be False, None or a list of paths")
        found: list[str] = []
        for path in cast("list[object]", paths):
            if check_text(path, "a path of index") == _WHOLE:
                found.append("\n".join(leaves(value)))
            else:
                found.extend(get_text_at_path(value, cast("str", path)))
        return tuple(text for text in found if text)

    def _embed(self, operations: list[Operation]) -> Embedded:
        embedding = self._embedding
        documents, queries = _to_embed(operations)
        if embedding is None or not (documents or queries):
            return Embedded()
        of_documents = embedding.documents(documents) if documents else None
        of_queries = embedding.queries(queries) if queries else None
        return Embedded(
            embedding.identity, _by_text(documents, of_documents), _by_text(queries, of_queries)
        )

    async def _aembed(self, operations: list[Operation]) -> Embedded:
        embedding = self._embedding
        documents, queries = _to_embed(operations)
        if embedding is None or not (documents or queries):
            return Embedded()
        of_documents = await embedding.adocuments(documents) if documents else None
        of_queries = await embedding.aqueries(queries) if queries else None
        return Embedded(
            embedding.identity, _by_text(documents, of_documents), _by_text(queries, of_queries)
        )


def _embedding(index: IndexConfig | None, embedder: Embedder | None) -> Embedding | None:
    embed = (index or {}).get("embed")
    if embed is None:
        return None if embedder is None else OwnEmbedding(embedder)
    if embedder is not None:
        raise InvalidItem("give an embedder or index['embed'], not both")
    dimensions = (index or {}).get("dims")
    if not dimensions:
        raise InvalidItem("index['embed'] needs index['dims'], the length of its vectors")
    return LangChainEmbedding(ensure_embeddings(embed), dimensions)


def _fields(index: IndexConfig | None) -> list[str]:
    """The indexed paths; LangGraph's SQLite store calls them `text_fields`."""
    config = cast("Mapping[str, Any]", index or {})
    fields = config.get("fields") or config.get("text_fields") or [_WHOLE]
    if not isinstance(fields, list):
        raise InvalidItem("index['fields'] must be a list of paths")
    return [check_text(field, "a path of index") for field in cast("list[object]", fields)]


def _to_embed(operations: list[Operation]) -> tuple[list[str], list[str]]:
    """The distinct texts of documents and of queries."""
    documents = [text for put in operations if isinstance(put, Put) for text in put.texts]
    queries = [
        search.query
        for search in operations
        if isinstance(search, Search) and search.query is not None
    ]
    return list(dict.fromkeys(documents)), list(dict.fromkeys(queries))


def _by_text(texts: list[str], vectors: Vectors | None) -> dict[str, Vectors]:
    return {} if vectors is None else dict(zip(texts, vectors, strict=True))


def _namespace(labels: object) -> Namespace:
    """The labels, each a text that is not empty and has no period in it."""
    if not isinstance(labels, tuple | list):
        raise InvalidNamespaceError(
            f"a namespace is a tuple of labels, not {type(labels).__name__}"
        )
    checked: list[str] = []
    for label in cast("Sequence[object]", labels):
        if not isinstance(label, str) or not label or "." in label:
            raise InvalidNamespaceError(
                f"namespace {labels!r:.200} has the label {label!r:.80}; a label is a text that is "
                "not empty and has no period in it"
            )
        checked.append(check_text(label, "a namespace label"))
    return tuple(checked)


def _search(op: SearchOp) -> Search:
    query = check_text(op.query, "query") if op.query is not None else ""
    return Search(
        _namespace(op.namespace_prefix),
        filter_sql.where(filters.parse(op.filter)),
        _count(op.limit, "limit"),
        _count(op.offset, "offset"),
        query or None,
        op.refresh_ttl,
    )


def _list_namespaces(op: ListNamespacesOp) -> ListNamespaces:
    conditions: list[NamespaceMatch] = []
    for condition in op.match_conditions or ():
        if condition.match_type not in ("prefix", "suffix"):
            raise InvalidItem("a match condition is of type 'prefix' or 'suffix'")
        conditions.append(NamespaceMatch(condition.match_type, _namespace(condition.path)))
    depth = op.max_depth
    if depth is not None and _count(depth, "max_depth") == 0:
        raise InvalidItem("max_depth must be at least 1")
    return ListNamespaces(
        tuple(conditions), depth, _count(op.limit, "limit"), _count(op.offset, "offset")
    )


def _count(number: object, what: str) -> int:
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= _MAX_COUNT:
        raise InvalidItem(f"{what} must be an integer of at least 0, not {number!r:.40}")
    return number


def _ttl(minutes: object) -> int | None:
    """Minutes as whole microseconds."""
    if minutes is None:
        return None
    if (
        isinstance(minutes, bool)
        or not isinstance(minutes, int | float)
        or not math.isfinite(minutes)
        or not 0 <= minutes <= _MAX_TTL_MINUTES
    ):
        raise InvalidItem(
            f"ttl must be a number of minutes from 0 to {_MAX_TTL_MINUTES:.0e}, not {minutes!r:.40}"
        )
    return round(minutes * _US_PER_MINUTE)


def _present(found: Found) -> Result:
    if isinstance(found, StoredItem):
        return Item(
            namespace=found.namespace,
            key=found.key,
            value=found.value,
            created_at=_time(found.created_at),
            updated_at=_time(found.updated_at),
        )
    if found is None:
        return None
    return cast(
        "Result", [_search_item(entry) if isinstance(entry, Hit) else entry for entry in found]
    )


def _search_item(hit: Hit) -> SearchItem:
    item = hit.item
    return SearchItem(
        item.namespace,
        item.key,
        item.value,
        _time(item.created_at),
        _time(item.updated_at),
        hit.score,
    )


def _time(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
