"""The search index of one tenant as a store uses it: kept up in the background, asked in memory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from langgraph.store.base import get_text_at_path

from infrastructure.jsonvalue import JsonValue
from infrastructure.memory.memori.arguments import WHOLE
from infrastructure.memory.memori.embedding import Embedding
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.indexer import Indexer
from infrastructure.memory.memori.search import Searcher
from infrastructure.memory.memori.search_index import SearchIndex, TextKind, VectorKind
from infrastructure.memory.memori.segments import DamagedIndex

MAX_DOCUMENTS: Final = 3_000_000
"""Documents held in memory for all tenants together, unless one alone has more."""
_MAX_RESIDENT: Final = 1_000
_THREADS: Final = 2


class IndexService:
    """An indexer and an index in memory; one for each embedder of a tenant."""

    def __init__(self, memori: Memori, embedding: Embedding | None, indexes: SearchIndexes) -> None:
        vectors = None if embedding is None else VectorKind(embedding)
        self.indexer = Indexer(memori, indexes.pool, texts_of, TextKind(), vectors)
        self.index = SearchIndex(vectors)
        self._memori = memori
        self._indexes = indexes
        self._embedding = embedding

    @classmethod
    def of(cls, memori: Memori, embedding: Embedding | None) -> IndexService:
        """The service of a tenant's handle, shared by its stores with the same embedder."""
        return memori.companion(SearchIndexes, SearchIndexes).service(memori, embedding)

    def close(self) -> None:
        """Stop indexing."""
        self.indexer.close()

    def added(self, count: int) -> None:
        """Tell of stored items that are to be indexed; waits when too many wait already."""
        if count:
            self.indexer.added(count)
            if (room := self.indexer.room()) is not None:
                room.exception()  # they are stored in any case; a search tells what is wrong

    async def aadded(self, count: int) -> None:
        """`added` for the event loop."""
        if count:
            self.indexer.added(count)
            if (room := self.indexer.room()) is not None:
                await asyncio.gather(asyncio.wrap_future(room), return_exceptions=True)

    def searcher(self, queries: Sequence[str], shows_cosine: bool) -> Searcher:
        """Wait for what was acknowledged before to be indexed, then what answers these queries."""
        if not queries:
            return Searcher(self.index, {})
        self._indexes.used(self)
        self._notice(self._memori.read_sync(self.indexer.behind))
        self.indexer.settled().result()
        if self._embedding is None:
            return Searcher(self.index, {})
        try:
            vectors = self._embedding.queries(list(queries))
        except Exception as error:  # noqa: BLE001 - an embedder may fail with anything; words match
            self.indexer.failed(error)
            return Searcher(self.index, {}, shows_cosine)
        return Searcher(self.index, dict(zip(queries, vectors, strict=True)), shows_cosine)

    async def asearcher(self, queries: Sequence[str], shows_cosine: bool) -> Searcher:
        """`searcher` for the event loop."""
        if not queries:
            return Searcher(self.index, {})
        self._indexes.used(self)
        self._notice(await self._memori.read(self.indexer.behind))
        await asyncio.wrap_future(self.indexer.settled())
        if self._embedding is None:
            return Searcher(self.index, {})
        try:
            vectors = await self._embedding.aqueries(list(queries))
        except Exception as error:  # noqa: BLE001 - as above
            self.indexer.failed(error)
            return Searcher(self.index, {}, shows_cosine)
        return Searcher(self.index, dict(zip(queries, vectors, strict=True)), shows_cosine)

    def distrust(self) -> None:
        """Tell that a transaction with a search was rolled back, perhaps with others' writes."""
        self.index.forget()

    def rebuild(self, error: DamagedIndex) -> None:
        """Make the index anew from the items, as it is damaged."""
        self.indexer.rebuild(error)

    def _notice(self, behind: bool) -> None:
        """Have indexed what others stored: another process, or a store with another embedder."""
        if behind:
            self.indexer.added(0)


class SearchIndexes:
    """The search indexes of all tenants of a store: few threads, and bounded memory."""

    def __init__(self, max_documents: int = MAX_DOCUMENTS) -> None:
        self.pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="memori-indexer")
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
        self.pool.shutdown(wait=True)


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
