"""What makes a task look hard."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from route_samples import TASK, Row

from genesis.routing.belief import Belief
from genesis.routing.difficulty import estimate_difficulty

ASK = "How many rows are there?"


def _value(request: str = ASK, *rows: Row, size: int = 0) -> float:
    return estimate_difficulty(
        TASK, request, {"dataset": "/d"}, Belief(rows), size_of=lambda _: size
    ).value


def test_questions_length_size_and_failures_each_add() -> None:
    plain = _value()
    assert _value("How many? Which month? Why?") > plain
    assert _value(ASK + " Please " + "very " * 500) > plain
    assert _value(size=10**9) > plain
    assert _value(ASK, Row("a", 0, 30)) > plain > _value(ASK, Row("a", 300, 0))


def test_writing_code_looks_harder_than_running_tests() -> None:
    values = [
        estimate_difficulty(replace(TASK, task_type=name), ASK, {}, Belief()).value
        for name in ("testing", "household", "code_generation")
    ]
    assert values == sorted(values)


def test_the_reason_names_what_counted(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(b"x" * 1234)
    found = estimate_difficulty(TASK, ASK, {"dataset": str(file)}, Belief([Row("a", 1, 1)]))
    assert "a data_analysis task" in found.reason
    assert "1,234 bytes of input" in found.reason
    assert "of 2 attempts failed" in found.reason


def test_a_file_that_is_not_there_has_no_size() -> None:
    inputs = {"dataset": "/nowhere/\0"}
    assert 0 <= estimate_difficulty(TASK, ASK, inputs, Belief()).value <= 1


@given(request=st.text(max_size=200), size=st.integers(0, 10**15), failures=st.integers(0, 1000))
def test_it_stays_between_routine_and_hard(request: str, size: int, failures: int) -> None:
    assert 0 <= _value(request, Row("a", 0, failures), size=size) <= 1
