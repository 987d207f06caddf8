"""A run as its journal tells it: what was decided, done and spent, and where it can go on.

Every change of a run's state is either in its journal or is made again from what is there, so
nothing else is needed to go on with a run whose process died.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, cast

from genesis.errors import InvalidPlan, StoreError
from genesis.events import (
    ContextRecalled,
    MemoryLearnt,
    MemoryRecalled,
    PlanMade,
    PlanPriced,
    PlanSentBack,
    PlanValidated,
    RunAccepted,
    RunEnded,
    RunPaused,
    RunResumed,
    TaskTypeInferred,
)
from genesis.execution.approvals import Approval
from genesis.execution.events import (
    ApprovalDecided,
    ApprovalRequested,
    AttemptEnded,
    AttemptStarted,
    SubRequestStarted,
    TaskEnded,
)
from genesis.planning.given import Given
from genesis.planning.planner import PastPlan, Plan, PlanSource
from genesis.state import Recalled, RunState, in_words
from genesis.tasks.dag import TaskDAG
from genesis.tasks.inference import Inference
from genesis.tasks.task import Attempt, AttemptOutcome, TaskStatus
from infrastructure.jsonvalue import JsonObject
from infrastructure.revive import Unreadable, revive

_ENDED = (TaskStatus.COMPLETED, TaskStatus.FAILED)
_NOT_INFERRED = Inference("", 0.0, {}, "")
# Events that happen while nobody works on a run.
_AT_REST = ("RunResumed", "ApprovalDecided")


class MadeAttempts:
    """The attempts at tasks that have not ended: those that did end, and those under way.

    Attributes:
        ended: by task id, in order; they need not be made again.
    """

    def __init__(self) -> None:
        self.ended: dict[str, tuple[Attempt, ...]] = {}
        self._open: dict[str, AttemptStarted] = {}

    @property
    def reserved_usd(self) -> float:
        """What those under way are expected to cost."""
        return sum(started.reserved_usd for started in self._open.values())

    def note(self, event: object) -> None:
        """Take an event of the run; those that tell nothing of attempts are passed over."""
        match event:
            case AttemptStarted():
                self._open[event.idempotency_key] = event
            case AttemptEnded():
                self._end(event.task_id, event.attempt)
            case TaskEnded() if event.result.status in _ENDED:
                self._close(event.task_id)
                self.ended.pop(event.task_id, None)
            case ApprovalRequested() if event.approval.kind == "input":
                self._close(event.approval.task_id)  # it rests until it is answered
            case _:
                pass

    def leave(self) -> None:
        """Forget those under way."""
        self._open.clear()

    def begin_anew(self) -> None:
        """Another plan is followed."""
        self._open.clear()
        self.ended.clear()

    def _end(self, task_id: str, attempt: Attempt) -> None:
        was_open = self._close(task_id, attempt.number)
        # One that was cut off is made again, under its old key.
        cut_off = was_open and attempt.outcome is AttemptOutcome.CANCELED
        if not cut_off and attempt.outcome is not AttemptOutcome.VERIFIED:
            self.ended[task_id] = (*self.ended.get(task_id, ()), attempt)

    def _close(self, task_id: str, number: int | None = None) -> bool:
        closed = [
            key
            for key, started in self._open.items()
            if started.task_id == task_id and number in (None, started.number)
        ]
        for key in closed:
            del self._open[key]
        return bool(closed)


@dataclass(slots=True)
class PastRun:
    """What a journal tells.

    Attributes:
        accepted: how it began.
        state: as far as it came, without what was recalled.
        approvals: what was asked and decided, by id.
        made: attempts at tasks that have not ended.
        spent_usd: US dollars, what is unknown of attempts at its expectation; without what the
            runs of `open_below` spent.
        worked_s: seconds during which somebody worked on it.
        below: task id and run id of each attempt at a composite task, in order.
        open_below: the runs among them whose attempts have not ended, with the attempts' numbers.
        budget_usd, timeout_s: its limits.
        ended, paused: how it stopped; None while it goes on.
        events: how many there are.
        decided: whether anything was decided since it was paused.
    """

    accepted: RunAccepted
    state: RunState
    approvals: dict[str, Approval] = field(default_factory=dict[str, Approval])
    made: MadeAttempts = field(default_factory=MadeAttempts)
    spent_usd: float = 0.0
    worked_s: float = 0.0
    below: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    open_below: dict[str, int] = field(default_factory=dict[str, int])
    budget_usd: float | None = None
    timeout_s: float | None = None
    ended: RunEnded | None = None
    paused: RunPaused | None = None
    events: int = 0
    decided: bool = False

    @property
    def own_usd(self) -> float:
        """What it spent, as it ended or as far as it came."""
        return self.spent_usd if self.ended is None else self.ended.cost_usd

    @property
    def inferred(self) -> bool:
        """Whether its task type is known."""
        return self.state.inferred is not _NOT_INFERRED

    @property
    def pending(self) -> tuple[Approval, ...]:
        """What nobody has decided yet."""
        return tuple(a for a in self.approvals.values() if a.decision is None)

    @property
    def to_go_on(self) -> RunState:
        """The state with which it goes on, at the step that is due."""
        state = replace(self.state, paused="")
        if state.plan is None or state.objections:
            return replace(state, entry="htdag")
        return replace(state, entry="execute" if state.ladders else "halo")


def read_journal(run_id: str, events: Iterable[JsonObject]) -> PastRun:
    """The run that a journal tells of; events of unknown types are passed over.

    Raises:
        StoreError: there is no journal, it is damaged, or another version wrote what cannot be
            read here.
    """
    reader = _JournalReader()
    try:
        for event in events:
            reader.read(event)
        return reader.past_run()
    except (Unreadable, InvalidPlan) as error:
        raise StoreError(
            f"the journal of run {run_id!r} cannot be read, another version wrote it or it is "
            f"damaged: {error}"
        ) from error


class _JournalReader:
    """Follows a run through its events."""

    def __init__(self) -> None:
        self._past: PastRun | None = None
        self._segment_began: float | None = None
        self._last_at = 0.0
        self._attempts_told: dict[str, set[int]] = {}

    def read(self, event: JsonObject) -> None:
        kind, at = str(event.get("type")), event.get("at")
        if self._past is None:
            self._past = self._begin(revive(RunAccepted, event))
            self._segment_began = self._last_at = _seconds(at)
        elif kind in _READERS:
            event_type, take = _READERS[kind]
            told = revive(event_type, event)
            if kind not in _AT_REST:
                self._last_at = max(self._last_at, _seconds(at))
            self._past.made.note(told)
            take(self, self._past, told)
        self._past.events += 1

    def past_run(self) -> PastRun:
        if self._past is None:
            raise Unreadable("it is empty; journals that were pruned cannot be gone on with")
        self._end_segment(self._past)
        return self._past

    def _begin(self, accepted: RunAccepted) -> PastRun:
        given = Given(accepted.given, accepted.notes)
        return PastRun(
            accepted,
            RunState(accepted.request, _NOT_INFERRED, given),
            budget_usd=accepted.budget_usd,
            timeout_s=accepted.timeout_s,
        )

    def _end_segment(self, past: PastRun) -> None:
        if self._segment_began is not None:
            past.worked_s += max(0.0, self._last_at - self._segment_began)
        self._segment_began = None
        # Nobody lives to tell what these cost.
        past.spent_usd += past.made.reserved_usd
        past.made.leave()

    def resumed(self, past: PastRun, event: RunResumed) -> None:
        self._end_segment(past)
        self._segment_began = self._last_at = event.at
        past.paused = None
        past.state.paused = ""
        if event.budget_usd is not None:
            past.budget_usd = event.budget_usd
        if event.timeout_s is not None:
            past.timeout_s = past.worked_s + event.timeout_s

    def paused(self, past: PastRun, event: RunPaused) -> None:
        past.made.leave()  # they wait, and are told of again
        self._end_segment(past)
        past.paused, past.decided = event, False
        past.state.paused = event.reason

    def ended(self, past: PastRun, event: RunEnded) -> None:
        past.made.leave()
        past.ended = event
        past.state = replace(
            past.state,
            errors=event.errors,
            canceled=event.canceled,
            over=True,
            recorded=True,
            paused="",
        )

    def inferred(self, past: PastRun, event: TaskTypeInferred) -> None:
        past.state.inferred = Inference(event.task_type, event.confidence, {}, event.reason)

    def recalled(self, past: PastRun, event: MemoryRecalled) -> None:
        """For who asks what was recalled; a run that goes on recalls again."""
        past.state.recalled = Recalled(
            patterns=tuple(
                in_words(p.steps, round(p.success_rate * p.executions), p.executions)
                for p in event.patterns
            ),
            past=tuple(
                PastPlan(
                    run_id=p.run_id,
                    request=p.request,
                    task_type="",
                    given=(),
                    plan={},
                    successes=p.successes,
                    failures=p.failures,
                    similarity=p.similarity,
                )
                for p in event.past
            ),
            attempts_known=event.attempts_known,
        )

    def told(self, past: PastRun, event: ContextRecalled) -> None:
        past.state.told = event.text

    def learnt(self, past: PastRun, event: MemoryLearnt) -> None:
        past.state.learnt = True

    def planned(self, past: PastRun, event: PlanMade) -> None:
        plan = Plan(
            TaskDAG.from_json(event.plan),
            cast("PlanSource", event.source),
            event.reason,
            event.changes,
            event.from_run,
            event.cost_usd,
        )
        state = past.state
        failed = any(result.output is None for result in state.results.values())
        rounds = state.rounds + int(bool(state.ladders) and failed)
        state = replace(state.planned_anew(plan), objections=(), rounds=rounds)
        past.state = replace(state, routes={}, ladders={}, report=None)
        past.made.begin_anew()
        past.spent_usd += event.cost_usd

    def sent_back(self, past: PastRun, event: PlanSentBack) -> None:
        past.state = replace(past.state, objections=event.reasons, rounds=past.state.rounds + 1)

    def validated(self, past: PastRun, event: PlanValidated) -> None:
        state = replace(past.state, report=event.report)
        if event.plan is not None and state.plan is not None:
            state.plan = replace(state.plan, dag=TaskDAG.from_json(event.plan))
        if not event.accepted:
            state = replace(state, objections=event.report.objections, rounds=state.rounds + 1)
        past.state = state

    def priced(self, past: PastRun, event: PlanPriced) -> None:
        past.state = replace(
            past.state,
            ladders={ladder.task_id: ladder for ladder in event.ladders},
            changed_by_memory=event.changed_by_memory,
        )

    def attempt_started(self, past: PastRun, event: AttemptStarted) -> None:
        """What there is to know `MadeAttempts` has noted."""

    def attempt_ended(self, past: PastRun, event: AttemptEnded) -> None:
        past.spent_usd += event.attempt.usage.cost_usd
        self._attempts_told.setdefault(event.task_id, set()).add(event.attempt.number)
        self._end_below(past, event.task_id, event.attempt)

    def task_ended(self, past: PastRun, event: TaskEnded) -> None:
        result = event.result
        if result.status not in _ENDED:
            return
        told = self._attempts_told.pop(event.task_id, set())
        for attempt in result.attempts:  # verified ones, and in old journals all, are told here
            if attempt.number not in told:
                past.spent_usd += attempt.usage.cost_usd
                self._end_below(past, event.task_id, attempt)
        past.state = replace(past.state, results={**past.state.results, event.task_id: result})

    def _end_below(self, past: PastRun, task_id: str, attempt: Attempt) -> None:
        if attempt.outcome is AttemptOutcome.CANCELED:
            return  # it may be gone on with
        for of_task, run_id in past.below:
            if of_task == task_id and past.open_below.get(run_id) == attempt.number:
                del past.open_below[run_id]

    def went_below(self, past: PastRun, event: SubRequestStarted) -> None:
        past.open_below[event.sub_run_id] = event.number
        if (event.task_id, event.sub_run_id) not in past.below:
            past.below.append((event.task_id, event.sub_run_id))

    def asked(self, past: PastRun, event: ApprovalRequested) -> None:
        past.approvals[event.approval.id] = event.approval

    def decided(self, past: PastRun, event: ApprovalDecided) -> None:
        asked = past.approvals.get(event.approval_id)
        if asked is None:
            return
        past.decided = True
        past.approvals[asked.id] = replace(asked, decision=event.decision)
        plan = past.state.plan
        if asked.kind == "plan" and event.decision.verb == "edit" and plan is not None:
            dag = TaskDAG.from_json(cast("JsonObject", event.decision.edit))
            changes = (*plan.changes, f"edited by {event.decision.by or 'a person'}")
            changed = past.state.planned_anew(replace(plan, dag=dag, changes=changes))
            past.state = replace(changed, routes={}, ladders={}, report=None)


def _seconds(at: object) -> float:
    if isinstance(at, bool) or not isinstance(at, int | float):
        raise Unreadable("an event has no time")
    return float(at)


_Take: TypeAlias = Callable[[_JournalReader, PastRun, Any], None]

_READERS: dict[str, tuple[type[Any], _Take]] = {
    "RunResumed": (RunResumed, _JournalReader.resumed),
    "RunPaused": (RunPaused, _JournalReader.paused),
    "RunEnded": (RunEnded, _JournalReader.ended),
    "TaskTypeInferred": (TaskTypeInferred, _JournalReader.inferred),
    "MemoryRecalled": (MemoryRecalled, _JournalReader.recalled),
    "ContextRecalled": (ContextRecalled, _JournalReader.told),
    "MemoryLearnt": (MemoryLearnt, _JournalReader.learnt),
    "PlanMade": (PlanMade, _JournalReader.planned),
    "PlanSentBack": (PlanSentBack, _JournalReader.sent_back),
    "PlanValidated": (PlanValidated, _JournalReader.validated),
    "PlanPriced": (PlanPriced, _JournalReader.priced),
    "AttemptStarted": (AttemptStarted, _JournalReader.attempt_started),
    "AttemptEnded": (AttemptEnded, _JournalReader.attempt_ended),
    "TaskEnded": (TaskEnded, _JournalReader.task_ended),
    "SubRequestStarted": (SubRequestStarted, _JournalReader.went_below),
    "ApprovalRequested": (ApprovalRequested, _JournalReader.asked),
    "ApprovalDecided": (ApprovalDecided, _JournalReader.decided),
}
