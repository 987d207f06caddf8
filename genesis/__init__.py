"""Genesis: a multi-agent orchestrator that learns.

Names are loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import infrastructure as _infrastructure  # sets LangGraph's strict mode before it is imported

if TYPE_CHECKING:
    from genesis.agents.assignment import Assignment
    from genesis.orchestrator import GenesisOrchestrator
    from genesis.result import OrchestrationResult
    from genesis.tasks.task import TaskOutput
    from infrastructure.a2a.agent import Skill

__version__ = "2.1.0"

_HOME = {
    "Assignment": "genesis.agents.assignment",
    "GenesisOrchestrator": "genesis.orchestrator",
    "OrchestrationResult": "genesis.result",
    "Skill": "infrastructure.a2a.agent",
    "TaskOutput": "genesis.tasks.task",
}

__all__ = ["Assignment", "GenesisOrchestrator", "OrchestrationResult", "Skill", "TaskOutput"]


del _infrastructure


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'genesis' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
