"""Accepted runs, how they ended, and what users said about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from infrastructure.errors import InputError
from infrastructure.jsonvalue import JsonObject, JsonValue
from infrastructure.memory.memori import run_sources
from infrastructure.memory.memori.dialect import Row, Tx
from infrastructure.memory.memori.jsontext import dump_json, load_object
from infrastructure.memory.memori.names import checked_label, checked_name
from infrastructure.memory.memori.sql import marks

RUNNING: Final = "running"
WAITING: Final = "waiting"
COMPLETED: Final = "completed"
FAILED: Final = "failed"
CANCELED: Final = "canceled"
STATES: Final = (RUNNING, WAITING, COMPLETED, FAILED, CANCELED)
OPEN_STATES: Final = (RUNNING, WAITING)

_COLUMNS: Final = (
    "run_id, session_id, request, task_type, state, version, created_at, finished_at,"
    " recorded_success, result"
)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One accepted request.

    Attributes:
        state: "running" until it ends, also when its process died, or "waiting" for an approval;
            then "completed" (success), "failed" or "canceled".
        version: of the orchestrator that took it: "2.1" or "1.0".
        created_at: seconds since the epoch.
        finished_at: seconds since the epoch; None while running.
        recorded_success: what was verified at its end; feedback changes `state` but not this.
        result: what the orchestrator wants to show of it later; empty while running.
    """

    run_id: str
    session_id: str
    request: str
    created_at: float
    task_type: str = ""
    state: str = RUNNING
    version: str = "2.1"
    finished_at: float | None = None
    recorded_success: bool | None = None
    result: JsonObject = field(default_factory=dict[str, JsonValue])


@dataclass(frozen=True, slots=True)
class RunFeedback:
    """What a user said about a run; None means nothing was said."""

    run_id: str
    success: bool | None
    task_type: str | None
    comment: str | None
    created_at: float


def accept_run(tx: Tx, run: RunRecord, owner: str = "", until: float = 0.0) -> bool:
    """Store a run before anything is done for it; False if its id is already there.

    Args:
        run: the run.
        owner: who works on it, under fence 1; empty for nobody yet.
        until: when its lease ends unless it is renewed, seconds since the epoch.

    Raises:
        InputError: the run or the session has no id, or a name is too long.
    """
    checked_name(run.run_id, "a run's run_id")
    checked_name(run.session_id, "a run's session_id")
    checked_label(run.task_type, "a run's task_type")
    rows = tx.execute(
        f"INSERT INTO runs (tenant, {_COLUMNS}, owner, fence, lease_until)"  # noqa: S608 (constant column names)
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (
            tx.tenant,
            run.run_id,
            run.session_id,
            run.request,
            run.task_type,
            run.state,
            run.version,
            run.created_at,
            run.finished_at,
            None if run.recorded_success is None else int(run.recorded_success),
            dump_json(run.result, "a run's result"),
            owner,
            int(bool(owner)),
            until,
        ),
    )
    return rows.rowcount == 1


def finish_run(
    tx: Tx,
    run_id: str,
    *,
    state: str,
    finished_at: float,
    task_type: str,
    result: JsonObject,
) -> bool:
    """Close a run; False if it is closed already, or unknown.

    Args:
        state: how it ended, none of `OPEN_STATES`.
        finished_at: seconds since the epoch.
        task_type: as it was found to be.
        result: what is shown of it later.
    """
    rows = tx.execute(
        "UPDATE runs SET state = ?, task_type = ?, finished_at = ?, recorded_success = ?,"  # noqa: S608 (marks only)
        " result = ?, owner = '', lease_until = 0"
        f" WHERE tenant = ? AND run_id = ? AND state IN {marks(1, len(OPEN_STATES))}",
        (
            state,
            task_type,
            finished_at,
            int(state == COMPLETED),
            dump_json(result, "a run's result"),
            tx.tenant,
            run_id,
            *OPEN_STATES,
        ),
    )
    return rows.rowcount == 1


def get_run(tx: Tx, run_id: str) -> RunRecord | None:
    """The run of this id."""
    row = tx.execute(
        f"SELECT {_COLUMNS} FROM runs WHERE tenant = ? AND run_id = ?",  # noqa: S608 (constant column names)
        (tx.tenant, run_id),
    ).fetchone()
    return None if row is None else _record(row)


def list_runs(
    tx: Tx,
    *,
    state: str | None = None,
    since: float | None = None,
    session_id: str | None = None,
    before: tuple[float, str] | None = None,
    limit: int = 100,
) -> list[RunRecord]:
    """Runs that match every given filter, newest first; those that are parts of runs left out.

    Args:
        state, session_id: of these alone.
        since: accepted from this time on, seconds since the epoch.
        before: `created_at` and `run_id` of the last run of the page before; what follows it.
        limit: at most so many.

    Raises:
        InputError: an unknown state, or a limit below 1.
    """
    if state is not None and state not in STATES:
        raise InputError(f"unknown state {state!r}: choose one of {', '.join(STATES)}")
    if limit < 1:
        raise InputError(f"limit must be at least 1, not {limit}")
    conditions = [
        "tenant = ?",
        "NOT EXISTS (SELECT 1 FROM run_sources WHERE run_sources.tenant = runs.tenant"
        " AND run_sources.run_id = runs.run_id AND run_sources.source LIKE ?)",
    ]
    params: list[str | float] = [tx.tenant, f"{run_sources.PARENT}%"]
    for condition, value in (
        ("state = ?", state),
        ("session_id = ?", session_id),
        ("created_at >= ?", since),
    ):
        if value is not None:
            conditions.append(condition)
            params.append(value)
    if before is not None:
        conditions.append("(created_at, run_id) < (?, ?)")
        params += before
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM runs WHERE {' AND '.join(conditions)}"  # noqa: S608 (constant text)
        " ORDER BY created_at DESC, run_id DESC LIMIT ?",
        (*params, limit),
    )
    return [_record(row) for row in rows.fetchall()]


def forget_run_record(tx: Tx, run_id: str) -> bool:
    """Delete a run, its journal and its feedback; False if there was none."""
    for table in ("run_events", "run_journals", "run_feedback"):
        tx.execute(
            f"DELETE FROM {table} WHERE tenant = ? AND run_id = ?",  # noqa: S608 (names above)
            (tx.tenant, run_id),
        )
    rows = tx.execute("DELETE FROM runs WHERE tenant = ? AND run_id = ?", (tx.tenant, run_id))
    return rows.rowcount > 0


def record_feedback(tx: Tx, feedback: RunFeedback) -> RunFeedback:
    """Keep what a user said, over what was said before; returns both together.

    Raises:
        InputError: the run's id is empty or too long.
    """
    checked_name(feedback.run_id, "a run's run_id")
    merged = merged_feedback(tx, feedback)
    tx.execute(
        "INSERT INTO run_feedback (tenant, run_id, success, task_type, comment, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (tenant, run_id) DO UPDATE SET"
        " success = excluded.success, task_type = excluded.task_type,"
        " comment = excluded.comment, created_at = excluded.created_at",
        (
            tx.tenant,
            merged.run_id,
            None if merged.success is None else int(merged.success),
            merged.task_type,
            merged.comment,
            merged.created_at,
        ),
    )
    return merged


def merged_feedback(tx: Tx, new: RunFeedback) -> RunFeedback:
    """What was said about a run before, with the new over it."""
    old = get_feedback(tx, new.run_id)
    if old is None:
        return new
    return RunFeedback(
        run_id=new.run_id,
        success=old.success if new.success is None else new.success,
        task_type=old.task_type if new.task_type is None else new.task_type,
        comment=old.comment if new.comment is None else new.comment,
        created_at=new.created_at,
    )


def get_feedback(tx: Tx, run_id: str) -> RunFeedback | None:
    """What was said about a run."""
    row = tx.execute(
        "SELECT run_id, success, task_type, comment, created_at FROM run_feedback"
        " WHERE tenant = ? AND run_id = ?",
        (tx.tenant, run_id),
    ).fetchone()
    if row is None:
        return None
    name, success, task_type, comment, created_at = row
    return RunFeedback(
        name, None if success is None else bool(success), task_type, comment, created_at
    )


def correct_run(tx: Tx, run_id: str, success: bool | None, task_type: str | None) -> None:
    """Show a finished run as a user corrected it."""
    if success is not None:
        tx.execute(
            "UPDATE runs SET state = ? WHERE tenant = ? AND run_id = ?"  # noqa: S608 (marks only)
            f" AND state NOT IN {marks(1, len(OPEN_STATES))}",
            (COMPLETED if success else FAILED, tx.tenant, run_id, *OPEN_STATES),
        )
    if task_type is not None:
        tx.execute(
            "UPDATE runs SET task_type = ? WHERE tenant = ? AND run_id = ?",
            (task_type, tx.tenant, run_id),
        )


def corrected_task_types(tx: Tx, limit: int = 1000) -> list[tuple[str, str]]:
    """Requests with the task type that a user gave them, latest first."""
    rows = tx.execute(
        "SELECT runs.request, run_feedback.task_type FROM run_feedback"
        " JOIN runs ON runs.tenant = run_feedback.tenant AND runs.run_id = run_feedback.run_id"
        " WHERE run_feedback.tenant = ? AND run_feedback.task_type IS NOT NULL"
        " ORDER BY run_feedback.created_at DESC, runs.run_id DESC LIMIT ?",
        (tx.tenant, limit),
    )
    return [(request, task_type) for request, task_type in rows.fetchall()]


def _record(row: Row) -> RunRecord:
    return RunRecord(
        run_id=row[0],
        session_id=row[1],
        request=row[2],
        task_type=row[3],
        state=row[4],
        version=row[5],
        created_at=row[6],
        finished_at=row[7],
        recorded_success=None if row[8] is None else bool(row[8]),
        result=load_object(row[9]),
    )
