"""The runs that this process works on now, and how they are told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

from genesis.execution.approvals import Approval, Approvals
from genesis.journal import Journal


@dataclass(slots=True, eq=False)
class ActiveRun:
    """One run that is worked on.

    Attributes:
        run_id: the run.
        journal, approvals: its own.
        above: the run that it is a part of; what stops that one stops it.
        closing: it is about to stop, and takes no decision any more.
        asked_below: what its parts wait for that rest meanwhile, by the run that asks.
        decided_below: how much of that was decided.
        ended: set once nobody here works on it.
    """

    run_id: str
    journal: Journal
    approvals: Approvals
    above: ActiveRun | None = None
    closing: bool = False
    asked_below: list[tuple[str, Approval]] = field(default_factory=list[tuple[str, Approval]])
    decided_below: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    _stopping: bool = False
    _cancel_reason: str = ""
    _told: int = 0
    _task: asyncio.Task[object] | None = field(default_factory=asyncio.current_task)
    _told_before: int = 0

    def __post_init__(self) -> None:
        if self._task is not None:
            self._told_before = self._task.cancelling()

    @property
    def decisions(self) -> int:
        """How many were made that it may have waited for."""
        return self.approvals.decisions + self.decided_below

    @property
    def outermost(self) -> ActiveRun:
        """The run that it is a part of, through all levels; itself if it is none."""
        return self.above.outermost if self.above else self

    @property
    def stopping(self) -> bool:
        """Whether nothing new is to be begun, because the process is to end."""
        return self._stopping or (self.above is not None and self.above.stopping)

    @property
    def cancel_reason(self) -> str:
        """Why somebody asked for its end; empty while nobody did."""
        return self._cancel_reason or (self.above.cancel_reason if self.above else "")

    @cancel_reason.setter
    def cancel_reason(self, reason: str) -> None:
        self._cancel_reason = reason

    def stop(self) -> None:
        """Begin nothing new, so that it can be gone on with later."""
        self._stopping = True

    def cut_off(self) -> None:
        """End what is under way, too; nothing happens to a run that is over."""
        if self._task is not None and not self.ended.is_set():
            self._stopping = True
            self._tell(self._task)

    def cancel(self, reason: str) -> None:
        """End the run for good."""
        if self._task is not None and not self.ended.is_set() and not self._cancel_reason:
            self._cancel_reason = reason or "it was cancelled"
            self._tell(self._task)

    def take_back(self) -> bool:
        """Take back the cancellations that `cut_off` and `cancel` asked for.

        It is the caller's own task that the run is worked on in, and the caller goes on; unless
        somebody else cancelled it too, or alone: False then.
        """
        if self._task is None or not self._told:
            return False
        while self._told:
            self._task.uncancel()
            self._told -= 1
        return self._task.cancelling() <= self._told_before

    def _tell(self, task: asyncio.Task[object]) -> None:
        self._told += 1
        task.cancel()


class ActiveRuns:
    """By id, the runs of one tenant's orchestrator."""

    def __init__(self) -> None:
        self._by_id: dict[str, ActiveRun] = {}
        self.stopping = False

    def __iter__(self) -> Iterator[ActiveRun]:
        return iter(tuple(self._by_id.values()))

    def get(self, run_id: str) -> ActiveRun | None:
        """The run of this id, if it is worked on here."""
        return self._by_id.get(run_id)

    def add(self, run: ActiveRun) -> None:
        """Note that it is worked on."""
        self._by_id[run.run_id] = run
        if self.stopping:
            run.stop()

    def remove(self, run: ActiveRun) -> None:
        """Note that it no longer is."""
        self._by_id.pop(run.run_id, None)
        run.ended.set()

    def stop(self) -> None:
        """Stop all of them, and those that come after."""
        self.stopping = True
        for run in self:
            run.stop()
