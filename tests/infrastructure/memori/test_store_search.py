"""Search with a query: words, meaning, and what of an item is searched."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest
from langgraph.store.base import IndexConfig, PutOp, SearchItem

from genesis.testing.memory_contract.setting import LETTERS, letter_counts, letters
from infrastructure.memory.memori.store import MemoriStore

NS = ("docs",)


@pytest.fixture
async def store() -> AsyncIterator[MemoriStore]:
    async with MemoriStore.from_conn_string(":memory:") as opened:
        yield opened


def matches(hits: Sequence[SearchItem]) -> list[str]:
    """The keys of those that match at all."""
    return [hit.key for hit in hits if hit.score is not None]


async def test_words_match_by_stem_and_stop_words_do_not(store: MemoriStore) -> None:
    await store.aput(NS, "runs", {"text": "She was running along the river"})
    await store.aput(NS, "reads", {"text": "What the man was reading there"})
    assert matches(await store.asearch(NS, query="what runs where?")) == ["runs"]
    assert set(matches(await store.asearch(NS, query="the"))) == {"reads", "runs"}
    assert matches(await store.asearch(NS, query="swimming")) == []
    assert matches(await store.asearch(NS, query="?!")) == []


@pytest.mark.parametrize(
    ("stored", "query"), [("café", "CAFE"), ("日本 語", "日本"), ("x-ray 42", "42")]
)
async def test_words_match_whatever_their_case_and_accents(
    store: MemoriStore, stored: str, query: str
) -> None:
    await store.aput(NS, "k", {"text": stored})
    assert matches(await store.asearch(NS, query=query)) == ["k"]


async def test_more_and_rarer_words_rank_higher(store: MemoriStore) -> None:
    await store.abatch([PutOp(("other",), str(n), {"text": "rain"}) for n in range(9)])
    await store.aput(NS, "common", {"text": "rain in spring"})
    await store.aput(("between",), "k", {"text": "nothing"})
    await store.aput(("docs", "rare"), "rare", {"text": "snow in spring"})
    await store.aput(("docs", "both"), "both", {"text": "snow, rain"})
    hits = await store.asearch(NS, query="snow rain")
    assert [hit.key for hit in hits] == ["both", "rare", "common"]
    scores = [hit.score or 0 for hit in hits]
    assert scores[0] > scores[1] > scores[2] > 0


async def test_the_values_of_an_item_are_searched_and_not_its_keys(store: MemoriStore) -> None:
    await store.aput(NS, "k", {"title": "Dune", "year": 1965, "tags": ["desert", {"x": "spice"}]})
    for word in ("dune", "1965", "deserts", "spice"):
        assert matches(await store.asearch(NS, query=word)) == ["k"]
    for word in ("title", "docs", "k"):
        assert matches(await store.asearch(NS, query=word)) == []


async def test_words_of_one_namespace_are_not_found_from_another(store: MemoriStore) -> None:
    for namespace in (("docs",), ("docs", "a"), ("docs2",), ("doc",)):
        await store.aput(namespace, ".".join(namespace), {"text": "banana"})
    hits = await store.asearch(NS, query="banana")
    assert {hit.namespace for hit in hits} == {("docs",), ("docs", "a")}


async def aletter_counts(texts: Sequence[str]) -> list[list[float]]:
    return letter_counts(texts)


@pytest.mark.parametrize("embed", [letter_counts, aletter_counts])
async def test_with_langgraphs_embedder_scores_are_cosines(
    store: MemoriStore, embed: object
) -> None:
    index = IndexConfig(dims=len(LETTERS), embed=embed, fields=["text"])  # pyright: ignore[reportArgumentType] - either kind of function
    cosines = MemoriStore(store.memori, index=index)
    await cosines.aput(NS, "near", {"text": "aab"})
    await cosines.aput(("docs", "2"), "far", {"text": "abbbbb"})
    await cosines.aput(("docs", "3"), "away", {"text": "zzz"})
    hits = await cosines.asearch(NS, query="aaabb")
    assert {hit.key: hit.score for hit in hits} == {
        "near": pytest.approx(8 / (13 * 5) ** 0.5, abs=1e-5),
        "far": pytest.approx(13 / (13 * 26) ** 0.5, abs=1e-5),
        "away": pytest.approx(0, abs=1e-5),
    }
    assert [hit.key for hit in hits] == ["near", "far", "away"]


async def test_words_and_meaning_rank_together(store: MemoriStore) -> None:
    both = MemoriStore(store.memori, index=letters(["text"]))
    for number, (key, text) in enumerate(
        [("word", "tea zzzzzzz"), ("letters", "eat"), ("both", "tea"), ("neither", "zzz")]
    ):
        await both.aput(("docs", str(number)), key, {"text": text})
    found = [hit.key for hit in await both.asearch(NS, query="tea")]
    assert (found[0], found[-1]) == ("both", "neither")
