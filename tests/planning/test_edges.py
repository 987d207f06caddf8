"""Edges that follow the data, and branches planned again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_samples import dags, task

from genesis.errors import PlanningError
from genesis.planning.branch import replace_failed
from genesis.planning.edges import derive_edges
from genesis.planning.planner import Goal
from genesis.tasks.dag import TaskDAG
from genesis.tasks.task import TaskResult, TaskStatus


@given(dag=dags())
def test_a_plan_has_its_edges_already(dag: TaskDAG) -> None:
    assert {one.id: one for one in derive_edges(dag)} == {one.id: one for one in dag}


def test_a_maker_listed_later_is_found() -> None:
    user, maker = task("u", requires=("x",)), task("m", produces=("x",))
    assert derive_edges([user, maker])[0].depends_on == ("m",)


def test_makers_that_need_each_other_make_no_circle() -> None:
    a = task("a", requires=("x", "y"), produces=("x",))
    b = task("b", requires=("x",), produces=("y",))
    derived = {one.id: one.depends_on for one in derive_edges([a, b])}
    assert derived == {"a": ("b",), "b": ()}


@given(dag=dags(), data=st.data())
def test_replacing_a_failed_task_keeps_all_others_and_the_old_plan(
    dag: TaskDAG, data: st.DataObject
) -> None:
    failed = data.draw(st.sampled_from([one.id for one in dag]))
    before = dag.to_json()
    goal = Goal("", "t", {}, failed=(TaskResult(failed, TaskStatus.FAILED, error="no"),), last=dag)
    way = task("w", "another way", (), ("a", "b", "c", "d"))
    try:
        new, changes = replace_failed(goal, lambda _: [way])
    except PlanningError:
        assert not dag[failed].produces
        return
    assert dag.to_json() == before
    assert {one.id for one in new} == {one.id for one in dag} - {failed} | {f"{failed}.2"}
    assert new[f"{failed}.2"].produces == dag[failed].produces
    assert len(changes) == 1
    for one in new:
        if one.id in dag:
            old = [f"{failed}.2" if d == failed else d for d in dag[one.id].depends_on]
            assert set(old) <= set(one.depends_on)


def test_the_operation_that_failed_is_no_other_way() -> None:
    dag = TaskDAG([task("a", "x", (), ("d",))])
    goal = Goal("", "t", {}, failed=(TaskResult("a", TaskStatus.FAILED, error="no"),), last=dag)
    with pytest.raises(PlanningError, match="nothing else makes d"):
        replace_failed(goal, lambda _: [task("b", "x", (), ("d",))])


def test_a_branch_that_is_gone_cannot_be_replaced() -> None:
    dag = TaskDAG([task("a", "x", (), ("d",))])
    goal = Goal("", "t", {}, failed=(TaskResult("z", TaskStatus.FAILED, error="no"),), last=dag)
    with pytest.raises(PlanningError, match="no failed task is left"):
        replace_failed(goal, lambda _: [task("b", "y", (), ("d",))])


def test_a_replacement_that_failed_as_well_is_numbered_on() -> None:
    dag = TaskDAG([task("a.2", "x", (), ("d",))])
    goal = Goal("", "t", {}, failed=(TaskResult("a.2", TaskStatus.FAILED, error="no"),), last=dag)
    new, _ = replace_failed(goal, lambda _: [task("b", "y", (), ("d",))])
    assert [one.id for one in new] == ["a.3"]
