"""Leases on runs, on either database: one holder at a time, and who was shut out writes no more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from workflow_fixtures import START, SetClock, finished

from infrastructure.memory.finished_run import AcceptedRun, EndedPart
from infrastructure.memory.memori.engine import Memori
from infrastructure.memory.memori.run_journal import LeaseLost
from infrastructure.memory.memori.runs import RunRecord
from infrastructure.memory.workflow_memory import WorkflowMemory

PART = "r~part~1"


@pytest.fixture
async def memories(shared_place: str) -> AsyncIterator[tuple[WorkflowMemory, WorkflowMemory]]:
    """Two processes' ways to one store, as far as the store can tell."""
    opened = [Memori.open(shared_place, clock=SetClock()) for _ in range(2)]
    yield WorkflowMemory(opened[0]), WorkflowMemory(opened[1])
    for memori in opened:
        await memori.aclose()


async def accept(memory: WorkflowMemory, run_id: str = "r", parent: str = "") -> None:
    record = RunRecord(run_id, "s", "do it", START)
    assert await memory.accept(AcceptedRun(record, parent, events=('{"n":1}',)))


async def test_of_many_who_claim_at_once_one_wins(
    memories: tuple[WorkflowMemory, WorkflowMemory],
) -> None:
    await accept(memories[0])
    claims = await asyncio.gather(
        *(memories[n % 2].claim("r", f"owner {n}", 60) for n in range(20))
    )
    (won,) = [held for held in claims if held is not None]
    assert won.fence == 1
    held = await memories[1].holder("r")
    assert held is not None
    assert held.owner == won.owner


async def test_who_was_shut_out_can_do_nothing(
    memories: tuple[WorkflowMemory, WorkflowMemory],
) -> None:
    slow, quick = memories
    await accept(slow)
    old = await slow.claim("r", "slow", 60)
    assert old is not None
    new = await quick.claim("r", "quick", 60, dead="slow")
    assert new is not None
    with pytest.raises(LeaseLost):
        await slow.append("r", ['{"n":2}'], 2, old.fence)
    with pytest.raises(LeaseLost):
        await slow.renew("r", old.fence, 60)
    with pytest.raises(LeaseLost):
        await slow.release("r", old.fence, "running")
    with pytest.raises(LeaseLost):
        await slow.finish(finished("r", fence=old.fence))
    assert await quick.finish(finished("r", fence=new.fence))
    assert await quick.events("r") == [{"n": 1}]


async def test_a_cancel_keeps_a_run_held_until_it_is_ended(
    memories: tuple[WorkflowMemory, WorkflowMemory],
) -> None:
    await accept(memories[0])
    held = await memories[0].claim("r", "one", 60)
    assert held is not None
    await memories[1].request_cancel("r", "enough")
    assert await memories[0].renew("r", held.fence, 60) == "enough"
    assert await memories[0].release("r", held.fence, "waiting") == "enough"
    assert await memories[1].claim("r", "other", 60) is None
    assert await memories[0].release("r", held.fence, "waiting", anyway=True) is None
    taken = await memories[1].claim("r", "other", 60)
    assert taken is not None
    assert taken.cancel_reason == "enough"


async def test_who_holds_the_whole_takes_its_parts(
    memories: tuple[WorkflowMemory, WorkflowMemory],
) -> None:
    old, new = memories
    await accept(old)
    await accept(old, PART, "r")
    first = await old.claim("r", "old", 60)
    part = await old.claim(PART, "old", 60)
    assert first is not None
    assert part is not None
    whole = await new.claim("r", "new", 60, dead="old")
    assert whole is not None
    assert await new.claim(PART, "new", 60) is None
    assert await new.claim(PART, "new", 60, above=("r", whole.fence)) is not None
    with pytest.raises(LeaseLost):
        await old.claim(PART, "old", 60, above=("r", first.fence))
    with pytest.raises(LeaseLost):
        await old.append(PART, ['{"n":2}'], 2, part.fence)


async def test_a_decision_frees_a_run_and_shuts_out_its_holder(
    memories: tuple[WorkflowMemory, WorkflowMemory],
) -> None:
    asleep, awake = memories
    await accept(asleep)
    await accept(asleep, PART, "r")
    held = await asleep.claim("r", "asleep", 0.0)  # its lease is over at once
    assert held is not None
    assert not await awake.append_next(PART, '{"n":2}', 7, whole="r", ready=True)
    assert await awake.append_next(PART, '{"n":2}', 1, whole="r", ready=True)
    with pytest.raises(LeaseLost):
        await asleep.append("r", ['{"n":2}'], 2, held.fence)
    assert await awake.left_behind(lambda _: False) == ["r"]
    busy = await asleep.claim("r", "asleep", 60)
    assert busy is not None
    assert not await awake.append_next(PART, '{"n":3}', 2, whole="r")
    assert await asleep.append_next(PART, '{"n":3}', 2, whole="r", fence=busy.fence)
    with pytest.raises(LeaseLost):
        await awake.append_next(PART, '{"n":4}', 3, whole="r", fence=busy.fence - 1)


async def test_open_parts_end_in_the_commit_that_ends_the_whole(
    memories: tuple[WorkflowMemory, WorkflowMemory],
) -> None:
    memory = memories[0]
    await accept(memory)
    await accept(memory, PART, "r")
    ended = EndedPart(PART, '{"n":2}', "testing", {"errors": ["it ended"]})
    assert await memory.finish(finished("r", parts=(ended,)))
    part = await memories[1].run(PART)
    assert part is not None
    assert (part.state, part.result) == ("canceled", {"errors": ["it ended"]})
    assert await memory.events(PART) == [{"n": 1}, {"n": 2}]
    assert await memory.claim(PART, "late", 60) is None
