"""Work that obeys, answers late, or refuses: a cancellation always ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from infrastructure.resilience.stoppable import stoppable

NEVER_S = 60.0
SOON_S = 0.01


async def _awaited(work: Awaitable[object]) -> object:
    return await work


async def _cancelled_once_started(work: Awaitable[object], started: asyncio.Event) -> None:
    task = asyncio.create_task(_awaited(work))
    async with asyncio.timeout(5):
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_what_it_returns_and_raises_is_its_own() -> None:
    async def answers() -> int:
        await asyncio.sleep(0)
        return 7

    async def fails() -> None:
        await asyncio.sleep(0)
        raise KeyError("a defect")

    assert await stoppable(answers(), NEVER_S) == 7
    with pytest.raises(KeyError, match="a defect"):
        await stoppable(fails(), NEVER_S)


async def test_it_may_clean_up_before_it_ends() -> None:
    started, cleaned = asyncio.Event(), list[str]()

    async def work() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append("cleaned")

    await _cancelled_once_started(stoppable(work(), NEVER_S), started)
    assert cleaned == ["cleaned"]


@pytest.mark.parametrize("instead", ["answer", "raise"])
async def test_neither_an_answer_nor_an_error_hides_a_cancellation(instead: str) -> None:
    started = asyncio.Event()

    async def work() -> str:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if instead == "raise":
                raise KeyError("in the cleanup") from None
        return "partial"

    await _cancelled_once_started(stoppable(work(), NEVER_S), started)


@pytest.mark.parametrize("swallows", [asyncio.CancelledError, BaseException])
async def test_work_that_refuses_to_stop_is_dropped(swallows: type[BaseException]) -> None:
    started, refused = asyncio.Event(), list[str]()

    async def work() -> None:
        while True:
            started.set()
            try:
                await asyncio.Event().wait()
            except swallows:
                continue

    stopping = stoppable(work(), SOON_S, lambda: refused.append("refused"))
    await _cancelled_once_started(stopping, started)
    assert refused == ["refused"]


async def test_time_outs_around_refusing_work_are_time_outs() -> None:
    async def work() -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(SOON_S):
            await stoppable(work(), SOON_S)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_time_outs_inside_are_the_works_own() -> None:
    async def work() -> str:
        try:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        except TimeoutError:
            pass
        await asyncio.sleep(3 * SOON_S)  # longer than a cancellation would leave it
        return "went on"

    assert await stoppable(work(), SOON_S) == "went on"
