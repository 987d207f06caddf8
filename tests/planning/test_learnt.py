"""Reusing and adapting verified plans."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest
from hypothesis import given as given_
from hypothesis import strategies as st
from plan_samples import BOOK, CARDS, DATASET, dags, past, task

from genesis.errors import PlanningError
from genesis.planning.learnt import LearntPlanner
from genesis.planning.planner import Goal, PastPlan
from genesis.planning.template import TemplatePlanner
from genesis.tasks.dag import TaskDAG
from genesis.tasks.task import TaskResult, TaskStatus
from infrastructure.a2a.agent import AgentCard, Skill
from infrastructure.jsonvalue import JsonObject, JsonValue

PLANNER = LearntPlanner(BOOK.deliverables, lambda: CARDS, declared=BOOK.declared)


async def _template(request: str) -> TaskDAG:
    plan = await TemplatePlanner(BOOK).plan(Goal(request, "data_analysis", DATASET))
    assert plan is not None
    return plan.dag


async def _refusal(*remembered: PastPlan, request: str = "Analyse trips.csv") -> str:
    goal = Goal(request, "data_analysis", {"dataset": "/ws/trips.csv"}, past=remembered)
    with pytest.raises(PlanningError) as raised:
        await PLANNER.plan(goal)
    return str(raised.value)


async def test_a_similar_verified_request_lends_its_plan() -> None:
    dag = await _template("Analyse sales.csv")
    remembered = past("Analyse sales.csv by month", dag)
    goal = Goal("Analyse trips.csv by day", "data_analysis", DATASET, past=(remembered,))
    plan = await PLANNER.plan(goal)
    assert plan is not None
    assert (plan.source, plan.run_id, plan.dag) == ("memory", "R1", dag)
    assert "90%" in plan.reason
    assert any("kept the 3 tasks" in change for change in plan.changes)


async def test_words_alike_but_another_deliverable_does_not_lend() -> None:
    dag = await _template("Chart the sales by month in sales.csv")
    remembered = past("Chart the sales by month in sales.csv", dag, similarity=0.97)
    reason = await _refusal(remembered, request="Count the total sales by month in sales.csv")
    assert "asked for data_report, this one for data_answers" in reason


async def test_what_makes_a_plan_unfit_is_said() -> None:
    dag = await _template("Analyse sales.csv")
    good = past("Analyse sales.csv", dag)
    other = replace(good, request="Run the tests", task_type="testing", given=("project",))
    assert "asked for test_report, this one for data_report" in await _refusal(other)
    assert "1 of 4 runs" in await _refusal(replace(good, successes=1, failures=3))
    assert "not a stored plan" in await _refusal(replace(good, plan={"tasks": 3}))
    lost = _edited(dag, operation="profile_v1", produces=["data_report"])
    assert "'profile_v1'" in await _refusal(replace(good, plan=lost))
    more = _edited(dag, requires=["dataset", "ledger"], produces=["data_report"])
    assert "'ledger'" in await _refusal(
        replace(good, plan={**more, "given": ["dataset", "ledger"]})
    )


async def test_the_type_that_was_inferred_and_data_that_lay_beside_do_not_matter() -> None:
    dag = await _template("Analyse sales.csv")
    remembered = past("Analyse sales.csv", dag, task_type="general", similarity=0.1)
    remembered = replace(remembered, given=("dataset", "project"))
    goal = Goal("Chart trips.csv", "data_analysis", DATASET, past=(remembered,))
    plan = await PLANNER.plan(goal)
    assert plan is not None
    assert (plan.source, plan.dag) == ("memory", dag)


def _edited(dag: TaskDAG, **values: JsonValue) -> JsonObject:
    """A stored plan of which only the first task is left, edited."""
    tasks = cast("list[dict[str, JsonValue]]", dag.to_json()["tasks"])
    return {"given": ["dataset"], "tasks": [{**tasks[0], **values}]}


async def test_nothing_remembered_is_no_plan() -> None:
    assert await PLANNER.plan(Goal("Analyse", "data_analysis", DATASET)) is None


async def test_failures_demote_a_plan_below_a_less_similar_one() -> None:
    dag = await _template("Analyse sales.csv")
    shaky = past("Analyse a.csv", dag, run_id="SHAKY", successes=3, failures=2, similarity=0.95)
    proven = past("Analyse b.csv", dag, run_id="PROVEN", successes=9, similarity=0.85)
    firm = replace(shaky, successes=4, failures=2)
    for remembered in ((shaky, proven), (firm, proven)):
        plan = await PLANNER.plan(Goal("Analyse c.csv", "data_analysis", DATASET, past=remembered))
        assert plan is not None
        assert plan.run_id == "PROVEN"


async def test_a_memory_plan_that_was_sent_back_is_not_proposed_again() -> None:
    dag = await _template("Analyse sales.csv")
    goal = Goal(
        "Analyse trips.csv",
        "data_analysis",
        DATASET,
        past=(past("Analyse sales.csv", dag),),
        objections=("no agent can do it",),
        last=dag,
    )
    with pytest.raises(PlanningError, match="sent back"):
        await PLANNER.plan(goal)


async def test_free_descriptions_are_fitted_to_the_new_request() -> None:
    cards = (AgentCard("any", "", (Skill("count", ""), Skill("sum_up", ""))),)
    planner = LearntPlanner(BOOK.deliverables, lambda: cards)
    before = "Describe how sales.csv is counted for Norway"
    dag = TaskDAG(
        [
            replace(task("a", "count", task_type="x"), description="Count the rows of sales.csv"),
            replace(task("b", "sum_up", (), (), ("a",), "x"), description="Sum up for Norway"),
            replace(task("c", "count", task_type="x"), description=f"Do: {before}"),
        ]
    )
    now = "Describe how trips.csv is counted for Sweden"
    goal = Goal(now, "x", past=(past(before, dag, task_type="x"),))
    plan = await planner.plan(goal)
    assert plan is not None
    described = [plan.dag[name].description for name in "abc"]
    assert described[0] == "Count the rows of trips.csv"
    assert described[1] == f"Do the sum up of this request: {now}"
    assert described[2] == f"Do: {now}"
    assert any("anew for this request" in change for change in plan.changes)


async def test_a_failed_branch_is_done_as_another_request_did_it() -> None:
    dag = await _template("Analyse sales.csv")
    other = TaskDAG([task("x", "by_hand", ("dataset",), ("data_answers",))], ["dataset"])
    goal = Goal(
        "Analyse trips.csv",
        "data_analysis",
        DATASET,
        past=(past("Count", other), past("Broken", other, successes=0, failures=1)),
        failed=(TaskResult("answers", TaskStatus.FAILED, error="no"),),
        last=dag,
    )
    plan = await PLANNER.plan(goal)
    assert plan is not None
    assert plan.dag["answers.2"].operation == "by_hand"


@given_(dag=dags(), words=st.text(max_size=60))
async def test_adapting_changes_nothing_but_words(dag: TaskDAG, words: str) -> None:
    cards = (AgentCard("any", "", (Skill("z", "", ("t",)),)),)
    dag = TaskDAG([replace(one, task_type="t", requires=()) for one in dag], dag.given)
    planner = LearntPlanner(BOOK.deliverables, lambda: cards)
    given = {"given": words}
    remembered = past("the old request", dag, task_type="t")
    plan = await planner.plan(Goal(f"now {words}", "t", given, past=(remembered,)))
    assert plan is not None
    assert [replace(one, description="") for one in plan.dag] == [
        replace(one, description="") for one in dag
    ]
