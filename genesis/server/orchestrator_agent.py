"""The orchestrator as an A2A agent: a message becomes a run, the task's id is the run's.

The run is in the store before anybody is told of its task. Its events are told while it goes on; a
run that waits for a person makes the task ask for input, and the next message of the task decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Final, Protocol, cast

from genesis.errors import GenesisError, InputError, Overloaded, UnknownRun
from genesis.orchestrator import GenesisOrchestrator
from genesis.result import ApprovalReport, OrchestrationResult
from genesis.server.decision_words import Said, read_decision
from genesis.server.received_files import Received, forget_received
from genesis.server.run_artifacts import result_artifact
from genesis.server.run_progress import told
from genesis.tasks.task import COMPOSITE
from infrastructure.a2a.agent import AgentCard, Skill
from infrastructure.a2a.serving import ServedAgent
from infrastructure.a2a.serving_callers import ANONYMOUS
from infrastructure.a2a.task_ids import begins
from infrastructure.a2a.types import (
    EXTENSION,
    AgentEvent,
    ArtifactUpdate,
    Message,
    Part,
    StatusUpdate,
    TaskState,
)
from infrastructure.callers import Caller
from infrastructure.jsonvalue import JsonObject, JsonValue

_POLL_S: Final = 0.25
_MAX_TOLD: Final = 200
_OPTIONS: Final = ("budget_usd", "timeout_s", "approve")
_STATES: Final = {
    "completed": TaskState.COMPLETED,
    "failed": TaskState.FAILED,
    "canceled": TaskState.CANCELED,
}


class Works(Protocol):
    """Who works runs in this process; `genesis.server.worker.RunWorker` does."""

    def of(self, tenant: str) -> GenesisOrchestrator:
        """The orchestrator of one tenant."""
        ...

    def full(self, tenant: str) -> bool:
        """Whether as many runs wait for their turn as may."""
        ...

    def start(self, tenant: str, run_id: str) -> None:
        """Take a run to its end; one that is under way is left as it is."""
        ...

    async def wait(self, tenant: str, run_id: str, seconds: float) -> None:
        """Wait until it rests, or the seconds are over."""
        ...


def orchestrator_card(orchestrator: GenesisOrchestrator, version: str) -> AgentCard:
    """What the orchestrator can do: a skill for each task type that its agents serve."""
    served: dict[str, list[str]] = {}
    for card in orchestrator.services.registry.cards:
        for skill in card.skills:
            for task_type in skill.task_types or ("general",):
                if task_type == COMPOSITE:  # a part of a plan, not what people ask for
                    continue
                served.setdefault(task_type, []).append(skill.description)
    skills = [
        Skill(task_type, " ".join(dict.fromkeys(descriptions))[:1_000], (task_type,))
        for task_type, descriptions in sorted(served.items())
    ]
    return AgentCard(
        "genesis",
        "Takes a request in plain English; plans, routes, executes and checks it, and learns.",
        tuple(skills) or (Skill("general", "Anything that its agents can do.", ("general",)),),
        version,
        max_concurrency=orchestrator.settings.max_concurrent_runs,
    )


def served_orchestrator(works: Works, version: str) -> ServedAgent:
    """The orchestrator, ready for `infrastructure.a2a.serving.A2AServer`.

    Args:
        works: works the runs, and knows each tenant's orchestrator.
        version: for the card.
    """
    card = orchestrator_card(works.of(ANONYMOUS.tenant), version)

    def agent_for(caller: Caller) -> OrchestratorAgent:
        return OrchestratorAgent(works, caller, card)

    return ServedAgent(agent_for(ANONYMOUS), agent_for, durable=True)


class OrchestratorAgent:
    """The orchestrator as one caller sees it.

    Args:
        works: works the runs.
        caller: who asks; its tenant's memory and runs are used.
        card: see `orchestrator_card`.
    """

    def __init__(self, works: Works, caller: Caller, card: AgentCard) -> None:
        self._works = works
        self._caller = caller
        self._card = card

    @property
    def card(self) -> AgentCard:
        """Name and skills."""
        return self._card

    @property
    def _orchestrator(self) -> GenesisOrchestrator:
        return self._works.of(self._caller.tenant)

    async def send(self, message: Message) -> AsyncGenerator[AgentEvent]:
        """Accept a run, or decide what one waits for, and tell what comes of it.

        Sending a message again, after a restart too, goes on with its run. Closing the iterator
        stops the telling, not the run.
        """
        run_id = message.task_id
        since = self._orchestrator.services.clock.now()
        try:
            waiting = await self._begin(run_id, message)
        except (InputError, Overloaded) as error:
            yield _status(TaskState.REJECTED, str(error), retryable=isinstance(error, Overloaded))
            return
        except GenesisError as error:
            yield _status(TaskState.FAILED, str(error), retryable=True)
            return
        if waiting is not None:
            yield waiting
            return
        yield StatusUpdate("", "", TaskState.WORKING)
        async with aclosing(self._follow(run_id, since)) as updates:
            async for update in updates:
                yield update
        result = await self._orchestrator.run(run_id)
        for event in await asyncio.to_thread(_end, result, self._orchestrator.settings.data_dir):
            yield event
        if result.state != "waiting":
            await asyncio.to_thread(forget_received, self._orchestrator.settings.workspace, run_id)

    async def cancel(self, task_id: str) -> None:
        """End the run for good."""
        try:
            await self._orchestrator.cancel(task_id, f"cancelled over A2A by {self._caller.name}")
        except UnknownRun:
            return  # it was never accepted

    async def _begin(self, run_id: str, message: Message) -> StatusUpdate | None:
        """Accept or go on with the run; returns what it waits for when that was not decided."""
        try:
            known = await self._orchestrator.run(run_id)
        except UnknownRun:
            if self._works.full(self._caller.tenant):
                raise Overloaded("too many runs wait for their turn; ask later") from None
            await self._accept(run_id, message)
        else:
            first = begins(message.message_id, self._caller, run_id)
            if known.state == "waiting" and first:
                return _question(known.approvals)
            if known.state == "waiting":
                said = read_decision(message, known.approvals)
                if isinstance(said, str):
                    return _question(known.approvals, said)
                await self._decide(said)
        self._works.start(self._caller.tenant, run_id)
        return None

    async def _accept(self, run_id: str, message: Message) -> None:
        options = _options(message)
        workspace = self._orchestrator.settings.workspace
        received = await asyncio.to_thread(Received.of, message, workspace, run_id)
        try:
            await self._orchestrator.accept(
                received.request,
                message.context_id or None,
                budget_usd=cast("float | None", options.get("budget_usd")),
                timeout_s=cast("float | None", options.get("timeout_s")),
                context=received.given,
                approve=cast("Sequence[str]", options.get("approve") or ()),
                run_id=run_id,
                remote=True,
            )
        except GenesisError:
            await asyncio.to_thread(forget_received, workspace, run_id)
            raise

    async def _decide(self, said: Said) -> None:
        await self._orchestrator.approve(
            said.run_id,
            said.verb,
            approval_id=said.approval_id,
            edit=said.edit,
            comment=said.comment,
            by=self._caller.name,
        )

    async def _follow(self, run_id: str, since: float) -> AsyncGenerator[StatusUpdate]:
        """What happens in the run from now on, until it is over or waits."""
        left = _MAX_TOLD
        seen = 0
        while True:
            async with aclosing(self._orchestrator.follow(run_id, after=seen)) as entries:
                async for entry in entries:
                    seen = entry.seq or seen
                    at = entry.event.get("at")
                    new = isinstance(at, int | float) and at >= since
                    update = told(entry.event) if new and left else None
                    if update is not None:
                        left -= 1
                        yield update
            result = await self._orchestrator.run(run_id)
            if result.state not in ("running", "interrupted"):
                return
            # Decided a moment ago, or left by whoever worked on it.
            self._works.start(self._caller.tenant, run_id)
            await self._works.wait(self._caller.tenant, run_id, _POLL_S)
            await asyncio.sleep(0 if result.state == "running" else _POLL_S)


def _options(message: Message) -> JsonObject:
    """What the message's metadata asks for under our extension's name."""
    ours = message.metadata.get(EXTENSION)
    if not isinstance(ours, Mapping):
        return {}
    options: dict[str, JsonValue] = {name: ours[name] for name in _OPTIONS if name in ours}
    for name in ("budget_usd", "timeout_s"):
        value = options.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise InputError(f"{name} must be a number, not {value!r:.80}")
    approve = options.get("approve")
    if approve is not None and not (
        isinstance(approve, list) and all(isinstance(text, str) for text in approve)
    ):
        raise InputError("approve must be a list of texts such as 'plan' or 'cost:0.50'")
    return options


def _end(result: OrchestrationResult, data_dir: Path) -> list[AgentEvent]:
    """The run's results and how it ended. Reads files: call it in a thread."""
    if result.state == "waiting":
        return [_question(result.approvals)]
    if result.state not in _STATES:
        return []  # this process ends, and the next one goes on with the run
    events: list[AgentEvent] = []
    if result.output or result.artifacts:
        events.append(ArtifactUpdate("", "", result_artifact(result, data_dir)))
    reasons = "" if result.success else "; ".join(result.errors)
    events.append(_status(_STATES[result.state], reasons))
    return events


def _question(approvals: Sequence[ApprovalReport], problem: str = "") -> StatusUpdate:
    """Asks a person: in words, and as data for programs."""
    lines = [problem] if problem else []
    for approval in approvals:
        how = "answer in words" if approval.kind == "input" else "answer 'approve' or 'reject'"
        lines.append(f"{approval.question} ({how})")
    data: JsonObject = {"approvals": [approval.model_dump(mode="json") for approval in approvals]}
    said = Message("question", "agent", (Part(text="\n".join(lines)), Part(data=data)))
    return StatusUpdate("", "", TaskState.INPUT_REQUIRED, said)


def _status(state: TaskState, text: str = "", *, retryable: bool | None = None) -> StatusUpdate:
    said = Message("status", "agent", (Part(text=text),)) if text else None
    ours: JsonObject = {} if retryable is None else {EXTENSION: {"retryable": retryable}}
    return StatusUpdate("", "", state, said, ours)
