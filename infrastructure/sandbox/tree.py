"""The processes of a sandbox as the kernel lists them: found, counted, their memory summed."""

from __future__ import annotations

import re
from pathlib import Path

_PROC = Path("/proc")
_RESIDENT = re.compile(r"^Rss(?:Anon|Shmem):\s+(\d+) kB$", re.MULTILINE)
_PROPORTIONAL = re.compile(r"^Pss:\s+(\d+) kB$", re.MULTILINE)


def children_of(pid: int) -> list[int]:
    """The children of all threads of a process; none when it is gone."""
    found: list[int] = []
    try:
        for thread in (_PROC / str(pid) / "task").iterdir():
            found += map(int, _read(thread / "children").split())
    except OSError:
        return found  # it ended meanwhile
    return found


def descendants_of(pid: int, most: int) -> list[int]:
    """The process and all below it; stops counting above `most`."""
    found = [pid]
    for known in found:
        if len(found) > most:
            break
        found += children_of(known)
    return found


def memory_of(pids: list[int], enough: int) -> int:
    """Bytes of memory that processes hold together.

    What several of them share is counted once for each, which is quick; where that is more than
    `enough`, it is divided among them, which is exact.
    """
    quick = sum(_kib(pid, "status", _RESIDENT) for pid in pids) * 1024
    if quick <= enough:
        return quick
    exact = [_kib(pid, "smaps_rollup", _PROPORTIONAL) for pid in pids]
    return sum(exact) * 1024 or quick


def parent_of(pid: int) -> int:
    """The parent's number; 0 when the process is gone."""
    match = re.search(r"^PPid:\s+(\d+)$", _read(_PROC / str(pid) / "status"), re.MULTILINE)
    return int(match[1]) if match else 0


def _kib(pid: int, name: str, pattern: re.Pattern[str]) -> int:
    return sum(map(int, pattern.findall(_read(_PROC / str(pid) / name))))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""  # it ended meanwhile, or may not be looked at
