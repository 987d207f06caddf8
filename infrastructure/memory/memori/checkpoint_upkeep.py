"""Copies, prunes and deletes LangGraph's threads; values that no checkpoint needs go with it.

Whatever is deleted, a value stays as long as a checkpoint has its version, or another value that
stays builds on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from infrastructure.memory.memori.checkpoint_records import Head, Place, Versioned, Wanted
from infrastructure.memory.memori.checkpoint_rows import find, heads, there
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.sql import marks

_TABLES: Final = ("checkpoints", "checkpoint_values", "checkpoint_writes")
_TOGETHER: Final = 200
_DELTA_COUNTERS: Final = "counters_since_delta_snapshot"
_COLUMNS: Final = {
    "checkpoints": "ns, checkpoint_id, parent_id, run_id, metadata, head, extra_type, extra",
    "checkpoint_values": "ns, channel, version, type, form, base, body",
    "checkpoint_writes": "ns, checkpoint_id, task_id, idx, task_path, channel, type, form, body",
}


def delete_thread(tx: Tx, thread_id: str) -> None:
    """Delete all that is stored of a thread."""
    for table in _TABLES:
        tx.execute(
            f"DELETE FROM {table} WHERE tenant = ? AND thread_id = ?",  # noqa: S608 (names above)
            (tx.tenant, thread_id),
        )


def copy_thread(tx: Tx, source: str, target: str) -> None:
    """Copy all that is stored of a thread; what the target has already stays as it is."""
    if source == target:
        return
    for table in _TABLES:
        columns = _COLUMNS[table]
        tx.execute(
            f"INSERT INTO {table} (tenant, thread_id, {columns})"  # noqa: S608 (names above)
            f" SELECT tenant, CAST(? AS TEXT), {columns} FROM {table}"
            " WHERE tenant = ? AND thread_id = ? ON CONFLICT DO NOTHING",
            (target, tx.tenant, source),
        )


def threads_of_run(tx: Tx, run_id: str) -> list[str]:
    """The threads in which a run made checkpoints."""
    rows = tx.execute(
        "SELECT DISTINCT thread_id FROM checkpoints WHERE tenant = ? AND run_id = ?"
        " AND run_id <> ''",
        (tx.tenant, run_id),
    )
    return [thread_id for (thread_id,) in rows.fetchall()]


def delete_run(tx: Tx, thread_id: str, run_id: str) -> None:
    """Delete the checkpoints that a run made in a thread, with their writes."""
    rows = tx.execute(
        "SELECT ns, checkpoint_id FROM checkpoints"
        " WHERE tenant = ? AND run_id = ? AND run_id <> '' AND thread_id = ?",
        (tx.tenant, run_id, thread_id),
    ).fetchall()
    gone: dict[Place, list[str]] = {}
    for ns, checkpoint_id in rows:
        gone.setdefault(Place(thread_id, ns), []).append(checkpoint_id)
    for place, ids in gone.items():
        _delete_checkpoints(tx, place, ids)
        _delete_unused_values(tx, place)


def keep_latest(tx: Tx, thread_id: str) -> None:
    """Delete all but the latest checkpoint of each namespace of a thread, and what that needs.

    A delta channel's value is made of the writes since its last snapshot: those ancestors stay.
    """
    rows = tx.execute(
        "SELECT DISTINCT ns FROM checkpoints WHERE tenant = ? AND thread_id = ?",
        (tx.tenant, thread_id),
    )
    for (ns,) in rows.fetchall():
        place = Place(thread_id, ns)
        latest = find(tx, place, None)
        assert latest is not None, "a namespace that was found in this transaction"
        kept = {latest.checkpoint_id, *_needed_ancestors(tx, latest)}
        _delete_checkpoints(tx, place, [each for each in _ids(tx, place) if each not in kept])
        _delete_unused_values(tx, place)


def ancestors(tx: Tx, head: Head) -> Iterator[Head]:
    """The checkpoint's parent, its parent, and so on, as far as they are there; each once."""
    seen = {head.checkpoint_id}
    while head.parent_id and head.parent_id not in seen:
        parent = find(tx, head.place, head.parent_id)
        if parent is None:
            return
        seen.add(parent.checkpoint_id)
        yield parent
        head = parent


def stored_channels(tx: Tx, head: Head, channels: Iterable[str]) -> list[str]:
    """Those of the channels whose value is stored at the checkpoint's own version of them."""
    versions = head.versions
    asked = [(channel, versions[channel]) for channel in channels if channel in versions]
    return [channel for channel, _ in there(tx, head.place, asked)]


def _needed_ancestors(tx: Tx, latest: Head) -> list[str]:
    counted = latest.metadata.get(_DELTA_COUNTERS)
    channels = set(counted) if isinstance(counted, dict) else set[str]()
    missing = channels - set(stored_channels(tx, latest, channels))
    needed: list[str] = []
    for ancestor in ancestors(tx, latest):
        if not missing:
            break
        needed.append(ancestor.checkpoint_id)
        missing -= set(stored_channels(tx, ancestor, missing))
    return needed


def _ids(tx: Tx, place: Place) -> list[str]:
    rows = tx.execute(
        "SELECT checkpoint_id FROM checkpoints WHERE tenant = ? AND thread_id = ? AND ns = ?",
        (tx.tenant, *place),
    )
    return [checkpoint_id for (checkpoint_id,) in rows.fetchall()]


def _delete_checkpoints(tx: Tx, place: Place, ids: list[str]) -> None:
    for table in ("checkpoints", "checkpoint_writes"):
        for start in range(0, len(ids), _TOGETHER):
            some = ids[start : start + _TOGETHER]
            tx.execute(
                f"DELETE FROM {table} WHERE tenant = ? AND thread_id = ? AND ns = ?"  # noqa: S608 (names above)
                f" AND checkpoint_id IN ({', '.join('?' * len(some))})",
                (tx.tenant, *place, *some),
            )


def _delete_unused_values(tx: Tx, place: Place) -> None:
    rows = tx.execute(
        "SELECT channel, version, base FROM checkpoint_values"
        " WHERE tenant = ? AND thread_id = ? AND ns = ?",
        (tx.tenant, *place),
    ).fetchall()
    bases: dict[Versioned, str] = {(channel, version): base for channel, version, base in rows}
    used: set[Versioned] = set()
    for head in heads(tx, Wanted(place.thread_id, place.ns)):
        for channel, version in head.versions.items():
            while version and (channel, version) in bases and (channel, version) not in used:
                used.add((channel, version))
                version = bases[channel, version]
    unused = [pair for pair in bases if pair not in used]
    for start in range(0, len(unused), _TOGETHER):
        some = unused[start : start + _TOGETHER]
        tx.execute(
            "DELETE FROM checkpoint_values WHERE tenant = ? AND thread_id = ? AND ns = ?"  # noqa: S608 (marks only)
            f" AND (channel, version) IN (VALUES {marks(len(some), 2)})",
            (tx.tenant, *place, *(value for pair in some for value in pair)),
        )
