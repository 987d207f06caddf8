"""The operations of one batch, checked and ready, and their run inside one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from infrastructure.memory.memori import items, search, text_index, vector_index
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.embedding import Vectors
from infrastructure.memory.memori.filter_sql import Sql
from infrastructure.memory.memori.items import Namespace, StoredItem


@dataclass(frozen=True, slots=True)
class Get:
    """Read one item; `refresh` begins its life anew."""

    namespace: Namespace
    key: str
    refresh: bool


@dataclass(frozen=True, slots=True)
class Search:
    """Read the items under a prefix that meet a condition; with a query the best matches."""

    prefix: Namespace
    condition: Sql
    limit: int
    offset: int
    query: str | None
    refresh: bool


@dataclass(frozen=True, slots=True)
class Put:
    """Store one item, or delete it.

    Fields:
        value: JSON text; None deletes.
        ttl: microseconds; None for ever.
        texts: what is indexed of the value, each with a vector of its own.
    """

    namespace: Namespace
    key: str
    value: str | None
    ttl: int | None
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NamespaceMatch:
    """A condition on namespaces: labels at their start or end, `*` standing for any one label."""

    side: Literal["prefix", "suffix"]
    path: tuple[str, ...]

    def matches(self, namespace: Namespace) -> bool:
        if len(namespace) < len(self.path):
            return False
        start = 0 if self.side == "prefix" else len(namespace) - len(self.path)
        labels = namespace[start : start + len(self.path)]
        return all(want in ("*", label) for want, label in zip(self.path, labels, strict=True))


@dataclass(frozen=True, slots=True)
class ListNamespaces:
    """List distinct namespaces, cut to a depth, in order of their labels."""

    conditions: tuple[NamespaceMatch, ...]
    max_depth: int | None
    limit: int
    offset: int


Operation: TypeAlias = Get | Search | Put | ListNamespaces


@dataclass(frozen=True, slots=True)
class Hit:
    """An item that a search found; `score` is None without a query."""

    item: StoredItem
    score: float | None = None


Found: TypeAlias = StoredItem | Sequence[Hit] | Sequence[Namespace] | None


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """The vectors that a batch needs, made before its transaction.

    Fields:
        embedder: the identity of the embedder; None when the store has none.
    """

    embedder: str | None = None
    documents: Mapping[str, Vectors] = field(default_factory=dict[str, Vectors])
    queries: Mapping[str, Vectors] = field(default_factory=dict[str, Vectors])


@dataclass(slots=True, eq=False)
class Outcome:
    """What a batch found, in the order of its operations, and the items it read with a life."""

    found: list[Found]
    refreshed: set[int] = field(default_factory=set[int])


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """One caller's operations."""

    operations: Sequence[Operation]
    embedded: Embedded
    omit_expired: bool

    @property
    def writes(self) -> bool:
        """Whether any operation changes what is stored."""
        return any(isinstance(operation, Put) for operation in self.operations)

    def read(self, tx: Tx, now: int) -> Outcome:
        """Run the reading operations; `now` is in microseconds since the epoch."""
        outcome = Outcome([None] * len(self.operations))
        for index, operation in enumerate(self.operations):
            if not isinstance(operation, Put):
                outcome.found[index] = self._read(tx, operation, now, outcome.refreshed)
        return outcome

    def run(self, tx: Tx, now: int) -> Outcome:
        """Run the reading operations, then the writing ones."""
        outcome = self.read(tx, now)
        items.refresh(tx, outcome.refreshed, now)
        for operation in self.operations:
            if isinstance(operation, Put):
                self._write(tx, operation, now)
        return outcome

    def _read(
        self, tx: Tx, operation: Get | Search | ListNamespaces, now: int, refreshed: set[int]
    ) -> Found:
        unexpired_at = now if self.omit_expired else None
        if isinstance(operation, ListNamespaces):
            return _list(items.namespaces(tx, unexpired_at), operation)
        if isinstance(operation, Get):
            item = items.get(tx, operation.namespace, operation.key, unexpired_at)
            found: Found = item
            read = [] if item is None else [item]
        else:
            hits = found = self._search(tx, operation, unexpired_at)
            read = [hit.item for hit in hits]
        if operation.refresh:
            refreshed.update(item.id for item in read if item.ttl is not None)
        return found

    def _search(self, tx: Tx, operation: Search, unexpired_at: int | None) -> list[Hit]:
        within = items.scope(tx, operation.prefix, operation.condition, unexpired_at)
        if operation.query is None:
            page = items.newest(tx, within, operation.limit, operation.offset)
            return [Hit(item) for item in page]
        query = search.Query(
            operation.query,
            self.embedded.embedder,
            self.embedded.queries.get(operation.query),
        )
        ranked = search.ranked(tx, query, within)
        ranked = ranked[operation.offset : operation.offset + operation.limit]
        stored = items.by_ids(tx, [item for item, _ in ranked])
        return [Hit(stored[item], score) for item, score in ranked]

    def _write(self, tx: Tx, put: Put, now: int) -> None:
        if put.value is None:
            items.delete(tx, put.namespace, put.key, now)
            return
        item = items.put(tx, put.namespace, put.key, put.value, now, put.ttl)
        if not put.texts:
            return
        text_index.add(tx, item, put.texts)
        if self.embedded.embedder is not None:
            vectors = [self.embedded.documents[text] for text in put.texts]
            vector_index.add(tx, item, self.embedded.embedder, vectors)


def _list(found: list[Namespace], operation: ListNamespaces) -> list[Namespace]:
    matching = {
        namespace[: operation.max_depth]
        for namespace in found
        if all(condition.matches(namespace) for condition in operation.conditions)
    }
    return sorted(matching)[operation.offset : operation.offset + operation.limit]
