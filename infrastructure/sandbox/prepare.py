"""Gets the files of a call ready: what is copied, what is mounted, what is put back afterwards."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from infrastructure.errors import SandboxError
from infrastructure.sandbox.copies import Packed, TooLarge, pack, stage, unstage
from infrastructure.sandbox.identity import Identity
from infrastructure.sandbox.layout import View, refuse_system_folder
from infrastructure.sandbox.policy import SandboxPolicy

_TMP = Path("/tmp")  # noqa: S108 - there is a new one inside


@dataclass(frozen=True, slots=True)
class Files:
    """The files of a call as the caller names them; see `run_sandboxed`."""

    cwd: Path
    workspace: Path | None
    artifacts: Path | None
    readable: tuple[Path, ...]
    hidden: tuple[Path, ...]
    shown: tuple[Path, ...] = ()


def prepare(
    files: Files, identity: Identity, policy: SandboxPolicy, stack: ExitStack
) -> tuple[View, Packed | None]:
    """Copy what must be copied. Reads and writes many files: call it in a thread.

    Args:
        files: what the caller names.
        identity: who gets the staged artifacts.
        policy: how much may be copied.
        stack: told what to remove in the end.

    Returns:
        What is mounted, and the private copy to be unpacked inside; None when there is none.

    Raises:
        SandboxError: a folder is missing, too large, or the system's own.
    """
    try:
        cwd = files.cwd.resolve(strict=True)
        readable = tuple(path.resolve(strict=True) for path in files.readable)
        place = files.artifacts.resolve(strict=True) if files.artifacts is not None else None
    except OSError as error:
        raise SandboxError(
            f"{error.filename} cannot be brought into the sandbox: {error}"
        ) from error
    staged: tuple[Path, Path] | None = None
    if place is not None:
        refuse_system_folder(place)
        folder = stage(place, policy, identity.number if identity.from_root else None)
        stack.callback(unstage, folder)
        staged = (place, folder)
    view = View(cwd, readable, None, staged)
    try:
        packed = _packed(view, files, policy)
    except OSError as error:  # a file that is changed meanwhile, a full disk
        raise SandboxError(f"the private copy could not be made: {error}") from error
    if packed is not None:
        stack.enter_context(packed.file)
        view = replace(view, copied=(packed.folder, packed.size))
    return view, packed


def _packed(view: View, files: Files, policy: SandboxPolicy) -> Packed | None:
    """The private copy: of the workspace, or of the folder to start in; None if that is mounted."""
    root = files.workspace.resolve() if files.workspace is not None else None
    hidden = {path.resolve() for path in files.hidden}
    shown = {path.resolve() for path in files.shown}
    in_sight = not _below(view.cwd, hidden) or _below(view.cwd, shown)
    if root is not None and view.cwd.is_relative_to(root) and in_sight:
        refuse_system_folder(root)
        try:
            return pack(root, policy, view.mounted, hidden, shown)
        except TooLarge:
            if view.cwd == root:
                raise
    if view.artifacts is not None and view.cwd.is_relative_to(view.artifacts[0]):
        return None
    if view.cwd == _TMP:
        return None
    refuse_system_folder(view.cwd)
    return pack(view.cwd, policy, view.mounted, hidden, shown)


def _below(path: Path, folders: Iterable[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)
