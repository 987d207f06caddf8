"""What the check of the registry finds, and what it looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from genesis.tasks.task import Task

Severity: TypeAlias = Literal["error", "warning"]
Kind: TypeAlias = Literal["configuration", "agent", "operation", "check", "rule", "team", "skill"]


@dataclass(frozen=True, slots=True)
class RegistryFinding:
    """One thing that is wrong, and what to do about it."""

    severity: Severity
    kind: Kind
    subject: str
    message: str
    remedy: str


class DeclaredTask(NamedTuple):
    """A task as a declared plan would have it."""

    plan: str
    task: Task
