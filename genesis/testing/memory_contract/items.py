"""Items: what is put is what is got."""

from __future__ import annotations

import contextlib
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from langgraph.store.base import BaseStore, Item

from genesis.testing.clock import FakeClock
from genesis.testing.memory_contract.setting import NS, Setting, keys, value_of

PLAIN: list[Any] = [
    None, True, False, 0, 1, -1, 1.0, -0.0, 0.1, 1e23, 5e-324, 1e308, 2**53 + 1, 2**63 - 1,
    -(2**63), "", "a\nb", "日本", "\U0001f600", "\u2028", "\x01", "' OR 1=1 --", [], {}, [[]],
    {"": {"": 0}}, [None, True, 1, 1.5, "x", {"$gt": 1}], {"a.b": 1, "$": 2, '"': 3},
]  # fmt: skip
FOREIGN: list[Any] = [
    float("nan"), float("inf"), float("-inf"), 2**64, (1, 2), {1, 2}, b"bytes", "nul\x00",
    "\ud800", {1: "key"}, {None: "key"}, {"\x00": 1}, datetime(2026, 1, 1, tzinfo=UTC),
    date(2026, 1, 1), Decimal(1), UUID(int=1), 1j,
]  # fmt: skip
HOSTILE_KEYS = [
    "", " ", "k.k", "'", '"', "%", "_", "*", "\\", "\n", "'; DROP TABLE items; --", "../../etc",
    "$", "lc", "日本", "\U0010ffff", "K" * 500,
]  # fmt: skip


class ItemContract(Setting):
    """Putting, getting and deleting single items."""

    async def test_what_was_never_put_is_none(self, store: BaseStore) -> None:
        assert await store.aget(NS, "theme") is None
        assert await store.aget(("no", "such"), "theme") is None

    async def test_what_is_put_is_got(self, store: BaseStore) -> None:
        await store.aput(NS, "theme", {"color": "dark"})
        item = await store.aget(NS, "theme")
        assert isinstance(item, Item)
        assert (item.namespace, item.key, item.value) == (NS, "theme", {"color": "dark"})

    async def test_a_second_put_replaces_the_whole_value(self, store: BaseStore) -> None:
        for value in ({"a": 1}, {"b": 2}, {"c": 3}):
            await store.aput(NS, "k", value)
        assert await value_of(store, "k") == {"c": 3}
        assert [hit.value for hit in await store.asearch(NS)] == [{"c": 3}]

    async def test_an_update_keeps_its_time_of_creation(
        self, store: BaseStore, clock: FakeClock | None
    ) -> None:
        await store.aput(NS, "k", {"n": 1})
        created = await store.aget(NS, "k")
        if clock is not None:
            clock.advance(60)
        await store.aput(NS, "k", {"n": 2})
        updated = await store.aget(NS, "k")
        assert created is not None
        assert updated is not None
        assert updated.created_at == created.created_at == created.updated_at
        assert updated.updated_at > updated.created_at

    async def test_times_have_a_zone_and_microseconds(
        self, store: BaseStore, clock: FakeClock | None
    ) -> None:
        times: list[datetime] = []
        for number in range(20):
            if clock is not None:
                clock.advance(0.000_123)
            await store.aput(NS, str(number), {})
            item = await store.aget(NS, str(number))
            assert item is not None
            times += [item.created_at, item.updated_at]
        assert all(time.utcoffset() == timedelta(0) for time in times)
        assert any(time.microsecond % 1000 for time in times)

    async def test_a_deleted_item_is_gone_and_deleting_it_again_is_no_error(
        self, store: BaseStore
    ) -> None:
        await store.aput(NS, "k", {"n": 1})
        for _ in range(2):
            await store.adelete(NS, "k")
            assert await store.aget(NS, "k") is None
            assert await store.asearch(NS) == []

    async def test_what_is_put_after_a_delete_is_new(
        self, store: BaseStore, clock: FakeClock | None
    ) -> None:
        await store.aput(NS, "k", {"n": 1})
        old = await store.aget(NS, "k")
        await store.adelete(NS, "k")
        if clock is not None:
            clock.advance(60)
        await store.aput(NS, "k", {"n": 2})
        new = await store.aget(NS, "k")
        assert old is not None
        assert new is not None
        assert new.created_at > old.created_at

    @pytest.mark.parametrize("key", HOSTILE_KEYS, ids=ascii)
    async def test_any_text_is_a_key(self, store: BaseStore, key: str) -> None:
        await store.aput(NS, "other", {})
        await store.aput(NS, key, {"n": 1})
        item = await store.aget(NS, key)
        assert item is not None
        assert (item.key, item.value) == (key, {"n": 1})
        assert set(keys(await store.asearch(NS))) == {key, "other"}
        await store.adelete(NS, key)
        assert keys(await store.asearch(NS)) == ["other"]

    async def test_keys_differ_by_case_and_form(self, store: BaseStore) -> None:
        same_looking = ["k", "K", "é", "e\u0301", "k "]
        for number, key in enumerate(same_looking):
            await store.aput(NS, key, {"n": number})
        assert [await value_of(store, key) for key in same_looking] == [
            {"n": number} for number in range(5)
        ]

    @pytest.mark.parametrize("part", PLAIN, ids=ascii)
    async def test_plain_json_reads_back_the_same(self, store: BaseStore, part: Any) -> None:
        await store.aput(NS, "k", {"outer": [part]})
        # repr tells 1 from 1.0 and True, and 0.0 from -0.0.
        assert repr(await value_of(store, "k")) == repr({"outer": [part]})

    @pytest.mark.parametrize("part", FOREIGN, ids=ascii)
    async def test_what_is_not_json_reads_back_the_same_or_is_refused(
        self, store: BaseStore, part: Any
    ) -> None:
        expected: Any = None
        with contextlib.suppress(ValueError, TypeError):
            await store.aput(NS, "k", {"outer": part})
            expected = {"outer": part}
        assert repr(await value_of(store, "k")) == repr(expected)

    async def test_what_looks_like_a_serialised_object_stays_plain_data(
        self, store: BaseStore
    ) -> None:
        value = {
            "lc": 1, "type": "constructor", "id": ["os", "system"], "kwargs": {"command": "id"},
        }  # fmt: skip
        await store.aput(NS, "k", value)
        await store.aput(NS, "nested", {"value": value})
        found = await value_of(store, "k")
        assert type(found) is dict
        assert found == value
        assert await value_of(store, "nested") == {"value": value}
        assert keys(await store.asearch(NS, filter={"lc": 1})) == ["k"]

    async def test_a_value_of_ten_megabytes_is_stored(self, store: BaseStore) -> None:
        text = "0123456789" * 1_000_000
        await store.aput(NS, "k", {"text": text}, index=False)
        assert await value_of(store, "k") == {"text": text}

    async def test_the_callers_dict_is_not_kept(self, store: BaseStore) -> None:
        value = {"list": [1]}
        await store.aput(NS, "k", value)
        value["list"].append(2)
        assert await value_of(store, "k") == {"list": [1]}

    async def test_what_was_got_is_a_copy(self, store: BaseStore) -> None:
        await store.aput(NS, "k", {"list": [1]})
        found = await value_of(store, "k")
        assert found is not None
        found["list"].append(2)
        assert await value_of(store, "k") == {"list": [1]}
