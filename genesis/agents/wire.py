"""Assignments and outputs as A2A messages and artifacts, for agents here and elsewhere.

An agent in this process gets the `Assignment` itself beside the message's parts; nothing is
serialised. One elsewhere gets what means something there: its inputs as JSON and the files that
they name as bytes, never a path of this machine.
"""

from __future__ import annotations

import math
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from urllib.parse import unquote, urlsplit

from genesis.agents.assignment import Assignment
from genesis.errors import AgentError
from genesis.tasks.task import Task, TaskOutput, Usage
from infrastructure.a2a.types import EXTENSION, Artifact, Message, Part
from infrastructure.jsonvalue import JsonObject, JsonValue

MAX_FILE_BYTES = 4 * 1024 * 1024
MAX_FILES_BYTES = 16 * 1024 * 1024
# No single answer costs more; whoever says so counts in something else than dollars.
MAX_COST_USD = 10_000.0
_MAX_TOKENS = 1e12
_MAX_NAME = 100
_MAX_DEPTH = 100


@dataclass(frozen=True, slots=True)
class AssignedMessage(Message):
    """A message to an agent in this process, with the assignment that it was made from."""

    assignment: Assignment = field(kw_only=True)


def local_message(assignment: Assignment, run_id: str) -> AssignedMessage:
    """The message for an agent in this process; its folders are in the assignment only."""
    payload = _payload(assignment, assignment.inputs, {})
    return AssignedMessage(
        assignment.idempotency_key,
        "user",
        (Part(text=assignment.task.description), Part(data=payload)),
        context_id=run_id,
        assignment=assignment,
    )


def remote_message(assignment: Assignment, run_id: str, run_artifacts: Path) -> Message:
    """The message for an agent elsewhere. Reads files: call it in a thread.

    Inputs that name a file inside the workspace or the run's artifacts travel as bytes.

    Args:
        assignment: the attempt.
        run_id: becomes the A2A context.
        run_artifacts: the folder of the run in which agents write files.

    Raises:
        AgentError: an input is a folder, or a file too large to send.
    """
    inputs: dict[str, JsonValue] = {}
    files: dict[str, JsonValue] = {}
    parts: list[Part] = []
    left = MAX_FILES_BYTES
    for name, value in assignment.inputs.items():
        path = _bounded_path(value, (assignment.workspace, run_artifacts))
        if path is None:
            inputs[name] = value
            continue
        part = _file_part(path, f"{len(files)}-{path.name}", min(MAX_FILE_BYTES, left))
        left -= len(part.raw or b"")
        files[name] = part.filename
        parts.append(part)
    payload = _payload(assignment, inputs, files)
    return Message(
        assignment.idempotency_key,
        "user",
        (Part(text=assignment.task.description), Part(data=payload), *parts),
        context_id=run_id,
    )


def read_assignment(message: Message, folder: Path) -> Assignment:
    """An assignment from a message that came over the wire. Writes files: call it in a thread.

    A plain text message, as any A2A client sends it, is a task without named data.

    Args:
        message: from `remote_message` or from a stranger.
        folder: an empty folder of this call: its workspace, received files, and its artifacts.

    Raises:
        AgentError: the message is neither.
    """
    payload = _received_payload(message)
    described = _object(payload, "task")
    inputs = dict(_object(payload, "inputs"))
    inputs |= _received_files(message, _object(payload, "files"), folder)
    task = Task(
        id=safe_name(_text(described, "id") or message.message_id or "task"),
        description=_text(described, "description") or message.text,
        task_type=_text(described, "task_type") or "general",
        operation=_text(described, "operation"),
        requires=_names(described, "requires"),
        produces=_names(described, "produces"),
    )
    if not task.description.strip():
        raise AgentError("the message holds no text that says what is to be done")
    artifacts_dir = folder / "artifacts"
    artifacts_dir.mkdir(exist_ok=True)
    return Assignment(
        task=task,
        request=_text(payload, "request") or message.text,
        inputs=inputs,
        workspace=folder,
        artifacts_dir=artifacts_dir,
        model=_text(payload, "model"),
        effort=_text(payload, "effort") or "medium",
        notes=_names(payload, "notes"),
        idempotency_key=message.message_id,
        sandboxed=True,  # whoever sent it, it was not this machine's owner at the keyboard
    )


def local_artifact(artifact_id: str, output: TaskOutput) -> Artifact:
    """An output as an artifact for this process: files by their paths."""
    files = tuple(Part(url=Path(p).as_uri(), filename=Path(p).name) for p in output.artifacts)
    return _artifact(artifact_id, output, files)


def remote_artifact(artifact_id: str, output: TaskOutput) -> Artifact:
    """An output as an artifact for another machine: files as bytes. Call it in a thread.

    Raises:
        AgentError: a file is too large to send, or cannot be read.
    """
    files: list[Part] = []
    left = MAX_FILES_BYTES
    for path in map(Path, output.artifacts):
        files.append(_file_part(path, path.name, min(MAX_FILE_BYTES, left)))
        left -= len(files[-1].raw or b"")
    return _artifact(artifact_id, output, tuple(files))


def local_path(part: Part) -> str:
    """The path that `local_artifact` wrote as a file URL; empty for any other part."""
    if part.url is None or not part.url.startswith("file:///"):
        return ""
    return unquote(urlsplit(part.url).path)


def usage_of(metadata: JsonObject) -> Usage | None:
    """What an answer says it consumed; None when it says nothing usable."""
    ours = metadata.get(EXTENSION)
    said = ours.get("usage") if isinstance(ours, Mapping) else None
    if not isinstance(said, Mapping):
        return None
    tokens_in = _amount(said.get("input_tokens"))
    tokens_out = _amount(said.get("output_tokens"))
    cost_usd = _amount(said.get("cost_usd"))
    if max(tokens_in, tokens_out) > _MAX_TOKENS or cost_usd > MAX_COST_USD:
        return None
    return Usage(int(tokens_in), int(tokens_out), cost_usd)


def usage_json(usage: Usage) -> JsonObject:
    """What `usage_of` reads."""
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cost_usd": usage.cost_usd,
    }


def require_plain(value: JsonValue, what: str, depth: int = 0) -> None:
    """Refuse what would not survive being stored as JSON and read back.

    Raises:
        AgentError: NaN, a foreign object, a key that is not text, or nested too deeply.
    """
    if depth > _MAX_DEPTH:
        raise AgentError(f"{what} must be plain JSON: it is nested more than {_MAX_DEPTH} deep")
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):  # pyright: ignore[reportUnnecessaryIsInstance] - made by agents
                raise AgentError(f"{what} must be plain JSON: the key {key!r} is not text")
            require_plain(inner, what, depth + 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            require_plain(inner, what, depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise AgentError(f"{what} must be plain JSON: {value} is no JSON number")
    elif value is not None and not isinstance(value, str | int | float):  # pyright: ignore[reportUnnecessaryIsInstance] - made by agents
        raise AgentError(f"{what} must be plain JSON: a {type(value).__name__} is no JSON type")


def safe_name(name: str) -> str:
    """A file name without a folder, a leading dot or anything a shell would mind."""
    base = name.replace("\\", "/").rsplit("/", 1)[-1]
    kept = "".join(c if c.isalnum() or c in "._-" else "_" for c in base).lstrip(".")
    return kept[-_MAX_NAME:].lstrip(".") or "file"


def _payload(assignment: Assignment, inputs: JsonObject, files: JsonObject) -> JsonObject:
    task = assignment.task
    return {
        "task": {
            "id": task.id,
            "description": task.description,
            "task_type": task.task_type,
            "operation": task.operation,
            "requires": list(task.requires),
            "produces": list(task.produces),
        },
        "request": assignment.request,
        "inputs": inputs,
        "files": files,
        "model": assignment.model,
        "effort": assignment.effort,
        "notes": list(assignment.notes),
    }


def _artifact(artifact_id: str, output: TaskOutput, files: tuple[Part, ...]) -> Artifact:
    text = (Part(text=output.text),) if output.text else ()
    data = (Part(data=output.data),) if output.data else ()
    ours: JsonObject = {"usage": usage_json(output.usage)}
    return Artifact(artifact_id, text + data + files, name="result", metadata={EXTENSION: ours})


def _bounded_path(value: JsonValue, bounds: tuple[Path, ...]) -> Path | None:
    """The file or folder that a value names, if it lies where a request's files may lie.

    Anything else stays a string: agent-made text must not choose which files leave the machine.
    """
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
        return None
    try:
        path = Path(value).resolve()
        inside = any(path.is_relative_to(bound.resolve()) for bound in bounds)
        return path if inside and path.exists() else None
    except OSError:  # too long for a path, or a loop of links: text that begins with a slash
        return None


def _file_part(path: Path, filename: str, limit: int) -> Part:
    if path.is_dir():
        raise AgentError(f"{path.name!r} is a folder, which cannot be sent to a remote agent")
    try:
        with path.open("rb") as file:
            raw = file.read(limit + 1)
    except OSError as error:
        raise AgentError(f"cannot read {path.name!r} to send it: {error.strerror}") from error
    if len(raw) > limit:
        raise AgentError(f"{path.name!r} is larger than the {limit} bytes that may be sent along")
    media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return Part(raw=raw, media_type=media_type, filename=safe_name(filename))


def _received_payload(message: Message) -> JsonObject:
    for part in message.parts:
        if isinstance(part.data, Mapping) and isinstance(part.data.get("task"), Mapping):
            return cast("JsonObject", part.data)
    data = [part.data for part in message.parts if isinstance(part.data, Mapping)]
    return {"inputs": cast("JsonObject", data[0])} if data else {}


def _received_files(message: Message, names: JsonObject, folder: Path) -> dict[str, JsonValue]:
    """Write received files into the folder; the inputs that they are, by name."""
    inputs_of = {filename: name for name, filename in names.items()}
    written: dict[str, JsonValue] = {}
    for number, part in enumerate(message.parts):
        if part.raw is not None:
            path = folder / f"{number}-{safe_name(part.filename)}"
            path.write_bytes(part.raw)
            written[inputs_of.get(part.filename, part.filename or path.name)] = str(path)
    return written


def _object(payload: JsonObject, key: str) -> JsonObject:
    value = payload.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise AgentError(f"the message's {key!r} must be an object")
    return cast("JsonObject", value)


def _text(payload: JsonObject, key: str) -> str:
    value = payload.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise AgentError(f"the message's {key!r} must be text")
    return value


def _names(payload: JsonObject, key: str) -> tuple[str, ...]:
    value = payload.get(key)
    if value is None:
        return ()
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise AgentError(f"the message's {key!r} must be a list of texts")
    return tuple(cast("list[str]", value))


def _amount(value: JsonValue) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(value) if math.isfinite(value) and value > 0 else 0.0
