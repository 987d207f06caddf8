"""Which step lists work for a task type, read from the counters: no workflow is scanned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from infrastructure.memory.memori.aggregates import ALL_SESSIONS
from infrastructure.memory.memori.dialect import Row, Tx
from infrastructure.memory.memori.jsontext import load_strings

_PATTERN_COLUMNS: Final = (
    "task_type, steps, successes, failures, mean_duration, mean_cost, last_used, supporting_runs"
)
_BEST_FIRST: Final = " ORDER BY score DESC, mean_cost, mean_duration, digest LIMIT ?"


@dataclass(frozen=True)
class WorkflowPattern:
    """A step list that was executed for a task type, with how it went every time.

    Attributes:
        success_rate: successes of all executions, failures included.
        avg_duration: seconds, over all executions.
        avg_cost: US dollars, over all executions.
        last_used: seconds since the epoch.
        supporting_runs: ids of its latest successful runs, latest first.
    """

    task_type: str
    workflow_steps: list[str]
    success_rate: float
    avg_duration: float
    avg_cost: float
    total_executions: int
    successful_executions: int
    last_used: float
    supporting_runs: list[str]


def patterns(
    tx: Tx,
    task_type: str,
    min_success_rate: float = 0.7,
    session_id: str = ALL_SESSIONS,
    limit: int = 10,
) -> list[WorkflowPattern]:
    """Patterns of a task type that work, best first: lower bound of success, then cost, duration.

    A pattern whose latest executions tell of a fall is measured by those.

    Args:
        session_id: only what this session executed; empty for all sessions together.
    """
    rows = tx.execute(
        f"SELECT {_PATTERN_COLUMNS} FROM pattern_counts WHERE tenant = ? AND session_id = ?"  # noqa: S608 (constant text)
        " AND task_type = ? AND current_rate >= ? AND successes > 0" + _BEST_FIRST,
        (tx.tenant, session_id, task_type, min_success_rate, limit),
    )
    return [_pattern(row) for row in rows.fetchall()]


def patterns_by_session(
    tx: Tx, task_type: str, min_success_rate: float = 0.7, limit: int = 10
) -> list[WorkflowPattern]:
    """Like `patterns`, each counted within one session, over all sessions."""
    rows = tx.execute(
        f"SELECT {_PATTERN_COLUMNS} FROM pattern_counts WHERE tenant = ? AND session_id <> ''"  # noqa: S608 (constant text)
        " AND task_type = ? AND current_rate >= ? AND successes > 0" + _BEST_FIRST,
        (tx.tenant, task_type, min_success_rate, limit),
    )
    return [_pattern(row) for row in rows.fetchall()]


def session_patterns(tx: Tx, session_id: str, limit: int = 1000) -> list[WorkflowPattern]:
    """Every step list that a session executed, whatever its task type."""
    rows = tx.execute(
        f"SELECT {_PATTERN_COLUMNS} FROM pattern_counts WHERE tenant = ? AND session_id = ?"  # noqa: S608 (constant text)
        + _BEST_FIRST,
        (tx.tenant, session_id, limit),
    )
    return [_pattern(row) for row in rows.fetchall()]


def _pattern(row: Row) -> WorkflowPattern:
    task_type, steps, successes, failures, duration, cost, last_used, supporting_runs = row
    return WorkflowPattern(
        task_type=task_type,
        workflow_steps=load_strings(steps),
        success_rate=successes / (successes + failures),
        avg_duration=duration,
        avg_cost=cost,
        total_executions=successes + failures,
        successful_executions=successes,
        last_used=last_used,
        supporting_runs=load_strings(supporting_runs),
    )
