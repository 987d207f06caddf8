"""Items out of a store and into one, as JSON Lines; see `item_lines` for the format.

What a copy of the whole tenant takes, workflows too, is in `copying`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final, Literal, TypeAlias

from infrastructure.errors import StoreError
from infrastructure.memory.memori import items, tables
from infrastructure.memory.memori.dialect import Row, Tx
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.item_lines import (
    COLUMNS,
    Exported,
    LineWriter,
    NumberedItem,
    read_items,
)
from infrastructure.memory.memori.items import decode_namespace
from infrastructure.memory.memori.sql import Sql
from infrastructure.memory.memori.tables import MAX_ROWS, Table
from infrastructure.memory.memori.transfer_files import check_target, rereadable, whole_file
from infrastructure.memory.memori.values import InvalidItem

OnConflict: TypeAlias = Literal["error", "skip", "replace"]

_ON_CONFLICT: Final = ("error", "skip", "replace")
_ITEMS: Final = Table("items", ("id",), numbered=True)
_BATCH_CHARS: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did.

    Fields:
        added: items that were not there.
        replaced, skipped: items whose key was there.
        indexed: of the items added and replaced, those to be put into the search index.
    """

    added: int = 0
    replaced: int = 0
    skipped: int = 0
    indexed: int = 0

    def __add__(self, other: Imported) -> Imported:
        return Imported(
            self.added + other.added,
            self.replaced + other.replaced,
            self.skipped + other.skipped,
            self.indexed + other.indexed,
        )


async def export_jsonl(memori: Memori, target: str | Path | BinaryIO) -> Exported:
    """Write all items of a tenant in the order in which they were written.

    They are one snapshot of the store, expired items included; neither the loop nor writes wait,
    but those of a store in memory. A file appears only when it is whole and on the disk; until then
    what was there stays.

    Args:
        target: a path, or a binary stream, which stays open. A link is followed; a file keeps its
            mode, and a new one is its owner's alone. A pipe or a device is given as a stream.

    Raises:
        InvalidItem: the target is neither.
        StoreError: the store failed, or the target cannot be written; no half file is left, but a
            stream has what it took.
    """
    stopped = threading.Event()
    try:
        return await memori.read(lambda tx: _export(tx, target, stopped))
    finally:
        stopped.set()


async def import_jsonl(
    memori: Memori, source: str | Path | BinaryIO, *, on_conflict: OnConflict = "error"
) -> Imported:
    """Store the items of an export, in their order, in commits of at most 500.

    The whole file is read and checked before anything is stored. Importing it again with `skip`
    changes nothing.

    Args:
        source: a path, or a binary stream that is read to its end.
        on_conflict: what happens when a key is there already, expired or not: `error` stores
            nothing at all, `skip` keeps what is there, `replace` takes what is imported.

    Raises:
        InvalidItem: the source is neither; or the file is wrong, cut short or changed, or a key is
            there, and it names the line. Nothing was stored, unless it says how much was.
        StoreError: the store failed, or the source cannot be read.
    """
    if on_conflict not in _ON_CONFLICT:
        raise InvalidItem(f"on_conflict must be one of {', '.join(_ON_CONFLICT)}")
    stopped = threading.Event()
    file = await asyncio.to_thread(rereadable, source)
    try:
        refuse = memori if on_conflict == "error" else None
        await asyncio.to_thread(_check, file, refuse, stopped)
        return await _store(memori, file, on_conflict)
    finally:
        stopped.set()
        file.close()


def _export(tx: Tx, target: str | Path | BinaryIO, stopped: threading.Event) -> Exported:
    name = target if isinstance(target, str | Path) else "the stream"
    try:
        check_target(target)
        if isinstance(target, str | Path):
            with whole_file(Path(target)) as file:
                return _write(tx, file, stopped)
        return _write(tx, target, stopped)
    except OSError as error:
        raise StoreError(
            f"the items could not be exported to {name}: {error.strerror or error}; free some "
            "space or choose another place, and export again"
        ) from error


def _write(tx: Tx, file: BinaryIO, stopped: threading.Event) -> Exported:
    writer = LineWriter(file)
    for page in tables.pages(tx, _ITEMS, COLUMNS):
        if stopped.is_set():
            raise StoreError("the export was cancelled")
        for row in page:
            writer.add(row)
    done = writer.finish()
    file.flush()
    return done


def _check(file: BinaryIO, refuse: Memori | None, stopped: threading.Event) -> None:
    """Read all of a file, and with a store look whether it has one of the keys; then rewind."""
    found = read_items(file)
    while batch := _batch(found):
        if stopped.is_set():
            return
        if refuse is not None:
            refuse.read_sync(partial(_refuse_known, batch=batch))
    file.seek(0)


async def _store(memori: Memori, file: BinaryIO, on_conflict: OnConflict) -> Imported:
    found = read_items(file)
    done = Imported()
    try:
        while batch := await asyncio.to_thread(_batch, found):
            (stored,) = await memori.commit(
                partial(_store_batch, batch=batch, on_conflict=on_conflict)
            )
            done += stored
    except InvalidItem as error:
        # It was right when it was checked, so the file or the store was changed since.
        raise InvalidItem(
            f"{error}; {done.added + done.replaced} items had been imported by then, and stay"
        ) from error
    return done


def _batch(found: Iterator[NumberedItem]) -> list[NumberedItem]:
    """The next items, fewer when they are large."""
    batch: list[NumberedItem] = []
    size = 0
    for item in islice(found, MAX_ROWS):
        batch.append(item)
        size += len(str(item.row[_VALUE]))
        if size >= _BATCH_CHARS:
            break
    return batch


_VALUE: Final = COLUMNS.index("value")
_PATHS: Final = COLUMNS.index("paths")


def _refuse_known(tx: Tx, batch: list[NumberedItem]) -> None:
    there = _there(tx, batch)
    for item in batch:
        if item.row[:2] in there:
            raise _known(item)


def _store_batch(tx: Tx, batch: list[NumberedItem], on_conflict: OnConflict) -> Imported:
    there = _there(tx, batch)
    new: list[Row] = []
    done = Imported()
    for item in batch:
        place, indexed = item.row[:2], int(item.row[_PATHS] is not None)
        if place not in there:
            done += Imported(added=1, indexed=indexed)
        elif on_conflict == "skip":
            done += Imported(skipped=1)
            continue
        elif on_conflict == "replace":
            # What comes twice in the file is stored first, so that it can be replaced.
            tables.insert(tx, _ITEMS, COLUMNS, new)
            new = []
            items.remove_where(tx, Sql("namespace = ? AND key = ?", place))
            done += Imported(replaced=1, indexed=indexed)
        else:
            raise _known(item)
        there.add(place)
        new.append(item.row)
    tables.insert(tx, _ITEMS, COLUMNS, new)
    return done


def _known(item: NumberedItem) -> InvalidItem:
    return InvalidItem(
        f"line {item.line}: key {item.row[1]!r:.200} in namespace "
        f"{decode_namespace(item.row[0])!r:.200} is there already; import with on_conflict "
        "'skip' or 'replace'"
    )


def _there(tx: Tx, batch: list[NumberedItem]) -> set[Row]:
    """Namespaces and keys of a batch that the store has."""
    marks = ", ".join(["(?, ?)"] * len(batch))
    rows = tx.execute(
        f"WITH wanted (namespace, key) AS (VALUES {marks})"  # noqa: S608 (marks only)
        " SELECT items.namespace, items.key FROM wanted CROSS JOIN items WHERE items.tenant = ?"
        " AND items.namespace = wanted.namespace AND items.key = wanted.key",
        [*(text for item in batch for text in item.row[:2]), tx.tenant],
    )
    return set(rows.fetchall())
