"""Workflow records: stored, corrected and forgotten together with all that counts them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from infrastructure.errors import InputError
from infrastructure.jsonvalue import JsonObject, JsonValue
from infrastructure.memory.memori import archive
from infrastructure.memory.memori.aggregates import (
    EXECUTION_COLUMNS,
    UNKNOWN_RECALL,
    Execution,
    count,
    execution_of,
    pattern_steps,
    refresh,
)
from infrastructure.memory.memori.counting import (
    MAX_SECONDS,
    MAX_USD,
    checked_amount,
    to_micros,
    to_nanos,
)
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.jsontext import digest, dump_json, load_object, load_strings
from infrastructure.memory.memori.names import checked_name

_LATEST_TIME: Final = 1e11


@dataclass(frozen=True, slots=True)
class Workflow:
    """One executed workflow.

    Attributes:
        id: unique; storing it again changes nothing.
        run_id: the run it was made by; its own id when it is recorded by itself.
        steps: what was executed, in topological order.
        success: what happened, verified.
        duration_s: seconds.
        cost_usd: US dollars.
        metadata: plain JSON, such as the DAG.
        created_at: seconds since the epoch.
        recalled: whether memory changed how it was done; None when nobody said.

    Raises:
        InputError: an id, task type or session that is empty or too long, or an amount that
            cannot be.
    """

    id: str
    run_id: str
    task_type: str
    steps: tuple[str, ...]
    success: bool
    duration_s: float
    cost_usd: float
    session_id: str
    created_at: float
    metadata: JsonObject = field(default_factory=dict[str, JsonValue])
    recalled: bool | None = None

    def __post_init__(self) -> None:
        for name in ("id", "run_id", "task_type", "session_id"):
            checked_name(getattr(self, name), f"a workflow's {name}")
        if not isinstance(self.success, bool):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers may be untyped
            raise InputError(f"success must be True or False, not {self.success!r}")
        if any(not isinstance(step, str) for step in self.steps):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers may be untyped
            raise InputError("every workflow step must be a string")
        object.__setattr__(
            self, "duration_s", checked_amount("duration", self.duration_s, MAX_SECONDS)
        )
        object.__setattr__(self, "cost_usd", checked_amount("cost", self.cost_usd, MAX_USD))
        object.__setattr__(
            self, "created_at", checked_amount("created_at", self.created_at, _LATEST_TIME)
        )


def store_workflow(tx: Tx, workflow: Workflow) -> bool:
    """Store a workflow and count it; False if its id was stored before, and nothing changes."""
    steps = dump_json(workflow.steps, "workflow steps")
    execution = Execution(
        id=workflow.id,
        run_id=workflow.run_id,
        session_id=workflow.session_id,
        task_type=workflow.task_type,
        digest=digest(workflow.steps) if workflow.steps else "",
        success=workflow.success,
        recalled=UNKNOWN_RECALL if workflow.recalled is None else int(workflow.recalled),
        duration_us=to_micros(workflow.duration_s),
        cost_nusd=to_nanos(workflow.cost_usd),
        created_at=workflow.created_at,
    )
    if not _insert_execution(tx, execution):
        return False
    tx.execute(
        "INSERT INTO workflows (tenant, id, session_id, created_at, steps, metadata, duration_s,"
        " cost_usd) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            tx.tenant,
            workflow.id,
            workflow.session_id,
            workflow.created_at,
            steps,
            dump_json(workflow.metadata, "workflow metadata"),
            workflow.duration_s,
            workflow.cost_usd,
        ),
    )
    count(tx, execution, steps, 1)
    refresh(tx, execution)
    return True


def correct_workflows(
    tx: Tx, run_id: str, success: bool | None = None, task_type: str | None = None
) -> int:
    """Count a run's workflows as a user corrected them; repeating it changes nothing.

    Returns:
        How many were changed.

    Raises:
        InputError: the task type is empty or too long.
    """
    if task_type is not None:
        checked_name(task_type, "a task type")
    changed = 0
    for old in run_executions(tx, run_id):
        new = replace(
            old,
            success=old.success if success is None else success,
            task_type=old.task_type if task_type is None else task_type,
        )
        if new == old:
            continue
        steps = pattern_steps(tx, old)
        count(tx, old, steps, -1)
        tx.execute(
            "UPDATE executions SET success = ?, task_type = ? WHERE tenant = ? AND id = ?",
            (int(new.success), new.task_type, tx.tenant, new.id),
        )
        count(tx, new, steps, 1)
        refresh(tx, old)
        refresh(tx, new)
        changed += 1
    return changed


def forget_workflows(tx: Tx, run_id: str) -> int:
    """Delete a run's workflows, archived or not, and take them out of every counter.

    Returns:
        How many there were.
    """
    executions = run_executions(tx, run_id)
    for execution in executions:
        archive.forget(tx, execution)
        count(tx, execution, pattern_steps(tx, execution), -1)
        for table in ("workflows", "executions"):
            tx.execute(
                f"DELETE FROM {table} WHERE tenant = ? AND id = ?",  # noqa: S608 (names above)
                (tx.tenant, execution.id),
            )
        refresh(tx, execution)
    return len(executions)


def run_executions(tx: Tx, run_id: str) -> list[Execution]:
    """What a run added to the counters."""
    rows = tx.execute(
        f"SELECT {EXECUTION_COLUMNS} FROM executions WHERE tenant = ? AND run_id = ?"  # noqa: S608 (constant column names)
        " ORDER BY created_at, id",
        (tx.tenant, run_id),
    )
    return [execution_of(row) for row in rows.fetchall()]


def _insert_execution(tx: Tx, execution: Execution) -> bool:
    rows = tx.execute(
        f"INSERT INTO executions (tenant, {EXECUTION_COLUMNS})"  # noqa: S608 (constant column names)
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (
            tx.tenant,
            execution.id,
            execution.run_id,
            execution.session_id,
            execution.task_type,
            execution.digest,
            int(execution.success),
            execution.recalled,
            execution.duration_us,
            execution.cost_nusd,
            execution.created_at,
            execution.chunk,
        ),
    )
    return rows.rowcount == 1


@dataclass(frozen=True, slots=True)
class SessionRows:
    """A session as it lies in the store; `workflows` unpacks it."""

    session_id: str
    executions: list[Execution]
    live: dict[str, archive.StoredRecord]
    chunks: list[archive.Chunk]

    def workflows(self) -> list[Workflow]:
        """Every workflow of the session in order of time, exactly as stored and corrected.

        Raises:
            StoreError: an archive is damaged.
        """
        details = dict(self.live)
        for chunk in self.chunks:
            details.update((record.id, record) for record in archive.unpack(chunk))
        return [_restored(execution, details[execution.id]) for execution in self.executions]


def session_rows(tx: Tx, session_id: str) -> SessionRows:
    """Read a session, compacted or not."""
    rows = tx.execute(
        f"SELECT {EXECUTION_COLUMNS} FROM executions WHERE tenant = ? AND session_id = ?"  # noqa: S608 (constant column names)
        " ORDER BY task_type, digest, created_at, id",
        (tx.tenant, session_id),
    )
    # The index's order makes SQLite use it; for any other it would read the whole tenant.
    executions = sorted(map(execution_of, rows.fetchall()), key=lambda e: (e.created_at, e.id))
    live = {record.id: record for record in archive.unarchived(tx, session_id)}
    return SessionRows(session_id, executions, live, archive.chunks(tx, session_id))


def _restored(execution: Execution, record: archive.StoredRecord) -> Workflow:
    return Workflow(
        id=execution.id,
        run_id=execution.run_id,
        task_type=execution.task_type,
        steps=tuple(load_strings(record.steps)),
        success=execution.success,
        duration_s=record.duration_s,
        cost_usd=record.cost_usd,
        session_id=execution.session_id,
        created_at=execution.created_at,
        metadata=load_object(record.metadata),
        recalled=None if execution.recalled == UNKNOWN_RECALL else bool(execution.recalled),
    )
