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
from infrastructure.memory.memori.indexer import IndexedItem
from infrastructure.memory.memori.lexical_index import LexicalIndex
from infrastructure.memory.memori.nearest import VectorIndex
from infrastructure.memory.memori.postings import Postings
from infrastructure.memory.memori.segments import DamagedIndex, Segment
from infrastructure.memory.memori.tokens import VERSION
from infrastructure.memory.memori.vector_block import VectorBlock

TEXT_KIND: Final = f"text:{VERSION}"
_UNREAD: Final = -1


class TextKind:
    """Full text as segments."""

    name = TEXT_KIND

    def build(self, items: Sequence[IndexedItem]) -> Segment:
        """The postings of the items' texts."""
        batch = Postings.build(
            (item.id, item.namespace, item.written_at, "\n".join(item.texts)) for item in items
        )
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
        texts = [text for item in items for text in item.texts]
        ids = np.repeat(
            np.array([item.id for item in items], dtype=np.int64),
            [len(item.texts) for item in items],
        )
        # Texts that stand in several items are embedded once.
        place = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        vectors = self.embedding.documents(list(place)) if place else self._none()
        block = VectorBlock(ids, vectors[[place[text] for text in texts]])
        return Segment(items[0].id, items[-1].id, len(ids), block.to_bytes())

    def merge(self, parts: Sequence[Segment], dead: Sequence[int]) -> Segment:
        """Neighbours as one, without the dead."""
        blocks = [VectorBlock.from_bytes(part.body) for part in parts]
        block = vector_block.merged(blocks, dead)
        return Segment(parts[0].first, parts[-1].last, len(block.items), block.to_bytes())

    def _none(self) -> NDArray[np.float32]:
        return np.empty((0, self.embedding.dimensions), dtype=np.float32)


class SearchIndex:
    """Full text and vectors of a tenant's items; its user holds `lock` while using it.

    Fields:
        vectors_complete: whether every item that full text knows has its vectors.
    """

    def __init__(self, vectors: VectorKind | None) -> None:
        self.lock = threading.Lock()
        self._vector_kind = vectors
        self._epoch = _UNREAD
        self._reset()

    def _reset(self) -> None:
        kind = self._vector_kind
        self.lexical = LexicalIndex()
        self.vectors = None if kind is None else VectorIndex(kind.embedding.dimensions)
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
        """Take over the segments and deaths that came since; after a new epoch, everything.

        Raises:
            DamagedIndex: a segment cannot be used.
        """
        epoch = segments.epoch(tx)
        if epoch != self._epoch:
            self._epoch = epoch
            self._reset()
        with segments.reading(TEXT_KIND):
            self._follow_texts(tx)
        if self._vector_kind is not None and self.vectors is not None:
            with segments.reading(self._vector_kind.name):
                self._follow_vectors(tx, self._vector_kind.name, self.vectors)
        self._deaths_seen, dead = segments.deaths(tx, self._deaths_seen)
        if dead:
            self.lexical.remove(dead)
            if self.vectors is not None:
                self.vectors.remove(dead)

    def _follow_texts(self, tx: Tx) -> None:
        for segment in segments.after(tx, TEXT_KIND, self._text_cursor):
            batch = Postings.from_bytes(segment.body)
            if segment.first <= self._text_cursor:  # merged since with what is known
                batch = batch.kept(batch.ids > self._text_cursor)
            self.lexical.append(batch)
            self._text_cursor = segment.last

    def _follow_vectors(self, tx: Tx, kind: str, vectors: VectorIndex) -> None:
        for segment in segments.after(tx, kind, self._vector_cursor):
            if segment.last > self._text_cursor and segments.waiting(
                tx, self._text_cursor, segment.last
            ):
                break  # the text is being made anew, and tells what is known of these items
            block = VectorBlock.from_bytes(segment.body)
            new = block.items > self._vector_cursor  # others were merged since with these
            new &= np.isin(block.items, self.lexical.documents.ids)
            try:
                vectors.append(VectorBlock(block.items[new], block.vectors[new]))
            except ValueError as error:
                raise DamagedIndex(
                    f"a segment of the search index does not fit: {error}"
                ) from error
            self._vector_cursor = segment.last
        self.vectors_complete = self._vector_cursor >= self._text_cursor or not segments.waiting(
            tx, self._vector_cursor, self._text_cursor
        )

    def ordinals_of_rows(self) -> NDArray[np.int64]:
        """The ordinal of each vector's item among the documents, int64 [rows]."""
        assert self.vectors is not None
        known = len(self._ordinals)
        if known < self.vectors.rows:
            new = np.searchsorted(self.lexical.documents.ids, self.vectors.items[known:])
            self._ordinals = np.concatenate([self._ordinals, new])
        return self._ordinals
