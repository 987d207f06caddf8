"""What a sandboxed program sees, as arguments of bubblewrap.

The root is empty and read-only. Mounted into it are: the system's programs and libraries and this
Python's own folders (read-only), new /proc, /dev and /tmp, the paths that the caller names
(read-only), a private copy of a folder, and the artifacts folder.
"""

from __future__ import annotations

import os
import site
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from infrastructure.errors import SandboxError
from infrastructure.sandbox.identity import Identity
from infrastructure.sandbox.policy import SandboxPolicy

_PROGRAMS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_ETC = (
    "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "localtime", "timezone",
    "mime.types",
)  # fmt: skip
_SYSTEM = tuple(Path("/", name) for name in (*_PROGRAMS, "etc", "proc", "dev", "sys"))
_ALSO = (Path("/nix/store"), Path("/gnu/store"))
_SHARED_MEMORY = 64 << 20
_TMP = Path("/tmp")  # noqa: S108 - inside, where it is the program's own
_NAMESPACES = ("pid", "net", "ipc", "uts")


@dataclass(frozen=True, slots=True)
class View:
    """What is mounted for one call.

    Attributes:
        cwd: the folder that the command starts in; a private copy is entered where it begins, as
            the folders in it are not there yet.
        readable: files and folders of the caller's, seen read-only at their own places.
        copied: folder with a private copy at its own place, and its bytes; None for none.
        artifacts: the place of the artifacts folder, and what is mounted there; None for none.
    """

    cwd: Path
    readable: tuple[Path, ...]
    copied: tuple[Path, int] | None
    artifacts: tuple[Path, Path] | None

    @property
    def mounted(self) -> tuple[Path, ...]:
        """Places that other mounts than the private copy take."""
        own = (self.artifacts[0],) if self.artifacts else ()
        return (*python_folders(), *self.readable, *own)


def python_folders() -> tuple[Path, ...]:
    """The folders of this interpreter and its packages that /usr does not hold."""
    program = Path(sys.executable)
    named = {Path(sys.prefix), Path(sys.base_prefix), Path(sys.exec_prefix)}
    named |= {folder.resolve() for folder in named} | {program.resolve().parent.parent}
    if site.ENABLE_USER_SITE and Path(site.getusersitepackages()).is_dir():
        named.add(Path(site.getusersitepackages()))
    outside = {folder for folder in named if not folder.is_relative_to("/usr")}
    if Path("/") in outside:
        raise SandboxError("the sandbox needs a Python that is not installed in / itself")
    return tuple(sorted(outside))


def refuse_system_folder(folder: Path) -> None:
    """Raises `SandboxError` for a folder whose copy would hide the system."""
    if folder in {Path("/"), Path("/usr")} or _within(folder, _SYSTEM):
        raise SandboxError(f"{folder} belongs to the system; give a folder of your own")


def arguments_for(
    view: View, identity: Identity, policy: SandboxPolicy, accounts: Mapping[str, int]
) -> list[str]:
    """Bubblewrap's arguments up to the command.

    Args:
        view: what is mounted.
        identity: whom the command runs as.
        policy: sizes of what is writable.
        accounts: file descriptors with the files of /etc that say who is who, by name.
    """
    arguments = ["--die-with-parent", "--new-session", "--hostname", "sandbox"]
    arguments += [f"--unshare-{name}" for name in _NAMESPACES]
    arguments += ["--unshare-cgroup-try", "--cap-drop", "ALL"]
    if identity.from_root:
        for capability in ("SETUID", "SETGID", "SETPCAP"):
            arguments += ["--cap-add", f"CAP_{capability}"]
    else:
        number = str(identity.number)
        arguments += ["--unshare-user", "--uid", number, "--gid", number]
    arguments += _system(accounts)
    arguments += _writable(_TMP, policy.scratch_bytes, "1777")
    arguments += _of_the_call(view, policy)
    # Last: from here on only what was made writable above is.
    arguments += ["--remount-ro", "/dev", "--remount-ro", "/"]
    start = view.copied[0] if view.copied is not None else view.cwd
    return [*arguments, "--chdir", str(start)]


def _system(accounts: Mapping[str, int]) -> Iterator[str]:
    yield from ("--ro-bind", "/usr", "/usr")
    for name in _PROGRAMS:
        path = Path("/", name)
        if path.is_symlink():
            yield from ("--symlink", str(path.readlink()), str(path))
        elif path.is_dir():
            yield from ("--ro-bind", str(path), str(path))
    yield from ("--perms", "0755", "--dir", "/etc")  # not said, it would be closed to others
    for path in (*(Path("/etc", name) for name in _ETC), *_ALSO):
        yield from ("--ro-bind-try", str(path), str(path))
    for name, descriptor in accounts.items():
        yield from ("--perms", "0444", "--ro-bind-data", str(descriptor), f"/etc/{name}")
    yield from ("--proc", "/proc", "--dev", "/dev")
    yield from _writable(Path("/dev/shm"), _SHARED_MEMORY, "1777")  # noqa: S108


def _writable(path: Path, size: int, permissions: str) -> tuple[str, ...]:
    return ("--perms", permissions, "--size", str(size), "--tmpfs", str(path))


def _of_the_call(view: View, policy: SandboxPolicy) -> Iterator[str]:
    """Mounts by place, so that none hides another that lies in it."""
    mounts: dict[Path, tuple[str, ...]] = {}
    for path in (*python_folders(), *view.readable):
        mounts[path] = ("--ro-bind", str(path), str(path))
    for path in (folder / "pip.conf" for folder in python_folders()):
        if path.is_file():  # it may hold the password of a package index
            mounts[path] = ("--ro-bind", "/dev/null", str(path))
    if view.copied is not None:
        folder, size = view.copied
        mounts[folder] = _writable(folder, size + policy.scratch_bytes, "0777")
    if view.artifacts is not None:
        place, staged = view.artifacts
        mounts[place] = ("--bind", str(staged), str(place))
    made: set[Path] = {Path("/"), _TMP, Path("/etc")}
    for place in sorted(mounts):
        yield from _folders_above(place, made, view)
        yield from mounts[place]
        made.add(place)


def _folders_above(place: Path, made: set[Path], view: View) -> Iterator[str]:
    """Folders on the way to a mount, which anybody may pass; the copy's own may be written."""
    for folder in reversed(place.parents):
        if folder in made or _lies_in_readable(folder, view):
            continue
        made.add(folder)
        copied = view.copied is not None and folder.is_relative_to(view.copied[0])
        yield from ("--perms", "0777" if copied else "0755", "--dir", str(folder))


def _lies_in_readable(folder: Path, view: View) -> bool:
    """Whether a read-only mount brings the folder along."""
    return _within(folder, (Path("/usr"), *python_folders(), *view.readable)) and not (
        view.copied is not None and folder.is_relative_to(view.copied[0])
    )


def _within(path: Path, folders: Iterable[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def environment_for(extra: dict[str, str]) -> dict[str, str]:
    """All variables of a sandboxed program; nothing is taken from this process's environment."""
    folders = [str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"]
    return {
        "PATH": os.pathsep.join(folders),
        "HOME": str(_TMP),
        "TMPDIR": str(_TMP),
        "USER": "sandbox",
        "LOGNAME": "sandbox",
        "LANG": "C.UTF-8",
        "PYTHONUSERBASE": site.getuserbase(),
        # Numerical libraries start a thread for each processor, and threads are limited.
        "OMP_NUM_THREADS": "4",
        "OPENBLAS_NUM_THREADS": "4",
        **extra,
    }
