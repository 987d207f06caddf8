"""Copies of a tenant from one store to another, whatever their databases, checked by hashes."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import partial

from infrastructure.errors import InputError, StoreError
from infrastructure.memory.memori import items, tables
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.sql import Sql
from infrastructure.memory.memori.tables import KEPT, Table


@dataclass(frozen=True, slots=True)
class CopiedTable:
    """What was copied of one table: equal in both stores.

    Fields:
        sha256: of all values in order of the key; the same on either database.
    """

    name: str
    rows: int
    sha256: str


async def copy_to(source: Memori, target: Memori) -> list[CopiedTable]:
    """Copy all that a tenant owns, items and workflows alike, into an empty tenant.

    What is copied is one snapshot of the source, read in pages and stored in commits of at most
    500 rows. Counters are copied as they are, so that the copy answers exactly as its source; then
    every table of both is counted, hashed and compared. Items keep their order but get versions of
    the target's; the search index is not copied, the target makes it from the items. Nobody else
    should write to the target's tenant meanwhile.

    After a crash or a cancellation, the same call removes what had arrived and begins again.

    Returns:
        The tables with their counts and hashes.

    Raises:
        InputError: the target's tenant holds something already, or is another tenant of the same
            store in memory; nothing was changed.
        StoreError: either store failed, or the tables differ in the end; call it again.
    """
    if source.private and source.shares_store_with(target):
        raise InputError(
            "a store that lives in memory cannot be read and written at once, so a tenant of it "
            "is not copied to another of its own; copy it into another store first, and from "
            "there back"
        )
    await target.commit(partial(_begin, origin=source.place, now=target.clock.now()))
    stopped = threading.Event()
    try:
        copied = await source.read(lambda tx: _copy(tx, target, stopped))
    finally:
        stopped.set()
    found = await target.read(_tallies)
    for theirs, ours in zip(copied, found, strict=True):
        if theirs != ours:
            raise StoreError(
                f"table {theirs.name} has {theirs.rows} rows in {source.place} and {ours.rows} in "
                f"{target.place}, or their contents differ: something else wrote there meanwhile; "
                "stop it and copy again"
            )
    await target.commit(_end)
    return copied


def _begin(tx: Tx, *, origin: str, now: float) -> None:
    begun = tx.execute("SELECT 1 FROM copies_under_way WHERE tenant = ?", (tx.tenant,)).fetchone()
    if begun is not None:
        _clear(tx)
    elif not tables.is_empty(tx):
        raise InputError(
            f"tenant {tx.tenant!r} of the target holds records already, and copies are not mixed "
            "with them; copy into another tenant or another store"
        )
    tx.execute(
        "INSERT INTO copies_under_way (tenant, origin, begun_at) VALUES (?, ?, ?)"
        " ON CONFLICT (tenant) DO UPDATE SET origin = excluded.origin,"
        " begun_at = excluded.begun_at",
        (tx.tenant, origin, now),
    )


def _clear(tx: Tx) -> None:
    """Remove what an earlier copy left; what of it was indexed is dead then."""
    items.remove_where(tx, Sql("1 = 1"))
    for table in KEPT:
        tx.execute(f"DELETE FROM {table.name} WHERE tenant = ?", (tx.tenant,))  # noqa: S608 (names of the schema)


def _end(tx: Tx) -> None:
    tx.execute("DELETE FROM copies_under_way WHERE tenant = ?", (tx.tenant,))


def _copy(tx: Tx, target: Memori, stopped: threading.Event) -> list[CopiedTable]:
    """Runs in a thread that reads the source, and waits there for the target's commits."""
    return [_copy_table(tx, table, target, stopped) for table in KEPT]


def _copy_table(tx: Tx, table: Table, target: Memori, stopped: threading.Event) -> CopiedTable:
    names = tables.columns(tx, table)
    tally = tables.Tally()
    for page in tables.pages(tx, table, names):
        if stopped.is_set():
            raise StoreError("the copy was cancelled")
        tally.add(page)
        target.commit_sync(partial(tables.insert, table=table, names=names, page=page))
    return CopiedTable(table.name, tally.rows, tally.sha256)


def _tallies(tx: Tx) -> list[CopiedTable]:
    found = [(table.name, tables.tally(tx, table)) for table in KEPT]
    return [CopiedTable(name, tally.rows, tally.sha256) for name, tally in found]
