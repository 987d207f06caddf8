"""The rows that hold chunks: read with the dictionaries they name, inserted, replaced, deleted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from infrastructure.errors import StoreError
from infrastructure.memory.memori import archive_ledger, dictionaries
from infrastructure.memory.memori.archive_format import pack, unpack
from infrastructure.memory.memori.archive_records import NO_DICTIONARY, Chunk, Dictionary
from infrastructure.memory.memori.dialect import Row, Tx

_COLUMNS: Final = (
    "session_id, chunk, namespace, records, original_bytes, encoding, dictionary, sha256, body"
)


class Changed(StoreError):
    """What was about to be archived was changed meanwhile; read it again."""


def chunks(tx: Tx, session_id: str) -> list[Chunk]:
    """A session's archive in order, packed.

    Raises:
        StoreError: a dictionary that it needs is damaged.
    """
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM archives WHERE tenant = ? AND session_id = ? ORDER BY chunk",  # noqa: S608 (constant column names)
        (tx.tenant, session_id),
    )
    return _with_dictionaries(tx, rows.fetchall())


def last_chunk(tx: Tx, session_id: str) -> Chunk | None:
    """The newest chunk of a session's archive."""
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM archives WHERE tenant = ? AND session_id = ?"  # noqa: S608 (constant column names)
        " ORDER BY chunk DESC LIMIT 1",
        (tx.tenant, session_id),
    )
    return next(iter(_with_dictionaries(tx, rows.fetchall())), None)


def latest_chunks(tx: Tx, sessions: int) -> list[Chunk]:
    """The first chunks of the sessions that were compacted last."""
    latest = tx.execute(
        "SELECT session_id FROM compactions WHERE tenant = ?"
        " ORDER BY compacted_at DESC, session_id LIMIT ?",
        (tx.tenant, sessions),
    )
    rows = [
        tx.execute(
            f"SELECT {_COLUMNS} FROM archives"  # noqa: S608 (constant column names)
            " WHERE tenant = ? AND session_id = ? AND chunk = 0",
            (tx.tenant, session_id),
        ).fetchone()
        for (session_id,) in latest.fetchall()
    ]
    return _with_dictionaries(tx, [row for row in rows if row is not None])


def chunks_with(tx: Tx, dictionary: int, limit: int) -> list[Chunk]:
    """Some of the chunks that name a dictionary."""
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM archives WHERE tenant = ? AND dictionary = ?"  # noqa: S608 (constant column names)
        " ORDER BY session_id, chunk LIMIT ?",
        (tx.tenant, dictionary, limit),
    )
    return _with_dictionaries(tx, rows.fetchall())


def insert_chunk(tx: Tx, chunk: Chunk) -> None:
    """Store a new chunk.

    Raises:
        Changed: its dictionary was retired meanwhile.
    """
    if chunk.dictionary != NO_DICTIONARY and not dictionaries.is_usable(tx, chunk.dictionary):
        raise Changed(f"dictionary {chunk.dictionary} was retired meanwhile")
    tx.execute(
        f"INSERT INTO archives (tenant, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 (constant column names)
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


def delete_chunk(tx: Tx, chunk: Chunk) -> None:
    """Delete a chunk.

    Raises:
        Changed: it is no longer what was read.
    """
    rows = tx.execute(
        "DELETE FROM archives WHERE tenant = ? AND session_id = ? AND chunk = ? AND sha256 = ?"
        " AND dictionary = ?",
        (tx.tenant, chunk.session_id, chunk.number, chunk.sha256, chunk.dictionary),
    )
    if rows.rowcount != 1:
        raise Changed(f"the archive of session {chunk.session_id!r} was changed meanwhile")


def repacked(chunk: Chunk, dictionary: Dictionary | None) -> Chunk:
    """The same records packed with another dictionary.

    Raises:
        StoreError: the chunk is damaged.
    """
    return pack(chunk.session_id, chunk.number, chunk.namespace, unpack(chunk), dictionary)


def replace_chunks(tx: Tx, pairs: Iterable[tuple[Chunk, Chunk]]) -> int:
    """Put chunks in the place of others with the same records; those changed meanwhile stay.

    Returns:
        How many were replaced.
    """
    done = 0
    for old, new in pairs:
        if new.dictionary != NO_DICTIONARY and not dictionaries.is_usable(tx, new.dictionary):
            continue
        rows = tx.execute(
            "UPDATE archives SET encoding = ?, dictionary = ?, body = ? WHERE tenant = ?"
            " AND session_id = ? AND chunk = ? AND sha256 = ? AND dictionary = ?",
            (
                *(new.encoding, new.dictionary, new.body, tx.tenant),
                *(old.session_id, old.number, old.sha256, old.dictionary),
            ),
        )
        if rows.rowcount == 1:
            archive_ledger.add_to_totals(tx, old.session_id, [old], [new])
            done += 1
    return done


def drop_unused(tx: Tx, version: int) -> bool:
    """Delete a dictionary unless a chunk still names it."""
    if chunks_with(tx, version, 1):
        return False
    dictionaries.delete(tx, version)
    return True


def _with_dictionaries(tx: Tx, rows: Sequence[Row]) -> list[Chunk]:
    found = [
        Chunk(
            session_id=row[0],
            number=row[1],
            namespace=row[2],
            records=row[3],
            original_bytes=row[4],
            encoding=row[5],
            dictionary=row[6],
            sha256=row[7],
            body=row[8],
        )
        for row in rows
    ]
    versions = {chunk.dictionary for chunk in found} - {NO_DICTIONARY}
    loaded = {version: dictionaries.load(tx, version) for version in versions}
    return [chunk.with_dictionary(loaded.get(chunk.dictionary)) for chunk in found]
