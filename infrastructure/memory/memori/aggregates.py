"""Counters that follow the executions, changed in the same transaction.

Patterns are counted for all sessions (an empty session id) and for each session. Totals are
counted for all time and by minute, hour and day, so that "since" is exact and reads few rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from infrastructure.memory.memori.counting import mean_seconds, mean_usd, standing
from infrastructure.memory.memori.dialect import Row, Tx
from infrastructure.memory.memori.jsontext import dump_json
from infrastructure.memory.memori.sql import marks

ALL_SESSIONS: Final = ""
ALL_TIME: Final = -1
"""The width of the totals of all sessions."""
SESSION_TIME: Final = 0
"""The width of a session's totals."""
WIDTHS: Final = (60, 3_600, 86_400)
RECENT: Final = 10
UNKNOWN_RECALL: Final = -1
NOT_ARCHIVED: Final = -1

EXECUTION_COLUMNS: Final = (
    "id, run_id, session_id, task_type, digest, success, recalled, duration_us, cost_nusd,"
    " created_at, chunk"
)


@dataclass(frozen=True, slots=True)
class Execution:
    """The part of a workflow that counts.

    Attributes:
        digest: of its step list; empty without steps, and then it belongs to no pattern.
        recalled: 1 with memory, 0 without, -1 when nobody said.
        chunk: of its session's archive; -1 before compaction.
    """

    id: str
    run_id: str
    session_id: str
    task_type: str
    digest: str
    success: bool
    recalled: int
    duration_us: int
    cost_nusd: int
    created_at: float
    chunk: int = NOT_ARCHIVED


def execution_of(row: Row) -> Execution:
    """From a row of EXECUTION_COLUMNS."""
    return Execution(
        id=row[0],
        run_id=row[1],
        session_id=row[2],
        task_type=row[3],
        digest=row[4],
        success=bool(row[5]),
        recalled=row[6],
        duration_us=row[7],
        cost_nusd=row[8],
        created_at=row[9],
        chunk=row[10],
    )


def pattern_steps(tx: Tx, execution: Execution) -> str:
    """The JSON step list of an execution's pattern; empty when it belongs to none."""
    if not execution.digest:
        return ""
    row = tx.execute(
        "SELECT steps FROM pattern_counts"
        " WHERE tenant = ? AND session_id = ? AND task_type = ? AND digest = ?",
        (tx.tenant, ALL_SESSIONS, execution.task_type, execution.digest),
    ).fetchone()
    return "" if row is None else str(row[0])


def count(tx: Tx, execution: Execution, steps: str, sign: int) -> None:
    """Add an execution to every counter, or take it out; call `refresh` when its row is changed.

    Args:
        steps: its step list as JSON.
        sign: 1 or -1.
    """
    _count_buckets(tx, execution, sign)
    if execution.digest:
        _count_patterns(tx, execution, steps, sign)


def refresh(tx: Tx, execution: Execution) -> None:
    """Judge the patterns of an execution anew from their counts and latest executions."""
    if execution.digest:
        for session_id in (ALL_SESSIONS, execution.session_id):
            _refresh_pattern(tx, session_id, execution.task_type, execution.digest)


def _buckets(execution: Execution) -> list[tuple[str, int, int]]:
    starts = [(width, int(execution.created_at // width) * width) for width in WIDTHS]
    return [
        (ALL_SESSIONS, ALL_TIME, 0),
        (execution.session_id, SESSION_TIME, 0),
        *((ALL_SESSIONS, width, start) for width, start in starts),
    ]


def _count_buckets(tx: Tx, execution: Execution, sign: int) -> None:
    kind = (execution.task_type, execution.recalled)
    buckets = _buckets(execution)
    rows = [(tx.tenant, *bucket, *kind, *_deltas(execution, sign)) for bucket in buckets]
    counted = tx.execute(
        "INSERT INTO workflow_counts (tenant, session_id, width, start, task_type, recalled,"  # noqa: S608 (marks only)
        f" successes, failures, duration_us, cost_nusd) VALUES {marks(len(rows), 10)}"
        " ON CONFLICT (tenant, session_id, width, start, task_type, recalled) DO UPDATE SET"
        " successes = workflow_counts.successes + excluded.successes,"
        " failures = workflow_counts.failures + excluded.failures,"
        " duration_us = workflow_counts.duration_us + excluded.duration_us,"
        " cost_nusd = workflow_counts.cost_nusd + excluded.cost_nusd"
        " RETURNING session_id, width, start, successes + failures",
        [value for row in rows for value in row],
    )
    for *bucket, executions in counted.fetchall():
        if executions == 0:
            tx.execute(
                "DELETE FROM workflow_counts WHERE tenant = ? AND session_id = ? AND width = ?"
                " AND start = ? AND task_type = ? AND recalled = ?",
                (tx.tenant, *bucket, *kind),
            )


def _count_patterns(tx: Tx, execution: Execution, steps: str, sign: int) -> None:
    pattern = (execution.task_type, execution.digest, steps, *_deltas(execution, sign))
    tx.execute(
        "INSERT INTO pattern_counts (tenant, session_id, task_type, digest, steps, successes,"
        " failures, duration_us, cost_nusd, last_used, supporting_runs, current_rate, score,"
        " mean_cost, mean_duration) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, '[]', 0, 0, 0, 0),"
        " (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, '[]', 0, 0, 0, 0)"
        " ON CONFLICT (tenant, session_id, task_type, digest) DO UPDATE SET"
        " successes = pattern_counts.successes + excluded.successes,"
        " failures = pattern_counts.failures + excluded.failures,"
        " duration_us = pattern_counts.duration_us + excluded.duration_us,"
        " cost_nusd = pattern_counts.cost_nusd + excluded.cost_nusd",
        (*(tx.tenant, ALL_SESSIONS, *pattern), *(tx.tenant, execution.session_id, *pattern)),
    )


def _deltas(execution: Execution, sign: int) -> tuple[int, int, int, int]:
    return (
        sign * int(execution.success),
        sign * int(not execution.success),
        sign * execution.duration_us,
        sign * execution.cost_nusd,
    )


def _refresh_pattern(tx: Tx, session_id: str, task_type: str, digest: str) -> None:
    key = (tx.tenant, session_id, task_type, digest)
    where = "tenant = ? AND session_id = ? AND task_type = ? AND digest = ?"
    row = tx.execute(
        f"SELECT successes, failures, duration_us, cost_nusd FROM pattern_counts WHERE {where}",  # noqa: S608 (constant text)
        key,
    ).fetchone()
    if row is None:
        return
    successes, failures, duration_us, cost_nusd = row
    total = successes + failures
    if total == 0:
        tx.execute(f"DELETE FROM pattern_counts WHERE {where}", key)  # noqa: S608 (constant text)
        return
    latest = _latest(tx, session_id, task_type, digest)
    judged = standing(successes, total, [bool(success) for success, _, _ in latest])
    supporting = [run_id for success, _, run_id in latest if success]
    tx.execute(
        "UPDATE pattern_counts SET last_used = ?, supporting_runs = ?, current_rate = ?,"  # noqa: S608 (constant text)
        f" score = ?, mean_cost = ?, mean_duration = ? WHERE {where}",
        (
            latest[0][1],
            dump_json(supporting),
            judged.current_rate,
            judged.score,
            mean_usd(cost_nusd, total),
            mean_seconds(duration_us, total),
            *key,
        ),
    )


def _latest(tx: Tx, session_id: str, task_type: str, digest: str) -> list[tuple[Any, ...]]:
    if session_id == ALL_SESSIONS:
        rows = tx.execute(
            "SELECT success, created_at, run_id FROM executions"
            " WHERE tenant = ? AND task_type = ? AND digest = ?"
            " ORDER BY created_at DESC, id DESC LIMIT ?",
            (tx.tenant, task_type, digest, RECENT),
        )
    else:
        rows = tx.execute(
            "SELECT success, created_at, run_id FROM executions"
            " WHERE tenant = ? AND session_id = ? AND task_type = ? AND digest = ?"
            " ORDER BY created_at DESC, id DESC LIMIT ?",
            (tx.tenant, session_id, task_type, digest, RECENT),
        )
    return rows.fetchall()
