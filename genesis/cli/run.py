"""`genesis run` and `genesis plan`."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from genesis.cli.common import FAILED, OVER_BUDGET, cli_settings, print_json, run_async
from genesis.cli.render import RunView, consoles, failure_lines, plan_tree, receipt
from genesis.errors import InputError
from genesis.orchestrator import GenesisOrchestrator
from genesis.result import OrchestrationResult, RunFinished
from genesis.tasks.task import AttemptOutcome


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line gave to `genesis run`."""

    request: str
    budget: float | None
    timeout: float | None
    model: str | None
    session: str | None
    workspace: str | None


def run_command(options: RunOptions, *, as_json: bool) -> None:
    """Run a request; leave with 1 when it failed, 3 when the money did not reach."""
    result = run_async(_run(options, as_json=as_json), as_json=as_json)
    if not result.success:
        raise SystemExit(OVER_BUDGET if _over_budget(result) else FAILED)


async def _run(options: RunOptions, *, as_json: bool) -> OrchestrationResult:
    out, err = consoles()
    text = request_text(options.request)
    settings = cli_settings(workspace=options.workspace, model=options.model)
    async with GenesisOrchestrator(settings=settings) as orchestrator:
        with RunView(err) as view:
            result = None
            async for event in orchestrator.stream(
                text,
                options.session,
                budget_usd=options.budget,
                timeout_s=options.timeout,
            ):
                if isinstance(event, RunFinished):
                    result = event.result
                elif not as_json:
                    view.show(event)
    assert result is not None
    if as_json:
        print_json(result.model_dump(mode="json"))
        return result
    if result.output:
        out.print(result.output, markup=False)
    for artifact in result.artifacts:
        err.print(f"wrote {artifact}", markup=False, soft_wrap=True)
    for line in failure_lines(result):
        err.print(line, markup=False, soft_wrap=True)
    err.print(receipt(result, options.budget), markup=False, soft_wrap=True)
    return result


def _over_budget(result: OrchestrationResult) -> bool:
    return any(
        attempt.outcome == AttemptOutcome.OVER_BUDGET.value
        for task in result.tasks
        for attempt in task.attempts
    )


def request_text(argument: str) -> str:
    """The request, from stdin when it is '-'.

    Raises:
        InputError: stdin is not UTF-8 text.
    """
    if argument != "-":
        return argument
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"the request on stdin is not UTF-8 text: {error}") from error


def plan_command(request: str, model: str | None, workspace: str | None, *, as_json: bool) -> None:
    """Plan without running."""
    run_async(_plan(request, model, workspace, as_json=as_json), as_json=as_json)


async def _plan(request: str, model: str | None, workspace: str | None, *, as_json: bool) -> None:
    out, err = consoles()
    settings = cli_settings(workspace=workspace, model=model)
    async with GenesisOrchestrator(settings=settings) as orchestrator:
        preview = await orchestrator.plan(request_text(request))
    if as_json:
        print_json(preview)
    else:
        for note in preview.notes:
            err.print(f"note: {note}", markup=False, soft_wrap=True)
        out.print(plan_tree(preview.plan, preview.ladders), soft_wrap=False)
