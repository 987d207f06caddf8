"""The operations of one batch, checked and ready, and their run inside one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from infrastructure.memory.memori import items
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.items import Draft, Namespace, StoredItem
from infrastructure.memory.memori.search import Hit, Search, Searcher


@dataclass(frozen=True, slots=True)
class Get:
    """Read one item; `refresh` begins its life anew."""

    namespace: Namespace
    key: str
    refresh: bool


@dataclass(frozen=True, slots=True)
class Put:
    """Store one item; found is its new version."""

    draft: Draft


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete one item; found is whether there was one."""

    namespace: Namespace
    key: str
    expected: int | None = None


@dataclass(frozen=True, slots=True)
class Undelete:
    """Bring back a deleted item; found is its new version, or None."""

    namespace: Namespace
    key: str


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


Reading: TypeAlias = Get | Search | ListNamespaces
Writing: TypeAlias = Put | Delete | Undelete
Operation: TypeAlias = Reading | Writing
Found: TypeAlias = StoredItem | Sequence[Hit] | Sequence[Namespace] | int | bool | None


@dataclass(slots=True, eq=False)
class Outcome:
    """What a batch found, in the order of its operations, and the items it read with a life."""

    found: list[Found]
    refreshed: set[int] = field(default_factory=set[int])


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """One caller's operations.

    Fields:
        searcher: answers searches; it knows the index and the vectors of their queries.
        omit_expired: whether reads leave out what has expired and was not swept yet.
        undo_us: how long what it deletes is kept to be brought back, in microseconds.
    """

    operations: Sequence[Operation]
    searcher: Searcher
    omit_expired: bool
    undo_us: int

    @property
    def writes(self) -> bool:
        """Whether any operation changes what is stored."""
        return any(isinstance(operation, Writing) for operation in self.operations)

    @property
    def searches(self) -> bool:
        """Whether any operation is ranked by a query, for which the search index is needed."""
        return any(
            isinstance(operation, Search) and operation.query is not None
            for operation in self.operations
        )

    @property
    def indexed(self) -> int:
        """How many items it writes, at most, that are to be indexed."""
        return sum(
            isinstance(operation, Undelete)
            or (isinstance(operation, Put) and operation.draft.paths is not None)
            for operation in self.operations
        )

    def read(self, tx: Tx, now: int) -> Outcome:
        """Run the reading operations; `now` is in microseconds since the epoch."""
        outcome = Outcome([None] * len(self.operations))
        for index, operation in enumerate(self.operations):
            if isinstance(operation, Reading):
                outcome.found[index] = self._read(tx, operation, now, outcome.refreshed)
        return outcome

    def write(self, tx: Tx, outcome: Outcome, now: int) -> None:
        """Run the writing operations after the reading ones, whose items' lives begin anew."""
        items.refresh(tx, outcome.refreshed, now)
        for index, operation in enumerate(self.operations):
            if isinstance(operation, Writing):
                outcome.found[index] = self._write(tx, operation, now)

    def run(self, tx: Tx, now: int) -> Outcome:
        """Run the reading operations, then the writing ones."""
        outcome = self.read(tx, now)
        self.write(tx, outcome, now)
        return outcome

    def _read(self, tx: Tx, operation: Reading, now: int, refreshed: set[int]) -> Found:
        unexpired_at = now if self.omit_expired else None
        if isinstance(operation, ListNamespaces):
            return _list(items.namespaces(tx, unexpired_at), operation)
        if isinstance(operation, Get):
            item = items.get(tx, operation.namespace, operation.key, unexpired_at)
            found: Found = item
            read = [] if item is None else [item]
        else:
            hits = found = self.searcher.run(tx, operation, now, unexpired_at)
            read = [hit.item for hit in hits]
        if operation.refresh:
            refreshed.update(item.id for item in read if item.ttl is not None)
        return found

    def _write(self, tx: Tx, operation: Writing, now: int) -> Found:
        if isinstance(operation, Put):
            return items.put(tx, operation.draft, now)
        items.purge_deleted(tx, now)
        if isinstance(operation, Undelete):
            return items.undelete(tx, operation.namespace, operation.key, now)
        return items.delete(
            tx, operation.namespace, operation.key, now, operation.expected, self.undo_us
        )


def _list(found: list[Namespace], operation: ListNamespaces) -> list[Namespace]:
    matching = {
        namespace[: operation.max_depth]
        for namespace in found
        if all(condition.matches(namespace) for condition in operation.conditions)
    }
    return sorted(matching)[operation.offset : operation.offset + operation.limit]
