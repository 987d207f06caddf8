"""A finished run as one write: state, journal, workflow, outcomes, plan, and their counters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from infrastructure.errors import InputError
from infrastructure.jsonvalue import JsonObject, JsonValue
from infrastructure.memory.memori import (
    outcomes,
    plan_cases,
    run_journal,
    run_leases,
    run_sources,
    runs,
    workflows,
)
from infrastructure.memory.memori.dialect import Tx, Write
from infrastructure.memory.memori.names import checked_name
from infrastructure.memory.memori.outcomes import OutcomeRecord
from infrastructure.memory.memori.plan_cases import PlanRecord
from infrastructure.memory.memori.runs import RunFeedback, RunRecord
from infrastructure.memory.memori.workflows import Workflow

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class EndedPart:
    """A part of a run that is still open when the run ends: it ends with it, as canceled.

    Attributes:
        run_id: of the part.
        event: the last of its journal, as JSON text.
        task_type: what it was found to be.
        result: what is shown of it later.
    """

    run_id: str
    event: str
    task_type: str
    result: JsonObject


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """All that a run teaches.

    Attributes:
        steps: what was executed, in topological order, each "task_type:agent:model".
        success: verified, read from the results.
        duration_s: seconds.
        cost_usd: US dollars.
        finished_at: seconds since the epoch; None for now.
        started_at: seconds since the epoch, of a run that was not accepted before; None takes the
            end less the duration.
        recalled: whether what was recalled changed the run; None when memory was off.
        metadata: of the workflow, such as the DAG.
        given: names of the data that came with the request.
        plan: the plan that was executed; None when none was made.
        structure: what makes two plans the same; None for the whole plan.
        vector: the request's embedding, float32; None without an embedder.
        outcomes: one a task and attempt, in the order made.
        sources: who and what else took part, named as in `run_sources`; the agents of the outcomes
            and the session are known anyway.
        events: the last journal events, each as JSON text, stored with the rest.
        first_event: number of the first of them, counted from 1, so that one which is stored
            already is not stored again; None goes on after the last.
        fence: of the lease under which it was worked on; None where there was none.
        canceled: whether it was ended because somebody asked for that.
        result: what is shown of the run later.
        parent_run_id: the run that it was a part of. Its outcomes and plan are kept as any other's;
            it is no workflow, so no metric and no pattern counts it: its parent is counted.
        parts: those of its parts that end with it.
    """

    run_id: str
    session_id: str
    request: str
    task_type: str
    success: bool
    steps: tuple[str, ...]
    duration_s: float
    cost_usd: float
    finished_at: float | None = None
    started_at: float | None = None
    recalled: bool | None = None
    metadata: JsonObject = field(default_factory=dict[str, JsonValue])
    given: tuple[str, ...] = ()
    plan: JsonObject | None = None
    structure: JsonValue = None
    vector: NDArray[np.float32] | None = None
    outcomes: tuple[OutcomeRecord, ...] = ()
    sources: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    first_event: int | None = None
    fence: int | None = None
    canceled: bool = False
    result: JsonObject = field(default_factory=dict[str, JsonValue])
    version: str = "2.1"
    parent_run_id: str = ""
    parts: tuple[EndedPart, ...] = ()

    @property
    def state(self) -> str:
        """The state in which it ends."""
        if self.canceled:
            return runs.CANCELED
        return runs.COMPLETED if self.success else runs.FAILED


@dataclass(frozen=True, slots=True)
class AcceptedRun:
    """A run that is to be worked on.

    Attributes:
        run: its record.
        parent_run_id: the run that it is a part of; empty for a request of its own.
        events: the first events of its journal, each as JSON text.
        owner: who works on it, under fence 1; empty for nobody yet.
        until: when that lease ends unless it is renewed, seconds since the epoch.
    """

    run: RunRecord
    parent_run_id: str = ""
    events: tuple[str, ...] = ()
    owner: str = ""
    until: float = 0.0

    def __call__(self, tx: Tx) -> bool:
        """Write it; False if the run is known."""
        if not runs.accept_run(tx, self.run, self.owner, self.until):
            return False
        if self.parent_run_id:
            run_sources.add(tx, self.run.run_id, [run_sources.PARENT + self.parent_run_id])
        if self.events:
            run_journal.append_lines(tx, self.run.run_id, self.events, 1)
        return True


def finish_write(run: FinishedRun, finished_at: float) -> Write[bool]:
    """The one write that ends a run; it returns False if the run had ended before.

    Raises:
        InputError: a value that cannot be.
    """
    workflow, plan = _workflow(run, finished_at), _plan_record(run)
    return lambda tx: _finish(tx, run, workflow, plan, finished_at)


def checked_feedback(
    run_id: str,
    success: bool | None,
    task_type: str | None,
    comment: str | None,
    now: float,
) -> RunFeedback:
    """What a user says about a run, if it says something.

    Raises:
        InputError: nothing is said, or it is of a wrong type.
    """
    if success is None and task_type is None and comment is None:
        raise InputError("feedback needs a success, a task type or a comment")
    if success is not None and not isinstance(success, bool):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers may be untyped
        raise InputError(f"success must be True or False, not {success!r}")
    if task_type is not None:
        checked_name(task_type, "task_type")
    return RunFeedback(run_id, success, task_type, comment, now)


def apply_feedback(tx: Tx, said: RunFeedback) -> RunFeedback:
    """Correct a run and all that counts it; returns all that was said about it so far.

    A verified run that is called wrong makes its parts count as wrong too, since nobody knows which
    check was fooled; otherwise they count as their checks found. What was said about a part itself
    stays.

    Raises:
        InputError: an unknown or unfinished run.
    """
    run = known_run(tx, said.run_id)
    merged = runs.record_feedback(tx, said)
    workflows.correct_workflows(tx, said.run_id, said.success, said.task_type)
    plan_cases.correct_plan(tx, said.run_id, said.success, said.task_type)
    runs.correct_run(tx, said.run_id, said.success, said.task_type)
    if said.success is not None and run is not None and run.recorded_success is not None:
        outcomes.correct_outcomes(
            tx, said.run_id, recorded=run.recorded_success, success=said.success
        )
        _correct_parts(tx, said.run_id, called_wrong=run.recorded_success and not said.success)
    return merged


def _correct_parts(tx: Tx, run_id: str, *, called_wrong: bool) -> None:
    for part_id in run_sources.runs_of(tx, run_sources.PARENT + run_id):
        said, part = runs.get_feedback(tx, part_id), runs.get_run(tx, part_id)
        if said is not None and said.success is not None:
            continue  # that holds for its own parts too
        if part is not None and part.recorded_success is not None:
            recorded = part.recorded_success
            counted = recorded and not called_wrong
            plan_cases.correct_plan(tx, part_id, counted)
            outcomes.correct_outcomes(tx, part_id, recorded=recorded, success=counted)
        _correct_parts(tx, part_id, called_wrong=called_wrong)


def known_run(tx: Tx, run_id: str) -> RunRecord | None:
    """The run that feedback is about; None for a workflow that was stored without a run.

    Raises:
        InputError: an unknown or unfinished run.
    """
    run = runs.get_run(tx, run_id)
    if run is None and not workflows.run_executions(tx, run_id):
        raise InputError(f"there is no run {run_id!r}")
    if run is not None and run.state in runs.OPEN_STATES:
        raise InputError(f"run {run_id!r} is not finished yet; give feedback afterwards")
    return run


def _workflow(run: FinishedRun, finished_at: float) -> Workflow:
    return Workflow(
        id=run.run_id,
        run_id=run.run_id,
        task_type=run.task_type,
        steps=run.steps,
        success=run.success,
        duration_s=run.duration_s,
        cost_usd=run.cost_usd,
        session_id=run.session_id,
        metadata=run.metadata,
        created_at=finished_at,
        recalled=run.recalled,
    )


def _plan_record(run: FinishedRun) -> PlanRecord | None:
    if run.plan is None:
        return None
    vector = b"" if run.vector is None else run.vector.astype("float32").tobytes()
    return PlanRecord(
        run.request, run.task_type, run.given, run.plan, run.structure, vector, run.session_id
    )


def _finish(
    tx: Tx, run: FinishedRun, workflow: Workflow, plan: PlanRecord | None, finished_at: float
) -> bool:
    held = run_leases.holder(tx, run.run_id)
    if held is None:
        _accept_late(tx, run, finished_at)
    elif run.fence is not None:
        run_leases.require_held(held, run.run_id, run.fence)
    if not runs.finish_run(
        tx,
        run.run_id,
        state=run.state,
        finished_at=finished_at,
        task_type=run.task_type,
        result=run.result,
    ):
        return False
    run_journal.fold(tx, run.run_id, run.events, run.first_event)
    for part in run.parts:
        _end_part(tx, part, finished_at)
    if not run.parent_run_id:
        workflows.store_workflow(tx, workflow)
    outcomes.record_outcomes(tx, run.run_id, run.outcomes, finished_at)
    agents = [run_sources.AGENT + outcome.agent for outcome in run.outcomes if outcome.agent]
    run_sources.add(tx, run.run_id, [*agents, *run.sources])
    if plan is not None:
        plan_cases.record_plan(
            tx,
            run.run_id,
            plan,
            success=run.success,
            duration_s=run.duration_s,
            cost_usd=run.cost_usd,
            created_at=finished_at,
        )
    return True


def _end_part(tx: Tx, part: EndedPart, finished_at: float) -> None:
    if runs.finish_run(
        tx,
        part.run_id,
        state=runs.CANCELED,
        finished_at=finished_at,
        task_type=part.task_type,
        result=part.result,
    ):
        run_journal.fold(tx, part.run_id, [part.event])


def _accept_late(tx: Tx, run: FinishedRun, finished_at: float) -> None:
    """Store a run that was not accepted before it was worked on."""
    started_at = run.started_at
    if started_at is None:
        started_at = max(0.0, finished_at - run.duration_s)
    record = RunRecord(run.run_id, run.session_id, run.request, started_at, version=run.version)
    AcceptedRun(record, run.parent_run_id)(tx)
