"""How hard a task looks, from its words, its input and the record of its type."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from genesis.routing.belief import Belief
from genesis.tasks.task import Task
from infrastructure.jsonvalue import JsonObject

_BASE = {
    "code_generation": 0.45,
    "system_design": 0.45,
    "debugging": 0.4,
    "optimization": 0.4,
    "deployment": 0.4,
    "data_analysis": 0.25,
    "documentation": 0.2,
    "testing": 0.15,
}
_UNKNOWN_BASE = 0.3
_PARTS = re.compile(r"\?|;|\n\s*(?:[-*]|\d+[.)])\s|\b(?:and then|and also|as well as|then|also)\b")
_USUAL_FAILURES = 0.2
_LARGE_FILE_BYTES = 1e9


@dataclass(frozen=True, slots=True)
class Difficulty:
    """An estimate from 0 (routine) to 1 (hard), and what led to it."""

    value: float
    reason: str


def file_size(path: str) -> int:
    """Bytes of a file; 0 for what is not one (its absence is somebody else's finding)."""
    try:
        return Path(path).stat().st_size if Path(path).is_file() else 0
    except (OSError, ValueError):
        return 0


def estimate_difficulty(
    task: Task,
    request: str,
    inputs: JsonObject,
    belief: Belief,
    *,
    size_of: Callable[[str], int] = file_size,
) -> Difficulty:
    """Judge one task.

    Args:
        task: what is to be done.
        request: the user's whole request.
        inputs: the named data that are given; paths among those that the task requires are sized.
        belief: the record of this task type.
        size_of: bytes of the file at a path.
    """
    words, marked = _counts(request)
    parts = marked + max(len(task.produces) - 1, 0)
    given = (inputs.get(name) for name in task.requires)
    size = sum(size_of(value) for value in given if isinstance(value, str))
    failures, n = belief.failure_rate(task.task_type)
    terms = {
        f"a {task.task_type} task": _BASE.get(task.task_type, _UNKNOWN_BASE),
        f"{words} words": 0.2 * min(math.log1p(len(request)) / 10, 1.0),
        f"{parts} further parts": 0.06 * min(parts, 5),
        f"{size:,} bytes of input": 0.15 * min(math.log1p(size) / math.log(_LARGE_FILE_BYTES), 1),
        f"{failures:.0%} of {n} attempts failed": 0.6 * (failures - _USUAL_FAILURES) if n else 0.0,
    }
    value = min(max(sum(terms.values()), 0.0), 1.0)
    told = ", ".join(f"{name} {amount:+.2f}" for name, amount in terms.items() if amount)
    return Difficulty(round(value, 3), told)


# Asked for each task of a plan, and the request is the same for all of them.
@lru_cache(maxsize=32)
def _counts(request: str) -> tuple[int, int]:
    """Words of a request, and signs that it asks for one thing more."""
    return len(request.split()), len(_PARTS.findall(request))
