"""Names of processes that tell later whether the process still lives."""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path
from typing import Final

_SEPARATOR: Final = "|"
_PARTS: Final = 4
_START_FIELD: Final = 19  # of those that follow the command's name in /proc/PID/stat


def this_process(token: str) -> str:
    """A name for this process, or for a part of it.

    Args:
        token: tells apart what shares the process; without '|'.
    """
    pid = os.getpid()
    return _SEPARATOR.join((_machine(), str(pid), _own_start(pid), token))


def is_dead(name: str) -> bool:
    """Whether the process of a name is known to have ended.

    False also means that nobody here can tell: it ran on another machine, or in another
    container.
    """
    parts = name.split(_SEPARATOR)
    if len(parts) != _PARTS:
        return False
    machine, pid, started, _ = parts
    if machine != _machine() or not pid.isdigit() or not started:
        return False
    now = _started(int(pid))
    return not _exists(int(pid)) if now is None else now != started


@cache
def _machine() -> str:
    """The machine since it was last started, and the namespace in which process ids count."""
    parts = [socket.gethostname()]
    for read in (
        lambda: Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        lambda: str(Path("/proc/self/ns/pid").readlink()),
    ):
        try:
            parts.append(read())
        except OSError:  # not Linux, or hidden: nobody is called dead then
            parts.append("")
    return "/".join(parts)


@cache
def _own_start(pid: int) -> str:
    return _started(pid) or ""  # a forked child has an id of its own


def _exists(pid: int) -> bool:
    """Whether there is such a process; also one of which `/proc` tells us nothing."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # it is another user's, or the number is none
        return True
    return True


def _started(pid: int) -> str | None:
    """When a process began, in ticks since the machine was started; None if nothing is told.

    Empty for one that has ended.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    # A zombie has ended; only its parent has not heard of it.
    return "" if fields[0] in "ZX" else fields[_START_FIELD]
