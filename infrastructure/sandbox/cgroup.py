"""A control group (cgroup v2) for one sandbox, where this process may make one.

The group is made beside the process's own: below the nearest group above it that this process may
write and that passes the controllers on. Where there is none (an old kernel, a container without
delegation, a login session), the sandbox watches memory by itself.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from infrastructure.sandbox.policy import SandboxPolicy

_NEEDED = ("memory", "pids")
_TRIES, _PAUSE_S = 200, 0.005


class ControlGroup:
    """One sandbox's group.

    Args:
        folder: its folder, which exists.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def make(cls, policy: SandboxPolicy, needed: Sequence[str] = _NEEDED) -> ControlGroup | None:
        """A new group with the policy's limits; None where that cannot be.

        Args:
            needed: controllers without which it is of no use.
        """
        parent = next((found for found in _candidates() if _passes_on(found, needed)), None)
        if parent is None:
            return None
        folder = parent / f"genesis-{os.getpid()}-{secrets.token_hex(6)}"
        try:
            folder.mkdir()
        except OSError:
            return None
        group = cls(folder)
        try:
            group._limit(policy, needed)
        except OSError:
            folder.rmdir()
            return None
        return group

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self._folder

    def add(self, pid: int) -> None:
        """Move a process into it; its children start there. Where the kernel refuses, it stays."""
        with suppress(OSError):  # memory is watched in any case
            (self._folder / "cgroup.procs").write_text(str(pid), encoding="ascii")

    def ran_out_of_memory(self) -> bool:
        """Whether the kernel has killed a process of it for want of memory."""
        try:
            events = (self._folder / "memory.events").read_text(encoding="ascii")
        except OSError:
            return False
        counts = dict(line.split() for line in events.splitlines())
        return int(counts.get("oom_kill", "0")) > 0

    async def remove(self) -> None:
        """Kill what is left in it and remove it."""
        with suppress(OSError):  # Linux before 5.14: they are killed with their namespace alone
            (self._folder / "cgroup.kill").write_text("1", encoding="ascii")
        for _ in range(_TRIES):  # a process that was killed takes a moment to leave
            try:
                self._folder.rmdir()
            except FileNotFoundError:
                return
            except OSError:
                await asyncio.sleep(_PAUSE_S)
            else:
                return

    def _limit(self, policy: SandboxPolicy, needed: Sequence[str]) -> None:
        if "memory" in needed:
            self._set("memory.max", policy.memory_bytes)
            self._set("memory.oom.group", 1)
            if (self._folder / "memory.swap.max").exists():  # not on a kernel without swap
                self._set("memory.swap.max", 0)
        if "pids" in needed:
            self._set("pids.max", policy.processes)

    def _set(self, name: str, value: int) -> None:
        (self._folder / name).write_text(str(value), encoding="ascii")


def _candidates() -> Iterator[Path]:
    """The groups above this process's own, nearest first."""
    mount = _mount_point()
    if mount is None:
        return
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        if line.startswith("0::"):
            own = mount / line[3:].lstrip("/")
            yield from (folder for folder in own.parents if folder.is_relative_to(mount))
            if own == mount:
                yield mount  # the root of a container's own tree


def _mount_point() -> Path | None:
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8")
    except OSError:
        return None
    for line in mounts.splitlines():
        _device, place, kind, *_ = line.split(" ")
        if kind == "cgroup2":
            return Path(place)
    return None


def _passes_on(folder: Path, needed: Sequence[str]) -> bool:
    try:
        passed = (folder / "cgroup.subtree_control").read_text(encoding="ascii").split()
    except OSError:
        return False
    writable = os.access(folder, os.W_OK) and os.access(folder / "cgroup.procs", os.W_OK)
    return writable and set(needed) <= set(passed)
