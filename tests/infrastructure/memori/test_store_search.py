"""Search with a query: words, vectors, their fusion, and what is indexed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from langgraph.store.base import IndexConfig, PutOp, SearchItem
from numpy.typing import NDArray

from infrastructure.errors import StoreError
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.store import MemoriStore
from infrastructure.memory.memori.values import InvalidItem

NS = ("docs",)
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def letter_counts(texts: Sequence[str]) -> list[list[float]]:
    return [[float(text.lower().count(letter)) for letter in LETTERS] for text in texts]


async def aletter_counts(texts: Sequence[str]) -> list[list[float]]:
    return letter_counts(texts)


class LetterEmbedder:
    """An embedder of ours; its version is part of its identity."""

    name = "letters"
    dimensions = len(LETTERS)

    def __init__(self, version: str = "1") -> None:
        self.version = version

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.array(letter_counts(texts), dtype=np.float32)


@pytest.fixture
def memori() -> Iterator[Memori]:
    opened = Memori.open(":memory:")
    yield opened
    opened.close()


def letters(**config: Any) -> IndexConfig:
    return IndexConfig(dims=len(LETTERS), embed=letter_counts, **config)


def found(hits: list[SearchItem]) -> list[str]:
    return [hit.key for hit in hits]


async def test_words_match_by_stem_and_stop_words_do_not(memori: Memori) -> None:
    store = MemoriStore(memori)
    await store.aput(NS, "runs", {"text": "She was running along the river"})
    await store.aput(NS, "reads", {"text": "What the man was reading there"})
    assert found(await store.asearch(NS, query="what runs where?")) == ["runs"]
    assert found(await store.asearch(NS, query="the")) == ["reads", "runs"]
    assert await store.asearch(NS, query="swimming") == []
    assert await store.asearch(NS, query="?!") == []
    assert len(await store.asearch(NS, query="")) == 2


async def test_better_matches_come_first_with_their_scores(memori: Memori) -> None:
    store = MemoriStore(memori)
    await store.aput(NS, "one", {"text": "rain in spring, and much else that is to be told"})
    await store.aput(NS, "both", {"text": "rain and snow"})
    hits = await store.asearch(NS, query="snow rain")
    assert found(hits) == ["both", "one"]
    scores = [hit.score for hit in hits]
    assert scores[0] is not None
    assert scores[1] is not None
    assert scores[0] > scores[1] > 0


@pytest.mark.parametrize(
    "query",
    ['"', "a AND b", "NEAR(a b)", "text:a", "-a", "a*", "^a", "(", "' OR 1=1", "a\nb", "x" * 9000],
)
async def test_a_query_is_words_and_never_syntax(memori: Memori, query: str) -> None:
    store = MemoriStore(memori)
    await store.aput(NS, "k", {"text": "b"})
    assert found(await store.asearch(NS, query=query)) in ([], ["k"])
    assert found(await store.asearch(NS, query="b")) == ["k"]


async def test_keys_of_a_value_are_no_text_of_it(memori: Memori) -> None:
    store = MemoriStore(memori)
    await store.aput(NS, "k", {"title": "Dune", "year": 1965, "tags": ["desert", {"x": "spice"}]})
    for word in ("dune", "1965", "deserts", "spice"):
        assert found(await store.asearch(NS, query=word)) == ["k"]
    assert await store.asearch(NS, query="title") == []


@pytest.mark.parametrize("setting", ["fields", "text_fields"])
async def test_only_the_fields_of_the_configuration_are_indexed(
    memori: Memori, setting: str
) -> None:
    index: Any = {setting: ["title", "parts[*].text"]}
    store = MemoriStore(memori, index=index)
    await store.aput(NS, "k", {"title": "sun", "note": "rain", "parts": [{"text": "hail"}]})
    assert found(await store.asearch(NS, query="sun")) == ["k"]
    assert found(await store.asearch(NS, query="hail")) == ["k"]
    assert await store.asearch(NS, query="rain") == []


async def test_a_put_may_choose_its_fields_or_none(memori: Memori) -> None:
    store = MemoriStore(memori, index=letters(fields=["title"]))
    await store.aput(NS, "none", {"title": "sun"}, index=False)
    await store.aput(NS, "other", {"title": "sun", "note": "rain"}, index=["note"])
    assert found(await store.asearch(NS, query="rain")) == ["other"]
    assert found(await store.asearch(NS)) == ["other", "none"]


async def test_putting_again_leaves_nothing_of_the_old_text_or_vector(memori: Memori) -> None:
    store = MemoriStore(memori, index=letters())
    await store.aput(NS, "k", {"text": "rain"})
    await store.aput(NS, "k", {"text": "rain"}, index=False)
    assert await store.asearch(NS, query="rain") == []
    await store.aput(NS, "k", {"text": "sun"})
    (hit,) = await store.asearch(NS, query="sun")
    assert hit.score == pytest.approx(1.0)
    await store.adelete(NS, "k")
    assert await store.asearch(NS, query="sun") == []
    counts = memori.read_sync(
        lambda tx: tx.execute(
            "SELECT (SELECT count(*) FROM item_vectors), (SELECT count(*) FROM item_texts)"
        ).fetchone()
    )
    assert counts == (0, 0)


@pytest.mark.parametrize("embed", [letter_counts, aletter_counts])
async def test_vectors_alone_rank_by_cosine(memori: Memori, embed: Any) -> None:
    store = MemoriStore(memori, index=IndexConfig(dims=26, embed=embed, fields=["text"]))
    await store.aput(NS, "near", {"text": "aab"})
    await store.aput(NS, "far", {"text": "abbbbb"})
    await store.aput(NS, "away", {"text": "zzz"})
    hits = await store.asearch(NS, query="aaabb")
    assert found(hits) == ["near", "far", "away"]
    expected = np.dot([3, 2], [2, 1]) / np.linalg.norm([3, 2]) / np.linalg.norm([2, 1])
    assert hits[0].score == pytest.approx(float(expected))
    assert hits[2].score == pytest.approx(0.0)


async def test_an_item_counts_by_its_nearest_text(memori: Memori) -> None:
    store = MemoriStore(memori, index=letters(fields=["parts[*]"]))
    await store.aput(NS, "mixed", {"parts": ["zzz", "qqq"]})
    await store.aput(NS, "even", {"parts": ["zq"]})
    hits = await store.asearch(NS, query="qqqq")
    assert found(hits) == ["mixed", "even"]
    assert hits[0].score == pytest.approx(1.0)


async def test_words_and_vectors_are_fused_and_filtered_before_the_limit(memori: Memori) -> None:
    store = MemoriStore(memori, embedder=LetterEmbedder())
    await store.abatch(
        [
            PutOp(NS, "word", {"text": "tea zzzzzzz", "kind": "a"}),
            PutOp(NS, "letters", {"text": "eat", "kind": "a"}),
            PutOp(NS, "both", {"text": "tea", "kind": "b"}),
            PutOp(NS, "none", {"text": "zzz", "kind": "a"}),
        ]
    )
    assert found(await store.asearch(NS, query="tea"))[0] == "both"
    assert found(await store.asearch(NS, query="tea"))[-1] == "none"
    hits = await store.asearch(NS, query="tea", filter={"kind": "a"}, limit=2)
    assert set(found(hits)) == {"word", "letters"}


async def test_pages_of_a_query_give_every_match_once(memori: Memori) -> None:
    store = MemoriStore(memori, index=letters())
    await store.abatch([PutOp(NS, str(n), {"text": "same text"}) for n in range(23)])
    pages = [await store.asearch(NS, query="same", limit=5, offset=n) for n in range(0, 30, 5)]
    assert [key for page in pages for key in found(page)] == [str(n) for n in reversed(range(23))]


async def test_vectors_of_different_embedders_are_never_compared(memori: Memori) -> None:
    await MemoriStore(memori, embedder=LetterEmbedder("1")).aput(NS, "old", {"text": "abc"})
    renewed = MemoriStore(memori, embedder=LetterEmbedder("2"))
    assert await renewed.asearch(NS, query="bca") == []
    await renewed.aput(NS, "new", {"text": "abc"})
    assert found(await renewed.asearch(NS, query="bca")) == ["new"]


def wrong_size(texts: Sequence[str]) -> list[list[float]]:
    return [[1.0]] * len(texts)


def not_finite(texts: Sequence[str]) -> list[list[float]]:
    return [[float("nan")] * 26] * len(texts)


def no_vectors(texts: Sequence[str]) -> list[list[float]]:
    return [["a"]] * len(texts)  # pyright: ignore[reportReturnType] - wrong on purpose


def too_few(texts: Sequence[str]) -> list[list[float]]:
    return []


@pytest.mark.parametrize("embed", [wrong_size, not_finite, no_vectors, too_few])
async def test_an_embedder_that_misbehaves_is_reported_and_nothing_is_stored(
    memori: Memori, embed: Any
) -> None:
    store = MemoriStore(memori, index=IndexConfig(dims=26, embed=embed))
    with pytest.raises(StoreError, match="embedder"):
        await store.aput(NS, "k", {"text": "a"})
    with pytest.raises(StoreError, match="embedder"):
        store.put(NS, "k", {"text": "a"})
    assert await store.aget(NS, "k") is None


def test_a_contradictory_configuration_is_refused(memori: Memori) -> None:
    with pytest.raises(InvalidItem, match="dims"):
        MemoriStore(memori, index=IndexConfig(embed=letter_counts))
    with pytest.raises(InvalidItem, match="not both"):
        MemoriStore(memori, index=letters(), embedder=LetterEmbedder())
    with pytest.raises(InvalidItem, match="fields"):
        MemoriStore(memori, index=letters(fields="text"))


def test_synchronous_search_with_vectors(memori: Memori) -> None:
    store = MemoriStore(memori, index=letters())
    store.put(NS, "k", {"text": "abc"})
    assert found(store.search(NS, query="cab")) == ["k"]
