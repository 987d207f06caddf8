"""`genesis run`, `resume`, `approve`, `reject`, `cancel` and `plan`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import orjson

from genesis.cli.common import FAILED, cli_settings, print_json, run_async
from genesis.cli.render import consoles, plan_tree
from genesis.cli.runs import known_run, open_memory
from genesis.cli.watch import Events, watch
from genesis.errors import InputError
from genesis.execution.approvals import Verb
from genesis.orchestrator import GenesisOrchestrator
from genesis.past_run import PastRun, read_journal
from infrastructure.jsonvalue import JsonValue
from infrastructure.memory.memori.runs import OPEN_STATES


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line gave to `genesis run`."""

    request: str
    budget: float | None
    timeout: float | None
    model: str | None
    session: str | None
    workspace: str | None
    approve: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ResumeOptions:
    """What the command line gave to `genesis resume`."""

    run_id: str
    budget: float | None = None
    timeout: float | None = None
    model: str | None = None
    workspace: str | None = None


@dataclass(frozen=True, slots=True)
class DecisionOptions:
    """What the command line gave to `genesis approve` and `genesis reject`."""

    run_id: str
    verb: Verb
    approval_id: str | None = None
    edit: str | None = None
    comment: str = ""


def run_command(options: RunOptions, *, as_json: bool) -> None:
    """Run a request and leave with the code of how it ended."""
    raise SystemExit(run_async(_run(options, as_json=as_json), as_json=as_json))


async def _run(options: RunOptions, *, as_json: bool) -> int:
    text = request_text(options.request)
    settings = cli_settings(workspace=options.workspace, model=options.model)

    def events(orchestrator: GenesisOrchestrator) -> Events:
        return orchestrator.stream(
            text,
            options.session,
            budget_usd=options.budget,
            timeout_s=options.timeout,
            approve=options.approve,
        )

    return await watch(settings, events, options.budget, as_json=as_json)


def resume_command(options: ResumeOptions, *, as_json: bool) -> None:
    """Go on with a run and leave with the code of how it ended."""
    raise SystemExit(run_async(_resumed(options, as_json=as_json), as_json=as_json))


def decide_command(options: DecisionOptions, *, resume: bool, as_json: bool) -> None:
    """Decide what a run, or a part of it, waits for; then go on with the whole."""
    run_async(_decide(options), as_json=as_json)
    whole = options.run_id.partition("~")[0]
    if resume:
        resume_command(ResumeOptions(whole), as_json=as_json)
    elif as_json:
        print_json({"run_id": options.run_id, "decision": options.verb})
    else:
        _, err = consoles()
        err.print(f"noted; go on with: genesis resume {whole}", markup=False)


def cancel_command(run_id: str, reason: str, *, as_json: bool) -> None:
    """End a run for good; leave with 1 when it was over."""
    ended, within_s = run_async(_cancel(run_id, reason), as_json=as_json)
    if as_json:
        print_json({"run_id": run_id, "canceled": ended, "within_s": within_s or 0.0})
    else:
        _, err = consoles()
        said = "is canceled" if ended else "was over already"
        if within_s is not None:
            said = f"is told to end, and does so within {within_s:g} s"
        err.print(f"run {run_id} {said}", markup=False)
    if not ended:
        raise SystemExit(FAILED)


async def _resumed(options: ResumeOptions, *, as_json: bool) -> int:
    past = await _past(options.run_id)
    workspace = options.workspace or _workspace(past)
    settings = cli_settings(workspace=workspace, model=options.model)

    def events(orchestrator: GenesisOrchestrator) -> Events:
        return orchestrator.stream_resumed(
            options.run_id, budget_usd=options.budget, timeout_s=options.timeout
        )

    budget = past.budget_usd if past is not None and options.budget is None else options.budget
    return await watch(settings, events, budget, past, as_json=as_json)


async def _past(run_id: str) -> PastRun | None:
    """What the journal of a run tells; None where it was pruned."""
    async with open_memory() as memory:
        await known_run(memory, run_id)
        events = await memory.events(run_id)
    return read_journal(run_id, events) if events else None


def _workspace(past: PastRun | None) -> str | None:
    """The folder that a run was accepted for; None for one that says nothing of it."""
    return (past.accepted.workspace or None) if past is not None else None


async def _decide(options: DecisionOptions) -> None:
    settings = cli_settings(workspace=_workspace(await _past(options.run_id)))
    async with GenesisOrchestrator(settings=settings) as orchestrator:
        await orchestrator.approve(
            options.run_id,
            options.verb,
            approval_id=options.approval_id,
            edit=_edit(options.edit),
            comment=options.comment,
        )


def _edit(text: str | None) -> JsonValue:
    """The edit that the command line gave: text, or what a file holds for '@FILE'.

    Raises:
        InputError: the file cannot be read, or is no JSON where its name says so.
    """
    if text is None or not text.startswith("@"):
        return text
    path = Path(text[1:])
    try:
        content = path.read_text(encoding="utf-8")
        return orjson.loads(content) if path.suffix == ".json" else content
    except (OSError, ValueError) as error:
        raise InputError(f"--edit {text}: {error}") from error


async def _cancel(run_id: str, reason: str) -> tuple[bool, float | None]:
    """Whether that ended the run, and in how many seconds at most where somebody works on it."""
    settings = cli_settings(workspace=_workspace(await _past(run_id)))
    async with GenesisOrchestrator(settings=settings) as orchestrator:
        ended = await orchestrator.cancel(run_id, reason)
        held = await orchestrator.services.memory.holder(run_id)
    at_work = ended and held is not None and held.state in OPEN_STATES
    return ended, settings.run_lease_s / 3 if at_work else None


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
