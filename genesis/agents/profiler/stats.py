"""Reads a cProfile file, in a process of its own."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from genesis.agents.profiler.report import Hotspot
from genesis.agents.subprocesses import Confinement, run_bounded
from infrastructure.errors import AgentError
from infrastructure.text import one_line

_SCRIPT = Path(__file__).with_name("print_stats.py")
_LIMIT_S = 60.0
_OUTPUT_BYTES = 32 << 20
_ROWS = TypeAdapter(list[tuple[str, int, str, int, float, float]])


async def read_profile(path: Path, confined: Confinement | None = None) -> list[Hotspot]:
    """Every function of a profile, unsorted.

    Args:
        path: written by cProfile.
        confined: the sandbox of the program that was profiled.

    Raises:
        AgentError: the file is damaged or empty.
    """
    if confined is not None:
        confined = replace(confined, workspace=None, readable=(*confined.readable, _SCRIPT))
    done = await run_bounded(
        [sys.executable, "-I", str(_SCRIPT), str(path)],
        cwd=path.parent,
        timeout_s=_LIMIT_S,
        output_cap=_OUTPUT_BYTES,
        confined=confined,
    )
    try:
        rows = _ROWS.validate_json(done.stdout)
    except ValidationError:
        said = one_line(done.stderr) or "it cannot be read"
        raise AgentError(f"the profile {path.name} is damaged: {said}") from None
    # The profiler's own switch is not the script's.
    rows = [row for row in rows if "_lsprof.Profiler" not in row[2]]
    total = sum(row[4] for row in rows)
    if not total > 0:
        raise AgentError(f"the profile {path.name} holds no time")
    return [
        Hotspot(
            name=name,
            file=file,
            line=line,
            calls=calls,
            own_s=own_s,
            cumulative_s=cumulative_s,
            share=own_s / total,
        )
        for file, line, name, calls, own_s, cumulative_s in rows
    ]
