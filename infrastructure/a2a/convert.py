"""Our messages, artifacts and states to and from a2a-sdk's protobuf types."""

from __future__ import annotations

from collections.abc import Iterable

from a2a.types import a2a_pb2 as pb
from google.protobuf.struct_pb2 import Struct

from infrastructure.a2a.structs import from_struct, from_value, to_struct, to_value
from infrastructure.a2a.types import (
    AgentEvent,
    Artifact,
    ArtifactUpdate,
    Message,
    Part,
    StatusUpdate,
    TaskState,
)
from infrastructure.errors import AgentMisbehaved

_STATES = {state: f"TASK_STATE_{state.name}" for state in TaskState}
_STATE_OF = {pb.TaskState.Value(name): state for state, name in _STATES.items()}


def message_to_wire(message: Message) -> pb.Message:
    """A message of ours as the SDK's.

    Raises:
        AgentError: its data cannot cross the wire.
    """
    return pb.Message(
        message_id=message.message_id,
        context_id=message.context_id,
        task_id=message.task_id,
        role=pb.ROLE_AGENT if message.role == "agent" else pb.ROLE_USER,
        parts=[_part_to_wire(part) for part in message.parts],
        metadata=to_struct(message.metadata),
    )


def message_from_wire(message: pb.Message) -> Message:
    """The SDK's message as ours."""
    return Message(
        message.message_id,
        "agent" if message.role == pb.ROLE_AGENT else "user",
        _parts(message.parts),
        message.context_id,
        message.task_id,
        from_struct(message.metadata),
    )


def status_to_wire(update: StatusUpdate) -> pb.TaskStatusUpdateEvent:
    """A status update of ours as the SDK's."""
    status = pb.TaskStatus(state=_STATES[update.state])
    if update.message is not None:
        status.message.CopyFrom(message_to_wire(update.message))
    status.timestamp.GetCurrentTime()
    return pb.TaskStatusUpdateEvent(
        task_id=update.task_id,
        context_id=update.context_id,
        status=status,
        metadata=to_struct(update.metadata),
    )


def artifact_to_wire(update: ArtifactUpdate) -> pb.TaskArtifactUpdateEvent:
    """An artifact update of ours as the SDK's."""
    artifact = pb.Artifact(
        artifact_id=update.artifact.artifact_id,
        name=update.artifact.name,
        description=update.artifact.description,
        parts=[_part_to_wire(part) for part in update.artifact.parts],
        metadata=to_struct(update.artifact.metadata),
    )
    return pb.TaskArtifactUpdateEvent(
        task_id=update.task_id,
        context_id=update.context_id,
        artifact=artifact,
        append=update.append,
        last_chunk=update.last_chunk,
    )


def events_from_wire(response: pb.StreamResponse) -> list[AgentEvent]:
    """One item of a stream as our events.

    Raises:
        AgentMisbehaved: it is empty, or its task is in no known state.
    """
    match response.WhichOneof("payload"):
        case "message":
            return [message_from_wire(response.message)]
        case "task":
            return task_events(response.task)
        case "status_update":
            update = response.status_update
            return [_status(update.task_id, update.context_id, update.status, update.metadata)]
        case "artifact_update":
            changed = response.artifact_update
            artifact = _artifact(changed.artifact)
            return [
                ArtifactUpdate(
                    changed.task_id,
                    changed.context_id,
                    artifact,
                    changed.append,
                    changed.last_chunk,
                )
            ]
        case _:
            raise AgentMisbehaved("the agent sent an empty event")


def task_events(task: pb.Task) -> list[AgentEvent]:
    """A whole task as the events that lead to it: its artifacts, then its state."""
    events: list[AgentEvent] = [
        ArtifactUpdate(task.id, task.context_id, _artifact(artifact)) for artifact in task.artifacts
    ]
    return [*events, _status(task.id, task.context_id, task.status, task.metadata)]


def _part_to_wire(part: Part) -> pb.Part:
    wire = pb.Part(media_type=part.media_type, filename=part.filename)
    if part.text is not None:
        wire.text = part.text
    elif part.raw is not None:
        wire.raw = part.raw
    elif part.url is not None:
        wire.url = part.url
    else:
        wire.data.CopyFrom(to_value(part.data))
    return wire


def _parts(wire: Iterable[pb.Part]) -> tuple[Part, ...]:
    return tuple(_part(part) for part in wire)


def _part(wire: pb.Part) -> Part:
    kind = wire.WhichOneof("content")
    return Part(
        text=wire.text if kind in ("text", None) else None,
        data=from_value(wire.data) if kind == "data" else None,
        raw=wire.raw if kind == "raw" else None,
        url=wire.url if kind == "url" else None,
        media_type=wire.media_type,
        filename=wire.filename,
    )


def _artifact(wire: pb.Artifact) -> Artifact:
    return Artifact(
        wire.artifact_id,
        _parts(wire.parts),
        wire.name,
        wire.description,
        from_struct(wire.metadata),
    )


def _status(task_id: str, context_id: str, status: pb.TaskStatus, metadata: Struct) -> StatusUpdate:
    state = _STATE_OF.get(status.state)
    if state is None:
        raise AgentMisbehaved(f"the agent reports an unknown task state ({status.state})")
    message = message_from_wire(status.message) if status.HasField("message") else None
    return StatusUpdate(task_id, context_id, state, message, from_struct(metadata))
