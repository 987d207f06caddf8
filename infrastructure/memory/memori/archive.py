"""Archives of compacted sessions: what is packed next, what replaces it, and what is forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from infrastructure.memory.memori import archive_ledger, dictionaries
from infrastructure.memory.memori.aggregates import NOT_ARCHIVED, Execution
from infrastructure.memory.memori.archive_chunks import (
    Changed,
    chunks,
    chunks_with,
    delete_chunk,
    insert_chunk,
    last_chunk,
    repacked,
    replace_chunks,
)
from infrastructure.memory.memori.archive_format import pack, unpack
from infrastructure.memory.memori.archive_ledger import Compaction
from infrastructure.memory.memori.archive_records import Chunk, Dictionary, StoredRecord
from infrastructure.memory.memori.dialect import Tx

__all__ = ["Changed", "Chunk", "StoredRecord", "chunks", "unpack"]

OPEN_RECORDS: Final = 64
"""A chunk with fewer records takes new ones; small sessions stay in one well-packed chunk."""
CHUNK_RECORDS: Final = 256
BATCH_RECORDS: Final = 512

_REPLACED_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step of a compaction packs.

    Attributes:
        records: bear the number of this compaction of the session.
        open_chunk: what the records extend.
        before: what the session's archive held.
    """

    session_id: str
    records: list[StoredRecord]
    open_chunk: Chunk | None
    next_number: int
    before: Compaction
    dictionary: Dictionary | None


def unarchived(
    tx: Tx, session_id: str, limit: int | None = None, compaction: int = 0
) -> list[StoredRecord]:
    """A session's workflows that are not archived, oldest first.

    Args:
        compaction: number of the one that is going to archive them.
    """
    sql = (
        "SELECT w.id, e.run_id, e.task_type, e.success, e.recalled, w.created_at, w.duration_s,"
        " w.cost_usd, w.steps, w.metadata FROM workflows AS w"
        " JOIN executions AS e ON e.tenant = w.tenant AND e.id = w.id"
        " WHERE w.tenant = ? AND w.session_id = ? ORDER BY w.created_at, w.id"
    )
    if limit is None:
        rows = tx.execute(sql, (tx.tenant, session_id))
    else:
        rows = tx.execute(f"{sql} LIMIT ?", (tx.tenant, session_id, limit))
    return [
        StoredRecord(session_id, compaction, id_, run_id, task_type, bool(success), *rest)
        for id_, run_id, task_type, success, *rest in rows.fetchall()
    ]


def next_batch(tx: Tx, session_id: str) -> Batch:
    """What is to be archived next; without records when nothing is left."""
    return _batch(tx, session_id, dictionaries.active(tx))


def next_batches(tx: Tx, session_ids: Sequence[str]) -> list[Batch]:
    """`next_batch` of the first sessions, so many that one step packs them: at least one."""
    dictionary, found, records = dictionaries.active(tx), list[Batch](), 0
    for session_id in session_ids:
        found.append(_batch(tx, session_id, dictionary))
        records += len(found[-1].records)
        if records >= BATCH_RECORDS:
            break
    return found


def _batch(tx: Tx, session_id: str, dictionary: Dictionary | None) -> Batch:
    compaction = archive_ledger.next_compaction(tx, session_id)
    last = last_chunk(tx, session_id) if compaction > 1 else None
    open_chunk = last if last is not None and last.records < OPEN_RECORDS else None
    return Batch(
        session_id=session_id,
        records=unarchived(tx, session_id, BATCH_RECORDS, compaction),
        open_chunk=open_chunk,
        next_number=0 if last is None else last.number + (open_chunk is None),
        before=archive_ledger.compaction(tx, session_id),
        dictionary=dictionary,
    )


def pack_batch(batch: Batch, namespace: str) -> list[Chunk]:
    """Compress a batch, outside any transaction.

    Raises:
        StoreError: the chunk that it extends is damaged.
    """
    records = unpack(batch.open_chunk) if batch.open_chunk else []
    records += batch.records
    return [
        pack(
            batch.session_id,
            batch.next_number + index,
            namespace,
            records[start : start + CHUNK_RECORDS],
            batch.dictionary,
        )
        for index, start in enumerate(range(0, len(records), CHUNK_RECORDS))
    ]


def replace_by_archive(
    tx: Tx, batch: Batch, packed: Sequence[Chunk], *, patterns: bool, ms: float, now: float
) -> Compaction:
    """Put a packed batch in the place of its workflow rows, and enter it in the ledger.

    Returns:
        What the session's archive holds then.

    Raises:
        Changed: the rows or the open chunk are no longer what was packed; nothing was done.
    """
    old = [batch.open_chunk] if batch.open_chunk else []
    for chunk in old:
        delete_chunk(tx, chunk)
    for chunk in packed:
        insert_chunk(tx, chunk)
    first = sum(chunk.records for chunk in old)
    for index, chunk in enumerate(packed):
        start = max(0, index * CHUNK_RECORDS - first)
        taken = batch.records[start : (index + 1) * CHUNK_RECORDS - first]
        _move_rows(tx, taken, chunk.number)
        archive_ledger.enter(tx, chunk, taken, now)
    return archive_ledger.add_to_totals(
        tx, batch.session_id, old, packed, archive_ledger.Step(now, ms, patterns)
    )


def forget(tx: Tx, execution: Execution) -> None:
    """Take one workflow out of its session's archive, and out of what was learnt from it there.

    Raises:
        StoreError: a chunk that must be packed anew is damaged.
    """
    if execution.chunk == NOT_ARCHIVED:
        return
    for version in dictionaries.lose_source(tx, execution.session_id):
        _purge_dictionary(tx, version)
    for chunk in chunks(tx, execution.session_id):
        if chunk.number == execution.chunk:
            _forget_in(tx, chunk, execution.id)


def _purge_dictionary(tx: Tx, version: int) -> None:
    active = dictionaries.active(tx)
    while found := chunks_with(tx, version, _REPLACED_AT_ONCE):
        replace_chunks(tx, [(chunk, repacked(chunk, active)) for chunk in found])
    dictionaries.delete(tx, version)


def _forget_in(tx: Tx, chunk: Chunk, record_id: str) -> None:
    records = unpack(chunk)
    kept = [record for record in records if record.id != record_id]
    delete_chunk(tx, chunk)
    new: list[Chunk] = []
    if kept:
        active = dictionaries.active(tx)
        new = [pack(chunk.session_id, chunk.number, chunk.namespace, kept, active)]
        insert_chunk(tx, new[0])
    touched = next(record.compaction for record in records if record.id == record_id)
    left = [record for record in kept if record.compaction == touched]
    archive_ledger.correct(tx, chunk.session_id, touched, chunk.number, left)
    archive_ledger.add_to_totals(tx, chunk.session_id, [chunk], new)


def _move_rows(tx: Tx, records: Sequence[StoredRecord], chunk: int) -> None:
    ids = [record.id for record in records]
    marks = ", ".join("?" * len(ids))
    rows = tx.execute(
        f"DELETE FROM workflows WHERE tenant = ? AND id IN ({marks})",  # noqa: S608 (marks only)
        (tx.tenant, *ids),
    )
    if rows.rowcount != len(ids):
        raise Changed(
            f"a workflow from {ids[0]!r} to {ids[-1]!r} was archived or forgotten meanwhile"
        )
    tx.execute(
        f"UPDATE executions SET chunk = ? WHERE tenant = ? AND id IN ({marks})",  # noqa: S608 (marks only)
        (chunk, tx.tenant, *ids),
    )
