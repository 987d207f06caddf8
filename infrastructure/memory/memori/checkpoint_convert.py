"""LangGraph's configs, checkpoints and tuples, to and from what the store keeps of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    get_serializable_checkpoint_metadata,
)
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from infrastructure.errors import InputError
from infrastructure.memory.memori.checkpoint_bodies import Typed
from infrastructure.memory.memori.checkpoint_history import ChannelHistory
from infrastructure.memory.memori.checkpoint_records import Place, Stored, Versioned, Wanted
from infrastructure.memory.memori.checkpoint_rows import packed_head
from infrastructure.memory.memori.values import check_text, decode, encode

log = logging.getLogger(__name__)

# In bytes; together they fit into an index row of PostgreSQL.
_MAX_THREAD: Final = 400
_MAX_NAMESPACE: Final = 1_200
_MAX_CHANNEL: Final = 400
_MAX_ID: Final = 100

_HEAD: Final = ("v", "id", "ts", "channel_versions", "versions_seen", "updated_channels")


@dataclass(frozen=True, slots=True)
class Serialised:
    """A checkpoint as it is to be stored, its values still as they were serialised.

    Fields:
        head: packed; see `NewCheckpoint` for the others.
    """

    place: Place
    checkpoint_id: str
    parent_id: str
    run_id: str
    metadata: str
    head: bytes
    extra: Typed | None
    values: dict[Versioned, Typed]


def strict(serde: SerializerProtocol | None) -> SerializerProtocol:
    """The serialiser itself, or LangGraph's in its strict mode for None.

    Raises:
        InputError: it falls back to pickle, which runs whatever code the database holds.
    """
    if serde is None:
        return _strict_default()
    inner = getattr(serde, "serde", None)
    if getattr(serde, "pickle_fallback", False) or getattr(inner, "pickle_fallback", False):
        raise InputError(
            "the serialiser falls back to pickle, which runs code that it reads from the "
            "database; make it with pickle_fallback=False, and keep plain values, dataclasses or "
            "pydantic models in the graph's state"
        )
    return serde


def _strict_default() -> SerializerProtocol:
    permissive = JsonPlusSerializer()
    # In the permissive mode every type is allowed already, so that nothing is added.
    if permissive.with_msgpack_allowlist([("genesis", "Probe")]) is permissive:
        log.warning(
            "LangGraph was imported before Genesis and without LANGGRAPH_STRICT_MSGPACK=true, so "
            "graphs do not tell their savers which types their state has: dataclasses and models "
            "come back as plain dicts; import genesis first, or set it in the environment"
        )
    return JsonPlusSerializer(pickle_fallback=False, allowed_msgpack_modules=None)


def place_of(config: RunnableConfig) -> Place:
    """The thread and the namespace that a config names.

    Raises:
        InputError: no thread, or a name that cannot be stored.
    """
    given = configurable(config)
    if given.get("thread_id") is None:
        raise InputError("a checkpointer needs config['configurable']['thread_id']")
    return Place(
        thread_id(given["thread_id"]),
        _name(given.get("checkpoint_ns") or "", "checkpoint_ns", _MAX_NAMESPACE),
    )


def thread_id(given: object) -> str:
    """A thread's id as text, whatever type its user gave it."""
    return _name(str(given), "thread_id", _MAX_THREAD)


def checkpoint_id(config: RunnableConfig | None) -> str | None:
    """The checkpoint that a config names, if it does."""
    given = configurable(config).get("checkpoint_id")
    return _name(str(given), "checkpoint_id", _MAX_ID) if given else None


def configurable(config: RunnableConfig | None) -> dict[str, Any]:
    """The part of a config that is the checkpointer's."""
    return (config or {}).get("configurable", {})


def config_of(place: Place, checkpoint_id: str, thread_id: object = None) -> RunnableConfig:
    """The config that names a checkpoint; the thread's id as its user gave it, where given."""
    return {
        "configurable": {
            "thread_id": place.thread_id if thread_id is None else thread_id,
            "checkpoint_ns": place.ns,
            "checkpoint_id": checkpoint_id,
        }
    }


def task(task_id: str, task_path: str) -> tuple[str, str]:
    """A task's id and path, checked."""
    return _name(task_id, "task_id", _MAX_ID), check_text(task_path, "task_path")


def wanted_of(
    config: RunnableConfig | None, filter_: Mapping[str, Any] | None, before: RunnableConfig | None
) -> Wanted:
    """Which checkpoints a listing asks for.

    Raises:
        InvalidItem: the filter is not plain JSON.
    """
    given = configurable(config)
    thread, ns = given.get("thread_id"), given.get("checkpoint_ns")
    return Wanted(
        thread_id=None if thread is None else thread_id(thread),
        ns=None if ns is None else _name(ns, "checkpoint_ns", _MAX_NAMESPACE),
        checkpoint_id=checkpoint_id(config),
        metadata=decode(encode(_listed(dict(filter_ or {})), "filter")),
        before=checkpoint_id(before),
    )


def serialised(
    serde: SerializerProtocol,
    config: RunnableConfig,
    checkpoint: Checkpoint,
    metadata: CheckpointMetadata,
    new_versions: ChannelVersions,
) -> Serialised:
    """A checkpoint made ready to be stored, so that later changes of the state change nothing.

    Raises:
        InputError: a name or the metadata cannot be stored.
        Exception: whatever the serialiser raises for what it cannot serialise.
    """
    values, versions = checkpoint["channel_values"], checkpoint["channel_versions"]
    fields = cast("dict[str, Any]", get_serializable_checkpoint_metadata(config, metadata))
    # What has no version is stored with the checkpoint itself.
    unversioned = {name: value for name, value in values.items() if name not in versions}
    extra = {
        name: value
        for name, value in checkpoint.items()
        if name not in _HEAD and name != "channel_values" and value != []
    }
    if unversioned:
        extra["channel_values"] = unversioned
    return Serialised(
        place=place_of(config),
        checkpoint_id=_name(checkpoint["id"], "a checkpoint's id", _MAX_ID),
        parent_id=checkpoint_id(config) or "",
        run_id=str(fields.get("run_id") or ""),
        metadata=encode(_listed(fields), "a checkpoint's metadata"),
        head=packed_head({name: value for name, value in checkpoint.items() if name in _HEAD}),
        extra=Typed(*serde.dumps_typed(extra)) if extra else None,
        values={
            _version_of(channel, version): Typed(*serde.dumps_typed(values[channel]))
            for channel, version in new_versions.items()
            if channel in values
        },
    )


def numbered(
    serde: SerializerProtocol, writes: Sequence[tuple[str, Any]]
) -> list[tuple[int, str, Typed]]:
    """A task's writes as (index, channel, serialised value)."""
    return [
        (
            WRITES_IDX_MAP.get(channel, number),
            _name(channel, "a channel", _MAX_CHANNEL),
            Typed(*serde.dumps_typed(value)),
        )
        for number, (channel, value) in enumerate(writes)
    ]


def tuple_of(serde: SerializerProtocol, stored: Stored) -> CheckpointTuple:
    """What LangGraph is given of a stored checkpoint."""
    head = stored.head
    extra = cast("dict[str, Any]", _load(serde, head.extra)) if head.extra else {}
    values = {channel: _load(serde, value) for channel, value in stored.values.items()}
    checkpoint = {
        **head.head,
        **extra,
        "channel_values": {**values, **extra.get("channel_values", {})},
    }
    return CheckpointTuple(
        config=config_of(head.place, head.checkpoint_id),
        checkpoint=cast("Checkpoint", checkpoint),
        metadata=cast("CheckpointMetadata", head.metadata),
        parent_config=config_of(head.place, head.parent_id) if head.parent_id else None,
        pending_writes=_loaded(serde, stored.writes),
    )


def history_of(serde: SerializerProtocol, history: ChannelHistory) -> DeltaChannelHistory:
    """What LangGraph is given of a channel's history."""
    found: DeltaChannelHistory = {"writes": _loaded(serde, history.writes)}
    if history.seed is not None:
        found["seed"] = _load(serde, history.seed)
    return found


def _loaded(
    serde: SerializerProtocol, writes: Sequence[tuple[str, str, Typed]]
) -> list[tuple[str, str, Any]]:
    return [(task_id, channel, _load(serde, value)) for task_id, channel, value in writes]


def _load(serde: SerializerProtocol, value: Typed) -> Any:
    return serde.loads_typed((value.type, value.data))


def _version_of(channel: str, version: object) -> Versioned:
    return (
        _name(channel, "a channel", _MAX_CHANNEL),
        _name(str(version), "a channel's version", _MAX_ID),
    )


def _name(given: object, what: str, max_bytes: int) -> str:
    text = check_text(given, what)
    size = len(text.encode())
    if size > max_bytes:
        raise InputError(f"{what} has {size:,} bytes, and at most {max_bytes:,} are stored")
    return text


def _listed(value: Any) -> Any:
    """The value with lists for tuples, as JSON has them."""
    if isinstance(value, Mapping):
        return {key: _listed(child) for key, child in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_listed(child) for child in cast("Sequence[Any]", value)]
    return value
