"""One tenant's search index in memory, brought level with the database before it is searched."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from infrastructure.memory.memori import segments, vector_block
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.embedding import Embedding
from infrastructure.memory.memori.indexed_items import (
    IndexedItem,
    TextsOf,
    count_after,
    indexed_items,
    last_indexed_id,
)
from infrastructure.memory.memori.lexical_index import LexicalIndex
from infrastructure.memory.memori.nearest import EXACT_ROWS, VectorIndex
from infrastructure.memory.memori.postings import Postings
from infrastructure.memory.memori.segments import DamagedIndex, Segment
from infrastructure.memory.memori.tokens import VERSION
from infrastructure.memory.memori.vector_block import VectorBlock

TEXT_KIND: Final = f"text:{VERSION}"
MAX_TAIL: Final = 2_000
"""Items without a segment that a search indexes in memory by itself: some 50 ms at most."""
_UNREAD: Final = -1
_FEW: Final = 32
_FEW_OF: Final = 10
_NO_LIMIT: Final = 2**62


def postings_of(items: Sequence[IndexedItem]) -> Postings:
    """The postings of the items' texts."""
    return Postings.build(
        (item.id, item.namespace, item.written_at, "\n".join(item.texts)) for item in items
    )


class TextKind:
    """Full text as segments."""

    name = TEXT_KIND

    def build(self, items: Sequence[IndexedItem]) -> Segment:
        """The postings of the items' texts."""
        batch = postings_of(items)
        return Segment(items[0].id, items[-1].id, len(batch), batch.to_bytes())

    def merge(self, parts: Sequence[Segment], dead: Sequence[int]) -> Segment:
        """Neighbours as one, without the dead."""
        batch = Postings.merged([Postings.from_bytes(part.body) for part in parts], dead)
        return Segment(parts[0].first, parts[-1].last, len(batch), batch.to_bytes())


class VectorKind:
    """The vectors of one embedder as segments."""

    def __init__(self, embedding: Embedding) -> None:
        self.name = f"vectors:{embedding.identity}"
        self.embedding = embedding

    def build(self, items: Sequence[IndexedItem]) -> Segment:
        """A vector for each text of the items."""
        block = self.block(items)
        return Segment(items[0].id, items[-1].id, len(block.items), block.to_bytes())

    def block(self, items: Sequence[IndexedItem]) -> VectorBlock:
        """A vector for each text of the items."""
        texts = [text for item in items for text in item.texts]
        ids = np.repeat(
            np.array([item.id for item in items], dtype=np.int64),
            [len(item.texts) for item in items],
        )
        # Texts that stand in several items are embedded once.
        place = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        vectors = self.embedding.documents(list(place)) if place else self._none()
        return VectorBlock(ids, vectors[[place[text] for text in texts]])

    def merge(self, parts: Sequence[Segment], dead: Sequence[int]) -> Segment:
        """Neighbours as one, without the dead."""
        blocks = [VectorBlock.from_bytes(part.body) for part in parts]
        block = vector_block.merged(blocks, dead)
        return Segment(parts[0].first, parts[-1].last, len(block.items), block.to_bytes())

    def _none(self) -> NDArray[np.float32]:
        return np.empty((0, self.embedding.dimensions), dtype=np.float32)


class Behind(Exception):
    """More waits to be indexed than a search does by itself.

    Fields:
        until: the id up to which items are to be indexed first.
    """

    def __init__(self, until: int) -> None:
        super().__init__(f"items up to {until} wait to be indexed")
        self.until = until


class SearchIndex:
    """Full text and vectors of a tenant's items; its user holds `lock` while using it.

    Fields:
        exact_rows: up to so many vectors a query is compared with all of them.
        vectors_complete: whether the items have their vectors, but for the last written ones.
    """

    def __init__(self, vectors: VectorKind | None, texts_of: TextsOf) -> None:
        self.lock = threading.Lock()
        self.exact_rows = EXACT_ROWS
        self._vector_kind = vectors
        self._texts_of = texts_of
        self._epoch = _UNREAD
        self._reset()

    def _reset(self) -> None:
        kind = self._vector_kind
        self.lexical = LexicalIndex()
        self.vectors = (
            None if kind is None else VectorIndex(kind.embedding.dimensions, self.exact_rows)
        )
        self._text_cursor = 0
        self._vector_cursor = 0
        self._deaths_seen = 0
        self._ordinals = np.empty(0, dtype=np.int64)
        self.vectors_complete = False

    def forget(self) -> None:
        """Let go of everything, to be read anew by the next search."""
        with self.lock:
            self._epoch = _UNREAD
            self._reset()

    def __len__(self) -> int:
        """Documents held in memory."""
        return len(self.lexical.documents)

    def follow(self, tx: Tx) -> None:
        """Take over all that the transaction sees: segments, deaths, and what has no segment yet.

        Raises:
            DamagedIndex: a segment cannot be used.
            Behind: too much has no segment yet to be indexed here.
        """
        epoch = segments.epoch(tx)
        if epoch != self._epoch:
            self._epoch = epoch
            self._reset()
        with segments.reading(TEXT_KIND):
            self._follow_texts(tx)
        if self._vector_kind is not None and self.vectors is not None:
            with segments.reading(self._vector_kind.name):
                self._follow_vectors(tx, self._vector_kind, self.vectors)
        self._deaths_seen, dead = segments.deaths(tx, self._deaths_seen)
        if dead:
            self.lexical.remove(dead)
            if self.vectors is not None:
                self.vectors.remove(dead)

    def _follow_texts(self, tx: Tx) -> None:
        for segment in segments.after(tx, TEXT_KIND, self._text_cursor):
            batch = Postings.from_bytes(segment.body)
            if segment.first <= self._text_cursor:  # some of it is known already
                batch = batch.kept(batch.ids > self._text_cursor)
            self.lexical.append(batch)
            self._text_cursor = segment.last
        tail = self._tail(tx, self._text_cursor, _NO_LIMIT)
        if len(tail) > MAX_TAIL:
            raise Behind(last_indexed_id(tx))
        if tail:
            self.lexical.append(postings_of(tail))
            self._text_cursor = tail[-1].id

    def _follow_vectors(self, tx: Tx, kind: VectorKind, vectors: VectorIndex) -> None:
        for segment in segments.after(tx, kind.name, self._vector_cursor):
            if segment.last > self._text_cursor:
                break  # the text is being made anew, and tells what is known of these items
            self._append(vectors, VectorBlock.from_bytes(segment.body))
            self._vector_cursor = segment.last
        lag = count_after(tx, self._vector_cursor, MAX_TAIL + 1)
        if lag and lag <= MAX_TAIL and kind.embedding.instant:
            tail = self._tail(tx, self._vector_cursor, self._text_cursor)
            self._append(vectors, kind.block(tail))
            self._vector_cursor = tail[-1].id if tail else self._vector_cursor
            lag = 0
        # A few that lack theirs yet do no harm; when many do, a new embedder's are being made.
        few = max(_FEW, len(self) // _FEW_OF)
        self.vectors_complete = lag <= min(few, MAX_TAIL)

    def _append(self, vectors: VectorIndex, block: VectorBlock) -> None:
        """Add the rows of a block that are not known yet, of items whose text is known."""
        new = block.items > self._vector_cursor
        new &= np.isin(block.items, self.lexical.documents.ids)
        try:
            vectors.append(VectorBlock(block.items[new], block.vectors[new]))
        except ValueError as error:
            raise DamagedIndex(f"a segment of the search index does not fit: {error}") from error

    def _tail(self, tx: Tx, after: int, until: int) -> list[IndexedItem]:
        return indexed_items(tx, self._texts_of, after, until, MAX_TAIL + 1)

    def ordinals_of_rows(self) -> NDArray[np.int64]:
        """The ordinal of each vector's item among the documents, int64 [rows]."""
        assert self.vectors is not None
        known = len(self._ordinals)
        if known < self.vectors.rows:
            new = np.searchsorted(self.lexical.documents.ids, self.vectors.items[known:])
            self._ordinals = np.concatenate([self._ordinals, new])
        return self._ordinals
