"""The ledger of compactions: what each one replaced, and what the archives hold together.

An entry names its compaction and chunk; each record in the chunk names its compaction. So the
ledger tells every record's id, chunk and time, and its hash proves the content, at a few bytes for
each record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from infrastructure.errors import StoreError
from infrastructure.memory.memori.archive_format import unpack
from infrastructure.memory.memori.archive_records import Chunk, StoredRecord, hash_lines
from infrastructure.memory.memori.dialect import Tx


@dataclass(frozen=True, slots=True)
class Compaction:
    """What the archive of a session holds.

    Attributes:
        patterns_extracted: whether its patterns were asked for.
        duration_ms: of the latest compaction that found something to do.
    """

    records: int = 0
    original_bytes: int = 0
    compressed_bytes: int = 0
    patterns_extracted: bool = False
    duration_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a compaction.

    Attributes:
        patterns: whether the session's patterns were asked for.
    """

    compacted_at: float
    duration_ms: float
    patterns: bool


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """What one compaction moved into one chunk.

    Attributes:
        compaction: counts up from 1 within the session.
        record_ids: the workflows that it replaced and that were not forgotten since, oldest first.
        sha256: of these workflows as compact JSON lines.
        compacted_at: seconds since the epoch.
    """

    compaction: int
    chunk: int
    record_ids: tuple[str, ...]
    sha256: str
    compacted_at: float


def next_compaction(tx: Tx, session_id: str) -> int:
    """The number of the session's next compaction."""
    row = tx.execute(
        "SELECT MAX(compaction) FROM archive_ledger WHERE tenant = ? AND session_id = ?",
        (tx.tenant, session_id),
    ).fetchone()
    return 1 if row is None or row[0] is None else int(row[0]) + 1


def enter(tx: Tx, chunk: Chunk, records: Sequence[StoredRecord], now: float) -> None:
    """Enter what one compaction moved into a chunk."""
    # A chunk's own hash is of the same lines, when it holds nothing else.
    sha256 = chunk.sha256 if len(records) == chunk.records else _hash(records)
    tx.execute(
        "INSERT INTO archive_ledger (tenant, session_id, compaction, chunk, records, sha256,"
        " compacted_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            *(tx.tenant, chunk.session_id, records[0].compaction, chunk.number),
            *(len(records), sha256, now),
        ),
    )


def correct(tx: Tx, session_id: str, number: int, chunk: int, left: Sequence[StoredRecord]) -> None:
    """Let an entry tell only of the records that are left after forgetting."""
    key = (tx.tenant, session_id, number, chunk)
    where = "WHERE tenant = ? AND session_id = ? AND compaction = ? AND chunk = ?"
    if left:
        tx.execute(
            f"UPDATE archive_ledger SET records = ?, sha256 = ? {where}",  # noqa: S608 (constant text)
            (len(left), _hash(left), *key),
        )
    else:
        tx.execute(f"DELETE FROM archive_ledger {where}", key)  # noqa: S608 (constant text)


def entries(tx: Tx, session_id: str) -> list[LedgerEntry]:
    """A session's entries in order; the chunks hold their record ids, see `proved`."""
    rows = tx.execute(
        "SELECT compaction, chunk, sha256, compacted_at FROM archive_ledger"
        " WHERE tenant = ? AND session_id = ? ORDER BY compaction, chunk",
        (tx.tenant, session_id),
    )
    return [LedgerEntry(row[0], row[1], (), row[2], row[3]) for row in rows.fetchall()]


def proved(found: Sequence[LedgerEntry], chunks: Sequence[Chunk]) -> list[LedgerEntry]:
    """A session's entries with their record ids, each checked against what the archive holds.

    Raises:
        StoreError: the archive does not hold what the ledger tells, or is damaged.
    """
    archived: dict[tuple[int, int], list[StoredRecord]] = {}
    for chunk in chunks:
        for record in unpack(chunk):
            archived.setdefault((record.compaction, chunk.number), []).append(record)
    told: list[LedgerEntry] = []
    for entry in found:
        records = archived.pop((entry.compaction, entry.chunk), [])
        if _hash(records) != entry.sha256:
            raise StoreError(
                f"the ledger and the archive differ on compaction {entry.compaction}; restore both"
                " from a backup"
            )
        told.append(replace(entry, record_ids=tuple(record.id for record in records)))
    if archived:
        raise StoreError(
            f"the ledger lacks compactions that the archive holds ({sorted(archived)}); restore"
            " both from a backup"
        )
    return told


def compaction(tx: Tx, session_id: str) -> Compaction:
    """What a session's archive holds; zeros when it was never compacted."""
    row = tx.execute(
        "SELECT records, original_bytes, compressed_bytes, patterns_extracted, duration_ms"
        " FROM compactions WHERE tenant = ? AND session_id = ?",
        (tx.tenant, session_id),
    ).fetchone()
    if row is None:
        return Compaction()
    records, original, compressed, patterns_extracted, duration_ms = row
    return Compaction(records, original, compressed, bool(patterns_extracted), duration_ms)


def ask_for_patterns(tx: Tx, session_id: str) -> None:
    """Note that a session's patterns were asked for after it was compacted without."""
    tx.execute(
        "UPDATE compactions SET patterns_extracted = 1 WHERE tenant = ? AND session_id = ?",
        (tx.tenant, session_id),
    )


def totals(tx: Tx) -> tuple[int, Compaction]:
    """Sessions that were compacted, and what all their archives hold."""
    row = tx.execute(
        "SELECT sessions, records, original_bytes, compressed_bytes FROM compaction_totals"
        " WHERE tenant = ?",
        (tx.tenant,),
    ).fetchone()
    return (0, Compaction()) if row is None else (row[0], Compaction(*row[1:]))


def add_to_totals(
    tx: Tx, session_id: str, old: Sequence[Chunk], new: Sequence[Chunk], step: Step | None = None
) -> Compaction:
    """Count that chunks took the place of others.

    Args:
        step: of the compaction that did it; None when records were forgotten or packed anew.

    Returns:
        What the session's archive holds then.
    """
    before = compaction(tx, session_id)
    change = Compaction(
        records=sum(chunk.records for chunk in new) - sum(chunk.records for chunk in old),
        original_bytes=sum(c.original_bytes for c in new) - sum(c.original_bytes for c in old),
        compressed_bytes=sum(len(c.body) for c in new) - sum(len(c.body) for c in old),
    )
    after = replace(
        before,
        records=before.records + change.records,
        original_bytes=before.original_bytes + change.original_bytes,
        compressed_bytes=before.compressed_bytes + change.compressed_bytes,
    )
    if step is not None:
        asked = before.patterns_extracted or step.patterns
        after = replace(after, patterns_extracted=asked, duration_ms=step.duration_ms)
    _store_session(tx, session_id, after, step)
    sessions = int(after.records > 0) - int(before.records > 0)
    tx.execute(
        _ADD_TOTALS,
        (tx.tenant, sessions, change.records, change.original_bytes, change.compressed_bytes),
    )
    return after


_ADD_TOTALS: Final = (
    "INSERT INTO compaction_totals (tenant, sessions, records, original_bytes, compressed_bytes)"
    " VALUES (?, ?, ?, ?, ?) ON CONFLICT (tenant) DO UPDATE SET"
    " sessions = compaction_totals.sessions + excluded.sessions,"
    " records = compaction_totals.records + excluded.records,"
    " original_bytes = compaction_totals.original_bytes + excluded.original_bytes,"
    " compressed_bytes = compaction_totals.compressed_bytes + excluded.compressed_bytes"
)


def _store_session(tx: Tx, session_id: str, after: Compaction, step: Step | None) -> None:
    key = (tx.tenant, session_id)
    if after.records == 0:
        tx.execute("DELETE FROM compactions WHERE tenant = ? AND session_id = ?", key)
        return
    tx.execute(
        "INSERT INTO compactions (tenant, session_id, records, original_bytes, compressed_bytes,"
        " patterns_extracted, duration_ms, compacted_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (tenant, session_id) DO UPDATE SET records = excluded.records,"
        " original_bytes = excluded.original_bytes, compressed_bytes = excluded.compressed_bytes,"
        " patterns_extracted = excluded.patterns_extracted, duration_ms = excluded.duration_ms,"
        " compacted_at = CASE WHEN excluded.compacted_at > compactions.compacted_at"
        " THEN excluded.compacted_at ELSE compactions.compacted_at END",
        (
            *key,
            *(after.records, after.original_bytes, after.compressed_bytes),
            *(int(after.patterns_extracted), after.duration_ms),
            0.0 if step is None else step.compacted_at,
        ),
    )


def _hash(records: Sequence[StoredRecord]) -> str:
    return hash_lines([record.line for record in records])
