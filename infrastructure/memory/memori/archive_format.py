"""Chunks of an archive: workflow records packed by column, compressed, and checked on every read.

A chunk's body is a CRC-32 of the rest (4 bytes, little endian), the number of packed bytes, these,
and the columns' text, compressed where that makes it smaller. Its SHA-256 is of the records
themselves, so that a chunk packed anew with another dictionary keeps it.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, Final

import orjson
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
# Stronger ones cost more than they save: the strongest takes 2.5 ms for 20 kB, where this takes
# 0.16, and leaves out 2 % more of the records. On short texts one more costs next to nothing.
_LEVEL: Final = 5
_LEVEL_OF_SHORT: Final = 6
_SHORT_BYTES: Final = 4 * 1024


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
    _, *plain, steps, metadata = zip(*records, strict=True)
    columns = ColumnWriter()
    for values in plain:
        columns.column(values)
    for texts, kind in ((steps, list), (metadata, dict)):
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
    level = _LEVEL_OF_SHORT if len(text) <= _SHORT_BYTES else _LEVEL
    # The frame need not name its dictionary: the chunk's row does.
    options: dict[int, int] = {
        zstd.CompressionParameter.compression_level: level,
        zstd.CompressionParameter.dict_id_flag: 0,
    }
    return zstd.compress(
        text, options=options, zstd_dict=trained.as_digested_dict if trained else None
    )


_COLUMNS: Final = len(StoredRecord._fields) - 1


def _decoded(chunk: Chunk) -> list[StoredRecord]:
    numbers, text = _parts(chunk)
    reader = ColumnReader(text, numbers)
    try:
        columns = [reader.column(chunk.records) for _ in range(_COLUMNS)]
    except (ValueError, LookupError, StopIteration, TypeError, OverflowError) as error:
        raise _damaged(chunk, error) from error
    *plain, steps, metadata = columns
    rows = zip(*plain, map(_unparsed, steps), map(_unparsed, metadata), strict=True)
    return [StoredRecord(chunk.session_id, *row) for row in rows]


def _parsed(text: str, kind: type) -> Any:
    """The value of JSON text that is written again to the byte; any other text as it is."""
    try:
        value = orjson.loads(text)
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
