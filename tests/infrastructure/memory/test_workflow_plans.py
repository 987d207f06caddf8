"""PostgreSQL reads counters by index, before it knows how values are distributed and after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
import pytest
from workflow_fixtures import START, workflow

from infrastructure.memory.learning_metrics import learning_metrics
from infrastructure.memory.memori import patterns, workflow_metrics
from infrastructure.memory.memori.dialect import Dialect, Rows, SqlValue, Tx
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.workflows import (
    correct_workflows,
    run_executions,
    session_rows,
    store_workflow,
)

ROWS = 2000


class _Explained:
    """A Tx that keeps the plan of every query and update that it runs."""

    def __init__(self, tx: Tx) -> None:
        self.tenant = tx.tenant
        self.dialect: Dialect = tx.dialect
        self.plans: list[str] = []
        self._tx = tx

    def execute(self, sql: str, params: Sequence[SqlValue] = ()) -> Rows:
        if not sql.startswith("INSERT"):
            lines = self._tx.execute(f"EXPLAIN {sql}", params).fetchall()
            self.plans.append("\n".join([sql, *(str(line) for (line,) in lines)]))
        return self._tx.execute(sql, params)


def _fill(memori: Memori) -> None:
    rows = [
        workflow(
            f"w{n}",
            task_type=f"type{n % 3}",
            steps=(f"step {n % 7}",),
            session_id=f"s{n // 5}",
            created_at=START + 90.0 * n,
            recalled=n % 2 == 0,
        )
        for n in range(ROWS)
    ]

    def store(tx: Tx) -> None:
        for row in rows:
            store_workflow(tx, row)

    memori.commit_sync(store)


def _use(tx: Tx) -> list[str]:
    """The plans of what is asked and changed all the time."""
    explained = _Explained(tx)
    middle = START + 45.0 * ROWS
    patterns.patterns(explained, "type1")
    patterns.patterns(explained, "type1", 0.7, "s7")
    patterns.patterns_by_session(explained, "type1")
    patterns.session_patterns(explained, "s7")
    for task_type in (None, "type1"):
        workflow_metrics.workflow_counts(explained, task_type)
        workflow_metrics.workflow_counts(explained, task_type, middle)
        workflow_metrics.workflow_counts(explained, task_type, None, "s7")
        workflow_metrics.workflow_counts(explained, task_type, middle, "s7")
    learning_metrics(explained, "type1", None, "s7")
    session_rows(explained, "s7")
    run_executions(explained, "w77")
    correct_workflows(explained, "w77", success=False, task_type="type2")
    return explained.plans


@pytest.mark.parametrize("analysed", [False, True])
def test_every_query_goes_by_an_index_that_fits(postgres_url: str, analysed: bool) -> None:
    memori = Memori.open(postgres_url, durability="normal")
    _fill(memori)
    if analysed:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute("ANALYZE")
    (plans,) = memori.commit_sync(_use)
    memori.close()
    for table in ("executions", "workflows", "workflow_counts", "pattern_counts"):
        assert not [plan for plan in plans if f"Seq Scan on {table} " in plan]
    latest = [plan for plan in plans if "digest = ? ORDER BY created_at DESC, id DESC" in plan]
    assert len(latest) >= 4
    assert all("executions_by_pattern" in p or "executions_by_session" in p for p in latest)


def test_totals_of_an_older_version_are_found_again(shared_place: str) -> None:
    memori = Memori.open(shared_place)
    for n in range(3):
        memori.commit_sync(
            lambda tx, n=n: store_workflow(tx, workflow(f"w{n}", session_id=f"s{n}"))
        )
    before = _metrics(memori)
    memori.commit_sync(
        lambda tx: tx.execute("UPDATE workflow_counts SET width = 0 WHERE width = -1"),
        lambda tx: tx.execute("DELETE FROM memori_migrations WHERE name = 'workflow_totals'"),
    )
    memori.close()
    memori = Memori.open(shared_place)
    assert _metrics(memori) == before
    assert before[0]["total_workflows_executed"] == 3
    memori.close()


def _metrics(memori: Memori) -> list[dict[str, Any]]:
    return memori.read_sync(
        lambda tx: [learning_metrics(tx), learning_metrics(tx, None, None, "s1")]
    )
