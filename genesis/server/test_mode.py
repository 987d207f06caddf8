"""The agent of `genesis serve --a2a-test-mode`: it does what a message's id asks it to.

The A2A conformance kit drives a server by prefixes of the `messageId`: each stands for a course of
events that it then looks for. Off unless asked for: it does no work, and it believes everybody.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Final, TypeAlias

from infrastructure.a2a.agent import AgentCard, Skill
from infrastructure.a2a.types import (
    AgentEvent,
    Artifact,
    ArtifactUpdate,
    Message,
    Part,
    StatusUpdate,
    TaskState,
)

CARD: Final = AgentCard(
    "a2a-test-mode",
    "Does what the conformance kit's message ids ask for; it is of no other use.",
    (Skill("conformance", "Answers messages by the prefix of their id.", ("testing",)),),
    max_concurrency=64,
)

# A kit that names another media type in a part looks for its refusal.
INPUT_MODES: Final = ("text/plain", "application/json", "application/octet-stream")
# Hosts of the kit's own webhook receiver.
PUSH_HOSTS: Final = ("localhost", "127.0.0.1")

_WORK_S: Final = 2.0
_HOLD_S: Final = 4.0

_Events: TypeAlias = AsyncGenerator[AgentEvent]
_Course: TypeAlias = Callable[[Message], _Events]


class TestModeAgent:
    """Plays the course of events that a message's id begins with."""

    __test__ = False  # no test itself, whatever its name

    @property
    def card(self) -> AgentCard:
        """Name and its one skill."""
        return CARD

    async def send(self, message: Message) -> _Events:
        """The course of events; a message of an unknown id completes the task."""
        for prefix, course in _COURSES:
            if message.message_id.startswith(prefix):
                async for event in course(message):
                    yield event
                return
        async for event in _completes(f"no course of events begins {message.message_id!r:.100}")(
            message
        ):
            yield event

    async def cancel(self, task_id: str) -> None:
        """Nothing is left to stop: closing the stream does."""


def _state(message: Message, state: TaskState, said: str = "") -> StatusUpdate:
    words = Message(f"{message.message_id}-said", "agent", (Part(text=said),)) if said else None
    return StatusUpdate(message.task_id, message.context_id, state, words)


def _part(message: Message, part: Part, *, append: bool = False, last: bool = True) -> AgentEvent:
    artifact = Artifact("output", (part,), "output")
    return ArtifactUpdate(message.task_id, message.context_id, artifact, append, last)


def _completes(said: str = "") -> _Course:
    async def course(message: Message) -> _Events:
        yield _state(message, TaskState.COMPLETED, said)

    return course


def _stops_at(state: TaskState, said: str) -> _Course:
    async def course(message: Message) -> _Events:
        yield _state(message, state, said)

    return course


def _works(seconds: float, said: str = "") -> _Course:
    async def course(message: Message) -> _Events:
        yield _state(message, TaskState.WORKING)
        await asyncio.sleep(seconds)
        yield _state(message, TaskState.COMPLETED, said)

    return course


def _makes(part: Part, *, streamed: bool = False) -> _Course:
    async def course(message: Message) -> _Events:
        if streamed:
            yield _state(message, TaskState.WORKING)
        yield _part(message, part)
        yield _state(message, TaskState.COMPLETED)

    return course


async def _in_chunks(message: Message) -> _Events:
    yield _state(message, TaskState.WORKING)
    yield _part(message, Part(text="chunk-1 "), last=False)
    yield _part(message, Part(text="chunk-2"), append=True)
    yield _state(message, TaskState.COMPLETED)


async def _answers(message: Message) -> _Events:
    said = (Part(text="Direct message response"),)
    yield Message(f"{message.message_id}-answer", "agent", said, message.context_id)


_FILE: Final = Part(raw=b"tck", media_type="text/plain", filename="output.txt")
_FILE_URL: Final = Part(
    url="https://example.com/output.txt", media_type="text/plain", filename="output.txt"
)

# The first prefix that fits is taken: longer ones stand before those that they begin with.
_COURSES: Final[tuple[tuple[str, _Course], ...]] = (
    ("tck-complete-task", _completes("Hello from TCK")),
    ("tck-delayed-complete", _works(_WORK_S, "Done after delay")),
    ("test-resubscribe-message-id", _works(_HOLD_S)),
    ("tck-artifact-text", _makes(Part(text="Generated text content"))),
    ("tck-artifact-file-url", _makes(_FILE_URL)),
    ("tck-artifact-file", _makes(_FILE)),
    ("tck-artifact-data", _makes(Part(data={"key": "value", "count": 42}))),
    ("tck-message-response", _answers),
    ("tck-input-required", _stops_at(TaskState.INPUT_REQUIRED, "Please say more")),
    ("tck-auth-required", _stops_at(TaskState.AUTH_REQUIRED, "Please authorize this")),
    ("tck-reject-task", _stops_at(TaskState.REJECTED, "rejected")),
    ("tck-stream-artifact-chunked", _in_chunks),
    ("tck-stream-artifact-text", _makes(Part(text="Streamed text content"), streamed=True)),
    ("tck-stream-artifact-file", _makes(_FILE, streamed=True)),
    ("tck-stream-ordering-001", _makes(Part(text="Ordered output"), streamed=True)),
    ("tck-stream-001", _makes(Part(text="Stream hello from TCK"), streamed=True)),
    ("tck-stream-002", _completes()),
    ("tck-stream-003", _makes(Part(text="Stream task lifecycle"), streamed=True)),
)
