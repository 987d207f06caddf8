"""What a session shows to work: step sequences, agents and models, with their failures counted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from infrastructure.memory.memori.counting import wilson
from infrastructure.memory.memori.patterns import WorkflowPattern

MAX_PATTERNS: Final = 100
_LONGEST_SEQUENCE: Final = 4


@dataclass(frozen=True, slots=True)
class SessionPattern:
    """Something that successful workflows of a session have in common.

    Attributes:
        kind: "workflow" (a whole step list), "sequence" (steps in a row within workflows),
            "agent" or "model".
        value: the steps, or the one name.
        executions: workflows of the session in which it occurs.
        successes: those of them that succeeded.
        success_rate: successes of all executions.
    """

    kind: str
    value: tuple[str, ...]
    executions: int
    successes: int
    success_rate: float


def extract_patterns(workflows: Sequence[WorkflowPattern]) -> list[SessionPattern]:
    """Patterns of a session from its counted step lists, most surely successful first.

    Whole step lists, agents and models count from one success; a shorter sequence only when it
    occurs in two different step lists, as it says nothing new otherwise.
    """
    totals: dict[tuple[str, tuple[str, ...]], list[int]] = defaultdict(lambda: [0, 0, 0])
    for workflow in workflows:
        for key in set(_features(workflow.workflow_steps)):
            total = totals[key]
            total[0] += workflow.total_executions
            total[1] += workflow.successful_executions
            total[2] += 1
    found = [
        SessionPattern(kind, value, executions, successes, successes / executions)
        for (kind, value), (executions, successes, lists) in totals.items()
        if successes and (kind != "sequence" or lists > 1)
    ]
    found.sort(key=lambda p: (-wilson(p.successes, p.executions)[0], p.kind, p.value))
    return found[:MAX_PATTERNS]


def _features(steps: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    yield "workflow", tuple(steps)
    for length in range(2, min(_LONGEST_SEQUENCE, len(steps) - 1) + 1):
        for start in range(len(steps) - length + 1):
            yield "sequence", tuple(steps[start : start + length])
    for step in steps:
        # A step reads "task_type:agent:model"; a model's own name may hold colons.
        parts = step.split(":", 2)
        if len(parts) > 1 and parts[1]:
            yield "agent", (parts[1],)
        if len(parts) > 2 and parts[2]:
            yield "model", (parts[2],)
