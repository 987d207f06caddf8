"""Runs as the REST API shows them."""

from __future__ import annotations

from typing import Final, cast

from genesis.errors import UnknownRun
from genesis.orchestrator import GenesisOrchestrator
from genesis.server.schemas import RunHead, RunView, State, receipt_of
from infrastructure.memory.memori.runs import RunRecord

OVER: Final = frozenset({"completed", "failed", "canceled"})
"""The states in which nothing more comes."""


async def run_record(orchestrator: GenesisOrchestrator, run_id: str) -> RunRecord:
    """A run as it is stored.

    Raises:
        UnknownRun: there is none of this id for this tenant.
    """
    run = await orchestrator.services.memory.run(run_id)
    if run is None:
        raise UnknownRun(f"there is no run {run_id!r}")
    return run


def head_of(run: RunRecord) -> RunHead:
    """A run as it stands in a list."""
    return RunHead(
        run_id=run.run_id,
        session_id=run.session_id,
        request=run.request,
        task_type=run.task_type,
        state=cast("State", run.state),
        version=run.version,
        created_at=run.created_at,
        finished_at=run.finished_at,
    )


async def run_view(orchestrator: GenesisOrchestrator, run_id: str) -> RunView:
    """A run with its result when it is over, and with what it waits for.

    Raises:
        UnknownRun: there is none of this id for this tenant.
    """
    head = head_of(await run_record(orchestrator, run_id))
    told = await orchestrator.run(run_id)
    if head.state not in OVER:
        return RunView(**head.model_dump(), approvals=told.approvals, tasks=told.tasks)
    return RunView(**head.model_dump(), result=told, receipt=receipt_of(told))
