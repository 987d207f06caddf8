"""Files on their way in and out: a private copy of a folder, and artifacts brought back.

What runs inside never touches the originals. Going in, links are packed as links and never
followed; coming out, only plain files are taken, their contents alone.
"""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

from infrastructure.errors import SandboxError
from infrastructure.sandbox.policy import SandboxPolicy

# Made by tools, or holding what a stranger's program must not read.
_LEFT_OUT = frozenset({
    "__pycache__", "node_modules", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis",
    ".tox", ".nox", ".git", ".hg", ".svn", ".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker",
    ".env", ".netrc", ".pypirc", ".npmrc", ".git-credentials", ".pgpass",
})  # fmt: skip
_ROOM = 1 << 20


class TooLarge(SandboxError):
    """A folder holds more than a sandbox copies."""


class Packed:
    """A folder as a tar archive in an unnamed temporary file.

    Attributes:
        folder: where it is unpacked: its own place.
        size: bytes of its files.
    """

    def __init__(self, folder: Path, file: BinaryIO, size: int) -> None:
        self.folder = folder
        self.file = file
        self.size = size


def pack(
    folder: Path,
    policy: SandboxPolicy,
    mounted: Collection[Path],
    hidden: Collection[Path] = (),
    shown: Collection[Path] = (),
) -> Packed:
    """Pack a folder for a private copy. Reads many files: call it in a thread.

    Left out are version control, caches, virtual environments, usual places of credentials, and
    what cannot be read.

    Args:
        folder: an absolute path without links.
        policy: how large it may be.
        mounted: paths that are mounted inside: they and the folders above them are there already.
        hidden: paths that are left out besides.
        shown: what is packed all the same, below a hidden folder.

    Raises:
        TooLarge: it holds more bytes or files than the policy allows.
    """
    above = {parent for path in mounted for parent in path.parents}
    file: BinaryIO = tempfile.TemporaryFile(prefix="genesis-copy-")  # noqa: SIM115 - handed on
    size = number = 0
    try:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for entry in _entries(folder, _Sight({*mounted, *hidden}, shown)):
                number += 1
                if entry.is_file(follow_symlinks=False):
                    size += entry.stat(follow_symlinks=False).st_size
                if number > policy.copy_files or size > policy.copy_bytes:
                    raise TooLarge(
                        f"{folder} holds more than the {policy.copy_bytes >> 20:,} MiB or"
                        f" {policy.copy_files:,} files that the sandbox copies;"
                        " name a smaller folder"
                    )
                if Path(entry.path) not in above:
                    _add(archive, entry, os.path.relpath(entry.path, folder))
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return Packed(folder, file, size + number * _PAGE)


_PAGE = 4096


class _Sight:
    """Which paths are left out, and which are not although they lie below one that is.

    Args:
        without: files and folders that are left out with all that is in them.
        shown: what is not left out of one of them.
    """

    def __init__(self, without: Collection[Path], shown: Collection[Path]) -> None:
        self._without = without
        self._shown = frozenset(shown)
        self._ways = frozenset(parent for path in shown for parent in path.parents)
        self._narrow = frozenset(
            way for way in self._ways if any(way.is_relative_to(path) for path in without)
        )

    def left_out(self, path: Path) -> bool:
        """Whether it is left out, seen from its folder, which is not."""
        kept = path in self._ways or path in self._shown
        return not kept and (path in self._without or path.parent in self._narrow)


def _entries(folder: Path, sight: _Sight) -> Iterator[os.DirEntry[str]]:
    """Files, folders and links below a folder, each folder before what is in it."""
    waiting = [folder]
    while waiting:
        try:
            found = sorted(os.scandir(waiting.pop()), key=lambda entry: entry.name)
        except PermissionError:
            continue
        for entry in found:
            if entry.name in _LEFT_OUT or sight.left_out(Path(entry.path)):
                continue
            is_folder = entry.is_dir(follow_symlinks=False)
            if is_folder and Path(entry.path, "pyvenv.cfg").exists():
                continue
            if is_folder or entry.is_symlink() or entry.is_file(follow_symlinks=False):
                yield entry
            if is_folder:
                waiting.append(Path(entry.path))


def _add(archive: tarfile.TarFile, entry: os.DirEntry[str], name: str) -> None:
    about = entry.stat(follow_symlinks=False)
    info = tarfile.TarInfo(name)
    info.mtime = int(about.st_mtime)
    info.mode = about.st_mode & 0o777 | 0o600
    if entry.is_symlink():
        info.type, info.linkname = tarfile.SYMTYPE, str(Path(entry.path).readlink())
        archive.addfile(info)
    elif entry.is_dir(follow_symlinks=False):
        info.type, info.mode = tarfile.DIRTYPE, info.mode | 0o700
        archive.addfile(info)
    else:
        _add_file(archive, Path(entry.path), info)


def _add_file(archive: tarfile.TarFile, path: Path, info: tarfile.TarInfo) -> None:
    try:
        reading = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (PermissionError, FileNotFoundError):
        return  # not even its owner's own programs may read it, or it is gone again
    with os.fdopen(reading, "rb") as content:
        info.size = os.fstat(reading).st_size
        archive.addfile(info, content)


def stage(artifacts: Path, policy: SandboxPolicy, owner: int | None) -> Path:
    """A new folder with copies of the artifacts so far, to be mounted in their place.

    It lies in a temporary folder that only this process's user may enter; `unstage` removes both.

    Args:
        artifacts: an existing folder.
        policy: how much is copied.
        owner: user and group number to whom everything in it is given; None keeps this process's.

    Raises:
        TooLarge: the artifacts already hold more than the policy allows.
    """
    staged = Path(tempfile.mkdtemp(prefix="genesis-artifacts-"), "files")
    try:
        staged.mkdir(mode=0o755)
        _copy_files(artifacts, staged, policy)
        if owner is not None:
            for folder, folders, names in os.walk(staged):
                for name in (".", *folders, *names):
                    os.chown(Path(folder, name), owner, owner, follow_symlinks=False)
    except BaseException:
        unstage(staged)
        raise
    return staged


def unstage(staged: Path) -> None:
    """Remove what `stage` made, also folders that were closed inside."""
    for folder, folders, _names in os.walk(staged):
        for path in (Path(folder, name) for name in folders):
            if not path.is_symlink():
                path.chmod(0o700)
    shutil.rmtree(staged.parent, ignore_errors=True)


def collect(staged: Path, artifacts: Path, policy: SandboxPolicy) -> None:
    """Bring back plain files; links, pipes and sockets are left behind, and so are permissions.

    Raises:
        TooLarge: there is more than the policy allows.
    """
    _copy_files(staged, artifacts, policy)


def usage(folder: Path, most: int) -> tuple[int, int]:
    """Bytes on disk and number of what lies below a folder; counts no further than `most`."""
    size = number = 0
    waiting = [folder]
    while waiting and number <= most:
        try:
            found = os.scandir(waiting.pop())
        except OSError:
            continue  # gone meanwhile, or closed to this user
        with found:
            for entry in found:
                number += 1
                try:
                    size += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
                except OSError:
                    continue  # gone meanwhile
                if number > most:
                    break
    return size, number


def _copy_files(source: Path, target: Path, policy: SandboxPolicy) -> None:
    size = number = 0
    for folder, folders, names in os.walk(source):
        number += len(folders) + len(names)
        for name in names:
            path = Path(folder, name)
            if not stat.S_ISREG(path.lstat().st_mode):
                continue
            size += path.lstat().st_size
            if number > policy.artifact_files or size > policy.artifact_bytes:
                raise TooLarge(
                    f"the artifacts are more than {policy.artifact_bytes >> 20:,} MiB or"
                    f" {policy.artifact_files:,} files"
                )
            try:
                _copy_file(path, target / path.relative_to(source))
            except PermissionError:
                continue  # closed by the one who made it
            except OSError as error:
                raise SandboxError(
                    f"the artifact {path.name!r} cannot be copied: {error}"
                ) from error


def _copy_file(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink():
        target.unlink()
    reading = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(reading, "rb") as content, target.open("wb") as copy:
        shutil.copyfileobj(content, copy, _ROOM)
