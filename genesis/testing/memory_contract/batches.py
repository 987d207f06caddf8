"""Batches: one caller's operations are one transaction, and nobody else's business."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from langgraph.store.base import BaseStore, GetOp, Item, ListNamespacesOp, Op, PutOp, SearchOp

from genesis.testing.memory_contract.setting import NS, Setting, keys, value_of

WRONG_VALUE: dict[str, Any] = {"a": object()}
CALLERS = 32


class BatchContract(Setting):
    """`batch` and `abatch`, alone and many at once."""

    async def test_results_come_in_the_order_of_the_operations(self, store: BaseStore) -> None:
        await store.aput(NS, "a", {"n": 1})
        await store.aput(NS, "b", {"n": 2})
        results = await store.abatch(
            [GetOp(NS, "b"), SearchOp(NS), GetOp(NS, "a"), ListNamespacesOp(), PutOp(NS, "c", {})]
        )
        got, hits, other, namespaces, put = results
        assert isinstance(got, Item)
        assert isinstance(other, Item)
        assert (got.key, other.key, namespaces, put) == ("b", "a", [NS], None)
        assert isinstance(hits, list)
        assert len(hits) == 2

    async def test_no_operations_are_no_error(self, store: BaseStore) -> None:
        assert await store.abatch([]) == []

    async def test_reads_see_what_was_there_before_the_writes(self, store: BaseStore) -> None:
        await store.aput(NS, "old", {"n": 1})
        results = await store.abatch(
            [
                PutOp(NS, "new", {"n": 2}),
                PutOp(NS, "old", None),
                GetOp(NS, "new"),
                GetOp(NS, "old"),
                SearchOp(NS),
            ]
        )
        assert results[2] is None
        assert isinstance(results[3], Item)
        assert results[3].value == {"n": 1}
        assert isinstance(results[4], list)
        assert len(results[4]) == 1
        assert keys(await store.asearch(NS)) == ["new"]

    async def test_the_last_of_several_puts_of_a_key_counts(self, store: BaseStore) -> None:
        puts = [PutOp(NS, "k", {"n": 1}), PutOp(NS, "k", None), PutOp(NS, "k", {"n": 3})]
        await store.abatch(puts)
        assert await value_of(store, "k") == {"n": 3}
        await store.abatch([PutOp(NS, "k", {"n": 4}), PutOp(NS, "k", None)])
        assert await value_of(store, "k") is None

    async def test_a_wrong_operation_names_its_index(self, store: BaseStore) -> None:
        with pytest.raises((ValueError, TypeError), match=r"\b1\b"):
            await store.abatch([PutOp(NS, "a", {}), PutOp(NS, "b", WRONG_VALUE)])

    async def test_nothing_of_a_wrong_batch_is_stored(self, store: BaseStore) -> None:
        await store.aput(NS, "kept", {"n": 1})
        with pytest.raises((ValueError, TypeError)):
            await store.abatch(
                [PutOp(NS, "a", {}), PutOp(NS, "kept", None), PutOp(NS, "b", WRONG_VALUE)]
            )
        assert keys(await store.asearch(NS)) == ["kept"]

    async def test_what_is_no_operation_is_refused(self, store: BaseStore) -> None:
        wrong: Any = "put"
        with pytest.raises((ValueError, TypeError)):
            await store.abatch([PutOp(NS, "a", {}), wrong])
        assert await store.asearch(NS) == []

    async def test_one_callers_mistake_is_nobody_elses(self, store: BaseStore) -> None:
        others = [store.aput(NS, str(number), {"n": number}) for number in range(CALLERS - 1)]
        wrong = store.abatch([PutOp(NS, "a", {}), PutOp(NS, "b", WRONG_VALUE)])
        *fine, error = await asyncio.gather(*others, wrong, return_exceptions=True)
        assert fine == [None] * (CALLERS - 1)
        assert isinstance(error, ValueError | TypeError)
        assert len(await store.asearch(NS, limit=100)) == CALLERS - 1

    async def test_a_cancelled_caller_harms_nobody(self, store: BaseStore) -> None:
        tasks = [asyncio.create_task(store.aput(NS, str(number), {})) for number in range(10)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        async with asyncio.timeout(30):
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert results[1::2] == [None] * 5
            await store.aput(NS, "after", {})
            found = set(keys(await store.asearch(NS, limit=100)))
        assert {"1", "3", "5", "7", "9", "after"} <= found

    async def test_many_callers_at_once_lose_nothing(self, store: BaseStore) -> None:
        async def write(caller: int) -> None:
            for number in range(10):
                await store.aput(NS, f"{caller}:{number}", {"caller": caller, "number": number})
                assert await value_of(store, f"{caller}:{number}") is not None

        await asyncio.gather(*map(write, range(CALLERS)))
        hits = await store.asearch(NS, limit=CALLERS * 20)
        assert {hit.key: (hit.value["caller"], hit.value["number"]) for hit in hits} == {
            f"{caller}:{number}": (caller, number)
            for caller in range(CALLERS)
            for number in range(10)
        }

    async def test_a_large_batch_is_stored_whole(self, store: BaseStore) -> None:
        puts: list[Op] = [PutOp(NS, str(number), {"n": number}) for number in range(2_000)]
        await store.abatch(puts)
        gets: list[Op] = [GetOp(NS, str(number)) for number in range(2_000)]
        found = await store.abatch(gets)
        assert [item.value["n"] for item in found if isinstance(item, Item)] == list(range(2_000))

    async def test_synchronous_methods_work_from_other_threads(self, store: BaseStore) -> None:
        def write(number: int) -> None:
            store.put(NS, str(number), {"n": number})
            store.put(NS, "gone", {})
            store.delete(NS, "gone")

        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            await asyncio.to_thread(thread.join)
        item = await asyncio.to_thread(store.get, NS, "3")
        assert item is not None
        assert item.value == {"n": 3}
        hits = await asyncio.to_thread(lambda: store.search(NS))
        assert sorted(keys(hits)) == [str(number) for number in range(8)]
        assert await asyncio.to_thread(store.list_namespaces) == [NS]
