"""A2A 1.0's messages, artifacts and task states as frozen dataclasses.

Local and remote agents speak these; `convert.py` turns them into the SDK's protobuf types where a
wire is crossed, so that a local call costs no serialisation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from infrastructure.jsonvalue import JsonObject, JsonValue

EXTENSION = "urn:genesis:a2a:1"
"""The A2A extension of our metadata: skills on cards, usage and errors on answers."""


class TaskState(StrEnum):
    """The states of an A2A task; the values are the protocol's short names."""

    SUBMITTED = "submitted"
    WORKING = "working"
    INPUT_REQUIRED = "input-required"
    AUTH_REQUIRED = "auth-required"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"
    REJECTED = "rejected"

    @property
    def terminal(self) -> bool:
        """Whether no further event may follow."""
        return self in _TERMINAL


_TERMINAL = frozenset(
    {TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELED, TaskState.REJECTED}
)


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of content; exactly one of `text`, `data`, `raw` and `url` is set.

    Attributes:
        text: plain text.
        data: any JSON value.
        raw: a file's bytes.
        url: where a file can be fetched.
        media_type: MIME type of `raw` or `url`.
        filename: name of the file, without a folder.
    """

    text: str | None = None
    data: JsonValue = None
    raw: bytes | None = None
    url: str | None = None
    media_type: str = ""
    filename: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn between a client ("user") and an agent.

    `message_id` is the idempotency key: an agent that sees it twice may answer from memory.
    """

    message_id: str
    role: str
    parts: tuple[Part, ...]
    context_id: str = ""
    task_id: str = ""
    metadata: JsonObject = field(default_factory=dict[str, JsonValue])

    @property
    def text(self) -> str:
        """All text parts, joined by line breaks."""
        return "\n".join(part.text for part in self.parts if part.text is not None)


@dataclass(frozen=True, slots=True)
class Artifact:
    """A result of a task."""

    artifact_id: str
    parts: tuple[Part, ...]
    name: str = ""
    description: str = ""
    metadata: JsonObject = field(default_factory=dict[str, JsonValue])


@dataclass(frozen=True, slots=True)
class StatusUpdate:
    """The task moved to a state; `message` says more, and the cause when it failed."""

    task_id: str
    context_id: str
    state: TaskState
    message: Message | None = None
    metadata: JsonObject = field(default_factory=dict[str, JsonValue])


@dataclass(frozen=True, slots=True)
class ArtifactUpdate:
    """A result, whole or in chunks (`append` to the artifact of the same id)."""

    task_id: str
    context_id: str
    artifact: Artifact
    append: bool = False
    last_chunk: bool = True


AgentEvent: TypeAlias = Message | StatusUpdate | ArtifactUpdate
