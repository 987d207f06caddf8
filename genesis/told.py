"""What the journals tell of a run and of its parts, whoever works on them."""

from __future__ import annotations

from genesis.context import RunBelow, Services
from genesis.errors import StoreError
from genesis.past_run import PastRun, read_journal


async def past_run(run_id: str, services: Services) -> PastRun:
    """A run as its journal tells it.

    Raises:
        StoreError: the journal was pruned, or cannot be read.
    """
    memory = services.memory
    events = await memory.events(run_id)
    if not events:
        await require_journal(run_id, services)
    return read_journal(run_id, events)


async def require_journal(run_id: str, services: Services) -> None:
    """Refuse a run whose journal is no longer kept.

    Raises:
        StoreError: it was pruned.
    """
    if await services.memory.is_pruned(run_id):
        raise StoreError(
            f"the journal of run {run_id!r} was pruned (`keep_journals_days`, or `genesis memory "
            "prune`): its request, state and answer are still listed, its tasks are not"
        )


async def told(task_id: str, past: PastRun, services: Services) -> RunBelow:
    """A run with the runs that its composite tasks were, and what it and they wait for.

    Args:
        task_id: the task that it is an attempt at; empty for none.
        past: the run.
        services: the orchestrator's parts.

    Raises:
        StoreError: a journal cannot be read.
    """
    run_id, is_open = past.accepted.run_id, past.ended is None
    asked = [(run_id, approval) for approval in past.pending]
    spent_usd, parts = past.own_usd, list[RunBelow]()
    for of_task, part_id in past.below:
        events = await services.memory.events(part_id)
        if not events:
            continue  # it was never begun, or is forgotten
        part_past = read_journal(part_id, events)
        part = await told(of_task, part_past, services)
        if part_past.ended is not None:
            parts.append(part)
        asked += part.asked
        if is_open and part_id in past.open_below:
            spent_usd += part.cost_usd
    return RunBelow(
        task_id,
        run_id,
        past.state,
        spent_usd,
        past.worked_s if past.ended is None else past.ended.duration_s,
        tuple(parts),
        tuple(asked) if is_open else (),
    )


async def rests(run_id: str, services: Services) -> bool:
    """Whether a run, or a part of it, waits for somebody who has decided nothing since.

    Raises:
        StoreError: a journal cannot be read.
    """
    pasts = [await past_run(run_id, services)]
    for part_id in await services.memory.parts(run_id):
        events = await services.memory.events(part_id)
        if events:
            pasts.append(read_journal(part_id, events))
    still_open = [past for past in pasts if past.ended is None]
    return any(p.pending for p in still_open) and not any(p.decided for p in still_open)
