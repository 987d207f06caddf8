"""Plans are valid or refused with the reason, quickly, however they are wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesis.errors import InvalidPlan
from genesis.tasks.dag import MAX_TASKS, TaskDAG
from genesis.tasks.task import Task


def task(task_id: str, *depends_on: str) -> Task:
    return Task(task_id, "do it", "general", depends_on=depends_on)


def chain(length: int) -> list[Task]:
    return [task(f"t{n}", *([f"t{n - 1}"] if n else [])) for n in range(length)]


@pytest.mark.parametrize(
    ("tasks", "reason"),
    [
        ([], "at least one task"),
        (chain(10_000), f"at most {MAX_TASKS} tasks"),
        ([task("a"), task("a")], "'a' is used more than once"),
        ([task("a", "a")], "'a' depends on itself"),
        ([task("a", "b"), task("b", "a")], "has a cycle: a -> b -> a"),
        ([task("a", "z")], "depends on 'z', which is not a task"),
        ([task("a/b")], "'a/b' is not made of"),
    ],
)
def test_what_is_no_plan_is_refused_with_the_reason(tasks: list[Task], reason: str) -> None:
    with pytest.raises(InvalidPlan) as refused:
        TaskDAG(tasks)
    assert reason in str(refused.value)
    assert len(str(refused.value)) < 500


def test_a_stored_plan_of_too_many_tasks_is_refused_unread() -> None:
    stored = TaskDAG([task("a")]).to_json()["tasks"]
    assert isinstance(stored, list)
    with pytest.raises(InvalidPlan, match=f"at most {MAX_TASKS}"):
        TaskDAG.from_json({"tasks": [*stored * 600, None]})


def test_a_plan_without_end_is_refused() -> None:
    def endless() -> Iterator[Task]:
        return (task(f"t{n}") for n in count())

    with pytest.raises(InvalidPlan, match="at most"):
        TaskDAG(endless())


def test_a_long_cycle_is_told_in_short() -> None:
    tasks = chain(MAX_TASKS)
    tasks[0] = replace(tasks[0], depends_on=(tasks[-1].id,))
    with pytest.raises(InvalidPlan, match=r"cycle: .* -> \.\.\. -> ") as refused:
        TaskDAG(tasks)
    assert len(str(refused.value)) < 200


def test_the_largest_plan_with_all_edges_is_a_plan() -> None:
    ids = [f"t{n}" for n in range(MAX_TASKS)]
    tasks = [
        Task(i, "d", "general", produces=(f"d{n}",), depends_on=tuple(ids[:n]))
        for n, i in enumerate(ids)
    ]
    assert TaskDAG(tasks).depth == MAX_TASKS


def test_data_must_come_from_upstream_and_not_from_beside() -> None:
    maker = Task("maker", "d", "general", produces=("facts",))
    user = Task("user", "d", "general", requires=("facts",))
    with pytest.raises(InvalidPlan, match="'user' requires 'facts'"):
        TaskDAG([maker, user])
    assert TaskDAG([maker, user], ["facts"]).depth == 1
    between = Task("between", "d", "general", depends_on=("maker",))
    assert TaskDAG([maker, replace(user, depends_on=("between",)), between]).depth == 3


@given(st.data())
def test_the_order_keeps_every_edge_and_the_plan_survives_json(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 12))
    tasks: list[Task] = []
    for n in range(size):
        edges = data.draw(st.sets(st.integers(0, n - 1), max_size=4)) if n else set[int]()
        tasks.append(task(f"t{n}", *(f"t{e}" for e in sorted(edges))))
    dag = TaskDAG(data.draw(st.permutations(tasks)))
    place = {t.id: n for n, t in enumerate(dag)}
    assert all(place[d] < place[t.id] for t in dag for d in t.depends_on)
    assert TaskDAG.from_json(dag.to_json()) == dag


def test_a_plan_stored_with_keys_that_tasks_no_longer_have_is_read() -> None:
    dag = TaskDAG([task("a"), task("b", "a")])
    stored: Any = dag.to_json()
    for one in stored["tasks"]:
        one["parent"] = "a"
    assert TaskDAG.from_json(stored) == dag
