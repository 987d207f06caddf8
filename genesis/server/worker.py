"""Works the runs that this server accepted, and those that a dead process left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from genesis.errors import GenesisError, InputError, Overloaded, RunBusy
from genesis.orchestrator import GenesisOrchestrator
from genesis.result import OrchestrationResult
from genesis.server.turns import FairTurns
from infrastructure.text import counted

log = logging.getLogger("genesis.server")

_SWEEP_S: Final = 15.0
_REST_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class NewLimits:
    """What the rest of a run may cost and take; None leaves what it had.

    Attributes:
        budget_usd: US dollars.
        timeout_s: seconds.
    """

    budget_usd: float | None = None
    timeout_s: float | None = None


class RunWorker:
    """Takes accepted runs to their end, each in a task of one group.

    An accepted run is in the store before anybody is told of it: whatever becomes of this worker,
    it or another finds the run by `recover`.

    Args:
        orchestrator: the root; each tenant's is made from it.
        tenants: whose runs are looked for.
        ended: is told every result.
        sweep_s: seconds between two looks for runs that dead processes left.
    """

    def __init__(
        self,
        orchestrator: GenesisOrchestrator,
        tenants: Callable[[], Sequence[str]],
        ended: Callable[[OrchestrationResult], None],
        sweep_s: float = _SWEEP_S,
    ) -> None:
        self._root = orchestrator
        self._tenants = tenants
        self._ended = ended
        self._sweep_s = sweep_s
        self._by_tenant: dict[str, GenesisOrchestrator] = {}
        self._unable: set[tuple[str, str]] = set()
        self._working: dict[tuple[str, str], asyncio.Task[OrchestrationResult | None]] = {}
        self._turns = FairTurns(orchestrator.settings.max_concurrent_runs)
        self._group: asyncio.TaskGroup | None = None
        self._sweeping: asyncio.Task[None] | None = None

    def of(self, tenant: str) -> GenesisOrchestrator:
        """The orchestrator that sees this tenant's runs and memory alone."""
        if tenant not in self._by_tenant:
            self._by_tenant[tenant] = self._root.for_tenant(tenant)
        return self._by_tenant[tenant]

    @property
    def working(self) -> int:
        """Runs that it works on or that wait for their turn."""
        return len(self._working)

    @property
    def waiting(self) -> int:
        """Runs that wait for their turn."""
        return self._turns.waiting

    def works(self, tenant: str, run_id: str) -> bool:
        """Whether it works on this run."""
        return (tenant, run_id) in self._working

    @property
    def accepting(self) -> bool:
        """Whether it takes runs at all."""
        return self._group is not None

    def full(self, tenant: str) -> bool:
        """Whether as many runs wait for their turn as may, of all tenants or of this one.

        Where there are several, one may have half of the places: there is room for the others.
        """
        settings = self._root.settings
        most = settings.max_waiting_runs
        if self.working >= settings.max_concurrent_runs + most:
            return True
        several = len(self._tenants()) > 1
        return several and self._turns.waiting_of(tenant) >= max(1, most // 2)

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Work while the block runs; what is under way at its end is left to be gone on with."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._sweeping = group.create_task(self._sweep())
            try:
                yield
            finally:
                # A run whose task is cancelled is cancelled for good: they come to rest first.
                await self.drain(0)
                for task in self._working.values():
                    task.cancel()

    def start(self, tenant: str, run_id: str, limits: NewLimits | None = None) -> None:
        """Take a run to its end, or its next pause; one that is under way is left as it is.

        When the worker is closing, the run stays for the next start.

        Raises:
            RunBusy: the run is under way, so that it cannot be given other limits.
        """
        key = (tenant, run_id)
        if key in self._working and limits is not None:
            raise RunBusy(f"run {run_id!r} is under way; cancel it, or wait until it pauses")
        if self._group is None or key in self._working:
            return
        work = self._work(tenant, run_id, limits or NewLimits())
        task = self._group.create_task(work, name=f"run {run_id}")
        self._working[key] = task
        task.add_done_callback(lambda _: self._working.pop(key, None))

    async def wait(self, tenant: str, run_id: str, seconds: float) -> None:
        """Wait until the run ends, pauses, or the seconds are over, whoever works on it."""
        task = self._working.get((tenant, run_id))
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                if task is not None:
                    await asyncio.wait({task})
                if task is None or task.cancelled() or task.result() is None:
                    await self._elsewhere(tenant, run_id)

    async def _elsewhere(self, tenant: str, run_id: str) -> None:
        """Wait for the end or the pause of a run that another process works on."""
        async with aclosing(self.of(tenant).follow(run_id)) as entries:
            async for _ in entries:
                pass

    async def drain(self, grace_s: float) -> None:
        """Take no more runs; let attempts under way end for `grace_s` seconds, leave the rest.

        Called again while it waits, with less, it hurries.
        """
        self._close()
        everybody = (self._root, *self._by_tenant.values())
        await asyncio.gather(*(each.shutdown(grace_s) for each in everybody))
        if self._working:
            await asyncio.wait(set(self._working.values()), timeout=_REST_S)
        try:
            async with asyncio.timeout(max(grace_s, _REST_S)):
                await asyncio.gather(*(each.drain() for each in everybody))
        except TimeoutError:
            log.warning("compaction takes too long: it is done at the next start")

    def _close(self) -> None:
        self._group = None
        self._turns.close()
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None

    async def _work(
        self, tenant: str, run_id: str, limits: NewLimits
    ) -> OrchestrationResult | None:
        try:
            async with self._turns.turn(tenant):
                result = await self.of(tenant).resume(
                    run_id, budget_usd=limits.budget_usd, timeout_s=limits.timeout_s
                )
        except (RunBusy, Overloaded) as error:
            log.info("run %s is left: %s", run_id, error)
        except InputError as error:
            self._unable.add((tenant, run_id))
            log.warning("run %s is left to whoever can go on with it: %s", run_id, error)
        except GenesisError as error:
            log.error("run %s rests until it is looked for again: %s", run_id, error)
        except Exception:  # a defect in one run must not end the others of the group
            log.exception("run %s rests until it is looked for again", run_id)
        else:
            self._ended(result)
            return result
        return None

    async def _sweep(self) -> None:
        while True:
            for tenant in self._tenants():
                await self._recover(tenant)
            await asyncio.sleep(self._sweep_s)

    async def _recover(self, tenant: str) -> None:
        try:
            left = await self.of(tenant).recover()
        except Exception:  # one tenant's rows, or a store away for a while, must not end the others
            log.exception("cannot look for runs of tenant %r that a dead process left", tenant)
            return
        taken = self._working.keys() | self._unable
        mine = [run_id for run_id in left if (tenant, run_id) not in taken]
        if mine:
            log.info("goes on with %s that a dead process left", counted(len(mine), "run"))
        for run_id in mine:
            if not self.full(tenant):
                self.start(tenant, run_id)
