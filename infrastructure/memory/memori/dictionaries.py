"""Compression dictionaries of a tenant: versioned, checked, counted, and given up when they must.

A dictionary is made of pieces that at least `SHARED_BY` of its source sessions have. So as long as
fewer of them have lost something to forgetting, every piece is still told by a session that was
kept. One loss before that, no new chunk may name it and its chunks are packed anew in the
background; the forgetting that reaches the limit does what is left of that in its own transaction.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from backports import zstd

from infrastructure.errors import StoreError
from infrastructure.memory.memori.archive_records import Dictionary
from infrastructure.memory.memori.dialect import Tx

SHARED_BY: Final = 3
"""Source sessions that must have a piece for it to enter a dictionary."""
MOST_IN_USE: Final = 4
"""An older dictionary is retired when one more is added."""

_MOST_LOADED: Final = 32


def active(tx: Tx) -> Dictionary | None:
    """The dictionary that new chunks are packed with.

    Raises:
        StoreError: it is damaged.
    """
    row = tx.execute(
        "SELECT version, sha256 FROM archive_dictionaries WHERE tenant = ? AND retired = 0"
        " ORDER BY version DESC LIMIT 1",
        (tx.tenant,),
    ).fetchone()
    return None if row is None else _load(tx, *row)


def load(tx: Tx, version: int) -> Dictionary | None:
    """A dictionary by its version; None when there is none.

    Raises:
        StoreError: it is damaged.
    """
    row = tx.execute(
        "SELECT version, sha256 FROM archive_dictionaries WHERE tenant = ? AND version = ?",
        (tx.tenant, version),
    ).fetchone()
    return None if row is None else _load(tx, *row)


def is_usable(tx: Tx, version: int) -> bool:
    """Whether a new chunk may name this version."""
    row = tx.execute(
        "SELECT 1 FROM archive_dictionaries WHERE tenant = ? AND version = ? AND retired = 0",
        (tx.tenant, version),
    ).fetchone()
    return row is not None


def served_bytes(tx: Tx) -> int:
    """What the archives took when the active dictionary was trained; 0 without one."""
    row = tx.execute(
        "SELECT served_bytes FROM archive_dictionaries WHERE tenant = ? AND retired = 0"
        " ORDER BY version DESC LIMIT 1",
        (tx.tenant,),
    ).fetchone()
    return 0 if row is None else int(row[0])


def stored(tx: Tx) -> tuple[int, int]:
    """How many dictionaries are stored, and their bytes."""
    row = tx.execute(
        "SELECT COUNT(*), COALESCE(SUM(size), 0) FROM archive_dictionaries WHERE tenant = ?",
        (tx.tenant,),
    ).fetchone()
    return (0, 0) if row is None else (int(row[0]), int(row[1]))


def add(
    tx: Tx, body: bytes, sources: Mapping[str, str], *, after: int, served: int, now: float
) -> int | None:
    """Store a dictionary, active from now on, and retire what is too old.

    Args:
        sources: the sessions that it was trained on, with the SHA-256 of the chunk that was read.
        after: the newest version at that time; 0 for none.
        served: bytes that the archives took then.

    Returns:
        Its version; None, with nothing stored, when another was added meanwhile, or too many
        sources are no longer what was read.
    """
    kept = [session_id for session_id, sha256 in sources.items() if _holds(tx, session_id, sha256)]
    lost = len(sources) - len(kept)
    if newest(tx) != after or lost >= SHARED_BY - 1:
        return None
    version = after + 1
    tx.execute(
        "INSERT INTO archive_dictionaries (tenant, version, sha256, size, served_bytes, lost,"
        " retired, created_at, body) VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?)",
        (tx.tenant, version, _sha256(body), len(body), served, lost, now, body),
    )
    for session_id in kept:
        tx.execute(
            "INSERT INTO archive_dictionary_sources (tenant, session_id, version) VALUES (?, ?, ?)",
            (tx.tenant, session_id, version),
        )
    tx.execute(
        "UPDATE archive_dictionaries SET retired = 1 WHERE tenant = ? AND version <= ?",
        (tx.tenant, version - MOST_IN_USE),
    )
    return version


def newest(tx: Tx) -> int:
    """The newest version, retired or not; 0 for none."""
    row = tx.execute(
        "SELECT MAX(version) FROM archive_dictionaries WHERE tenant = ?", (tx.tenant,)
    ).fetchone()
    return 0 if row is None or row[0] is None else int(row[0])


def lose_source(tx: Tx, session_id: str) -> list[int]:
    """Count a session of which something is forgotten.

    Returns:
        Versions that must go now, because too many of their sources have lost something.
    """
    rows = tx.execute(
        "SELECT version FROM archive_dictionary_sources WHERE tenant = ? AND session_id = ?",
        (tx.tenant, session_id),
    ).fetchall()
    tx.execute(
        "DELETE FROM archive_dictionary_sources WHERE tenant = ? AND session_id = ?",
        (tx.tenant, session_id),
    )
    gone: list[int] = []
    for (version,) in rows:
        tx.execute(
            "UPDATE archive_dictionaries SET lost = lost + 1, retired = CASE WHEN lost + 1 >= ?"
            " THEN 1 ELSE retired END WHERE tenant = ? AND version = ?",
            (SHARED_BY - 1, tx.tenant, version),
        )
        lost = tx.execute(
            "SELECT lost FROM archive_dictionaries WHERE tenant = ? AND version = ?",
            (tx.tenant, version),
        ).fetchone()
        if lost is not None and lost[0] >= SHARED_BY:
            gone.append(version)
    return gone


def retired(tx: Tx) -> list[int]:
    """Versions whose chunks are to be packed anew."""
    rows = tx.execute(
        "SELECT version FROM archive_dictionaries WHERE tenant = ? AND retired = 1"
        " ORDER BY version",
        (tx.tenant,),
    )
    return [int(version) for (version,) in rows.fetchall()]


def delete(tx: Tx, version: int) -> None:
    """Delete a dictionary that no chunk names."""
    row = tx.execute(
        "SELECT sha256 FROM archive_dictionaries WHERE tenant = ? AND version = ?",
        (tx.tenant, version),
    ).fetchone()
    with _loading:
        _loaded.pop("" if row is None else row[0], None)
    for table in ("archive_dictionaries", "archive_dictionary_sources"):
        tx.execute(
            f"DELETE FROM {table} WHERE tenant = ? AND version = ?",  # noqa: S608 (names above)
            (tx.tenant, version),
        )


# Preparing a dictionary takes milliseconds. What is kept here is immutable and named by its hash.
_loaded: OrderedDict[str, zstd.ZstdDict] = OrderedDict()
_loading = threading.Lock()


def _load(tx: Tx, version: int, sha256: str) -> Dictionary:
    with _loading:
        known = _loaded.get(sha256)
        if known is not None:
            _loaded.move_to_end(sha256)
            return Dictionary(version, known)
    row = tx.execute(
        "SELECT body FROM archive_dictionaries WHERE tenant = ? AND version = ?",
        (tx.tenant, version),
    ).fetchone()
    body = b"" if row is None else bytes(row[0])
    if _sha256(body) != sha256:
        raise StoreError(
            f"dictionary {version} of the archives is damaged (its checksum differs); chunks that"
            " name it cannot be read until it is restored from a backup"
        )
    trained = zstd.ZstdDict(body)
    with _loading:
        _loaded[sha256] = trained
        while len(_loaded) > _MOST_LOADED:
            _loaded.popitem(last=False)
    return Dictionary(version, trained)


def _holds(tx: Tx, session_id: str, sha256: str) -> bool:
    row = tx.execute(
        "SELECT 1 FROM archives WHERE tenant = ? AND session_id = ? AND chunk = 0 AND sha256 = ?",
        (tx.tenant, session_id, sha256),
    ).fetchone()
    return row is not None


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
