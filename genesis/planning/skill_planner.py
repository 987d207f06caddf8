"""Plans chained from the skills of the user's own agents, where no template knows of them."""

from __future__ import annotations

from collections.abc import Sequence

from genesis.errors import InvalidPlan, PlanningError
from genesis.planning.own_skills import produced
from genesis.planning.part_plan import plan_parts
from genesis.planning.planner import Goal, Plan
from genesis.planning.template import TemplateBook
from genesis.tasks.dag import TaskDAG
from genesis.tasks.task import Task
from infrastructure.a2a.agent import Skill


class SkillPlanner:
    """Chains the skills of the user's own agents, and declared tasks where those need them."""

    name = "skills"

    def __init__(self, book: TemplateBook) -> None:
        self._book = book

    async def plan(self, goal: Goal) -> Plan | None:
        """A plan for requests that mean such a skill; None for all others.

        Raises:
            PlanningError: a datum on the way is neither given nor made by anybody, or this very
                plan was sent back or failed.
        """
        parts = self._book.deliverables.parts(goal.request, goal.task_type, goal.given)
        asked = tuple(dict.fromkeys(datum for part in parts for datum in part.asked))
        if not any(self._book.own.making(datum) for datum in asked):
            return None
        if goal.last is not None:
            raise PlanningError("the registered skills make no other plan")
        try:
            dag = TaskDAG(
                plan_parts(goal, parts, lambda own, part: self._tasks(own, part.asked)), goal.given
            )
        except InvalidPlan as error:
            raise PlanningError(f"the registered skills make no valid plan: {error}") from error
        operations = ", ".join(task.operation for task in dag)
        return Plan(dag, "template", f"{operations} by registered skills makes {', '.join(asked)}")

    def _tasks(self, goal: Goal, asked: Sequence[str]) -> list[Task]:
        chosen: dict[str, Task] = {}
        pending = list(asked)
        while pending:
            datum = pending.pop(0)
            if any(datum in task.produces for task in chosen.values()):
                continue
            task = self._maker(datum, goal)
            chosen[task.id] = task
            pending.extend(name for name in task.requires if name not in goal.given)
        return list(chosen.values())

    def _maker(self, datum: str, goal: Goal) -> Task:
        skill = self._book.own.making(datum)
        if skill is not None:
            return _task(skill, goal)
        declared = self._book.steps_making(datum, goal)
        if declared:
            return declared[0]
        raise PlanningError(
            f"the datum {datum!r} is not given and nobody makes it: give it with "
            f"context={{{datum!r}: ...}}"
        )


def _task(skill: Skill, goal: Goal) -> Task:
    serves = not skill.task_types or goal.task_type in skill.task_types
    return Task(
        id=skill.id,
        description=skill.description,
        task_type=goal.task_type if serves else skill.task_types[0],
        operation=skill.id,
        requires=skill.requires,
        produces=produced(skill),
    )
