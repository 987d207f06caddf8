"""Searches: by filter and order alone, or ranked by a query with what does not match behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

import numpy as np

from infrastructure.memory.memori import filter_sql, items, ordering_sql
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.embedding import Vectors
from infrastructure.memory.memori.filters import AllOf, Condition
from infrastructure.memory.memori.items import Namespace, StoredItem
from infrastructure.memory.memori.ordering import Order, Position
from infrastructure.memory.memori.ranking import Query, Ranked, Ranking, ranked
from infrastructure.memory.memori.search_index import SearchIndex
from infrastructure.memory.memori.sql import Sql

_CHUNK: Final = 100
_LEAST_CHUNK: Final = 10
_DIGITS: Final = 6
_PATIENCE: Final = 1_000
"""Candidates looked at one by one; after so many that the filter refused it is asked for all."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended.

    What is written between two pages changes how rare words are, and so every score: a page of
    ranked results begins after what was given, not below a score.

    Fields:
        below: the id of the last item where the newest come first; None among matches.
        given: ids of the matches given so far.
    """

    below: int | None = None
    given: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Search:
    """Read the items under a prefix that meet a condition.

    Fields:
        refresh: whether reading begins their life anew.
        query: ranks them by how well they match; None for the order.
        order: None for the last written first.
        since, until: only what was last written from then on, and before then; microseconds.
        after: where the page before ended.
    """

    prefix: Namespace
    condition: Condition
    limit: int
    offset: int
    refresh: bool
    query: str | None
    ranking: Ranking
    order: Order | None
    since: int | None = None
    until: int | None = None
    after: Place | Position | None = None

    def narrows(self, unexpired_at: int | None) -> bool:
        """Whether more than the prefix says what may be found."""
        bounds = (self.since, self.until, unexpired_at)
        return self.condition != AllOf(()) or any(bound is not None for bound in bounds)

    def following(self, after: Place | Position | None) -> Search:
        """The same search for the page after a place."""
        return replace(self, after=after)


@dataclass(frozen=True, slots=True)
class Hit:
    """An item that a search found.

    Fields:
        score: as it is shown; None without a match.
        rank: the score that orders it; None without a match.
    """

    item: StoredItem
    score: float | None = None
    rank: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Searcher:
    """Answers the searches of one batch.

    Fields:
        index: brought level with the transaction before it is used.
        vectors: of the queries, by their text; without an embedder empty.
        shows_cosine: whether scores are shown as the cosines of the vectors, as LangGraph's stores
            show them; what orders the hits is the ranking in any case.
    """

    index: SearchIndex
    vectors: Mapping[str, Vectors]
    shows_cosine: bool = False

    def run(self, tx: Tx, search: Search, now: int, unexpired_at: int | None) -> list[Hit]:
        """The hits of a search; times in microseconds since the epoch."""
        condition = filter_sql.where(search.condition, tx.dialect)
        within = _between(items.scope(tx, search.prefix, condition, unexpired_at), search)
        if search.query is None:
            return [Hit(item) for item in _in_order(tx, search, within)]
        with self.index.lock:
            self.index.follow(tx)
            query = Query(
                search.query,
                self.vectors.get(search.query),
                items.encode_namespace(search.prefix),
                now,
            )
            vectors = self.index.vectors
            # Vectors compared with candidates alone need candidates that may be found.
            some = vectors is not None and not vectors.exact and search.narrows(unexpired_at)
            allowed = items.ids(tx, within) if some else None
            matches = ranked(self.index, query, search.ranking, allowed)
            hits = _best(tx, search, within, matches)
            if self.shows_cosine and query.vector is not None:
                return self._with_cosines(hits, query.vector)
            return hits

    def _with_cosines(self, hits: list[Hit], query: Vectors) -> list[Hit]:
        vectors = self.index.vectors
        if vectors is None or not self.index.vectors_complete:
            return hits
        cosines = vectors.cosines_of(query, np.array([hit.item.id for hit in hits], np.int64))
        return [
            # What was just written may lack its vector yet.
            hit if cosine == -np.inf else replace(hit, score=round(cosine, _DIGITS))
            for hit, cosine in zip(hits, cosines.tolist(), strict=True)
        ]


def _in_order(tx: Tx, search: Search, within: Sql) -> list[StoredItem]:
    if search.order is None:
        if isinstance(search.after, Place):
            within = _below(within, search.after.below)
        return items.page(tx, within, Sql("items.id DESC"), search.limit, search.offset)
    if isinstance(search.after, Position):
        beyond = ordering_sql.after(search.order, search.after, tx.dialect)
        within = Sql(f"{within.text} AND {beyond.text}", (*within.params, *beyond.params))
    order = ordering_sql.order_expressions(search.order, tx.dialect)
    return items.page(tx, within, order, search.limit, search.offset)


def _best(tx: Tx, search: Search, within: Sql, matches: Ranked) -> list[Hit]:
    """The matches within the scope, the best first, then the rest of it, the newest first."""
    after = search.after if isinstance(search.after, Place) else Place()
    hits: list[Hit] = []
    left = search.offset
    chunk = min(max(search.offset + search.limit, _LEAST_CHUNK), _CHUNK)
    matching = _matching(tx, within, matches, after.given, chunk) if after.below is None else ()
    for hit in chain(matching, _rest(tx, within, matches, after.below)):
        if len(hits) == search.limit:
            break
        if left:
            left -= 1
        else:
            hits.append(hit)
    return hits


def _matching(
    tx: Tx, within: Sql, matches: Ranked, given: frozenset[int], size: int
) -> Iterator[Hit]:
    looked_at = found = 0
    for chunk in matches.best_first(size):
        chunk = [pair for pair in chunk if pair[0] not in given]
        stored = items.by_ids(tx, [id_ for id_, _ in chunk], within)
        looked_at, found = looked_at + len(chunk), found + len(stored)
        yield from (Hit(stored[id_], score, score) for id_, score in chunk if id_ in stored)
        if looked_at > _PATIENCE and found * 2 < looked_at:
            matches.restrict(items.ids(tx, within))
            looked_at = 0


def _rest(tx: Tx, within: Sql, matches: Ranked, below: int | None) -> Iterator[Hit]:
    while True:
        page = items.page(tx, _below(within, below), Sql("items.id DESC"), _CHUNK, 0)
        yield from (Hit(item) for item in page if not matches.has(item.id))
        if len(page) < _CHUNK:
            return
        below = page[-1].id


def _between(within: Sql, search: Search) -> Sql:
    """The part of a scope that was written in a search's span of time."""
    for bound, sign in ((search.since, ">="), (search.until, "<")):
        if bound is not None:
            within = Sql(f"{within.text} AND items.updated_at {sign} ?", (*within.params, bound))
    return within


def _below(within: Sql, id_: int | None) -> Sql:
    """The part of a scope that was written before an item."""
    if id_ is None:
        return within
    return Sql(f"{within.text} AND items.id < ?", (*within.params, id_))
