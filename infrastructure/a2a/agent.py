"""What every agent is, local or remote: a card that says what it can do, and a way to ask it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from infrastructure.a2a.types import AgentEvent, Message


@dataclass(frozen=True, slots=True)
class Skill:
    """One operation that an agent offers.

    Attributes:
        id: name of the operation, unique within the agent ("profile_data").
        description: one sentence, read by planners and people.
        task_types: task types it serves; empty means any.
        requires: named data it needs.
        produces: named data it makes; empty means that its text answers whatever is asked for.
        cost_usd: expected money of one call without a model's tokens, US dollars.
        seconds: expected duration of one call, seconds.
        needs_model: whether it calls a chat model, whose tokens are priced on top.
    """

    id: str
    description: str
    task_types: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    produces: tuple[str, ...] = ()
    cost_usd: float = 0.0
    seconds: float = 1.0
    needs_model: bool = False


@dataclass(frozen=True, slots=True)
class AgentCard:
    """Who an agent is. `url` is empty for an agent in this process."""

    name: str
    description: str
    skills: tuple[Skill, ...]
    version: str = "1.0.0"
    url: str = ""
    max_concurrency: int = 4


class Agent(Protocol):
    """An agent with A2A's task semantics."""

    @property
    def card(self) -> AgentCard:
        """Name and skills; the same object for the agent's whole life."""
        ...

    def send(self, message: Message) -> AsyncIterator[AgentEvent]:
        """Ask the agent and follow its events.

        Yields either one `Message` and nothing else, or status and artifact updates that end with
        a terminal (or input-required) state. Closing the iterator early cancels the work.

        Raises:
            AgentUnavailable: the agent cannot be reached.
            AgentError: what it sent does not keep to the protocol.
        """
        ...

    async def cancel(self, task_id: str) -> None:
        """Stop a task; unknown or finished tasks are ignored."""
        ...
