"""What callers ask of the store, read into checked operations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypedDict, Unpack

from langgraph.store.base import (
    NOT_PROVIDED,
    GetOp,
    InvalidNamespaceError,
    ListNamespacesOp,
    NotProvided,
    Op,
    PutOp,
    SearchOp,
    TTLConfig,
)

from infrastructure.memory.memori import arguments, filters, items, ordering
from infrastructure.memory.memori.items import Draft, Namespace
from infrastructure.memory.memori.operations import (
    Delete,
    Get,
    ListNamespaces,
    NamespaceMatch,
    Operation,
    Put,
    Undelete,
)
from infrastructure.memory.memori.ordering import Order
from infrastructure.memory.memori.provenance import Provenance
from infrastructure.memory.memori.ranking import Ranking
from infrastructure.memory.memori.search import Search
from infrastructure.memory.memori.values import InvalidItem, encode, encode_object

_RESERVED_ROOT: Final = "langgraph"


PAGE: Final = 10


class PageOptions(TypedDict, total=False):
    """What a search asks for.

    Fields:
        query: words that rank the items by how well they match.
        filter: a condition on the values; see `filters`.
        ranking: how matches are weighed.
        order_by: "created_at", "updated_at", "key", or a field of the value (its key, or the keys
            that lead to it); not together with a query.
        descending: whether the largest comes first.
        since, until: only what was last written from then on, and before then; datetimes with
            their time zone.
    """

    query: str | None
    filter: dict[str, Any] | None
    ranking: Ranking | None
    order_by: str | Sequence[str] | None
    descending: bool
    since: datetime | None
    until: datetime | None


class SearchOptions(PageOptions, total=False):
    """What a search asks for, and how much of it.

    Fields:
        limit, offset: how many items, after how many; 10 from the first unless given.
        refresh_ttl: whether reading begins the items' lives anew; None for as configured.
    """

    limit: int
    offset: int
    refresh_ttl: bool | None


class WriteConditions(TypedDict, total=False):
    """Under what conditions an item is put.

    Fields:
        ttl: minutes that the item lives; None for ever.
        expected_version: stored only if the item has this version now; 0: if there is none.
        write_id: the caller's id of this write, remembered for a week: when an error leaves it
            unknown whether it was stored, the same call under the same id stores it once.
        provenance: instead of the store's own.
    """

    ttl: float | NotProvided | None
    expected_version: int | None
    write_id: str | None
    provenance: Provenance | None


@dataclass(frozen=True, slots=True)
class Requests:
    """Reads requests under a store's configuration.

    Fields:
        paths: JSON list of the paths that are indexed unless a put names others.
        ttl: LangGraph's TTL config.
        provenance: kept with what is put.
    """

    paths: str
    ttl: TTLConfig | None
    provenance: Provenance

    def operations(self, ops: Iterable[Op]) -> list[Operation]:
        """LangGraph's operations as ours.

        Raises:
            InvalidItem, InvalidNamespaceError: one is wrong; the message has its index.
        """
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
                return self.get(op.namespace, op.key, op.refresh_ttl and self._refreshes(None))
            case SearchOp():
                return self.search(
                    op.namespace_prefix,
                    query=op.query,
                    filter=op.filter,
                    limit=op.limit,
                    offset=op.offset,
                    refresh_ttl=op.refresh_ttl and self._refreshes(None),
                )
            case PutOp() if op.value is None:
                return self.delete(op.namespace, op.key)
            case PutOp():
                place = arguments.namespace(op.namespace, required=True)
                return Put(self._draft(place, op.key, op.value, op.index, op.ttl))
            case ListNamespacesOp():
                return _list_namespaces(op)
            case _:
                raise InvalidItem(f"{type(op).__name__} is not an operation of a store")

    def get(self, namespace: object, key: object, refresh: bool | None) -> Get:
        """Read one item."""
        return Get(arguments.namespace(namespace), items.check_key(key), self._refreshes(refresh))

    def put(
        self,
        namespace: object,
        key: object,
        value: object,
        index: object,
        ttl: object,
        provenance: Provenance | None = None,
        expected: object = None,
        write_id: object = None,
    ) -> Draft:
        """What a put stores; a namespace that begins with `langgraph` is LangGraph's own."""
        place = arguments.namespace(namespace, required=True)
        if place[0] == _RESERVED_ROOT:
            raise InvalidNamespaceError(f"a namespace must not begin with {_RESERVED_ROOT!r}")
        if isinstance(ttl, NotProvided):
            ttl = (self.ttl or {}).get("default_ttl")
        return self._draft(place, key, value, index, ttl, provenance, expected, write_id)

    def delete(self, namespace: object, key: object, expected: object = None) -> Delete:
        """Delete one item."""
        return Delete(
            arguments.namespace(namespace), items.check_key(key), arguments.version(expected)
        )

    def undelete(self, namespace: object, key: object) -> Undelete:
        """Bring back one item."""
        return Undelete(arguments.namespace(namespace), items.check_key(key))

    def _refreshes(self, asked: bool | None) -> bool:
        """Whether a read begins an item's life anew: as asked, else as configured, else not."""
        if asked is not None:
            return arguments.flag(asked, "refresh_ttl")
        return bool((self.ttl or {}).get("refresh_on_read", False))

    def _draft(
        self,
        namespace: Namespace,
        key: object,
        value: object,
        index: object,
        ttl: object,
        provenance: Provenance | None = None,
        expected: object = None,
        write_id: object = None,
    ) -> Draft:
        if index is None:
            paths: str | None = self.paths
        else:
            paths = None if index is False else encode(arguments.paths(index))
        return Draft(
            namespace,
            items.check_key(key),
            encode_object(value),
            arguments.ttl(ttl),
            paths,
            self.provenance if provenance is None else arguments.provenance(provenance),
            arguments.version(expected),
            arguments.write_id(write_id),
        )

    def write(
        self,
        namespace: object,
        key: object,
        value: object,
        index: object,
        **conditions: Unpack[WriteConditions],
    ) -> Draft:
        """What a put under conditions stores."""
        _refuse_unknown(conditions, WriteConditions)
        return self.put(
            namespace,
            key,
            value,
            index,
            conditions.get("ttl", NOT_PROVIDED),
            conditions.get("provenance"),
            conditions.get("expected_version"),
            conditions.get("write_id"),
        )

    def search(self, prefix: object, **options: Unpack[SearchOptions]) -> Search:
        """Read the items under a prefix."""
        _refuse_unknown(options, SearchOptions)
        text = arguments.query(options.get("query"))
        order_by = options.get("order_by")
        if text and order_by is not None:
            raise InvalidItem("a query orders by match: give order_by or query, not both")
        return Search(
            arguments.namespace(prefix),
            filters.parse(options.get("filter")),
            arguments.count(options.get("limit", PAGE), "limit"),
            arguments.count(options.get("offset", 0), "offset"),
            self._refreshes(options.get("refresh_ttl")),
            text,
            arguments.ranking(options.get("ranking")),
            _order(order_by, arguments.flag(options.get("descending", False), "descending")),
            arguments.moment(options.get("since"), "since"),
            arguments.moment(options.get("until"), "until"),
        )


def _refuse_unknown(given: Mapping[str, object], known: type) -> None:
    """Raise for a keyword that nothing would read, as Python does for other functions."""
    unknown = given.keys() - known.__annotations__.keys()
    if unknown:
        names = ", ".join(sorted(known.__annotations__))
        raise TypeError(f"unexpected keyword argument {min(unknown)!r}; there are {names}")


def _order(order_by: object, descending: bool) -> Order | None:
    if order_by is not None:
        return ordering.parse(order_by, descending=descending)
    if descending:
        raise InvalidItem("descending needs order_by: what is it to be ordered by?")
    return None


def _labels(path: object) -> tuple[str, ...]:
    """The labels of a match condition; a text by itself is one label."""
    return arguments.namespace((path,) if isinstance(path, str) else path)


def _list_namespaces(op: ListNamespacesOp) -> ListNamespaces:
    conditions = [
        NamespaceMatch(condition.match_type, _labels(condition.path))
        for condition in arguments.match_conditions(op.match_conditions)
    ]
    depth = op.max_depth
    if depth is not None and arguments.count(depth, "max_depth") == 0:
        raise InvalidItem("max_depth must be at least 1")
    return ListNamespaces(
        tuple(conditions),
        depth,
        arguments.count(op.limit, "limit"),
        arguments.count(op.offset, "offset"),
    )
