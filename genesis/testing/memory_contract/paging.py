"""Orders, and pages by cursor that hold still while others write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest
from langgraph.store.base import BaseStore, PutOp

from genesis.testing.clock import FakeClock
from genesis.testing.memory_contract.setting import NS, OpenStore, Setting, keys, letters
from infrastructure.memory.memori.store import MemoriStore

# As `order_by` sorts them, those alike with the last written first.
MIXED: list[Any] = [
    None, False, True, -1.5, 0, 2, 10, 2**53, 1e300, "", "10", "9", "Z", "a", "é", "\U0001f600",
    [1], {"a": 1},
]  # fmt: skip
ORDERS: list[Mapping[str, Any]] = [
    {}, {"order_by": "n"}, {"order_by": "n", "descending": True}, {"order_by": "key"},
    {"order_by": "created_at"}, {"order_by": ["deep", "n"], "descending": True},
    {"query": "banana"},
]  # fmt: skip


class PagingContract(Setting):
    """`order_by` and `apage`."""

    @pytest.fixture
    async def paged(self, open_store: OpenStore) -> MemoriStore:
        return cast("MemoriStore", await open_store(index=letters()))

    async def test_values_of_any_type_have_one_order(self, paged: MemoriStore) -> None:
        shuffled = sorted(range(len(MIXED)), key=lambda number: (number * 7) % len(MIXED))
        await paged.abatch([PutOp(NS, str(n), {"f": MIXED[n]}) for n in shuffled])
        await paged.aput(NS, "missing", {})
        ascending = keys(await paged.asearch(NS, order_by="f", limit=99))
        assert ascending == ["missing", *map(str, range(len(MIXED)))]
        descending = keys(await paged.asearch(NS, order_by="f", descending=True, limit=99))
        assert descending == [*map(str, range(len(MIXED) - 1, 0, -1)), "missing", "0"]

    async def test_items_order_by_key_and_times(
        self, paged: MemoriStore, clock: FakeClock | None
    ) -> None:
        for key in ("b", "c", "a", "c"):
            await paged.aput(NS, key, {})
            if clock is not None:
                clock.advance(1)
        assert keys(await paged.asearch(NS, order_by="key")) == ["a", "b", "c"]
        assert keys(await paged.asearch(NS, order_by="created_at")) == ["b", "c", "a"]
        assert keys(await paged.asearch(NS, order_by="updated_at")) == ["b", "a", "c"]
        newest = await paged.asearch(NS, order_by="created_at", descending=True, limit=1)
        assert keys(newest) == ["a"]

    async def test_a_nested_field_orders_by_its_path(self, paged: MemoriStore) -> None:
        for key, number in (("two", 2), ("one", 1), ("three", 3)):
            await paged.aput(NS, key, {"author": {"age": number}, "key": number})
        path = ["author", "age"]
        assert keys(await paged.asearch(NS, order_by=path)) == ["one", "two", "three"]
        assert keys(await paged.asearch(NS, order_by=["key"])) == ["one", "two", "three"]

    @pytest.mark.parametrize(
        "order_by", [1, "", [], [1], ["a", None], "\x00", ["a"] * 99], ids=repr
    )
    async def test_a_wrong_order_is_refused(self, paged: MemoriStore, order_by: Any) -> None:
        if order_by == "":  # the name of a field like any other
            assert await paged.asearch(NS, order_by=order_by) == []
            return
        with pytest.raises(ValueError, match="order_by"):
            await paged.asearch(NS, order_by=order_by)

    async def test_a_query_has_its_own_order(self, paged: MemoriStore) -> None:
        with pytest.raises(ValueError, match="not both"):
            await paged.asearch(NS, query="banana", order_by="n")

    async def _fill(self, store: MemoriStore) -> None:
        await store.abatch(
            [
                PutOp(
                    NS, str(n), {"n": n % 4, "deep": {"n": n % 3}, "text": "banana" + "z" * (n % 5)}
                )
                for n in range(23)
            ]
        )

    @pytest.mark.parametrize("arguments", ORDERS, ids=repr)
    async def test_pages_by_cursor_give_every_item_once_in_order(
        self, paged: MemoriStore, arguments: Mapping[str, Any]
    ) -> None:
        await self._fill(paged)
        await paged.aput(NS, "unindexed", {"text": "banana"}, index=False)
        whole = keys(await paged.asearch(NS, limit=99, **arguments))
        found: list[str] = []
        cursor = None
        while True:
            page = await paged.apage(NS, limit=5, cursor=cursor, **arguments)
            found += keys(list(page.items))
            cursor = page.cursor
            if cursor is None:
                break
            assert len(page.items) == 5
        assert found == whole
        assert len(found) == 24

    async def test_the_last_page_has_no_cursor(self, paged: MemoriStore) -> None:
        assert (await paged.apage(NS)).cursor is None
        await paged.abatch([PutOp(NS, str(n), {}) for n in range(4)])
        first = await paged.apage(NS, limit=2)
        second = await paged.apage(NS, limit=2, cursor=first.cursor)
        assert [keys(list(page.items)) for page in (first, second)] == [["3", "2"], ["1", "0"]]
        assert second.cursor is None

    @pytest.mark.parametrize("arguments", ORDERS, ids=repr)
    async def test_what_is_written_between_pages_neither_repeats_nor_skips_others(
        self, paged: MemoriStore, arguments: Mapping[str, Any]
    ) -> None:
        await self._fill(paged)
        whole = keys(await paged.asearch(NS, limit=99, **arguments))
        first = await paged.apage(NS, limit=8, **arguments)
        seen = keys(list(first.items))
        await paged.adelete(NS, seen[-1])
        await paged.adelete(NS, seen[0])
        await paged.adelete(NS, whole[-1])
        await paged.aput(NS, "new", {"n": 0, "deep": {"n": 0}, "text": "banana"})
        rest = await paged.apage(NS, limit=99, cursor=first.cursor, **arguments)
        assert [key for key in keys(list(rest.items)) if key != "new"] == whole[8:-1]
        assert rest.cursor is None

    async def test_pages_are_filtered(self, paged: MemoriStore) -> None:
        await self._fill(paged)
        first = await paged.apage(NS, filter={"n": 1}, limit=4)
        rest = await paged.apage(NS, filter={"n": 1}, limit=4, cursor=first.cursor)
        assert keys([*first.items, *rest.items]) == ["21", "17", "13", "9", "5", "1"]

    async def test_a_cursor_belongs_to_its_search(self, paged: MemoriStore) -> None:
        await self._fill(paged)
        page = await paged.apage(NS, limit=2, filter={"n": 1})
        others: list[dict[str, Any]] = [
            {}, {"filter": {"n": 2}}, {"filter": {"n": 1}, "query": "banana"},
            {"filter": {"n": 1}, "order_by": "n"},
        ]  # fmt: skip
        for other in others:
            with pytest.raises(ValueError, match="cursor"):
                await paged.apage(NS, cursor=page.cursor, **other)
        with pytest.raises(ValueError, match="cursor"):
            await paged.apage((*NS, "deeper"), cursor=page.cursor, filter={"n": 1})

    @pytest.mark.parametrize("cursor", ["", "x", "é", "W10", "bnVsbA", 1, b"x", "=" * 9], ids=repr)
    async def test_what_is_no_cursor_is_refused(self, paged: MemoriStore, cursor: Any) -> None:
        await self._fill(paged)
        with pytest.raises(ValueError, match="cursor"):
            await paged.apage(NS, cursor=cursor)

    async def test_pages_need_room(self, store: BaseStore) -> None:
        with pytest.raises(ValueError, match="limit"):
            await cast("MemoriStore", store).apage(NS, limit=0)
