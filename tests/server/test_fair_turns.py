"""Turns are shared out among tenants, none is lost, and nobody waits when the process is to end."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesis.errors import Overloaded
from genesis.server.turns import FairTurns


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_long_queue_of_one_tenant_does_not_hold_up_another() -> None:
    turns, order = FairTurns(1), list[str]()

    async def work(tenant: str, name: str) -> None:
        async with turns.turn(tenant):
            order.append(name)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for number in range(50):
            group.create_task(work("a", f"a{number}"))
        await _settle()
        begun = len(order)
        for number in range(3):
            group.create_task(work("b", f"b{number}"))
    assert [order.index(f"b{n}") - begun for n in range(3)] == sorted(
        order.index(f"b{n}") - begun for n in range(3)
    )
    assert order.index("b2") - begun <= 8, order
    assert len(order) == 53


@settings(max_examples=60, deadline=None)
@given(
    limit=st.integers(1, 4),
    steps=st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=25),
)
def test_never_more_than_the_limit_and_no_place_is_lost(
    limit: int, steps: list[tuple[str, bool]]
) -> None:
    async def play() -> None:
        turns, inside = FairTurns(limit), 0

        async def work(tenant: str) -> None:
            nonlocal inside
            async with turns.turn(tenant):
                inside += 1
                assert inside <= limit
                try:
                    await asyncio.sleep(0)
                finally:
                    inside -= 1

        tasks: list[asyncio.Task[None]] = []
        for tenant, cancels in steps:
            tasks.append(asyncio.create_task(work(tenant)))
            if cancels:
                await asyncio.sleep(0)
                tasks[len(tasks) // 2].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (inside, turns.waiting) == (0, 0)
        async with asyncio.timeout(5):  # all places are free again
            async with asyncio.TaskGroup() as group:
                gate = asyncio.Barrier(limit)

                async def meet() -> None:
                    async with turns.turn("z"):
                        await gate.wait()

                for _ in range(limit):
                    group.create_task(meet())

    asyncio.run(play())


async def test_who_waits_is_sent_away_when_the_process_is_to_end() -> None:
    turns = FairTurns(1)
    async with turns.turn("a"):

        async def wait() -> None:
            async with turns.turn("b"):
                pass

        waiting = asyncio.create_task(wait())
        await _settle()
        assert turns.waiting_of("b") == 1
        turns.close()
        with pytest.raises(Overloaded):
            await waiting
    with pytest.raises(Overloaded):
        await wait()
