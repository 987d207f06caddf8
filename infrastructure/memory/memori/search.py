"""Hybrid search: full text and vectors, fused by the sizes of their scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from infrastructure.memory.memori import text_index, vector_index
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.embedding import Vectors
from infrastructure.memory.memori.filter_sql import Sql

_TEXT_WEIGHT: Final = 0.5
_VECTOR_WEIGHT: Final = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """What is looked for.

    Fields:
        text: the words.
        embedder, vector: the identity of an embedder and its unit vector of the words; both None
            for full text alone.
    """

    text: str
    embedder: str | None = None
    vector: Vectors | None = None


def ranked(tx: Tx, query: Query, within: Sql) -> list[tuple[int, float]]:
    """Every match of the scope with its score, the best first; ties go to the last written.

    A match has a word of the query or a vector. Where both kinds exist, each is scaled to 0..1
    over the matches and their weighted sum ranks, so that a clear lead on one side outweighs a
    narrow one on the other, which fusing by rank would forget. Vectors alone score by cosine,
    full text alone by BM25.
    """
    texts = text_index.scores(tx, query.text, within)
    vectors: dict[int, float] = {}
    if query.embedder is not None and query.vector is not None:
        vectors = vector_index.scores(tx, query.embedder, query.vector, within)
    fused = _fused(texts, vectors) if texts and vectors else texts or vectors
    return sorted(fused.items(), key=lambda match: (-match[1], -match[0]))


def _fused(texts: Mapping[int, float], vectors: Mapping[int, float]) -> dict[int, float]:
    # An item without the query's words has a text score of 0, which is the least there is.
    by_text = _scaled(texts, least=0.0)
    by_vector = _scaled(vectors, least=min(vectors.values()))
    return {
        item: _TEXT_WEIGHT * by_text.get(item, 0.0) + _VECTOR_WEIGHT * by_vector.get(item, 0.0)
        for item in by_text.keys() | by_vector.keys()
    }


def _scaled(scores: Mapping[int, float], least: float) -> dict[int, float]:
    spread = max(scores.values()) - least
    if spread <= 0:
        return dict.fromkeys(scores, 1.0)
    return {item: (score - least) / spread for item, score in scores.items()}
