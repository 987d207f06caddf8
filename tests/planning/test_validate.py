"""AOP's findings, and mending what is superfluous."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given as given_
from hypothesis import strategies as st
from plan_samples import ANALYST, CARDS, dags, task

from genesis.planning.agent_catalogue import agent_catalogue
from genesis.planning.edges import derive_edges
from genesis.planning.findings import ValidationReport
from genesis.planning.mend import drop_superfluous
from genesis.planning.validation import Limits, validate
from genesis.tasks.dag import TaskDAG
from genesis.tasks.task import Task
from infrastructure.a2a.agent import AgentCard, Skill

ANSWER = task("answers", "answer_questions", ("dataset",), ("data_answers",))
PROFILE = task("profile", "profile_data", ("dataset",), ("data_profile",))


def _report(
    *tasks: Task,
    asked: Sequence[str] = ("data_answers",),
    cards: Sequence[AgentCard] = CARDS,
    limits: Limits | None = None,
    has_model: bool = True,
) -> ValidationReport:
    dag = TaskDAG(derive_edges(tasks), ["dataset"])
    catalogue = agent_catalogue(cards, has_model=has_model)
    return validate(dag, catalogue, asked=asked, limits=limits)


def test_a_sound_plan_is_accepted() -> None:
    report = _report(ANSWER)
    assert report.accepted
    assert (report.quality, report.findings) == (1.0, ())


def test_with_no_agent_nothing_is_solvable() -> None:
    report = _report(ANSWER, PROFILE, asked=["data_answers", "data_profile"], cards=())
    assert not report.solvable
    assert not report.accepted
    assert [f.task_id for f in report.findings] == ["answers", "profile"]
    assert "no agent is registered" in report.findings[0].message
    assert report.quality_parts["solvability"] == 0


def test_a_task_that_no_agent_can_do_is_named_with_the_agents_there_are() -> None:
    report = _report(task("answers", "guess", (), ("data_guess",)), asked=["data_guess"])
    assert [f.kind for f in report.findings] == ["unknown_operation"]
    assert "'guess'" in report.findings[0].message
    assert "data_analyst" in report.findings[0].message
    assert "answer_questions" in report.findings[0].message


def test_an_agent_that_needs_a_model_needs_one_to_be_set() -> None:
    plan = task("a", "answer", (), ("answer",), task_type="general")
    assert _report(plan, asked=["answer"]).accepted
    report = _report(plan, asked=["answer"], has_model=False)
    assert "GENESIS_MODEL=provider:name" in report.objections[0]


def test_an_agent_with_another_skill_for_the_same_data_will_do() -> None:
    other = AgentCard(
        "other", "", (Skill("ask", "", ("data_analysis",), ("dataset",), ("data_answers",)),)
    )
    assert _report(ANSWER, cards=[other]).solvable


def test_what_is_asked_for_and_not_made_is_named() -> None:
    report = _report(ANSWER, asked=["data_answers", "data_report"])
    assert not report.complete
    assert [f.datum for f in report.findings] == ["data_report"]
    assert report.quality_parts["completeness"] == 0.5


def test_duplicates_are_found_through_duplicated_sources_and_mended() -> None:
    again = task("answers2", "answer_questions", ("dataset",), ("data_answers",))
    first = task("r1", "sum", ("data_answers",), ("data_sum",), ("answers",))
    second = task("r2", "sum", ("data_answers",), ("data_sum",), ("answers2",))
    dag = TaskDAG([ANSWER, again, first, second], ["dataset"])
    report = validate(dag, agent_catalogue([ANALYST]), asked=["data_sum"])
    assert [f.task_id for f in report.findings if f.kind == "duplicate"] == ["answers2", "r2"]
    mended, changes = drop_superfluous(dag, report)
    assert [one.id for one in mended] == ["answers", "r1"]
    assert len(changes) == 2
    assert [one.id for one in dag] == ["answers", "answers2", "r1", "r2"]


def test_the_same_operation_on_other_data_is_no_duplicate() -> None:
    a = task("a", "clean", ("dataset",), ("part_a",))
    b = task("b", "clean", ("dataset",), ("part_b",))
    assert _report(a, b, asked=["part_a", "part_b"]).non_redundant


def test_dead_tasks_are_found_with_those_that_only_feed_them() -> None:
    feed = task("feed", "profile_data", ("dataset",), ("data_profile",))
    unused = task("unused", "x", ("data_profile",), ("data_extra",))
    dag = TaskDAG(derive_edges([ANSWER, feed, unused]), ["dataset"])
    report = validate(dag, agent_catalogue(CARDS), asked=["data_answers"])
    assert {f.task_id for f in report.findings if f.kind == "dead"} == {"feed", "unused"}
    mended, _ = drop_superfluous(dag, report)
    assert [one.id for one in mended] == ["answers"]


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(max_tasks=2), "has 3 tasks"),
        (Limits(max_depth=1), "longest path has 2"),
        (Limits(seconds=3.9), r"at least 4\.0 s and 3\.9 s"),
        (Limits(usd=0.2), r"costs at least \$0\.3000"),
    ],
)
def test_limits(limits: Limits, message: str) -> None:
    cards = [AgentCard("a", "", tuple(Skill(n, "", cost_usd=0.1, seconds=2) for n in "xyz"))]
    tasks = [
        task("1", "x", (), ("a",)),
        task("2", "y", (), ("b",)),
        task("3", "z", ("a", "b"), ("c",)),
    ]
    report = _report(*tasks, asked=["c"], cards=cards, limits=limits)
    assert [f.kind for f in report.findings] == ["limit"]
    assert not report.accepted
    assert re.search(message, report.findings[0].message)


def test_finished_tasks_need_nobody_any_more() -> None:
    dag = TaskDAG([ANSWER], ["dataset"])
    report = validate(dag, agent_catalogue(()), asked=["data_answers"], finished=["answers"])
    assert report.accepted


@given_(dag=dags(), asked=st.lists(st.sampled_from("abcd"), min_size=1, unique=True))
def test_mending_removes_what_is_superfluous_and_nothing_else(
    dag: TaskDAG, asked: list[str]
) -> None:
    catalogue = agent_catalogue([AgentCard("any", "", (Skill("x", ""), Skill("y", "")))])
    before = validate(dag, catalogue, asked=asked)
    mended, changes = drop_superfluous(dag, before)
    after = validate(mended, catalogue, asked=asked)
    assert after.non_redundant
    assert after.complete == before.complete
    assert {one.id for one in mended} <= {one.id for one in dag}
    assert len(changes) == len(dag) - len(mended)
    assert drop_superfluous(mended, after) == (mended, ())
