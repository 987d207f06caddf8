"""What is wrong with drafts: each fault told once, by its kind, its task and its datum."""

from __future__ import annotations

from dataclasses import replace

import pytest
from draft_samples import GIVEN, problems
from hypothesis import given
from plan_samples import task

from genesis.errors import InvalidPlan
from genesis.planning import Catalogue, Limits, Operation, PlanDraft, validate
from genesis.tasks.dag import TaskDAG
from genesis.tasks.task import Task

CATALOGUE = Catalogue(
    [
        Operation("load", ("raw",), ("table",), 2, 1.0),
        Operation("clean", ("table",), ("tidy",), 3, 1.0),
        Operation("report", ("tidy",), ("report",), 1, 1.0),
        Operation("count", ("table",), ("counts",), 1, 1.0),
        Operation("weigh", ("table",), ("weights",), 1, 1.0),
    ]
)
LOAD = task("l", "load", ("raw",), ("table",))
CLEAN = task("c", "clean", ("table",), ("tidy",), ("l",))
REPORT = task("r", "report", ("tidy",), ("report",), ("c",))
COUNT = task("n", "count", ("table",), ("counts",), ("l",))


def found(*tasks: Task, asked: tuple[str, ...] = ("report",)) -> list[tuple[str, str, str, str]]:
    report = validate(PlanDraft(tasks, GIVEN, asked), CATALOGUE)
    return [(f.kind, f.task_id, f.datum, f.other) for f in report.findings]


@pytest.mark.parametrize(
    ("tasks", "findings"),
    [
        ((LOAD, CLEAN, REPORT), []),
        ((REPORT, CLEAN, LOAD), []),
        # A missing task is one fault, not also what fed it, nor the id that is gone.
        ((LOAD, REPORT), [("no_producer", "r", "tidy", "")]),
        ((LOAD, CLEAN), [("incomplete", "", "report", "")]),
        ((REPORT,), [("no_producer", "r", "tidy", "")]),
        ((LOAD,), [("incomplete", "", "report", "")]),
        # Beside it a task that nothing of what is missing needs is superfluous all the same.
        ((LOAD, COUNT, REPORT), [("no_producer", "r", "tidy", ""), ("dead", "n", "counts", "")]),
        ((LOAD, CLEAN, REPORT, COUNT), [("dead", "n", "counts", "")]),
        (
            (LOAD, replace(CLEAN, depends_on=()), REPORT),
            [("missing_edge", "c", "table", "l")],
        ),
        ((LOAD, CLEAN, REPORT, replace(CLEAN, id="c2")), [("duplicate", "c2", "tidy", "c")]),
        # Of two that do the same the one that is used counts as the original.
        ((LOAD, replace(CLEAN, id="c2"), CLEAN, REPORT), [("duplicate", "c2", "tidy", "c")]),
        ((LOAD, CLEAN, CLEAN, REPORT), [("repeated_id", "c", "", "")]),
        (
            (LOAD, replace(CLEAN, operation="klean"), REPORT),
            [("unknown_operation", "c", "", "")],
        ),
        (
            (LOAD, replace(CLEAN, produces=("tidy", "shine")), REPORT),
            [("unsolvable", "c", "shine", "")],
        ),
        (
            (replace(LOAD, depends_on=("r",)), CLEAN, REPORT),
            [("cycle", "l", "", "r")],
        ),
        ((LOAD, replace(CLEAN, depends_on=("l", "c")), REPORT), [("cycle", "c", "", "c")]),
        (
            (LOAD, replace(CLEAN, depends_on=("l", "gone")), REPORT),
            [("unknown_dependency", "c", "", "gone")],
        ),
        (
            (LOAD, COUNT, replace(CLEAN, depends_on=("l", "n")), REPORT),
            [("needless_edge", "c", "", "n"), ("dead", "n", "counts", "")],
        ),
        ((), [("malformed", "", "", "")]),
    ],
)
def test_each_fault_is_told_once(
    tasks: tuple[Task, ...], findings: list[tuple[str, str, str, str]]
) -> None:
    assert found(*tasks) == findings


def test_data_that_need_each_other_make_a_circle() -> None:
    a = task("a", "x", ("q",), ("p",), ("b",))
    b = task("b", "y", ("p",), ("q",), ("a",))
    report = validate(PlanDraft((a, b), asked=("p",)))
    assert [(f.kind, f.task_id, f.datum) for f in report.findings] == [("cycle", "a", "q")]


def test_without_edges_such_data_have_no_producer() -> None:
    a, b = task("a", "x", ("q",), ("p",)), task("b", "y", ("p",), ("q",), ("a",))
    report = validate(PlanDraft((a, b), asked=("q",)))
    assert [(f.kind, f.task_id, f.datum) for f in report.findings] == [("no_producer", "a", "q")]
    assert "which needs it in turn" in report.objections[0]


def test_without_a_catalogue_what_feeds_a_gap_cannot_be_told_from_what_is_dead() -> None:
    plan = PlanDraft((LOAD, COUNT, REPORT), GIVEN, ("report",))
    assert [f.kind for f in validate(plan).findings] == ["no_producer"]


def test_what_the_last_tasks_make_is_asked_for_unless_it_is_said() -> None:
    plan = PlanDraft((LOAD, CLEAN, COUNT), GIVEN)
    assert validate(plan, CATALOGUE).findings == ()
    assert [f.task_id for f in validate(plan, CATALOGUE, asked=["tidy"]).findings] == ["n"]


def test_what_a_task_does_not_declare_it_takes_from_its_operation() -> None:
    bare = [replace(one, requires=(), produces=()) for one in (LOAD, CLEAN, REPORT)]
    assert found(*bare) == []
    assert found(bare[0], bare[2]) == [("no_producer", "r", "tidy", "")]


def test_the_report_says_what_the_plan_takes() -> None:
    report = validate(TaskDAG([LOAD, CLEAN, COUNT], GIVEN), CATALOGUE)
    assert (report.seconds, report.usd) == (5.0, 3.0)
    two = validate(TaskDAG([LOAD, CLEAN, COUNT], GIVEN), CATALOGUE, limits=Limits(workers=1))
    assert two.seconds == 6.0
    assert [f.principle for f in validate(PlanDraft(()), CATALOGUE).findings] == ["structure"]


@given(problem=problems())
def test_a_draft_without_errors_is_a_plan_and_the_other_way_round(
    problem: tuple[Catalogue, PlanDraft],
) -> None:
    catalogue, plan = problem
    report = validate(plan)
    broken = report.of_kind(
        "malformed", "repeated_id", "unknown_dependency", "cycle", "missing_edge", "no_producer"
    )
    try:
        dag = TaskDAG(plan.tasks, plan.given)
    except InvalidPlan:
        assert broken
    else:
        assert not broken
        again = validate(dag, catalogue, asked=plan.asked)
        assert {f.kind for f in again.findings} == {
            f.kind for f in validate(plan, catalogue).findings
        }
    assert 0 <= report.quality <= 1
