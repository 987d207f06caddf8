"""The tasks of a model's plan: held to the catalogue, to the data, and to the user's own words."""

from __future__ import annotations

import re
from collections.abc import Mapping

from genesis.errors import InvalidPlan
from genesis.planning.data_names import kind_of
from genesis.planning.edges import derive_edges
from genesis.planning.model_answer import DraftPlan, DraftTask
from genesis.planning.planner import Goal
from genesis.tasks.task import Task
from infrastructure.a2a.agent import Skill
from infrastructure.text import one_line

_DATUM = re.compile(r"[A-Za-z_][\w.-]{0,79}")
_SHOWN_CHARS = 80


def drafted_tasks(
    draft: DraftPlan, goal: Goal, skills: Mapping[str, Skill]
) -> tuple[tuple[Task, ...], tuple[str, ...]]:
    """The draft as tasks with their edges, and what was added or left out, one sentence each.

    Args:
        draft: what the model wrote.
        goal: what is planned.
        skills: the operations that may be used, by id.

    Raises:
        InvalidPlan: a task uses what there is not, or says nothing; names it.
    """
    changes: list[str] = []
    tasks = derive_edges(_task(one, goal, skills, changes) for one in draft.tasks)
    return tasks, tuple(changes)


def _task(draft: DraftTask, goal: Goal, skills: Mapping[str, Skill], changes: list[str]) -> Task:
    called = f"task {one_line(draft.id, _SHOWN_CHARS)!r}"
    skill = _skill(draft, skills, called)
    bindings = _bindings(draft, skill, goal)
    meant = {datum for _, datum in bindings}
    required = (name for name in (*draft.requires, *skill.requires) if name not in meant)
    serves = not skill.task_types or goal.task_type in skill.task_types
    return Task(
        id=draft.id,
        description=_description(draft, skill, called, changes),
        task_type=goal.task_type if serves else skill.task_types[0],
        operation=skill.id,
        requires=tuple(dict.fromkeys(required)),
        produces=tuple(dict.fromkeys(draft.produces or skill.produces)),
        depends_on=tuple(dict.fromkeys(draft.depends_on)),
        request=_own_words(draft, goal, called, changes),
        bindings=bindings,
    )


def _skill(draft: DraftTask, skills: Mapping[str, Skill], called: str) -> Skill:
    """The operation that the task names, if it is one that does what the task says."""
    skill = skills.get(draft.operation)
    if skill is None:
        raise InvalidPlan(
            f"{called} uses the operation {one_line(draft.operation, _SHOWN_CHARS)!r}, which no "
            f"agent offers; there are {', '.join(skills) or 'none'}"
        )
    foreign = [name for name in draft.produces if skill.produces and name not in skill.produces]
    if foreign:
        raise InvalidPlan(
            f"{called}: the operation {skill.id!r} does not produce "
            f"{one_line(foreign[0], _SHOWN_CHARS)!r} but {', '.join(skill.produces)}"
        )
    for name in (*draft.requires, *draft.produces):
        if not _DATUM.fullmatch(name):
            raise InvalidPlan(f"{called}: {one_line(name, _SHOWN_CHARS)!r} is no name of a datum")
    return skill


def _bindings(draft: DraftTask, skill: Skill, goal: Goal) -> tuple[tuple[str, str], ...]:
    """Which given datum is meant where a task requires another of the kind than its operation."""
    found: list[tuple[str, str]] = []
    for name in skill.requires:
        others = [datum for datum in draft.requires if datum in goal.given and datum != name]
        of_kind = [datum for datum in others if kind_of(datum) == name]
        if name not in draft.requires and len(of_kind) == 1:
            found.append((name, of_kind[0]))
    return tuple(found)


def _description(draft: DraftTask, skill: Skill, called: str, changes: list[str]) -> str:
    if draft.description:
        return draft.description
    if not skill.description:
        raise InvalidPlan(f"{called} does not say what is to be done")
    changes.append(f"described {called} as its operation is")
    return skill.description


def _own_words(draft: DraftTask, goal: Goal, called: str, changes: list[str]) -> str:
    """The words of the request that a task serves: the user's, or none."""
    whole = " ".join(goal.request.split())
    words = " ".join(draft.serves.split())
    if not words or words == whole:
        return ""
    if words not in whole:
        changes.append(f"{called} serves the whole request: what it names are not its words")
        return ""
    return words
