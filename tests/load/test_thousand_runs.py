"""Many runs submitted at once: all end well, what does not fit is refused, memory is bounded."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from many_runs import REQUEST, open_orchestrator
from rounds import ROUNDS, in_rounds

from genesis import GenesisOrchestrator
from genesis.errors import Overloaded

RUNS = min(1000, 10 * ROUNDS)
AT_ONCE = 16
# What a run takes while it waits, and what it may leave: caches of the store grow a little with it.
KB_A_RUN = 64
KB_LEFT_BY_A_RUN = 40
KB_OF_CACHES = 8_000


@pytest.fixture
async def orchestrator(tmp_path: Path) -> AsyncIterator[GenesisOrchestrator]:
    async with open_orchestrator(
        tmp_path, max_concurrent_runs=AT_ONCE, max_waiting_runs=RUNS
    ) as one:
        yield one


@in_rounds
async def test_all_that_fit_end_well(orchestrator: GenesisOrchestrator) -> None:
    results = await asyncio.gather(
        *(
            orchestrator.execute_orchestrated_request(REQUEST.format(number), f"s-{number % 50}")
            for number in range(RUNS)
        )
    )
    assert Counter((result.state, tuple(result.errors)) for result in results) == {
        ("completed", ()): RUNS
    }
    assert len({result.run_id for result in results}) == RUNS
    assert all(result.recorded for result in results)
    metrics = await orchestrator.get_workflow_learning_metrics()
    assert metrics["total_workflows_executed"] == RUNS


async def test_what_does_not_fit_is_refused_at_once_and_welcome_later(tmp_path: Path) -> None:
    fit = AT_ONCE + 8
    async with open_orchestrator(
        tmp_path, max_concurrent_runs=AT_ONCE, max_waiting_runs=fit - AT_ONCE
    ) as orchestrator:
        answers = await asyncio.gather(
            *(orchestrator.execute_orchestrated_request(REQUEST.format(n)) for n in range(2 * fit)),
            return_exceptions=True,
        )
        refused = [answer for answer in answers if isinstance(answer, BaseException)]
        assert [type(error) for error in refused] == [Overloaded] * fit
        assert "max_waiting_runs" in str(refused[0])
        assert all(answer.success for answer in answers if not isinstance(answer, BaseException))
        # Those that were refused left nothing behind, and there is room again.
        assert len(await orchestrator.runs(limit=10 * fit)) == fit
        again = await orchestrator.execute_orchestrated_request(REQUEST.format(0))
    assert again.success


@in_rounds
def test_memory_is_bounded(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "many_runs.py"), str(tmp_path), str(RUNS)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "XDG_RUNTIME_DIR": str(tmp_path)},
    )
    seen: dict[str, Any] = json.loads(done.stdout)
    assert seen["failed"] == 0
    assert seen["first_kb"] < KB_A_RUN * RUNS + KB_OF_CACHES
    # The second time as many need hardly more: nothing of a run stays.
    assert seen["second_kb"] < KB_LEFT_BY_A_RUN * RUNS + KB_OF_CACHES
