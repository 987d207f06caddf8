"""Expiry: items that live for a while, and what reads do to their lives."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.store.base import BaseStore, PutOp, TTLConfig

from genesis.testing.clock import FakeClock
from genesis.testing.memory_contract.setting import (
    NS,
    Lives,
    OpenStore,
    Setting,
    keys,
    letters,
    value_of,
)


class ExpiryContract(Setting):
    """TTL, for stores that support it; a life is `lives.minutes` long."""

    async def _open(self, open_store: OpenStore, **config: Any) -> BaseStore:
        store = await open_store(index=letters(), ttl=TTLConfig(**config))
        if not store.supports_ttl:
            pytest.skip("the store has no TTL")
        return store

    @pytest.fixture
    async def mortal(self, open_store: OpenStore, lives: Lives) -> BaseStore:
        """What is put lives one life, and is left out after it."""
        return await self._open(
            open_store, default_ttl=lives.minutes, omit_expired=True, refresh_on_read=False
        )

    async def test_expired_items_are_left_out_of_every_answer(
        self, mortal: BaseStore, lives: Lives
    ) -> None:
        await mortal.aput(NS, "short", {"text": "banana"})
        await mortal.aput(("for", "ever"), "always", {"text": "banana"}, ttl=None)
        await lives.pass_by(1.1)
        assert await value_of(mortal, "short") is None
        assert keys(await mortal.asearch(())) == ["always"]
        assert keys(await mortal.asearch((), filter={"text": "banana"})) == ["always"]
        assert keys(await mortal.asearch((), query="banana")) == ["always"]
        assert await mortal.alist_namespaces() == [("for", "ever")]

    async def test_a_life_ends_at_the_same_moment_for_every_answer(
        self, mortal: BaseStore, lives: Lives, clock: FakeClock | None
    ) -> None:
        if clock is None:
            pytest.skip("a moment is met only by a clock that can be moved")
        await mortal.aput(NS, "k", {"text": "banana"})
        await lives.pass_by(1)
        assert await value_of(mortal, "k") is None
        assert await mortal.asearch(NS) == []
        assert await mortal.asearch(NS, query="banana") == []
        assert await mortal.alist_namespaces() == []

    async def test_expired_items_are_left_out_before_the_limit(
        self, mortal: BaseStore, lives: Lives
    ) -> None:
        await mortal.abatch([PutOp(NS, str(n), {}, ttl=lives.minutes * 1_000) for n in range(3)])
        await mortal.abatch([PutOp(NS, f"short{n}", {}, ttl=lives.minutes) for n in range(5)])
        await lives.pass_by(1.1)
        assert keys(await mortal.asearch(NS, limit=2)) == ["2", "1"]
        assert keys(await mortal.asearch(NS, limit=2, offset=2)) == ["0"]
        assert len(await mortal.asearch(NS, query="banana", limit=2)) == 2

    async def test_reading_does_not_begin_a_life_anew_unless_asked_to(
        self, mortal: BaseStore, lives: Lives
    ) -> None:
        for key in ("got", "searched", "left"):
            await mortal.aput(NS, key, {"kind": key})
        await lives.pass_by(0.7)
        await mortal.aget(NS, "left")
        await mortal.aget(NS, "got", refresh_ttl=True)
        await mortal.asearch(NS, filter={"kind": "searched"}, refresh_ttl=True)
        await lives.pass_by(0.7)
        assert await value_of(mortal, "left") is None
        assert await value_of(mortal, "got") is not None
        assert await value_of(mortal, "searched") is not None

    async def test_reading_begins_a_life_anew_where_the_configuration_says_so(
        self, open_store: OpenStore, lives: Lives
    ) -> None:
        store = await self._open(
            open_store, default_ttl=lives.minutes, omit_expired=True, refresh_on_read=True
        )
        await store.aput(NS, "got", {})
        await store.aput(NS, "peeked", {})
        await lives.pass_by(0.7)
        assert await value_of(store, "got") is not None
        assert await store.aget(NS, "peeked", refresh_ttl=False) is not None
        await lives.pass_by(0.7)
        assert await value_of(store, "got") is not None
        assert await value_of(store, "peeked") is None

    async def test_an_expired_item_is_not_revived_by_reading(
        self, mortal: BaseStore, lives: Lives
    ) -> None:
        await mortal.aput(NS, "k", {})
        await lives.pass_by(1.1)
        assert await mortal.aget(NS, "k", refresh_ttl=True) is None
        assert await mortal.asearch(NS, refresh_ttl=True) == []
        assert await value_of(mortal, "k") is None

    async def test_a_put_begins_a_new_life(self, mortal: BaseStore, lives: Lives) -> None:
        for key in ("again", "for ever"):
            await mortal.aput(NS, key, {})
        await lives.pass_by(0.7)
        await mortal.aput(NS, "again", {})
        await mortal.aput(NS, "for ever", {}, ttl=None)
        await lives.pass_by(0.7)
        assert await value_of(mortal, "again") is not None
        await lives.pass_by(0.7)
        assert await value_of(mortal, "again") is None
        assert await value_of(mortal, "for ever") is not None

    async def test_an_expired_item_does_not_lend_its_age_to_the_next(
        self, mortal: BaseStore, lives: Lives
    ) -> None:
        await mortal.aput(NS, "k", {"n": 1})
        await lives.pass_by(1.1)
        await mortal.aput(NS, "k", {"n": 2})
        item = await mortal.aget(NS, "k")
        assert item is not None
        assert item.created_at == item.updated_at

    async def test_sweeping_deletes_what_has_expired_and_counts_it(
        self, open_store: OpenStore, lives: Lives
    ) -> None:
        store: Any = await self._open(open_store, refresh_on_read=False)
        if not hasattr(store, "sweep_ttl"):
            pytest.skip("the store has no sweep_ttl")
        await store.aput(NS, "short", {"text": "banana"}, ttl=lives.minutes)
        await store.aput(NS, "always", {"text": "banana"})
        assert await store.sweep_ttl() == 0
        await lives.pass_by(1.1)
        assert await store.sweep_ttl() == 1
        assert await store.sweep_ttl() == 0
        assert keys(await store.asearch(NS)) == ["always"]
        assert keys(await store.asearch(NS, query="banana")) == ["always"]

    @pytest.mark.parametrize("ttl", [-1, float("nan"), float("inf"), "1"], ids=repr)
    async def test_a_wrong_ttl_is_refused(self, mortal: BaseStore, ttl: Any) -> None:
        with pytest.raises((ValueError, TypeError)):
            await mortal.aput(NS, "k", {}, ttl=ttl)
        assert await value_of(mortal, "k") is None
