"""Archives of compacted sessions: lossless, checked on every read, extended by new workflows.

A chunk is text, one JSON document a line: a header, the distinct step lists, the distinct metadata,
then a record a line that points to them. Its SHA-256 is kept beside it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from backports import zstd

from infrastructure.errors import StoreError
from infrastructure.memory.memori.aggregates import Execution
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.jsontext import dump_json

OPEN_RECORDS: Final = 64
"""A chunk with fewer records takes new ones; small sessions stay in one well-packed chunk."""
CHUNK_RECORDS: Final = 256
BATCH_RECORDS: Final = 512

_FORMAT: Final = 1
_NO_DICTIONARY: Final = 0
_SMALL: Final = 64 * 1024
_LEVEL_SMALL: Final = 19
_LEVEL_LARGE: Final = 9


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A workflow as its columns hold it; `steps` and `metadata` are JSON text, kept to the byte."""

    id: str
    run_id: str
    task_type: str
    success: bool
    recalled: int
    created_at: float
    duration_s: float
    cost_usd: float
    steps: str
    metadata: str

    @property
    def size(self) -> int:
        """Bytes of the record as a JSON object of its own."""
        head = dump_json(
            {
                "id": self.id,
                "run_id": self.run_id,
                "task_type": self.task_type,
                "success": self.success,
                "recalled": self.recalled,
                "created_at": self.created_at,
                "duration_s": self.duration_s,
                "cost_usd": self.cost_usd,
            }
        )
        return len(f'{head[:-1]},"steps":{self.steps},"metadata":{self.metadata}}}'.encode())


@dataclass(frozen=True, slots=True)
class Chunk:
    """One row of a session's archive."""

    session_id: str
    number: int
    namespace: str
    records: int
    original_bytes: int
    encoding: str
    dictionary: int
    sha256: str
    body: bytes


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
class Batch:
    """What one step of a compaction packs: new records, and the open chunk that they extend."""

    session_id: str
    records: list[StoredRecord]
    open_chunk: Chunk | None
    next_number: int


class Changed(StoreError):
    """What was about to be archived was changed meanwhile; read it again."""


def unarchived(tx: Tx, session_id: str, limit: int = -1) -> list[StoredRecord]:
    """A session's workflows that are not archived, oldest first."""
    rows = tx.execute(
        "SELECT w.id, e.run_id, e.task_type, e.success, e.recalled, w.created_at, w.duration_s,"
        " w.cost_usd, w.steps, w.metadata FROM workflows AS w JOIN executions AS e"
        " ON e.tenant = w.tenant AND e.id = w.id"
        " WHERE w.tenant = ? AND w.session_id = ? ORDER BY w.created_at, w.id LIMIT ?",
        (tx.tenant, session_id, limit),
    )
    return [_stored_record(row) for row in rows.fetchall()]


def chunks(tx: Tx, session_id: str) -> list[Chunk]:
    """A session's archive in order, packed."""
    rows = tx.execute(
        f"SELECT {_CHUNK_COLUMNS} FROM archives WHERE tenant = ? AND session_id = ?"  # noqa: S608 (constant column names)
        " ORDER BY chunk",
        (tx.tenant, session_id),
    )
    return [Chunk(*row) for row in rows.fetchall()]


def next_batch(tx: Tx, session_id: str) -> Batch:
    """What is to be archived next; without records when nothing is left."""
    row = tx.execute(
        f"SELECT {_CHUNK_COLUMNS} FROM archives WHERE tenant = ? AND session_id = ?"  # noqa: S608 (constant column names)
        " ORDER BY chunk DESC LIMIT 1",
        (tx.tenant, session_id),
    ).fetchone()
    last = None if row is None else Chunk(*row)
    open_chunk = last if last is not None and last.records < OPEN_RECORDS else None
    return Batch(
        session_id=session_id,
        records=unarchived(tx, session_id, BATCH_RECORDS),
        open_chunk=open_chunk,
        next_number=0 if last is None else last.number + (open_chunk is None),
    )


def pack_batch(batch: Batch, namespace: str) -> list[Chunk]:
    """Compress a batch, outside any transaction.

    Raises:
        StoreError: the chunk that it extends is damaged.
    """
    records = [*(unpack(batch.open_chunk) if batch.open_chunk else ()), *batch.records]
    return [
        pack(
            batch.session_id, batch.next_number + index, namespace, records[start:][:CHUNK_RECORDS]
        )
        for index, start in enumerate(range(0, len(records), CHUNK_RECORDS))
    ]


def pack(session_id: str, number: int, namespace: str, records: Sequence[StoredRecord]) -> Chunk:
    """Compress records, unless that would make them larger."""
    text = _to_text(records)
    packed = zstd.compress(text, level=_LEVEL_SMALL if len(text) <= _SMALL else _LEVEL_LARGE)
    smaller = len(packed) < len(text)
    return Chunk(
        session_id=session_id,
        number=number,
        namespace=namespace,
        records=len(records),
        original_bytes=sum(record.size for record in records),
        encoding="zstd" if smaller else "raw",
        dictionary=_NO_DICTIONARY,
        sha256=hashlib.sha256(text).hexdigest(),
        body=packed if smaller else text,
    )


def unpack(chunk: Chunk) -> list[StoredRecord]:
    """The records of a chunk, exactly as they were packed.

    Raises:
        StoreError: the bytes are not those that were stored.
    """
    where = f"archive chunk {chunk.number} of session {chunk.session_id!r}"
    try:
        text = zstd.decompress(chunk.body) if chunk.encoding == "zstd" else chunk.body
    except zstd.ZstdError as error:
        raise StoreError(f"{where} is damaged ({error}); restore it from a backup") from error
    if hashlib.sha256(text).hexdigest() != chunk.sha256:
        raise StoreError(f"{where} is damaged (its checksum differs); restore it from a backup")
    return _from_text(text)


def replace_by_archive(
    tx: Tx, batch: Batch, packed: Sequence[Chunk], namespace: str, *, patterns: bool, ms: float,
    now: float,
) -> None:  # fmt: skip
    """Put a packed batch in the place of its workflow rows, and enter it in the ledger.

    Raises:
        Changed: the rows or the open chunk are no longer what was packed; nothing was done.
    """
    old = batch.open_chunk
    if old is not None:
        _delete_chunk(tx, old)
    for chunk in packed:
        _insert_chunk(tx, chunk)
    first = 0 if old is None else old.records
    for position, record in enumerate(batch.records, first):
        rows = tx.execute(
            "DELETE FROM workflows WHERE tenant = ? AND id = ?", (tx.tenant, record.id)
        )
        if rows.rowcount != 1:
            raise Changed(f"workflow {record.id!r} was archived or forgotten meanwhile")
        tx.execute(
            "UPDATE executions SET chunk = ? WHERE tenant = ? AND id = ?",
            (batch.next_number + position // CHUNK_RECORDS, tx.tenant, record.id),
        )
    _enter(tx, batch.session_id, [old] if old else [], packed, now)
    tx.execute(
        "UPDATE compactions SET duration_ms = ?,"
        " patterns_extracted = MAX(patterns_extracted, ?) WHERE tenant = ? AND session_id = ?",
        (ms, int(patterns), tx.tenant, batch.session_id),
    )


def forget(tx: Tx, execution: Execution) -> None:
    """Take one workflow out of its session's archive, if it is there."""
    for chunk in chunks(tx, execution.session_id):
        if chunk.number != execution.chunk:
            continue
        kept = [record for record in unpack(chunk) if record.id != execution.id]
        _delete_chunk(tx, chunk)
        new = [pack(chunk.session_id, chunk.number, chunk.namespace, kept)] if kept else []
        for part in new:
            _insert_chunk(tx, part)
        _enter(tx, chunk.session_id, [chunk], new, None)


def compaction(tx: Tx, session_id: str) -> Compaction:
    """The ledger's entry of a session; zeros when it was never compacted."""
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


_CHUNK_COLUMNS: Final = (
    "session_id, chunk, namespace, records, original_bytes, encoding, dictionary, sha256, body"
)


def _insert_chunk(tx: Tx, chunk: Chunk) -> None:
    tx.execute(
        f"INSERT INTO archives (tenant, {_CHUNK_COLUMNS})"  # noqa: S608 (constant column names)
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            tx.tenant,
            chunk.session_id,
            chunk.number,
            chunk.namespace,
            chunk.records,
            chunk.original_bytes,
            chunk.encoding,
            chunk.dictionary,
            chunk.sha256,
            chunk.body,
        ),
    )


def _delete_chunk(tx: Tx, chunk: Chunk) -> None:
    rows = tx.execute(
        "DELETE FROM archives WHERE tenant = ? AND session_id = ? AND chunk = ? AND sha256 = ?",
        (tx.tenant, chunk.session_id, chunk.number, chunk.sha256),
    )
    if rows.rowcount != 1:
        raise Changed(f"the archive of session {chunk.session_id!r} was extended meanwhile")


def _enter(
    tx: Tx, session_id: str, old: Sequence[Chunk], new: Sequence[Chunk], now: float | None
) -> None:
    records = sum(chunk.records for chunk in new) - sum(chunk.records for chunk in old)
    original = sum(c.original_bytes for c in new) - sum(c.original_bytes for c in old)
    compressed = sum(len(c.body) for c in new) - sum(len(c.body) for c in old)
    known = compaction(tx, session_id).records > 0
    tx.execute(
        "INSERT INTO compactions (tenant, session_id, records, original_bytes, compressed_bytes,"
        " patterns_extracted, duration_ms, compacted_at) VALUES (?, ?, ?, ?, ?, 0, 0, ?)"
        " ON CONFLICT (tenant, session_id) DO UPDATE SET"
        " records = compactions.records + excluded.records,"
        " original_bytes = compactions.original_bytes + excluded.original_bytes,"
        " compressed_bytes = compactions.compressed_bytes + excluded.compressed_bytes,"
        " compacted_at = MAX(compactions.compacted_at, excluded.compacted_at)",
        (tx.tenant, session_id, records, original, compressed, now or 0.0),
    )
    left = compaction(tx, session_id).records > 0
    if not left:
        tx.execute(
            "DELETE FROM compactions WHERE tenant = ? AND session_id = ?", (tx.tenant, session_id)
        )
    tx.execute(
        "INSERT INTO compaction_totals (tenant, sessions, records, original_bytes,"
        " compressed_bytes) VALUES (?, ?, ?, ?, ?) ON CONFLICT (tenant) DO UPDATE SET"
        " sessions = compaction_totals.sessions + excluded.sessions,"
        " records = compaction_totals.records + excluded.records,"
        " original_bytes = compaction_totals.original_bytes + excluded.original_bytes,"
        " compressed_bytes = compaction_totals.compressed_bytes + excluded.compressed_bytes",
        (tx.tenant, int(left) - int(known), records, original, compressed),
    )


def _stored_record(row: tuple[Any, ...]) -> StoredRecord:
    return StoredRecord(
        id=row[0],
        run_id=row[1],
        task_type=row[2],
        success=bool(row[3]),
        recalled=row[4],
        created_at=row[5],
        duration_s=row[6],
        cost_usd=row[7],
        steps=row[8],
        metadata=row[9],
    )


def _to_text(records: Sequence[StoredRecord]) -> bytes:
    steps = {text: index for index, text in enumerate(dict.fromkeys(r.steps for r in records))}
    metadata = {
        text: index for index, text in enumerate(dict.fromkeys(r.metadata for r in records))
    }
    lines = [dump_json([_FORMAT, len(steps), len(metadata)]), *steps, *metadata]
    lines.extend(
        dump_json(
            [
                record.id,
                record.run_id,
                record.task_type,
                record.success,
                record.recalled,
                record.created_at,
                record.duration_s,
                record.cost_usd,
                steps[record.steps],
                metadata[record.metadata],
            ]
        )
        for record in records
    )
    return "\n".join(lines).encode()


def _from_text(text: bytes) -> list[StoredRecord]:
    lines = text.decode().split("\n")
    version, steps, metadata = cast("list[int]", json.loads(lines[0]))
    if version != _FORMAT:
        raise StoreError(f"an archive has format {version}, this version reads {_FORMAT}")
    bodies = lines[1 + steps :]
    rows = [cast("list[Any]", json.loads(line)) for line in bodies[metadata:]]
    return [
        _stored_record((*tuple(row[:8]), lines[1 + int(row[8])], bodies[int(row[9])]))
        for row in rows
    ]
