"""What a run looks like while it goes on, where part of it is a request of its own."""

from __future__ import annotations

import io

from rich.console import Console

from genesis.cli.render import RunView, plan_tree
from genesis.events import PlanMade, PlanPriced, PlanSentBack, PlanValidated
from genesis.execution.events import TaskEnded, TaskStarted
from genesis.planning.findings import ValidationReport
from genesis.tasks.dag import TaskDAG
from genesis.tasks.task import SUB_REQUEST, Task, TaskResult, TaskStatus


def test_tasks_one_level_down_stand_under_the_task_that_they_are_part_of() -> None:
    seen = io.StringIO()
    with RunView(Console(file=seen, width=200)) as view:
        view.show(PlanSentBack(("too deep",)))
        for run_id, task_id in (("r~research~1", "fetch"), ("r", "research")):
            view.show(TaskStarted(run_id, task_id, 1.0))
            view.show(TaskEnded(run_id, task_id, 2.0, TaskResult(task_id, TaskStatus.COMPLETED)))
    told = seen.getvalue()
    assert "plan sent back: too deep" in told
    assert "completed research/fetch" in told
    assert "completed research  " in told


def test_a_composite_task_is_told_from_others_in_a_plan() -> None:
    plan = TaskDAG(
        [Task("part", "Find out.", "general", SUB_REQUEST), Task("rest", "Do.", "general", "do")]
    )
    seen = io.StringIO()
    Console(file=seen, width=200).print(plan_tree(plan.to_json()))
    part, rest = (line for line in seen.getvalue().splitlines() if "part" in line or "rest" in line)
    assert "(a request of its own)" in part
    assert "(a request of its own)" not in rest


def test_a_run_that_goes_on_begins_with_what_was_finished() -> None:
    plan = TaskDAG([Task("first", "Do.", "general", "do"), Task("then", "Do.", "general", "do")])
    seen = io.StringIO()
    with RunView(Console(file=seen, width=200)) as view:
        view.go_on(plan, ["first"])
        view.show(TaskEnded("r", "then", 2.0, TaskResult("then", TaskStatus.COMPLETED)))
    assert "1 of 2 tasks finished before" in seen.getvalue()
    assert "completed then" in seen.getvalue()


def test_the_plan_that_is_shown_is_the_mended_one() -> None:
    made = TaskDAG([Task("double", "Do.", "general", "do"), Task("once", "Do.", "general", "do")])
    mended = TaskDAG([Task("once", "Do.", "general", "do")])
    report = ValidationReport(True, True, True, 1.0, {}, ())
    seen = io.StringIO()
    with RunView(Console(file=seen, width=200)) as view:
        view.show(PlanMade(made.to_json(), "template", "it fits", (), "", ()))
        view.show(PlanValidated(True, report, ("dropped double",), mended.to_json()))
        view.show(PlanPriced(()))
    assert "once" in seen.getvalue()
    assert "double" not in seen.getvalue()
