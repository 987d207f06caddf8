"""Conditional and repeatable writes, undo, and provenance."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from io import BytesIO
from typing import Any, cast

import pytest
from langgraph.store.base import BaseStore, InvalidNamespaceError, Item

from genesis.testing.clock import FakeClock
from genesis.testing.memory_contract.setting import (
    NS,
    OpenStore,
    Setting,
    keys,
    letters,
    value_of,
)
from infrastructure.errors import VersionConflict
from infrastructure.memory.memori.present import MemoriItem
from infrastructure.memory.memori.provenance import Provenance
from infrastructure.memory.memori.store import MemoriStore

WRITERS = 32
ADA = Provenance(source="user:ada", run_id="run-1", verified=True)


class WritingContract(Setting):
    """`awrite`, `adelete(expected_version=)`, `aundelete` and `with_provenance`."""

    @pytest.fixture
    def memori_store(self, store: BaseStore) -> MemoriStore:
        return cast("MemoriStore", store)

    async def test_every_write_has_a_larger_version(self, memori_store: MemoriStore) -> None:
        versions = [await memori_store.awrite(NS, key, {}) for key in ("a", "b", "a")]
        assert versions[0] < versions[1] < versions[2]
        assert [await _version(memori_store, key) for key in ("a", "b")] == [
            versions[2], versions[1],
        ]  # fmt: skip
        hits: list[Any] = list(await memori_store.asearch(NS))
        assert [hit.version for hit in hits] == [versions[2], versions[1]]

    async def test_a_version_is_not_used_again_after_a_delete(
        self, memori_store: MemoriStore
    ) -> None:
        first = await memori_store.awrite(NS, "k", {})
        await memori_store.adelete(NS, "k")
        assert await memori_store.awrite(NS, "k", {}) > first

    async def test_a_write_expecting_the_version_that_is_there_is_stored(
        self, memori_store: MemoriStore
    ) -> None:
        first = await memori_store.awrite(NS, "k", {"n": 1}, expected_version=0)
        await memori_store.awrite(NS, "k", {"n": 2}, expected_version=first)
        assert await value_of(memori_store, "k") == {"n": 2}

    async def test_a_write_expecting_another_version_is_refused(
        self, memori_store: MemoriStore
    ) -> None:
        with pytest.raises(VersionConflict, match="does not exist"):
            await memori_store.awrite(NS, "k", {}, expected_version=1)
        first = await memori_store.awrite(NS, "k", {"n": 1})
        await memori_store.awrite(NS, "k", {"n": 2})
        for expected in (first, 0):
            with pytest.raises(VersionConflict, match="read it again"):
                await memori_store.awrite(NS, "k", {"n": 3}, expected_version=expected)
        assert await value_of(memori_store, "k") == {"n": 2}

    async def test_of_many_writers_expecting_one_version_one_succeeds(
        self, memori_store: MemoriStore
    ) -> None:
        version = await memori_store.awrite(NS, "k", {"n": -1})
        writes = [
            memori_store.awrite(NS, "k", {"n": number}, expected_version=version)
            for number in range(WRITERS)
        ]
        results = await asyncio.gather(*writes, return_exceptions=True)
        stored = [number for number, result in enumerate(results) if isinstance(result, int)]
        assert sum(isinstance(result, VersionConflict) for result in results) == WRITERS - 1
        assert [await value_of(memori_store, "k")] == [{"n": number} for number in stored]

    async def test_a_delete_expecting_another_version_is_refused(
        self, memori_store: MemoriStore
    ) -> None:
        first = await memori_store.awrite(NS, "k", {"n": 1})
        second = await memori_store.awrite(NS, "k", {"n": 2})
        with pytest.raises(VersionConflict):
            await memori_store.adelete(NS, "k", expected_version=first)
        assert await value_of(memori_store, "k") == {"n": 2}
        await memori_store.adelete(NS, "k", expected_version=second)
        assert await value_of(memori_store, "k") is None

    async def test_a_write_under_one_id_is_stored_once(self, memori_store: MemoriStore) -> None:
        first = await memori_store.awrite(NS, "k", {"n": 1}, write_id="w-1", expected_version=0)
        await memori_store.awrite(NS, "k", {"n": 2}, write_id="w-2")
        again = await memori_store.awrite(NS, "k", {"n": 1}, write_id="w-1", expected_version=0)
        assert again == first
        assert await value_of(memori_store, "k") == {"n": 2}

    async def test_the_id_of_a_refused_write_is_free_again(self, memori_store: MemoriStore) -> None:
        with pytest.raises(VersionConflict):
            await memori_store.awrite(NS, "k", {"n": 1}, write_id="w", expected_version=7)
        await memori_store.awrite(NS, "k", {"n": 2}, write_id="w")
        assert await value_of(memori_store, "k") == {"n": 2}

    async def test_a_deleted_item_can_be_brought_back_as_it_was(
        self, open_store: OpenStore, clock: FakeClock | None
    ) -> None:
        store = cast("MemoriStore", await open_store(index=letters()))
        await store.awrite(NS, "k", {"text": "banana"}, provenance=ADA)
        before = await store.aget(NS, "k")
        if clock is not None:
            clock.advance(60)
        await store.adelete(NS, "k")
        version = await store.aundelete(NS, "k")
        after = await store.aget(NS, "k")
        assert isinstance(before, MemoriItem)
        assert isinstance(after, MemoriItem)
        assert (after.value, after.created_at, after.updated_at, after.provenance) == (
            before.value, before.created_at, before.updated_at, ADA,
        )  # fmt: skip
        assert after.version == version
        assert after.version > before.version
        (hit,) = await store.asearch(NS, query="banana")
        assert hit.score == pytest.approx(1, abs=1e-3)

    async def test_what_was_not_deleted_cannot_be_brought_back(
        self, memori_store: MemoriStore
    ) -> None:
        assert await memori_store.aundelete(NS, "k") is None
        await memori_store.aput(NS, "k", {"n": 1})
        await memori_store.adelete(NS, "k")
        assert await memori_store.aundelete(NS, "k") is not None
        await memori_store.adelete(NS, "k", expected_version=await _version(memori_store, "k"))
        assert await memori_store.aundelete(NS, "k") is not None
        assert await value_of(memori_store, "k") == {"n": 1}

    async def test_bringing_back_never_replaces_a_newer_value(
        self, memori_store: MemoriStore
    ) -> None:
        await memori_store.aput(NS, "k", {"n": 1})
        await memori_store.adelete(NS, "k")
        await memori_store.aput(NS, "k", {"n": 2})
        with pytest.raises(VersionConflict):
            await memori_store.aundelete(NS, "k")
        assert await value_of(memori_store, "k") == {"n": 2}

    async def test_what_was_deleted_too_long_ago_is_gone(
        self, memori_store: MemoriStore, clock: FakeClock | None
    ) -> None:
        if clock is None:
            pytest.skip("a day passes only by a clock that can be moved")
        await memori_store.aput(NS, "k", {"n": 1})
        await memori_store.adelete(NS, "k")
        clock.advance(timedelta(days=1, seconds=1).total_seconds())
        assert await memori_store.aundelete(NS, "k") is None

    async def test_items_say_who_wrote_them(self, memori_store: MemoriStore) -> None:
        ada = memori_store.with_provenance(ADA)
        await ada.aput(NS, "hers", {})
        await memori_store.aput(NS, "nobodys", {})
        await memori_store.awrite(NS, "named", {}, provenance=ADA)
        await memori_store.aput(NS, "replaced", {})
        await ada.aput(NS, "replaced", {})
        hits: list[Any] = list(await memori_store.asearch(NS))
        assert {hit.key: hit.provenance for hit in hits} == {
            "hers": ADA, "nobodys": Provenance(), "named": ADA, "replaced": ADA,
        }  # fmt: skip
        assert keys(await ada.asearch(NS)) == ["replaced", "named", "nobodys", "hers"]

    async def test_all_that_a_source_wrote_is_forgotten_for_good(
        self, memori_store: MemoriStore
    ) -> None:
        ada = memori_store.with_provenance(ADA)
        for key in ("kept", "deleted"):
            await ada.aput(NS, key, {})
        await memori_store.aput(NS, "nobodys", {})
        await memori_store.adelete(NS, "deleted")
        await memori_store.aforget(source=ADA.source)
        assert keys(await memori_store.asearch(NS)) == ["nobodys"]
        for key in ("kept", "deleted"):
            assert await memori_store.aundelete(NS, key) is None

    async def test_what_is_exported_can_be_imported_again(self, memori_store: MemoriStore) -> None:
        ada = memori_store.with_provenance(ADA)
        for number in range(3):
            await ada.aput((*NS, str(number)), "k'\n", {"n": number, "deep": [{"é": None}]})
        before = await memori_store.asearch(NS)
        file = BytesIO()
        await memori_store.export_jsonl(file)
        await memori_store.aforget(source=ADA.source)
        assert await memori_store.asearch(NS) == []
        file.seek(0)
        await memori_store.import_jsonl(file)
        after = await memori_store.asearch(NS)
        assert list(map(_shown, after)) == list(map(_shown, before))

    @pytest.mark.parametrize(
        "wrong",
        [
            {"expected_version": -1}, {"expected_version": "1"}, {"expected_version": True},
            {"expected_version": 1.5}, {"write_id": ""}, {"write_id": 1}, {"write_id": "w" * 2_000},
            {"write_id": "\x00"}, {"ttl": -1}, {"index": "text"}, {"index": True},
            {"index": [1]}, {"provenance": "ada"},
        ],
        ids=lambda wrong: repr(wrong)[:40],
    )  # fmt: skip
    async def test_a_wrong_condition_is_refused(
        self, memori_store: MemoriStore, wrong: dict[str, Any]
    ) -> None:
        with pytest.raises(ValueError, match=next(iter(wrong))):
            await memori_store.awrite(NS, "k", {}, **wrong)
        assert await value_of(memori_store, "k") is None

    async def test_conditional_writes_refuse_what_puts_refuse(
        self, memori_store: MemoriStore
    ) -> None:
        wrong: Any = None
        with pytest.raises(ValueError, match="dict"):
            await memori_store.awrite(NS, "k", wrong)
        with pytest.raises(InvalidNamespaceError):
            await memori_store.awrite((), "k", {})
        with pytest.raises(InvalidNamespaceError):
            await memori_store.adelete(("a.b",), "k", expected_version=1)
        with pytest.raises(InvalidNamespaceError):
            await memori_store.aundelete(("a.b",), "k")


async def _version(store: MemoriStore, key: str) -> int:
    item = await store.aget(NS, key)
    assert item is not None
    return item.version


def _shown(item: Item) -> tuple[Any, ...]:
    return item.namespace, item.key, item.value, item.created_at, item.updated_at
