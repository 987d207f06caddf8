"""Failed branches planned again: what replaces what, by whom, and what stays."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from genesis.errors import PlanningError
from genesis.planning.branch import plan_again, replace_failed
from genesis.planning.planner import Goal, Plan, PlanRefused
from genesis.tasks.dag import TaskDAG
from genesis.tasks.task import (
    Task,
    TaskOutput,
    TaskResult,
    TaskStatus,
)


def task(task_id: str, requires: str = "", produces: str = "", *waits: str) -> Task:
    return Task(
        task_id,
        f"{task_id}.",
        "general",
        task_id,
        tuple(requires.split()),
        tuple(produces.split()),
        waits,
    )


LAST = TaskDAG(
    [
        task("facts", "", "facts"),
        task("figures", "", "figures"),
        task("words", "", "words"),
        task("report", "facts figures words", "report", "facts", "figures", "words"),
    ]
)


def failed(*ids: str) -> tuple[TaskResult, ...]:
    return tuple(TaskResult(i, TaskStatus.FAILED, error=f"{i} broke") for i in ids)


def goal(*broken: str, skipped: Iterable[str] = ("report",)) -> Goal:
    done = [t.id for t in LAST if t.id not in {*broken, *skipped}]
    return Goal(
        "r",
        "general",
        last=LAST,
        failed=failed(*broken)
        + tuple(TaskResult(i, TaskStatus.SKIPPED, error="waited") for i in skipped),
        finished=tuple(TaskResult(i, TaskStatus.COMPLETED, output=TaskOutput(i)) for i in done),
    )


def ways(*known: Task) -> dict[str, list[Task]]:
    found: dict[str, list[Task]] = {}
    for one in known:
        for name in one.produces:
            found.setdefault(name, []).append(one)
    return found


class Knows:
    """A planner that knows some ways of making data."""

    def __init__(self, name: str, *known: Task, cost_usd: float = 0.0) -> None:
        self.name = name
        self._known = ways(*known)
        self._cost_usd = cost_usd
        self.asked = 0

    async def plan(self, goal: Goal) -> Plan | None:
        self.asked += 1
        try:
            dag, changes = replace_failed(goal, lambda datum: self._known.get(datum, []))
        except PlanningError as error:
            raise PlanRefused(str(error), self._cost_usd) from error
        return Plan(dag, "template", f"as {self.name} knows", changes, cost_usd=self._cost_usd)


def test_only_what_failed_is_replaced_and_the_rest_keeps_its_name() -> None:
    other = task("archive", "", "facts")
    dag, changes = replace_failed(goal("facts"), lambda d: ways(other).get(d, []))
    assert {t.id for t in dag} == {"facts.2", "figures", "words", "report"}
    assert dag["facts.2"].operation == "archive"
    assert set(dag["report"].depends_on) == {"facts.2", "figures", "words"}
    assert dag["figures"] == LAST["figures"]
    assert changes == (
        "'facts' failed and is done by 'archive' as 'facts.2' instead",
        "kept the results of figures, words",
    )


def test_a_replacement_brings_the_tasks_that_it_needs() -> None:
    known = ways(
        task("parse", "page", "facts"), task("load", "link", "page"), task("search", "", "link")
    )
    dag, changes = replace_failed(goal("facts"), lambda d: known.get(d, []))
    order = [t.id for t in dag]
    assert order.index("search") < order.index("load") < order.index("facts.2")
    assert "is done by 'parse' as 'facts.2' instead, after 'load', 'search'" in changes[0]


def test_the_shortest_way_is_taken() -> None:
    known = ways(
        task("parse", "page", "facts"), task("load", "", "page"), task("archive", "words", "facts")
    )
    dag, _ = replace_failed(goal("facts"), lambda d: known.get(d, []))
    assert dag["facts.2"].operation == "archive"
    assert "words" in dag["facts.2"].depends_on


def test_what_waits_for_the_failed_task_cannot_feed_its_replacement() -> None:
    circular = task("guess", "report", "facts")
    with pytest.raises(PlanningError, match="nothing else makes facts"):
        replace_failed(goal("facts"), lambda d: ways(circular).get(d, []))


def test_a_helper_whose_name_is_taken_gets_another() -> None:
    known = ways(task("parse", "page", "facts"), replace(task("words", "", "page"), operation="w"))
    dag, _ = replace_failed(goal("facts"), lambda d: known.get(d, []))
    assert dag["words"] == LAST["words"]
    assert dag["words.2"].produces == ("page",)


def test_a_composite_task_may_be_asked_in_other_words_but_not_in_the_same() -> None:
    sub = Task("part", "Find out.", "general", "sub_request", produces=("facts",))
    last = TaskDAG([sub])
    again = Goal("r", "general", last=last, failed=failed("part"))
    with pytest.raises(PlanningError, match="stays failed"):
        replace_failed(again, lambda d: [sub])
    dag, _ = replace_failed(again, lambda d: [replace(sub, description="Ask the archive.")])
    assert [(t.id, t.description) for t in dag] == [("part.2", "Ask the archive.")]


async def test_one_planner_that_can_replace_all_is_enough() -> None:
    able = Knows("able", task("archive", "", "facts"), task("count", "", "figures"))
    plan, passed_over = await plan_again([able], goal("facts", "figures"))
    assert (able.asked, passed_over) == (1, ())
    assert {"facts.2", "figures.2", "words", "report"} == {t.id for t in plan.dag}


async def test_each_failed_task_is_replaced_by_whoever_can() -> None:
    first = Knows("first", task("archive", "", "facts"), cost_usd=0.5)
    second = Knows("second", task("count", "", "figures"))
    plan, passed_over = await plan_again([first, second], goal("facts", "figures"))
    assert plan.dag["facts.2"].operation == "archive"
    assert plan.dag["figures.2"].operation == "count"
    assert set(plan.dag["report"].depends_on) == {"facts.2", "figures.2", "words"}
    assert "as first knows; as second knows" in plan.reason
    assert any("nothing else makes figures" in reason for reason in passed_over)
    # Asked for both, for the one that it knows, and for the one that it does not.
    assert plan.cost_usd == pytest.approx(3 * 0.5)


async def test_what_nobody_can_replace_is_named() -> None:
    first = Knows("first", task("archive", "", "facts"), cost_usd=0.25)
    with pytest.raises(PlanRefused, match="nothing else makes figures") as refused:
        await plan_again([first], goal("facts", "figures"))
    assert refused.value.cost_usd == pytest.approx(3 * 0.25)


def test_what_failed_before_is_not_tried_again_and_names_are_not_given_twice() -> None:
    first, second = task("facts", "", "facts"), task("archive", "", "facts")
    known = ways(first, second, task("guess", "", "facts"))
    last = TaskDAG([replace(second, id="facts.2")])
    broken = Goal("r", "general", last=last, failed=failed("facts.2"))
    dag, _ = replace_failed(broken, lambda datum: known[datum])
    assert [one.operation for one in dag] == ["facts"]
    once_more = replace(broken, abandoned=((first, *failed("facts")),))
    dag, _ = replace_failed(once_more, lambda datum: known[datum])
    assert [(one.id, one.operation) for one in dag] == [("facts.3", "guess")]
    # The replacement of the one branch does not take the name that another once had.
    once_more = replace(broken, abandoned=((task("facts.3", "", "words"), *failed("facts.3")),))
    dag, _ = replace_failed(once_more, lambda datum: known[datum])
    assert [one.id for one in dag] == ["facts.4"]
