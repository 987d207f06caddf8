"""Repairing plans: what comes back is valid, best, minimal, stable, and never worse."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Literal

import pytest
from draft_samples import GIVEN, cheapest, problems, soonest
from hypothesis import given
from hypothesis import strategies as st
from plan_samples import task

from genesis.errors import InputError, InvalidPlan
from genesis.planning import Catalogue, Limits, Operation, PlanDraft, repair, validate
from genesis.tasks.dag import TaskDAG
from genesis.tasks.task import Acceptance, Task

OBJECTIVES = st.sampled_from(["time", "cost"])
Objective = Literal["time", "cost"]
Problem = tuple[Catalogue, PlanDraft]

CATALOGUE = Catalogue(
    [
        Operation("load", ("raw",), ("table",), 2, 1.0),
        Operation("clean", ("table",), ("tidy",), 3, 1.0),
        Operation("clean_fast", ("table",), ("tidy",), 1, 5.0),
        Operation("report", ("tidy",), ("report",), 1, 1.0),
        Operation("chart", ("tidy",), ("chart",), 1, 1.0),
    ]
)
LOAD = task("l", "load", ("raw",), ("table",))
CLEAN = task("c", "clean", ("table",), ("tidy",), ("l",))
REPORT = task("r", "report", ("tidy",), ("report",), ("c",))


def draft(*tasks: Task, asked: tuple[str, ...] = ("report",)) -> PlanDraft:
    return PlanDraft(tasks, GIVEN, asked)


@given(problem=problems(), objective=OBJECTIVES)
def test_what_comes_back_is_valid_and_what_cannot_be_is_refused(
    problem: Problem, objective: Objective
) -> None:
    catalogue, plan = problem
    before = repr(plan)
    goals = {*plan.asked}
    try:
        dag, changes = repair(plan, catalogue, objective)
    except InvalidPlan:
        assert soonest(catalogue.operations, plan.asked) is None
    else:
        report = validate(dag, catalogue, asked=plan.asked)
        assert report.findings == ()
        assert report.quality == 1.0
        assert goals <= {datum for one in dag for datum in one.produces}
        assert all(changes)
    assert repr(plan) == before


@given(problem=problems())
def test_the_makespan_is_the_shortest_and_costs_the_least_of_those(problem: Problem) -> None:
    catalogue, plan = problem
    best = soonest(catalogue.operations, plan.asked)
    if best is None:
        return
    repaired = repair(plan, catalogue, "time")
    assert repaired.schedule.makespan == pytest.approx(best)
    assert repaired.optimality == "exact"
    assert repaired.usd == pytest.approx(cheapest(catalogue.operations, plan.asked, best))


@given(problem=problems())
def test_the_cost_is_the_least(problem: Problem) -> None:
    catalogue, plan = problem
    best = cheapest(catalogue.operations, plan.asked)
    if best is None:
        return
    repaired = repair(plan, catalogue, "cost")
    assert repaired.usd == pytest.approx(best)
    assert repaired.optimality == "exact"


@given(problem=problems(), objective=OBJECTIVES)
def test_repairing_what_was_repaired_changes_nothing(
    problem: Problem, objective: Objective
) -> None:
    catalogue, plan = problem
    if soonest(catalogue.operations, plan.asked) is None:
        return
    once = repair(plan, catalogue, objective).dag
    again = repair(once, catalogue, objective, asked=plan.asked)
    assert again.dag is once
    assert again.changes == ()


@given(problem=problems(), objective=OBJECTIVES)
def test_no_task_of_what_comes_back_can_be_left_out(problem: Problem, objective: Objective) -> None:
    catalogue, plan = problem
    if soonest(catalogue.operations, plan.asked) is None:
        return
    tasks = list(repair(plan, catalogue, objective).dag)
    for gone in tasks:
        left = tuple(
            replace(one, depends_on=tuple(d for d in one.depends_on if d != gone.id))
            for one in tasks
            if one is not gone
        )
        assert not validate(replace(plan, tasks=left), catalogue).accepted


@given(problem=problems(), objective=OBJECTIVES)
def test_it_is_never_worse_than_what_was_given(problem: Problem, objective: Objective) -> None:
    catalogue, plan = problem
    if soonest(catalogue.operations, plan.asked) is None:
        return
    before = validate(plan, catalogue)
    repaired = repair(plan, catalogue, objective)
    after = validate(repaired.dag, catalogue, asked=plan.asked)
    assert after.quality >= before.quality
    if before.accepted and objective == "time":
        assert after.seconds <= before.seconds + 1e-9
    elif before.accepted:
        assert after.usd <= before.usd + 1e-9


@given(problem=problems(), cents=st.integers(0, 20), seconds=st.integers(0, 20))
def test_limits_are_kept_to_wherever_a_plan_can(problem: Problem, cents: int, seconds: int) -> None:
    catalogue, plan = problem
    limits = Limits(seconds=seconds, usd=cents / 100)
    least = cheapest(catalogue.operations, plan.asked, seconds)
    for objective in ("time", "cost"):
        try:
            repaired = repair(plan, catalogue, objective, limits=limits)
        except InvalidPlan:
            assert least is None or least > cents / 100 + 1e-9
        else:
            report = validate(repaired.dag, catalogue, asked=plan.asked, limits=limits)
            assert report.accepted
            if objective == "cost":
                assert repaired.usd == pytest.approx(least)


def test_the_soonest_within_a_budget_is_found() -> None:
    assert repair(draft(), CATALOGUE, limits=Limits(usd=8)).schedule.makespan == 4
    within = repair(draft(), CATALOGUE, limits=Limits(usd=6.9))
    assert (within.schedule.makespan, within.usd, within.optimality) == (6, 3.0, "exact")


@pytest.mark.parametrize(
    ("tasks", "changes"),
    [
        ((LOAD, CLEAN, REPORT), ()),
        (
            (LOAD, REPORT),
            ("'r' waits for 'clean' instead of 'c'", "added 'clean': 'clean' makes 'tidy'"),
        ),
        (
            (LOAD, replace(CLEAN, operation="klean"), REPORT),
            ("'c' is done by 'clean' instead of 'klean'",),
        ),
        (
            (LOAD, replace(LOAD, id="l2"), CLEAN, REPORT),
            ("dropped 'l2', which repeats 'l'",),
        ),
        (
            (LOAD, CLEAN, REPORT, task("x", "chart", ("tidy",), ("chart",), ("c",))),
            ("dropped 'x', whose result nobody needs",),
        ),
        ((LOAD, replace(CLEAN, depends_on=()), REPORT), ("'c' waits for 'l' instead of nothing",)),
        (
            (replace(LOAD, depends_on=("r",)), CLEAN, REPORT),
            ("'l' waits for nothing instead of 'r'",),
        ),
        (
            (LOAD, replace(CLEAN, depends_on=("l", "c")), REPORT),
            ("'c' waits for 'l' instead of 'l', 'c'",),
        ),
        ((LOAD, LOAD, CLEAN, REPORT), ("dropped 'l', which repeats 'l'",)),
    ],
)
def test_every_change_is_told(tasks: tuple[Task, ...], changes: tuple[str, ...]) -> None:
    dag, told = repair(draft(*tasks), CATALOGUE, "cost")
    assert told == changes
    assert validate(dag, CATALOGUE, asked=["report"]).accepted


def test_a_task_keeps_its_words_its_checks_and_its_id() -> None:
    old = replace(CLEAN, operation="klean", acceptance=(Acceptance("tidy_check"),), timeout_s=7.0)
    dag, _ = repair(draft(LOAD, old, REPORT), CATALOGUE, "cost")
    assert dag["c"] == replace(old, operation="clean")


def test_a_valid_plan_that_is_the_best_is_given_back_itself() -> None:
    dag = TaskDAG([LOAD, CLEAN, REPORT], GIVEN)
    repaired = repair(dag, CATALOGUE, "cost", asked=["report"])
    assert repaired.dag is dag
    assert repaired.changes == ()


def test_a_plan_is_made_of_nothing_but_what_is_asked_for() -> None:
    dag, changes = repair(draft(asked=("report", "chart")), CATALOGUE, "cost")
    assert {one.operation for one in dag} == {"load", "clean", "report", "chart"}
    assert len(changes) == 4


def test_what_is_given_and_asked_for_is_made_all_the_same() -> None:
    catalogue = [Operation("edit", ("project",), ("project",))]
    plan = PlanDraft((), frozenset({"project"}), ("project",))
    assert [one.operation for one in repair(plan, catalogue).dag] == ["edit"]


def test_a_datum_that_nobody_makes_is_named() -> None:
    catalogue = [Operation("join", ("raw", "dictionary"), ("joined",))]
    with pytest.raises(InvalidPlan, match="nothing makes 'dictionary'"):
        repair(draft(asked=("joined",)), catalogue)
    with pytest.raises(InvalidPlan, match="no operation makes 'poem'"):
        repair(draft(asked=("poem",)), catalogue)


def test_operations_that_only_need_each_other_make_nothing() -> None:
    catalogue = [Operation("hen", ("egg",), ("chicken",)), Operation("lay", ("chicken",), ("egg",))]
    with pytest.raises(InvalidPlan, match="need each other"):
        repair(draft(asked=("egg",)), catalogue)


def test_a_limit_in_the_way_is_named() -> None:
    with pytest.raises(InvalidPlan, match=r"takes 4\.000 s and 3\.000 s are left"):
        repair(draft(), CATALOGUE, limits=Limits(seconds=3))
    with pytest.raises(InvalidPlan, match=r"costs \$3\.0000 and \$2\.0000 is left"):
        repair(draft(), CATALOGUE, limits=Limits(usd=2))
    with pytest.raises(InvalidPlan, match="2 tasks"):
        repair(draft(), CATALOGUE, limits=Limits(max_tasks=2))


def test_a_longer_way_round_is_taken_where_the_path_is_limited() -> None:
    catalogue = [
        Operation("one", ("raw",), ("half",), 1),
        Operation("two", ("half",), ("whole",), 1),
        Operation("at_once", ("raw",), ("whole",), 9),
    ]
    plan = draft(asked=("whole",))
    assert len(repair(plan, catalogue).dag) == 2
    short = repair(plan, catalogue, limits=Limits(max_depth=1))
    assert [one.operation for one in short.dag] == ["at_once"]


def test_few_workers_are_scheduled() -> None:
    catalogue = [Operation(f"make{n}", (), (f"part{n}",), seconds=n) for n in (2, 3, 3)[:2]]
    catalogue += [Operation("make4", (), ("part4",), seconds=3)]
    plan = draft(asked=("part2", "part3", "part4"))
    assert repair(plan, catalogue).schedule.makespan == 3
    two = repair(plan, catalogue, limits=Limits(workers=2))
    assert two.schedule.makespan == 5
    assert sorted(two.schedule.starts.values()) == [0, 0, 3]
    with pytest.raises(InvalidPlan, match="with 2 workers"):
        repair(plan, catalogue, limits=Limits(workers=2, seconds=4.5))


def test_hostile_names_are_quoted_and_bounded() -> None:
    name = "x\x1b[31m\n" + "y" * 5000
    plan = draft(task(name, name, ("raw",), ("report",), (name,)))
    dag, changes = repair(plan, CATALOGUE, "cost")
    assert validate(dag, CATALOGUE, asked=["report"]).accepted
    report = validate(plan, CATALOGUE)
    for told in (*changes, *report.objections):
        assert told.isprintable()
        assert len(told) < 600


def test_a_plan_without_end_is_refused_at_once() -> None:
    tasks = tuple(
        task(f"t{n}", "load", ("raw",), ("table",), (f"t{n + 1}",)) for n in range(10_000)
    )
    start = time.process_time()
    report = validate(draft(*tasks), CATALOGUE)
    with pytest.raises(InvalidPlan, match="at most 500"):
        repair(draft(*tasks), CATALOGUE)
    assert time.process_time() - start < 1
    assert "10000 tasks" in report.objections[0]


@pytest.mark.parametrize("shape", ["chain", "circle", "same", "all"])
def test_the_largest_plans_are_judged_in_time(shape: str) -> None:
    def waits(n: int) -> tuple[str, ...]:
        if shape == "chain":
            return (f"t{n - 1}",) if n else ()
        if shape == "circle":
            return (f"t{(n + 1) % 500}", f"t{(n + 7) % 500}")
        return tuple(f"t{m}" for m in range(n)) if shape == "all" else ()

    tasks = tuple(task(f"t{n}", "load", ("raw", "table"), ("table",), waits(n)) for n in range(500))
    start = time.process_time()
    validate(draft(*tasks), CATALOGUE)
    repair(draft(*tasks), CATALOGUE)
    assert time.process_time() - start < 3


def test_no_such_objective() -> None:
    with pytest.raises(InputError, match="'time' or 'cost'"):
        repair(draft(), CATALOGUE, "speed")  # pyright: ignore[reportArgumentType]


def test_nothing_asked_of_an_empty_plan() -> None:
    with pytest.raises(InvalidPlan, match="nothing is asked for"):
        repair(draft(asked=()), CATALOGUE)
