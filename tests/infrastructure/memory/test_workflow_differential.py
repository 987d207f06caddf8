"""The same runs, corrections and questions have the same answers on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from workflow_fixtures import START, attempt, finished, workflow

from infrastructure.errors import InputError
from infrastructure.jsonvalue import JsonObject
from infrastructure.memory.finished_run import FinishedRun, apply_feedback, finish_write
from infrastructure.memory.learning_metrics import learning_metrics
from infrastructure.memory.memori import (
    outcomes,
    patterns,
    plan_cases,
    run_journal,
    runs,
    workflow_metrics,
    workflows,
)
from infrastructure.memory.memori.dialect import Tx, Write
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.forgetting import forget
from infrastructure.memory.memori.jsontext import dump_json
from infrastructure.memory.memori.runs import RunFeedback, RunRecord
from infrastructure.memory.memori.workflows import Workflow

# Texts whose order differs between code points and the rules of a language.
RUNS = ("a", "B", "ä", "_", "a b", "ab", "\U0001f600", "\uffee")
TYPES = ("testing", "Testing", "z", "é")
SESSIONS = ("s", "S", "s s")
_examples = count()

run_ids = st.sampled_from(RUNS)
times = st.floats(START, START + 200_000) | st.sampled_from([START, START + 60])
objects = st.dictionaries(
    st.text(max_size=3), st.none() | st.booleans() | st.integers() | st.text(max_size=3), max_size=2
)
attempts = st.builds(
    attempt,
    st.booleans(),
    st.sampled_from(["tester", "Tester", "ö"]),
    st.sampled_from(["t1", "t2"]),
)


def _finish(run: FinishedRun, finished_at: float) -> Write[Any]:
    return finish_write(run, finished_at)


def _accept(run: RunRecord) -> Write[Any]:
    return lambda tx: runs.accept_run(tx, run)


def _append(run_id: str, events: list[JsonObject], first_seq: int | None) -> Write[Any]:
    return lambda tx: run_journal.append_lines(
        tx, run_id, [dump_json(e) for e in events], first_seq
    )


def _store(row: Workflow) -> Write[Any]:
    return lambda tx: workflows.store_workflow(tx, row)


def _say(said: RunFeedback) -> Write[Any]:
    return lambda tx: apply_feedback(tx, said)


def _forget(run_id: str) -> Write[Any]:
    return lambda tx: forget(tx, run_id=run_id)


finishes = st.builds(
    _finish,
    st.builds(
        finished,
        run_ids,
        st.booleans(),
        st.lists(attempts, max_size=3),
        session_id=st.sampled_from(SESSIONS),
        task_type=st.sampled_from(TYPES),
        steps=st.sampled_from([(), ("b",), ("B", "a")]),
        duration_s=st.floats(0, 1e9),
        cost_usd=st.floats(0, 1e6),
        recalled=st.none() | st.booleans(),
        metadata=objects,
        given=st.sampled_from([(), ("project",)]),
        plan=st.none() | st.sampled_from([{"p": 1}, {"p": 2.5}]),
        structure=st.none() | st.just("same"),
        vector=st.none() | st.just(np.array([0.5, -1.0], dtype=np.float32)),
        events=st.lists(objects.map(dump_json), max_size=2).map(tuple),
        result=objects,
    ),
    times,
)
writes: st.SearchStrategy[Write[Any]] = st.one_of(
    finishes,
    st.builds(
        _accept,
        st.builds(
            RunRecord, run_ids, st.sampled_from(SESSIONS), st.text("ab \n", max_size=4), times
        ),
    ),
    st.builds(
        _append,
        run_ids,
        st.lists(objects, max_size=2),
        st.none() | st.integers(1, 4),
    ),
    st.builds(
        _store,
        st.builds(
            workflow,
            run_ids,
            run_id=run_ids,
            task_type=st.sampled_from(TYPES),
            session_id=st.sampled_from(SESSIONS),
            success=st.booleans(),
            created_at=times,
            duration_s=st.integers(0, 9),
            recalled=st.none() | st.booleans(),
        ),
    ),
    st.builds(
        _say,
        st.builds(
            RunFeedback,
            run_ids,
            st.none() | st.booleans(),
            st.none() | st.sampled_from(TYPES),
            st.none() | st.text("ä%?'", max_size=3),
            times,
        ),
    ),
    st.builds(_forget, run_ids),
)


def answers(tx: Tx, since: float, rate: float, limit: int) -> list[Any]:
    """All that the store can be asked, in the order in which it answers."""
    found: list[Any] = [
        outcomes.outcome_counts(tx),
        outcomes.outcome_counts(tx, ["z", "testing"]),
        plan_cases.changed_cases(tx, 0, 100),
        plan_cases.changed_cases(tx, 2, limit),
        runs.corrected_task_types(tx, limit),
        workflow_metrics.workflow_counts(tx),
        learning_metrics(tx),
        learning_metrics(tx, None, since),
    ]
    for session in SESSIONS:
        found += [
            patterns.session_patterns(tx, session, limit),
            runs.list_runs(tx, session_id=session, since=since),
            workflow_metrics.workflow_counts(tx, "testing", since, session),
            learning_metrics(tx, None, None, session),
            workflows.session_rows(tx, session).workflows(),
        ]
    for task_type in TYPES:
        found += [
            patterns.patterns(tx, task_type, rate, limit=limit),
            patterns.patterns(tx, task_type, 0, "s"),
            patterns.patterns_by_session(tx, task_type, rate, limit),
            workflow_metrics.sample(tx, task_type, since),
            workflow_metrics.sample(tx, task_type, None, "s"),
        ]
    for run_id in RUNS:
        found += [
            runs.get_run(tx, run_id),
            run_journal.journal(tx, run_id),
            runs.get_feedback(tx, run_id),
            workflows.run_executions(tx, run_id),
        ]
    return [*found, *(runs.list_runs(tx, state=state, limit=limit) for state in runs.STATES)]


@pytest.fixture
def pair(postgres_url: str) -> Iterator[tuple[Memori, Memori]]:
    """A store on each database."""
    both = (Memori.open(":memory:"), Memori.open(postgres_url, durability="normal"))
    yield both
    for memori in both:
        memori.close()


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.lists(writes, min_size=1, max_size=3), max_size=8),
    times,
    st.sampled_from([0, 0.5, 1]),
    st.integers(1, 4),
)
def test_both_databases_answer_alike(
    pair: tuple[Memori, Memori],
    commits: Sequence[Sequence[Write[Any]]],
    since: float,
    rate: float,
    limit: int,
) -> None:
    tenant = f"example {next(_examples)}"
    own, other = (memori.for_tenant(tenant) for memori in pair)
    for together in commits:
        assert _told(own, together) == _told(other, together)

    def query(tx: Tx) -> list[Any]:
        return answers(tx, since, rate, limit)

    for mine, theirs in zip(own.read_sync(query), other.read_sync(query), strict=True):
        assert mine == theirs
        assert repr(mine) == repr(theirs)  # 1, 1.0, True and a decimal are equal and differ


def _told(memori: Memori, together: Sequence[Write[Any]]) -> object:
    """What came of a commit: results, or why it was refused."""
    try:
        return memori.commit_sync(*together)
    except InputError as error:
        return str(error)
