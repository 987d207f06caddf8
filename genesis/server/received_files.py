"""Files that come with a request from elsewhere: kept apart in the workspace until it is over."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from genesis.agents.wire import MAX_FILE_BYTES, MAX_FILES_BYTES, safe_name
from genesis.errors import InputError
from genesis.planning.data_names import MAX_OF_A_KIND, numbered
from genesis.planning.workspace import is_data_file
from genesis.tasks.received import received_folder
from infrastructure.a2a.types import Message, Part
from infrastructure.jsonvalue import JsonObject, JsonValue


@dataclass(frozen=True, slots=True)
class Received:
    """A request with its files.

    Attributes:
        request: its text, with the files that it names by where they are kept.
        given: named data: what came as data, and the files that the text does not name.
    """

    request: str
    given: JsonObject

    @classmethod
    def of(cls, message: Message, workspace: Path, run_id: str) -> Received:
        """What a message asks for. Writes files: call it in a thread.

        Raises:
            InputError: a file is too large, of no kind that can be used, or cannot be kept.
        """
        payload = _payload(message)
        given: dict[str, JsonValue] = dict(_object(payload, "inputs"))
        asked = payload.get("request")
        text = asked if isinstance(asked, str) and asked.strip() else message.text
        names = {str(file): name for name, file in _object(payload, "files").items()}
        parts = [part for part in message.parts if part.raw is not None]
        if not parts:
            return cls(text, given)
        folder = _folder(workspace, run_id)
        left = MAX_FILES_BYTES
        for number, part in enumerate(parts):
            left -= len(part.raw or b"")
            path = _kept(part, folder, number, min(MAX_FILE_BYTES, left + len(part.raw or b"")))
            shown = str(path.relative_to(workspace.resolve()))
            if part.filename in names:
                given[names[part.filename]] = shown
            elif part.filename and part.filename in text:
                text = text.replace(part.filename, shown)
            else:
                given[_free_name(path, given)] = shown
        return cls(text, given)


def forget_received(workspace: Path, run_id: str) -> None:
    """Remove the files of a run. Touches the disk: call it in a thread."""
    for folder in received_folder(workspace).glob(f"{safe_name(run_id)}-*"):
        shutil.rmtree(folder, ignore_errors=True)


def _payload(message: Message) -> JsonObject:
    """What an orchestrator sends; of anybody else's data, the first object is named data."""
    data = [part.data for part in message.parts if isinstance(part.data, Mapping)]
    for each in data:
        if isinstance(each.get("inputs"), Mapping) or isinstance(each.get("files"), Mapping):
            return each
    return {"inputs": data[0]} if data else {}


def _object(payload: JsonObject, key: str) -> JsonObject:
    value = payload.get(key)
    return cast("JsonObject", value) if isinstance(value, Mapping) else {}


def _folder(workspace: Path, run_id: str) -> Path:
    # A name that cannot be guessed, so that no other caller can ask for it.
    folder = received_folder(workspace) / f"{safe_name(run_id)}-{secrets.token_hex(16)}"
    try:
        folder.mkdir(parents=True, mode=0o700)
    except OSError as error:
        raise InputError(f"files cannot be taken here: {error.strerror}") from error
    return folder


def _kept(part: Part, folder: Path, number: int, limit: int) -> Path:
    raw = part.raw or b""
    if len(raw) > limit:
        raise InputError(
            f"{part.filename or 'a file'} has {len(raw)} bytes; a request may bring files of "
            f"{MAX_FILE_BYTES} bytes each, {MAX_FILES_BYTES} together"
        )
    path = folder / f"{number}-{safe_name(part.filename)}"
    try:
        path.write_bytes(raw)
    except OSError as error:
        raise InputError(f"{path.name} cannot be kept: {error.strerror}") from error
    return path


def _free_name(path: Path, given: JsonObject) -> str:
    kind = "dataset" if is_data_file(path) else "source" if path.suffix == ".py" else ""
    if not kind:
        raise InputError(
            f"what {path.name.partition('-')[2]!r} is for is not said: name it in the request, "
            "or send a data file or Python source"
        )
    names = (numbered(kind, number) for number in range(1, MAX_OF_A_KIND + 1))
    free = next((name for name in names if name not in given), None)
    if free is None:
        raise InputError(f"at most {MAX_OF_A_KIND} files of the kind {kind!r} are taken")
    return free
