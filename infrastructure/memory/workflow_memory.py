"""What the orchestrator remembers: one read before a run, one commit after it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from infrastructure.config import load_settings
from infrastructure.errors import InputError, StoreError
from infrastructure.jsonvalue import JsonValue
from infrastructure.memory.finished_run import (
    AcceptedRun,
    FinishedRun,
    apply_feedback,
    checked_feedback,
    finish_write,
)
from infrastructure.memory.learning_metrics import learning_metrics
from infrastructure.memory.memori import (
    outcomes,
    patterns,
    plan_cases,
    retention,
    run_journal,
    run_leases,
    run_sources,
    runs,
    workflows,
)
from infrastructure.memory.memori.aggregates import ALL_SESSIONS
from infrastructure.memory.memori.dialect import Tx
from infrastructure.memory.memori.engine import Memori, absolute_place
from infrastructure.memory.memori.forgetting import Forgotten, forget
from infrastructure.memory.memori.outcomes import OutcomeCount
from infrastructure.memory.memori.patterns import WorkflowPattern
from infrastructure.memory.memori.plan_cases import PlanCase
from infrastructure.memory.memori.plan_index import PlanIndex
from infrastructure.memory.memori.run_leases import Holder
from infrastructure.memory.memori.runs import RunFeedback, RunRecord
from infrastructure.memory.memori.workflow_metrics import WorkflowCount, workflow_counts
from infrastructure.memory.memori.workflows import Workflow
from infrastructure.observability.metrics import memory_metrics

if TYPE_CHECKING:
    import numpy as np
    from langgraph.store.base import BaseStore
    from numpy.typing import NDArray

APP: Final = "app"
SESSION: Final = "session"

_log = logging.getLogger("genesis.memory")


@dataclass(frozen=True, slots=True)
class Recall:
    """What is known before a run.

    Attributes:
        patterns: step lists that work for the task type, best first.
        cases: verified plans of similar requests, most similar first.
        outcomes: what every agent, model and effort achieved so far.
    """

    patterns: tuple[WorkflowPattern, ...]
    cases: tuple[PlanCase, ...]
    outcomes: tuple[OutcomeCount, ...]


class WorkflowMemory:
    """The orchestrator's memory over an open store; whoever opened the store closes it.

    Usable from several threads and event loops.
    """

    def __init__(self, memori: Memori, *, plans: int = 1000) -> None:
        self._memori = memori
        self._plans = PlanIndex(plans)

    @property
    def memori(self) -> Memori:
        """The store that holds the records and counters."""
        return self._memori

    def for_tenant(self, tenant: str) -> WorkflowMemory:
        """Another tenant's memory in the same store."""
        return WorkflowMemory(self._memori.for_tenant(tenant), plans=self._plans.limit)

    @property
    def durable(self) -> bool:
        """Whether what was acknowledged outlives the process."""
        return not self._memori.private

    @property
    def notes(self) -> tuple[str, ...]:
        """What this memory cannot keep."""
        if self.durable:
            return ()
        return ("the store is in memory: what was learnt is lost when the process ends",)

    def items(self) -> tuple[BaseStore, tuple[str, ...]]:
        """A store for items beside the runs, and the namespace there that is the tenant's own."""
        from infrastructure.memory.memori.store import MemoriStore  # it imports LangGraph

        return MemoriStore(self._memori), ()

    async def ready(self) -> Memori:
        """The store, with everything in it that was recorded before."""
        return self._memori

    async def accept(self, accepted: AcceptedRun) -> bool:
        """Store a request durably before it is worked on; False if its run id is known."""
        memori = await self.ready()
        (new,) = await memori.commit(accepted)
        return bool(new)

    async def append(
        self,
        run_id: str,
        lines: Sequence[str],
        first_seq: int | None = None,
        fence: int | None = None,
    ) -> int:
        """Add events to a run's journal, durably; returns the number of the last.

        Args:
            run_id: the run.
            lines: each an event as JSON text.
            first_seq: number of the first event; a repeated call then changes nothing.
            fence: of the lease under which the run is worked on; None writes without one.

        Raises:
            InputError: no such run, or it is over.
            LeaseLost: another process works on the run.
        """
        memori = await self.ready()
        (last,) = await memori.commit(
            lambda tx: run_journal.append_lines(tx, run_id, lines, first_seq, fence)
        )
        return int(last)

    async def append_next(
        self,
        run_id: str,
        line: str,
        events: int,
        *,
        whole: str,
        dead: str = "",
        fence: int | None = None,
        ready: bool = False,
    ) -> bool:
        """Add an event to the journal of a run that nobody works on; False if it cannot be.

        Args:
            run_id: the run.
            line: the event as JSON text.
            events: how many there were when it was decided on; False if there are more by now.
            whole: the run that it is a part of, through all levels, or itself.
            dead: an owner that is known to have died, whatever its lease says.
            fence: of the lease under which the caller works on the whole, while the part rests.
            ready: whether the whole waits for nothing any more: it is left "running" then.

        Raises:
            LeaseLost: another process works on the whole.
        """
        memori = await self.ready()
        now = memori.clock.now()
        (added,) = await memori.commit(
            lambda tx: run_leases.append_unheld(
                tx,
                run_id,
                line,
                events,
                whole=whole,
                now=now,
                dead=dead,
                fence=fence,
                ready=ready,
            )
        )
        return bool(added)

    async def claim(
        self,
        run_id: str,
        owner: str,
        lease_s: float,
        dead: str = "",
        above: tuple[str, int] | None = None,
    ) -> Holder | None:
        """Take a run that nobody works on; None if somebody does, or it is unknown or over.

        Args:
            run_id: the run.
            owner: who takes it.
            lease_s: seconds for which it is taken.
            dead: an owner that is known to have died, whatever its lease says.
            above: the run that it is a part of and the fence under which that one is held; the
                part is taken from whoever holds it.

        Raises:
            LeaseLost: another process works on the run above.
        """
        memori = await self.ready()
        now = memori.clock.now()
        (held,) = await memori.commit(
            lambda tx: run_leases.claim(
                tx, run_id, owner, now=now, until=now + lease_s, dead=dead, above=above
            )
        )
        return cast("Holder | None", held)

    async def renew(self, run_id: str, fence: int, lease_s: float) -> str | None:
        """Keep a lease for so many seconds more; returns why the run is to be cancelled, or None.

        Raises:
            LeaseLost: another process works on the run.
        """
        memori = await self.ready()
        until = memori.clock.now() + lease_s
        (reason,) = await memori.commit(lambda tx: run_leases.renew(tx, run_id, fence, until))
        return cast("str | None", reason)

    async def release(
        self, run_id: str, fence: int, state: str, *, anyway: bool = False
    ) -> str | None:
        """Let go of a run that is not over, in the state "running" or "waiting".

        Args:
            run_id: the run.
            fence: of the lease.
            state: in which it is left.
            anyway: also when somebody asked for its end.

        Returns:
            Why somebody asked for its end: it is held as before then. Or None.

        Raises:
            LeaseLost: another process works on the run.
        """
        memori = await self.ready()
        (reason,) = await memori.commit(
            lambda tx: run_leases.release(tx, run_id, fence, state, anyway=anyway)
        )
        return cast("str | None", reason)

    async def request_cancel(self, run_id: str, reason: str) -> Holder | None:
        """Ask whoever works on a run to end it; returns who that is, None for an unknown run."""
        memori = await self.ready()
        (held,) = await memori.commit(lambda tx: run_leases.request_cancel(tx, run_id, reason))
        return cast("Holder | None", held)

    async def holder(self, run_id: str) -> Holder | None:
        """Who works on a run; None for an unknown run."""
        memori = await self.ready()
        return await memori.read(lambda tx: run_leases.holder(tx, run_id))

    async def left_behind(self, is_dead: Callable[[str], bool], limit: int = 1000) -> list[str]:
        """Ids of the runs that nobody works on any more, oldest first, without parts of runs.

        Args:
            is_dead: whether an owner is known to have died, whatever its lease says.
            limit: at most so many.
        """
        memori = await self.ready()
        now = memori.clock.now()
        dead = [owner for owner in await memori.read(run_leases.owners) if is_dead(owner)]
        return await memori.read(lambda tx: run_leases.left_behind(tx, now, dead, limit))

    async def finish(self, run: FinishedRun) -> bool:
        """Store in one commit all that a run teaches; False if it was stored before.

        Raises:
            InputError: a value that cannot be; nothing was stored.
            StoreError: the store failed; nothing was stored.
        """
        memori = await self.ready()
        finished_at = memori.clock.now() if run.finished_at is None else run.finished_at
        try:
            new = await self._commit_finished(memori, run, finished_at)
        except StoreError as error:
            _log.error("storing run %s failed, nothing of it was kept: %s", run.run_id, error)
            raise
        if new and run.recalled:
            memory_metrics().retrieval_accuracy.observe(float(run.success))
        return new

    async def store(self, workflow: Workflow) -> bool:
        """Store a workflow that no run of the orchestrator made; False if its id is known."""
        memori = await self.ready()
        try:
            return await self._commit_workflow(memori, workflow)
        except StoreError as error:
            _log.error("storing workflow %s failed: %s", workflow.id, error)
            raise

    async def recall(
        self,
        task_type: str,
        text: str = "",
        vector: NDArray[np.float32] | None = None,
        given: Sequence[str] = (),
        min_success_rate: float = 0.7,
        scope: str = APP,
        session_id: str | None = None,
        limit: int = 5,
        serves: Callable[[PlanCase], bool] | None = None,
    ) -> Recall:
        """What is known for a request, by one read.

        Args:
            serves: whether a plan may serve the request; None recalls those of the task type
                that came with no other data than are given now.

        Raises:
            InputError: a wrong argument.
            StoreError: the store failed.
        """
        memori = await self.ready()
        known = self._plans
        session = session_id if scope == SESSION else None

        def query(
            tx: Tx,
        ) -> tuple[list[WorkflowPattern], list[OutcomeCount], list[plan_cases.CaseRow]]:
            return (
                read_patterns(tx, task_type, min_success_rate, scope, session_id, limit),
                outcomes.outcome_counts(tx),
                plan_cases.changed_cases(tx, known.version, known.limit),
            )

        try:
            found, counts, changes = await memori.read(query)
        except StoreError as error:
            _log.warning("memory recall for %s failed: %s", task_type, error)
            raise
        known.apply(changes)
        cases = known.similar(
            text, vector, task_type, given, limit, min_success_rate, session, serves
        )
        _log_recall(task_type, found, cases)
        return Recall(tuple(found), tuple(cases), tuple(counts))

    async def patterns(
        self,
        task_type: str,
        min_success_rate: float = 0.7,
        scope: str = APP,
        session_id: str | None = None,
        limit: int = 10,
    ) -> list[WorkflowPattern]:
        """Step lists that work for a task type, best first; see `recall` for the errors."""
        memori = await self.ready()
        return await memori.read(
            lambda tx: read_patterns(tx, task_type, min_success_rate, scope, session_id, limit)
        )

    async def counts(self, task_type: str | None = None) -> list[WorkflowCount]:
        """Executions by task type and use of memory."""
        memori = await self.ready()
        return await memori.read(lambda tx: workflow_counts(tx, task_type))

    async def run(self, run_id: str) -> RunRecord | None:
        """A run by its id."""
        memori = await self.ready()
        return await memori.read(lambda tx: runs.get_run(tx, run_id))

    async def runs(
        self,
        *,
        state: str | None = None,
        since: float | None = None,
        session_id: str | None = None,
        before: tuple[float, str] | None = None,
        limit: int = 100,
    ) -> list[RunRecord]:
        """Runs, newest first, without those that are parts of others; see `memori.runs`.

        Those that a dead process left are "running".
        """
        memori = await self.ready()
        return await memori.read(
            lambda tx: runs.list_runs(
                tx, state=state, since=since, session_id=session_id, before=before, limit=limit
            )
        )

    async def is_known(self, run_id: str) -> bool:
        """Whether a run, or a workflow that no run made, has this id."""
        memori = await self.ready()
        return await memori.read(
            lambda tx: (
                runs.get_run(tx, run_id) is not None or bool(workflows.run_executions(tx, run_id))
            )
        )

    async def events(self, run_id: str, after: int = 0) -> list[dict[str, JsonValue]]:
        """A run's journal in order, live or folded; `after` leaves out the first so many."""
        memori = await self.ready()
        return await memori.read(lambda tx: run_journal.journal(tx, run_id, after))

    async def is_pruned(self, run_id: str) -> bool:
        """Whether a run is known, and its journal is no longer kept."""
        memori = await self.ready()
        return await memori.read(lambda tx: retention.is_pruned(tx, run_id))

    async def parts(self, run_id: str) -> list[str]:
        """Ids of the runs that are parts of a run, directly or not."""
        memori = await self.ready()
        return await memori.read(
            lambda tx: [part for part in run_sources.with_parts(tx, [run_id]) if part != run_id]
        )

    async def workflows(self, session_id: str) -> list[Workflow]:
        """A session's workflows in order of time, compacted or not."""
        memori = await self.ready()
        rows = await memori.read(lambda tx: workflows.session_rows(tx, session_id))
        return rows.workflows()

    async def feedback(
        self,
        run_id: str,
        success: bool | None = None,
        task_type: str | None = None,
        comment: str | None = None,
    ) -> RunFeedback:
        """Correct a run and all counters that it went into; repeating it changes nothing.

        Returns:
            All that was said about the run so far.

        Raises:
            InputError: an unknown or unfinished run, or nothing to say.
        """
        memori = await self.ready()
        said = checked_feedback(run_id, success, task_type, comment, memori.clock.now())
        merged = await self._commit_feedback(memori, said)
        _log.info("feedback on run %s: success=%s task_type=%s", run_id, success, task_type)
        return merged

    async def corrections(self, limit: int = 1000) -> list[tuple[str, str]]:
        """Requests with the task type that users gave them, latest first."""
        memori = await self.ready()
        return await memori.read(lambda tx: runs.corrected_task_types(tx, limit))

    async def learning_metrics(
        self,
        task_type: str | None = None,
        since: float | None = None,
        session_id: str | None = None,
    ) -> dict[str, JsonValue]:
        """What was learnt, in figures; see `infrastructure.memory.learning_metrics`."""
        memori = await self.ready()
        return await memori.read(lambda tx: learning_metrics(tx, task_type, since, session_id))

    async def sources(self, run_id: str) -> list[str]:
        """Who took part in a run, such as `agent:writer` and `session:s1`; empty if unknown."""
        memori = await self.ready()
        return await memori.read(lambda tx: run_sources.of_run(tx, run_id))

    async def forget(self, *, source: str | None = None, run_id: str | None = None) -> Forgotten:
        """Forget for good all that a source or a run caused; see `memori.forgetting`.

        Args:
            source: as `sources` names them, or as it stands in an item's provenance.
            run_id: of the one run to be forgotten.

        Raises:
            InputError: not exactly one of both was given.
            StoreError: the store failed; nothing was forgotten.
        """
        memori = await self.ready()
        forgotten = await self._commit_forgotten(memori, source, run_id)
        _log.info("forgot %s: %s", source or f"run {run_id}", forgotten)
        return forgotten

    async def forget_run(self, run_id: str) -> bool:
        """`forget` for one run; False if nothing of it was known."""
        return await self.forget(run_id=run_id) != Forgotten()

    async def aclose(self) -> None:
        """Close the store, when nobody else does."""
        with _defaults_lock:
            for key in [key for key, memory in _defaults.items() if memory is self]:
                del _defaults[key]
        await self._memori.aclose()

    async def _commit_finished(self, memori: Memori, run: FinishedRun, finished_at: float) -> bool:
        (new,) = await memori.commit(finish_write(run, finished_at))
        return bool(new)

    async def _commit_workflow(self, memori: Memori, workflow: Workflow) -> bool:
        (new,) = await memori.commit(lambda tx: workflows.store_workflow(tx, workflow))
        return bool(new)

    async def _commit_feedback(self, memori: Memori, said: RunFeedback) -> RunFeedback:
        (merged,) = await memori.commit(lambda tx: apply_feedback(tx, said))
        return merged

    async def _commit_forgotten(
        self, memori: Memori, source: str | None, run_id: str | None
    ) -> Forgotten:
        (forgotten,) = await memori.commit(lambda tx: forget(tx, source=source, run_id=run_id))
        return forgotten


def read_patterns(
    tx: Tx,
    task_type: str,
    min_success_rate: float,
    scope: str,
    session_id: str | None,
    limit: int,
) -> list[WorkflowPattern]:
    """Patterns of a scope; "session" without a session gives every session's own.

    Raises:
        InputError: an empty task type, an unknown scope, a rate outside 0 to 1, a limit below 1.
    """
    if not task_type.strip():
        raise InputError("task_type must not be empty")
    if scope not in (APP, SESSION):
        raise InputError(f"unknown scope {scope!r}: choose 'app' or 'session'")
    if not 0 <= min_success_rate <= 1:
        raise InputError(f"min_success_rate must be between 0 and 1, not {min_success_rate!r}")
    if limit < 1:
        raise InputError(f"limit must be at least 1, not {limit!r}")
    if scope == APP:
        return patterns.patterns(tx, task_type, min_success_rate, ALL_SESSIONS, limit)
    if session_id:
        return patterns.patterns(tx, task_type, min_success_rate, session_id, limit)
    return patterns.patterns_by_session(tx, task_type, min_success_rate, limit)


_defaults: dict[tuple[str, str], WorkflowMemory] = {}
_defaults_lock = threading.Lock()


def default_memory() -> WorkflowMemory:
    """The memory at the configured place (`MEMORI_DB_PATH`), opened on first use and shared."""
    settings = load_settings()
    key = (absolute_place(settings.db_path), settings.tenant)
    with _defaults_lock:
        if key not in _defaults:
            _defaults[key] = WorkflowMemory(Memori.open(key[0], tenant=key[1]))
            _log.info("memory integration enabled: %s", _defaults[key].memori.place)
        return _defaults[key]


async def close_default_memories() -> None:
    """Close every store that `default_memory` opened; the next call opens anew."""
    for memory in list(_defaults.values()):
        await memory.aclose()


def _log_recall(
    task_type: str, found: Sequence[WorkflowPattern], cases: Sequence[PlanCase]
) -> None:
    if found:
        best = found[0].success_rate
        _log.info("found %d patterns for %s, best rate %.0f %%", len(found), task_type, best * 100)
    else:
        _log.info("found no pattern for %s", task_type)
    _log.debug("recalled %d similar plans for %s", len(cases), task_type)
