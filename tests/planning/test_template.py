"""Plans declared in the configuration, and what requests ask for."""

from __future__ import annotations

import copy
from typing import Any, cast

import pytest
from plan_samples import BOOK, DATASET, goal

from genesis.agents.builtin import register_builtin
from genesis.agents.registry import AgentRegistry
from genesis.errors import ConfigError, PlanningError
from genesis.planning.planner import Goal
from genesis.planning.template import TemplateBook, TemplatePlanner
from genesis.tasks.capability import skills_for
from genesis.tasks.task import TaskResult, TaskStatus
from infrastructure.config import ConfigFile, read_config
from infrastructure.models.chat import ChatModels


async def _planned(wanted: Goal) -> dict[str, tuple[str, ...]]:
    plan = await TemplatePlanner(BOOK).plan(wanted)
    assert plan is not None
    assert plan.source == "template"
    return {one.operation: one.depends_on for one in plan.dag}


@pytest.mark.parametrize(
    ("request_", "operations"),
    [
        ("How many rows has sales.csv?", {"answer_questions"}),
        ("Which month has the highest total?", {"answer_questions"}),
        ("How many rows has chart.csv?", {"answer_questions"}),
        ("Give an overview of sales.csv", {"profile_data"}),
        ("Are there duplicates or missing values?", {"profile_data"}),
        ("Analyse sales.csv", {"profile_data", "answer_questions", "write_data_report"}),
        ("Report the trend", {"profile_data", "answer_questions", "write_data_report"}),
        ("Chart it", {"profile_data", "answer_questions", "write_data_report"}),
        ("sales.csv, please", {"profile_data", "answer_questions", "write_data_report"}),
    ],
)
async def test_data_analysis_does_what_is_asked(request_: str, operations: set[str]) -> None:
    assert set(await _planned(Goal(request_, "data_analysis", DATASET))) == operations


async def test_independent_tasks_do_not_wait_for_each_other() -> None:
    edges = await _planned(Goal("Analyse it", "data_analysis", DATASET))
    assert edges["profile_data"] == edges["answer_questions"] == ()
    assert set(edges["write_data_report"]) == {"profile", "answers"}


async def test_code_is_written_then_tested_and_documented_in_parallel() -> None:
    edges = await _planned(goal("Write a date parser", "code_generation"))
    assert edges == {
        "write_code": (),
        "run_tests": ("write-code",),
        "document_api": ("write-code",),
    }


@pytest.mark.parametrize(
    "wanted",
    [
        goal("Write tests for cart.py", "testing", source="/ws/cart.py"),
        goal("Add a test that reproduces the bug", "testing", project="/ws"),
    ],
)
async def test_tests_are_written_then_run(wanted: Goal) -> None:
    assert await _planned(wanted) == {"write_code": (), "run_tests": ("write-tests",)}


@pytest.mark.parametrize(
    ("wanted", "operation"),
    [
        (goal("Document shop", "documentation", source="/ws/shop"), "document_api"),
        (goal("Write an essay", "documentation"), "write_text"),
        (goal("Write the README of shop", "documentation", source="/ws/shop"), "write_text"),
        (goal("Run the tests", "testing", project="/ws"), "run_tests"),
        (goal("Why do the tests fail?", "debugging", project="/ws"), "run_tests"),
        (goal("Make it faster", "optimization", script="/ws/a.py"), "profile_script"),
        (goal("Make my SQL faster", "optimization"), "answer"),
        (goal("Why does it crash?", "debugging", script="/ws/a.py"), "debug_script"),
        (goal("Deploy it", "deployment"), "answer"),
        (goal("Design a shop", "system_design"), "answer"),
        (goal("Say hello", "general"), "answer"),
        (goal("Fold the laundry", "household"), "answer"),
    ],
)
async def test_one_task_serves(wanted: Goal, operation: str) -> None:
    assert set(await _planned(wanted)) == {operation}


async def test_a_request_for_several_things_is_split() -> None:
    edges = await _planned(
        goal(
            "Profile sales.csv, document shop and run the tests",
            dataset="/ws/sales.csv",
            source="/ws/shop",
            project="/ws",
        )
    )
    assert edges == {"profile_data": (), "document_api": (), "run_tests": ()}


async def test_script_arguments_are_handed_over_when_given() -> None:
    wanted = Goal(
        "Profile it", "optimization", {"script": "/ws/a.py", "script_args": ["--size", "3"]}
    )
    plan = await TemplatePlanner(BOOK).plan(wanted)
    assert plan is not None
    assert next(iter(plan.dag)).requires == ("script", "script_args")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (goal("Analyse sales"), r"lacks a data file .*'Analyse sales\.csv'"),
        (goal("Run the tests", "testing"), "lacks a folder with tests"),
    ],
)
async def test_a_request_without_its_data_says_what_to_give(wanted: Goal, message: str) -> None:
    with pytest.raises(PlanningError, match=message):
        await TemplatePlanner(BOOK).plan(wanted)


@pytest.mark.parametrize(
    "request_",
    [
        "How many analysts reported a misreport?",  # 'report', 'analy*' stand inside other words
        "How many rows has the file data/report/chart.csv?",
        "What is the mean of the column total_charted?",
    ],
)
def test_words_inside_other_words_ask_for_nothing(request_: str) -> None:
    asked = BOOK.deliverables.asked(
        request_.replace("analysts reported", ""), "data_analysis", DATASET
    )
    assert asked == ("data_answers",)


def test_names_of_given_folders_ask_for_nothing() -> None:
    given = {"source": "/ws/docs/report", **DATASET}
    asked = BOOK.deliverables.asked("How many lines has docs/report ?", "data_analysis", given)
    assert asked == ("data_answers",)


async def test_a_plan_that_was_sent_back_is_not_proposed_again() -> None:
    planner = TemplatePlanner(BOOK)
    first = await planner.plan(goal("Say hello", "general"))
    assert first is not None
    again = Goal("Say hello", "general", objections=("no agent",), last=first.dag)
    with pytest.raises(PlanningError, match="no other plan"):
        await planner.plan(again)


async def test_a_failed_branch_without_another_way_is_an_error() -> None:
    planner = TemplatePlanner(BOOK)
    plan = await planner.plan(Goal("Analyse it", "data_analysis", DATASET))
    assert plan is not None
    failed = TaskResult("answers", TaskStatus.FAILED, error="no such column")
    with pytest.raises(PlanningError, match="nothing else makes data_answers"):
        await planner.plan(
            Goal("Analyse it", "data_analysis", DATASET, failed=(failed,), last=plan.dag)
        )


async def test_a_failed_branch_is_replaced_and_finished_results_are_kept() -> None:
    data = _config()
    other = {
        "name": "questions by hand",
        "task_types": ["data_analysis"],
        "tasks": [
            {
                "id": "ask",
                "description": "Answer by hand.",
                "operation": "answer_by_hand",
                "requires": ["dataset"],
                "produces": ["data_answers"],
            }
        ],
    }
    data["templates"].append(other)
    planner = TemplatePlanner(TemplateBook.load(ConfigFile("t.yaml", data)))
    plan = await planner.plan(Goal("Analyse it", "data_analysis", DATASET))
    assert plan is not None
    again = Goal(
        "Analyse it",
        "data_analysis",
        DATASET,
        failed=(
            TaskResult("answers", TaskStatus.FAILED, error="no"),
            TaskResult("report", TaskStatus.SKIPPED, error="'answers' failed"),
        ),
        finished=(TaskResult("profile", TaskStatus.COMPLETED),),
        last=plan.dag,
    )
    new = await planner.plan(again)
    assert new is not None
    assert {one.id for one in new.dag} == {"profile", "answers.2", "report"}
    assert new.dag["profile"] == plan.dag["profile"]
    assert new.dag["answers.2"].operation == "answer_by_hand"
    assert set(new.dag["report"].depends_on) == {"profile", "answers.2"}
    assert any("profile" in change for change in new.changes)
    # The plan that failed is untouched.
    assert set(plan.dag["report"].depends_on) == {"profile", "answers"}


def test_every_declared_operation_is_offered_by_an_agent_that_ships() -> None:
    registry = AgentRegistry()
    register_builtin(registry, ChatModels())
    for template in BOOK.templates:
        for step in template.steps:
            task = step.task("general", BOOK.given)
            assert skills_for(task, registry.cards), task.operation


def _config() -> dict[str, Any]:
    return copy.deepcopy(cast("dict[str, Any]", read_config("plan_templates.yaml").data))


def _set(data: dict[str, Any], path: tuple[str | int, ...], value: object) -> None:
    at: Any = data
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("templates", 0, "taks"), [], r"t\.yaml: templates\.0\.taks: is unknown; allowed: name"),
        (("templates", 0, "tasks"), [], r"templates\.0\.tasks"),
        (("templates", 0, "tasks", 0, "id"), "a b", r"templates\.0\.tasks\.0\.id"),
        (("templates", 0, "tasks", 0, "timeout_s"), -1, r"timeout_s"),
        (("templates", 0, "tasks", 0, "requires"), ["dataste"], r"'dataste'.*allowed: .*dataset"),
        (
            ("templates", 0, "tasks", 0, "requires"),
            ["data_report"],
            "which is neither given",
        ),
        (("templates", 0, "asks"), ["data_reports"], "no template makes it"),
        (("deliverables", "data_profile", "phrase"), [], "needs, task_types, phrases"),
        (("asked", "testing", "principal"), ["x"], r"asked\.testing: 'x'"),
        (("templates",), None, "templates"),
    ],
)
def test_a_wrong_configuration_names_file_key_and_remedy(
    path: tuple[str | int, ...], value: object, message: str
) -> None:
    data = _config()
    _set(data, path, value)
    with pytest.raises(ConfigError, match=message):
        TemplateBook.load(ConfigFile("t.yaml", data))


def test_a_configuration_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"t\.yaml"):
        TemplateBook.load(ConfigFile("t.yaml", ["x"]))
