"""Namespaces: prefixes of whole labels, and lists of those that hold items."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.store.base import BaseStore, InvalidNamespaceError, ListNamespacesOp

from genesis.testing.memory_contract.setting import Setting

BELOW = [("a",), ("a", "b"), ("a", "\U0010ffff"), ("a", "%")]
BESIDE = [
    ("ab",), ("A",), ("a/b",), ("a b", "c"), ("a\uffff",), ("*",), ("%",), ("_",), ("[a]",),
    ("a\n",), ("a'; DROP TABLE items; --",), ("\u00e9",), ("e\u0301",), ("\\",), ("a-b",), ("$",),
]  # fmt: skip
TREE = [
    ("a", "b", "c"), ("a", "b", "d", "e"), ("a", "b", "d", "i"), ("a", "b", "f"), ("a", "c", "f"),
    ("ab", "f"), ("b", "x", "f"),
]  # fmt: skip
WRONG: list[Any] = [(), ("",), ("a", ""), ("a.b",), (1,), (None,), ("langgraph", "a")]


class NamespaceContract(Setting):
    """Where items are, and which namespaces there are."""

    async def test_the_same_key_in_two_namespaces_is_two_items(self, store: BaseStore) -> None:
        await store.aput(("a",), "k", {"n": 1})
        await store.aput(("a", "b"), "k", {"n": 2})
        await store.adelete(("a",), "k")
        assert await store.aget(("a",), "k") is None
        item = await store.aget(("a", "b"), "k")
        assert item is not None
        assert item.value == {"n": 2}

    async def test_a_prefix_matches_whole_labels_exactly(self, store: BaseStore) -> None:
        for namespace in (*BELOW, *BESIDE):
            await store.aput(namespace, "k", {})
        assert {hit.namespace for hit in await store.asearch(("a",), limit=99)} == set(BELOW)
        assert len(await store.asearch((), limit=99)) == len(BELOW) + len(BESIDE)

    @pytest.mark.parametrize("namespace", BESIDE, ids=ascii)
    async def test_a_hostile_label_is_a_plain_label(
        self, store: BaseStore, namespace: tuple[str, ...]
    ) -> None:
        await store.aput(("a", "z"), "k", {})
        await store.aput(namespace, "k", {"n": 1})
        hits = await store.asearch(namespace)
        assert [(hit.namespace, hit.value) for hit in hits] == [(namespace, {"n": 1})]
        assert set(await store.alist_namespaces()) == {("a", "z"), namespace}

    @pytest.mark.parametrize("namespace", WRONG, ids=repr)
    async def test_a_wrong_namespace_is_refused(self, store: BaseStore, namespace: Any) -> None:
        with pytest.raises(InvalidNamespaceError):
            await store.aput(namespace, "k", {})
        assert await store.alist_namespaces() == []

    async def _plant(self, store: BaseStore) -> None:
        for namespace in reversed(TREE):
            await store.aput(namespace, "k", {})

    async def test_namespaces_are_listed_in_order(self, store: BaseStore) -> None:
        await self._plant(store)
        assert await store.alist_namespaces() == TREE

    async def test_namespaces_are_listed_by_prefix_and_suffix(self, store: BaseStore) -> None:
        await self._plant(store)
        assert await store.alist_namespaces(prefix=("a", "b")) == TREE[:4]
        assert await store.alist_namespaces(suffix=("f",)) == TREE[3:]
        assert await store.alist_namespaces(prefix=("a",), suffix=("f",)) == TREE[3:5]
        assert await store.alist_namespaces(prefix=("a",) * 5) == []

    async def test_an_asterisk_stands_for_one_label(self, store: BaseStore) -> None:
        await self._plant(store)
        assert await store.alist_namespaces(prefix=("*", "c")) == [("a", "c", "f")]
        assert await store.alist_namespaces(suffix=("b", "*", "e")) == [("a", "b", "d", "e")]
        assert await store.alist_namespaces(prefix=("*", "*", "*", "*")) == TREE[1:3]

    async def test_depth_cuts_and_what_becomes_equal_is_listed_once(self, store: BaseStore) -> None:
        await self._plant(store)
        assert await store.alist_namespaces(max_depth=1) == [("a",), ("ab",), ("b",)]
        assert await store.alist_namespaces(prefix=("a", "b"), max_depth=3) == [
            ("a", "b", "c"), ("a", "b", "d"), ("a", "b", "f"),
        ]  # fmt: skip

    async def test_conditions_hold_for_the_whole_namespace_before_depth_cuts_it(
        self, store: BaseStore
    ) -> None:
        await self._plant(store)
        assert await store.alist_namespaces(suffix=("i",), max_depth=2) == [("a", "b")]

    async def test_lists_of_namespaces_come_in_pages(self, store: BaseStore) -> None:
        await self._plant(store)
        pages = [await store.alist_namespaces(limit=3, offset=start) for start in (0, 3, 6, 9)]
        assert pages == [TREE[:3], TREE[3:6], TREE[6:], []]
        assert await store.alist_namespaces(max_depth=1, limit=1, offset=1) == [("ab",)]

    async def test_a_namespace_that_was_emptied_is_not_listed(self, store: BaseStore) -> None:
        await store.aput(("a",), "k", {})
        await store.aput(("b",), "k", {})
        await store.adelete(("a",), "k")
        assert await store.alist_namespaces() == [("b",)]

    async def test_a_batch_lists_namespaces(self, store: BaseStore) -> None:
        await self._plant(store)
        (found,) = await store.abatch([ListNamespacesOp(None, 1, 2, 1)])
        assert found == [("ab",), ("b",)]
