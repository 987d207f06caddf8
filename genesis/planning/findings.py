"""What is wrong with a plan, sorted by kind, and its quality."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from infrastructure.text import one_line

FindingKind: TypeAlias = Literal[
    "malformed",
    "repeated_id",
    "unknown_dependency",
    "cycle",
    "missing_edge",
    "needless_edge",
    "unknown_operation",
    "unsolvable",
    "no_producer",
    "incomplete",
    "duplicate",
    "dead",
    "limit",
]
Severity: TypeAlias = Literal["error", "warning"]
Principle: TypeAlias = Literal[
    "structure", "solvability", "completeness", "non_redundancy", "limits"
]

PRINCIPLES: Mapping[FindingKind, Principle] = {
    "malformed": "structure",
    "repeated_id": "structure",
    "unknown_dependency": "structure",
    "cycle": "structure",
    "missing_edge": "structure",
    "needless_edge": "structure",
    "unknown_operation": "solvability",
    "unsolvable": "solvability",
    "no_producer": "completeness",
    "incomplete": "completeness",
    "duplicate": "non_redundancy",
    "dead": "non_redundancy",
    "limit": "limits",
}
WEIGHTS: Mapping[Principle, float] = {
    "structure": 0.1,
    "solvability": 0.3,
    "completeness": 0.3,
    "non_redundancy": 0.2,
    "limits": 0.1,
}

NAME_CHARS = 80


def shown(name: str) -> str:
    """A name that anybody may have written, quoted for a message."""
    return repr(one_line(name, NAME_CHARS))


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a plan.

    Attributes:
        kind: what is wrong:
            malformed: no task at all, or an id that is none.
            repeated_id: an id that an earlier task has.
            unknown_dependency: the task waits for what is no task.
            cycle: the task waits, directly or not, for itself.
            missing_edge: the task needs a datum and does not wait for `other`, which makes it.
            needless_edge: the task waits for `other` and takes nothing from it (a warning).
            unknown_operation: nobody offers the task's operation.
            unsolvable: the operation cannot do this task.
            no_producer: the task needs a datum that nothing makes for it.
            incomplete: the request asks for a datum that no task makes.
            duplicate: the task repeats `other`.
            dead: nothing uses what the task makes.
            limit: the plan as a whole is too large, long, slow or dear.
        severity: a plan with an error is not executed.
        task_id: the task; empty where the whole plan is meant.
        datum: the datum; empty where none is meant.
        message: one sentence.
        other: id of the other task that is concerned; empty where none is.
    """

    kind: FindingKind
    severity: Severity
    task_id: str
    datum: str
    message: str
    other: str = ""

    @property
    def principle(self) -> Principle:
        """Which part of the quality it lowers."""
        return PRINCIPLES[self.kind]


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """What AOP found.

    Attributes:
        solvable: every task can be done.
        complete: everything asked for is produced, and everything required has a producer.
        non_redundant: no task repeats another or makes what nobody uses.
        quality: 0 to 1, the weighted mean of `quality_parts` (`WEIGHTS`).
        quality_parts: structure, solvability, completeness, non_redundancy and limits, 0 to 1.
        findings: each with its task and datum.
        seconds: what the plan takes at the least, however many tasks run at once; 0 where no
            catalogue tells.
        usd: what it costs at the least, US dollars.
    """

    solvable: bool
    complete: bool
    non_redundant: bool
    quality: float
    quality_parts: dict[str, float]
    findings: tuple[Finding, ...]
    seconds: float = 0.0
    usd: float = 0.0

    @property
    def accepted(self) -> bool:
        """Whether the plan may be executed: nothing but warnings was found."""
        return not any(finding.severity == "error" for finding in self.findings)

    @property
    def objections(self) -> tuple[str, ...]:
        """Why the plan is sent back, one sentence each."""
        return tuple(f.message for f in self.findings if f.severity == "error")

    def of_kind(self, *kinds: FindingKind) -> tuple[Finding, ...]:
        """The findings of these kinds."""
        return tuple(finding for finding in self.findings if finding.kind in kinds)
