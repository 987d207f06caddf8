"""Files that the inspecting agents read: bounded by the workspace, fingerprinted, decoded."""

from __future__ import annotations

import hashlib
import os
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from genesis.tasks.received import received_folder
from infrastructure.errors import AgentError, InputError, WorkspaceError
from infrastructure.jsonvalue import JsonObject

MAX_FILES = 20_000
MAX_SOURCE_BYTES = 8 << 20
_SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules", "site-packages", "build", "dist"})
_CONFIGURATION = frozenset({".toml", ".cfg", ".ini"})
_SHARE_OF_TIMEOUT = 0.8


class Bounded(Protocol):
    """What an assignment and a submission have in common."""

    @property
    def inputs(self) -> JsonObject: ...
    @property
    def workspace(self) -> Path: ...
    @property
    def artifacts_dir(self) -> Path: ...
    @property
    def sandboxed(self) -> bool: ...


def time_limit_s(timeout_s: float | None, default_s: float) -> float:
    """Seconds for a subprocess, so that the agent can still report before its own time is over."""
    return min(default_s, timeout_s * _SHARE_OF_TIMEOUT) if timeout_s else default_s


def resolve_input(given: Bounded, name: str) -> Path:
    """The real path of an input, proven to lie within the workspace or the run's artifacts.

    Raises:
        InputError: the input is missing or no path.
        WorkspaceError: it leads outside, or does not exist.
    """
    value = given.inputs.get(name)
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise InputError(f"the input {name!r} must be the path of a file or folder, not {value!r}")
    missing = f"{name} {value!r} does not exist or cannot be read"
    try:
        path = (given.workspace / value).resolve()
    except (OSError, RuntimeError) as error:
        raise WorkspaceError(missing) from error
    # Before anything is said of whether it exists: that is nobody's business outside.
    if not is_within(path, _roots(given)):
        raise WorkspaceError(
            f"{name} {value!r} lies outside the workspace {given.workspace};"
            " start in a folder that contains it, or set workspace="
        )
    if not os.path.exists(path) or path == received_folder(given.workspace):  # noqa: PTH110
        raise WorkspaceError(missing)
    return path


def resolve_script(given: Bounded) -> Path:
    """The Python file named by the input `script`.

    Raises:
        WorkspaceError: as `resolve_input`, or it is no Python file.
    """
    script = resolve_input(given, "script")
    if not script.is_file() or script.suffix not in {".py", ".pyw"}:
        raise WorkspaceError(f"script {script} is not a Python file; give the path of a .py file")
    if script.stat().st_size == 0:
        raise WorkspaceError(f"script {script} is empty")
    return script


def script_arguments(given: Bounded) -> list[str]:
    """The optional input `script_args`: what follows the script on its command line."""
    value = given.inputs.get("script_args")
    if value is None:
        return []
    if isinstance(value, str) or not isinstance(value, list | tuple):
        raise InputError(f"script_args must be a list of strings, not {value!r}")
    arguments = [item for item in value if isinstance(item, str) and "\0" not in item]
    if len(arguments) != len(value):
        raise InputError(f"script_args must hold strings only, not {value!r}")
    return arguments


def script_folder(given: Bounded, script: Path) -> Path:
    """Where a script is run: in the workspace, as a user would; beside it when it lies outside."""
    workspace = given.workspace.resolve()
    return workspace if script.is_relative_to(workspace) else script.parent


def is_within(path: Path, roots: Iterable[Path]) -> bool:
    """Whether a resolved path lies in one of the folders, links resolved."""
    return any(path.is_relative_to(root.resolve()) for root in roots)


def _roots(given: Bounded) -> list[Path]:
    """The workspace, the attempt's artifacts, and the run's: data/runs/<run_id>/ and below."""
    return [given.workspace, given.artifacts_dir.resolve(), *run_folder(given)]


def run_folder(given: Bounded) -> list[Path]:
    """The folder of the run, data/runs/<run_id>/; none where the artifacts lie elsewhere."""
    artifacts = given.artifacts_dir.resolve()
    found = [folder for folder in (artifacts, *artifacts.parents) if folder.parent.name == "runs"]
    return found[:1]


def source_files(root: Path, *, configuration: bool = False) -> list[Path]:
    """The Python files under a folder (or the file itself), sorted; with configuration, that too.

    Hidden folders, caches, builds and virtual environments are left out, links not followed.

    Raises:
        AgentError: there are more than `MAX_FILES`.
    """
    if root.is_file():
        return [root]
    suffixes = {".py", *_CONFIGURATION} if configuration else {".py"}
    found: list[Path] = []
    for path in _walk(root):
        if path.suffix in suffixes and not path.is_symlink():
            found.append(path)
        if len(found) > MAX_FILES:
            raise AgentError(f"{root} holds more than {MAX_FILES:,} files; name a folder inside it")
    return sorted(found)


def _walk(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".")
            and name not in _SKIPPED_FOLDERS
            and not Path(folder, name, "pyvenv.cfg").exists()
        ]
        yield from (Path(folder, name) for name in names)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(root: Path, paths: Iterable[Path]) -> str:
    """SHA-256 over the names (relative to `root`) and contents of files, hexadecimal."""
    total = hashlib.sha256()
    for path in paths:
        name = path.relative_to(root).as_posix() if path != root else path.name
        total.update(f"{sha256_of(path)} {name}\n".encode())
    return total.hexdigest()


def read_source(path: Path) -> str:
    """The text of a Python file in the encoding that it declares.

    Raises:
        AgentError: it is too large, or cannot be read or decoded.
    """
    try:
        if path.stat().st_size > MAX_SOURCE_BYTES:
            raise AgentError(f"{path} is larger than {MAX_SOURCE_BYTES >> 20} MiB")
        with tokenize.open(path) as file:
            return file.read()
    except (OSError, SyntaxError, UnicodeDecodeError, LookupError) as error:
        raise AgentError(f"{path} cannot be read as Python source: {error}") from error


def source_line(path: Path, line: int) -> str:
    """One line of a Python file without its indentation; empty when there is none."""
    try:
        lines = read_source(path).splitlines()
    except AgentError:
        return ""  # what cannot be decoded has no line to show
    return lines[line - 1].strip() if 0 < line <= len(lines) else ""
