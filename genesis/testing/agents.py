"""An agent for tests that does what its script says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from genesis.agents.adapters import as_output
from genesis.agents.assignment import Assignment
from genesis.agents.wire import AssignedMessage, local_artifact
from genesis.tasks.task import TaskOutput
from infrastructure.a2a.agent import AgentCard, Skill
from infrastructure.a2a.types import (
    AgentEvent,
    ArtifactUpdate,
    Message,
    Part,
    StatusUpdate,
    TaskState,
)


@dataclass(frozen=True, slots=True)
class Fail:
    """The agent ends its task as failed, for this reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Hang:
    """The agent works for ever, until it is cancelled."""


@dataclass(frozen=True, slots=True)
class Ask:
    """The agent asks this and waits; the answer is the next call, under the same task id."""

    question: str


FakeOutcome: TypeAlias = TaskOutput | str | Mapping[str, Any] | Fail | Hang | Ask | Exception

_UNDER_WAY = frozenset({TaskState.SUBMITTED, TaskState.WORKING})


class FakeAgent:
    """An agent that does what its script says, call by call; the last entry repeats.

    Args:
        name: its name.
        outcomes: what each call comes to: an output, a text, named data, `Fail`, `Hang`, `Ask`,
            or an exception to raise (`AgentUnavailable` for one that cannot be reached).
        skills: defaults to one skill of the agent's name that answers anything.
        max_concurrency: calls at once.

    Attributes:
        messages: what it was sent, in order.
        started: set when its first call begins.
        ended: set when its first call ends, however it ends.
        canceled: calls that were cancelled before their end.
        active: calls under way.
        most_active: the highest `active` has been.
    """

    def __init__(
        self,
        name: str,
        *outcomes: FakeOutcome,
        skills: Iterable[Skill] = (),
        max_concurrency: int = 4,
    ) -> None:
        self._script = outcomes or ("done",)
        listed = tuple(skills) or (Skill(name, f"Fakes {name}."),)
        self.card = AgentCard(name, f"Fakes {name}.", listed, max_concurrency=max_concurrency)
        self.messages: list[Message] = []
        self.started = asyncio.Event()
        self.ended = asyncio.Event()
        self.canceled = 0
        self.active = 0
        self.most_active = 0

    @property
    def calls(self) -> int:
        """How often it was asked."""
        return len(self.messages)

    @property
    def assignments(self) -> list[Assignment]:
        """What it was asked to do, in order."""
        return [m.assignment for m in self.messages if isinstance(m, AssignedMessage)]

    async def send(self, message: Message) -> AsyncGenerator[AgentEvent]:
        """Do what the script says."""
        outcome = self._script[min(self.calls, len(self._script) - 1)]
        self.messages.append(message)
        self.started.set()
        self.active += 1
        self.most_active = max(self.most_active, self.active)
        ended = False
        try:
            async for event in self._events(message, outcome):
                ended = isinstance(event, StatusUpdate) and event.state not in _UNDER_WAY
                yield event
        except Exception:
            ended = True
            raise
        finally:
            self.active -= 1
            self.canceled += not ended
            self.ended.set()

    async def cancel(self, task_id: str) -> None:
        """Nothing to do: closing the stream of `send` cancels."""

    async def _events(self, message: Message, outcome: FakeOutcome) -> AsyncGenerator[AgentEvent]:
        task_id, context_id = message.task_id or message.message_id, message.context_id
        if isinstance(outcome, Exception):
            raise outcome
        yield StatusUpdate(task_id, context_id, TaskState.WORKING)
        # A real agent lets others run before it answers.
        await asyncio.sleep(0)
        if isinstance(outcome, Hang):
            await asyncio.Event().wait()
        elif isinstance(outcome, Fail):
            said = Message(f"{task_id}:failed", "agent", (Part(text=outcome.reason),))
            yield StatusUpdate(task_id, context_id, TaskState.FAILED, said)
        elif isinstance(outcome, Ask):
            asks = Message(f"{task_id}:asks", "agent", (Part(text=outcome.question),))
            yield StatusUpdate(task_id, context_id, TaskState.INPUT_REQUIRED, asks)
        else:
            output = self._output(message, outcome)
            yield ArtifactUpdate(task_id, context_id, local_artifact(task_id, output))
            yield StatusUpdate(task_id, context_id, TaskState.COMPLETED)

    def _output(
        self, message: Message, outcome: TaskOutput | str | Mapping[str, Any]
    ) -> TaskOutput:
        if isinstance(message, AssignedMessage):
            return as_output(outcome, message.assignment.task)
        if isinstance(outcome, TaskOutput):
            return outcome
        return TaskOutput(outcome) if isinstance(outcome, str) else TaskOutput(data=dict(outcome))
