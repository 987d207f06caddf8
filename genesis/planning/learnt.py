"""Reuse and adapt a plan that was verified on a similar request."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from genesis.errors import InvalidPlan, PlanningError
from genesis.planning.adapt import Adaptation, Declared, adapt, parts_of
from genesis.planning.branch import replace_failed
from genesis.planning.deliverables import Deliverables
from genesis.planning.forms import difference, form_of, settled
from genesis.planning.parts import Part
from genesis.planning.planner import Goal, PastPlan, Plan
from genesis.tasks.dag import TaskDAG
from genesis.tasks.task import Task
from infrastructure.a2a.agent import AgentCard
from infrastructure.jsonvalue import JsonObject
from infrastructure.text import one_line


class LearntPlanner:
    """Takes the best supported plan of a request that asked for the same.

    A past plan serves when its request asked for the same deliverables, however unlike the words;
    when what it was made from is at hand; when its record is good enough (failures demote it);
    and when some agent still offers each operation. What is made from words alone (a text, code,
    an answer) is the same only when the words ask for the same thing and are alike as well; so it
    is for plans that hold operations which nobody declares.

    Args:
        deliverables: reads what a request asks for.
        cards: the registered agents now.
        declared: what is declared of operations; the tasks of others are described anew.
        min_similarity: of requests for what is made from words, 0 to 1.
        min_success: expected share of verified runs, (successes + 1) / (runs + 2).
    """

    name = "memory"

    def __init__(
        self,
        deliverables: Deliverables,
        cards: Callable[[], Sequence[AgentCard]],
        *,
        declared: Declared | None = None,
        min_similarity: float = 0.5,
        min_success: float = 0.6,
    ) -> None:
        self._deliverables = deliverables
        self._cards = cards
        self._declared = declared or Declared()
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
        parts = self._deliverables.parts(goal.request, goal.task_type, goal.given)
        reasons: list[str] = []
        for past in sorted(goal.past, key=_support, reverse=True):
            try:
                return self._reused(past, goal, parts)
            except (InvalidPlan, PlanningError) as error:
                reasons.append(
                    f"the plan of run {past.run_id} ({one_line(past.request, 60)!r}): {error}"
                )
        raise PlanningError("; ".join(reasons))

    def _reused(self, past: PastPlan, goal: Goal, parts: Sequence[Part]) -> Plan:
        old = TaskDAG.from_json(past.plan)
        reason = self._misfit(past, old, goal, parts)
        if reason:
            raise PlanningError(reason)
        adapted = adapt(Adaptation(old, past, goal, parts, self._cards(), self._declared))
        reason = (
            f"a request {past.similarity:.0%} similar ({one_line(past.request, 80)!r}) was served "
            f"by this plan: {past.successes} of {past.successes + past.failures} runs verified"
        )
        return Plan(adapted.dag, "memory", reason, adapted.changes, run_id=past.run_id)

    def _misfit(self, past: PastPlan, old: TaskDAG, goal: Goal, parts: Sequence[Part]) -> str:
        """Why a past plan does not serve, in words; empty when it does."""
        asked = {datum for part in parts for datum in part.asked}
        before = self._asked_before(past, old)
        if self._deliverables.essential(before) != self._deliverables.essential(asked):
            was, now = (", ".join(sorted(some)) for some in (before, asked))
            return f"its request asked for {was}, this one for {now}"
        if _success(past) < self._min_success:
            return f"only {past.successes} of {past.successes + past.failures} runs were verified"
        return self._other_words(past, old, goal, parts)

    def _asked_before(self, past: PastPlan, old: TaskDAG) -> set[str]:
        """What the past request asked for, part by part."""
        found: set[str] = set()
        for words, tasks in parts_of(old).items():
            kinds = {name for task in tasks for name in task.requires} if words else past.given
            task_type = tasks[-1].task_type if words else past.task_type
            given: JsonObject = dict.fromkeys(kinds, "")
            found.update(self._deliverables.asked(words or past.request, task_type, given))
        return found

    def _other_words(self, past: PastPlan, old: TaskDAG, goal: Goal, parts: Sequence[Part]) -> str:
        """Why the words ask for something else, where words decide; empty when they do not."""
        undeclared = any(not self._is_declared(task) for task in old)
        passages = [words for words in parts_of(old) if words] or [past.request]
        for part, words in zip(parts, passages, strict=False):
            in_words = undeclared or self._deliverables.in_words(part)
            before, now = form_of(words), form_of(part.words or goal.request)
            if in_words or self._assumed(part, goal, past, words):
                other = difference(before, now)
                if other:
                    return other
            doubt = undeclared or (in_words and not settled(before, now))
            if doubt and past.similarity < self._min_similarity:
                return f"its request is only {past.similarity:.0%} similar"
        return ""

    def _assumed(self, part: Part, goal: Goal, past: PastPlan, words: str) -> bool:
        """Whether what is asked for, now or then, was not said in words that are known."""
        given: JsonObject = dict.fromkeys(past.given, "")
        before = Part(words, past.task_type, {name: name for name in given}, part.asked)
        return self._deliverables.assumed(part, goal.request, goal.given) or (
            self._deliverables.assumed(before, words, given)
        )

    def _is_declared(self, task: Task) -> bool:
        if task.operation in self._declared.descriptions:
            return True
        return any(
            skill.id == task.operation and skill.produces
            for card in self._cards()
            for skill in card.skills
        )


def _success(past: PastPlan) -> float:
    """Expected share of verified runs: the mean of a Beta posterior on a flat prior."""
    return (past.successes + 1) / (past.successes + past.failures + 2)


def _support(past: PastPlan) -> float:
    return past.similarity * _success(past)


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
