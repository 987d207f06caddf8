"""Namespaced items: the rows behind the store, as plain functions of a transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

from infrastructure.errors import StoreError, VersionConflict
from infrastructure.memory.memori import segments
from infrastructure.memory.memori.dialect import Insertion, Row, SqlValue, Tx
from infrastructure.memory.memori.provenance import UNKNOWN, Provenance
from infrastructure.memory.memori.sql import Sql, join
from infrastructure.memory.memori.values import InvalidItem, check_text, decode, encode

Namespace = tuple[str, ...]

MAX_KEY_BYTES: Final = 1_000
"""Of a key, and of a namespace with a period after each label: what an index row holds safely."""
_NAMESPACES: Final = 4_096
_LEAST_IDS: Final = 10
_MOST_IDS: Final = 100
WRITE_ID_US: Final = 7 * 86_400_000_000
"""How long the id of a write is remembered: a retry after that would be a new write."""
ABSENT: Final = 0
"""The expected version of an item that must not exist."""

COLUMNS: Final = (
    "items.id, items.namespace, items.key, items.value, items.created_at, items.updated_at,"
    " items.ttl, items.expires_at, items.source, items.run_id, items.verified"
)


_INSERT: Final = (
    "INSERT INTO items (tenant, namespace, key, value, created_at, updated_at, ttl, expires_at,"
    " paths, source, run_id, verified) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_NEW: Final = f"{_INSERT} ON CONFLICT DO NOTHING"


@dataclass(frozen=True, slots=True)
class StoredItem:
    """One stored item.

    Fields:
        id: its place in the order of all writes, and its version: every put gives a larger one.
        created_at, updated_at: microseconds since the epoch.
        ttl: microseconds that the item lives after a put or a refreshing read; None for ever.
        expires_at: microseconds since the epoch; None for never.
    """

    id: int
    namespace: Namespace
    key: str
    value: dict[str, Any]
    created_at: int
    updated_at: int
    ttl: int | None
    expires_at: int | None
    provenance: Provenance


class Draft(NamedTuple):
    """What a put stores.

    Fields:
        value: JSON text.
        ttl: microseconds; None for ever.
        paths: JSON list of the paths whose texts are indexed; None keeps it out of the index.
        expected: the version that the item must have; ABSENT for none, None for any.
        write_id: the caller's id of this write; storing it twice stores it once.
    """

    namespace: Namespace
    key: str
    value: str
    ttl: int | None = None
    paths: str | None = None
    provenance: Provenance = UNKNOWN
    expected: int | None = None
    write_id: str | None = None


@lru_cache(maxsize=_NAMESPACES)
def encode_namespace(namespace: Namespace) -> str:
    """Labels, each ended by a period, which no label contains: a prefix is then a range of text."""
    return "".join(label + "." for label in namespace)


@lru_cache(maxsize=_NAMESPACES)
def decode_namespace(text: str) -> Namespace:
    """The labels that `encode_namespace` joined."""
    return tuple(text.split(".")[:-1])


def scope(tx: Tx, prefix: Namespace, condition: Sql, unexpired_at: int | None) -> Sql:
    """The tenant's items under a namespace that meet a condition.

    Args:
        unexpired_at: leaves out what had expired by then (microseconds); None keeps all.
    """
    parts = [Sql("items.tenant = ?", (tx.tenant,))]
    start = encode_namespace(prefix)
    if start:
        # '/' is the character after '.', so this range is every namespace that begins so.
        parts.append(Sql("items.namespace >= ? AND items.namespace < ?", (start, start[:-1] + "/")))
    if unexpired_at is not None:
        parts.append(Sql("(items.expires_at IS NULL OR items.expires_at > ?)", (unexpired_at,)))
    parts.append(condition)
    return join(" AND ", parts)


def get(tx: Tx, namespace: Namespace, key: str, unexpired_at: int | None) -> StoredItem | None:
    """The item, or None; an item that expired by `unexpired_at` (microseconds) counts as gone."""
    row = tx.execute(
        f"SELECT {COLUMNS} FROM items WHERE tenant = ? AND namespace = ? AND key = ?",  # noqa: S608 - fixed column names
        (tx.tenant, encode_namespace(namespace), key),
    ).fetchone()
    if row is None:
        return None
    item = item_of(row)
    return None if _expired(item.expires_at, unexpired_at) else item


def put(tx: Tx, draft: Draft, now: int) -> int:
    """Store a value under its key; an update keeps the time of creation.

    An item that has expired counts as gone, whether or not it was swept.

    Returns:
        The version of what is stored; that of the first time when `write_id` was stored before.

    Raises:
        VersionConflict: the item is not of the expected version; nothing was stored.
        InvalidItem: the write id was given to another write.
    """
    if draft.write_id is not None:
        purge_write_ids(tx, now - WRITE_ID_US)
        stored = tx.execute(
            "SELECT version, digest FROM applied_writes WHERE tenant = ? AND write_id = ?",
            (tx.tenant, draft.write_id),
        ).fetchone()
        if stored is not None:
            return _same_write(draft, *stored)
    if draft.expected is None:
        # Most keys are new: then this one statement is all.
        new = _insert(tx, draft, now, now, statement=_INSERT_NEW)
        if new is not None:
            return _remember(tx, draft, new, now)
    old = _remove(tx, draft.namespace, draft.key)
    found = None if old is None or _expired(old.expires_at, now) else old
    if draft.expected is not None:
        _check_version(draft, ABSENT if found is None else found.id)
    version = _insert(tx, draft, now if found is None else found.created_at, now)
    return _remember(tx, draft, version, now)


def plain_put(draft: Draft, now: int) -> Insertion:
    """A put without conditions as a write: of a new key, one insertion among others."""

    def otherwise(tx: Tx) -> int:
        return put(tx, draft, now)

    return Insertion(_INSERT_NEW, _values(draft, now, now, now), otherwise)


def delete(
    tx: Tx,
    namespace: Namespace,
    key: str,
    now: int,
    expected: int | None = None,
    undo_us: int = 0,
) -> bool:
    """Delete the item; False when there was none.

    Args:
        undo_us: how long `undelete` can bring it back, in microseconds.

    Raises:
        VersionConflict: the item is not of the expected version; nothing was deleted.
    """
    place = (tx.tenant, encode_namespace(namespace), key)
    row = tx.execute(
        "SELECT id FROM items WHERE tenant = ? AND namespace = ? AND key = ?"
        " AND (expires_at IS NULL OR expires_at > ?)",
        (*place, now),
    ).fetchone()
    if expected is not None:
        _check_version(Draft(namespace, key, "", expected=expected), row[0] if row else ABSENT)
    if row is None:  # what an earlier delete took can still be brought back
        _remove(tx, namespace, key)
        return False
    tx.execute("DELETE FROM deleted_items WHERE tenant = ? AND namespace = ? AND key = ?", place)
    if undo_us > 0:
        tx.execute(
            f"INSERT INTO deleted_items ({_KEPT}, kept_until)"  # noqa: S608 - fixed column names
            f" SELECT {_KEPT}, CAST(? AS BIGINT) FROM items"
            " WHERE tenant = ? AND namespace = ? AND key = ?",
            (now + undo_us, *place),
        )
    _remove(tx, namespace, key)
    return True


def undelete(tx: Tx, namespace: Namespace, key: str, now: int) -> int | None:
    """Bring back what the last delete of a key took; its life, if it has one, begins anew.

    Returns:
        Its new version; None when nothing is kept.

    Raises:
        VersionConflict: the key holds a newer value.
    """
    place = (tx.tenant, encode_namespace(namespace), key)
    row = tx.execute(
        "SELECT value, created_at, updated_at, ttl, paths, source, run_id, verified"
        " FROM deleted_items WHERE tenant = ? AND namespace = ? AND key = ? AND kept_until > ?",
        (*place, now),
    ).fetchone()
    if row is None:
        return None
    value, created_at, updated_at, ttl, paths, source, run_id, verified = row
    draft = Draft(
        namespace, key, value, ttl, paths, _provenance(source, run_id, verified), expected=ABSENT
    )
    live = get(tx, namespace, key, now)
    _check_version(draft, live.id if live else ABSENT)
    _remove(tx, namespace, key)
    tx.execute("DELETE FROM deleted_items WHERE tenant = ? AND namespace = ? AND key = ?", place)
    return _insert(tx, draft, created_at, updated_at, lives_from=now)


def page(tx: Tx, within: Sql, order: Sql, limit: int, offset: int) -> list[StoredItem]:
    """At most `limit` items of a scope in an order, after `offset` others."""
    rows = tx.execute(
        f"SELECT {COLUMNS} FROM items WHERE {within.text} ORDER BY {order.text} LIMIT ? OFFSET ?",  # noqa: S608 - text made of constants
        (*within.params, *order.params, limit, offset),
    )
    return [item_of(row) for row in rows]


def ids(tx: Tx, within: Sql) -> list[int]:
    """The versions of all items of a scope, ascending."""
    rows = tx.execute(
        f"SELECT items.id FROM items WHERE {within.text} ORDER BY items.id",  # noqa: S608 - text made of constants
        within.params,
    )
    return [version for (version,) in rows]


def by_ids(tx: Tx, versions: Sequence[int], within: Sql) -> dict[int, StoredItem]:
    """Those of the items with these versions that are in the scope."""
    found: dict[int, StoredItem] = {}
    for start in range(0, len(versions), _MOST_IDS):
        some = list(versions[start : start + _MOST_IDS])
        # Few lengths of one statement, so that the database knows them all.
        asked = some + some[-1:] * (_LEAST_IDS - len(some))
        if len(asked) > _LEAST_IDS:
            asked += asked[-1:] * (_MOST_IDS - len(asked))
        marks = ", ".join("?" * len(asked))
        rows = tx.execute(
            f"SELECT {COLUMNS} FROM items WHERE items.id IN ({marks}) AND {within.text}",  # noqa: S608 - text made of constants
            (*asked, *within.params),
        )
        for row in rows.fetchall():
            item = item_of(row)
            found[item.id] = item
    return found


def namespaces(tx: Tx, unexpired_at: int | None) -> list[Namespace]:
    """The distinct namespaces that hold items."""
    within = scope(tx, (), Sql("1 = 1"), unexpired_at)
    rows = tx.execute(f"SELECT DISTINCT namespace FROM items WHERE {within.text}", within.params)  # noqa: S608 - text made of constants
    return [decode_namespace(text) for (text,) in rows]


def refresh(tx: Tx, versions: Iterable[int], now: int) -> None:
    """Begin the life of these items anew."""
    for version in versions:
        tx.execute(
            "UPDATE items SET expires_at = ? + ttl WHERE tenant = ? AND id = ? AND ttl IS NOT NULL",
            (now, tx.tenant, version),
        )


def sweep(tx: Tx, now: int) -> int:
    """Delete the tenant's expired items, and what was kept of deleted ones for long enough.

    Returns:
        How many had expired.
    """
    purge_deleted(tx, now)
    return remove_where(tx, Sql("expires_at <= ?", (now,)))


def purge_deleted(tx: Tx, now: int) -> None:
    """Let go of deleted items that were kept for long enough by now (microseconds)."""
    tx.execute("DELETE FROM deleted_items WHERE tenant = ? AND kept_until <= ?", (tx.tenant, now))


def purge_write_ids(tx: Tx, until: int) -> None:
    """Forget the ids of writes made up to a time (microseconds)."""
    tx.execute(
        "DELETE FROM applied_writes WHERE tenant = ? AND applied_at <= ?", (tx.tenant, until)
    )


def remove_where(tx: Tx, condition: Sql) -> int:
    """Delete the tenant's items that meet a condition, for good; returns how many."""
    rows = tx.execute(
        f"DELETE FROM items WHERE tenant = ? AND {condition.text} RETURNING id, paths",  # noqa: S608 - text made of constants
        (tx.tenant, *condition.params),
    ).fetchall()
    for version, paths in rows:
        if paths is not None:
            segments.bury(tx, version)
    return len(rows)


def item_of(row: Row) -> StoredItem:
    """From a row of COLUMNS."""
    (version, namespace, key, value, created_at, updated_at, ttl, expires_at,
     source, run_id, verified) = row  # fmt: skip
    return StoredItem(
        version, decode_namespace(namespace), key, _decoded(value, namespace, key), created_at,
        updated_at, ttl, expires_at, _provenance(source, run_id, verified),
    )  # fmt: skip


def _decoded(value: str, namespace: str, key: str) -> dict[str, Any]:
    try:
        return decode(value)
    except StoreError as error:
        raise StoreError(
            f"item {key!r:.200} in namespace {decode_namespace(namespace)!r:.200}: {error}"
        ) from error


_KEPT: Final = (
    "tenant, namespace, key, value, created_at, updated_at, ttl, paths, source, run_id, verified"
)


@dataclass(frozen=True, slots=True)
class _Removed:
    id: int
    created_at: int
    expires_at: int | None


def _remove(tx: Tx, namespace: Namespace, key: str) -> _Removed | None:
    row = tx.execute(
        "DELETE FROM items WHERE tenant = ? AND namespace = ? AND key = ?"
        " RETURNING id, created_at, expires_at, paths",
        (tx.tenant, encode_namespace(namespace), key),
    ).fetchone()
    if row is None:
        return None
    version, created_at, expires_at, paths = row
    if paths is not None:
        segments.bury(tx, version)
    return _Removed(version, created_at, expires_at)


def _remember(tx: Tx, draft: Draft, version: int | None, now: int) -> int:
    """Note the id of a write beside the version that it made, which is returned."""
    assert version is not None
    if draft.write_id is not None:
        tx.execute(
            "INSERT INTO applied_writes (tenant, write_id, version, applied_at, digest)"
            " VALUES (?, ?, ?, ?, ?)",
            (tx.tenant, draft.write_id, version, now, _digest(draft)),
        )
    return version


def _digest(draft: Draft) -> str:
    """What tells one write from another."""
    told = encode([list(draft.namespace), draft.key, draft.value, draft.paths])
    return hashlib.sha256(told.encode()).hexdigest()


def _same_write(draft: Draft, version: int, digest: str) -> int:
    """The version that a write made before, if it is the same one."""
    if digest and digest != _digest(draft):
        raise InvalidItem(
            f"write_id {draft.write_id!r:.80} was given to another write within a week; give every "
            "write an id of its own"
        )
    return version


def _insert(
    tx: Tx,
    draft: Draft,
    created_at: int,
    updated_at: int,
    lives_from: int | None = None,
    statement: str = _INSERT,
) -> int | None:
    """Insert a row; its id, or None where the statement leaves out a key that is taken."""
    row = tx.execute(
        f"{statement} RETURNING id",
        (tx.tenant, *_values(draft, created_at, updated_at, lives_from or updated_at)),
    ).fetchone()
    return None if row is None else int(row[0])


def _values(
    draft: Draft, created_at: int, updated_at: int, lives_from: int
) -> tuple[SqlValue, ...]:
    provenance, ttl = draft.provenance, draft.ttl
    return (
        encode_namespace(draft.namespace), draft.key, draft.value, created_at, updated_at,
        ttl, None if ttl is None else lives_from + ttl, draft.paths, provenance.source,
        provenance.run_id, None if provenance.verified is None else int(provenance.verified),
    )  # fmt: skip


def _check_version(draft: Draft, found: int) -> None:
    if draft.expected == found:
        return
    place = f"item {draft.key!r:.200} in namespace {draft.namespace!r:.200}"
    state = f"has version {found}" if found != ABSENT else "does not exist"
    wanted = f"version {draft.expected}" if draft.expected != ABSENT else "no such item"
    raise VersionConflict(f"{place} {state}, where {wanted} was expected; read it again")


def check_key(key: object) -> str:
    """The key itself, when both databases can index it.

    Raises:
        InvalidItem: not a text, or longer than MAX_KEY_BYTES.
    """
    text = check_text(key, "key")
    if not text.isascii() or len(text) > MAX_KEY_BYTES:
        _refuse_long(text)
    return text


def _refuse_long(text: str) -> None:
    if len(text.encode()) > MAX_KEY_BYTES:
        raise InvalidItem(f"key is longer than {MAX_KEY_BYTES} bytes; use a hash of it")


def _expired(expires_at: int | None, at: int | None) -> bool:
    return expires_at is not None and at is not None and expires_at <= at


def _provenance(source: str, run_id: str, verified: int | None) -> Provenance:
    if not source and not run_id and verified is None:
        return UNKNOWN
    return Provenance(source, run_id, None if verified is None else bool(verified))
