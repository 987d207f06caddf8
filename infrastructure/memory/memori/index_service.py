"""The search index of one tenant as a store uses it: kept up in the background, asked in memory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final

from langgraph.store.base import get_text_at_path

from infrastructure.jsonvalue import JsonValue
from infrastructure.memory.memori import segments
from infrastructure.memory.memori.arguments import WHOLE
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.embedding import Embedding, Vectors
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.indexed_items import count_after, last_indexed_id
from infrastructure.memory.memori.indexer import MAX_BACKLOG, STALL_S, Indexer, IndexProgress
from infrastructure.memory.memori.search import Searcher
from infrastructure.memory.memori.search_index import (
    MAX_TAIL,
    TEXT_KIND,
    SearchIndex,
    TextKind,
    VectorKind,
)
from infrastructure.memory.memori.segments import DamagedIndex

MAX_DOCUMENTS: Final = 3_000_000
"""Documents held in memory for all tenants together, unless one alone has more."""
_MAX_RESIDENT: Final = 1_000
# Writers wait for room before so many lack their vectors: more belong to a new embedder.
_REBUILDING: Final = 2 * MAX_BACKLOG
_THREADS: Final = 2
_VECTOR_THREADS: Final = 4


class IndexService:
    """An indexer and an index in memory; one for each embedder of a tenant."""

    def __init__(self, memori: Memori, embedding: Embedding | None, indexes: SearchIndexes) -> None:
        kind = None if embedding is None else VectorKind(embedding)
        self.index = SearchIndex(kind, texts_of)
        self.vectors = (
            None
            if kind is None
            else Indexer(memori, indexes.vector_pool, kind, texts_of, behind=TEXT_KIND)
        )
        advanced = None if self.vectors is None else self.vectors.wake
        self.text = Indexer(memori, indexes.text_pool, TextKind(), texts_of, advanced=advanced)
        self._memori = memori
        self._indexes = indexes
        self._embedding = embedding

    @classmethod
    def of(cls, memori: Memori, embedding: Embedding | None) -> IndexService:
        """The service of a tenant's handle, shared by its stores with the same embedder."""
        return memori.companion(SearchIndexes, SearchIndexes).service(memori, embedding)

    def progress(self, tx: Tx) -> list[IndexProgress]:
        """How far full text is, and the vectors."""
        return [indexer.progress(tx) for indexer in self._indexers()]

    def close(self) -> None:
        """Stop indexing."""
        for indexer in self._indexers():
            indexer.close()

    def added(self, count: int) -> None:
        """Tell of stored items that are to be indexed; waits when too many wait already."""
        for room in self._added(count):
            with suppress(Exception):  # they are stored in any case; a search tells what is wrong
                room.result(STALL_S)

    async def aadded(self, count: int) -> None:
        """`added` for the event loop."""
        for room in self._added(count):
            await asyncio.wait([asyncio.wrap_future(room)], timeout=STALL_S)

    def searcher(self, queries: Sequence[str], shows_cosine: bool) -> Searcher:
        """What answers these queries."""
        if not queries:
            return Searcher(self.index, {})
        self._indexes.used(self)
        if self._waits():
            self._wait(self._memori.read_sync(self._lag))
        embedding = self._embedding
        if embedding is None:
            return Searcher(self.index, {})
        return self._searcher(queries, lambda: embedding.queries(list(queries)), shows_cosine)

    async def asearcher(self, queries: Sequence[str], shows_cosine: bool) -> Searcher:
        """`searcher` for the event loop."""
        if not queries:
            return Searcher(self.index, {})
        self._indexes.used(self)
        if self._waits():
            lag = await self._memori.read(self._lag)
            await asyncio.to_thread(self._wait, lag)
        embedding = self._embedding
        if embedding is None:
            return Searcher(self.index, {})
        try:
            vectors = await embedding.aqueries(list(queries))
        except Exception as error:  # noqa: BLE001 - an embedder may fail with anything; words match
            self._failed(error)
            return Searcher(self.index, {}, shows_cosine)
        return Searcher(self.index, dict(zip(queries, vectors, strict=True)), shows_cosine)

    def catch_up(self, until: int) -> None:
        """Wait until full text is indexed up to an id.

        Raises:
            StoreError: it cannot be.
        """
        self.text.reached(until).result()

    def rebuild(self, error: DamagedIndex) -> None:
        """Make the index anew from the items, as it is damaged."""
        self.text.rebuild(error)

    def _indexers(self) -> list[Indexer]:
        return [self.text] if self.vectors is None else [self.text, self.vectors]

    def _added(self, count: int) -> list[Future[None]]:
        if not count:
            return []
        self.text.added(count)
        if self.vectors is not None:
            self.vectors.expects(count)
        return [room for indexer in self._indexers() if (room := indexer.room()) is not None]

    def _waits(self) -> bool:
        """Whether a search waits for vectors that it cannot make itself, and that are made."""
        vectors, embedding = self.vectors, self._embedding
        if vectors is None or embedding is None or not vectors.healthy:
            return False
        return not embedding.instant or vectors.backlog > MAX_TAIL

    def _lag(self, tx: Tx) -> int:
        """Up to which id vectors are to be made first; 0 if none lacks them, or too many do."""
        assert self.vectors is not None
        left = count_after(tx, segments.cursor(tx, self.vectors.kind.name), _REBUILDING)
        if left:
            self.text.wake()  # others may have stored them, and told nobody
            self.vectors.wake()
        return last_indexed_id(tx) if 0 < left < _REBUILDING else 0

    def _wait(self, lag: int) -> None:
        if lag and self.vectors is not None:
            # What takes longer is not waited for: words answer.
            with suppress(TimeoutError):
                self.text.reached(lag).result(STALL_S)
                self.vectors.reached(lag).result(STALL_S)

    def _searcher(
        self, queries: Sequence[str], embed: Callable[[], Vectors], shows_cosine: bool
    ) -> Searcher:
        try:
            vectors = embed()
        except Exception as error:  # noqa: BLE001 - as above
            self._failed(error)
            return Searcher(self.index, {}, shows_cosine)
        return Searcher(self.index, dict(zip(queries, vectors, strict=True)), shows_cosine)

    def _failed(self, error: Exception) -> None:
        if self.vectors is not None:
            self.vectors.failed(error)


class SearchIndexes:
    """The search indexes of all tenants of a store: few threads, and bounded memory."""

    def __init__(self, max_documents: int = MAX_DOCUMENTS) -> None:
        self.text_pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="memori-text-indexer")
        # Apart, and more: an embedder may be slow, or hang.
        self.vector_pool = ThreadPoolExecutor(
            _VECTOR_THREADS, thread_name_prefix="memori-vector-indexer"
        )
        self._max_documents = max_documents
        self._lock = threading.Lock()
        self._services: dict[tuple[str, str], IndexService] = {}
        self._resident: dict[IndexService, None] = {}  # in the order of their last use

    def service(self, memori: Memori, embedding: Embedding | None) -> IndexService:
        """The service for a tenant and an embedder, made at its first use."""
        key = (memori.tenant, "" if embedding is None else embedding.identity)
        with self._lock:
            if key not in self._services:
                self._services[key] = IndexService(memori, embedding, self)
            return self._services[key]

    def used(self, service: IndexService) -> None:
        """Note that an index is searched; those not searched for longest leave the memory."""
        with self._lock:
            self._resident.pop(service, None)
            self._resident[service] = None
            left = [other for other in self._resident if other is not service]
            held = sum(len(resident.index) for resident in self._resident)
            leaving: list[IndexService] = []
            for other in left:
                if held <= self._max_documents and len(left) - len(leaving) < _MAX_RESIDENT:
                    break
                held -= len(other.index)
                leaving.append(other)
                del self._resident[other]
        for other in leaving:
            other.index.forget()

    def close(self) -> None:
        """Stop indexing."""
        for service in self._services.values():
            service.close()
        self.text_pool.shutdown(wait=True)
        self.vector_pool.shutdown(wait=False)


def texts_of(value: dict[str, Any], paths: list[str]) -> tuple[str, ...]:
    """The texts of a value at LangGraph's paths; `$` is all its texts and numbers as one."""
    found: list[str] = []
    for path in paths:
        if path == WHOLE:
            found.append("\n".join(leaves(value)))
        else:
            found.extend(get_text_at_path(value, path))
    return tuple(text for text in found if text)


def leaves(value: JsonValue) -> Iterator[str]:
    """The texts and numbers within a value; its keys say what they are, not what they say."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for child in value.values():
            yield from leaves(child)
    elif isinstance(value, list):
        for child in value:
            yield from leaves(child)
    elif value is not None and not isinstance(value, bool):
        yield str(value)
