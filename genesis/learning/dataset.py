"""Training examples out of what the orchestrator remembers: each task of each finished run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Protocol, cast

from genesis.learning.examples import Example, Observed
from genesis.routing.outlook import option_name
from genesis.tasks.task import AttemptOutcome
from infrastructure.jsonvalue import JsonValue
from infrastructure.memory.memori.runs import COMPLETED, RUNNING, RunRecord

# Attempts that say something about money or the caller, not about who made them.
_NOT_TELLING: Final = (AttemptOutcome.CANCELED, AttemptOutcome.OVER_BUDGET)


class RunMemory(Protocol):
    """What is read of a memory; `infrastructure.memory.workflow_memory` has it."""

    async def runs(self, *, limit: int = 100) -> list[RunRecord]: ...

    async def events(self, run_id: str) -> list[dict[str, JsonValue]]: ...


async def examples_from_memory(memory: RunMemory, *, limit: int = 2_000) -> list[Example]:
    """One example for each task that was tried, the oldest run's first.

    An example's text is the request, which is what a policy sees when a task is to be priced. If
    an option was tried twice at a task, its first attempt counts: the second had been told what
    was wrong. A run whose outcome a user corrected is left out: nobody knows which of its tasks
    the user meant.

    Args:
        memory: what holds the runs and their journals.
        limit: runs at most, the latest.
    """
    examples: list[Example] = []
    for run in reversed(await memory.runs(limit=limit)):
        if _is_telling(run):
            events = await memory.events(run.run_id)
            examples += [Example(run.request, tried) for tried in _tried(events)]
    return examples


def _is_telling(run: RunRecord) -> bool:
    if run.state == RUNNING or run.recorded_success is None:
        return False
    return run.recorded_success == (run.state == COMPLETED)


def _tried(events: Sequence[Mapping[str, JsonValue]]) -> Iterator[dict[str, Observed]]:
    for event in events:
        if event["type"] == "TaskEnded":
            result = cast("Mapping[str, Any]", event["result"])
            observed: dict[str, Observed] = {}
            for attempt in result["attempts"]:
                if attempt["outcome"] not in _NOT_TELLING:
                    observed.setdefault(_option(attempt), _observed(attempt))
            if observed:
                yield observed


def _option(attempt: Mapping[str, Any]) -> str:
    model = str(attempt["model"])
    effort = str(attempt["effort"]) if model else ""
    return option_name(str(attempt["operation"]), str(attempt["agent"]), model, effort)


def _observed(attempt: Mapping[str, Any]) -> Observed:
    usd = float(attempt["usage"]["cost_usd"])
    return Observed(attempt["outcome"] == AttemptOutcome.VERIFIED, usd)
