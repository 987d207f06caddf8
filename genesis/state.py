"""What a run knows so far: the state that the eight steps hand on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from genesis.planning.findings import ValidationReport
from genesis.planning.given import Given
from genesis.planning.planner import Goal, PastPlan, Plan
from genesis.routing.belief import Belief, Tried
from genesis.routing.ladder import Ladder, Route
from genesis.tasks.inference import Inference
from genesis.tasks.task import Attempt, AttemptOutcome, Task, TaskResult, TaskStatus


def in_words(steps: Sequence[str], verified: int, executed: int) -> str:
    """A pattern as it is told."""
    return f"{' > '.join(steps)} ({verified} of {executed} runs verified)"


@dataclass(frozen=True, slots=True)
class Recalled:
    """What step 0 found.

    Attributes:
        patterns: successful step sequences in words.
        past: plans of similar requests.
        belief: what is known of each agent, at tasks of all kinds.
        attempts_known: attempts that the belief rests on.
    """

    patterns: tuple[str, ...] = ()
    past: tuple[PastPlan, ...] = ()
    belief: Belief = field(default_factory=Belief)
    attempts_known: int = 0


# Attempts that say something about the agent; the others say something about money or the caller.
_TELLING = {
    AttemptOutcome.VERIFIED,
    AttemptOutcome.REJECTED,
    AttemptOutcome.FAILED,
    AttemptOutcome.TIMEOUT,
    AttemptOutcome.UNAVAILABLE,
}


def telling_attempts(
    results: Iterable[tuple[Task, TaskResult]],
) -> Iterator[tuple[Task, Attempt]]:
    """Each attempt that says something about who made it, in order."""
    for task, result in results:
        for attempt in result.attempts:
            if attempt.outcome in _TELLING:
                yield task, attempt


def _tried(results: Iterable[tuple[Task, TaskResult]]) -> Iterator[Tried]:
    for task, attempt in telling_attempts(results):
        verified = attempt.outcome is AttemptOutcome.VERIFIED
        yield Tried(
            task.task_type,
            attempt.operation,
            attempt.agent,
            attempt.model,
            attempt.effort if attempt.model else "",
            int(verified),
            int(not verified),
            attempt.duration_s,
            attempt.usage.cost_usd,
        )


Entry: TypeAlias = Literal["", "htdag", "halo", "execute"]


@dataclass
class RunState:
    """Each step reads what it needs and returns only what it adds.

    Attributes:
        request: what the caller asked.
        inferred: its task type, and why.
        given: the data that come with it.
        recalled: step 0.
        told: step 0: what earlier requests taught, as data for planners and agents.
        plan: step 1; replaced when it was sent back or a branch failed.
        routes: step 2, by task id.
        report: step 3.
        ladders, changed_by_memory: step 4.
        results: step 5, by task id; only verified ones are kept when a branch is planned again.
        learnt: step 6: whether it was decided what is remembered of the run.
        recorded, unstored: step 6; why the run could not be stored, which costs its memory alone.
        objections: why the plan was sent back; empty when it was not.
        rounds: how often a plan was sent back or planned again.
        errors: why the run cannot go on; a step that adds one ends the run at `record`.
        abandoned: tasks that failed and were planned again, with their results.
        entry: the step after recall at which a run goes on that was begun before; empty at first.
        paused: why the run stops here for now; empty while it goes on.
        canceled: whether somebody asked for its end.
        over: whether it ended, however.
    """

    request: str
    inferred: Inference
    given: Given
    recalled: Recalled = field(default_factory=Recalled)
    told: str = ""
    plan: Plan | None = None
    routes: Mapping[str, Route] = field(default_factory=dict[str, Route])
    report: ValidationReport | None = None
    ladders: Mapping[str, Ladder] = field(default_factory=dict[str, Ladder])
    changed_by_memory: tuple[str, ...] = ()
    results: Mapping[str, TaskResult] = field(default_factory=dict[str, TaskResult])
    learnt: bool = False
    recorded: bool = False
    unstored: str = ""
    objections: tuple[str, ...] = ()
    rounds: int = 0
    errors: tuple[str, ...] = ()
    abandoned: tuple[tuple[Task, TaskResult], ...] = ()
    entry: Entry = ""
    paused: str = ""
    canceled: bool = False
    over: bool = False

    @property
    def task_type(self) -> str:
        """The inferred task type."""
        return self.inferred.task_type

    def goal(self) -> Goal:
        """What planners are asked."""
        finished = tuple(r for r in self.results.values() if r.output is not None)
        failed = tuple(r for r in self.results.values() if r.output is None)
        return Goal(
            request=self.request,
            task_type=self.task_type,
            given=self.given.data,
            past=self.recalled.past,
            told=self.told,
            objections=self.objections,
            finished=finished,
            failed=failed,
            abandoned=self.abandoned,
            last=self.plan.dag if self.plan else None,
        )

    def belief(self, *, with_memory: bool = True) -> Belief:
        """What is known of the agents: by memory, and from branches that failed in this run."""
        known = self.recalled.belief if with_memory else Belief()
        return known.plus(_tried(self.abandoned)) if self.abandoned else known

    @property
    def finished(self) -> tuple[tuple[Task, TaskResult], ...]:
        """Every task that was tried, with its result; the abandoned ones first."""
        if self.plan is None:
            return self.abandoned
        return self.abandoned + tuple(
            (task, self.results[task.id]) for task in self.plan.dag if task.id in self.results
        )

    def planned_anew(self, plan: Plan) -> RunState:
        """With another plan: what of the last one's results stands, and what was given up."""
        lost = tuple(
            (task, self.results[task.id])
            for task in (self.plan.dag if self.plan else ())
            if task.id in self.results and self.results[task.id].status is TaskStatus.FAILED
        )
        kept = {
            task_id: result
            for task_id, result in self.results.items()
            if result.output is not None and self._still_in(plan, task_id)
        }
        return replace(self, plan=plan, results=kept, abandoned=self.abandoned + lost)

    def _still_in(self, plan: Plan, task_id: str) -> bool:
        """Whether a new plan has this very task, and not another one of its name."""
        if self.plan is None or task_id not in plan.dag or task_id not in self.plan.dag:
            return False
        old, new = self.plan.dag[task_id], plan.dag[task_id]
        return replace(new, depends_on=old.depends_on) == old

    @property
    def success(self) -> bool:
        """Whether every task of the plan was verified and nothing else went wrong."""
        if self.plan is None or self.errors or self.paused:
            return False
        done = [self.results.get(task.id) for task in self.plan.dag]
        return all(r is not None and r.status is TaskStatus.COMPLETED for r in done)

    @property
    def output(self) -> str:
        """The verified answers for people, in the plan's order, each once."""
        texts = [r.output.text.strip() for _, r in self.finished if r.output is not None]
        return "\n\n".join(dict.fromkeys(text for text in texts if text))
