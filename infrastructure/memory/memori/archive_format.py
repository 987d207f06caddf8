"""Chunks of an archive: workflow records packed by column, compressed, and checked on every read.

A chunk's body is a CRC-32 of the rest (4 bytes, little endian), the number of packed bytes, these,
and the columns' text, compressed where that makes it smaller. Its SHA-256 is of the records
themselves, so that a chunk packed anew with another dictionary keeps it.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from typing import Any, Final

from backports import zstd

from infrastructure.errors import StoreError
from infrastructure.memory.memori.archive_records import (
    NO_DICTIONARY,
    Chunk,
    Dictionary,
    StoredRecord,
    hash_lines,
)
from infrastructure.memory.memori.columns import ColumnReader, ColumnWriter, compact_json
from infrastructure.memory.memori.packed_numbers import NumberReader, NumberWriter

COMPRESSED: Final = "columns+zstd"
PLAIN: Final = "columns"

_CHECKSUM_BYTES: Final = 4
# The strongest level would take 2 ms for 16 kB to save 1 % more: it is kept for short texts.
_LEVELS: Final = ((1024, 19), (4 * 1024, 12))
_LEVEL_ABOVE: Final = 9


def pack(
    session_id: str,
    number: int,
    namespace: str,
    records: Sequence[StoredRecord],
    dictionary: Dictionary | None,
) -> Chunk:
    """Pack records into a chunk, and read them back before anything relies on it.

    Raises:
        StoreError: they would not read back exactly.
    """
    columns = ColumnWriter()
    for values in _plain_columns(records):
        columns.column(values)
    for texts, kind in _json_columns(records):
        columns.column([_parsed(text, kind) for text in texts], texts=texts)
    lines = [record.line for record in records]
    encoding, text = _compressed(columns.text, dictionary)
    chunk = Chunk(
        session_id=session_id,
        number=number,
        namespace=namespace,
        records=len(records),
        original_bytes=sum(map(len, lines)),
        encoding=encoding,
        dictionary=dictionary.version if dictionary and encoding == COMPRESSED else NO_DICTIONARY,
        sha256=hash_lines(lines),
        body=_framed(columns.numbers, text),
        trained=dictionary if encoding == COMPRESSED else None,
    )
    if _decoded(chunk) != list(records):
        raise StoreError(f"{chunk.place} would not read back exactly; the records stay unpacked")
    return chunk


def unpack(chunk: Chunk) -> list[StoredRecord]:
    """The records of a chunk, exactly as they were packed.

    Raises:
        StoreError: the bytes are not those that were stored, or their dictionary is missing.
    """
    records = _decoded(chunk)
    if hash_lines([record.line for record in records]) != chunk.sha256:
        raise _damaged(chunk, "its checksum differs")
    return records


def text_of(chunk: Chunk) -> bytes:
    """The columns' text of a chunk: what a dictionary for such chunks is trained on.

    Raises:
        StoreError: as of `unpack`.
    """
    return _parts(chunk)[1]


def compress_text(text: bytes, trained: zstd.ZstdDict | None) -> bytes:
    """Text as it lies in a chunk."""
    fitting = (level for longest, level in _LEVELS if len(text) <= longest)
    # The frame need not name its dictionary: the chunk's row does.
    options: dict[int, int] = {
        zstd.CompressionParameter.compression_level: next(fitting, _LEVEL_ABOVE),
        zstd.CompressionParameter.dict_id_flag: 0,
    }
    return zstd.compress(
        text, options=options, zstd_dict=trained.as_digested_dict if trained else None
    )


_COLUMNS: Final = 11


def _plain_columns(records: Sequence[StoredRecord]) -> list[list[Any]]:
    return [
        [record.compaction for record in records],
        [record.id for record in records],
        [record.run_id for record in records],
        [record.task_type for record in records],
        [record.success for record in records],
        [record.recalled for record in records],
        [record.created_at for record in records],
        [record.duration_s for record in records],
        [record.cost_usd for record in records],
    ]


def _json_columns(records: Sequence[StoredRecord]) -> list[tuple[list[str], type]]:
    return [([record.steps for record in records], list), ([r.metadata for r in records], dict)]


def _decoded(chunk: Chunk) -> list[StoredRecord]:
    numbers, text = _parts(chunk)
    reader = ColumnReader(text, numbers)
    try:
        columns = [reader.column(chunk.records) for _ in range(_COLUMNS)]
    except (ValueError, LookupError, StopIteration, TypeError, OverflowError) as error:
        raise _damaged(chunk, error) from error
    return [_record(chunk.session_id, row) for row in zip(*columns, strict=True)]


def _record(session_id: str, row: tuple[Any, ...]) -> StoredRecord:
    compaction, id_, run_id, task_type, success, recalled, created_at, seconds, usd = row[:9]
    return StoredRecord(
        id=id_,
        run_id=run_id,
        session_id=session_id,
        task_type=task_type,
        success=success,
        recalled=recalled,
        created_at=created_at,
        duration_s=seconds,
        cost_usd=usd,
        steps=_unparsed(row[9]),
        metadata=_unparsed(row[10]),
        compaction=compaction,
    )


def _parsed(text: str, kind: type) -> Any:
    """The value of JSON text that is written again to the byte; any other text as it is."""
    try:
        value = json.loads(text)
        exact = type(value) is kind and compact_json(value) == text
    except (ValueError, RecursionError):
        return text
    return value if exact else text


def _unparsed(value: Any) -> str:
    return value if isinstance(value, str) else compact_json(value)


def _compressed(text: bytes, dictionary: Dictionary | None) -> tuple[str, bytes]:
    packed = compress_text(text, dictionary.trained if dictionary else None)
    return (COMPRESSED, packed) if len(packed) < len(text) else (PLAIN, text)


def _framed(numbers: bytes, text: bytes) -> bytes:
    size = NumberWriter()
    size.whole(len(numbers))
    rest = bytes(size.body) + numbers + text
    return zlib.crc32(rest).to_bytes(_CHECKSUM_BYTES, "little") + rest


def _parts(chunk: Chunk) -> tuple[bytes, bytes]:
    """A chunk's packed numbers and its text."""
    rest = chunk.body[_CHECKSUM_BYTES:]
    if chunk.encoding not in (COMPRESSED, PLAIN):
        raise StoreError(
            f"{chunk.place} has the encoding {chunk.encoding!r}, which this version cannot read"
        )
    if zlib.crc32(rest).to_bytes(_CHECKSUM_BYTES, "little") != chunk.body[:_CHECKSUM_BYTES]:
        raise _damaged(chunk, "its checksum differs")
    reader = NumberReader(rest)
    size = reader.whole()
    numbers, text = rest[reader.position :][:size], rest[reader.position + size :]
    if chunk.encoding == PLAIN:
        return numbers, text
    return numbers, _decompressed(chunk, text)


def _decompressed(chunk: Chunk, text: bytes) -> bytes:
    trained = chunk.trained.trained if chunk.trained else None
    if trained is None and chunk.dictionary != NO_DICTIONARY:
        raise StoreError(
            f"{chunk.place} needs dictionary {chunk.dictionary}, which is missing; restore it from"
            " a backup"
        )
    try:
        return zstd.decompress(text, zstd_dict=trained)
    except zstd.ZstdError as error:
        raise _damaged(chunk, error) from error


def _damaged(chunk: Chunk, why: object) -> StoreError:
    return StoreError(f"{chunk.place} is damaged ({why}); restore it from a backup")
