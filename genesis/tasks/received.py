"""Where the files that come with requests from elsewhere are kept, and who may see which."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

# Hidden, so that no search for the workspace's own files comes upon it.
RECEIVED: Final = ".genesis-received"


def received_folder(workspace: Path) -> Path:
    """The folder in which each request has a folder of its own, of a name that nobody guesses.

    It may be named by nobody: who may look through it sees the files of all callers.
    """
    return workspace.resolve() / RECEIVED


def received_with(values: Iterable[object], workspace: Path) -> tuple[Path, ...]:
    """The folders, each of one request, that paths among the values lie in.

    Args:
        values: data of a task; what is no path in the received folder is passed over.
        workspace: paths are relative to it.
    """
    folder = received_folder(workspace)
    found: dict[Path, None] = {}
    for value in values:
        if not isinstance(value, str) or RECEIVED not in value or "\0" in value:
            continue
        path = folder.parent / value
        if path.is_relative_to(folder) and ".." not in path.parts and path != folder:
            found[folder / path.relative_to(folder).parts[0]] = None
    return tuple(found)
