"""Tables of runs, workflows, outcomes, plans and archives.

A workflow is two rows: `executions` holds the few columns that count and stays; `workflows` holds
its steps and metadata and moves into an archive when its session is compacted. So feedback and
forgetting work the same before and after. In the aggregates an empty `session_id` means all
sessions. Durations are whole microseconds and costs whole billionths of a dollar: they subtract
exactly.
"""

from __future__ import annotations

from infrastructure.memory.memori import schema_archives
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.migration import Migration, define


def _create_runs(tx: Tx) -> None:
    define(
        tx,
        """
        CREATE TABLE runs (
            tenant TEXT NOT NULL,
            run_id TEXT NOT NULL,
            session_id TEXT NOT NULL,
            request TEXT NOT NULL,
            task_type TEXT NOT NULL,
            state TEXT NOT NULL,
            version TEXT NOT NULL,
            created_at REAL NOT NULL,
            finished_at REAL,
            recorded_success INTEGER,
            result TEXT NOT NULL,
            PRIMARY KEY (tenant, run_id)
        ) STRICT, WITHOUT ROWID
        """,
        "CREATE INDEX runs_by_time ON runs (tenant, created_at)",
        "CREATE INDEX runs_by_state ON runs (tenant, state, created_at)",
        "CREATE INDEX runs_by_session ON runs (tenant, session_id, created_at)",
        """
        CREATE TABLE run_events (
            tenant TEXT NOT NULL,
            run_id TEXT NOT NULL,
            seq INTEGER NOT NULL,
            body TEXT NOT NULL,
            PRIMARY KEY (tenant, run_id, seq)
        ) STRICT, WITHOUT ROWID
        """,
        """
        CREATE TABLE run_journals (
            tenant TEXT NOT NULL,
            run_id TEXT NOT NULL,
            sha256 TEXT NOT NULL,
            body BLOB NOT NULL,
            PRIMARY KEY (tenant, run_id)
        ) STRICT
        """,
        """
        CREATE TABLE run_feedback (
            tenant TEXT NOT NULL,
            run_id TEXT NOT NULL,
            success INTEGER,
            task_type TEXT,
            comment TEXT,
            created_at REAL NOT NULL,
            PRIMARY KEY (tenant, run_id)
        ) STRICT, WITHOUT ROWID
        """,
        "CREATE INDEX run_feedback_by_time ON run_feedback (tenant, created_at)",
    )


def _create_workflows(tx: Tx) -> None:
    define(
        tx,
        """
        CREATE TABLE executions (
            tenant TEXT NOT NULL,
            id TEXT NOT NULL,
            run_id TEXT NOT NULL,
            session_id TEXT NOT NULL,
            task_type TEXT NOT NULL,
            digest TEXT NOT NULL,
            success INTEGER NOT NULL,
            recalled INTEGER NOT NULL,
            duration_us INTEGER NOT NULL,
            cost_nusd INTEGER NOT NULL,
            created_at REAL NOT NULL,
            chunk INTEGER NOT NULL,
            PRIMARY KEY (tenant, id)
        ) STRICT, WITHOUT ROWID
        """,
        "CREATE INDEX executions_by_run ON executions (tenant, run_id)",
        "CREATE INDEX executions_by_time ON executions (tenant, created_at)",
        "CREATE INDEX executions_by_pattern"
        " ON executions (tenant, task_type, digest, created_at, id)",
        "CREATE INDEX executions_by_recall ON executions (tenant, task_type, recalled, created_at)",
        "CREATE INDEX executions_by_session"
        " ON executions (tenant, session_id, task_type, digest, created_at, id)",
        """
        CREATE TABLE workflows (
            tenant TEXT NOT NULL,
            id TEXT NOT NULL,
            session_id TEXT NOT NULL,
            created_at REAL NOT NULL,
            steps TEXT NOT NULL,
            metadata TEXT NOT NULL,
            duration_s REAL NOT NULL,
            cost_usd REAL NOT NULL,
            PRIMARY KEY (tenant, id)
        ) STRICT, WITHOUT ROWID
        """,
        "CREATE INDEX workflows_by_session ON workflows (tenant, session_id, created_at, id)",
        """
        CREATE TABLE pattern_counts (
            tenant TEXT NOT NULL,
            session_id TEXT NOT NULL,
            task_type TEXT NOT NULL,
            digest TEXT NOT NULL,
            steps TEXT NOT NULL,
            successes INTEGER NOT NULL,
            failures INTEGER NOT NULL,
            duration_us INTEGER NOT NULL,
            cost_nusd INTEGER NOT NULL,
            last_used REAL NOT NULL,
            supporting_runs TEXT NOT NULL,
            current_rate REAL NOT NULL,
            score REAL NOT NULL,
            mean_cost REAL NOT NULL,
            mean_duration REAL NOT NULL,
            PRIMARY KEY (tenant, session_id, task_type, digest)
        ) STRICT, WITHOUT ROWID
        """,
        "CREATE INDEX pattern_counts_best ON pattern_counts"
        " (tenant, session_id, task_type, score DESC, mean_cost, mean_duration, digest)",
        "CREATE INDEX pattern_counts_best_sessions ON pattern_counts"
        " (tenant, task_type, score DESC, mean_cost, mean_duration, digest)"
        " WHERE session_id <> ''",
        """
        CREATE TABLE workflow_counts (
            tenant TEXT NOT NULL,
            session_id TEXT NOT NULL,
            width INTEGER NOT NULL,
            start INTEGER NOT NULL,
            task_type TEXT NOT NULL,
            recalled INTEGER NOT NULL,
            successes INTEGER NOT NULL,
            failures INTEGER NOT NULL,
            duration_us INTEGER NOT NULL,
            cost_nusd INTEGER NOT NULL,
            PRIMARY KEY (tenant, session_id, width, start, task_type, recalled)
        ) STRICT, WITHOUT ROWID
        """,
    )


def _create_outcomes(tx: Tx) -> None:
    define(
        tx,
        """
        CREATE TABLE outcomes (
            tenant TEXT NOT NULL,
            run_id TEXT NOT NULL,
            attempt INTEGER NOT NULL,
            task_id TEXT NOT NULL,
            task_type TEXT NOT NULL,
            operation TEXT NOT NULL,
            agent TEXT NOT NULL,
            model TEXT NOT NULL,
            effort TEXT NOT NULL,
            verified INTEGER NOT NULL,
            counted INTEGER NOT NULL,
            duration_us INTEGER NOT NULL,
            cost_nusd INTEGER NOT NULL,
            created_at REAL NOT NULL,
            PRIMARY KEY (tenant, run_id, attempt)
        ) STRICT, WITHOUT ROWID
        """,
        "CREATE INDEX outcomes_by_key ON outcomes"
        " (tenant, task_type, operation, agent, model, effort, created_at)",
        """
        CREATE TABLE outcome_counts (
            tenant TEXT NOT NULL,
            task_type TEXT NOT NULL,
            operation TEXT NOT NULL,
            agent TEXT NOT NULL,
            model TEXT NOT NULL,
            effort TEXT NOT NULL,
            successes INTEGER NOT NULL,
            failures INTEGER NOT NULL,
            duration_us INTEGER NOT NULL,
            cost_nusd INTEGER NOT NULL,
            last_used REAL NOT NULL,
            PRIMARY KEY (tenant, task_type, operation, agent, model, effort)
        ) STRICT, WITHOUT ROWID
        """,
    )


def _create_plan_cases(tx: Tx) -> None:
    define(
        tx,
        """
        CREATE TABLE plan_cases (
            tenant TEXT NOT NULL,
            digest TEXT NOT NULL,
            structure TEXT NOT NULL,
            task_type TEXT NOT NULL,
            given TEXT NOT NULL,
            successes INTEGER NOT NULL,
            failures INTEGER NOT NULL,
            duration_us INTEGER NOT NULL,
            cost_nusd INTEGER NOT NULL,
            last_used REAL NOT NULL,
            current_rate REAL NOT NULL,
            version INTEGER NOT NULL,
            PRIMARY KEY (tenant, digest)
        ) STRICT, WITHOUT ROWID
        """,
        "CREATE INDEX plan_cases_by_version ON plan_cases (tenant, version)",
        """
        CREATE TABLE plan_runs (
            tenant TEXT NOT NULL,
            run_id TEXT NOT NULL,
            digest TEXT NOT NULL,
            success INTEGER NOT NULL,
            duration_us INTEGER NOT NULL,
            cost_nusd INTEGER NOT NULL,
            created_at REAL NOT NULL,
            PRIMARY KEY (tenant, run_id)
        ) STRICT, WITHOUT ROWID
        """,
        "CREATE INDEX plan_runs_by_case ON plan_runs (tenant, digest, created_at, run_id)",
        """
        CREATE TABLE plan_exemplars (
            tenant TEXT NOT NULL,
            run_id TEXT NOT NULL,
            digest TEXT NOT NULL,
            success INTEGER NOT NULL,
            session_id TEXT NOT NULL,
            created_at REAL NOT NULL,
            request TEXT NOT NULL,
            plan TEXT NOT NULL,
            vector BLOB NOT NULL,
            PRIMARY KEY (tenant, run_id)
        ) STRICT
        """,
        "CREATE INDEX plan_exemplars_by_case"
        " ON plan_exemplars (tenant, digest, success, created_at)",
    )


def _create_archives(tx: Tx) -> None:
    define(
        tx,
        """
        CREATE TABLE archives (
            tenant TEXT NOT NULL,
            session_id TEXT NOT NULL,
            chunk INTEGER NOT NULL,
            namespace TEXT NOT NULL,
            records INTEGER NOT NULL,
            original_bytes INTEGER NOT NULL,
            encoding TEXT NOT NULL,
            dictionary INTEGER NOT NULL,
            sha256 TEXT NOT NULL,
            body BLOB NOT NULL,
            PRIMARY KEY (tenant, session_id, chunk)
        ) STRICT
        """,
        """
        CREATE TABLE compactions (
            tenant TEXT NOT NULL,
            session_id TEXT NOT NULL,
            records INTEGER NOT NULL,
            original_bytes INTEGER NOT NULL,
            compressed_bytes INTEGER NOT NULL,
            patterns_extracted INTEGER NOT NULL,
            duration_ms REAL NOT NULL,
            compacted_at REAL NOT NULL,
            PRIMARY KEY (tenant, session_id)
        ) STRICT, WITHOUT ROWID
        """,
        """
        CREATE TABLE compaction_totals (
            tenant TEXT NOT NULL PRIMARY KEY,
            sessions INTEGER NOT NULL,
            records INTEGER NOT NULL,
            original_bytes INTEGER NOT NULL,
            compressed_bytes INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID
        """,
    )


def _help_planner(tx: Tx) -> None:
    """Leave PostgreSQL's planner one good way, also before it knows how values are distributed.

    It takes the columns of a table for independent of one another, so that totals of all sessions
    need a width that no session's total has. And of two indexes that begin with the same columns it
    may take the one that reads a whole task type.
    """
    define(
        tx,
        "UPDATE workflow_counts SET width = -1 WHERE session_id = '' AND width = 0",
        "DROP INDEX executions_by_recall",
        "CREATE INDEX executions_by_recall"
        " ON executions (tenant, recalled, task_type, created_at, id)",
    )


MIGRATIONS: tuple[Migration, ...] = (
    Migration("runs", _create_runs),
    Migration("workflows", _create_workflows),
    Migration("outcomes", _create_outcomes),
    Migration("plan_cases", _create_plan_cases),
    Migration("archives", _create_archives),
    *schema_archives.MIGRATIONS,
    Migration("workflow_totals", _help_planner),
)
