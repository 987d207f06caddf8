"""What a chat model is told when it is asked for a plan; what others wrote is fenced as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from genesis.planning.model_answer import MAX_DESCRIPTION_CHARS, MAX_PLANNED_TASKS
from genesis.planning.planner import Goal, PastPlan
from genesis.tasks.task import SUB_REQUEST
from infrastructure.a2a.agent import Skill
from infrastructure.jsonvalue import JsonValue
from infrastructure.models.chat import ChatMessage
from infrastructure.text import DATA_RULE, counted, fence, one_line

_REQUEST_CHARS = 20_000
_CATALOGUE_CHARS = 60_000
_SKILL_CHARS = 1_000
_PAST_PLANS = 3
_SYSTEM = f"""\
You plan work for a set of agents. Split the request into tasks, each done by one operation of the
catalogue. Answer with JSON only.
- Use only operations of the catalogue. Use as few tasks as will do: at most {MAX_PLANNED_TASKS}.
- `requires` and `produces` are names of data. Everything a task requires is given with the request
  or produced by another task. An operation that declares what it produces makes only that.
- Where an operation requires "dataset" and another given one is meant, such as "dataset_2", let the
  task require that one instead.
- `serves` is for requests that ask for several things: the words of the request that ask for what
  this task does, copied letter by letter.
- `depends_on` names tasks that must be done before; tasks that do not need each other run at once.
- The plan must produce all data under "Asked for".
- `description` tells the agent in one or two sentences what to do, in at most
  {MAX_DESCRIPTION_CHARS} characters.
- Who does a task, with which model, and what it may cost is not yours to say.
{DATA_RULE}"""
_COMPOSITE_RULE = (
    f"Use the operation `{SUB_REQUEST}` only for a part of the request that needs several "
    "operations and cannot be planned before earlier results are known; its description is that "
    "part as a request in full. It is planned when it is reached."
)


def planning_messages(
    goal: Goal, skills: Mapping[str, Skill], asked: Sequence[str]
) -> list[ChatMessage]:
    """The conversation that asks for a plan.

    Args:
        goal: what is to be planned, what was tried and what is left.
        skills: the operations that may be used, by id.
        asked: the data that the plan must produce.
    """
    parts = [
        fence("request", goal.request, _REQUEST_CHARS),
        f"Task type: {one_line(goal.task_type)}",
        f"Given with the request: {', '.join(sorted(goal.given)) or 'nothing'}",
        f"Asked for: {', '.join(asked)}",
        f"Left: {_limits(goal)}",
        "Catalogue:\n" + fence("catalogue", _catalogue(skills), _CATALOGUE_CHARS),
    ]
    if SUB_REQUEST in skills:
        parts.append(_COMPOSITE_RULE)
    parts += _history(goal)
    return [ChatMessage("system", _SYSTEM), ChatMessage("user", "\n\n".join(parts))]


def _limits(goal: Goal) -> str:
    """What is left to the run, in words."""
    usd = goal.budget.statistics.left_usd
    said = [
        "money without a limit" if usd is None else f"${usd:.4f}",
        "time without a limit" if goal.seconds_left is None else f"{goal.seconds_left:.0f} s",
    ]
    if goal.levels_left is not None:
        said.append(f"{counted(goal.levels_left, 'level')} of requests within requests")
    return ", ".join(said)


def _history(goal: Goal) -> list[str]:
    """What happened before in this run, and what served similar requests, all as data."""
    parts: list[str] = []
    if goal.told:
        parts.append("From memory:\n" + fence("memory", goal.told))
    if goal.past and goal.last is None:
        told = "\n".join(_past(past) for past in goal.past[:_PAST_PLANS])
        parts.append("Similar requests and what served them:\n" + fence("past", told))
    if goal.objections:
        told = "\n".join(goal.objections)
        parts.append("The last plan was sent back:\n" + fence("objections", told))
    if goal.finished and goal.last is not None:
        made = {task.id: ", ".join(task.produces) or "its answer" for task in goal.last}
        told = "\n".join(
            f"{result.task_id} made {made[result.task_id]}"
            for result in goal.finished
            if result.task_id in made
        )
        parts.append("Done, and kept; do not plan these again:\n" + fence("done", told))
    if goal.failed:
        told = "\n".join(f"{result.task_id}: {result.error}" for result in goal.failed)
        parts.append(
            "These tasks failed; make what they produce by other operations:\n"
            + fence("failures", told)
        )
    return parts


def _past(past: PastPlan) -> str:
    tasks = past.plan.get("tasks")
    used = [_operation(task) for task in tasks] if isinstance(tasks, list) else []
    return (
        f"{one_line(past.request)!r} was served by {', then '.join(used) or 'an unknown plan'}: "
        f"{past.successes} of {past.successes + past.failures} runs verified"
    )


def _operation(task: JsonValue) -> str:
    return one_line(str(task.get("operation"))) if isinstance(task, Mapping) else "?"


def _catalogue(skills: Mapping[str, Skill]) -> str:
    """The operations, one a line; cards of agents elsewhere are others' words too."""
    return "\n".join(
        one_line(
            f"- {skill.id}: {one_line(skill.description)} "
            f"requires: {', '.join(skill.requires) or 'nothing'}; "
            f"produces: {', '.join(skill.produces) or 'whatever is asked'}; "
            f"task types: {', '.join(skill.task_types) or 'any'}",
            _SKILL_CHARS,
        )
        for skill in skills.values()
    )
