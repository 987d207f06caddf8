"""One batch of documents, tokenised: what a segment of the text index holds."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, TypeAlias

import numpy as np
import orjson
from numpy.typing import NDArray

from infrastructure.memory.memori.posting_lists import PostingLists
from infrastructure.memory.memori.sealing import (
    damaged,
    differences,
    numbers,
    seal,
    summed,
    texts,
    unseal,
)
from infrastructure.memory.memori.tokens import stems

Document: TypeAlias = tuple[int, str, int, str]
"""Item id, namespace, written_at in microseconds, text."""

_MARK: Final = b"GTXT"
_VERSION: Final = 1
_SECTIONS: Final = 9


@dataclass(frozen=True, slots=True, eq=False)
class Postings:
    """A batch of documents and their postings.

    Fields:
        ids: int64[n], ascending.
        written_at: int64[n], microseconds.
        namespaces: the distinct encoded namespaces, `namespace_codes` int32[n] the place in them.
        lengths: int32[n], terms of each document, repeated ones counted each time.
        terms: distinct, `lists` has the postings of the i-th under the code i.
    """

    ids: NDArray[np.int64]
    written_at: NDArray[np.int64]
    namespaces: tuple[str, ...]
    namespace_codes: NDArray[np.int32]
    lengths: NDArray[np.int32]
    terms: tuple[str, ...]
    lists: PostingLists

    def __len__(self) -> int:
        """The number of documents."""
        return len(self.ids)

    @classmethod
    def build(cls, documents: Iterable[Document]) -> Postings:
        """Tokenise documents, given by ascending id."""
        rows = list(documents)
        stemmed = [stems(text) for _, _, _, text in rows]
        lengths = np.array([len(terms) for terms in stemmed], dtype=np.int32)
        terms, codes = _coded(list(chain.from_iterable(stemmed)))
        namespaces, namespace_codes = _coded([namespace for _, namespace, _, _ in rows])
        numbers = np.repeat(np.arange(len(rows), dtype=np.int64), lengths)
        return cls(
            ids=np.array([row[0] for row in rows], dtype=np.int64),
            written_at=np.array([row[2] for row in rows], dtype=np.int64),
            namespaces=namespaces,
            namespace_codes=namespace_codes.astype(np.int32),
            lengths=lengths,
            terms=terms,
            lists=PostingLists.of_occurrences(codes, numbers, len(terms), len(rows)),
        )

    @classmethod
    def merged(cls, batches: Sequence[Postings], dead: Collection[int] = ()) -> Postings:
        """Batches as one, each with ids above those of the one before.

        Args:
            dead: ids of documents to leave out; unknown ones are ignored.
        """
        gone = np.fromiter(dead, dtype=np.int64, count=len(dead))
        live = [batch.without(gone) for batch in batches] or [cls.build([])]
        terms, term_codes = _united([batch.terms for batch in live])
        namespaces, namespace_codes = _united([batch.namespaces for batch in live])
        starts = np.cumsum([0, *map(len, live)])
        return cls(
            ids=np.concatenate([batch.ids for batch in live]),
            written_at=np.concatenate([batch.written_at for batch in live]),
            namespaces=namespaces,
            namespace_codes=np.concatenate(
                [
                    codes[batch.namespace_codes]
                    for batch, codes in zip(live, namespace_codes, strict=True)
                ]
            ),
            lengths=np.concatenate([batch.lengths for batch in live]),
            terms=terms,
            lists=PostingLists.merged(
                [
                    batch.lists.recoded(codes, int(start))
                    for batch, codes, start in zip(live, term_codes, starts, strict=False)
                ]
            ),
        )

    def without(self, dead: NDArray[np.int64]) -> Postings:
        """The batch without these ids; unknown ones are ignored."""
        keep = ~np.isin(self.ids, dead)
        return self if keep.all() else self.kept(keep)

    def kept(self, keep: NDArray[np.bool_]) -> Postings:
        """Only the documents marked.

        Args:
            keep: bool[n].
        """
        lists = self.lists.restricted(keep)
        terms: list[int] = lists.terms.tolist()
        used, namespace_codes = np.unique(self.namespace_codes[keep], return_inverse=True)
        namespaces: list[int] = used.tolist()
        return Postings(
            ids=self.ids[keep],
            written_at=self.written_at[keep],
            namespaces=tuple(self.namespaces[code] for code in namespaces),
            namespace_codes=namespace_codes.astype(np.int32),
            lengths=self.lengths[keep],
            terms=tuple(self.terms[code] for code in terms),
            lists=lists.recoded(np.arange(len(lists.terms), dtype=np.int32)),
        )

    def to_bytes(self) -> bytes:
        """The batch as a segment: compressed and checked, the same bytes for the same batch."""
        number = _number_type(len(self))
        lists = self.lists
        return seal(
            _MARK,
            _VERSION,
            [
                orjson.dumps(self.namespaces),
                orjson.dumps(self.terms),
                differences(self.ids.astype("<i8")),
                differences(self.written_at.astype("<i8")),
                self.namespace_codes.astype("<i4").tobytes(),
                self.lengths.astype("<i4").tobytes(),
                np.diff(lists.offsets).astype("<i4").tobytes(),
                differences(lists.documents.astype(number)),
                lists.counts.astype("<u2").tobytes(),
            ],
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Postings:
        """The batch of a segment.

        Raises:
            DamagedIndex: the segment is damaged or of another format.
        """
        sections = unseal(_MARK, _VERSION, data)
        if len(sections) != _SECTIONS:
            raise damaged("parts are missing")
        namespaces, terms, ids, created, codes, lengths, sizes, documents, counts = sections
        item_ids = summed(ids, "<i8").astype(np.int64)
        offsets = np.cumsum([0, *numbers(sizes, "<i4").tolist()], dtype=np.int64)
        batch = cls(
            ids=item_ids,
            written_at=summed(created, "<i8").astype(np.int64),
            namespaces=texts(namespaces),
            namespace_codes=numbers(codes, "<i4").astype(np.int32),
            lengths=numbers(lengths, "<i4").astype(np.int32),
            terms=texts(terms),
            lists=PostingLists(
                np.arange(len(offsets) - 1, dtype=np.int32),
                offsets,
                summed(documents, _number_type(len(item_ids))).astype(np.int32),
                numbers(counts, "<u2").astype(np.uint16),
            ),
        )
        batch._check()
        return batch

    def _check(self) -> None:
        """Refuse what would be read past its end or counted twice."""
        lists = self.lists
        size, postings = len(self.ids), len(lists.documents)
        firsts = np.zeros(postings + 1, dtype=np.bool_)
        firsts[lists.offsets[(lists.offsets >= 0) & (lists.offsets <= postings)]] = True
        sound = (
            len(self.written_at) == len(self.namespace_codes) == len(self.lengths) == size
            and len(lists.counts) == postings == lists.offsets[-1]
            and len(self.terms) == len(lists.terms) == len(set(self.terms))
            and len(self.namespaces) == len(set(self.namespaces))
            and bool((np.diff(lists.offsets) > 0).all())
            and bool((np.diff(self.ids) > 0).all())
            and bool((self.lengths >= 0).all())
            and _below(self.namespace_codes, len(self.namespaces))
            and _below(lists.documents, size)
            and bool(((np.diff(lists.documents) > 0) | firsts[1:-1]).all())
            and bool((lists.counts > 0).all())
        )
        if not sound:
            raise damaged("its parts do not fit together")


def _coded(values: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The distinct values, ascending, and each value's place among them."""
    distinct = tuple(sorted(set(values)))
    place = {value: code for code, value in enumerate(distinct)}
    codes = np.fromiter(map(place.__getitem__, values), dtype=np.int64, count=len(values))
    return distinct, codes


def _united(
    lists: Sequence[Sequence[str]],
) -> tuple[tuple[str, ...], list[NDArray[np.int32]]]:
    """All distinct values, ascending, and for each list its values' places among them."""
    distinct, codes = _coded(list(chain.from_iterable(lists)))
    ends = np.cumsum([len(values) for values in lists])
    return distinct, np.split(codes.astype(np.int32), ends[:-1])


def _number_type(n_documents: int) -> str:
    """The narrowest type for the numbers of so many documents."""
    return "<u2" if n_documents <= 2**16 else "<u4"


def _below(codes: NDArray[np.int32], limit: int) -> bool:
    return len(codes) == 0 or bool(codes.min() >= 0 and codes.max() < limit)
