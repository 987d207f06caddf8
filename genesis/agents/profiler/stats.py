"""Reads a cProfile file. pstats has no types for its table; this is the one place that knows it."""

from __future__ import annotations

import pstats
from pathlib import Path
from typing import Any, cast

from genesis.agents.profiler.report import Hotspot
from infrastructure.errors import AgentError

_Function = tuple[str, int, str]
_Row = tuple[int, int, float, float, Any]


def read_profile(path: Path) -> list[Hotspot]:
    """Every function of a profile, unsorted.

    Raises:
        AgentError: the file is damaged or empty.
    """
    try:
        stats = pstats.Stats(str(path))
    except (OSError, EOFError, ValueError, TypeError) as error:
        raise AgentError(f"the profile {path.name} is damaged: {error}") from error
    table = cast("dict[_Function, _Row]", vars(stats)["stats"])
    # The profiler's own switch is not the script's.
    rows = {key: row for key, row in table.items() if "_lsprof.Profiler" not in key[2]}
    total = sum(row[2] for row in rows.values())
    if total <= 0:
        raise AgentError(f"the profile {path.name} holds no time")
    return [
        Hotspot(
            name=name,
            file=file,
            line=line,
            calls=row[1],
            own_s=row[2],
            cumulative_s=row[3],
            share=row[2] / total,
        )
        for (file, line, name), row in rows.items()
    ]
