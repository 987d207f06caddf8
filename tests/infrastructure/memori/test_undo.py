"""What was deleted is kept as long as the deleting store promised, and no longer."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Final, cast

import pytest

from genesis.testing import FakeClock
from infrastructure.memory.memori import items
from infrastructure.memory.memori.dialect import BoundTx, Connection, Tx
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.schema import MIGRATIONS, migrate
from infrastructure.memory.memori.store import MemoriStore

NS: Final = ("notes",)
DAY_S: Final = 86_400.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def memori(place: str, clock: FakeClock) -> Iterator[Memori]:
    opened = Memori.open(place, clock=clock)
    yield opened
    opened.close()


def kept(tx: Tx) -> set[str]:
    rows = tx.execute("SELECT key FROM deleted_items WHERE tenant = ?", (tx.tenant,))
    return {str(key) for (key,) in rows}


async def delete_new(store: MemoriStore, key: str) -> None:
    await store.aput(NS, key, {"text": key})
    await store.adelete(NS, key)


async def test_a_store_that_keeps_nothing_leaves_what_others_keep(memori: Memori) -> None:
    keeping, hasty = MemoriStore(memori), MemoriStore(memori, undo_s=0)
    await delete_new(keeping, "kept")
    await delete_new(hasty, "gone")
    assert await memori.read(kept) == {"kept"}
    assert await keeping.aundelete(NS, "gone") is None
    assert await hasty.aundelete(NS, "kept") is not None


async def test_the_deleting_store_decides_how_long_an_item_is_kept(
    memori: Memori, clock: FakeClock
) -> None:
    short, long = MemoriStore(memori, undo_s=60), MemoriStore(memori, undo_s=7 * DAY_S)
    await delete_new(short, "a")
    await delete_new(short, "b")
    await delete_new(long, "c")
    clock.advance(59)
    assert await long.aundelete(NS, "a") is not None
    clock.advance(1)
    assert await long.aundelete(NS, "b") is None
    clock.advance(6 * DAY_S)
    assert await short.aundelete(NS, "c") is not None


async def test_sweeping_lets_go_of_what_can_no_longer_be_brought_back(
    memori: Memori, clock: FakeClock
) -> None:
    store = MemoriStore(memori, undo_s=60)
    await delete_new(store, "a")
    clock.advance(59)
    assert await store.sweep_ttl() == 0
    assert await memori.read(kept) == {"a"}
    clock.advance(1)
    assert await store.sweep_ttl() == 0
    assert await memori.read(kept) == set()


async def test_a_delete_without_undo_takes_what_was_kept_of_its_key(memori: Memori) -> None:
    await delete_new(MemoriStore(memori), "k")
    await delete_new(MemoriStore(memori, undo_s=0), "k")
    assert await memori.read(kept) == set()


def test_what_was_deleted_before_there_were_terms_is_kept_for_a_day(clock: FakeClock) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        tx = BoundTx(cast("Connection", connection), "sqlite", "t")
        names = [migration.name for migration in MIGRATIONS]
        migrate(tx, MIGRATIONS[: names.index("deleted_items_term")])
        deleted_at = round(clock.now() * 1_000_000)
        tx.execute(
            "INSERT INTO deleted_items (tenant, namespace, key, value, created_at, updated_at,"
            " source, run_id, deleted_at) VALUES ('t', 'notes.', 'k', '{}', 1, 1, '', '', ?)",
            (deleted_at,),
        )
        migrate(tx)
        kept_until = deleted_at + round(DAY_S * 1_000_000)
        assert items.undelete(tx, NS, "k", kept_until) is None
        assert items.undelete(tx, NS, "k", kept_until - 1) is not None
