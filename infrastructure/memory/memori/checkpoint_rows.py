"""The rows of LangGraph's checkpoints: stored, found, listed.

Every function works in the transaction it is given, for its tenant; values come and go serialised.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import orjson

from infrastructure.errors import StoreError
from infrastructure.memory.memori import filter_sql
from infrastructure.memory.memori.checkpoint_bodies import (
    RAW,
    Body,
    Typed,
    pack,
    unpack,
    unpack_chain,
)
from infrastructure.memory.memori.checkpoint_records import (
    After,
    Head,
    NewCheckpoint,
    Place,
    Stored,
    Versioned,
    Wanted,
    Write,
)
from infrastructure.memory.memori.dialect import Dialect, Row, SqlValue, Tx
from infrastructure.memory.memori.filters import AllOf, Comparison
from infrastructure.memory.memori.sql import marks
from infrastructure.memory.memori.values import decode

_TOGETHER: Final = 200
_PAGE_BYTES: Final = 16 * 1024 * 1024


class BaseGone(StoreError):
    """A value that another was to build on is not there any more; store it whole."""


def put(tx: Tx, new: NewCheckpoint) -> None:
    """Store a checkpoint; one of the same id is replaced, a value of the same version stays.

    Raises:
        BaseGone: store it again, with all values whole.
    """
    bases = [(channel, body.base) for (channel, _), body in new.values.items() if body.base]
    if len(there(tx, new.place, bases)) < len(bases):
        raise BaseGone("an earlier value of a channel was deleted meanwhile")
    _insert(
        tx,
        "INSERT INTO checkpoint_values"
        " (tenant, thread_id, ns, channel, version, type, form, base, body)",
        [
            (tx.tenant, *new.place, channel, version, body.type, body.form, body.base, body.data)
            for (channel, version), body in new.values.items()
        ],
        "ON CONFLICT DO NOTHING",
    )
    extra = new.extra or Typed("", b"")
    tx.execute(
        "INSERT INTO checkpoints (tenant, thread_id, ns, checkpoint_id, parent_id, run_id,"
        " metadata, head, extra_type, extra) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (tenant, thread_id, ns, checkpoint_id) DO UPDATE SET"
        " parent_id = excluded.parent_id, run_id = excluded.run_id,"
        " metadata = excluded.metadata, head = excluded.head,"
        " extra_type = excluded.extra_type, extra = excluded.extra",
        (
            *(tx.tenant, *new.place, new.checkpoint_id, new.parent_id, new.run_id, new.metadata),
            *(new.head, extra.type, extra.data),
        ),
    )


def put_writes(
    tx: Tx, place: Place, checkpoint_id: str, task_id: str, task_path: str, writes: Iterable[Write]
) -> None:
    """Store a task's writes; what is there stays, unless the index is below 0."""
    rows = {
        write.idx: (
            *(tx.tenant, *place, checkpoint_id, task_id, write.idx, task_path, write.channel),
            *(write.body.type, write.body.form, write.body.data),
        )
        for write in writes
    }
    statement = (
        "INSERT INTO checkpoint_writes (tenant, thread_id, ns, checkpoint_id, task_id, idx,"
        " task_path, channel, type, form, body)"
    )
    kept = [row for idx, row in rows.items() if idx >= 0]
    _insert(tx, statement, kept, "ON CONFLICT DO NOTHING")
    _insert(
        tx,
        statement,
        [row for idx, row in rows.items() if idx < 0],
        "ON CONFLICT (tenant, thread_id, ns, checkpoint_id, task_id, idx) DO UPDATE SET"
        " task_path = excluded.task_path, channel = excluded.channel, type = excluded.type,"
        " form = excluded.form, body = excluded.body",
    )


def get(tx: Tx, place: Place, checkpoint_id: str | None) -> Stored | None:
    """A checkpoint by its id, or the latest of its place for None.

    Raises:
        StoreError: it is damaged.
    """
    head = find(tx, place, checkpoint_id)
    return None if head is None else _with_values(tx, head, {})


def find(tx: Tx, place: Place, checkpoint_id: str | None) -> Head | None:
    """The head of a checkpoint by its id, or of the latest of its place for None."""
    chosen, params = ("AND checkpoint_id = ?", (checkpoint_id,)) if checkpoint_id else ("", ())
    row = tx.execute(
        f"{_SELECT_HEAD} FROM checkpoints WHERE tenant = ? AND thread_id = ? AND ns = ?"
        f" {chosen} ORDER BY checkpoint_id DESC LIMIT 1",
        (tx.tenant, *place, *params),
    ).fetchone()
    return None if row is None else _head(row)


def heads(tx: Tx, wanted: Wanted) -> Iterator[Head]:
    """All heads that match, newest first."""
    after: After | None = None
    while found := _matching(tx, wanted, after, _TOGETHER):
        yield from found
        last = found[-1]
        after = (last.checkpoint_id, last.place.thread_id, last.place.ns)


def page(tx: Tx, wanted: Wanted, after: After | None, limit: int) -> list[Stored]:
    """At most `limit` checkpoints that match, newest first, after one of the page before.

    There are fewer where they are large; there is none only when none is left.

    Raises:
        StoreError: one of them is damaged.
    """
    found: list[Stored] = []
    known: dict[tuple[Place, Versioned], Typed] = {}
    size = 0
    for head in _matching(tx, wanted, after, limit):
        stored = _with_values(tx, head, known)
        found.append(stored)
        size += sum(len(value.data) for value in stored.values.values())
        if size > _PAGE_BYTES:
            break
    return found


def writes_of(
    tx: Tx, place: Place, checkpoint_id: str, channels: Sequence[str] = ()
) -> list[tuple[str, str, Typed]]:
    """A checkpoint's pending writes as (task, channel, value), in the order of LangGraph's tasks.

    Args:
        channels: only these; empty for all.
    """
    some = f" AND channel IN ({', '.join('?' * len(channels))})" if channels else ""
    rows = tx.execute(
        "SELECT task_id, channel, type, form, body FROM checkpoint_writes"  # noqa: S608 (marks only)
        f" WHERE tenant = ? AND thread_id = ? AND ns = ? AND checkpoint_id = ?{some}"
        " ORDER BY task_path, task_id, idx",
        (tx.tenant, *place, checkpoint_id, *channels),
    )
    return [
        (task_id, channel, Typed(type_, unpack(form, body)))
        for task_id, channel, type_, form, body in rows.fetchall()
    ]


def values_of(tx: Tx, place: Place, wanted: Sequence[Versioned]) -> dict[Versioned, Typed]:
    """The values of channels at these versions, as far as there are any.

    Raises:
        StoreError: one of them is damaged.
    """
    found: dict[Versioned, Typed] = {}
    for start in range(0, len(wanted), _TOGETHER):
        asked = wanted[start : start + _TOGETHER]
        rows = tx.execute(
            _VALUES[tx.dialect].format(asked=marks(len(asked), 2)),
            (
                *(value for pair in asked for value in pair),
                *(tx.tenant, *place, tx.tenant, *place),
            ),
        )
        by_channel: dict[str, dict[str, Body]] = {}
        for channel, version, type_, form, base, body in rows.fetchall():
            by_channel.setdefault(channel, {})[version] = Body(type_, form, body, base)
        for channel, version in asked:
            bodies = by_channel.get(channel, {})
            if version in bodies:
                found[channel, version] = Typed(bodies[version].type, unpack_chain(bodies, version))
    return found


def there(tx: Tx, place: Place, asked: Iterable[Versioned]) -> list[Versioned]:
    """Those of the channels' versions of which a value is stored."""
    return [
        (channel, version)
        for channel, version in asked
        if tx.execute(
            "SELECT 1 FROM checkpoint_values WHERE tenant = ? AND thread_id = ? AND ns = ?"
            " AND channel = ? AND version = ?",
            (tx.tenant, *place, channel, version),
        ).fetchone()
    ]


def packed_head(head: Mapping[str, object]) -> bytes:
    """A head's JSON, compressed; its first byte tells how."""
    body = pack(Typed("", orjson.dumps(head)))
    return bytes([body.form]) + body.data


_SELECT_HEAD: Final = (
    "SELECT thread_id, ns, checkpoint_id, parent_id, metadata, head, extra_type, extra"
)
_STORED: Final = (
    "stored.channel, stored.version, stored.type, stored.form, stored.base, stored.body"
)
_ROW: Final = (
    " checkpoint_values AS stored WHERE stored.tenant = ? AND stored.thread_id = ?"
    " AND stored.ns = ? AND stored.channel = {0}.channel AND stored.version = {0}.{1}"
)
# Each value by the primary key, whatever the planner believes: SQLite keeps the order of a CROSS
# JOIN, and PostgreSQL does not look into a subquery with an OFFSET.
_JOINED: Final[dict[Dialect, str]] = {
    "sqlite": f"SELECT {_STORED} FROM {{0}} CROSS JOIN{_ROW}",  # noqa: S608 (constants)
    "postgres": f"SELECT {_STORED} FROM {{0}} CROSS JOIN LATERAL"  # noqa: S608 (constants)
    f" (SELECT * FROM{_ROW} OFFSET 0) AS stored",
}
_VALUES: Final[dict[Dialect, str]] = {
    dialect: "WITH RECURSIVE asked (channel, version) AS (VALUES {asked}),"  # noqa: S608 (constants)
    " found (channel, version, type, form, base, body) AS ("
    f"{joined.format('asked', 'version')} UNION ALL {joined.format('found', 'base')}"
    ") SELECT channel, version, type, form, base, body FROM found"
    for dialect, joined in _JOINED.items()
}


def _insert(tx: Tx, statement: str, rows: Sequence[tuple[SqlValue, ...]], conflict: str) -> None:
    for start in range(0, len(rows), _TOGETHER):
        some = rows[start : start + _TOGETHER]
        tx.execute(
            f"{statement} VALUES {marks(len(some), len(some[0]))} {conflict}",
            [value for row in some for value in row],
        )


def _matching(tx: Tx, wanted: Wanted, after: After | None, limit: int) -> list[Head]:
    conditions = ["tenant = ?"]
    params: list[SqlValue] = [tx.tenant]
    for condition, value in (
        ("thread_id = ?", wanted.thread_id),
        ("ns = ?", wanted.ns),
        ("checkpoint_id = ?", wanted.checkpoint_id),
        ("checkpoint_id < ?", wanted.before),
    ):
        if value is not None:
            conditions.append(condition)
            params.append(value)
    if after is not None:
        conditions.append("(checkpoint_id, thread_id, ns) < (?, ?, ?)")
        params += after
    asked = AllOf(tuple(Comparison((key,), "$eq", value) for key, value in wanted.metadata.items()))
    filtered = filter_sql.where(asked, tx.dialect)  # it is written for a column `items.value`
    rows = tx.execute(
        f"{_SELECT_HEAD} FROM (SELECT *, metadata AS value FROM checkpoints"  # noqa: S608 (constant text)
        f" WHERE {' AND '.join(conditions)}) AS items WHERE {filtered.text}"
        " ORDER BY checkpoint_id DESC, thread_id DESC, ns DESC LIMIT ?",
        (*params, *filtered.params, limit),
    )
    return [_head(row) for row in rows.fetchall()]


def _with_values(tx: Tx, head: Head, known: dict[tuple[Place, Versioned], Typed]) -> Stored:
    """The checkpoint with its values; those that the caller knows are not read again."""
    place, versions = head.place, list(head.versions.items())
    unknown = [pair for pair in versions if (place, pair) not in known]
    for pair, value in values_of(tx, place, unknown).items():
        known[place, pair] = value
    values = {pair[0]: known[place, pair] for pair in versions if (place, pair) in known}
    return Stored(head, values, writes_of(tx, place, head.checkpoint_id))


def _head(row: Row) -> Head:
    thread_id, ns, checkpoint_id, parent_id, metadata, head, extra_type, extra = row
    packed = bytes(head)
    return Head(
        Place(thread_id, ns),
        checkpoint_id,
        parent_id,
        decode(metadata),
        decode(unpack(packed[0] if packed else RAW, packed[1:])),
        Typed(extra_type, extra) if extra_type else None,
    )
