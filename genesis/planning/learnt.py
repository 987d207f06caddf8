"""Reuse and adapt a plan that was verified on a similar request."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from genesis.errors import InvalidPlan, PlanningError
from genesis.planning.branch import replace_failed
from genesis.planning.deliverables import Deliverables
from genesis.planning.planner import Goal, PastPlan, Plan
from genesis.tasks.capability import skills_for, wanted
from genesis.tasks.dag import TaskDAG
from genesis.tasks.phrases import words_of
from genesis.tasks.task import Task
from infrastructure.a2a.agent import AgentCard
from infrastructure.text import counted, one_line

_REQUEST_CHARS = 500
_MIN_WORD = 4
_FILE = re.compile(r"[\w./-]*\w\.(\w{1,8})\b")


class LearntPlanner:
    """Takes the best supported plan of a similar request that asked for the same.

    A past plan serves when its request had the same task type, came with the same named data and
    asked for the same deliverables, however alike the words; when it is similar enough; when its
    record is good enough (failures demote it); and when some agent still offers each operation.

    Args:
        deliverables: reads what a request asks for.
        cards: the registered agents now.
        descriptions: declared descriptions by operation; others are fitted to the new request.
        min_similarity: of the requests, 0 to 1.
        min_success: expected share of verified runs, (successes + 1) / (runs + 2).
    """

    name = "memory"

    def __init__(
        self,
        deliverables: Deliverables,
        cards: Callable[[], Sequence[AgentCard]],
        *,
        descriptions: Mapping[str, str] | None = None,
        min_similarity: float = 0.5,
        min_success: float = 0.6,
    ) -> None:
        self._deliverables = deliverables
        self._cards = cards
        self._descriptions = dict(descriptions or {})
        self._min_similarity = min_similarity
        self._min_success = min_success

    async def plan(self, goal: Goal) -> Plan | None:
        """A remembered plan for the goal; None when nothing similar is remembered.

        Raises:
            PlanningError: there are similar requests whose plans do not serve; says why each.
        """
        if not goal.past:
            return None
        if goal.failed and goal.last is not None:
            dag, changes = replace_failed(goal, lambda datum: _ways(goal.past, datum))
            return Plan(dag, "memory", "the failed branch as similar requests did it", changes)
        if goal.objections:
            raise PlanningError("a plan was sent back; memory does not propose it again")
        asked = self._deliverables.asked(goal.request, goal.task_type, goal.given)
        reasons: list[str] = []
        for past in sorted(goal.past, key=_support, reverse=True):
            reason = self._misfit(past, goal, asked)
            if not reason:
                try:
                    return self._adapted(past, goal)
                except (InvalidPlan, PlanningError) as error:
                    reason = str(error)
            reasons.append(f"the plan of run {past.run_id}: {reason}")
        raise PlanningError("; ".join(reasons))

    def _misfit(self, past: PastPlan, goal: Goal, asked: Sequence[str]) -> str:
        """Why a past plan does not serve, in words; empty when it does."""
        if past.task_type != goal.task_type:
            return f"was made for {past.task_type}"
        if past.similarity < self._min_similarity:
            return f"its request is only {past.similarity:.0%} similar"
        if set(past.given) != set(goal.given):
            return f"came with other data ({', '.join(sorted(past.given)) or 'none'})"
        names: dict[str, str] = dict.fromkeys(past.given, "")
        before = self._deliverables.asked(past.request, past.task_type, names)
        if set(before) != set(asked):
            return f"its request asked for {', '.join(before)}, this one for {', '.join(asked)}"
        if _success(past) < self._min_success:
            return f"only {past.successes} of {past.successes + past.failures} runs were verified"
        return ""

    def _adapted(self, past: PastPlan, goal: Goal) -> Plan:
        old = TaskDAG.from_json(past.plan)
        cards = self._cards()
        for task in old:
            if not skills_for(task, cards):
                raise PlanningError(f"no agent offers {wanted(task)} any more")
        tasks = [self._described(task, past.request, goal) for task in old]
        changed = [task.id for task in tasks if task.description != old[task.id].description]
        listed = ", ".join(task.id for task in tasks)
        changes = [f"kept the {counted(len(tasks), 'task')} {listed} and their order"]
        if changed:
            changes.append(f"described {', '.join(changed)} anew for this request")
        if goal.given:
            changes.append(f"{', '.join(sorted(goal.given))} taken from this request")
        reason = (
            f"a request {past.similarity:.0%} similar ({one_line(past.request, 80)!r}) was served "
            f"by this plan: {past.successes} of {past.successes + past.failures} runs verified"
        )
        return Plan(
            TaskDAG(tasks, goal.given), "memory", reason, tuple(changes), run_id=past.run_id
        )

    def _described(self, task: Task, before: str, goal: Goal) -> Task:
        """The task in words that fit the new request; nothing else of it changes."""
        declared = self._descriptions.get(task.operation)
        if declared is not None:
            return replace(task, description=declared)
        text = _refilled(task.description.replace(before, goal.request), before, goal.request)
        stale = _content(before) - _content(goal.request)
        if stale & _content(text):
            name = task.operation.replace("_", " ") or "work"
            text = f"Do the {name} of this request: {one_line(goal.request, _REQUEST_CHARS)}"
        return replace(task, description=text)


def _success(past: PastPlan) -> float:
    """Expected share of verified runs: the mean of a Beta posterior on a flat prior."""
    return (past.successes + 1) / (past.successes + past.failures + 2)


def _support(past: PastPlan) -> float:
    return past.similarity * _success(past)


def _content(text: str) -> set[str]:
    return {word for word in words_of(text) if len(word) >= _MIN_WORD}


def _refilled(text: str, before: str, now: str) -> str:
    """A description with the file names of the old request replaced by those of the new one."""
    new = list(_FILE.finditer(now))
    for old in _FILE.finditer(before):
        same_kind = next((m for m in new if m.group(1) == old.group(1)), None)
        if same_kind is not None:
            text = text.replace(old.group(), same_kind.group())
    return text


def _ways(past: Sequence[PastPlan], datum: str) -> list[Task]:
    """Tasks of remembered plans that make a datum."""
    found: list[Task] = []
    for one in past:
        if one.successes <= one.failures:
            continue
        try:
            dag = TaskDAG.from_json(one.plan)
        except InvalidPlan:  # a damaged memory offers no way; planning goes on without it
            continue
        found.extend(task for task in dag if datum in task.produces)
    return found
