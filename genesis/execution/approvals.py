"""What a person must decide before a run goes on, and what was decided.

A run names when it asks: `plan` (before anything of the plan is done), `cost:0.50` (before its
spending passes so many US dollars), `task:TYPE` (before each task of a type). Agents that need
something that only a person can give ask by themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from genesis.errors import InputError
from genesis.tasks.task import Task
from infrastructure.jsonvalue import JsonObject, JsonValue

Kind: TypeAlias = Literal["plan", "cost", "task", "input"]
Verb: TypeAlias = Literal["approve", "reject", "edit"]
VERBS: tuple[Verb, ...] = ("approve", "reject", "edit")

_HOW = "use 'plan', 'cost:USD' or 'task:TYPE'"
MAX_COMMENT = 2_000
MAX_ANSWER = 20_000


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person decided.

    Attributes:
        verb: "edit" approves with a change.
        edit: the change: the whole plan as `TaskDAG.to_json()` gives it (plan), the new
            description (task), the new limit in US dollars (cost), or the answer (input).
        comment: why, for the journal and for the agents.
        by: who decided.
    """

    verb: Verb
    edit: JsonValue = None
    comment: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class Approval:
    """One question to a person.

    Attributes:
        id: unique within its run.
        kind: what it is about.
        question: in words; what an agent asks is the agent's text.
        task_id: the task; empty where the whole run is meant.
        detail: what going on needs to know (of an agent's question, its A2A task and context).
        decision: None while nobody has decided.
    """

    id: str
    kind: Kind
    question: str
    task_id: str = ""
    detail: JsonObject = field(default_factory=dict[str, JsonValue])
    decision: Decision | None = None

    @property
    def rejected(self) -> bool:
        """Whether the answer was no."""
        return self.decision is not None and self.decision.verb == "reject"

    @property
    def granted(self) -> bool:
        """Whether the answer was yes, changed or not."""
        return self.decision is not None and self.decision.verb != "reject"


@dataclass(frozen=True, slots=True)
class ApprovalPolicy:
    """When a run asks.

    Attributes:
        plan: before anything of a plan is done.
        cost_usd: before its spending passes this; None never.
        task_types: before each task of these types.
    """

    plan: bool = False
    cost_usd: float | None = None
    task_types: frozenset[str] = frozenset()

    @classmethod
    def read(cls, texts: Iterable[str]) -> ApprovalPolicy:
        """The policy that texts such as "plan", "cost:0.50" and "task:deployment" name.

        Raises:
            InputError: one of them names nothing.
        """
        policy = cls()
        if isinstance(texts, str):
            raise InputError(f"approve must be a list of texts, not the text {texts!r:.80}")
        for text in texts:
            policy = policy._with(text)
        return policy

    def _with(self, text: object) -> ApprovalPolicy:
        kind, _, value = text.partition(":") if isinstance(text, str) else ("", "", "")
        value = value.strip()
        if text == "plan":
            return replace(self, plan=True)
        if kind == "cost":
            limit = _usd(value, text)
            lowest = limit if self.cost_usd is None else min(limit, self.cost_usd)
            return replace(self, cost_usd=lowest)
        if kind == "task" and value:
            return replace(self, task_types=self.task_types | {value})
        raise InputError(f"approve={text!r:.80} names no moment to ask: {_HOW}")


def _usd(value: object, text: object) -> float:
    try:
        limit = float(value) if isinstance(value, str | int | float) else math.nan
    except ValueError:
        limit = math.nan
    if isinstance(value, bool) or not math.isfinite(limit) or limit < 0:
        raise InputError(f"{text!r:.80} names no amount of US dollars, 0 or more: {_HOW}")
    return limit


class Approvals:
    """What a run asked and what was decided.

    Args:
        policy: when it asks.
        known: what was asked before, by id.
        asked: told of each new question.
        above: those of the run that this one is a part of, which asks about money.
    """

    def __init__(
        self,
        policy: ApprovalPolicy | None = None,
        known: Mapping[str, Approval] | None = None,
        asked: Callable[[Approval], None] = lambda _: None,
        above: Approvals | None = None,
    ) -> None:
        self.policy = policy or ApprovalPolicy()
        self._known = dict(known or {})
        self._asked = asked
        self._above = above

    @property
    def decisions(self) -> int:
        """How many were made, those of the run above included."""
        own = sum(approval.decision is not None for approval in self._known.values())
        return own + (self._above.decisions if self._above else 0)

    @property
    def pending(self) -> tuple[Approval, ...]:
        """What nobody has decided yet, in the order in which it was asked."""
        return tuple(a for a in self._known.values() if a.decision is None)

    def get(self, approval_id: str) -> Approval | None:
        """The question of this id."""
        return self._known.get(approval_id)

    def decide(self, approval_id: str, decision: Decision) -> Approval:
        """Note a decision; a question that was decided before keeps its first one.

        Raises:
            InputError: no such question, it was decided otherwise, or the edit does not fit it.
        """
        found = self._known.get(approval_id)
        if found is None:
            asked = ", ".join(a.id for a in self.pending) or "nothing"
            raise InputError(f"no approval {approval_id!r:.80} is asked for; pending: {asked}")
        if found.decision is not None:
            if found.decision.verb == decision.verb:
                return found
            raise InputError(f"approval {approval_id!r} was decided: {found.decision.verb}")
        check_edit(found, decision)
        self._known[approval_id] = decided = replace(found, decision=decision)
        return decided

    def ask(self, approval: Approval) -> Approval:
        """The question as it stands; asked now if it was not before."""
        known = self._known.get(approval.id)
        if known is None:
            known = self._known[approval.id] = approval
            self._asked(approval)
        return known

    def for_plan(self, round_: int, question: str) -> Approval | None:
        """Whether a plan may be begun; None where nobody need be asked."""
        if not self.policy.plan:
            return None
        return self.ask(Approval(f"plan-{round_}" if round_ else "plan", "plan", question))

    def for_task(self, task: Task) -> Approval | None:
        """Whether a task may be begun; None where nobody need be asked."""
        if task.task_type not in self.policy.task_types:
            return None
        question = f"task {task.id!r} ({task.task_type}): {task.description}"
        return self.ask(Approval(f"task:{task.id}", "task", question, task.id))

    def for_cost(self, task: Task, spent_usd: float, next_usd: float) -> Approval | None:
        """Whether a call may be paid; None where nobody need be asked."""
        if self._above is not None:
            return self._above.for_cost(task, spent_usd, next_usd)
        limit, known = self.policy.cost_usd, None
        while limit is not None and next_usd and spent_usd + next_usd > limit:
            question = (
                f"the next call, for task {task.id!r}, is expected to cost ${next_usd:.4f}; "
                f"${spent_usd:.4f} is spent, and you asked to be asked above ${limit:.4f}"
            )
            known = self.ask(Approval(f"cost:{limit:g}", "cost", question, task.id))
            if known.decision is None or known.decision.verb != "edit":
                return known
            limit = _usd(known.decision.edit, "the new limit")
        return known

    def may_pay(self, spent_usd: float, next_usd: float) -> bool:
        """Whether a call may be paid without asking anybody now."""
        if self._above is not None:
            return self._above.may_pay(spent_usd, next_usd)
        limit = self.policy.cost_usd
        while limit is not None and next_usd and spent_usd + next_usd > limit:
            known = self._known.get(f"cost:{limit:g}")
            if known is None or not known.granted or known.decision is None:
                return False
            if known.decision.verb == "approve":
                return True
            limit = _usd(known.decision.edit, "the new limit")
        return True

    def rejected(self, task_id: str) -> str:
        """Why a person does not want a task done; empty where nobody said so."""
        for approval in self._known.values():
            if approval.rejected and approval.task_id == task_id and approval.kind != "input":
                return why_rejected(approval)
        return ""


def why_rejected(approval: Approval) -> str:
    """A refusal in words."""
    assert approval.decision is not None
    who = approval.decision.by or "a person"
    comment = f": {approval.decision.comment}" if approval.decision.comment else ""
    return f"{who} rejected the {approval.kind}{comment}"


def check_edit(approval: Approval, decision: Decision) -> None:
    """Refuse a decision that does not fit its question.

    Raises:
        InputError: says which edit would fit.
    """
    if decision.verb not in VERBS:
        raise InputError(f"decision {decision.verb!r:.40} must be one of {', '.join(VERBS)}")
    if len(decision.comment) > MAX_COMMENT:
        raise InputError(f"the comment has more than {MAX_COMMENT} characters")
    edit = decision.edit
    if decision.verb != "edit":
        if edit is not None:
            raise InputError("an edit goes with the decision 'edit' alone")
        if approval.kind == "input" and decision.verb == "approve":
            raise InputError("the agent asked for an answer: decide 'edit' with it, or 'reject'")
        return
    match approval.kind:
        case "plan":
            if not isinstance(edit, Mapping):
                raise InputError("the edit of a plan is the whole changed plan, as a JSON object")
        case "cost":
            _usd(edit, edit)
        case "task" | "input":
            if not isinstance(edit, str) or not edit.strip():
                what = "description" if approval.kind == "task" else "answer"
                raise InputError(f"the edit is the new {what}, a text that is not empty")
            if len(edit) > MAX_ANSWER:
                raise InputError(
                    f"the edit has {len(edit)} characters; {MAX_ANSWER} at most: put long texts "
                    "into a file of the workspace and name it"
                )
