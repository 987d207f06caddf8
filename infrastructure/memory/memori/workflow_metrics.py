"""What was learnt, in figures: read from counters and bounded samples, never by a scan."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from infrastructure.errors import InputError
from infrastructure.memory.memori.aggregates import (
    ALL_SESSIONS,
    ALL_TIME,
    SESSION_TIME,
    WIDTHS,
)
from infrastructure.memory.memori.counting import UNKNOWN, Z95, Measured
from infrastructure.memory.memori.dialect import SqlValue, Tx

SAMPLE: Final = 500
_FAR_FUTURE: Final = 1 << 40


@dataclass(frozen=True, slots=True)
class WorkflowCount:
    """Executions of one task type, with (1), without (0) or with unknown (-1) use of memory."""

    task_type: str
    recalled: int
    successes: int
    failures: int
    duration_us: int
    cost_nusd: int


@dataclass(frozen=True, slots=True)
class Sample:
    """The latest executions of one task type, without and with memory: seconds and US dollars."""

    without: list[tuple[float, float]]
    recalled: list[tuple[float, float]]


def workflow_counts(
    tx: Tx,
    task_type: str | None = None,
    since: float | None = None,
    session_id: str | None = None,
) -> list[WorkflowCount]:
    """Executions counted by task type and use of memory, for every given filter.

    `since` is exact: rows up to the next full minute, then minutes, hours and days. With a session
    it reads that session's executions.

    Raises:
        InputError: `since` is not a number, or the session is empty.
    """
    if session_id == ALL_SESSIONS:
        raise InputError("session_id must not be empty; leave it out for all sessions")
    parts: list[tuple[str, list[SqlValue]]]
    if since is None:
        totals = (ALL_SESSIONS, ALL_TIME) if session_id is None else (session_id, SESSION_TIME)
        parts = [_bucket_part(tx, *totals, 0, _FAR_FUTURE)]
    elif session_id is not None:
        parts = [
            (
                f"{_ROWS} WHERE tenant = ? AND session_id = ? AND created_at >= ?",
                [tx.tenant, session_id, _checked_time(since)],
            )
        ]
    else:
        parts = _since_parts(tx, _checked_time(since))
    if task_type is not None:
        parts = [(f"{sql} AND task_type = ?", [*params, task_type]) for sql, params in parts]
    rows = tx.execute(
        f"SELECT task_type, recalled, {_SUMS}"  # noqa: S608 (constant text)
        f" FROM ({' UNION ALL '.join(sql for sql, _ in parts)}) AS parts"
        " GROUP BY task_type, recalled ORDER BY task_type, recalled",
        [value for _, params in parts for value in params],
    )
    return [WorkflowCount(*row) for row in rows.fetchall()]


def sample(
    tx: Tx, task_type: str, since: float | None = None, session_id: str | None = None
) -> Sample:
    """The latest executions of a task type, at most 500 without and 500 with memory."""
    return Sample(
        without=_latest(tx, task_type, 0, since, session_id),
        recalled=_latest(tx, task_type, 1, since, session_id),
    )


def saved(samples: Sequence[Sample], figure: int) -> Measured:
    """What memory saves a run: the mean without it minus the mean with it, within task types.

    Task types are weighted by their runs with memory, so that an easy type that is always recalled
    does not pass for a saving. The interval is Welch's, by the normal approximation. Types with
    fewer than two runs on either side tell nothing and are left out.

    Args:
        figure: 0 for seconds, 1 for US dollars.
    """
    known = [s for s in samples if len(s.without) > 1 and len(s.recalled) > 1]
    n = sum(len(s.recalled) for s in known)
    if n == 0:
        return UNKNOWN
    value = variance = 0.0
    for part in known:
        share = len(part.recalled) / n
        before, before_variance = _mean([row[figure] for row in part.without])
        after, after_variance = _mean([row[figure] for row in part.recalled])
        value += share * (before - after)
        variance += share * share * (before_variance + after_variance)
    half = Z95 * math.sqrt(variance)
    return Measured(value, n, (value - half, value + half))


_ROWS: Final = (
    "SELECT task_type, recalled, success AS successes, 1 - success AS failures, duration_us,"
    " cost_nusd FROM executions"
)
# PostgreSQL sums 64-bit integers to decimals of any length.
_SUMS: Final = ", ".join(
    f"CAST(SUM({column}) AS BIGINT)"
    for column in ("successes", "failures", "duration_us", "cost_nusd")
)
_COUNTS: Final = (
    "SELECT task_type, recalled, successes, failures, duration_us, cost_nusd FROM workflow_counts"
)


def _since_parts(tx: Tx, since: float) -> list[tuple[str, list[SqlValue]]]:
    minute, hour, day = WIDTHS
    first_minute = _next(since, minute)
    first_hour = _next(first_minute, hour)
    first_day = _next(first_hour, day)
    return [
        (
            f"{_ROWS} WHERE tenant = ? AND created_at >= ? AND created_at < ?",
            [tx.tenant, since, first_minute],
        ),
        _bucket_part(tx, ALL_SESSIONS, minute, first_minute, first_hour),
        _bucket_part(tx, ALL_SESSIONS, hour, first_hour, first_day),
        _bucket_part(tx, ALL_SESSIONS, day, first_day, _FAR_FUTURE),
    ]


def _bucket_part(
    tx: Tx, session_id: str, width: int, start: int, end: int
) -> tuple[str, list[SqlValue]]:
    return (
        f"{_COUNTS} WHERE tenant = ? AND session_id = ? AND width = ? AND start >= ? AND start < ?",
        [tx.tenant, session_id, width, start, end],
    )


def _next(time: float, width: int) -> int:
    return math.ceil(time / width) * width


def _checked_time(since: float) -> float:
    if not math.isfinite(since):
        raise InputError(f"since must be seconds since the epoch, not {since!r}")
    return min(max(since, 0.0), float(_FAR_FUTURE // 2))


def _latest(
    tx: Tx, task_type: str, recalled: int, since: float | None, session_id: str | None
) -> list[tuple[float, float]]:
    select = "SELECT duration_us, cost_nusd FROM executions WHERE tenant = ? AND task_type = ?"
    start = 0.0 if since is None else _checked_time(since)
    order = " ORDER BY created_at DESC, id DESC LIMIT ?"
    if session_id is None:
        rows = tx.execute(
            f"{select} AND recalled = ? AND created_at >= ?{order}",
            (tx.tenant, task_type, recalled, start, SAMPLE),
        )
    else:
        # The sum keeps the planner off the index of all sessions: a session is the narrower way.
        rows = tx.execute(
            f"{select} AND session_id = ? AND recalled + 0 = ? AND created_at >= ?{order}",
            (tx.tenant, task_type, session_id, recalled, start, SAMPLE),
        )
    return [(micros / 1e6, nanos / 1e9) for micros, nanos in rows.fetchall()]


def _mean(values: Sequence[float]) -> tuple[float, float]:
    """The mean, and the variance of the mean."""
    n = len(values)
    mean = math.fsum(values) / n
    return mean, math.fsum((value - mean) ** 2 for value in values) / (n - 1) / n
