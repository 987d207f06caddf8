"""What the tests of the sandbox share: a piece of Python run inside it."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

from infrastructure.sandbox.policy import SandboxPolicy
from infrastructure.sandbox.process import Completed
from infrastructure.sandbox.runner import run_sandboxed

MIB = 1 << 20


async def run_inside(
    code: str, workspace: Path, *, artifacts: Path | None = None, **limits: Any
) -> Completed:
    """Run Python code in a sandbox whose private copy is of `workspace`."""
    given: dict[str, Any] = {"wall_s": 30.0, **limits}
    return await run_sandboxed(
        [sys.executable, "-c", dedent(code)],
        cwd=workspace,
        workspace=workspace,
        artifacts=artifacts,
        policy=SandboxPolicy(**given),
    )


async def said_inside(code: str, workspace: Path, **limits: Any) -> str:
    """What the code prints; it must end well."""
    done = await run_inside(code, workspace, **limits)
    assert done.returncode == 0, done
    return done.stdout.strip()


def processes_with(marker: str) -> list[int]:
    """The processes whose command line holds a marker, zombies left out."""
    return list(_found(marker))


def _found(marker: str) -> Iterator[int]:
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            line = (folder / "cmdline").read_bytes()
        except OSError:
            continue  # it ended meanwhile
        if marker.encode() in line:
            yield int(folder.name)


def gone(pid: int, seconds: float = 10.0) -> bool:
    """Whether a process ends within some seconds."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([process], [], [], seconds)[0])
    finally:
        os.close(process)
