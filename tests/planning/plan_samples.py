"""Agents, goals and random plans for the tests of planning."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import strategies as st

from genesis.planning.edges import derive_edges
from genesis.planning.planner import Goal, PastPlan
from genesis.planning.template import TemplateBook
from genesis.tasks.dag import TaskDAG
from genesis.tasks.task import Task
from infrastructure.a2a.agent import AgentCard, Skill
from infrastructure.jsonvalue import JsonValue

BOOK = TemplateBook.load()
DATASET: Mapping[str, JsonValue] = {"dataset": "/ws/sales.csv"}
ANALYST = AgentCard(
    "data_analyst",
    "answers questions about data files",
    (
        Skill("profile_data", "", ("data_analysis",), ("dataset",), ("data_profile",)),
        Skill("answer_questions", "", ("data_analysis",), ("dataset",), ("data_answers",)),
        Skill(
            "write_data_report",
            "",
            ("data_analysis",),
            ("dataset", "data_profile", "data_answers"),
            ("data_report",),
        ),
    ),
)
GENERALIST = AgentCard(
    "generalist", "", (Skill("answer", "", (), (), ("answer",), needs_model=True),)
)
CARDS = (ANALYST, GENERALIST)


def goal(request: str, task_type: str = "data_analysis", **given: str) -> Goal:
    return Goal(request, task_type, given)


def task(
    task_id: str,
    operation: str = "",
    requires: tuple[str, ...] = (),
    produces: tuple[str, ...] = (),
    depends_on: tuple[str, ...] = (),
    task_type: str = "data_analysis",
) -> Task:
    return Task(task_id, f"do {task_id}", task_type, operation, requires, produces, depends_on)


def past(
    request: str,
    dag: TaskDAG,
    *,
    run_id: str = "R1",
    task_type: str = "data_analysis",
    successes: int = 3,
    failures: int = 0,
    similarity: float = 0.9,
) -> PastPlan:
    given = tuple(sorted(dag.given))
    return PastPlan(
        run_id, request, task_type, given, dag.to_json(), successes, failures, similarity
    )


@st.composite
def dags(draw: st.DrawFn) -> TaskDAG:
    """Valid plans of up to 12 tasks over few names, so that duplicates and dead tasks abound."""
    names = ["a", "b", "c", "d"]
    available = {"given"}
    tasks: list[Task] = []
    for number in range(draw(st.integers(1, 12))):
        requires = draw(st.lists(st.sampled_from(sorted(available)), unique=True, max_size=2))
        produces = draw(st.lists(st.sampled_from(names), unique=True, max_size=2))
        before = [one.id for one in tasks]
        extra = draw(st.lists(st.sampled_from(before), unique=True, max_size=2)) if before else []
        tasks.append(
            task(
                f"t{number}",
                draw(st.sampled_from(["", "x", "y"])),
                tuple(requires),
                tuple(produces),
                tuple(extra),
            )
        )
        available |= set(produces)
    return TaskDAG(derive_edges(tasks), ["given"])
