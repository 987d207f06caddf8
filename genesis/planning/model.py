"""Plans made by a chat model, held to the same rules as any other plan."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, Field

from genesis.errors import InvalidPlan, PlanningError
from genesis.planning.branch import replace_failed
from genesis.planning.deliverables import Deliverables
from genesis.planning.edges import derive_edges
from genesis.planning.planner import Goal, Plan
from genesis.tasks.dag import TaskDAG
from genesis.tasks.task import Task
from infrastructure.a2a.agent import AgentCard, Skill
from infrastructure.errors import ModelError
from infrastructure.models.chat import ChatAnswer, ChatMessage, ChatModel, ChatModels
from infrastructure.models.failures import UnusableAnswer
from infrastructure.resilience.budget import Budget
from infrastructure.text import DATA_RULE, cut, fence, one_line, strip_control

MAX_PLANNED_TASKS = 30
_ROUNDS = 2
_DESCRIPTION_CHARS = 2000
_REQUEST_CHARS = 20_000
_TIMEOUT_S = 60.0
_ANSWER_TOKENS = 1000  # expected of a plan
_DATUM = re.compile(r"[A-Za-z_][\w.-]{0,79}")
_SYSTEM = f"""\
You plan work for a set of agents. Split the request into tasks, each done by one operation of the
catalogue. Answer with JSON only.
- Use only operations of the catalogue. Use as few tasks as will do: at most {MAX_PLANNED_TASKS}.
- `requires` and `produces` are names of data. Everything a task requires is given with the request
  or produced by another task. An operation that declares what it produces makes only that.
- `depends_on` names tasks that must be done before; tasks that do not need each other run at once.
- The plan must produce all data under "asked for".
- `description` tells the agent in one or two sentences what to do.
{DATA_RULE}"""


class DraftTask(BaseModel):
    """A task as the model writes it."""

    id: str = Field(description="short and unique, made of letters, digits, '_', '-' and '.'")
    description: str
    operation: str = Field(description="an operation of the catalogue")
    requires: list[str] = Field(default_factory=list)
    produces: list[str] = Field(default_factory=list)
    depends_on: list[str] = Field(default_factory=list)


class DraftPlan(BaseModel):
    """A plan as the model writes it."""

    tasks: list[DraftTask]


@dataclass(slots=True)
class _Asked:
    """What a model answered in the end, and what all answers cost."""

    tasks: tuple[Task, ...] = ()
    problem: str = ""
    usd: float = 0.0


class ModelPlanner:
    """Asks a chat model for a plan; an unusable one is sent back once with the reasons.

    The model sees the request as data. It chooses among the operations that registered agents
    offer and can name nothing else, whatever the request tells it.

    Args:
        models: the chat models; the default one plans.
        cards: the registered agents now.
        deliverables: reads what the request asks for.
    """

    name = "model"

    def __init__(
        self,
        models: ChatModels,
        cards: Callable[[], Sequence[AgentCard]],
        deliverables: Deliverables,
    ) -> None:
        self._models = models
        self._cards = cards
        self._deliverables = deliverables

    async def plan(self, goal: Goal) -> Plan | None:
        """A valid plan; None when no chat model is set.

        Raises:
            PlanningError: the model's plans were unusable twice; says why.
            ModelError: the model cannot be reached.
            BudgetExceeded: the goal's budget does not reach for asking the model.
        """
        if not self._models.configured:
            return None
        # In a thread: a provider's package takes about a second to import.
        model = await asyncio.to_thread(self._models.require)
        skills = {skill.id: skill for card in self._cards() for skill in card.skills}
        messages = self._messages(goal, skills)
        asked = await self._ask(model, messages, goal, skills)
        if asked.problem:
            raise PlanningError(
                f"the chat model {model.name!r} made no usable plan: {asked.problem}"
            )
        if goal.failed and goal.last is not None:
            dag, changes = replace_failed(
                goal, lambda datum: [t for t in asked.tasks if datum in t.produces]
            )
            reason = f"the chat model {model.name!r} planned the failed branch another way"
            return Plan(dag, "model", reason, changes, cost_usd=asked.usd)
        reason = f"planned by the chat model {model.name!r}"
        return Plan(TaskDAG(asked.tasks, goal.given), "model", reason, cost_usd=asked.usd)

    async def _ask(
        self,
        model: ChatModel,
        messages: list[ChatMessage],
        goal: Goal,
        skills: dict[str, Skill],
    ) -> _Asked:
        asked = _Asked()
        for _ in range(_ROUNDS):
            try:
                answer = await _paid(model, messages, goal.budget)
            except UnusableAnswer as error:
                asked.usd += error.usage.cost_usd
                text, asked.problem = error.text, str(error)
            else:
                asked.usd += answer.usage.cost_usd
                text = answer.text
                asked.tasks, asked.problem = _read(answer.value, goal, skills)
            if not asked.problem:
                break
            messages += [
                ChatMessage("assistant", cut(text, _REQUEST_CHARS) or "(nothing)"),
                ChatMessage("user", f"This plan cannot be used: {asked.problem}. Correct it."),
            ]
        return asked

    def _messages(self, goal: Goal, skills: dict[str, Skill]) -> list[ChatMessage]:
        asked = self._deliverables.asked(goal.request, goal.task_type, goal.given)
        parts = [
            fence("request", goal.request, _REQUEST_CHARS),
            f"Task type: {one_line(goal.task_type)}",
            f"Given with the request: {', '.join(sorted(goal.given)) or 'nothing'}",
            f"Asked for: {', '.join(asked)}",
            "Catalogue:\n" + "\n".join(_entry(skill) for skill in skills.values()),
        ]
        if goal.objections:
            parts.append(
                "The last plan was sent back:\n" + fence("objections", "\n".join(goal.objections))
            )
        if goal.failed:
            told = "\n".join(f"{result.task_id}: {result.error}" for result in goal.failed)
            parts.append(
                "These tasks failed; make what they produce by other operations:\n"
                + fence("failures", told)
            )
        return [ChatMessage("system", _SYSTEM), ChatMessage("user", "\n\n".join(parts))]


async def _paid(
    model: ChatModel, messages: list[ChatMessage], budget: Budget
) -> ChatAnswer[DraftPlan]:
    """Ask once: money is reserved before and settled after, whatever the answer is."""
    reservation = budget.reserve(model.estimate_usd(messages, _ANSWER_TOKENS))
    spent = reservation.usd  # a call that is cut off is charged all the same
    try:
        answer = await model.complete(messages, schema=DraftPlan, timeout_s=_TIMEOUT_S)
        spent = answer.usage.cost_usd
        return answer
    except UnusableAnswer as error:
        spent = error.usage.cost_usd
        raise
    except ModelError:
        spent = 0.0
        raise
    finally:
        budget.settle(reservation, spent)


def _entry(skill: Skill) -> str:
    return (
        f"- {skill.id}: {one_line(skill.description)} "
        f"requires: {', '.join(skill.requires) or 'nothing'}; "
        f"produces: {', '.join(skill.produces) or 'whatever is asked'}; "
        f"task types: {', '.join(skill.task_types) or 'any'}"
    )


def _read(draft: DraftPlan, goal: Goal, skills: dict[str, Skill]) -> tuple[tuple[Task, ...], str]:
    """The draft as tasks, or why it is no valid plan."""
    if len(draft.tasks) > MAX_PLANNED_TASKS:
        return (), f"it has {len(draft.tasks)} tasks and at most {MAX_PLANNED_TASKS} are allowed"
    made_before = {name for task in goal.last or () for name in task.produces}
    try:
        tasks = derive_edges(_task(one, goal, skills) for one in draft.tasks)
        TaskDAG(tasks, made_before.union(goal.given) if goal.failed else goal.given)
    except InvalidPlan as error:
        return (), str(error)
    return tasks, ""


def _task(draft: DraftTask, goal: Goal, skills: dict[str, Skill]) -> Task:
    skill = skills.get(draft.operation)
    called = repr(one_line(draft.id, 80))
    if skill is None:
        raise InvalidPlan(
            f"task {called} uses the operation {one_line(draft.operation, 80)!r}, which no agent "
            f"offers; there are {', '.join(skills) or 'none'}"
        )
    foreign = [name for name in draft.produces if skill.produces and name not in skill.produces]
    if foreign:
        raise InvalidPlan(
            f"task {called}: the operation {skill.id!r} does not produce "
            f"{one_line(foreign[0], 80)!r} but {', '.join(skill.produces)}"
        )
    for name in (*draft.requires, *draft.produces):
        if not _DATUM.fullmatch(name):
            raise InvalidPlan(f"task {called}: {one_line(name, 80)!r} is no name of a datum")
    serves = not skill.task_types or goal.task_type in skill.task_types
    return Task(
        id=draft.id,
        description=cut(strip_control(draft.description), _DESCRIPTION_CHARS),
        task_type=goal.task_type if serves else skill.task_types[0],
        operation=skill.id,
        requires=tuple(dict.fromkeys((*draft.requires, *skill.requires))),
        produces=tuple(dict.fromkeys(draft.produces or skill.produces)),
        depends_on=tuple(dict.fromkeys(draft.depends_on)),
    )
