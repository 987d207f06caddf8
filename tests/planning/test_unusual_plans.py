"""Judging and repairing plans with what few plans have: bindings, open answers."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any, Literal, cast

import pytest
from plan_samples import task

from genesis.errors import InputError
from genesis.planning import Catalogue, Limits, Operation, PlanDraft, repair, validate
from genesis.tasks.dag import TaskDAG
from genesis.tasks.task import Task

GIVEN = frozenset({"raw"})
LOAD = Operation("load", ("raw",), ("table",), 2, 1.0)
CLEAN = Operation("clean", ("table",), ("tidy",), 3, 1.0)
CATALOGUE = Catalogue([LOAD, CLEAN])
LOADS = task("l", "load", ("raw",), ("table",))
CLEANS = task("c", "clean", ("table",), ("tidy",), ("l",))


def draft(*tasks: Task, asked: tuple[str, ...] = ("tidy",)) -> PlanDraft:
    return PlanDraft(tasks, GIVEN, asked)


def test_an_operation_that_does_not_serve_the_tasks_type_cannot_do_it() -> None:
    catalogue = [LOAD, replace(CLEAN, task_types=("cleaning", "tidying"))]
    plan = draft(LOADS, CLEANS)
    (found,) = validate(plan, catalogue).findings
    assert (found.kind, found.task_id) == ("unsolvable", "c")
    assert "which serves cleaning, tidying and not data_analysis" in found.message
    repaired = repair(plan, catalogue)
    assert repaired.dag["c"] == replace(CLEANS, task_type="cleaning")
    assert repaired.changes == ("'c' has the task type 'cleaning' instead of 'data_analysis'",)
    assert repair(repaired.dag, catalogue).changes == ()


def test_a_task_that_takes_another_datum_of_the_kind_is_held_to_that_one() -> None:
    bound = replace(LOADS, bindings=(("raw", "raw_2"),))
    plan = PlanDraft((bound, CLEANS), frozenset({"raw_2"}), ("tidy",))
    assert validate(plan, CATALOGUE).findings == ()
    repaired = repair(plan, CATALOGUE)
    assert (tuple(repaired.dag), repaired.changes) == ((bound, CLEANS), ())


def test_two_names_for_one_datum_are_both_handed_over() -> None:
    join = Operation("join", ("left", "right"), ("both",))
    joins = task("j", "join", ("left", "right"), ("both",))
    bound = replace(joins, bindings=(("left", "raw"), ("right", "raw")))
    repaired = repair(draft(bound, asked=("both",)), [join])
    assert (tuple(repaired.dag), repaired.changes) == ((bound,), ())


def test_a_bound_task_that_another_operation_takes_over_is_bound_no_more() -> None:
    quick = Operation("load_fast", ("raw",), ("table",), 1, 1.0)
    bound = replace(LOADS, bindings=(("raw", "raw_2"),))
    plan = PlanDraft((bound, CLEANS), frozenset({"raw", "raw_2"}), ("tidy",))
    repaired = repair(plan, [LOAD, CLEAN, quick])
    assert repaired.dag["l"] == replace(LOADS, operation="load_fast")
    assert validate(repaired.dag, [LOAD, CLEAN, quick], asked=["tidy"]).findings == ()


def test_an_operation_that_answers_anything_makes_what_its_task_says() -> None:
    say = Operation("say", ("table",), (), 1, 0.5)
    says = task("s", "say", ("table",), ("summary",), ("l",))
    plan = draft(LOADS, says, asked=("summary",))
    assert validate(plan, [LOAD, say]).findings == ()
    repaired = repair(plan, [LOAD, say])
    assert (tuple(repaired.dag), repaired.changes) == ((LOADS, says), ())
    assert (repaired.usd, repaired.schedule.makespan) == (1.5, 3)
    # What it needs is put right as anywhere.
    mended = repair(draft(replace(says, depends_on=()), asked=("summary",)), [LOAD, say])
    assert mended.dag["s"] == replace(says, depends_on=("load",))


def test_a_task_that_says_nothing_of_what_it_does_is_told_and_left_out() -> None:
    plan = draft(LOADS, CLEANS, task("x"))
    (found,) = validate(plan, CATALOGUE).findings
    assert (found.kind, found.task_id) == ("unknown_operation", "x")
    assert "names no operation of the catalogue" in found.message
    assert tuple(repair(plan, CATALOGUE).dag) == (LOADS, CLEANS)


@pytest.mark.parametrize(("seed", "objective"), [(6, "time"), (7, "cost")])
def test_a_valid_plan_is_never_refused_nor_made_worse_where_the_search_gives_up(
    seed: int, objective: Literal["time", "cost"]
) -> None:
    """Choosing few makers that share what they need: too many ways to try them all."""
    chance = random.Random(seed)
    shared = [Operation(datum, (), (datum,), 1, 1.0) for datum in _BASES]
    chosen = [
        Operation(f"own{n}", tuple(chance.sample(_BASES[:5], 3)), (f"p{n}",), 9, 5.0)
        for n in range(25)
    ]
    makers = [
        Operation(f"make{n}.{way}", tuple(chance.sample(_BASES, 3)), (f"p{n}",), 1, 1.0)
        for n in range(25)
        for way in range(5)
    ]
    makers += chosen
    asked = tuple(f"p{n}" for n in range(25))
    needed = {datum for one in chosen for datum in one.requires}
    tasks = [task(o.produces[0], o.name, (), o.produces) for o in shared if o.produces[0] in needed]
    tasks += [task(o.produces[0], o.name, o.requires, o.produces, o.requires) for o in chosen]
    dag, catalogue = TaskDAG(tasks), Catalogue([*shared, *makers])
    before = validate(dag, catalogue, asked=asked)
    repaired = repair(dag, catalogue, objective, asked=asked, limits=Limits(max_tasks=len(tasks)))
    assert len(repaired.dag) <= len(tasks)
    if objective == "cost":
        assert repaired.usd <= before.usd + 1e-9
    else:
        assert repaired.schedule.makespan <= before.seconds + 1e-9


_BASES = [f"b{n}" for n in range(25)]


@pytest.mark.parametrize(
    "limits",
    [{"workers": 0}, {"workers": 1.5}, {"seconds": math.nan}, {"usd": math.nan}, {"usd": "1"}],
)
def test_a_limit_that_is_none_is_refused(limits: dict[str, Any]) -> None:
    (name,) = limits
    with pytest.raises(InputError, match=f"limit {name} must be"):
        Limits(**limits)


def test_no_end_is_no_limit() -> None:
    plan, endless = draft(LOADS, CLEANS), Limits(seconds=math.inf, usd=math.inf)
    assert endless == Limits()
    assert repair(plan, CATALOGUE, limits=endless) == repair(plan, CATALOGUE)


@pytest.mark.parametrize("plan", [None, "plan", [LOADS], {"tasks": []}])
def test_what_is_no_plan_is_refused(plan: object) -> None:
    for judged in (validate, repair):
        with pytest.raises(InputError, match="a plan is a TaskDAG or a PlanDraft, not"):
            judged(cast("Any", plan), CATALOGUE)


def test_a_name_alone_is_no_list_of_names() -> None:
    with pytest.raises(InputError, match=r"asked must be a list of names, not 'tidy'"):
        validate(draft(LOADS), CATALOGUE, asked="tidy")
    with pytest.raises(InputError, match=r"given must be a list of names, not 'raw'"):
        PlanDraft((LOADS,), cast("Any", "raw"))
    with pytest.raises(InputError, match=r"the tasks of a plan are Task objects, not 'l'"):
        PlanDraft(cast("Any", "l"))


@pytest.mark.parametrize("catalogue", [["load"], [LOAD, {"name": "clean"}], "load", 5])
def test_what_is_no_operation_is_refused(catalogue: Any) -> None:
    with pytest.raises(InputError, match="a catalogue is made of Operation objects"):
        validate(draft(LOADS), catalogue)
