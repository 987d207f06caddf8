"""Turns stored items into segments of one kind of index, in the background."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Final, Protocol

from infrastructure.errors import StoreError
from infrastructure.memory.memori import segments
from infrastructure.memory.memori.abandoned import drop_abandoned
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.indexed_items import (
    IndexedItem,
    TextsOf,
    count_after,
    ids_between,
    indexed_items,
)
from infrastructure.memory.memori.merging import (
    merge_segments,
    rewrite_without_dead,
    too_many_dead,
)
from infrastructure.memory.memori.segments import Segment

BATCH: Final = 1_000
"""Items turned into one segment at a time."""
MAX_BACKLOG: Final = 10_000
"""Acknowledged items that may wait to be indexed; then a put waits for room."""

STALL_S: Final = 5.0
"""A turn that takes longer is not waited for: its embedder hangs, or is very slow."""

_EAGER: Final = BATCH // 2
_LINGER_S: Final = 0.05
_RETRY_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 60.0
_ROOM: Final = -1
_NO_LIMIT: Final = 2**62
_CLOSED: Final = "the memory store was closed"

_log = logging.getLogger(__name__)


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


class Indexer:
    """Follows the writes of one tenant with segments of one kind.

    It works in turns, one segment a turn, so that the tenants of a store share few threads fairly.
    Several processes may index one store: a segment is stored only if its cursor is still where it
    was when the segment was begun. What fails is tried again by itself, later and later.
    """

    def __init__(
        self,
        memori: Memori,
        pool: Executor,
        kind: Kind,
        texts_of: TextsOf,
        *,
        behind: str | None = None,
        advanced: Callable[[], None] | None = None,
    ) -> None:
        """Nothing runs before `wake`.

        Args:
            pool: runs the turns, beside those of other tenants.
            behind: a kind that this one never gets ahead of.
            advanced: called after every segment.
        """
        self.kind = kind
        self._memori = memori
        self._pool = pool
        self._texts_of = texts_of
        self._behind = behind
        self._advanced = advanced
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._waiters: list[tuple[int, Future[None]]] = []
        self._backlog = 0
        self._woken = self._running = self._closed = False
        self._began_at = 0.0
        self._error: BaseException | None = None
        self._pause_s = _RETRY_S
        self._retry: threading.Timer | None = None
        self._linger: threading.Timer | None = None

    @property
    def backlog(self) -> int:
        """Items stored by this process that are not indexed yet, at most."""
        return self._backlog

    @property
    def healthy(self) -> bool:
        """Whether it is worth waiting for: it has not failed, and no turn of it hangs."""
        hangs = self._running and time.monotonic() - self._began_at > STALL_S
        return self._error is None and not hangs

    def added(self, count: int) -> None:
        """Tell how many items were stored which are to be indexed; many, or after a while, wake it.

        A search sees the last few without it, and few large segments cost less than many small.
        """
        with self._lock:
            self._backlog += count
            if self._backlog >= _EAGER:
                self._woken = True
                self._start()
            elif self._linger is None and not self._closed:
                self._linger = threading.Timer(_LINGER_S, self.wake)
                self._linger.daemon = True
                self._linger.start()

    def expects(self, count: int) -> None:
        """Tell how many items will come once the kind before this one has them."""
        with self._lock:
            self._backlog += count

    def wake(self) -> None:
        """Have it look for work."""
        with self._lock:
            self._linger = None
            self._woken = True
            self._start()

    def reached(self, id_: int) -> Future[None]:
        """Resolves when items up to an id are indexed, or there is nothing left to index.

        Raises (through the future):
            StoreError: the store failed, or was closed.
        """
        future: Future[None] = Future()
        with self._lock:
            if self._closed:
                future.set_exception(StoreError(_CLOSED))
                return future
            if self._retry is not None:
                self._end(future, self._told())
                return future
            self._waiters.append((id_, future))
            self._woken = True
            self._start()
        return future

    def room(self) -> Future[None] | None:
        """What a writer waits for when too much waits to be indexed; None to go on at once."""
        if self._backlog <= MAX_BACKLOG or not self.healthy:
            return None
        return self.reached(_ROOM)

    def failed(self, error: BaseException) -> None:
        """Note why it does not go on, and try again after a pause."""
        if not self._closed:
            _log.warning("%s cannot be indexed; it is tried again: %s", self.kind.name, error)
        with self._lock:
            self._error = error
            if self._retry is None and not self._closed:
                self._retry = threading.Timer(self._pause_s, self._try_again)
                self._retry.daemon = True
                self._retry.start()
                self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)

    def rebuild(self, error: segments.DamagedIndex) -> None:
        """Throw away what is damaged, to be made anew from the items."""
        _log.warning("the index %s is made anew: %s", error.kind, error)
        self._memori.commit_sync(lambda tx: segments.drop(tx, error.kind))
        self.wake()

    def progress(self, tx: Tx) -> IndexProgress:
        """How far it is."""
        total = count_after(tx, 0, _NO_LIMIT)
        left = count_after(tx, segments.cursor(tx, self.kind.name), _NO_LIMIT)
        error = f"{type(self._error).__name__}: {self._error}" if self._error else ""
        return IndexProgress(self.kind.name, total - left, total, error)

    def close(self) -> None:
        """Stop after the turn at hand; what is left is indexed when the store is opened again."""
        with self._lock:
            self._closed = True
            for timer in (self._retry, self._linger):
                if timer is not None:
                    timer.cancel()
            if not self._idle.wait_for(lambda: not self._running, STALL_S):
                _log.warning("%s is still being indexed; it is left behind", self.kind.name)
        self._release(self._take(lambda _: True), StoreError(_CLOSED))

    def _start(self) -> None:
        if self._running or self._closed or self._retry is not None:
            return
        try:
            self._pool.submit(self._turn)
        except RuntimeError:  # the interpreter ends; the next process indexes what is left
            return
        self._running, self._began_at = True, time.monotonic()

    def _try_again(self) -> None:
        with self._lock:
            self._retry = None
            self._woken = True
            self._start()

    def _turn(self) -> None:
        with self._lock:
            self._woken = False
            self._began_at = time.monotonic()
            waiting = list(self._waiters)
        more = False
        try:
            more = self._advance(waiting)
        except segments.DamagedIndex as error:
            self.rebuild(error)
        except BaseException as error:  # noqa: BLE001 - an embedder may fail with anything
            self.failed(error)
        with self._lock:
            self._running = False
            if more or self._woken:
                self._start()
            self._idle.notify_all()
        if self._error is not None:
            # Nobody waits for a retry.
            self._release(self._take(lambda _: True), self._told())

    def _advance(self, waiting: list[tuple[int, Future[None]]]) -> bool:
        """Store one segment, or merge some; whether there may be more to do."""
        items, cursor = self._memori.read_sync(self._next)
        if items:
            segment = self.kind.build(items)
            self._recover()
            (reached,) = self._memori.commit_sync(
                lambda tx: self._store(tx, cursor, segment, items)
            )
            with self._lock:
                self._backlog = max(0, self._backlog - len(items))
                roomy = self._backlog <= MAX_BACKLOG // 2
            passed = self._take(lambda id_: id_ <= reached if id_ != _ROOM else roomy)
            self._release(passed, None)
            if self._advanced is not None:
                self._advanced()
            return True
        self._recover()
        with self._lock:
            if not self._woken:
                self._backlog = 0
            self._waiters = [waiter for waiter in self._waiters if waiter not in waiting]
        self._release([future for _, future in waiting], None)
        return self._tidy()

    def _next(self, tx: Tx) -> tuple[list[IndexedItem], int]:
        cursor = segments.cursor(tx, self.kind.name)
        until = _NO_LIMIT if self._behind is None else segments.cursor(tx, self._behind)
        return indexed_items(tx, self._texts_of, cursor, until, BATCH), cursor

    def _store(self, tx: Tx, cursor: int, segment: Segment, items: Sequence[IndexedItem]) -> int:
        """Append a segment, unless its cursor was moved, without what died while it was made."""
        if segments.cursor(tx, self.kind.name) == cursor:
            live = ids_between(tx, cursor, segment.last)
            dead = [item.id for item in items if item.id not in live]
            segments.append(
                tx, self.kind.name, self.kind.merge((segment,), dead) if dead else segment
            )
        return segments.cursor(tx, self.kind.name)

    def _tidy(self) -> bool:
        """Merge what should be; whether there may be more."""
        if self._closed:
            return False
        if self._behind is None and self._memori.read_sync(
            lambda tx: too_many_dead(tx, self.kind.name)
        ):
            rewrite_without_dead(self._memori)
        drop_abandoned(self._memori, self.kind.name)
        return merge_segments(self._memori, self.kind)

    def _told(self) -> BaseException | None:
        """What whoever waits is told of a failure: words answer without vectors."""
        return None if self._behind else self._error

    def _recover(self) -> None:
        self._error, self._pause_s = None, _RETRY_S

    def _take(self, chosen: Callable[[int], bool]) -> list[Future[None]]:
        """Take those waiters off the list whose id is chosen."""
        with self._lock:
            taken = [future for id_, future in self._waiters if chosen(id_)]
            self._waiters = [waiter for waiter in self._waiters if not chosen(waiter[0])]
        return taken

    def _release(self, futures: Sequence[Future[None]], error: BaseException | None) -> None:
        for future in futures:
            if future.set_running_or_notify_cancel():
                self._end(future, error)

    @staticmethod
    def _end(future: Future[None], error: BaseException | None) -> None:
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
