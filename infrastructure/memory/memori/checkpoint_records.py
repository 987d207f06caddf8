"""What the store keeps of LangGraph's checkpoints, as plain records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from infrastructure.jsonvalue import JsonObject, JsonValue
from infrastructure.memory.memori.checkpoint_bodies import Body, Typed

Versioned: TypeAlias = tuple[str, str]
"""A channel and the version of its value."""


After: TypeAlias = tuple[str, str, str]
"""A place in a listing: a checkpoint's id, thread and namespace."""


class Place(NamedTuple):
    """Where checkpoints of one graph are: a thread, and the namespace of a graph within it."""

    thread_id: str
    ns: str


@dataclass(frozen=True, slots=True)
class Write:
    """A pending write of a task.

    Fields:
        idx: its number among the task's writes; below 0 for those that replace what is there.
    """

    idx: int
    channel: str
    body: Body


@dataclass(frozen=True, slots=True)
class NewCheckpoint:
    """A checkpoint to be stored.

    Fields:
        parent_id: empty for none.
        run_id: of the run that made it; empty when not known.
        head: all of it that is JSON.
        extra: the rest, serialised; None for none.
        values: of the channels that changed, by channel and version.
    """

    place: Place
    checkpoint_id: str
    parent_id: str
    run_id: str
    metadata: str
    head: bytes
    extra: Typed | None
    values: Mapping[Versioned, Body]


@dataclass(frozen=True, slots=True)
class Head:
    """A stored checkpoint without its channels' values."""

    place: Place
    checkpoint_id: str
    parent_id: str
    metadata: JsonObject
    head: dict[str, JsonValue]
    extra: Typed | None

    @property
    def versions(self) -> dict[str, str]:
        """The version of each channel, as text."""
        found = self.head.get("channel_versions")
        return (
            {name: str(version) for name, version in found.items()}
            if isinstance(found, Mapping)
            else {}
        )


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored checkpoint with its channels' values, and the writes that wait on it."""

    head: Head
    values: dict[str, Typed]
    writes: list[tuple[str, str, Typed]] = field(default_factory=list[tuple[str, str, Typed]])


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which checkpoints to list.

    Fields:
        thread_id, ns, checkpoint_id: None for any.
        metadata: values that its fields must equal.
        before: only checkpoints with a smaller id.
    """

    thread_id: str | None = None
    ns: str | None = None
    checkpoint_id: str | None = None
    metadata: JsonObject = field(default_factory=dict[str, JsonValue])
    before: str | None = None
