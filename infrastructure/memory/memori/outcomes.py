"""What each agent, model and effort achieved at each kind of task, verified attempt by attempt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from typing import Any, Final, TypeVar

from infrastructure.memory.memori.counting import (
    MAX_SECONDS,
    MAX_USD,
    checked_amount,
    to_micros,
    to_nanos,
)
from infrastructure.memory.memori.dialect import Row, SqlValue, Tx
from infrastructure.memory.memori.latest_attempts import (
    KEPT,
    Attempted,
    LatestAttempts,
    extended,
    last_at,
    pack,
    unpack,
)
from infrastructure.memory.memori.names import checked_label, checked_name
from infrastructure.memory.memori.sql import marks

_KEY: Final = "task_type, operation, agent, model, effort"
_Key = tuple[str, str, str, str, str]
_TOGETHER: Final = 50
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OutcomeRecord:
    """One attempt at one task.

    Attributes:
        task_type, operation: of the task, not of the whole request.
        agent, model, effort: who did it; an empty model means none was used.
        success: whether its acceptance checks passed.
        seconds: duration of the attempt.
        usd: its cost in US dollars.
        task_id: the task within its plan; attempts at one task share it.

    Raises:
        InputError: a name that is too long, or an amount that cannot be.
    """

    task_type: str
    operation: str
    agent: str
    model: str
    effort: str
    success: bool
    seconds: float = 0.0
    usd: float = 0.0
    task_id: str = ""

    def __post_init__(self) -> None:
        for name in ("task_type", "operation", "agent", "model", "effort", "task_id"):
            checked_label(getattr(self, name), f"an outcome's {name}")
        checked_amount("an outcome's seconds", self.seconds, MAX_SECONDS)
        checked_amount("an outcome's usd", self.usd, MAX_USD)


@dataclass(frozen=True, slots=True)
class OutcomeCount:
    """All attempts of one agent, model and effort at one kind of task.

    Attributes:
        successes, failures: verified attempts.
        seconds, usd: totals over all attempts, failed ones included.
        last_used: seconds since the epoch.
        packed: the latest attempts as they are stored; `latest` reads them.
    """

    task_type: str
    operation: str
    agent: str
    model: str
    effort: str
    successes: int
    failures: int
    seconds: float
    usd: float
    last_used: float
    packed: bytes = b""

    @property
    def latest(self) -> LatestAttempts:
        """The latest attempts among those counted, oldest first."""
        return unpack(self.packed)


@dataclass(frozen=True, slots=True)
class _Attempt:
    number: int
    key: _Key
    task_id: str
    verified: bool
    counted: bool
    micros: int
    nanos: int
    created_at: float


def record_outcomes(
    tx: Tx, run_id: str, outcomes: Sequence[OutcomeRecord], created_at: float
) -> None:
    """Count a run's attempts, in the order in which they were made; once per run.

    Raises:
        InputError: the run's id is empty or too long.
    """
    checked_name(run_id, "a run's run_id")
    if not outcomes or _is_counted(tx, run_id):
        return
    attempts = [_attempt(number, outcome, created_at) for number, outcome in enumerate(outcomes)]
    for some in _in_parts(attempts):
        _insert(tx, run_id, some)
    by_key = attrgetter("key")
    groups = [(key, list(made)) for key, made in groupby(sorted(attempts, key=by_key), by_key)]
    for some in _in_parts(groups):
        _count(tx, some)


def outcome_counts(tx: Tx, task_types: Sequence[str] | None = None) -> list[OutcomeCount]:
    """The counters of these task types, or of all, in the order of their names."""
    select = (
        f"SELECT {_KEY}, successes, failures, duration_us, cost_nusd, last_used, latest"  # noqa: S608 (constant column names)
        " FROM outcome_counts WHERE tenant = ?"
    )
    order = f" ORDER BY {_KEY}"
    if task_types is None:
        rows = tx.execute(select + order, (tx.tenant,))
        return [_outcome_count(row) for row in rows.fetchall()]
    counts: list[OutcomeCount] = []
    for task_type in sorted(set(task_types)):
        rows = tx.execute(f"{select} AND task_type = ?{order}", (tx.tenant, task_type))
        counts.extend(_outcome_count(row) for row in rows.fetchall())
    return counts


def correct_outcomes(tx: Tx, run_id: str, *, recorded: bool, success: bool) -> None:
    """Count a run's attempts as a user's word about the run implies.

    A success called wrong counts against every attempt that had passed, since nobody knows which
    check was fooled. A failure called right counts the last attempt at each task as passed. A run
    called what it was recorded as counts as its checks found.

    Args:
        recorded: the success that was recorded when the run ended.
        success: the success that counts now.
    """
    attempts = _attempts(tx, run_id)
    changed: set[_Key] = set()
    last = {attempt.task_id: attempt.number for attempt in attempts}
    for attempt in attempts:
        if success == recorded:
            counted = attempt.verified
        elif success:
            counted = attempt.verified or attempt.number == last[attempt.task_id]
        else:
            counted = False
        if counted != attempt.counted:
            _recount(tx, run_id, attempt, counted)
            changed.add(attempt.key)
    for key in sorted(changed):
        _keep_latest(tx, key, _read_latest(tx, tx.tenant, key))


def forget_outcomes(tx: Tx, run_id: str) -> None:
    """Take back all that a run added."""
    attempts = _attempts(tx, run_id)
    tx.execute("DELETE FROM outcomes WHERE tenant = ? AND run_id = ?", (tx.tenant, run_id))
    for attempt in attempts:
        _subtract(tx, attempt)
    for key in sorted({attempt.key for attempt in attempts}):
        _keep_latest(tx, key, _read_latest(tx, tx.tenant, key))


def fill_latest(tx: Tx) -> None:
    """Keep the latest attempts of every tenant beside its counters, which had none so far."""
    rows = tx.execute(f"SELECT tenant, {_KEY} FROM outcome_counts").fetchall()  # noqa: S608 (constant column names)
    for row in rows:
        packed = _read_latest(tx, row[0], (row[1], row[2], row[3], row[4], row[5]))
        tx.execute(f"UPDATE outcome_counts SET latest = ? WHERE {_WHERE_KEY}", (packed, *row))  # noqa: S608 (constant text)


def _attempt(number: int, outcome: OutcomeRecord, created_at: float) -> _Attempt:
    return _Attempt(
        number=number,
        key=(outcome.task_type, outcome.operation, outcome.agent, outcome.model, outcome.effort),
        task_id=outcome.task_id,
        verified=outcome.success,
        counted=outcome.success,
        micros=to_micros(outcome.seconds),
        nanos=to_nanos(outcome.usd),
        created_at=created_at,
    )


def _is_counted(tx: Tx, run_id: str) -> bool:
    row = tx.execute(
        "SELECT 1 FROM outcomes WHERE tenant = ? AND run_id = ? LIMIT 1", (tx.tenant, run_id)
    ).fetchone()
    return row is not None


def _in_parts(listed: Sequence[T]) -> Iterator[Sequence[T]]:
    """What is written, as far as one statement holds it."""
    return (listed[n : n + _TOGETHER] for n in range(0, len(listed), _TOGETHER))


def _insert(tx: Tx, run_id: str, attempts: Sequence[_Attempt]) -> None:
    rows = [
        (
            *(tx.tenant, run_id, one.number, one.task_id, *one.key),
            *(int(one.verified), int(one.counted), one.micros, one.nanos, one.created_at),
        )
        for one in attempts
    ]
    tx.execute(
        f"INSERT INTO outcomes (tenant, run_id, attempt, task_id, {_KEY}, verified, counted,"  # noqa: S608 (constant column names)
        f" duration_us, cost_nusd, created_at) VALUES {marks(len(rows), 14)}",
        [value for row in rows for value in row],
    )


def _count(tx: Tx, groups: Sequence[tuple[_Key, Sequence[_Attempt]]]) -> None:
    """Count attempts by their keys, each key once."""
    known = _known_latest(tx, [key for key, _ in groups])
    rows: list[tuple[SqlValue, ...]] = []
    for key, made in groups:
        successes = sum(attempt.counted for attempt in made)
        latest = _with_latest(tx, key, known.get(key, b""), made)
        rows.append(
            (
                *(tx.tenant, *key, successes, len(made) - successes),
                sum(attempt.micros for attempt in made),
                sum(attempt.nanos for attempt in made),
                *(made[-1].created_at, latest),
            )
        )
    tx.execute(
        f"INSERT INTO outcome_counts (tenant, {_KEY}, successes, failures, duration_us,"  # noqa: S608 (constant column names)
        f" cost_nusd, last_used, latest) VALUES {marks(len(rows), 12)}"
        f" ON CONFLICT (tenant, {_KEY}) DO UPDATE SET"
        " successes = outcome_counts.successes + excluded.successes,"
        " failures = outcome_counts.failures + excluded.failures,"
        " duration_us = outcome_counts.duration_us + excluded.duration_us,"
        " cost_nusd = outcome_counts.cost_nusd + excluded.cost_nusd,"
        " last_used = CASE WHEN excluded.last_used > outcome_counts.last_used"
        " THEN excluded.last_used ELSE outcome_counts.last_used END,"
        " latest = excluded.latest",
        [value for row in rows for value in row],
    )


def _known_latest(tx: Tx, keys: Sequence[_Key]) -> dict[_Key, bytes]:
    """The latest attempts beside the counters of these keys, as far as there are any."""
    # A join looks each key up; for a list of keys SQLite would read all the tenant's counters.
    rows = tx.execute(
        f"WITH wanted ({_KEY}) AS (VALUES {marks(len(keys), 5)})"  # noqa: S608 (constant text)
        " SELECT k.task_type, k.operation, k.agent, k.model, k.effort, k.latest"
        " FROM wanted CROSS JOIN outcome_counts AS k WHERE k.tenant = ?"
        " AND k.task_type = wanted.task_type AND k.operation = wanted.operation"
        " AND k.agent = wanted.agent AND k.model = wanted.model AND k.effort = wanted.effort",
        [*(name for key in keys for name in key), tx.tenant],
    )
    return {(row[0], row[1], row[2], row[3], row[4]): bytes(row[5]) for row in rows.fetchall()}


def _with_latest(tx: Tx, key: _Key, known: bytes, made: Sequence[_Attempt]) -> bytes:
    """The latest attempts of a key when these have just been stored among its attempts.

    Args:
        known: the latest before.
    """
    if last_at(known) < made[0].created_at:
        return extended(known, (_latest(a.created_at, a.micros, a.nanos, a.counted) for a in made))
    # A run that ended before others that were stored earlier takes its place among them.
    return _read_latest(tx, tx.tenant, key)


def _read_latest(tx: Tx, tenant: str, key: _Key) -> bytes:
    rows = tx.execute(
        "SELECT created_at, duration_us, cost_nusd, counted FROM outcomes"  # noqa: S608 (constant text)
        f" WHERE {_WHERE_KEY} ORDER BY created_at DESC, run_id DESC, attempt DESC LIMIT ?",
        (tenant, *key, KEPT),
    ).fetchall()
    return pack(_latest(row[0], row[1], row[2], bool(row[3])) for row in reversed(rows))


def _keep_latest(tx: Tx, key: _Key, packed: bytes) -> None:
    tx.execute(
        f"UPDATE outcome_counts SET latest = ? WHERE {_WHERE_KEY}",  # noqa: S608 (constant text)
        (packed, tx.tenant, *key),
    )


def _latest(created_at: float, micros: int, nanos: int, success: bool) -> Attempted:
    return Attempted(created_at, micros / 1e6, nanos / 1e9, success)


_WHERE_KEY: Final = (
    "tenant = ? AND task_type = ? AND operation = ? AND agent = ? AND model = ? AND effort = ?"
)


def _recount(tx: Tx, run_id: str, attempt: _Attempt, counted: bool) -> None:
    tx.execute(
        "UPDATE outcomes SET counted = ? WHERE tenant = ? AND run_id = ? AND attempt = ?",
        (int(counted), tx.tenant, run_id, attempt.number),
    )
    gained = 1 if counted else -1
    tx.execute(
        "UPDATE outcome_counts SET successes = successes + ?, failures = failures - ?"  # noqa: S608 (constant text)
        f" WHERE {_WHERE_KEY}",
        (gained, gained, tx.tenant, *attempt.key),
    )


def _subtract(tx: Tx, attempt: _Attempt) -> None:
    latest = tx.execute(
        f"SELECT MAX(created_at) FROM outcomes WHERE {_WHERE_KEY}",  # noqa: S608 (constant text)
        (tx.tenant, *attempt.key),
    ).fetchone()
    if latest is None or latest[0] is None:
        tx.execute(
            f"DELETE FROM outcome_counts WHERE {_WHERE_KEY}",  # noqa: S608 (constant text)
            (tx.tenant, *attempt.key),
        )
        return
    tx.execute(
        "UPDATE outcome_counts SET successes = successes - ?, failures = failures - ?,"  # noqa: S608 (constant text)
        " duration_us = duration_us - ?, cost_nusd = cost_nusd - ?, last_used = ?"
        f" WHERE {_WHERE_KEY}",
        (
            int(attempt.counted),
            int(not attempt.counted),
            attempt.micros,
            attempt.nanos,
            latest[0],
            tx.tenant,
            *attempt.key,
        ),
    )


def _attempts(tx: Tx, run_id: str) -> list[_Attempt]:
    rows = tx.execute(
        f"SELECT attempt, {_KEY}, task_id, verified, counted, duration_us, cost_nusd, created_at"  # noqa: S608 (constant column names)
        " FROM outcomes WHERE tenant = ? AND run_id = ? ORDER BY attempt",
        (tx.tenant, run_id),
    )
    return [
        _Attempt(
            row[0],
            (row[1], row[2], row[3], row[4], row[5]),
            row[6],
            bool(row[7]),
            bool(row[8]),
            row[9],
            row[10],
            row[11],
        )
        for row in rows.fetchall()
    ]


def _outcome_count(row: Row) -> OutcomeCount:
    return _as_read(*row[:10], bytes(row[10]))


# All counters are read for each request, and few have changed since the one before: those that have
# not are the same objects, which whoever works with them can tell at once.
@lru_cache(maxsize=8192)
def _as_read(*row: Any) -> OutcomeCount:
    return OutcomeCount(
        task_type=row[0],
        operation=row[1],
        agent=row[2],
        model=row[3],
        effort=row[4],
        successes=row[5],
        failures=row[6],
        seconds=row[7] / 1e6,
        usd=row[8] / 1e9,
        last_used=row[9],
        packed=row[10],
    )
