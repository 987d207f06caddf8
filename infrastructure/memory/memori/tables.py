"""All rows of one tenant, table by table, in an order and a form that both databases share."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from infrastructure.memory.memori.dialect import Row, SqlValue, Tx

MAX_ROWS: Final = 500
"""Rows of a page, and of a commit that stores one."""

_FIRST_ROWS: Final = 16
_LARGE_PAGE_BYTES: Final = 4 * 1024 * 1024
_SMALL_PAGE_BYTES: Final = 512 * 1024
_COLUMNS: Final = {
    "sqlite": "SELECT name FROM pragma_table_info(?) ORDER BY name",
    "postgres": 'SELECT column_name COLLATE "C" AS name FROM information_schema.columns'
    " WHERE table_schema = current_schema() AND table_name = ? ORDER BY name",
}


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a column for the tenant.

    Fields:
        key: columns that order a tenant's rows, and tell them apart.
        numbered: whether the key is given by the database, so that a copy has its own.
    """

    name: str
    key: tuple[str, ...]
    numbered: bool = False


KEPT: Final[tuple[Table, ...]] = (
    Table("items", ("id",), numbered=True),
    Table("deleted_items", ("namespace", "key")),
    Table("runs", ("run_id",)),
    Table("run_events", ("run_id", "seq")),
    Table("run_journals", ("run_id",)),
    Table("run_feedback", ("run_id",)),
    Table("run_sources", ("source", "run_id")),
    Table("executions", ("id",)),
    Table("workflows", ("id",)),
    Table("pattern_counts", ("session_id", "task_type", "digest")),
    Table("workflow_counts", ("session_id", "width", "start", "task_type", "recalled")),
    Table("outcomes", ("run_id", "attempt")),
    Table("outcome_counts", ("task_type", "operation", "agent", "model", "effort")),
    Table("plan_cases", ("digest",)),
    Table("plan_runs", ("run_id",)),
    Table("plan_exemplars", ("run_id",)),
    Table("archives", ("session_id", "chunk")),
    Table("archive_ledger", ("session_id", "compaction", "chunk")),
    Table("archive_dictionaries", ("version",)),
    Table("archive_dictionary_sources", ("session_id", "version")),
    Table("compactions", ("session_id",)),
    Table("compaction_totals", ("tenant",)),
    Table("checkpoints", ("thread_id", "ns", "checkpoint_id")),
    Table("checkpoint_values", ("thread_id", "ns", "channel", "version")),
    Table("checkpoint_writes", ("thread_id", "ns", "checkpoint_id", "task_id", "idx")),
)
"""What a tenant owns. Counters are among it: they are compared after a copy like all the rest."""

LEFT_OUT: Final = (
    "index_segments", "item_deaths", "index_epochs", "index_cursors", "applied_writes",
    "copies_under_way",
)  # fmt: skip
"""What belongs to one store alone: the search index is made again from the items, and the ids of
writes name versions of items, which every store counts by itself."""


class Tally:
    """How many rows were seen, and the SHA-256 of their values."""

    def __init__(self) -> None:
        self.rows = 0
        self._sha256 = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    def add(self, page: Sequence[Row]) -> None:
        """Count rows; equal values give an equal hash, whatever the database."""
        for row in page:
            self._sha256.update(b"".join(map(_canonical, row)))
        self.rows += len(page)


def columns(tx: Tx, table: Table) -> list[str]:
    """The columns of a table that tell what it holds, by name."""
    names = [str(name) for (name,) in tx.execute(_COLUMNS[tx.dialect], (table.name,)).fetchall()]
    hidden = {"tenant", *(table.key if table.numbered else ())}
    return [name for name in names if name not in hidden]


def pages(tx: Tx, table: Table, names: Sequence[str]) -> Iterator[list[Row]]:
    """A tenant's rows in order of their key, as pages of these columns.

    A page has at most MAX_ROWS rows, and fewer while rows are large.
    """
    key, width = ", ".join(table.key), len(table.key)
    select = f"SELECT {key}, {', '.join(names)} FROM {table.name} WHERE tenant = ?"  # noqa: S608 (names of the schema)
    beyond = f" AND ({key}) > ({', '.join('?' * width)})"
    last: tuple[SqlValue, ...] = ()
    limit = _FIRST_ROWS
    while True:
        sql = f"{select}{beyond if last else ''} ORDER BY {key} LIMIT ?"
        rows = tx.execute(sql, (tx.tenant, *last, limit)).fetchall()
        if rows:
            yield [row[width:] for row in rows]
        if len(rows) < limit:
            return
        last = rows[-1][:width]
        size = sum(len(value) for row in rows for value in row if isinstance(value, str | bytes))
        if size > _LARGE_PAGE_BYTES:
            limit = max(1, limit * _LARGE_PAGE_BYTES // size)
        elif size < _SMALL_PAGE_BYTES:
            limit = min(MAX_ROWS, limit * 2)


def insert(tx: Tx, table: Table, names: Sequence[str], page: Sequence[Row]) -> None:
    """Store a page, which may be empty, in the tenant's table."""
    if not page:
        return
    marks = f"({', '.join('?' * (len(names) + 1))})"
    tx.execute(
        f"INSERT INTO {table.name} (tenant, {', '.join(names)})"  # noqa: S608 (names of the schema)
        f" VALUES {', '.join([marks] * len(page))}",
        [value for row in page for value in (tx.tenant, *row)],
    )


def tally(tx: Tx, table: Table) -> Tally:
    """Count and hash a tenant's rows."""
    found = Tally()
    for page in pages(tx, table, columns(tx, table)):
        found.add(page)
    return found


def is_empty(tx: Tx) -> bool:
    """Whether the tenant has no row at all."""
    return all(
        tx.execute(f"SELECT 1 FROM {table.name} WHERE tenant = ? LIMIT 1", (tx.tenant,)).fetchone()  # noqa: S608 (names of the schema)
        is None
        for table in KEPT
    )


def _canonical(value: SqlValue) -> bytes:
    if value is None:
        return b"n"
    if isinstance(value, int):
        return b"i%d;" % value
    if isinstance(value, float):
        return b"f" + struct.pack(">d", value)
    data = value.encode() if isinstance(value, str) else bytes(value)
    return b"%s%d:%s" % (b"s" if isinstance(value, str) else b"b", len(data), data)
