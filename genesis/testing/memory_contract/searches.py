"""Searches without a query: the last written first, filtered before they are cut."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.store.base import BaseStore, PutOp, SearchItem, SearchOp

from genesis.testing.memory_contract.setting import NS, Setting, keys

WRONG_COUNTS: list[Any] = [-1, 1.5, "1", True]


class SearchContract(Setting):
    """What a search lists, in what order, and in what pages."""

    async def test_without_a_query_the_last_written_comes_first(self, store: BaseStore) -> None:
        for key in ("a", "b", "c"):
            await store.aput(NS, key, {})
        await store.aput(NS, "a", {"again": True})
        assert keys(await store.asearch(NS)) == ["a", "c", "b"]

    async def test_without_a_query_no_item_has_a_score(self, store: BaseStore) -> None:
        await store.aput(NS, "k", {"n": 1})
        (hit,) = await store.asearch(NS)
        assert isinstance(hit, SearchItem)
        assert (hit.namespace, hit.key, hit.value, hit.score) == (NS, "k", {"n": 1}, None)

    async def test_an_empty_query_is_none(self, store: BaseStore) -> None:
        await store.aput(NS, "k", {"text": "note"})
        await store.aput(NS, "l", {"text": "other"})
        hits = await store.asearch(NS, query="")
        assert {hit.key: hit.score for hit in hits} == {"k": None, "l": None}

    async def test_the_default_limit_is_ten(self, store: BaseStore) -> None:
        await store.abatch([PutOp(NS, str(number), {}) for number in range(12)])
        assert len(await store.asearch(NS)) == 10

    async def test_pages_by_offset_give_every_item_once(self, store: BaseStore) -> None:
        await store.abatch([PutOp(NS, str(number), {}) for number in range(7)])
        pages = [await store.asearch(NS, limit=3, offset=start) for start in (0, 3, 6, 9)]
        assert [keys(page) for page in pages] == [["6", "5", "4"], ["3", "2", "1"], ["0"], []]
        assert await store.asearch(NS, limit=0) == []

    async def test_filters_apply_before_limit_and_offset(self, store: BaseStore) -> None:
        await store.abatch([PutOp(NS, str(n), {"even": n % 2 == 0}) for n in range(40)])
        assert keys(await store.asearch(NS, filter={"even": True}, limit=3)) == ["38", "36", "34"]
        assert len(await store.asearch(NS, filter={"even": True}, limit=30)) == 20
        assert keys(await store.asearch(NS, filter={"even": True}, offset=18)) == ["2", "0"]

    @pytest.mark.parametrize("count", WRONG_COUNTS, ids=repr)
    async def test_a_wrong_limit_or_offset_is_refused(self, store: BaseStore, count: Any) -> None:
        await store.aput(NS, "k", {})
        with pytest.raises((ValueError, TypeError)):
            await store.abatch([SearchOp(NS, limit=count)])
        with pytest.raises((ValueError, TypeError)):
            await store.abatch([SearchOp(NS, offset=count)])

    async def test_a_search_sees_every_write_acknowledged_before(self, store: BaseStore) -> None:
        for number in range(20):
            await store.aput(NS, "k", {"n": number})
            assert [hit.value for hit in await store.asearch(NS)] == [{"n": number}]
            assert keys(await store.asearch(NS, filter={"n": number})) == ["k"]
