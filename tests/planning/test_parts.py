"""Requests of several deliverables are split; those of one are not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given as given_
from hypothesis import strategies as st

from genesis.planning.clauses import clauses
from genesis.planning.given import find_given
from genesis.planning.planner import Goal, Plan
from genesis.planning.template import TemplateBook, TemplatePlanner
from genesis.tasks.dag import TaskDAG
from genesis.tasks.infer import KeywordInferrer
from genesis.tasks.phrases import Phrases

TYPES = KeywordInferrer()
BOOK = TemplateBook.load(infer=lambda text: TYPES.infer(text).task_type)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    for name in ("sales.csv", "a.csv", "b.csv"):
        (tmp_path / name).write_text("x,y\n1,2\n")
    for name in ("slow.py", "crash.py", "cart.py"):
        (tmp_path / name).write_text("print(1)\n")
    for name in ("src/shop", "src/cart"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "__init__.py").write_text("")
    for name in ("shop", "api"):
        (tmp_path / name / "tests").mkdir(parents=True)
        (tmp_path / name / "tests" / "test_one.py").write_text("")
    return tmp_path


async def _plan(request: str, workspace: Path, task_type: str = "") -> Plan:
    task_type = task_type or TYPES.infer(request).task_type
    given = find_given(request, workspace, task_type=task_type)
    plan = await TemplatePlanner(BOOK).plan(Goal(request, task_type, given.data))
    assert plan is not None
    return plan


def _work(dag: TaskDAG) -> list[tuple[str, str]]:
    """Operations with the datum that each takes, in the order of the plan."""
    return [(task.operation, task.datum(task.requires[0]) if task.requires else "") for task in dag]


@pytest.mark.parametrize("task_type", ["", "data_analysis", "documentation", "testing", "general"])
async def test_each_deliverable_has_its_task_whatever_the_type(
    workspace: Path, task_type: str
) -> None:
    request = "Profile sales.csv, then document the module src/shop, and run the tests of ./shop"
    plan = await _plan(request, workspace, task_type)
    assert {task.operation: task.request for task in plan.dag} == {
        "profile_data": "Profile sales.csv",
        "document_api": "document the module src/shop",
        "run_tests": "run the tests of ./shop",
    }
    # Nothing of one is used by another, so that "then" orders nothing.
    assert all(not task.depends_on for task in plan.dag)
    assert "3 parts" in plan.reason


@pytest.mark.parametrize(
    ("request_", "work"),
    [
        ("Profile a.csv and b.csv", [("profile_data", "dataset"), ("profile_data", "dataset_2")]),
        (
            "Document src/shop and src/cart",
            [("document_api", "source"), ("document_api", "source_2")],
        ),
        (
            "Run the tests of ./shop and ./api",
            [("run_tests", "project"), ("run_tests", "project_2")],
        ),
        (
            "Profile slow.py and debug crash.py",
            [("profile_script", "script"), ("debug_script", "script_2")],
        ),
        (
            "Run the tests of ./shop. How many rows has sales.csv?",
            [("run_tests", "project"), ("answer_questions", "dataset")],
        ),
    ],
)
async def test_each_part_takes_the_data_that_it_names(
    workspace: Path, request_: str, work: list[tuple[str, str]]
) -> None:
    assert _work((await _plan(request_, workspace)).dag) == work


async def test_a_report_of_one_file_is_made_from_that_file_alone(workspace: Path) -> None:
    plan = await _plan("Profile a.csv, chart b.csv and report its trend", workspace)
    report = next(task for task in plan.dag if task.operation == "write_data_report")
    assert report.datum("dataset") == "dataset_2"
    assert {plan.dag[name].datum("dataset") for name in report.depends_on} == {"dataset_2"}
    assert report.request == "chart b.csv and report its trend"


async def test_what_refers_back_waits_for_what_it_is_about(workspace: Path) -> None:
    plan = await _plan("Profile sales.csv and write an email about the findings", workspace)
    profile, write = plan.dag
    assert (profile.operation, write.operation) == ("profile_data", "write_text")
    assert write.depends_on == (profile.id,)
    assert "data_profile" in write.requires


@pytest.mark.parametrize(
    "request_",
    [
        "Analyse sales.csv and report the monthly trend",
        "Profile sales.csv, find duplicates and plot x by y",
        "How many rows has sales.csv, and what is the mean of x?",
        "Run the tests of ./shop and report failures",
        "Write a date parser, document it and add tests",
        "Compare a.csv and b.csv",
        'Translate into French: "Profile sales.csv, then run the tests of ./shop and leave"',
    ],
)
async def test_what_is_one_is_not_split(workspace: Path, request_: str) -> None:
    plan = await _plan(request_, workspace)
    assert {task.request for task in plan.dag} == {""}


def test_validation_asks_for_the_deliverables_of_all_parts() -> None:
    given = {"dataset": "/ws/sales.csv", "source": "/ws/src/shop", "project": "/ws/shop"}
    asked = BOOK.deliverables.asked(
        "Profile sales.csv, document src/shop and run the tests of ./shop", "testing", given
    )
    assert set(asked) == {"data_profile", "api_docs", "test_report"}


@given_(st.text(max_size=200))
def test_clauses_lie_in_order_within_the_request(text: str) -> None:
    found = clauses(text, Phrases(["profile", "run"]))
    ends = [0]
    for clause in found:
        assert ends[-1] <= clause.start < clause.end <= len(text)
        ends.append(clause.end)


@given_(st.integers(1, 200))
def test_a_text_of_very_many_clauses_is_one(n: int) -> None:
    found = clauses(", run it" * n, Phrases(["run"]))
    assert len(found) == (n if n <= 41 else 1) or n == 41
