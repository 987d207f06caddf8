"""The worker of a server goes on with what a dead process left, and loses nothing at its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from http_world import NICE, SKILL, Teller

from genesis import GenesisOrchestrator
from genesis.errors import RunBusy
from genesis.result import OrchestrationResult
from genesis.server.worker import NewLimits, RunWorker
from infrastructure.config import load_flags, load_settings

TENANTS = ("team-a", "team-b")


class Workplace:
    """An orchestrator and the workers that come and go over it."""

    def __init__(self, folder: Path, **settings: int) -> None:
        self.folder = folder
        self.settings = settings
        self.teller = Teller()
        self.ended: list[OrchestrationResult] = []
        self.root = self.orchestrator("workspace")

    def orchestrator(self, workspace: str) -> GenesisOrchestrator:
        (self.folder / workspace).mkdir(exist_ok=True)
        settings = load_settings(
            {},
            workspace=self.folder / workspace,
            data_dir=self.folder / "data",
            db_path=str(self.folder / "memory.db"),
            **self.settings,
        )
        made = GenesisOrchestrator(settings=settings, flags=load_flags({}), agents=[])
        made.register_agent(self.teller.tell, name="teller", skills=[SKILL])
        return made

    def worker(self) -> RunWorker:
        return RunWorker(self.root, lambda: TENANTS, self.ended.append)

    async def state(self, tenant: str, run_id: str) -> str:
        return (await self.root.for_tenant(tenant).run(run_id)).state


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Workplace]:
    made = Workplace(tmp_path)
    async with made.root:
        yield made


async def test_it_goes_on_with_what_was_left_of_every_tenant(place: Workplace) -> None:
    left = [(t, await place.root.for_tenant(t).accept(f"{NICE}, {t}")) for t in TENANTS]
    waits = place.root.for_tenant("team-a")
    asked = await waits.execute_orchestrated_request(NICE, approve=["plan"])
    decided = await waits.execute_orchestrated_request(NICE, approve=["plan"])
    await waits.approve(decided.run_id)

    worker = place.worker()
    async with worker.open():
        for tenant, run_id in [*left, ("team-a", decided.run_id)]:
            await worker.wait(tenant, run_id, 20)
            assert await place.state(tenant, run_id) == "completed"
    assert await place.state("team-a", asked.run_id) == "waiting", "nobody has decided that one"
    assert {result.run_id for result in place.ended} == {
        *(run_id for _, run_id in left),
        decided.run_id,
    }


async def test_a_run_that_cannot_be_gone_on_with_disturbs_no_other(place: Workplace) -> None:
    strange = place.orchestrator("another-workspace")
    async with strange:
        stuck = await strange.for_tenant("team-a").accept(NICE)
    fine = await place.root.for_tenant("team-a").accept(NICE)
    worker = place.worker()
    async with worker.open():
        await worker.wait("team-a", fine, 20)
        assert await place.state("team-a", fine) == "completed"
        assert await place.state("team-a", stuck) == "interrupted"


async def test_its_end_leaves_runs_to_be_gone_on_with(place: Workplace) -> None:
    run_id = await place.root.for_tenant("team-a").accept("Tell me something slowly left")
    worker = place.worker()
    async with worker.open():
        worker.start("team-a", run_id)
        await place.teller.began["left"].wait()
        with pytest.raises(RunBusy):
            worker.start("team-a", run_id, NewLimits(budget_usd=1))
        assert worker.works("team-a", run_id)
    assert not worker.accepting
    assert await place.state("team-a", run_id) == "interrupted"
    worker.start("team-a", run_id)
    assert worker.working == 0, "a worker that is closed starts nothing"


async def test_a_worker_that_is_cancelled_leaves_them_too(place: Workplace) -> None:
    run_id = await place.root.for_tenant("team-a").accept("Tell me something slowly cut")
    worker = place.worker()

    async def serve() -> None:
        async with worker.open():
            worker.start("team-a", run_id)
            await asyncio.Event().wait()

    serving = asyncio.create_task(serve())
    await place.teller.began["cut"].wait()
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    assert await place.state("team-a", run_id) == "interrupted"


async def test_told_to_hurry_it_does_not_wait_for_the_first_grace(place: Workplace) -> None:
    run_id = await place.root.for_tenant("team-a").accept("Tell me something slowly hurry")
    worker = place.worker()
    async with worker.open():
        worker.start("team-a", run_id)
        await place.teller.began["hurry"].wait()
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            group.create_task(worker.drain(600))
            await asyncio.sleep(0)
            group.create_task(worker.drain(0))
    assert await place.state("team-a", run_id) == "interrupted"


async def test_one_tenants_queue_leaves_room_and_turns_to_the_others(tmp_path: Path) -> None:
    place = Workplace(tmp_path, max_concurrent_runs=1, max_waiting_runs=4)
    async with place.root:
        worker = place.worker()
        async with worker.open():

            async def start(tenant: str, text: str) -> str:
                run_id = await place.root.for_tenant(tenant).accept(text)
                worker.start(tenant, run_id)
                return run_id

            await start("team-a", f"{NICE} slowly one")
            await place.teller.began["one"].wait()
            queued = [await start("team-a", f"{NICE} slowly {n}") for n in ("two", "three")]
            last = await start("team-b", NICE)
            async with asyncio.timeout(20):
                while worker.waiting < 3:  # noqa: ASYNC110 - tasks that are about to begin
                    await asyncio.sleep(0)
            assert (worker.full("team-a"), worker.full("team-b")) == (True, False)
            place.teller.go["one"].set()
            await place.teller.began["two"].wait()
            place.teller.go["two"].set()
            await worker.wait("team-b", last, 20)
            assert await place.state("team-b", last) == "completed"
            assert not place.teller.began["three"].is_set(), "its turn comes after the other's"
            place.teller.go["three"].set()
            await worker.wait("team-a", queued[1], 20)
