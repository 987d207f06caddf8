"""Plans made by a chat model, held to the same rules as any other plan."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from genesis.errors import InvalidPlan, PlanningError
from genesis.planning.branch import replace_failed
from genesis.planning.deliverables import Deliverables
from genesis.planning.drafted_tasks import drafted_tasks
from genesis.planning.model_answer import DraftPlan, NotJson, read_draft
from genesis.planning.planner import Goal, Plan, PlanRefused
from genesis.planning.planning_prompt import planning_messages
from genesis.tasks.dag import TaskDAG
from genesis.tasks.task import SUB_REQUEST, Task
from infrastructure.a2a.agent import AgentCard, Skill
from infrastructure.errors import GenesisError, ModelError
from infrastructure.models.chat import ChatMessage, ChatModel, ChatModels
from infrastructure.models.failures import UnusableAnswer
from infrastructure.text import cut

_ROUNDS = 2
_SAID_CHARS = 4_000  # of an unusable plan that is shown to its author again
_TIMEOUT_S = 60.0
_MAX_OUTPUT_TOKENS = 8_000
_ANSWER_TOKENS = 1000  # expected of a plan


@dataclass(slots=True)
class _Asked:
    """What a model answered in the end, what was mended in it, and what all answers cost."""

    tasks: tuple[Task, ...] = ()
    changes: tuple[str, ...] = ()
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
            PlanRefused: the model's plans were unusable twice, or it failed after it was paid;
                says why, and what it cost.
            ModelError: the model cannot be reached.
            BudgetExceeded: the goal's budget does not reach for asking the model.
        """
        if not self._models.configured:
            return None
        # In a thread: a provider's package takes about a second to import.
        model = await asyncio.to_thread(self._models.require)
        skills = {skill.id: skill for card in self._cards() for skill in card.skills}
        if goal.levels_left == 0:
            skills.pop(SUB_REQUEST, None)
        wanted = self._deliverables.asked(goal.request, goal.task_type, goal.given)
        asked = await self._ask(model, planning_messages(goal, skills, wanted), goal, skills)
        if asked.problem:
            raise _refused(f"made no usable plan: {asked.problem}", model, asked)
        if goal.failed and goal.last is not None:
            return _branch(model, asked, goal)
        reason = f"planned by the chat model {model.name!r}"
        dag = TaskDAG(asked.tasks, goal.given)
        return Plan(dag, "model", reason, asked.changes, cost_usd=asked.usd)

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
                said = await _paid(model, messages, goal)
            except GenesisError as error:
                if not asked.usd:
                    raise
                why = f"made no usable plan: {asked.problem}; asked again: {error}"
                raise _refused(why, model, asked) from error
            asked.usd += said.usd
            asked.tasks, asked.changes, asked.problem = _read(said, goal, skills)
            if not asked.problem:
                break
            messages += [
                ChatMessage("assistant", cut(said.text, _SAID_CHARS) or "(nothing)"),
                ChatMessage("user", f"This plan cannot be used: {asked.problem}. Correct it."),
            ]
        return asked


@dataclass(frozen=True, slots=True)
class _Said:
    """One answer; `unusable` says what the schema made of it, empty where it fits."""

    text: str
    usd: float
    unusable: str = ""


async def _paid(model: ChatModel, messages: list[ChatMessage], goal: Goal) -> _Said:
    """Ask once: money is reserved before and settled after, whatever the answer is."""
    budget = goal.budget
    reservation = budget.reserve(model.estimate_usd(messages, _ANSWER_TOKENS))
    spent = reservation.usd  # a call that is cut off is charged all the same
    limit_s = _TIMEOUT_S if goal.seconds_left is None else min(_TIMEOUT_S, goal.seconds_left)
    try:
        answer = await model.complete(
            messages,
            schema=DraftPlan,
            max_output_tokens=_MAX_OUTPUT_TOKENS,
            timeout_s=max(limit_s, 0.0),
        )
        spent = answer.usage.cost_usd
        return _Said(answer.text, spent)
    except UnusableAnswer as error:
        spent = error.usage.cost_usd
        return _Said(error.text, spent, str(error))
    except ModelError:
        spent = 0.0
        raise
    finally:
        budget.settle(reservation, spent)


def _refused(why: str, model: ChatModel, asked: _Asked) -> PlanRefused:
    return PlanRefused(
        f"the chat model {model.name!r}, asked for ${asked.usd:.4f}, {why}", asked.usd
    )


def _branch(model: ChatModel, asked: _Asked, goal: Goal) -> Plan:
    """The last plan with its failed branch done as the model says.

    Raises:
        PlanRefused: the model found no other way.
    """
    try:
        dag, changes = replace_failed(
            goal, lambda datum: [t for t in asked.tasks if datum in t.produces]
        )
    except PlanningError as error:
        raise _refused(f"found no other way: {error}", model, asked) from error
    reason = f"the chat model {model.name!r} planned the failed branch another way"
    return Plan(dag, "model", reason, (*asked.changes, *changes), cost_usd=asked.usd)


def _read(
    said: _Said, goal: Goal, skills: dict[str, Skill]
) -> tuple[tuple[Task, ...], tuple[str, ...], str]:
    """The answer as tasks with what was mended, or why it is no valid plan."""
    made_before = {name for task in goal.last or () for name in task.produces}
    given = made_before.union(goal.given) if goal.failed else goal.given
    try:
        draft, changes = read_draft(said.text)
        tasks, more = drafted_tasks(draft, goal, skills)
        dag = TaskDAG(tasks, given)
    except NotJson as error:
        return (), (), said.unusable or str(error)
    except InvalidPlan as error:
        return (), (), str(error)
    if goal.objections and goal.last is not None and _work(dag) == _work(goal.last):
        return (), (), "it is the plan that was sent back, in other words at most"
    return tasks, (*changes, *more), ""


def _work(dag: TaskDAG) -> list[Task]:
    return [replace(task, description="") for task in dag]
