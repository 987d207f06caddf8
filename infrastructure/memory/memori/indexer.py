"""The background thread that turns stored items into segments of the search index."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any, Final, Protocol

from infrastructure.errors import StoreError
from infrastructure.memory.memori import segments
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.merging import (
    merge_segments,
    rewrite_without_dead,
    too_many_dead,
)
from infrastructure.memory.memori.segments import Segment
from infrastructure.memory.memori.values import decode

BATCH: Final = 1_000
"""Items turned into one segment at a time."""
MAX_BACKLOG: Final = 10_000
"""Acknowledged items that may wait to be indexed; then a put waits for room."""

_RETRY_S: Final = 1.0
_NO_LIMIT: Final = 2**62
_CLOSED: Final = "the memory store was closed"

_log = logging.getLogger(__name__)

TextsOf = Callable[[dict[str, Any], list[str]], tuple[str, ...]]
"""The texts of a value at the paths that are indexed."""


@dataclass(frozen=True, slots=True)
class IndexedItem:
    """What of an item the index holds; `written_at` in microseconds."""

    id: int
    namespace: str
    written_at: int
    texts: tuple[str, ...]


class Kind(Protocol):
    """One kind of index: how items become the body of a segment, and segments become one."""

    @property
    def name(self) -> str: ...

    def build(self, items: Sequence[IndexedItem]) -> Segment:
        """The segment of items in order of their ids."""
        ...

    def merge(self, parts: Sequence[Segment], dead: Sequence[int]) -> Segment:
        """Neighbouring segments as one, without the dead."""
        ...


@dataclass(frozen=True, slots=True)
class IndexProgress:
    """How far the index of one kind is.

    Fields:
        kind: the text index, or the vectors of one embedder.
        indexed, total: items.
        error: why it does not go on; empty when nothing is wrong.
    """

    kind: str
    indexed: int
    total: int
    error: str = ""

    @property
    def complete(self) -> bool:
        return self.indexed >= self.total


@dataclass(frozen=True, slots=True)
class _Batch:
    """Items to index, and the kinds to index them for with the cursor of each."""

    items: list[IndexedItem]
    cursors: list[tuple[Kind, int]]


class Indexer:
    """Follows the writes of one tenant with segments of full text and, given vectors, of those.

    Vectors that lag far behind, as a new embedder's do, are caught up a batch at a time while
    nothing else waits, and whoever waits for the index does not wait for them. An embedder that
    fails holds up nothing but its own vectors. Several processes may index one store: a segment is
    stored only if its cursor is still where it was when the segment was begun.
    """

    def __init__(
        self,
        memori: Memori,
        pool: Executor,
        texts_of: TextsOf,
        text: Kind,
        vectors: Kind | None = None,
    ) -> None:
        """`pool` runs it, a batch at a time, beside the indexers of other tenants."""
        self._memori = memori
        self._texts_of = texts_of
        self._text = text
        self._vectors = vectors
        self._pool = pool
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._wanted = 1  # an earlier process may have left something
        self._done = 0
        self._running = False
        self._closed = False
        self._waiters: list[tuple[int, Future[None]]] = []
        self._backlog = 0
        self._error: Exception | None = None
        self._retry_at = 0.0

    @property
    def backlog(self) -> int:
        """Items acknowledged by this process that are not indexed yet, at most."""
        return self._backlog

    @property
    def error(self) -> Exception | None:
        """Why vectors are not made at the moment: what the embedder raised."""
        return self._error

    def added(self, count: int) -> None:
        """Tell that items were stored which are to be indexed."""
        with self._lock:
            self._wanted += 1
            self._backlog += count
            self._start()

    def settled(self) -> Future[None]:
        """Resolves when all that was acknowledged before is indexed, or the index failed."""
        future: Future[None] = Future()
        with self._lock:
            if self._closed:
                future.set_exception(StoreError(_CLOSED))
            elif self._done >= self._wanted and (self._error is None or not self._may_retry()):
                future.set_result(None)
            else:
                self._waiters.append((self._wanted, future))
                self._start()
        return future

    def room(self) -> Future[None] | None:
        """What a writer waits for when too much waits to be indexed; None to go on at once."""
        return self.settled() if self._backlog > MAX_BACKLOG else None

    def progress(self, tx: Tx) -> list[IndexProgress]:
        """How far each kind is."""
        total = _count(tx, 0, _NO_LIMIT)
        found: list[IndexProgress] = []
        for kind in self._kinds():
            left = _count(tx, segments.cursor(tx, kind.name), _NO_LIMIT)
            failed = self._error if kind is self._vectors else None
            error = f"{type(failed).__name__}: {failed}" if failed else ""
            found.append(IndexProgress(kind.name, total - left, total, error))
        return found

    def behind(self, tx: Tx) -> bool:
        """Whether items wait for the text index, whoever stored them."""
        return segments.waiting(tx, segments.cursor(tx, self._text.name), _NO_LIMIT)

    def failed(self, error: Exception) -> None:
        """Tell that the embedder failed elsewhere; its vectors are tried again soon."""
        _log.warning("the embedder failed; full text is searched alone: %s", error)
        self._error, self._retry_at = error, time.monotonic() + _RETRY_S

    def rebuild(self, error: segments.DamagedIndex) -> None:
        """Throw away what is damaged, to be made anew from the items."""
        self._discard(error)
        self.added(0)

    def close(self) -> None:
        """Stop after the batch at hand; what is left is indexed when the store is opened again."""
        with self._lock:
            self._closed = True
            self._idle.wait_for(lambda: not self._running)
        self._release(_NO_LIMIT, StoreError(_CLOSED))

    def _kinds(self) -> list[Kind]:
        return [self._text] if self._vectors is None else [self._text, self._vectors]

    def _may_retry(self) -> bool:
        return time.monotonic() >= self._retry_at

    def _start(self) -> None:
        if self._running or self._closed:
            return
        try:
            self._pool.submit(self._run)
        except RuntimeError:  # the interpreter ends; the next process indexes what is left
            return
        self._running = True

    def _run(self) -> None:
        more = False
        try:
            more = self._work()
        except Exception as error:  # noqa: BLE001 - told to whoever waits; the next write tries again
            if not self._closed:
                _log.warning("the search index could not follow the store: %s", error)
            self._release(_NO_LIMIT, error)
        finally:
            with self._lock:
                self._running = False
                if more:
                    self._start()
                self._idle.notify_all()

    def _work(self) -> bool:
        """Catch up, then do a little of what nobody waits for; whether there may be more."""
        with self._lock:
            target = self._wanted
        while not self._closed and self._step(rebuilding=False):
            pass
        with self._lock:
            self._done = target
            if self._wanted == target:
                self._backlog = 0
        self._release(target, None)
        more = not self._closed and (self._step(rebuilding=True) or self._merge())
        return more or self._wanted > target

    def _merge(self) -> bool:
        """Merge what should be; whether there may be more."""
        try:
            return self._merge_once()
        except segments.DamagedIndex as error:
            self._discard(error)
            return True

    def _discard(self, error: segments.DamagedIndex) -> None:
        _log.warning("the index %s is made anew: %s", error.kind, error)
        self._memori.commit_sync(lambda tx: segments.drop(tx, error.kind))

    def _merge_once(self) -> bool:
        kinds = self._kinds()
        if self._memori.read_sync(lambda tx: too_many_dead(tx, self._text.name)):
            rewrite_without_dead(self._memori, kinds)
        return sum(merge_segments(self._memori, kind) for kind in kinds) > 0

    def _step(self, rebuilding: bool) -> bool:
        """Store the next segments; whether there was anything to do."""
        batch = self._memori.read_sync(lambda tx: self._next(tx, rebuilding))
        built: list[tuple[Kind, int, Segment]] = []
        for kind, cursor in batch.cursors:
            mine = [item for item in batch.items if item.id > cursor]
            if mine and (segment := self._build(kind, mine)) is not None:
                built.append((kind, cursor, segment))
        if not built:
            return False
        self._memori.commit_sync(lambda tx: self._store(tx, batch.items, built))
        with self._lock:
            self._backlog = max(0, self._backlog - len(batch.items))
        return True

    def _next(self, tx: Tx, rebuilding: bool) -> _Batch:
        text = segments.cursor(tx, self._text.name)
        cursors = [(self._text, text)]
        if self._vectors is not None and (self._error is None or self._may_retry()):
            vectors = segments.cursor(tx, self._vectors.name)
            if rebuilding:
                cursors = [(self._vectors, vectors)]
            elif vectors >= text or _count(tx, vectors, MAX_BACKLOG) < MAX_BACKLOG:
                cursors.append((self._vectors, vectors))
        start = min(cursor for _, cursor in cursors)
        return _Batch(self._items(tx, start), cursors)

    def _items(self, tx: Tx, start: int) -> list[IndexedItem]:
        rows = tx.execute(
            "SELECT id, namespace, updated_at, value, paths FROM items"
            " WHERE tenant = ? AND paths IS NOT NULL AND id > ? ORDER BY id LIMIT ?",
            (tx.tenant, start, BATCH),
        )
        return [
            IndexedItem(id_, namespace, written_at, self._texts_of(decode(value), decode(paths)))
            for id_, namespace, written_at, value, paths in rows.fetchall()
        ]

    def _build(self, kind: Kind, items: Sequence[IndexedItem]) -> Segment | None:
        try:
            segment = kind.build(items)
        except Exception as error:
            if kind is self._text:
                raise
            # An embedder may fail with anything; its vectors are made when it works again.
            self.failed(error)
            return None
        if kind is self._vectors:
            self._error = None
        return segment

    def _store(
        self, tx: Tx, items: Sequence[IndexedItem], built: Sequence[tuple[Kind, int, Segment]]
    ) -> None:
        """Append segments whose cursor nobody moved, without what died while they were made.

        Vectors never get ahead of the text, which tells what is known of their items.
        """
        rows = tx.execute(
            "SELECT id FROM items WHERE tenant = ? AND paths IS NOT NULL AND id >= ? AND id <= ?",
            (tx.tenant, items[0].id, items[-1].id),
        )
        live = {id_ for (id_,) in rows.fetchall()}
        dead = [item.id for item in items if item.id not in live]
        for kind, cursor, segment in built:
            ahead = kind is not self._text and segment.last > segments.cursor(tx, self._text.name)
            if not ahead and segments.cursor(tx, kind.name) == cursor:
                segments.append(tx, kind.name, kind.merge((segment,), dead) if dead else segment)

    def _release(self, target: int, error: Exception | None) -> None:
        """Resolve what waited for no more than a target."""
        with self._lock:
            ready = [future for wanted, future in self._waiters if wanted <= target]
            self._waiters = [waiter for waiter in self._waiters if waiter[0] > target]
        for future in ready:
            if not future.set_running_or_notify_cancel():
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)


def _count(tx: Tx, cursor: int, most: int) -> int:
    """Items to be indexed beyond a cursor, counted up to a number."""
    row = tx.execute(
        "SELECT count(*) FROM (SELECT 1 FROM items WHERE tenant = ? AND paths IS NOT NULL"
        " AND id > ? LIMIT ?) AS found",
        (tx.tenant, cursor, most),
    ).fetchone()
    return 0 if row is None else int(row[0])
