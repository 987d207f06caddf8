"""Counters equal a recount from nothing, whatever was stored, corrected, forgotten, compacted."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from workflow_fixtures import START, finished, workflow

from infrastructure.errors import InputError
from infrastructure.memory.compaction_service import CompactionService
from infrastructure.memory.finished_run import apply_feedback, finish_write
from infrastructure.memory.memori import outcomes, plan_cases, run_journal, runs, workflow_metrics
from infrastructure.memory.memori import patterns as pattern_queries
from infrastructure.memory.memori.counting import to_micros, to_nanos, wilson
from infrastructure.memory.memori.dialect import Dialect, Tx
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.forgetting import forget
from infrastructure.memory.memori.runs import RunFeedback
from infrastructure.memory.memori.schema import MIGRATIONS
from infrastructure.memory.memori.workflows import (
    Workflow,
    correct_workflows,
    forget_workflows,
    session_rows,
    store_workflow,
)
from infrastructure.memory.workflow_memory import WorkflowMemory

TYPES = ("testing", "debugging", "custom_task")
STEPS = ((), ("a:x:m",), ("a:x:m", "b:y:"))
SESSIONS = ("s1", "s2")
_examples = count()


@pytest.fixture
def memori(place: str) -> Iterator[Memori]:
    store = Memori.open(place)
    yield store
    store.close()


@pytest.fixture
def quick(place: str) -> Iterator[Memori]:
    """A store that does not wait for the disk."""
    store = Memori.open(place, durability="normal")
    yield store
    store.close()


workflows = st.builds(
    workflow,
    st.sampled_from([f"w{n}" for n in range(12)]),
    run_id=st.sampled_from(["r1", "r2", "r3", "r4"]),
    task_type=st.sampled_from(TYPES),
    steps=st.sampled_from(STEPS),
    success=st.booleans(),
    duration_s=st.floats(0, 1e6),
    cost_usd=st.floats(0, 10),
    session_id=st.sampled_from(SESSIONS),
    created_at=st.floats(START, START + 200_000),
    metadata=st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=5), max_size=2),
    recalled=st.none() | st.booleans(),
)
run_ids = st.sampled_from(["r1", "r2", "r3", "r4"])
actions = st.one_of(
    st.tuples(st.just("store"), workflows),
    st.tuples(
        st.just("correct"),
        st.tuples(run_ids, st.none() | st.booleans(), st.none() | st.sampled_from(TYPES)),
    ),
    st.tuples(st.just("forget"), run_ids),
    st.tuples(st.just("compact"), st.sampled_from(SESSIONS)),
)


@dataclass
class Model:
    """What the store ought to hold: a plain list, recounted for every question."""

    rows: dict[str, Workflow]

    def count(self, since: float | None, session: str | None) -> dict[tuple[str, int], list[int]]:
        counts: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        for row in self.rows.values():
            if (since is not None and row.created_at < since) or (
                session is not None and row.session_id != session
            ):
                continue
            recalled = -1 if row.recalled is None else int(row.recalled)
            total = counts[row.task_type, recalled]
            total[0] += row.success
            total[1] += not row.success
            total[2] += to_micros(row.duration_s)
            total[3] += to_nanos(row.cost_usd)
        return dict(counts)

    def patterns(
        self, task_type: str, session: str
    ) -> dict[tuple[str, ...], tuple[int, int, float]]:
        found: dict[tuple[str, ...], list[Workflow]] = defaultdict(list)
        for row in self.rows.values():
            if row.task_type == task_type and row.steps and session in ("", row.session_id):
                found[row.steps].append(row)
        return {
            steps: (len(rows), sum(r.success for r in rows), max(r.created_at for r in rows))
            for steps, rows in found.items()
            if any(r.success for r in rows)
        }


def _apply(memori: Memori, service: CompactionService, model: Model, action: Any) -> None:
    kind, value = action
    if kind == "store":
        (new,) = memori.commit_sync(lambda tx: store_workflow(tx, value))
        assert new == (value.id not in model.rows)
        model.rows.setdefault(value.id, value)
    elif kind == "correct":
        run_id, success, task_type = value
        for _ in range(2):  # the second time changes nothing
            memori.commit_sync(lambda tx: correct_workflows(tx, run_id, success, task_type))
        for row in model.rows.values():
            if row.run_id == run_id:
                model.rows[row.id] = replace(
                    row,
                    success=row.success if success is None else success,
                    task_type=task_type or row.task_type,
                )
    elif kind == "forget":
        memori.commit_sync(lambda tx: forget_workflows(tx, value))
        model.rows = {k: row for k, row in model.rows.items() if row.run_id != value}
    else:
        service._compact(memori, value, "orchestrator", extract=True)  # pyright: ignore[reportPrivateUsage]  # the law runs without a loop


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(actions, max_size=25), st.floats(START - 10, START + 200_010))
def test_counters_equal_a_recount(quick: Memori, sequence: Sequence[Any], since: float) -> None:
    memori = quick.for_tenant(f"example {next(_examples)}")  # empty, without a new database
    service, model = CompactionService(WorkflowMemory(memori)), Model({})
    for action in sequence:
        _apply(memori, service, model, action)
    for moment in (None, since):
        for session in (None, *SESSIONS):
            assert _counts(memori, moment, session) == model.count(moment, session)
    for task_type in TYPES:
        for session in ("", *SESSIONS):
            assert _patterns(memori, task_type, session) == model.patterns(task_type, session)
    for session in SESSIONS:
        rows = [r for r in model.rows.values() if r.session_id == session]
        rows.sort(key=lambda row: (row.created_at, row.id))
        assert _session(memori, session) == rows


def _session(memori: Memori, session: str) -> list[Workflow]:
    return memori.read_sync(lambda tx: session_rows(tx, session)).workflows()


def _counts(
    memori: Memori, since: float | None, session: str | None
) -> dict[tuple[str, int], list[int]]:
    rows = memori.read_sync(lambda tx: workflow_metrics.workflow_counts(tx, None, since, session))
    return {
        (r.task_type, r.recalled): [r.successes, r.failures, r.duration_us, r.cost_nusd]
        for r in rows
    }


def _patterns(
    memori: Memori, task_type: str, session: str
) -> dict[tuple[str, ...], tuple[int, int, float]]:
    found = memori.read_sync(lambda tx: pattern_queries.patterns(tx, task_type, 0.0, session))
    return {
        tuple(p.workflow_steps): (p.total_executions, p.successful_executions, p.last_used)
        for p in found
    }


def test_forgetting_everything_leaves_no_counter(memori: Memori) -> None:
    for n in range(5):
        row = workflow(f"w{n}", run_id="r", success=n % 2 == 0)
        memori.commit_sync(lambda tx, row=row: store_workflow(tx, row))
    memori.commit_sync(lambda tx: forget_workflows(tx, "r"))
    for table in ("executions", "workflows", "pattern_counts", "workflow_counts"):
        sql = f"SELECT COUNT(*) FROM {table}"
        assert memori.read_sync(lambda tx, sql=sql: tx.execute(sql).fetchone()) == (0,)


def test_repeated_upserts_of_one_pattern_stay_one_row(memori: Memori) -> None:
    # The same id three times, then two more of the same pattern: one row, and its counts right.
    for name in ("a", "a", "a", "b", "c"):
        memori.commit_sync(lambda tx, name=name: store_workflow(tx, workflow(name)))
    count = "SELECT COUNT(*) FROM pattern_counts WHERE session_id = ''"
    assert memori.read_sync(lambda tx: tx.execute(count).fetchone()) == (1,)
    (pattern,) = memori.read_sync(lambda tx: pattern_queries.patterns(tx, "testing"))
    assert pattern.total_executions == 3


def test_the_surer_pattern_comes_before_the_luckier_one(memori: Memori) -> None:
    rows = [workflow("lucky", steps=("once",))]
    rows += [workflow(f"w{n}", steps=("often",), success=n != 3) for n in range(20)]
    for row in rows:
        memori.commit_sync(lambda tx, row=row: store_workflow(tx, row))
    found = memori.read_sync(lambda tx: pattern_queries.patterns(tx, "testing"))
    assert [p.workflow_steps for p in found] == [["often"], ["once"]]
    assert found[0].success_rate == 0.95


def test_equal_success_is_ranked_by_cost_then_duration(memori: Memori) -> None:
    for name, cost, duration in (("dear", 2.0, 1.0), ("slow", 1.0, 9.0), ("best", 1.0, 2.0)):
        row = workflow(name, steps=(name,), cost_usd=cost, duration_s=duration)
        memori.commit_sync(lambda tx, row=row: store_workflow(tx, row))
    found = memori.read_sync(lambda tx: pattern_queries.patterns(tx, "testing"))
    assert [p.workflow_steps[0] for p in found] == ["best", "slow", "dear"]


def test_a_pattern_that_begins_to_fail_is_demoted_by_itself(memori: Memori) -> None:
    for n in range(60):
        row = workflow(f"w{n:02}", success=n < 53, created_at=START + n)
        memori.commit_sync(lambda tx, row=row: store_workflow(tx, row))
    # 53 of 60 is above the threshold, the last ten with seven failures are not.
    assert memori.read_sync(lambda tx: pattern_queries.patterns(tx, "testing")) == []
    (pattern,) = memori.read_sync(lambda tx: pattern_queries.patterns(tx, "testing", 0.0))
    assert pattern.success_rate == pytest.approx(53 / 60)


def test_tenants_do_not_see_each_other(memori: Memori) -> None:
    memori.commit_sync(lambda tx: store_workflow(tx, workflow("w")))
    other = memori.for_tenant("other")
    assert _counts(other, None, None) == {}
    other.commit_sync(lambda tx: store_workflow(tx, workflow("w", success=False)))
    assert _counts(memori, None, None) == {("testing", -1): [1, 0, 2_000_000, 10_000_000]}


@pytest.mark.parametrize(
    "wrong",
    [
        {"duration_s": -1.0},
        {"duration_s": float("nan")},
        {"cost_usd": float("inf")},
        {"cost_usd": -0.1},
        {"task_type": " "},
        {"session_id": ""},
        {"success": 1},
        {"success": "completed"},
        {"duration_s": True},
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        workflow("w", **wrong)


def test_metadata_that_is_not_json_stores_nothing(memori: Memori) -> None:
    row = workflow("w", metadata={"when": object()})
    with pytest.raises(InputError, match="not plain JSON"):
        memori.commit_sync(lambda tx: store_workflow(tx, row))
    assert _counts(memori, None, None) == {}


@given(st.integers(0, 500), st.integers(0, 500))
def test_wilson_brackets_the_rate(successes: int, failures: int) -> None:
    low, high = wilson(successes, successes + failures)
    assert 0 <= low <= high <= 1
    if successes + failures:
        assert low <= successes / (successes + failures) <= high


class _Explained:
    """A Tx that keeps the query plan of every statement it runs."""

    tenant = "t"
    dialect: Dialect = "sqlite"

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.plans: list[str] = []
        self.explaining = False

    def execute(self, sql: str, params: Sequence[Any] = ()) -> sqlite3.Cursor:
        if self.explaining:
            rows = self.connection.execute(f"EXPLAIN QUERY PLAN {sql}", params)
            self.plans += [detail for *_, detail in rows]
        return self.connection.execute(sql, params)


@pytest.fixture
def explained() -> Iterator[_Explained]:
    tx = _Explained()
    for migration in MIGRATIONS:
        migration.apply(tx)
    store_workflow(tx, workflow("w"))
    tx.explaining = True
    yield tx
    tx.connection.close()


def _table_scans(tx: _Explained) -> list[str]:
    tables = {
        name
        for (name,) in tx.connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    }
    assert any("SEARCH" in plan for plan in tx.plans)
    return [
        plan for plan in tx.plans if plan.startswith("SCAN") and tables.intersection(plan.split())
    ]


@pytest.mark.parametrize("session_id", ["", "s"])
def test_patterns_are_read_in_order_from_an_index(explained: _Explained, session_id: str) -> None:
    tx: Tx = explained
    pattern_queries.patterns(tx, "testing", 0.7, session_id)
    pattern_queries.patterns_by_session(tx, "testing")
    assert _table_scans(explained) == []
    assert not any("TEMP B-TREE" in plan for plan in explained.plans)
    assert not any("executions" in plan for plan in explained.plans)


def test_metrics_and_writes_touch_no_table_whole(explained: _Explained) -> None:
    tx: Tx = explained
    workflow_metrics.workflow_counts(tx)
    assert not any("executions" in plan for plan in explained.plans)
    workflow_metrics.workflow_counts(tx, "testing", START - 5.5)
    workflow_metrics.workflow_counts(tx, None, START, "s")
    workflow_metrics.sample(tx, "testing")
    workflow_metrics.sample(tx, "testing", START, "s")
    store_workflow(tx, workflow("w2"))
    correct_workflows(tx, "w2", success=False, task_type="debugging")
    forget_workflows(tx, "w2")
    assert _table_scans(explained) == []


def test_ending_correcting_and_listing_runs_touches_no_table_whole(explained: _Explained) -> None:
    tx: Tx = explained
    for n in range(3):
        finish_write(finished(f"r{n}", success=n > 0, events=(f'{{"n":{n}}}',)), START)(tx)
    apply_feedback(tx, RunFeedback("r1", False, "debugging", None, START))
    runs.list_runs(tx, state="running", since=START)
    runs.list_runs(tx, session_id="s")
    run_journal.journal(tx, "r1")
    runs.corrected_task_types(tx)
    outcomes.outcome_counts(tx, ["testing"])
    plan_cases.changed_cases(tx, 0, 10)
    forget(tx, run_id="r1")
    assert _table_scans(explained) == []
