"""Keeps this process's leases on the runs that it works on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from genesis.active import ActiveRun
from infrastructure.errors import StoreError
from infrastructure.memory.memori.run_journal import LeaseLost
from infrastructure.memory.workflow_memory import WorkflowMemory

log = logging.getLogger("genesis")

_RENEWALS = 3  # in the time of one lease, so that one that fails harms nothing


@asynccontextmanager
async def kept(run: ActiveRun, memory: WorkflowMemory, lease_s: float) -> AsyncGenerator[None]:
    """Renew a run's lease while it is worked on.

    Whoever asked from another process for the run's end is heard here, too; and a run that
    another process took over is cut off.

    Args:
        run: it has its lease's fence in its journal.
        memory: where the lease is.
        lease_s: seconds for which it is renewed each time.
    """
    pause = lease_s / _RENEWALS
    renewals: list[asyncio.Task[None]] = []

    def begin() -> None:
        renewals.append(asyncio.create_task(_renew(run, memory, lease_s, pause)))

    # Most runs are over before the first renewal is due, and need no task for it.
    waiting = asyncio.get_running_loop().call_later(pause, begin)
    try:
        yield
    finally:
        waiting.cancel()
        for renewal in renewals:
            renewal.cancel()
        if renewals:
            await asyncio.gather(*renewals, return_exceptions=True)


async def _renew(run: ActiveRun, memory: WorkflowMemory, lease_s: float, pause: float) -> None:
    fence = run.journal.fence
    assert fence is not None
    while True:
        try:
            reason = await memory.renew(run.run_id, fence, lease_s)
        except LeaseLost:
            log.error("another process has taken over run %s: it is stopped here", run.run_id)
            run.cut_off()
            return
        except StoreError as error:
            log.error("the lease of run %s was not renewed: %s", run.run_id, error)
        else:
            if reason is not None:
                run.cancel(reason)
                return
        await asyncio.sleep(pause)
