"""Distinct plans with how their runs went, and the requests that they answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from infrastructure.errors import InputError
from infrastructure.jsonvalue import JsonObject, JsonValue
from infrastructure.memory.memori.aggregates import RECENT
from infrastructure.memory.memori.counting import standing, to_micros, to_nanos
from infrastructure.memory.memori.dialect import Row, Tx
from infrastructure.memory.memori.jsontext import (
    digest,
    dump_json,
    load_object,
    load_strings,
)
from infrastructure.memory.memori.names import checked_name

EXEMPLARS: Final = 5
"""Requests kept of a plan: its latest successes, and as many failures that feedback may correct."""


@dataclass(frozen=True, slots=True)
class PlanRecord:
    """The plan that a run executed.

    Attributes:
        given: names of the data that came with the request.
        plan: the plan, any JSON object.
        structure: what makes two plans the same, without what only this request needed; None
            when that is the whole plan.
        vector: the request's embedding as float32 bytes; empty without an embedder.
        session_id: the session of the run.
    """

    request: str
    task_type: str
    given: tuple[str, ...]
    plan: JsonObject
    structure: JsonValue = None
    vector: bytes = b""
    session_id: str = ""


@dataclass(frozen=True, slots=True)
class PlanCase:
    """A plan that worked for a similar request.

    Attributes:
        run_id, request, plan: of the most similar verified run.
        successes, failures: of all runs of this plan.
        avg_duration_s, avg_cost_usd: over all runs.
        last_used: seconds since the epoch.
        similarity: of the requests, 0 to 1.
        made: names of all data that the plan makes; worked out once, as every request asks.
    """

    run_id: str
    request: str
    task_type: str
    given: tuple[str, ...]
    plan: JsonObject
    successes: int
    failures: int
    avg_duration_s: float
    avg_cost_usd: float
    last_used: float
    similarity: float = 0.0
    made: frozenset[object] = frozenset()


@dataclass(frozen=True, slots=True)
class Exemplar:
    """A verified run of a plan."""

    run_id: str
    request: str
    plan: JsonObject
    vector: bytes
    session_id: str
    created_at: float


@dataclass(frozen=True, slots=True)
class CaseRow:
    """A case as stored.

    Attributes:
        current_rate: its success rate; that of its latest runs after a fall.
        version: grows with every change of any case.
        exemplars: its latest verified runs, latest first; without any it cannot be reused.
    """

    digest: str
    task_type: str
    given: tuple[str, ...]
    successes: int
    failures: int
    duration_us: int
    cost_nusd: int
    last_used: float
    current_rate: float
    version: int
    exemplars: tuple[Exemplar, ...]


@dataclass(frozen=True, slots=True)
class _PlanRun:
    run_id: str
    digest: str
    success: bool
    duration_us: int
    cost_nusd: int
    created_at: float


def record_plan(
    tx: Tx,
    run_id: str,
    record: PlanRecord,
    *,
    success: bool,
    duration_s: float,
    cost_usd: float,
    created_at: float,
) -> bool:
    """Count a run for its plan and keep its request; False if the run was counted before.

    Raises:
        InputError: the plan is not JSON, the vector not float32, or the run's id no name.
    """
    checked_name(run_id, "a run's run_id")
    if len(record.vector) % 4:
        raise InputError("a request's vector must be float32 bytes, 4 a dimension")
    if _plan_run(tx, run_id) is not None:
        return False
    structure = digest(record.plan if record.structure is None else record.structure, "a plan")
    case = _case_digest(record.task_type, record.given, structure)
    run = _PlanRun(run_id, case, success, to_micros(duration_s), to_nanos(cost_usd), created_at)
    tx.execute(
        "INSERT INTO plan_runs (tenant, run_id, digest, success, duration_us, cost_nusd,"
        " created_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (tx.tenant, run_id, case, int(success), run.duration_us, run.cost_nusd, created_at),
    )
    tx.execute(
        "INSERT INTO plan_exemplars (tenant, run_id, digest, success, session_id, created_at,"
        " request, plan, vector) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            tx.tenant,
            run_id,
            case,
            int(success),
            record.session_id,
            created_at,
            record.request,
            dump_json(record.plan, "a plan"),
            record.vector,
        ),
    )
    _count(tx, run, structure, record.task_type, record.given, 1)
    _refresh(tx, case)
    return True


def correct_plan(
    tx: Tx, run_id: str, success: bool | None = None, task_type: str | None = None
) -> None:
    """Count a run's plan as a user corrected the run; repeating it changes nothing."""
    run = _plan_run(tx, run_id)
    if run is None:
        return
    case = _key(tx, run.digest)
    new_type = case.task_type if task_type is None else task_type
    new = _PlanRun(
        run_id,
        _case_digest(new_type, case.given, case.structure),
        run.success if success is None else success,
        run.duration_us,
        run.cost_nusd,
        run.created_at,
    )
    if new == run:
        return
    _count(tx, run, case.structure, case.task_type, case.given, -1)
    _count(tx, new, case.structure, new_type, case.given, 1)
    for table in ("plan_runs", "plan_exemplars"):
        tx.execute(
            f"UPDATE {table} SET digest = ?, success = ? WHERE tenant = ? AND run_id = ?",  # noqa: S608 (names above)
            (new.digest, int(new.success), tx.tenant, run_id),
        )
    for changed in dict.fromkeys((run.digest, new.digest)):
        _refresh(tx, changed)


def forget_plan(tx: Tx, run_id: str) -> None:
    """Take a run out of its plan's counts and delete its request."""
    run = _plan_run(tx, run_id)
    if run is None:
        return
    case = _key(tx, run.digest)
    _count(tx, run, case.structure, case.task_type, case.given, -1)
    for table in ("plan_runs", "plan_exemplars"):
        tx.execute(
            f"DELETE FROM {table} WHERE tenant = ? AND run_id = ?",  # noqa: S608 (names above)
            (tx.tenant, run_id),
        )
    _refresh(tx, run.digest)


def changed_cases(tx: Tx, after: int, limit: int) -> list[CaseRow]:
    """The latest `limit` cases that changed after a version, oldest change first.

    A case without runs is among them, so that a reader can drop it.
    """
    rows = tx.execute(
        "SELECT digest, task_type, given, successes, failures, duration_us, cost_nusd, last_used,"
        " current_rate, version FROM plan_cases WHERE tenant = ? AND version > ?"
        " ORDER BY version DESC LIMIT ?",
        (tx.tenant, after, limit),
    )
    return [_case_row(tx, row) for row in reversed(rows.fetchall())]


@dataclass(frozen=True, slots=True)
class _CaseKey:
    structure: str
    task_type: str
    given: tuple[str, ...]


def _case_digest(task_type: str, given: Sequence[str], structure: str) -> str:
    return digest([task_type, sorted(set(given)), structure])


def _plan_run(tx: Tx, run_id: str) -> _PlanRun | None:
    row = tx.execute(
        "SELECT run_id, digest, success, duration_us, cost_nusd, created_at FROM plan_runs"
        " WHERE tenant = ? AND run_id = ?",
        (tx.tenant, run_id),
    ).fetchone()
    return None if row is None else _PlanRun(row[0], row[1], bool(row[2]), *row[3:])


def _key(tx: Tx, case: str) -> _CaseKey:
    row = tx.execute(
        "SELECT structure, task_type, given FROM plan_cases WHERE tenant = ? AND digest = ?",
        (tx.tenant, case),
    ).fetchone()
    assert row is not None, "a counted run has a case"
    return _CaseKey(row[0], row[1], tuple(load_strings(row[2])))


def _count(
    tx: Tx, run: _PlanRun, structure: str, task_type: str, given: Sequence[str], sign: int
) -> None:
    tx.execute(
        "INSERT INTO plan_cases (tenant, digest, structure, task_type, given, successes,"
        " failures, duration_us, cost_nusd, last_used, current_rate, version)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0)"
        " ON CONFLICT (tenant, digest) DO UPDATE SET structure = excluded.structure,"
        " task_type = excluded.task_type, given = excluded.given,"
        " successes = plan_cases.successes + excluded.successes,"
        " failures = plan_cases.failures + excluded.failures,"
        " duration_us = plan_cases.duration_us + excluded.duration_us,"
        " cost_nusd = plan_cases.cost_nusd + excluded.cost_nusd",
        (
            tx.tenant,
            run.digest,
            structure,
            task_type,
            dump_json(sorted(set(given))),
            sign * int(run.success),
            sign * int(not run.success),
            sign * run.duration_us,
            sign * run.cost_nusd,
        ),
    )


def _refresh(tx: Tx, case: str) -> None:
    row = tx.execute(
        "SELECT successes, failures FROM plan_cases WHERE tenant = ? AND digest = ?",
        (tx.tenant, case),
    ).fetchone()
    assert row is not None, "a refreshed case was counted before"
    successes, failures = row
    latest = tx.execute(
        "SELECT success, created_at FROM plan_runs WHERE tenant = ? AND digest = ?"
        " ORDER BY created_at DESC, run_id DESC LIMIT ?",
        (tx.tenant, case, RECENT),
    ).fetchall()
    judged = standing(successes, successes + failures, [bool(success) for success, _ in latest])
    tx.execute(
        "UPDATE plan_cases SET last_used = ?, current_rate = ?, version ="
        " (SELECT COALESCE(MAX(version), 0) + 1 FROM plan_cases WHERE tenant = ?)"
        " WHERE tenant = ? AND digest = ?",
        (latest[0][1] if latest else 0.0, judged.current_rate, tx.tenant, tx.tenant, case),
    )
    if not latest:
        _blank(tx, case)
    for success in (0, 1):
        _trim_exemplars(tx, case, success)


def _blank(tx: Tx, case: str) -> None:
    """Leave of a case without runs only what tells readers that it is gone."""
    tx.execute(
        "UPDATE plan_cases SET structure = '', task_type = '', given = '[]'"
        " WHERE tenant = ? AND digest = ?",
        (tx.tenant, case),
    )


def _trim_exemplars(tx: Tx, case: str, success: int) -> None:
    tx.execute(
        "DELETE FROM plan_exemplars WHERE tenant = ? AND digest = ? AND success = ?"
        " AND run_id NOT IN (SELECT run_id FROM plan_exemplars"
        " WHERE tenant = ? AND digest = ? AND success = ?"
        " ORDER BY created_at DESC, run_id DESC LIMIT ?)",
        (*(tx.tenant, case, success), *(tx.tenant, case, success), EXEMPLARS),
    )


def _case_row(tx: Tx, row: Row) -> CaseRow:
    exemplars = tx.execute(
        "SELECT run_id, request, plan, vector, session_id, created_at FROM plan_exemplars"
        " WHERE tenant = ? AND digest = ? AND success = 1"
        " ORDER BY created_at DESC, run_id DESC",
        (tx.tenant, row[0]),
    )
    return CaseRow(
        digest=row[0],
        task_type=row[1],
        given=tuple(load_strings(row[2])),
        successes=row[3],
        failures=row[4],
        duration_us=row[5],
        cost_nusd=row[6],
        last_used=row[7],
        current_rate=row[8],
        version=row[9],
        exemplars=tuple(
            Exemplar(run_id, request, _plan_of(plan), vector, session_id, created_at)
            for run_id, request, plan, vector, session_id, created_at in exemplars.fetchall()
        ),
    )


# With each run of a plan its few exemplars are read again, and most of them say the same.
@lru_cache(maxsize=1024)
def _plan_of(text: str) -> JsonObject:
    return load_object(text)
