"""What asking a second agent beside a slow one gives at the tail, and what it costs.

Tasks whose first agent usually answers in its expected time and now and then takes twenty times as
long (as overloaded services do); the second is as quick, and does not share the first one's bad
moments. The same tasks, with the same bad moments, are done without hedging and with it at several
values of `hedge_after`. Times are of the wall, in milliseconds; money counts both agents.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator
from pathlib import Path

from genesis.agents.registry import AgentRegistry
from genesis.execution.attempt import TaskRunner
from genesis.execution.delivery import Deliveries
from genesis.execution.hedge import Hedges
from genesis.execution.scope import RunScope
from genesis.execution.slots import AgentSlots
from genesis.routing.ladder import Ladder, Rung
from genesis.tasks.task import Task
from infrastructure.a2a.agent import AgentCard, Skill
from infrastructure.a2a.types import AgentEvent, Message, Part
from infrastructure.clock import SystemClock
from infrastructure.resilience.breaker import Breakers
from infrastructure.resilience.budget import Budget

EXPECTED_S = 0.02
SLOWER = 20
USD = 0.01
AT_ONCE = 20


class Sleeper:
    """An agent that takes as long as a list says, by the task's number."""

    def __init__(self, name: str, seconds: list[float]) -> None:
        self.card = AgentCard(name, name, (Skill(name, name),), max_concurrency=1_000)
        self._seconds = seconds

    async def send(self, message: Message) -> AsyncGenerator[AgentEvent]:
        """Sleep, then answer."""
        await asyncio.sleep(self._seconds[int(message.message_id.split(":")[1])])
        yield Message("answer", "agent", (Part(text="done"),))

    async def cancel(self, task_id: str) -> None:
        """Closing the stream cancels."""


async def measure(
    seconds: tuple[list[float], list[float]], after: float | None, folder: Path
) -> dict[str, float | None]:
    """One row: the tasks' times and money at one setting."""
    clock = SystemClock()
    breakers = Breakers(clock)
    registry = AgentRegistry(breakers)
    names = ("first", "second")
    for name, taken in zip(names, seconds, strict=True):
        registry.register(Sleeper(name, taken))
    deliveries = Deliveries(registry, breakers, AgentSlots(), clock)
    hedges = None if after is None else Hedges(after)
    runner = TaskRunner(registry, deliveries, clock, hedges=hedges)
    budget = Budget()
    scope = RunScope("run", "request", {}, folder, folder / "runs", budget)
    rungs = tuple(Rung(name, name, "", "medium", 0.9, USD, EXPECTED_S, "") for name in names)
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> float:
        async with turns:
            began = time.perf_counter()
            task = Task(str(number), "work", "general")
            await runner.run(task, Ladder(task.id, rungs, 0.5, ""), {}, scope)
            return (time.perf_counter() - began) * 1_000

    times = await asyncio.gather(*(one(number) for number in range(len(seconds[0]))))
    cuts = statistics.quantiles(times, n=1_000)
    seen = runner.statistics.hedges
    return {
        "hedge_after": after,
        "p50_ms": cuts[499],
        "p95_ms": cuts[949],
        "p99_ms": cuts[989],
        "hedged": seen.begun / len(times) if seen else 0.0,
        "usd_per_task": budget.statistics.spent_usd / len(times),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=2_000)
    parser.add_argument("--slow", type=float, default=0.03, help="share of slow answers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rng = random.Random(options.seed)

    def taken() -> list[float]:
        return [
            EXPECTED_S * (SLOWER if rng.random() < options.slow else rng.uniform(0.5, 1.5))
            for _ in range(options.tasks)
        ]

    seconds = (taken(), taken())
    with tempfile.TemporaryDirectory() as name:
        rows = [asyncio.run(measure(seconds, after, Path(name))) for after in (None, 2.0, 3.0, 5.0)]
    if options.json:
        print(json.dumps({"tasks": options.tasks, "slow": options.slow, "rows": rows}))
        return
    print(f"{'hedge_after':>11} {'p50':>7} {'p95':>7} {'p99':>7} {'hedged':>7} {'$ a task':>9}")
    for row in rows:
        after = "off" if row["hedge_after"] is None else row["hedge_after"]
        print(
            f"{after:>11} {row['p50_ms']:7.0f} {row['p95_ms']:7.0f} {row['p99_ms']:7.0f} "
            f"{row['hedged']:7.1%} {row['usd_per_task']:9.4f}"
        )


if __name__ == "__main__":
    main()
