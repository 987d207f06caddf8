"""What the four planning steps cost a request, without a model: CPU time of each, step by step.

The agents that ship, a memory of past runs over nine task types, and requests as users write
them. Each step is called as the graph calls it, many times; rows are medians over requests, in
milliseconds of this process's CPU. Recall (step 0) is shown beside them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from langgraph.runtime import Runtime

from genesis import GenesisOrchestrator
from genesis.active import ActiveRun
from genesis.context import RunContext
from genesis.execution.scope import RunScope
from genesis.journal import Journal
from genesis.pipeline.aop import aop
from genesis.pipeline.daao import daao
from genesis.pipeline.halo import halo
from genesis.pipeline.htdag import htdag
from genesis.pipeline.recall import recall
from genesis.planning.given import find_given
from genesis.state import RunState
from genesis.tasks.types import TASK_TYPES
from infrastructure.clock import new_id
from infrastructure.config import load_settings
from infrastructure.memory.finished_run import FinishedRun
from infrastructure.memory.memori.outcomes import OutcomeRecord
from infrastructure.resilience.budget import Budget

STEPS = (recall, htdag, halo, aop, daao)
PLANNED = ("htdag", "halo", "aop", "daao")
REQUESTS = (
    "Analyse sales.csv and report the monthly trend",
    "How many rows does sales.csv have, and which city has the highest mean price?",
    "Profile sales.csv and tell me about missing values",
    "Run the tests of ./shop",
    "Document the public interface of shop",
    "Profile slow.py and name the bottlenecks",
    "slow.py crashes with a traceback: debug slow.py",
    "Profile sales.csv, then document the module shop, and run the tests of ./shop",
)


def make_workspace(folder: Path) -> None:
    """The files that the requests name."""
    rows = "\n".join(f"2024-{m:02},Rome,{m}" for m in range(1, 13))
    (folder / "sales.csv").write_text("month,city,price\n" + rows + "\n", encoding="utf-8")
    (folder / "slow.py").write_text("print(sum(range(1000)))\n", encoding="utf-8")
    shop = folder / "shop"
    shop.mkdir()
    (shop / "__init__.py").write_text('"""A shop."""\n', encoding="utf-8")
    (shop / "test_shop.py").write_text("def test_one():\n    assert True\n", encoding="utf-8")


async def remember(orchestrator: GenesisOrchestrator, runs: int, rng: random.Random) -> None:
    """Plans of the requests themselves, and outcomes of all agents at all task types."""
    for request in REQUESTS:
        for _ in range(2):
            await orchestrator.execute_orchestrated_request(request)
    cards = orchestrator.services.registry.cards
    for number in range(runs):
        task_type = TASK_TYPES[number % len(TASK_TYPES)]
        card = rng.choice(cards)
        await orchestrator.services.memory.finish(
            FinishedRun(
                run_id=f"past-{number}",
                session_id=f"s{number % 20}",
                request=f"request {number}",
                task_type=task_type,
                success=True,
                steps=(f"{task_type}:{card.name}:",),
                duration_s=1.0,
                cost_usd=0.0,
                outcomes=(
                    OutcomeRecord(
                        task_type, card.skills[0].id, card.name, "", "", rng.random() < 0.8, 1.0
                    ),
                ),
            )
        )


def begin(orchestrator: GenesisOrchestrator, request: str) -> tuple[RunContext, RunState]:
    """What a run has before step 0."""
    services = orchestrator.services
    inferred = services.inferrer.infer(request)
    given = find_given(request, services.settings.workspace, task_type=inferred.task_type)
    run_id, started = new_id(services.clock), services.clock.monotonic()
    journal = Journal(run_id, services.clock, services.memory.append)
    scope = RunScope(
        run_id=run_id,
        request=request,
        given=given.data,
        workspace=services.settings.workspace,
        artifacts_dir=services.settings.data_dir,
        budget=Budget(None),
        deadline=started + 600,
        emit=journal.add,
    )
    vector = services.embedder.embed([request])[0]
    active = ActiveRun(run_id, journal, scope.approvals)
    context = RunContext(services, scope, journal, "session", vector, started, active)
    return context, RunState(request, inferred, given)


async def measure(runs: int, past: int, seed: int) -> dict[str, Any]:
    """CPU milliseconds by step."""
    spent: dict[str, list[float]] = {step.__name__: [] for step in STEPS}
    totals: list[float] = []
    sources: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_workspace(folder)
        settings = load_settings(
            db_path=str(folder / "runs.db"), data_dir=folder / "data", workspace=folder
        )
        async with GenesisOrchestrator(settings=settings) as orchestrator:
            await remember(orchestrator, past, random.Random(seed))
            for number in range(runs + len(REQUESTS)):
                context, state = begin(orchestrator, REQUESTS[number % len(REQUESTS)])
                runtime = Runtime(context=context)
                total = 0.0
                for step in STEPS:
                    before = time.process_time()
                    added = await step(state, runtime)
                    cost = 1000 * (time.process_time() - before)
                    state = replace(state, **added)
                    if number >= len(REQUESTS):
                        spent[step.__name__].append(cost)
                    total += cost if step.__name__ in PLANNED else 0.0
                if state.errors or state.plan is None:
                    raise RuntimeError(f"not planned: {state.errors}")
                if number >= len(REQUESTS):
                    totals.append(total)
                    sources[state.plan.source] = sources.get(state.plan.source, 0) + 1
    rows = [
        {
            "name": name,
            "cpu_p50_ms": round(statistics.median(costs), 3),
            "cpu_mean_ms": round(statistics.fmean(costs), 3),
            "cpu_p95_ms": round(sorted(costs)[int(0.95 * len(costs))], 3),
        }
        for name, costs in spent.items()
    ]
    return {
        "runs": runs,
        "past_runs": past,
        "plan_sources": sources,
        "planning_cpu_p50_ms": round(statistics.median(totals), 3),
        "planning_cpu_mean_ms": round(statistics.fmean(totals), 3),
        "rows": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=300, help="requests that are planned")
    parser.add_argument("--past", type=int, default=300, help="runs remembered before")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object only")
    options = parser.parse_args()
    if options.runs < 1 or options.past < 0:
        parser.error("--runs must be at least 1 and --past at least 0")
    found = asyncio.run(measure(options.runs, options.past, options.seed))
    if options.json:
        print(json.dumps(found))
        return
    print(f"{'step':10}{'p50 ms':>9}{'mean ms':>9}{'p95 ms':>9}")
    for row in found["rows"]:
        print(
            f"{row['name']:10}{row['cpu_p50_ms']:9.3f}{row['cpu_mean_ms']:9.3f}"
            f"{row['cpu_p95_ms']:9.3f}"
        )
    print(f"{'htdag to daao':10} {found['planning_cpu_p50_ms']:.3f} ms p50 of CPU a request")


if __name__ == "__main__":
    main()
