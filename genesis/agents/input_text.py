"""A task's inputs as text for a chat model: the content of what a path names, or plain JSON.

The model's provider gets to see what is shown here: of a request's files, at most the beginning.
"""

from __future__ import annotations

import json
from pathlib import Path

from genesis.agents.files import Bounded, resolve_input, source_files

PATH_INPUTS = frozenset({"dataset", "source", "project", "script"})
_BYTES_PER_CHARACTER = 4


def input_text(given: Bounded, name: str, limit: int) -> str:
    """What an input says, of a path's content about the first `limit` characters.

    Raises:
        WorkspaceError: a path leads outside the workspace, or does not exist.
    """
    value = given.inputs[name]
    if name in PATH_INPUTS:
        return _content(resolve_input(given, name), limit)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _content(path: Path, limit: int) -> str:
    if path.is_file():
        return f"{path.name}:\n{_beginning(path, limit)}"
    files = source_files(path)
    listed = [f"the folder {path.name} with {len(files)} Python files"]
    room = limit
    for file in files:
        shown = f"{file.relative_to(path).as_posix()}:\n{_beginning(file, max(room, 0))}"
        room -= len(shown)
        listed.append(shown)
        if room <= 0:
            break
    return "\n\n".join(listed)


def _beginning(path: Path, limit: int) -> str:
    with path.open("rb") as file:
        head = file.read(limit * _BYTES_PER_CHARACTER)
    if b"\0" in head:
        return f"(not text; {path.stat().st_size:,} bytes)"
    return head.decode("utf-8", errors="replace")
