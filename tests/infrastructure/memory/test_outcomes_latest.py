"""The latest outcomes beside the counters, through every way in which they change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from workflow_fixtures import attempt, finished

from infrastructure.memory.finished_run import apply_feedback, finish_write
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.forgetting import forget
from infrastructure.memory.memori.latest_attempts import KEPT, NONE, LatestAttempts
from infrastructure.memory.memori.outcomes import OutcomeCount, outcome_counts
from infrastructure.memory.memori.runs import RunFeedback
from infrastructure.memory.memori.schema import MIGRATIONS


@pytest.fixture(params=["sqlite", "postgres"])
def memori(request: pytest.FixtureRequest) -> Iterator[Memori]:
    if request.param == "sqlite":
        opened = Memori.open(":memory:")
    else:
        opened = Memori.open(request.getfixturevalue("postgres_url"), durability="normal")
    yield opened
    opened.close()


def _counts(tx: Tx) -> dict[str, OutcomeCount]:
    return {count.agent: count for count in outcome_counts(tx)}


def _finish(memori: Memori, run: int, *outcomes: bool, at: float | None = None) -> None:
    tries = tuple(attempt(success) for success in outcomes)
    time = float(run) if at is None else at
    memori.commit_sync(finish_write(finished(f"r{run:03}", outcomes=tries, finished_at=time), time))


def _latest(memori: Memori) -> LatestAttempts:
    return memori.read_sync(_counts)["tester"].latest


def test_the_latest_are_kept_in_order_with_time_price_and_verdict(memori: Memori) -> None:
    for run in range(KEPT + 5):
        _finish(memori, run, run % 3 == 0)
    latest = _latest(memori)
    assert latest.times == tuple(range(5, KEPT + 5))
    assert latest.successes == tuple(run % 3 == 0 for run in range(5, KEPT + 5))
    assert latest.seconds == (1.5,) * KEPT
    assert latest.usd == pytest.approx([0.002] * KEPT)


def test_a_run_that_ended_earlier_takes_its_place_among_the_latest(memori: Memori) -> None:
    _finish(memori, 5, True)
    _finish(memori, 2, False, True)
    _finish(memori, 1, False, at=5.0)
    latest = _latest(memori)
    assert list(zip(latest.times, latest.successes, strict=True)) == [
        (2, False),
        (2, True),
        (5, False),
        (5, True),
    ]


def test_what_was_pushed_out_comes_back_when_later_runs_are_forgotten(memori: Memori) -> None:
    for run in range(KEPT):
        _finish(memori, run, True)
    before = _latest(memori)
    _finish(memori, KEPT, False, False, False)
    memori.commit_sync(lambda tx: forget(tx, run_id=f"r{KEPT:03}"))
    assert _latest(memori) == before


def test_a_correction_reaches_the_latest(memori: Memori) -> None:
    _finish(memori, 1, True)
    _finish(memori, 2, True)
    said = RunFeedback("r001", False, None, None, 9.0)
    memori.commit_sync(lambda tx: apply_feedback(tx, said))
    assert _latest(memori).successes == (False, True)


_steps = st.one_of(
    st.tuples(st.just("finish"), st.integers(0, 9), st.lists(st.booleans(), max_size=20)),
    st.tuples(st.just("forget"), st.integers(0, 9), st.just([])),
    st.tuples(st.just("say"), st.integers(0, 9), st.lists(st.booleans(), min_size=1, max_size=1)),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_steps, max_size=12))
def test_they_are_always_what_the_stored_outcomes_say(
    steps: Sequence[tuple[str, int, list[bool]]],
) -> None:
    memori = Memori.open(":memory:")
    try:
        for kind, run, verdicts in steps:
            if kind == "finish":
                _finish(memori, run, *verdicts, at=float(run % 4))
            elif kind == "forget":
                memori.commit_sync(lambda tx, run=run: forget(tx, run_id=f"r{run:03}"))
            elif memori.read_sync(lambda tx, run=run: _known(tx, run)):
                said = RunFeedback(f"r{run:03}", verdicts[0], None, None, 9.0)
                memori.commit_sync(lambda tx, said=said: apply_feedback(tx, said))
        kept = memori.read_sync(_counts)
        stored = memori.read_sync(_stored)
        expected = stored[-KEPT:]
        found = kept["tester"].latest if kept else NONE
        assert list(zip(found.times, found.successes, strict=True)) == expected
        assert len(stored) == sum(c.successes + c.failures for c in kept.values())
    finally:
        memori.close()


def _known(tx: Tx, run: int) -> bool:
    sql = "SELECT 1 FROM runs WHERE tenant = ? AND run_id = ?"
    return tx.execute(sql, (tx.tenant, f"r{run:03}")).fetchone() is not None


def _stored(tx: Tx) -> list[tuple[float, bool]]:
    rows = tx.execute(
        "SELECT created_at, counted FROM outcomes WHERE tenant = ?"
        " ORDER BY created_at, run_id, attempt",
        (tx.tenant,),
    )
    return [(row[0], bool(row[1])) for row in rows.fetchall()]


def test_counters_from_before_get_their_latest_attempts(memori: Memori) -> None:
    (step,) = (m for m in MIGRATIONS if m.name == "latest_outcomes")
    for run in range(3):
        _finish(memori, run, run == 1)
    before = memori.read_sync(_counts)

    def begin_again(tx: Tx) -> None:
        tx.execute("ALTER TABLE outcome_counts DROP COLUMN latest")
        step.apply(tx)

    memori.commit_sync(begin_again)
    assert memori.read_sync(_counts) == before
    assert _latest(memori).successes == (False, True, False)
