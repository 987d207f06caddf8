"""HTDAG's planners and AOP: what plans are made of, what is wrong with them, and putting it right.

Names are loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genesis.planning.agent_catalogue import AgentCatalogue
    from genesis.planning.catalogue import Catalogue, Operation
    from genesis.planning.dataflow import PlanDraft
    from genesis.planning.findings import Finding, ValidationReport
    from genesis.planning.repairing import repair
    from genesis.planning.validation import Limits, validate

_HOME = {
    "AgentCatalogue": "genesis.planning.agent_catalogue",
    "Catalogue": "genesis.planning.catalogue",
    "Operation": "genesis.planning.catalogue",
    "PlanDraft": "genesis.planning.dataflow",
    "Finding": "genesis.planning.findings",
    "ValidationReport": "genesis.planning.findings",
    "Limits": "genesis.planning.validation",
    "validate": "genesis.planning.validation",
    "repair": "genesis.planning.repairing",
}

__all__ = [
    "AgentCatalogue",
    "Catalogue",
    "Finding",
    "Limits",
    "Operation",
    "PlanDraft",
    "ValidationReport",
    "repair",
    "validate",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'genesis.planning' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
