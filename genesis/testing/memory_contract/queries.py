"""Searches with a query: matches come first, and what is not indexed any more never matches."""

from __future__ import annotations

import pytest
from langgraph.store.base import BaseStore, PutOp, SearchItem

from genesis.testing.memory_contract.setting import NS, OpenStore, Setting, keys, letters

HOSTILE_QUERIES = [
    '"', "a AND b", "NEAR(a b)", "text:a", "-a", "a*", "^a", "(", "' OR 1=1 --", "a\nb", "%", "?!",
    "& | !", "x" * 9_000,
]  # fmt: skip


class QueryContract(Setting):
    """What a query finds in a store that is opened with an embedder."""

    @pytest.fixture
    async def indexed(self, open_store: OpenStore) -> BaseStore:
        return await open_store(index=letters(["text"]))

    async def test_without_fields_the_whole_value_is_indexed(self, open_store: OpenStore) -> None:
        store = await open_store(index=letters())
        await store.aput(NS, "far", {"a": "zzzzzz"})
        await store.aput(NS, "near", {"deep": [{"b": "banana"}], "n": 1})
        hits = await store.asearch(NS, query="banana")
        assert keys(hits) == ["near", "far"]
        assert hits[0].score is not None

    async def test_the_better_match_comes_first_with_the_higher_score(
        self, indexed: BaseStore
    ) -> None:
        await indexed.aput(NS, "far", {"text": "zzz qq"})
        await indexed.aput(NS, "near", {"text": "banana"})
        await indexed.aput(NS, "between", {"text": "ban zq"})
        hits = await indexed.asearch(NS, query="banana")
        assert keys(hits) == ["near", "between", "far"]
        near, between, far = [hit.score or 0 for hit in hits]
        assert near > between > far

    async def test_a_query_ranks_and_does_not_exclude(self, indexed: BaseStore) -> None:
        await indexed.aput(NS, "match", {"text": "banana"})
        await indexed.aput(NS, "first", {"text": "banana"}, index=False)
        await indexed.aput(NS, "second", {"n": 1}, index=False)
        hits = await indexed.asearch(NS, query="banana")
        assert keys(hits) == ["match", "second", "first"]
        assert matches(hits) == ["match"]

    async def test_a_search_with_a_query_sees_every_write_acknowledged_before(
        self, indexed: BaseStore
    ) -> None:
        for text in ("banana", "zebra", "quince"):
            await indexed.aput(NS, "k", {"text": text})
            (hit,) = await indexed.asearch(NS, query=text)
            assert hit.value == {"text": text}
            assert hit.score == pytest.approx(1, abs=1e-3)

    async def test_only_the_fields_of_the_index_are_indexed(self, open_store: OpenStore) -> None:
        store = await open_store(index=letters(["title", "parts[*].text"]))
        await store.aput(NS, "title", {"title": "banana", "note": "zzz"})
        await store.aput(NS, "part", {"title": "qqq", "parts": [{"text": "zzz"}, {"text": "xyx"}]})
        await store.aput(NS, "note", {"note": "banana"})
        assert keys(await store.asearch(NS, query="banana"))[0] == "title"
        assert keys(await store.asearch(NS, query="zzz"))[0] == "part"
        assert "note" not in matches(await store.asearch(NS, query="banana"))

    async def test_a_put_may_choose_its_own_fields(self, open_store: OpenStore) -> None:
        store = await open_store(index=letters(["title"]))
        await store.aput(NS, "own", {"title": "banana", "note": "zzz"}, index=["note"])
        await store.aput(NS, "default", {"title": "banana", "note": "zzz"})
        assert keys(await store.asearch(NS, query="zzz"))[0] == "own"
        assert keys(await store.asearch(NS, query="banana"))[0] == "default"

    async def test_an_item_counts_by_its_best_field(self, open_store: OpenStore) -> None:
        store = await open_store(index=letters(["parts[*]"]))
        await store.aput(NS, "mixed", {"parts": ["zzz", "qqq"]})
        await store.aput(NS, "even", {"parts": ["zq"]})
        hits = await store.asearch(NS, query="qqqq")
        assert keys(hits) == ["mixed", "even"]

    async def test_putting_again_leaves_no_stale_match(self, indexed: BaseStore) -> None:
        await indexed.aput(NS, "k", {"text": "banana"})
        await indexed.aput(NS, "other", {"text": "ban zq"})
        await indexed.aput(NS, "k", {"text": "zzz"})
        assert keys(await indexed.asearch(NS, query="banana"))[-1] == "k"

    async def test_putting_again_without_index_leaves_no_stale_match(
        self, indexed: BaseStore
    ) -> None:
        await indexed.aput(NS, "k", {"text": "banana"})
        await indexed.aput(NS, "k", {"text": "zzz"}, index=False)
        (hit,) = await indexed.asearch(NS, query="banana")
        assert (hit.value, hit.score) == ({"text": "zzz"}, None)

    async def test_deleting_leaves_no_stale_match(self, indexed: BaseStore) -> None:
        await indexed.aput(NS, "k", {"text": "banana"})
        await indexed.adelete(NS, "k")
        assert await indexed.asearch(NS, query="banana") == []

    async def test_filters_and_prefixes_apply_to_a_query_before_the_limit(
        self, indexed: BaseStore
    ) -> None:
        await indexed.abatch(
            [PutOp(NS, str(n), {"even": n % 2 == 0, "text": "banana"}) for n in range(60)]
        )
        await indexed.aput(("users", "adam"), "beside", {"even": True, "text": "banana"})
        hits = await indexed.asearch(NS, query="banana", filter={"even": True}, limit=25)
        assert len(hits) == 25
        assert all(hit.value["even"] and hit.namespace == NS for hit in hits)
        assert len(await indexed.asearch(NS, query="banana", filter={"even": True}, limit=99)) == 30

    async def test_pages_of_a_query_give_every_item_once(self, indexed: BaseStore) -> None:
        await indexed.abatch(
            [PutOp(NS, f"same{n}", {"text": "banana"}) for n in range(11)]
            + [PutOp(NS, f"near{n}", {"text": "banana" + "z" * n}) for n in range(6)]
            + [PutOp(NS, f"none{n}", {"text": "banana"}, index=False) for n in range(6)]
        )
        whole = await indexed.asearch(NS, query="banana", limit=99)
        pages = [
            await indexed.asearch(NS, query="banana", limit=5, offset=start)
            for start in range(0, 30, 5)
        ]
        assert [hit.key for page in pages for hit in page] == keys(whole)
        assert len(set(keys(whole))) == len(whole) == 23

    @pytest.mark.parametrize("query", HOSTILE_QUERIES, ids=lambda query: ascii(query)[:20])
    async def test_a_query_is_words_and_never_syntax(self, indexed: BaseStore, query: str) -> None:
        await indexed.aput(NS, "k", {"text": "banana"})
        assert keys(await indexed.asearch(NS, query=query)) == ["k"]
        assert keys(await indexed.asearch(NS, query="banana")) == ["k"]


def matches(hits: list[SearchItem]) -> list[str]:
    """The keys of those that match at all."""
    return [hit.key for hit in hits if hit.score is not None]
