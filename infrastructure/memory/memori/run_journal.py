"""The journal of a run: its events in order, and one compressed row once it is over."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

from backports import zstd

from infrastructure.errors import InputError, StoreError
from infrastructure.jsonvalue import JsonValue
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.jsontext import load_object
from infrastructure.memory.memori.runs import OPEN_STATES
from infrastructure.memory.memori.sql import marks

_LEVEL: Final = 6
# What a folded journal begins with that was compressed with the sample; others have none.
_WITH_SAMPLE: Final = b"\x01"
_SAMPLE: Final = Path(__file__).with_name("journal_sample.jsonl")
_TOGETHER: Final = 100


class LeaseLost(StoreError):
    """Another process works on the run now; nothing was written."""


def append_lines(
    tx: Tx,
    run_id: str,
    lines: Sequence[str],
    first_seq: int | None = None,
    fence: int | None = None,
) -> int:
    """Add events to the journal of a run that is not over.

    Args:
        run_id: the run.
        lines: each an event as JSON text.
        first_seq: the number of the first event, counted from 1; events whose numbers are already
            there are left as they are, so that a repeated call changes nothing. None goes on
            after the last.
        fence: of the lease under which the run is worked on; None writes without one.

    Returns:
        The number of the last of these events in the journal.

    Raises:
        InputError: no such run, or it is over.
        LeaseLost: another process works on the run.
        StoreError: other events have these numbers.
    """
    require_open(tx, run_id, fence)
    first = last_number(tx, run_id) + 1 if first_seq is None else first_seq
    for start in range(0, len(lines), _TOGETHER):
        rows = [
            (tx.tenant, run_id, first + number, lines[number])
            for number in range(start, min(start + _TOGETHER, len(lines)))
        ]
        added = tx.execute(
            f"INSERT INTO run_events (tenant, run_id, seq, body) VALUES {marks(len(rows), 4)}"  # noqa: S608 (marks only)
            " ON CONFLICT DO NOTHING",
            [value for row in rows for value in row],
        )
        if added.rowcount != len(rows):
            _require_same(tx, run_id, first + start, [body for *_, body in rows])
    return first + len(lines) - 1


def _require_same(tx: Tx, run_id: str, first: int, lines: Sequence[str]) -> None:
    """Refuse to lose an event whose number another one has; the same event may come twice."""
    known = _live_lines(tx, run_id, first - 1)[: len(lines)]
    if known != list(lines):
        raise StoreError(
            f"the journal of run {run_id!r} has other events under the numbers from {first} on; "
            "nothing was written"
        )


def require_open(tx: Tx, run_id: str, fence: int | None = None) -> None:
    """Refuse to write for a run that is over, or that another works on.

    Raises:
        InputError: no such run, or it is over.
        LeaseLost: another process works on the run.
    """
    row = tx.execute(
        "SELECT state, fence FROM runs WHERE tenant = ? AND run_id = ?", (tx.tenant, run_id)
    ).fetchone()
    if row is None:
        raise InputError(f"there is no run {run_id!r}")
    state, current = row
    if fence not in (None, current):
        raise LeaseLost(f"another process has taken over run {run_id!r}; this one writes no more")
    if state not in OPEN_STATES:
        raise InputError(f"run {run_id!r} is {state}: its journal is closed")


def last_number(tx: Tx, run_id: str) -> int:
    """The number of the last event in the journal of a run that is not over; 0 without one."""
    row = tx.execute(
        "SELECT COALESCE(MAX(seq), 0) FROM run_events WHERE tenant = ? AND run_id = ?",
        (tx.tenant, run_id),
    ).fetchone()
    return int(row[0]) if row else 0


def journal(tx: Tx, run_id: str, after: int = 0) -> list[dict[str, JsonValue]]:
    """A run's events in order, whether it is over or not; empty for an unknown run.

    Args:
        run_id: the run.
        after: only those whose numbers, counted from 1, are higher.

    Raises:
        StoreError: the folded journal is damaged.
    """
    row = tx.execute(
        "SELECT sha256, body FROM run_journals WHERE tenant = ? AND run_id = ?",
        (tx.tenant, run_id),
    ).fetchone()
    if row is None:
        return [load_object(line) for line in _live_lines(tx, run_id, after)]
    sha256, body = row
    try:
        text = _unpacked(body)
    except zstd.ZstdError as error:
        raise StoreError(f"the journal of run {run_id!r} is damaged: {error}") from error
    if hashlib.sha256(text).hexdigest() != sha256:
        raise StoreError(f"the journal of run {run_id!r} is damaged: its checksum differs")
    return [load_object(line) for line in text.decode().split("\n") if line][after:]


def fold(tx: Tx, run_id: str, lines: Sequence[str] = (), first_seq: int | None = None) -> None:
    """Replace the events of a run by one compressed row.

    Args:
        run_id: the run.
        lines: its last events, which need not be stored one by one before.
        first_seq: the number of the first of them, counted from 1; those that are stored already
            are left out. None: none of them is.
    """
    stored = _live_lines(tx, run_id)
    fresh = lines if first_seq is None else lines[max(0, len(stored) - first_seq + 1) :]
    text = "\n".join([*stored, *fresh]).encode()
    tx.execute(
        "INSERT INTO run_journals (tenant, run_id, sha256, body) VALUES (?, ?, ?, ?)",
        (
            tx.tenant,
            run_id,
            hashlib.sha256(text).hexdigest(),
            _packed(text),
        ),
    )
    if stored:
        tx.execute("DELETE FROM run_events WHERE tenant = ? AND run_id = ?", (tx.tenant, run_id))


def _packed(text: bytes) -> bytes:
    return _WITH_SAMPLE + zstd.compress(text, level=_LEVEL, zstd_dict=_sample())


def _unpacked(body: bytes) -> bytes:
    if body.startswith(_WITH_SAMPLE):
        return zstd.decompress(body[len(_WITH_SAMPLE) :], zstd_dict=_sample())
    return zstd.decompress(body)


@cache
def _sample() -> zstd.ZstdDict:
    """What most journals have in common, so that none of them has to hold it.

    Its text must never change, or the journals compressed with it cannot be read: a better one
    gets a file and a first byte of its own.
    """
    return zstd.ZstdDict(_SAMPLE.read_bytes(), is_raw=True)


def _live_lines(tx: Tx, run_id: str, after: int = 0) -> list[str]:
    rows = tx.execute(
        "SELECT body FROM run_events WHERE tenant = ? AND run_id = ? AND seq > ? ORDER BY seq",
        (tx.tenant, run_id, after),
    )
    return [body for (body,) in rows.fetchall()]
