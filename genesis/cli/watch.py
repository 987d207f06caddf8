"""A run that is worked on before the user's eyes: progress, answer, receipt, signals, exit code."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from genesis.cli.common import FAILED, OVER_BUDGET, SIGNALLED, WAITING, print_json
from genesis.cli.next_steps import next_steps
from genesis.cli.render import RunView, consoles, failure_lines, receipt
from genesis.events import PlanValidated, RunEvent
from genesis.orchestrator import GenesisOrchestrator
from genesis.past_run import PastRun
from genesis.result import OrchestrationResult, RunFinished
from genesis.tasks.task import AttemptOutcome
from infrastructure.config import Settings

Events: TypeAlias = AsyncGenerator[RunEvent | RunFinished]

# What attempts under way may take once the process is told to end politely.
_GRACE_S = 10.0


async def watch(
    settings: Settings,
    events: Callable[[GenesisOrchestrator], Events],
    budget_usd: float | None,
    past: PastRun | None = None,
    *,
    as_json: bool,
) -> int:
    """Show what happens and what comes of it; the code with which the process is to leave.

    Args:
        settings: of the orchestrator.
        events: what it is to do.
        budget_usd: what the caller lets the run spend; None for what the settings say.
        past: what happened before, of a run that is gone on with.
        as_json: print the result as one JSON document and nothing else.
    """
    result: OrchestrationResult | None = None
    least_usd = 0.0
    async with (
        GenesisOrchestrator(settings=settings) as orchestrator,
        _interruptible(orchestrator) as received,
    ):
        with RunView(consoles()[1]) as view:
            if not as_json:
                _begin(view, past)
            async for event in events(orchestrator):
                if isinstance(event, RunFinished):
                    result = event.result
                    continue
                if isinstance(event, PlanValidated):
                    least_usd = 0.0 if event.accepted else event.report.usd
                if not as_json:
                    view.show(event)
    assert result is not None
    if as_json:
        print_json(result.model_dump(mode="json"))
    else:
        _print(result, budget_usd)
    limit = settings.budget_usd if budget_usd is None else budget_usd
    too_dear = limit is not None and least_usd + result.cost_usd > limit
    return _exit_code(result, received, too_dear=too_dear)


def _begin(view: RunView, past: PastRun | None) -> None:
    """Show where a run that is gone on with was left."""
    if past is None or past.ended is not None or past.state.plan is None:
        return
    finished = [r.task_id for r in past.state.results.values() if r.output is not None]
    view.go_on(past.state.plan.dag, finished)


def _print(result: OrchestrationResult, budget_usd: float | None) -> None:
    """The answer on stdout; what else there is to say on stderr."""
    out, err = consoles()
    if result.output:
        out.print(result.output, markup=False)
    steps = next_steps(result.state, result.run_id, result.approvals)
    wrote = (f"wrote {artifact}" for artifact in result.artifacts)
    for line in (*wrote, *failure_lines(result), *steps, receipt(result, budget_usd)):
        err.print(line, markup=False, soft_wrap=True)


def _exit_code(result: OrchestrationResult, received: list[int], *, too_dear: bool) -> int:
    """0 for success, 4 when it waits for a person, 128 and its number when a signal interrupted
    it, 3 when the money did not reach, and 1 for all else.

    Args:
        result: what came of it.
        received: the signals that came, first to last.
        too_dear: whether its last plan was refused and costs more than may be spent.
    """
    if result.success:
        return 0
    if result.state == "waiting":
        return WAITING
    if received:
        return SIGNALLED + received[0]
    refused = any(
        attempt.outcome == AttemptOutcome.OVER_BUDGET.value
        for task in result.tasks
        for attempt in task.attempts
    )
    return OVER_BUDGET if refused or too_dear else FAILED


@asynccontextmanager
async def _interruptible(orchestrator: GenesisOrchestrator) -> AsyncGenerator[list[int]]:
    """Leave the run to be resumed when a signal ends the process; gives the signals received.

    Ctrl-C cuts off what is under way; SIGTERM lets attempts end, until a second one.
    """
    received: list[int] = []
    ending: set[asyncio.Task[Any]] = set()
    loop = asyncio.get_running_loop()

    def end(number: int) -> None:
        grace_s = 0.0 if number == signal.SIGINT or received else _GRACE_S
        received.append(number)
        ending.add(loop.create_task(orchestrator.shutdown(grace_s)))

    with contextlib.suppress(AttributeError, NotImplementedError):  # Windows has no such handlers
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, end, number)
    try:
        yield received
    finally:
        await asyncio.gather(*ending)
